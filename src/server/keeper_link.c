#include "server/keeper_link.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/macros.h"
#include "wire/packet.h"

/* A message that the socket has not taken yet. */
struct link_message {
        struct list link;
        union {
                struct keeper_start start;
                struct keeper_kill kill;
                struct keeper_limit limit;
                struct keeper_warm warm;
                struct keeper_cool cool;
                struct keeper_plain plain;
        } body;
        size_t length;
        int fds[KEEPER_FDS_PER_CELL];
        size_t n_fds;
};

struct keeper_link {
        int fd;
        struct event *readable, *writable;
        struct list waiting; /* struct link_message */
        struct keeper_hooks hooks;
        void *context;
};

static void link_done(struct keeper_link *link, const void *message)
{
        link->hooks.on_done(message, link->context);
}

static void link_limited(struct keeper_link *link, const void *message)
{
        link->hooks.on_limited(message, link->context);
}

static void link_template(struct keeper_link *link, const void *message)
{
        struct keeper_template template;

        memcpy(&template, message, sizeof template);
        template.version[sizeof template.version - 1] = 0;
        if (template.place < TEMPLATE_PLACES)
                link->hooks.on_template(&template, link->context);
}

static void link_drain(struct keeper_link *link, const void *message)
{
        (void)message;
        link->hooks.on_drain(link->context);
}

/* What the keeper may say. */
static const struct link_rule {
        uint32_t type;
        size_t length;
        void (*take)(struct keeper_link *link, const void *message);
} rules[] = {
        { KEEPER_DONE, sizeof(struct keeper_done), link_done },
        { KEEPER_LIMITED, sizeof(struct keeper_limited), link_limited },
        { KEEPER_TEMPLATE, sizeof(struct keeper_template), link_template },
        { KEEPER_DRAIN, sizeof(struct keeper_plain), link_drain },
};

static int link_take(struct keeper_link *link, const void *message, size_t length)
{
        uint32_t type = 0;

        memcpy(&type, message, MIN(length, sizeof type));
        for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
                if (rules[i].type == type && rules[i].length == length) {
                        rules[i].take(link, message);
                        return 0;
                }
        }
        return -EBADMSG;
}

static void link_on_readable(evutil_socket_t fd, short what, void *context)
{
        struct keeper_link *link = context;
        _Alignas(uint64_t) char message[PACKET_MAX];
        size_t length;
        int r;

        (void)what;
        for (;;) {
                r = packet_receive(fd, MSG_DONTWAIT, message, sizeof message, &length, NULL, 0, NULL);
                if (r == PACKET_AGAIN)
                        return;
                if (r == 0)
                        r = link_take(link, message, length);
                if (r != 0)
                        break;
        }
        if (r < 0)
                log_error("keeper.receive", "error=\"%s\"", strerror(-r));
        event_del(link->readable);
        link->hooks.on_lost(link->context);
}

static void link_message_free(struct link_message *message)
{
        list_remove(&message->link);
        for (size_t i = 0; i < message->n_fds; i++)
                fd_closep(&message->fds[i]);
        free(message);
}

static void link_flush(struct keeper_link *link)
{
        list_foreach(at, &link->waiting) {
                struct link_message *message = container_of(at, struct link_message, link);
                int r;

                r = packet_send(link->fd, &message->body, message->length, message->fds, message->n_fds);
                if (r == PACKET_AGAIN) {
                        event_add(link->writable, NULL);
                        return;
                }
                /* PACKET_EOF: the reading side hears of it too, and says so. */
                if (r < 0)
                        log_error("keeper.send", "error=\"%s\"", strerror(-r));
                link_message_free(message);
        }
}

static void link_on_writable(evutil_socket_t fd, short what, void *context)
{
        (void)fd, (void)what;
        link_flush(context);
}

static int link_send(struct keeper_link *link, const void *body, size_t length, const int *fds, size_t n_fds)
{
        struct link_message *message = calloc(1, sizeof *message);

        if (!message) {
                for (size_t i = 0; i < n_fds; i++) {
                        int fd = fds[i];

                        fd_closep(&fd);
                }
                return error_trace(-ENOMEM);
        }
        memcpy(&message->body, body, length);
        message->length = length;
        message->n_fds = n_fds;
        if (n_fds)
                memcpy(message->fds, fds, n_fds * sizeof *fds);
        list_append(&link->waiting, &message->link);
        if (!event_pending(link->writable, EV_WRITE, NULL))
                link_flush(link);
        return 0;
}

int keeper_link_start(struct keeper_link *link, uint32_t place, uint64_t cell, int fds[KEEPER_FDS_PER_CELL])
{
        struct keeper_start start = { .type = KEEPER_START, .place = place, .cell = cell };

        return link_send(link, &start, sizeof start, fds, KEEPER_FDS_PER_CELL);
}

int keeper_link_kill(struct keeper_link *link, uint64_t cell)
{
        struct keeper_kill kill = { .type = KEEPER_KILL, .cell = cell };

        return link_send(link, &kill, sizeof kill, NULL, 0);
}

int keeper_link_limit(struct keeper_link *link, const struct keeper_limit *limit)
{
        struct keeper_limit message = *limit;

        message.type = KEEPER_LIMIT;
        return link_send(link, &message, sizeof message, NULL, 0);
}

int keeper_link_warm(struct keeper_link *link, uint32_t place, enum runtime runtime, int names)
{
        struct keeper_warm warm = { .type = KEEPER_WARM, .place = place, .runtime = runtime };

        return link_send(link, &warm, sizeof warm, &names, 1);
}

int keeper_link_cool(struct keeper_link *link, uint32_t place)
{
        struct keeper_cool cool = { .type = KEEPER_COOL, .place = place };

        return link_send(link, &cool, sizeof cool, NULL, 0);
}

int keeper_link_new(struct event_base *base, int fd, const struct keeper_hooks *hooks, void *context,
        struct keeper_link **ret_link)
{
        struct keeper_link *link = calloc(1, sizeof *link);

        if (!link)
                return error_trace(-ENOMEM);
        *link = (struct keeper_link){ .fd = fd, .hooks = *hooks, .context = context };
        list_init(&link->waiting);
        link->readable = event_new(base, fd, EV_READ | EV_PERSIST, link_on_readable, link);
        link->writable = event_new(base, fd, EV_WRITE, link_on_writable, link);
        if (!link->readable || !link->writable || event_add(link->readable, NULL) < 0 ||
                evutil_make_socket_nonblocking(fd) < 0) {
                keeper_link_free(link);
                return error_trace(-ENOMEM);
        }
        *ret_link = link;
        return 0;
}

struct keeper_link *keeper_link_free(struct keeper_link *link)
{
        if (!link)
                return NULL;
        list_foreach(at, &link->waiting) {
                link_message_free(container_of(at, struct link_message, link));
        }
        if (link->readable)
                event_free(link->readable);
        if (link->writable)
                event_free(link->writable);
        fd_closep(&link->fd);
        free(link);
        return NULL;
}
