#pragma once

/*
 * What is said first on a new connection, and what must be answered for it to be of use: signing in, choosing
 * the database, asking what kind of Redis it is or, of a sentinel, where the primary is.
 */

#include <stdbool.h>
#include <stddef.h>

#include <hiredis/hiredis.h>

#include "store/redis_args.h"
#include "store/redis_hosts.h"
#include "store/redis_survey.h"
#include "store/store.h"

enum { REDIS_GREETING_ROWS = 7 };

struct redis_greeting {
        const struct store_redis_options *options;
        bool to_sentinel;
        bool has_sentinels;

        /* What was answered. */
        struct redis_host primary; /* of a sentinel */
        struct redis_survey survey;
};

/* Writes down the command of a row. False: it is not said here. */
bool redis_greeting_build(const struct redis_greeting *greeting, size_t row, struct redis_args *args);
/* NULL: well answered; otherwise why this one is not to be used, perhaps written to `why`. */
const char *redis_greeting_read(
        struct redis_greeting *greeting, size_t row, const redisReply *reply, char *why, size_t size);
