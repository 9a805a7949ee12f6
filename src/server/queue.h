#pragma once

/*
 * Admission: a number of places, and a bounded line behind them. Every entry belongs to a client and to a
 * function, and no client and no function can starve another: queue.c says why. A place is held until the
 * cell that used it is gone, so the host never runs more cells for calls than there are places.
 */

#include <stddef.h>

#include "base/list.h"

struct event_base;
struct flow;
struct queue;

enum { QUEUE_FULL = 1 };

enum queue_state {
        QUEUE_OUT,
        QUEUE_WAITING,
        QUEUE_RUNNING, /* it has a place */
        QUEUE_DROPPED, /* out of the line already; on_drop has come or comes soon */
};

/* Embed it in what waits; the queue fills it. */
struct queue_entry {
        struct list link;
        struct flow *flow;
        enum queue_state state;
        size_t bytes;
        void (*on_place)(struct queue_entry *entry);
        void (*on_drop)(struct queue_entry *entry);
};

struct queue_wish {
        const char *client, *function; /* copied, never NULL; texts of two kinds, they do not meet */
        size_t bytes;                  /* that the entry keeps in memory while it waits */
        /* One of the two comes, unless the entry leaves before: from the loop, never from within
         * queue_enter() or queue_leave(). Both may let any entry enter and leave, their own included. */
        void (*on_place)(struct queue_entry *entry);
        void (*on_drop)(struct queue_entry *entry); /* it lost its place in the line to another */
};

/*
 * waiting_max entries wait at most, and waiting_max_bytes of them. What the free places will take at the next
 * turn is admitted beyond both. An entry that is larger than waiting_max_bytes by itself is admitted when
 * nothing else waits. NULL: out of memory.
 */
struct queue *queue_new(struct event_base *base, size_t places, size_t waiting_max, size_t waiting_max_bytes);
/* Touches no entry that is left: their memory may be gone. Not from within a callback. Takes NULL, returns
 * NULL. */
struct queue *queue_free(struct queue *queue);

/* 0; QUEUE_FULL, with nothing changed; or -ENOMEM. */
int queue_enter(struct queue *queue, struct queue_entry *entry, const struct queue_wish *wish);
/* Gives the place back, or leaves the line, or takes note of the drop. Once for each queue_enter() that
 * returned 0; a second time does nothing. */
void queue_leave(struct queue *queue, struct queue_entry *entry);

size_t queue_waiting(const struct queue *queue);
size_t queue_running(const struct queue *queue);
/* For Retry-After: an estimate of when all that wait now will have had their places; 1 to 60. */
unsigned queue_retry_after_s(const struct queue *queue);
