/*
 * hiredis frees its context by itself when a connection fails, and calls back on the way; when we end one it
 * does so at once or, from within one of its callbacks, after that has returned. So a pipe and its context
 * know each other only as long as both live: whoever ends first cuts the tie (context->data, pipe->context).
 */

#include "store/redis_pipe.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/redis_args.h"
#include "store/redis_reader.h"
#include "store/redis_timer.h"
#include "store/redis_tls.h"

enum { PIPE_REASON_MAX = 192, PIPE_PATIENCE = 4 /* timeouts, for what moves slowly */ };

struct redis_pipe {
        struct redis_pipe_plan plan;
        redisAsyncContext *context; /* NULL: ended */
        struct redis_reader reader;
        struct list commands; /* sent, the oldest first */
        struct event *timer;  /* of connecting, then of the oldest command */
        struct event
                *opened; /* tells it from the loop: hiredis' callback is no place to end a connection in */
        bool connected;
        uint64_t moved_us;        /* when something was last received or sent, as far as was seen */
        size_t seen_in, seen_out; /* what hiredis held of a reply, and of commands, when that was looked at */
};

static void pipe_answer_none(struct list *commands, const char *why)
{
        while (!list_empty(commands)) {
                struct redis_command *command = container_of(commands->next, struct redis_command, link);

                list_remove(&command->link);
                command->answered(command, NULL, why);
        }
}

static void pipe_take_commands(struct redis_pipe *pipe, struct list *ret_commands)
{
        list_init(ret_commands);
        while (!list_empty(&pipe->commands)) {
                struct list *link = pipe->commands.next;

                list_remove(link);
                list_append(ret_commands, link);
        }
}

/* `why` may be part of what is freed meanwhile. The pipe may be gone when this returns. */
static void pipe_end(struct redis_pipe *pipe, const char *why)
{
        char reason[PIPE_REASON_MAX];
        struct list commands;

        snprintf(reason, sizeof reason, "%s", why);
        pipe->context = NULL;
        event_del(pipe->timer);
        event_del(pipe->opened);
        pipe_take_commands(pipe, &commands);
        pipe->plan.closed(pipe, reason, pipe->plan.context);
        pipe_answer_none(&commands, reason);
}

static const char *pipe_failure(const struct redis_pipe *pipe, const redisAsyncContext *context)
{
        const char *refusal = pipe->plan.tls ? redis_tls_refusal(pipe->plan.tls) : NULL;

        if (refusal)
                return refusal;
        if (pipe->reader.refused)
                return "what answers there is no Redis";
        switch (context->c.err) {
        case 0:
        case REDIS_ERR_EOF:
                return "the connection was closed by the other side";
        case REDIS_ERR_PROTOCOL:
                return "what answers there is no Redis (protocol error)";
        default:
                return context->c.errstr;
        }
}

static void pipe_on_connect(const redisAsyncContext *context, int status)
{
        struct redis_pipe *pipe = context->data;

        if (!pipe)
                return;
        if (status == REDIS_OK) {
                pipe->connected = true;
                event_del(pipe->timer);
                event_active(pipe->opened, EV_TIMEOUT, 0);
                return;
        }
        ((redisAsyncContext *)context)->data = NULL;
        pipe_end(pipe, pipe_failure(pipe, context));
}

static void pipe_on_disconnect(const redisAsyncContext *context, int status)
{
        struct redis_pipe *pipe = context->data;

        (void)status;
        if (!pipe)
                return;
        ((redisAsyncContext *)context)->data = NULL;
        pipe_end(pipe, pipe_failure(pipe, context));
}

static void pipe_on_opened(evutil_socket_t fd, short what, void *data)
{
        struct redis_pipe *pipe = data;

        (void)fd;
        (void)what;
        pipe->plan.opened(pipe, pipe->plan.context);
}

static uint64_t pipe_deadline_us(const struct redis_pipe *pipe)
{
        const struct redis_command *oldest = container_of(pipe->commands.next, struct redis_command, link);
        uint64_t timeout_us = (uint64_t)pipe->plan.timeout_ms * 1000;

        return MIN(MAX(oldest->sent_us, pipe->moved_us) + timeout_us,
                oldest->sent_us + timeout_us * PIPE_PATIENCE);
}

/* Sets the timer to the oldest command's deadline. */
static void pipe_watch_oldest(struct redis_pipe *pipe)
{
        uint64_t now = clock_us(), deadline;

        if (list_empty(&pipe->commands)) {
                event_del(pipe->timer);
                return;
        }
        deadline = pipe_deadline_us(pipe);
        redis_timer_set_us(pipe->timer, deadline > now ? deadline - now : 0);
}

/* Have parts of a reply come, or parts of commands gone? Where Redis hangs, hiredis holds nothing of either.
 */
static void pipe_look_for_moves(struct redis_pipe *pipe)
{
        size_t in = pipe->context->c.reader->len, out = sdslen(pipe->context->c.obuf);

        if (in == pipe->seen_in && out == pipe->seen_out)
                return;
        pipe->seen_in = in;
        pipe->seen_out = out;
        pipe->moved_us = clock_us();
}

static void pipe_on_timer(evutil_socket_t fd, short what, void *data)
{
        struct redis_pipe *pipe = data;
        char why[PIPE_REASON_MAX];

        (void)fd;
        (void)what;
        if (pipe->connected && !list_empty(&pipe->commands)) {
                pipe_look_for_moves(pipe);
                if (pipe_deadline_us(pipe) > clock_us()) {
                        pipe_watch_oldest(pipe);
                        return;
                }
        }
        snprintf(why, sizeof why, "%s within %u ms", pipe->connected ? "no answer" : "no connection",
                pipe->plan.timeout_ms);
        redis_pipe_close(pipe, why);
}

static int pipe_connect(struct redis_pipe *pipe, char *error, size_t error_size)
{
        redisAsyncContext *context = redisAsyncConnect(pipe->plan.address, (int)pipe->plan.port);

        if (!context)
                return error_trace(-ENOMEM);
        pipe->context = context;
        if (context->err) {
                snprintf(error, error_size, "%s", context->errstr);
                return -EIO;
        }
        fcntl(context->c.fd, F_SETFD, FD_CLOEXEC);
        redis_reader_guard(context->c.reader, &pipe->reader);
        if (pipe->plan.tls && redis_tls_begin(pipe->plan.tls, context, pipe->plan.server_name) < 0) {
                snprintf(error, error_size, "TLS cannot be begun: %s", context->c.errstr);
                return -EIO;
        }
        context->data = pipe;
        if (redisLibeventAttach(context, pipe->plan.base) != REDIS_OK ||
                redisAsyncSetConnectCallback(context, pipe_on_connect) != REDIS_OK ||
                redisAsyncSetDisconnectCallback(context, pipe_on_disconnect) != REDIS_OK)
                return error_trace(-ENOMEM);
        return 0;
}

int redis_pipe_new(
        const struct redis_pipe_plan *plan, struct redis_pipe **ret_pipe, char *error, size_t error_size)
{
        struct redis_pipe *pipe = calloc(1, sizeof *pipe);
        int r = -ENOMEM;

        if (!pipe)
                return error_trace(-ENOMEM);
        pipe->plan = *plan;
        list_init(&pipe->commands);
        pipe->timer = evtimer_new(plan->base, pipe_on_timer, pipe);
        pipe->opened = evtimer_new(plan->base, pipe_on_opened, pipe);
        if (pipe->timer && pipe->opened && redis_timer_set(pipe->timer, plan->timeout_ms) == 0)
                r = pipe_connect(pipe, error, error_size);
        if (r < 0) {
                redis_pipe_free(pipe);
                return r;
        }
        pipe->plan.address = pipe->plan.server_name = NULL;
        *ret_pipe = pipe;
        return 0;
}

static void pipe_cut(struct redis_pipe *pipe)
{
        redisAsyncContext *context = pipe->context;

        pipe->context = NULL;
        if (!context)
                return;
        context->data = NULL;
        redisAsyncFree(context);
}

void redis_pipe_close(struct redis_pipe *pipe, const char *why)
{
        if (!pipe->context)
                return;
        pipe_cut(pipe);
        pipe_end(pipe, why);
}

struct redis_pipe *redis_pipe_free(struct redis_pipe *pipe)
{
        struct list commands;

        if (!pipe)
                return NULL;
        pipe_cut(pipe);
        pipe_take_commands(pipe, &commands);
        if (pipe->timer)
                event_free(pipe->timer);
        if (pipe->opened)
                event_free(pipe->opened);
        free(pipe);
        pipe_answer_none(&commands, "the connection was ended");
        return NULL;
}

/* A NULL reply is hiredis' way to say that the connection ends: that is told by pipe_end(). */
static void pipe_on_reply(redisAsyncContext *context, void *reply, void *data)
{
        struct redis_pipe *pipe = context->data;
        struct redis_command *command;

        (void)data;
        if (!pipe || !reply || list_empty(&pipe->commands))
                return;
        command = container_of(pipe->commands.next, struct redis_command, link);
        list_remove(&command->link);
        pipe->reader.expected--;
        pipe->moved_us = clock_us();
        pipe->seen_in = pipe->seen_out = 0;
        pipe_watch_oldest(pipe);
        command->answered(command, reply, NULL);
}

int redis_pipe_send(struct redis_pipe *pipe, struct redis_command *command, struct redis_args *args)
{
        const char *data;
        size_t length;
        int r;

        r = redis_args_finish(args, &data, &length);
        if (r < 0)
                return r;
        if (!pipe->context)
                return -ENOTCONN;
        if (redisAsyncFormattedCommand(pipe->context, pipe_on_reply, NULL, data, length) != REDIS_OK)
                return -ENOTCONN;
        command->sent_us = clock_us();
        list_append(&pipe->commands, &command->link);
        pipe->reader.expected++;
        if (pipe->commands.next == &command->link)
                pipe_watch_oldest(pipe);
        return 0;
}
