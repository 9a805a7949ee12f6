#pragma once

/*
 * The way to the primary, for as long as the store lives: finds it (by name, or by asking the sentinels),
 * connects, signs in, and when the connection is lost begins again, at first after 50 ms, then more and more
 * seldom up to once a second.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "store/store.h"

struct event_base;
struct redis_args;
struct redis_command;
struct redis_link;

struct redis_link_hooks {
        void (*ready)(void *context);
        void (*lost)(void *context); /* before the open commands are answered */
        void *context;
};

/* The options outlive it. 0, -ENOMEM, or -EINVAL with `error`. */
int redis_link_new(struct event_base *base, const struct store_redis_options *options,
        const struct redis_link_hooks *hooks, struct redis_link **ret_link, char *error, size_t error_size);
/* Commands still open are answered, no hook is called, and from then on it is not ready. */
void redis_link_stop(struct redis_link *link);
/* Takes NULL, returns NULL. */
struct redis_link *redis_link_free(struct redis_link *link);

bool redis_link_is_ready(const struct redis_link *link);
/* Why it is not. */
const char *redis_link_reason(const struct redis_link *link);
/* 0: the answer will come. -ENOMEM, -ENOTCONN. */
int redis_link_send(struct redis_link *link, struct redis_command *command, struct redis_args *args);
/* This connection is of no use: gives it up and looks for a better one. */
void redis_link_drop(struct redis_link *link, const char *why);
