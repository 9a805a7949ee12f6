#pragma once

/*
 * go-faas keeps no list of its functions. So they are looked for among all keys, in small steps, when the
 * link is ready and again every minute, and those that mayfly can name go into the index that listings read.
 */

#include "base/list.h"

struct event_base;
struct redis_link;
struct redis_index;
struct store_redis_options;

/* The options outlive it; if their found() is to be told, nothing is written, and there is one round. 0 or
 * -ENOMEM. */
int redis_index_new(struct event_base *base, struct redis_link *link,
        const struct store_redis_options *options, struct redis_index **ret_index);
/* Not while a question of it is open: free the link first. Takes NULL, returns NULL. */
struct redis_index *redis_index_free(struct redis_index *index);
void redis_index_start(struct redis_index *index);
void redis_index_stop(struct redis_index *index);
/* Of a function of go-faas that was met otherwise. */
void redis_index_add(struct redis_index *index, const char *path);
