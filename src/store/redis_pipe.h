#pragma once

/*
 * One connection to one address: commands go in, answers come out in the same order. If what comes is no
 * answer, or nothing comes in time, the connection ends, and so does every command on it. In time is: within
 * the timeout after it was sent or, where a long queue or a large value takes longer, after something was
 * last seen to move; but never more than four timeouts after it was sent.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "base/list.h"

struct event_base;
struct redis_args;
struct redis_tls;
struct redis_pipe;

/* Embed it in what the answer needs; it stays in place until answered() is called, once. */
struct redis_command {
        struct list link;
        uint64_t sent_us;
        /* `reply` is valid within the call; NULL: there is none, and `why` says why. */
        void (*answered)(struct redis_command *command, const redisReply *reply, const char *why);
};

struct redis_pipe_plan {
        struct event_base *base;
        const char *address; /* numeric */
        uint32_t port;
        struct redis_tls *tls;   /* or NULL */
        const char *server_name; /* that TLS asks for */
        uint32_t timeout_ms;     /* of connecting, and of each answer */
        /* Connected: commands may be sent. */
        void (*opened)(struct redis_pipe *pipe, void *context);
        /* It has ended, by itself or by redis_pipe_close(), before its commands hear of it. Free it there or
         * later. */
        void (*closed)(struct redis_pipe *pipe, const char *why, void *context);
        void *context;
};

/* Begins to connect; the plan is copied, what it points to outlives the pipe except for the two texts. 0,
 * -ENOMEM, or -EIO and `error`. */
int redis_pipe_new(
        const struct redis_pipe_plan *plan, struct redis_pipe **ret_pipe, char *error, size_t error_size);
/* Ends it. Takes a pipe that has ended already. */
void redis_pipe_close(struct redis_pipe *pipe, const char *why);
/* Commands still open are answered. Takes NULL, returns NULL. */
struct redis_pipe *redis_pipe_free(struct redis_pipe *pipe);
/* 0: the answer will come, never from within. -ENOMEM, -ENOTCONN: it will not. */
int redis_pipe_send(struct redis_pipe *pipe, struct redis_command *command, struct redis_args *args);
