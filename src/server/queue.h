#pragma once

/*
 * Admission: a number of places, and a line behind them, first come first served. A place is held until the
 * cell that used it is gone, so the host never runs more cells for calls than there are places.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

struct event_base;
struct queue;

enum { QUEUE_FULL = 1 };

/* Embed it in what waits. */
struct queue_entry {
        struct list link;
        bool has_place;
        void (*on_place)(struct queue_entry *entry); /* never called from within queue_enter() */
};

struct queue *queue_new(struct event_base *base, size_t places, size_t waiting_max);
/* Takes NULL, returns NULL. */
struct queue *queue_free(struct queue *queue);

/* 0: on_place comes soon, or when its turn has come. QUEUE_FULL. */
int queue_enter(struct queue *queue, struct queue_entry *entry, void (*on_place)(struct queue_entry *entry));
/* Gives the place back, or leaves the line. */
void queue_leave(struct queue *queue, struct queue_entry *entry);

size_t queue_waiting(const struct queue *queue);
size_t queue_running(const struct queue *queue);
