/*
 * Who has left while a request is worked on? Run by the server's loop; http.c says why it takes an epoll
 * instance of our own, and how a half-closed client is told from one that is gone.
 */

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/macros.h"
#include "server/http_connection.h"

enum { WATCH_BURST = 64 /* departures noticed before the loop turns again */ };

static void watch_add(struct connection *connection)
{
        struct epoll_event event = { .events = EPOLLRDHUP | EPOLLET, .data.ptr = connection };
        int fd = bufferevent_getfd(connection->socket);

        /* Without it (no kernel memory) a departure shows when the answer is written, as it would anyway. */
        if (epoll_ctl(connection->server->watch_fd, EPOLL_CTL_ADD, fd, &event) == 0)
                connection->request.watched = true;
}

void http_watch_remove(struct connection *connection)
{
        if (!connection->request.watched)
                return;
        epoll_ctl(connection->server->watch_fd, EPOLL_CTL_DEL, bufferevent_getfd(connection->socket), NULL);
        connection->request.watched = false;
}

void http_watch_gone(struct connection *connection)
{
        struct http_request *request = &connection->request;
        void (*gone)(struct http_request *, void *) = request->gone;

        connection_disconnect(connection);
        request->gone = NULL;
        if (gone)
                gone(request, request->gone_context);
}

/* A FIN: is it a half-close? http.c says how a few bytes find out. 1.0 clients know no 1xx. */
static void request_probe(struct connection *connection)
{
        struct http_request *request = &connection->request;

        if (request->probed)
                return;
        request->probed = true;
        if (connection->state == STREAM && request->probe)
                http_reply_write(request, request->probe, strlen(request->probe));
        else if (connection->state == BUSY && request->head.is_1_1)
                evbuffer_add_printf(
                        bufferevent_get_output(connection->socket), "HTTP/1.1 102 Processing\r\n\r\n");
}

/* One event at a time: what is called may close any connection, and a batch could still point to it. */
static void on_watch(evutil_socket_t fd, short what, void *context)
{
        struct epoll_event event;

        (void)what, (void)context;
        for (int i = 0; i < WATCH_BURST && epoll_wait(fd, &event, 1, 0) == 1; i++) {
                if (event.events & (EPOLLHUP | EPOLLERR))
                        http_watch_gone(event.data.ptr);
                else
                        request_probe(event.data.ptr);
        }
}

int http_watch_init(struct http_server *server)
{
        server->watch_fd = epoll_create1(EPOLL_CLOEXEC);
        event_assign(&server->watch, server->base, server->watch_fd, EV_READ | EV_PERSIST, on_watch, server);
        if (server->watch_fd < 0)
                return -errno;
        return event_add(&server->watch, NULL) < 0 ? -ENOMEM : 0;
}

void http_watch_deinit(struct http_server *server)
{
        if (server->watch_fd >= 0)
                event_del(&server->watch);
        fd_closep(&server->watch_fd);
}

void http_on_gone(struct http_request *request, void (*gone)(struct http_request *request, void *context),
        void *context)
{
        struct connection *connection = container_of(request, struct connection, request);

        request->gone = gone;
        request->gone_context = context;
        if (!connection->socket)
                event_active(&connection->timer, EV_TIMEOUT, 0); /* it had gone before */
        else if (!request->watched)
                watch_add(connection);
}
