#pragma once

/*
 * What the queue counts by: a client and a function are parties, and a flow is what one client has for one
 * function. They exist while entries refer to them. Only queue.c uses this, and knows what the numbers mean.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

enum measure { ENTRIES, BYTES, MEASURES };

struct party {
        const char *key; /* the text behind the struct */
        size_t flows;    /* that it takes part in */
        size_t running;
        size_t waiting[MEASURES];
        uint64_t round; /* in which it is due */
};

struct flow {
        struct party *client, *function;
        struct list link;    /* the queue's, while somebody waits */
        struct list waiting; /* struct queue_entry, oldest first */
        size_t entries;      /* that refer to it: they wait, run, or are about to */
};

/* All of them, found by key with tsearch(): struct party by its text, struct flow by its parties. */
struct flow_index {
        void *clients, *functions, *flows;
};

void flow_index_deinit(struct flow_index *index);

/* For one more entry. A party that is new is due in new_round. NULL: out of memory. */
struct flow *flow_join(
        struct flow_index *index, const char *client_key, const char *function_key, uint64_t new_round);
/* Frees what nobody refers to any more. */
void flow_part(struct flow_index *index, struct flow *flow);
