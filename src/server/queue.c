#include "server/queue.h"

#include <event2/event.h>
#include <stdlib.h>

#include "base/macros.h"

struct queue {
        struct list line; /* struct queue_entry without a place, oldest first */
        size_t waiting, waiting_max;
        size_t running, places;
        /* Places are given out from the loop, not from within queue_leave(): a call that fails at once would
         * otherwise start the next one on its own stack. */
        struct event *turn;
};

static void queue_on_turn(evutil_socket_t fd, short what, void *context)
{
        struct queue *queue = context;

        (void)fd, (void)what;
        while (queue->running < queue->places && !list_empty(&queue->line)) {
                struct queue_entry *entry = container_of(queue->line.next, struct queue_entry, link);

                list_remove(&entry->link);
                queue->waiting--;
                queue->running++;
                entry->has_place = true;
                entry->on_place(entry);
        }
}

struct queue *queue_new(struct event_base *base, size_t places, size_t waiting_max)
{
        struct queue *queue = calloc(1, sizeof *queue);

        if (!queue)
                return NULL;
        list_init(&queue->line);
        queue->places = places;
        queue->waiting_max = waiting_max;
        queue->turn = event_new(base, -1, 0, queue_on_turn, queue);
        if (!queue->turn)
                return queue_free(queue);
        return queue;
}

struct queue *queue_free(struct queue *queue)
{
        if (!queue)
                return NULL;
        if (queue->turn)
                event_free(queue->turn);
        free(queue);
        return NULL;
}

int queue_enter(struct queue *queue, struct queue_entry *entry, void (*on_place)(struct queue_entry *entry))
{
        size_t free_places = queue->places - queue->running;

        if (queue->waiting >= queue->waiting_max + free_places)
                return QUEUE_FULL;
        entry->has_place = false;
        entry->on_place = on_place;
        list_append(&queue->line, &entry->link);
        queue->waiting++;
        event_active(queue->turn, EV_TIMEOUT, 0);
        return 0;
}

void queue_leave(struct queue *queue, struct queue_entry *entry)
{
        if (entry->has_place) {
                queue->running--;
                entry->has_place = false;
        } else {
                list_remove(&entry->link);
                queue->waiting--;
        }
        event_active(queue->turn, EV_TIMEOUT, 0);
}

size_t queue_waiting(const struct queue *queue)
{
        return queue->waiting;
}

size_t queue_running(const struct queue *queue)
{
        return queue->running;
}
