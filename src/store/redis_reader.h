#pragma once

/*
 * What hiredis' reader may make of received bytes. hiredis trusts the other side in two ways that a port
 * where something else listens must not use: a reply that nobody asked for ends the process by an assert(),
 * and an array's announced length is allocated at once. Both are refused here; the connection then ends with
 * an error.
 */

#include <stdbool.h>
#include <stddef.h>

#include <hiredis/hiredis.h>

enum { REDIS_READER_ELEMENTS_MAX = 1 << 20 };

struct redis_reader {
        size_t expected; /* replies that were asked for and have not come */
        bool refused;    /* hiredis says `out of memory`, but it was this */
};

/* `state` stays the caller's and lives as long as the reader. */
void redis_reader_guard(redisReader *reader, struct redis_reader *state);
