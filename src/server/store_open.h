#pragma once

#include <stddef.h>

struct event_base;
struct settings;
struct store;

/* Opens the store that the settings name: Redis, or SQLite under their data_dir. As store_open_sqlite() and
 * store_open_redis(). */
int store_open(struct event_base *base, const struct settings *settings, struct store **ret_store,
        char *error, size_t error_size);
