/*
 * The network's side of the server. One thread; nothing that a client sends is trusted.
 *
 * A connection is in one of seven states (the table below): IDLE until a byte comes, HEAD and BODY while a
 * request arrives, BUSY while somebody works on it, STREAM while its answer is written in pieces, ANSWER
 * while what is left of the answer drains, then IDLE again or, if the connection is to end, LINGER. One
 * request at a time: from BUSY to the end of ANSWER nothing is read, so pipelined requests wait in the kernel
 * and a connection costs at most one header, one body and one answer. Each state has at most one absolute
 * deadline, set when it is entered.
 *
 * Ending. close() on a socket with unread input sends RST, which can destroy an answer that the client has
 * not read yet (RFC 9112 9.6). So we shut down our side only, and read on into nothing for a while: LINGER.
 *
 * Leaving. While BUSY or STREAM the bufferevent does not read, so it sees no FIN either. Whoever wants to
 * know about departures calls http_on_gone(), and the socket joins an epoll instance of our own, which waits
 * for EPOLLRDHUP and is itself watched by libevent. (libevent's EV_CLOSED does not do: 2.1 reports an RST to
 * it as EV_READ|EV_WRITE, for which nobody waits, and spins.) A FIN may be a half-close whose sender still
 * waits for its answer, so it is put to the test: an interim `102 Processing` is sent, which an HTTP/1.1
 * client has to pass over at any time. From a socket that was closed the kernel answers it with RST, seen as
 * EPOLLHUP: gone. A half-closed one stays quiet.
 *
 * In pieces. http_reply() goes from BUSY to ANSWER at once. http_reply_begin() writes the header and enters
 * STREAM, where the owner writes when it likes, and http_reply_end() goes on to ANSWER. All of them only fill
 * the buffer: sending, failing and telling happen in the loop, so no owner is called from within its own
 * call. How much waits is the owner's care, who may look (http_reply_unsent()) and is told
 * (http_on_drained()). From the end on, what waits is ours, and ANSWER's deadline cuts off who does not take
 * it. In STREAM a FIN is put to the test with a piece instead of 102, since an interim answer has no place in
 * the middle of a body: the owner's probe, or for want of one whatever it writes next. A full socket takes no
 * probe, but who leaves it behind has unread data, so its kernel sends RST unasked.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/macros.h"
#include "server/http_connection.h"

enum {
        LINGER_MS = 5000,
        LINGER_BYTES = 64 * 1024 * 1024, /* most clients send a whole body before they look for an answer */
        INPUT_BYTES = 64 * 1024,         /* read ahead of the parser */
        REFUSED_CONNECTIONS = 256,       /* beyond the limit, kept long enough to be told so in full */
        ACCEPT_RETRY_MS = 100,           /* after descriptors ran out */
};

static void idle_read(struct connection *connection);
static void head_read(struct connection *connection);
static void body_read(struct connection *connection);
static void linger_read(struct connection *connection);
static void request_cut_short(struct connection *connection);
static void request_late(struct connection *connection);

/* What a connection does with input, after output, with the end of input, and when its time is up. No
 * on_input: no reading. */
static const struct {
        void (*on_input)(struct connection *connection);
        void (*on_output)(struct connection *connection);
        void (*on_end)(struct connection *connection);
        void (*on_deadline)(struct connection *connection);
        size_t timeout; /* offset in struct http_limits; 0: fixed_ms, and none if that is 0 too */
        uint32_t fixed_ms;
} states[] = {
        [IDLE] = { idle_read, NULL, connection_close, connection_close,
                offsetof(struct http_limits, idle_timeout_ms), 0 },
        [HEAD] = { head_read, NULL, request_cut_short, request_late,
                offsetof(struct http_limits, header_timeout_ms), 0 },
        [BODY] = { body_read, NULL, request_cut_short, request_late,
                offsetof(struct http_limits, body_timeout_ms), 0 },
        /* No deadline, but the timer tells a departure that cannot be told where it is noticed. */
        [BUSY] = { NULL, NULL, http_watch_gone, http_watch_gone, 0, 0 },
        [STREAM] = { NULL, http_answer_stream_output, http_watch_gone, http_answer_stream_look,
                offsetof(struct http_limits, silence_timeout_ms), 0 },
        [ANSWER] = { NULL, http_answer_output, connection_close, http_answer_measure,
                offsetof(struct http_limits, idle_timeout_ms), 0 },
        [LINGER] = { linger_read, NULL, connection_close, connection_close, 0, LINGER_MS },
};

/* ---- life of a connection ---- */

void connection_set_timer(struct connection *connection)
{
        enum http_state state = connection->state;
        const char *limits = (const char *)&connection->server->limits;
        uint32_t ms = states[state].fixed_ms;
        struct timeval wait;

        if (states[state].timeout)
                memcpy(&ms, limits + states[state].timeout, sizeof ms);
        wait = (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
        if (ms > 0)
                event_add(&connection->timer, &wait);
        else
                event_del(&connection->timer);
}

void connection_enter(struct connection *connection, enum http_state state)
{
        connection->state = state;
        connection_set_timer(connection);
        if (states[state].on_input)
                bufferevent_enable(connection->socket, EV_READ);
        else
                bufferevent_disable(connection->socket, EV_READ);
}

void http_request_deinit(struct http_request *request)
{
        http_head_deinit(&request->head);
        bytes_deinit(&request->body);
        *request = (struct http_request){ 0 };
}

void connection_disconnect(struct connection *connection)
{
        if (!connection->socket)
                return;
        http_watch_remove(connection);
        bufferevent_free(connection->socket);
        connection->socket = NULL;
}

void connection_close(struct connection *connection)
{
        connection_disconnect(connection);
        event_del(&connection->timer);
        http_request_deinit(&connection->request);
        list_remove(&connection->link);
        connection->server->n_connections--;
        connection->server->n_over_limit -= connection->over_limit;
        free(connection);
}

void connection_reset(struct connection *connection)
{
        struct linger now = { .l_onoff = 1, .l_linger = 0 };

        setsockopt(bufferevent_getfd(connection->socket), SOL_SOCKET, SO_LINGER, &now, sizeof now);
        connection_disconnect(connection);
}

void connection_abort(struct connection *connection)
{
        connection_reset(connection);
        connection_close(connection);
}

static void id_choose(struct http_request *request)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
        const char *given = http_head_field(&request->head, "x-request-id", 0);
        size_t length = given ? strlen(given) : 0;
        uint64_t number = 0;

        if (length > 0 && length <= HTTP_ID_MAX && strspn(given, allowed) == length) {
                memcpy(request->id, given, length + 1);
                return;
        }
        /* Fails only before the kernel is seeded; an id is no secret. */
        if (getrandom(&number, sizeof number, GRND_NONBLOCK) < 0)
                number = clock_us();
        snprintf(request->id, sizeof request->id, "%016llx", (unsigned long long)number);
}

/* Answers what did not become a request. Where it ends is not certain then, so the connection ends too. */
static void connection_refuse(struct connection *connection, const struct http_refusal *refusal)
{
        struct http_server *server = connection->server;
        struct http_answer answer = { .status = refusal->status };

        id_choose(&connection->request);
        server->hooks.on_refusal(
                refusal->status, refusal->detail, connection->request.id, &answer, server->context);
        connection->closes = true;
        http_answer_send(connection, &answer);
}

static void request_cut_short(struct connection *connection)
{
        connection_refuse(connection, &(struct http_refusal){ 400, "the request ends too early" });
}

static void request_late(struct connection *connection)
{
        const char *detail = connection->state == HEAD ? "the header took too long to arrive"
                                                       : "the body took too long to arrive";

        connection_refuse(connection, &(struct http_refusal){ 408, detail });
}

/* ---- reading ---- */

static void idle_read(struct connection *connection)
{
        if (evbuffer_get_length(bufferevent_get_input(connection->socket)) == 0)
                return;
        connection_enter(connection, HEAD);
        head_read(connection);
}

static void request_hand_up(struct connection *connection)
{
        struct http_request *request = &connection->request;

        id_choose(request);
        request->received_us = clock_us();
        connection_enter(connection, BUSY);
        connection->server->hooks.on_request(request, connection->server->context);
}

/* What to do after a reading step that did not simply succeed. */
static void step_failed(struct connection *connection, int r, const struct http_refusal *refusal)
{
        if (r == HTTP_REFUSED)
                connection_refuse(connection, refusal);
        else if (r < 0)
                connection_abort(connection);
}

static void body_begin(struct connection *connection)
{
        struct http_request *request = &connection->request;

        http_framing_init(&request->framing, &request->head, &connection->server->limits, &request->body);
        if (!request->head.chunked && request->head.content_length == 0) {
                request_hand_up(connection);
                return;
        }
        connection_enter(connection, BODY);
        if (request->head.expects_continue &&
                evbuffer_get_length(bufferevent_get_input(connection->socket)) == 0)
                evbuffer_add_printf(
                        bufferevent_get_output(connection->socket), "HTTP/1.1 100 Continue\r\n\r\n");
        body_read(connection);
}

static void head_read(struct connection *connection)
{
        const struct http_limits *limits = &connection->server->limits;
        struct evbuffer *input = bufferevent_get_input(connection->socket);
        /* In one piece for the parser: the header, an empty line before it, a byte to see that it is too
         * long. */
        size_t length = MIN(evbuffer_get_length(input), limits->header_bytes + 3);
        const char *text = (const char *)evbuffer_pullup(input, (ev_ssize_t)length);
        struct http_scan *scan = &connection->scan;
        struct http_refusal refusal;
        int r;

        r = text ? http_head_scan(scan, text, length, limits, &refusal) : -ENOMEM;
        if (r == HTTP_MORE)
                return;
        if (r == 0)
                r = http_head_parse(&connection->request.head, text + scan->start, scan->end - scan->start,
                        limits, &refusal);
        if (r != 0) {
                step_failed(connection, r, &refusal);
                return;
        }
        evbuffer_drain(input, scan->end);
        body_begin(connection);
}

static void body_read(struct connection *connection)
{
        struct evbuffer *input = bufferevent_get_input(connection->socket);
        struct http_request *request = &connection->request;
        struct http_refusal refusal;
        int r = HTTP_MORE;
        size_t length;

        while (r == HTTP_MORE && (length = evbuffer_get_contiguous_space(input)) > 0) {
                const char *data = (const char *)evbuffer_pullup(input, (ev_ssize_t)length);

                r = http_framing_read(&request->framing, data, length, &request->body, &length, &refusal);
                evbuffer_drain(input, length);
        }
        if (r == 0)
                request_hand_up(connection);
        else if (r != HTTP_MORE)
                step_failed(connection, r, &refusal);
}

static void linger_read(struct connection *connection)
{
        struct evbuffer *input = bufferevent_get_input(connection->socket);

        connection->discarded += evbuffer_get_length(input);
        evbuffer_drain(input, evbuffer_get_length(input));
        if (connection->discarded > LINGER_BYTES)
                connection_close(connection);
}

static void linger_begin(struct connection *connection)
{
        shutdown(bufferevent_getfd(connection->socket), SHUT_WR);
        connection_enter(connection, LINGER);
        linger_read(connection);
}

void connection_answered(struct connection *connection)
{
        if (connection->closes || !connection->server->listener) {
                linger_begin(connection);
                return;
        }
        connection_enter(connection, IDLE);
        idle_read(connection);
}

/* ---- what the loop calls ---- */

static void on_input(struct bufferevent *socket, void *context)
{
        struct connection *connection = context;

        (void)socket;
        if (states[connection->state].on_input)
                states[connection->state].on_input(connection);
}

/* Something was written, and HTTP_DRAINED_BYTES or less are left. */
static void on_output(struct bufferevent *socket, void *context)
{
        struct connection *connection = context;

        (void)socket;
        if (states[connection->state].on_output)
                states[connection->state].on_output(connection);
}

static void on_socket_event(struct bufferevent *socket, short what, void *context)
{
        struct connection *connection = context;

        (void)socket;
        if (connection->state == BUSY || connection->state == STREAM)
                http_watch_gone(connection);
        else if (what & BEV_EVENT_EOF)
                states[connection->state].on_end(connection);
        else
                connection_close(connection);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
        struct connection *connection = context;

        (void)fd, (void)what;
        states[connection->state].on_deadline(connection);
}

/* ---- accepting ---- */

static void peer_format(const struct sockaddr *address, char *buffer, socklen_t size)
{
        buffer[0] = 0;
        if (address->sa_family == AF_INET)
                inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, buffer, size);
        else if (address->sa_family == AF_INET6)
                inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, buffer, size);
}

static struct connection *connection_new(struct http_server *server, int fd, const struct sockaddr *address)
{
        struct connection *connection = calloc(1, sizeof *connection);

        if (!connection)
                return NULL;
        connection->socket = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
        if (!connection->socket) {
                free(connection);
                return NULL;
        }
        connection->server = server;
        list_append(&server->connections, &connection->link);
        server->n_connections++;
        evtimer_assign(&connection->timer, server->base, on_timer, connection);
        peer_format(address, connection->peer, sizeof connection->peer);
        bufferevent_setcb(connection->socket, on_input, on_output, on_socket_event, connection);
        bufferevent_setwatermark(
                connection->socket, EV_READ, 0, MAX(server->limits.header_bytes + 3, (size_t)INPUT_BYTES));
        bufferevent_setwatermark(connection->socket, EV_WRITE, HTTP_DRAINED_BYTES, 0);
        return connection;
}

/* Far beyond the limit there is no memory for politeness: one write, whatever becomes of it. */
static void connection_turn_away(int fd)
{
        static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                                     "Retry-After: 1\r\nConnection: close\r\n\r\n";

        (void)!send(fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        close(fd);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
        int address_length, void *context)
{
        struct http_server *server = context;
        struct connection *connection = NULL;

        (void)listener, (void)address_length;
        if (server->n_over_limit < REFUSED_CONNECTIONS)
                connection = connection_new(server, fd, address);
        if (!connection) {
                connection_turn_away(fd);
                return;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        if (server->n_connections - server->n_over_limit <= server->limits.connections) {
                connection_enter(connection, IDLE);
                return;
        }
        connection->over_limit = true;
        server->n_over_limit++;
        connection_refuse(connection, &(struct http_refusal){ 503, "too many open connections" });
}

/* Descriptors or memory ran out. The listening socket stays readable, so look away for a moment. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
        struct http_server *server = context;
        struct timeval wait = { .tv_usec = ACCEPT_RETRY_MS * 1000 };

        evconnlistener_disable(listener);
        event_add(&server->accept_again, &wait);
}

static void on_accept_again(evutil_socket_t fd, short what, void *context)
{
        struct http_server *server = context;

        (void)fd, (void)what;
        if (server->listener)
                evconnlistener_enable(server->listener);
}

/* ---- the server ---- */

static int server_listen(struct http_server *server, int listen_fd)
{
        /* Backlog 0: the socket listens already. */
        server->listener = evconnlistener_new(
                server->base, on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, listen_fd);
        if (!server->listener)
                return -ENOMEM;
        evconnlistener_set_error_cb(server->listener, on_accept_error);
        return 0;
}

int http_server_new(struct event_base *base, int listen_fd, const struct http_limits *limits,
        const struct http_hooks *hooks, void *context, struct http_server **ret_server)
{
        struct http_server *server = calloc(1, sizeof *server);
        int r;

        if (!server)
                return -ENOMEM;
        *server = (struct http_server){
                .base = base, .limits = *limits, .hooks = *hooks, .context = context, .watch_fd = -1
        };
        list_init(&server->connections);
        evtimer_assign(&server->accept_again, base, on_accept_again, server);
        r = http_watch_init(server);
        if (r == 0)
                r = server_listen(server, listen_fd);
        if (r < 0) {
                http_server_free(server);
                return error_trace(r);
        }
        signal(SIGPIPE, SIG_IGN);
        *ret_server = server;
        return 0;
}

static void listener_free(struct http_server *server)
{
        if (server->listener)
                evconnlistener_free(server->listener);
        server->listener = NULL;
        event_del(&server->accept_again);
}

struct http_server *http_server_free(struct http_server *server)
{
        if (!server)
                return NULL;
        listener_free(server);
        list_foreach(link, &server->connections) {
                struct connection *connection = container_of(link, struct connection, link);

                /* An answer is cut here. One that ends with its connection shows that by RST alone. */
                if (connection->socket && (connection->state == STREAM || connection->state == ANSWER))
                        connection_reset(connection);
                connection_close(connection);
        }
        http_watch_deinit(server);
        free(server);
        return NULL;
}

void http_server_drain(struct http_server *server)
{
        listener_free(server);
        list_foreach(link, &server->connections) {
                struct connection *connection = container_of(link, struct connection, link);

                if (connection->state == IDLE)
                        connection_close(connection);
        }
}

size_t http_server_connections(const struct http_server *server)
{
        return server->n_connections;
}

/* ---- the request ---- */

const char *http_method(const struct http_request *request)
{
        return request->head.method;
}

const char *http_path(const struct http_request *request)
{
        return request->head.path;
}

const char *http_query(const struct http_request *request, const char *name)
{
        return http_head_parameter(&request->head, name);
}

const char *http_header(const struct http_request *request, const char *name)
{
        return http_head_field(&request->head, name, 0);
}

const char *http_header_nth(const struct http_request *request, const char *name, size_t nth)
{
        return http_head_field(&request->head, name, nth);
}

const char *http_body(const struct http_request *request, size_t *ret_length)
{
        *ret_length = request->body.length;
        return request->body.data ? request->body.data : "";
}

const char *http_id(const struct http_request *request)
{
        return request->id;
}

const char *http_peer(const struct http_request *request)
{
        return container_of(request, const struct connection, request)->peer;
}

uint64_t http_received_us(const struct http_request *request)
{
        return request->received_us;
}
