#pragma once

/*
 * What others change: other nodes say it in a stream, which is read five times a second; go-faas does not say
 * it, so the latest versions that were answered from its data are looked at once a second.
 */

#include <stdbool.h>
#include <stdint.h>

#include "store/redis_key.h"

struct event_base;
struct redis_link;
struct redis_watch;

enum { REDIS_WATCH_PATHS_MAX = 4096 };

struct redis_watch_needs {
        struct event_base *base;
        struct redis_link *link;
        const char *prefix;
        const char *node;                                 /* whose own entries are no news */
        void (*changed)(const char *path, void *context); /* NULL: anything may have been */
        void *context;
};

/* The needs are copied, what they point to outlives it. 0 or -ENOMEM. */
int redis_watch_new(const struct redis_watch_needs *needs, struct redis_watch **ret_watch);
/* Not while a question of it is open: free the link first. Takes NULL, returns NULL. */
struct redis_watch *redis_watch_free(struct redis_watch *watch);
/* With the link's coming and going. */
void redis_watch_start(struct redis_watch *watch);
void redis_watch_stop(struct redis_watch *watch);
enum { REDIS_WATCH_NEW = 1 };

/* This go-faas version was answered as the latest of its path. 0; REDIS_WATCH_NEW: the path was not known
 * here; -ENOMEM: its changes will not be seen. */
int redis_watch_remember(
        struct redis_watch *watch, const char *path, const char md5[REDIS_MD5_SIZE], uint64_t latest);
