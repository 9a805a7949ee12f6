/*
 * Theory of operation. Entries of one client for one function form a flow, first come first served. Client
 * and function are parties; each counts what it has running and waiting. Two questions are answered here: who
 * gets the place that is free, and who has to go when the line is full.
 *
 * Who is next: the waiting flow with the smallest running(client) + running(function). That looks at what is
 * held now, so it needs no guess of how long a call takes: who holds places with long calls waits with the
 * next one while others, with short calls, take the places that come free. Among equals the earlier round
 * goes first: in a round each party has one turn, so a party that was served in round n is due in n + 1, and
 * a flow when both its parties are. Among those, the flow served least recently, which is the order of
 * queue->flows: a flow goes to its end when it appears and when it is served.
 *
 * Nobody starves, provided that calls end. Let c be a client in line, for the function f, and suppose that c
 * gets nothing from now on. Its calls end, so running(c) becomes 0.
 *  - If f is served again and again, then for clients b with running(b) <= running(c) = 0: equals of (c, f).
 *    Each time the round in which f is due rises, while that of c stands still: soon (c, f) is due when f is,
 *    and no (b, f) before it. Then the order of flows decides, and only those before (c, f) go first; they
 *    are finite in number, since whoever is served or comes anew stands behind.
 *  - If not, running(f) becomes 0 too, and no sum is smaller than that of (c, f). A round ends: only parties
 *    that are due in it take part, newcomers are due in the next. So the round comes in which c and f are
 *    due, and again only the flows before (c, f) go first.
 * Either way c is served. Exchange the words client and function, and it holds for functions.
 *
 * So of the ways to flood: One client with a thousand functions: each of its flows carries all that the
 * client has running, so another client's goes first; with a single place, where nothing runs when a place is
 * given, rounds make the two alternate. A thousand clients of one function: likewise, by the function.
 * What a newcomer with one flow can hold against either is about a third of the places, because its own calls
 * count twice, as the client's and as the function's. That is the price for seeing both.
 * What is not promised: the flow (c, f) may wait for as long as c is served for other functions and f for
 * other clients. Then c prefers a function with no more running than f, f a client with no more than c: both
 * have their share, and c could ask for less. QUEUE_TIMEOUT ends it.
 *
 * Who has to go: when the line is full, by entries or by bytes, the hog is the flow with the largest
 * waiting(client) + waiting(function) in that measure. Its newest entries make room for the newcomer if that
 * makes the line more even: if the sum, over all parties, of waiting squared falls. A sum that falls with
 * every exchange cannot come back, so two flows never drive each other out in turns; for entries it means
 * that the hog has more than 2 in advance, or more than 1 where the two share a party. A flooding client has
 * the most itself: it is refused, others are admitted; with a thousand functions it leaves them a third of
 * the line, as of the places. The only entry of its client and of its function is no hog, however large, or
 * large calls would never come through.
 *
 * Costs: to enter and leave, a search by key in three trees, O(log n). To give a place, a look at each
 * waiting flow, or fewer: the first in order that is due and has nothing running cannot be beaten. The same
 * look finds the hog, only when the line is full. A thousand flows take microseconds.
 */

#include "server/queue.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/macros.h"
#include "server/queue_flow.h"

enum {
        TURN_MAX = 256,   /* callbacks before the loop may look at its sockets again */
        HOGS_MAX = 64,    /* flows that one newcomer may empty */
        SMOOTHING = 8,    /* the observed interval follows each new one by an eighth */
        RETRY_MAX_S = 60, /* the largest Retry-After */
};

struct queue {
        struct flow_index index;
        struct list flows;   /* with somebody waiting, served least recently first */
        struct list dropped; /* struct queue_entry whose on_drop is to come */
        size_t waiting[MEASURES], waiting_max[MEASURES];
        size_t running, places;
        uint64_t round; /* of the flow served last */
        /* How fast places come back while somebody waits: microseconds between two, smoothed; 0: unknown. */
        uint64_t interval_us, interval_from_us;
        /* Places are given out from the loop, not from within queue_leave(): a call that fails at once would
         * otherwise start the next one on its own stack. */
        struct event *turn;
};

/* Stands in queue->flows if, and only if, somebody waits. */
static void flow_settle(struct queue *queue, struct flow *flow)
{
        if (list_empty(&flow->waiting))
                list_remove(&flow->link);
        else if (list_empty(&flow->link))
                list_append(&queue->flows, &flow->link);
}

static size_t flow_running(const struct flow *flow)
{
        return flow->client->running + flow->function->running;
}

static uint64_t flow_round(const struct queue *queue, const struct flow *flow)
{
        return MAX(queue->round, MAX(flow->client->round, flow->function->round));
}

static size_t flow_waiting(const struct flow *flow, enum measure measure)
{
        return flow->client->waiting[measure] + flow->function->waiting[measure];
}

/* --- the line --- */

static void line_count(struct queue *queue, const struct queue_entry *entry, bool comes)
{
        size_t weights[MEASURES] = { [ENTRIES] = 1, [BYTES] = entry->bytes };
        size_t *counts[] = { queue->waiting, entry->flow->client->waiting, entry->flow->function->waiting };

        for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
                for (size_t measure = 0; measure < MEASURES; measure++)
                        counts[i][measure] += comes ? weights[measure] : -weights[measure];
}

static void line_append(struct queue *queue, struct queue_entry *entry)
{
        list_append(&entry->flow->waiting, &entry->link);
        line_count(queue, entry, true);
}

/* The caller settles the flow. */
static void line_remove(struct queue *queue, struct queue_entry *entry)
{
        list_remove(&entry->link);
        line_count(queue, entry, false);
}

/* What there is too little of for one more entry, or MEASURES. */
static enum measure line_lacks(const struct queue *queue, size_t bytes)
{
        size_t free_places = queue->places - queue->running;

        if (queue->waiting[ENTRIES] < free_places)
                return MEASURES;
        if (queue->waiting[ENTRIES] > 0 && queue->waiting[BYTES] + bytes > queue->waiting_max[BYTES])
                return BYTES;
        if (queue->waiting[ENTRIES] - free_places >= queue->waiting_max[ENTRIES])
                return ENTRIES;
        return MEASURES;
}

/* Not the only entry of its client and of its function. */
static bool line_may_yield(const struct flow *flow)
{
        return !list_empty(&flow->waiting) && flow_waiting(flow, ENTRIES) > 2;
}

/* Among equals the one that came last. NULL: nobody has more than one entry in line. */
static struct flow *line_hog(const struct queue *queue, enum measure measure)
{
        struct flow *hog = NULL;

        list_foreach(link, &queue->flows) {
                struct flow *flow = container_of(link, struct flow, link);

                if (line_may_yield(flow) &&
                        (!hog || flow_waiting(flow, measure) >= flow_waiting(hog, measure)))
                        hog = flow;
        }
        return hog;
}

/* By how much the sum of squares falls when an entry of this weight goes; halved, as in line_cost(). */
static double line_gain(const struct flow *flow, enum measure measure, size_t weight)
{
        return (double)weight * ((double)flow_waiting(flow, measure) - (double)weight);
}

/* By how much it rises when one comes. */
static double line_cost(const struct flow *flow, enum measure measure, size_t weight)
{
        return (double)weight * ((double)flow_waiting(flow, measure) + (double)weight);
}

/* Takes entries of hogs out, the newest first, until the newcomer fits. Returns what that gains. */
static double line_yield(
        struct queue *queue, const struct flow *newcomer, size_t bytes, struct list *ret_victims)
{
        enum measure measure = line_lacks(queue, bytes);
        struct flow *hog = NULL;
        double gain = 0;

        for (size_t hogs = 0; line_lacks(queue, bytes) != MEASURES;) {
                struct queue_entry *victim;

                if (!hog || !line_may_yield(hog))
                        hog = hogs++ < HOGS_MAX ? line_hog(queue, measure) : NULL;
                if (!hog || hog == newcomer)
                        break;
                victim = container_of(hog->waiting.previous, struct queue_entry, link);
                gain += line_gain(hog, measure, measure == BYTES ? victim->bytes : 1);
                line_remove(queue, victim);
                list_append(ret_victims, &victim->link);
        }
        return gain;
}

static void line_drop(struct queue *queue, struct queue_entry *victim)
{
        struct flow *flow = steal(&victim->flow);

        victim->state = QUEUE_DROPPED;
        list_remove(&victim->link);
        list_append(&queue->dropped, &victim->link);
        flow_settle(queue, flow);
        flow_part(&queue->index, flow);
}

/* All or nothing: victims are dropped if the newcomer fits then and the line is more even, or put back. */
static bool line_make_room(struct queue *queue, const struct flow *newcomer, size_t bytes)
{
        enum measure measure = line_lacks(queue, bytes);
        struct list victims;
        double gain;
        bool made;

        if (measure == MEASURES)
                return true;
        list_init(&victims);
        gain = line_yield(queue, newcomer, bytes, &victims);
        made = line_lacks(queue, bytes) == MEASURES &&
               gain > line_cost(newcomer, measure, measure == BYTES ? bytes : 1);
        while (!list_empty(&victims)) {
                struct queue_entry *victim = container_of(victims.previous, struct queue_entry, link);

                if (made) {
                        line_drop(queue, victim);
                } else {
                        list_remove(&victim->link);
                        line_append(queue, victim);
                }
        }
        return made;
}

/* --- the turn --- */

static struct flow *queue_next(const struct queue *queue)
{
        struct flow *next = NULL;

        list_foreach(link, &queue->flows) {
                struct flow *flow = container_of(link, struct flow, link);
                size_t running = flow_running(flow);
                uint64_t round = flow_round(queue, flow);

                if (!next || running < flow_running(next) ||
                        (running == flow_running(next) && round < flow_round(queue, next)))
                        next = flow;
                if (running == 0 && round == queue->round)
                        break;
        }
        return next;
}

static void queue_grant(struct queue *queue, struct flow *flow)
{
        struct queue_entry *entry = container_of(flow->waiting.next, struct queue_entry, link);

        line_remove(queue, entry);
        list_remove(&flow->link);
        flow_settle(queue, flow);
        queue->round = flow_round(queue, flow);
        flow->client->round = flow->function->round = queue->round + 1;
        flow->client->running++;
        flow->function->running++;
        queue->running++;
        entry->state = QUEUE_RUNNING;
        entry->on_place(entry);
}

/* One callback. False: there is nothing to do. */
static bool queue_step(struct queue *queue)
{
        if (!list_empty(&queue->dropped)) {
                struct queue_entry *entry = container_of(queue->dropped.next, struct queue_entry, link);

                list_remove(&entry->link);
                entry->on_drop(entry);
                return true;
        }
        if (queue->running >= queue->places || list_empty(&queue->flows))
                return false;
        queue_grant(queue, queue_next(queue));
        return true;
}

/* Each step looks afresh: a callback may have let anybody enter and leave. */
static void queue_on_turn(evutil_socket_t fd, short what, void *context)
{
        static const struct timeval now;
        struct queue *queue = context;

        (void)fd, (void)what;
        for (size_t i = 0; i < TURN_MAX; i++)
                if (!queue_step(queue))
                        return;
        /* libevent runs what is active before it polls again. So a timer: adding it takes back, too, what the
         * callbacks have made active. */
        evtimer_add(queue->turn, &now);
}

/* --- for whoever waits --- */

struct queue *queue_new(struct event_base *base, size_t places, size_t waiting_max, size_t waiting_max_bytes)
{
        struct queue *queue = calloc(1, sizeof *queue);

        if (!queue)
                return NULL;
        list_init(&queue->flows);
        list_init(&queue->dropped);
        queue->places = places;
        queue->waiting_max[ENTRIES] = waiting_max;
        queue->waiting_max[BYTES] = waiting_max_bytes;
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
        flow_index_deinit(&queue->index);
        free(queue);
        return NULL;
}

int queue_enter(struct queue *queue, struct queue_entry *entry, const struct queue_wish *wish)
{
        struct flow *flow = flow_join(&queue->index, wish->client, wish->function, queue->round + 1);

        if (!flow)
                return error_trace(-ENOMEM);
        if (!line_make_room(queue, flow, wish->bytes)) {
                flow_part(&queue->index, flow);
                return QUEUE_FULL;
        }
        *entry = (struct queue_entry){
                .flow = flow,
                .state = QUEUE_WAITING,
                .bytes = wish->bytes,
                .on_place = wish->on_place,
                .on_drop = wish->on_drop,
        };
        if (queue->waiting[ENTRIES] == 0)
                queue->interval_from_us = clock_us();
        line_append(queue, entry);
        flow_settle(queue, flow);
        event_active(queue->turn, EV_TIMEOUT, 0);
        return 0;
}

/* Only while somebody waits do places come back as fast as they can. */
static void queue_observe(struct queue *queue)
{
        uint64_t now_us = clock_us(), interval_us = now_us - queue->interval_from_us;

        if (queue->waiting[ENTRIES] == 0)
                return;
        if (queue->interval_us == 0)
                queue->interval_us = interval_us;
        else
                queue->interval_us += interval_us / SMOOTHING - queue->interval_us / SMOOTHING;
        queue->interval_from_us = now_us;
}

static void queue_give_back(struct queue *queue, struct flow *flow)
{
        queue_observe(queue);
        flow->client->running--;
        flow->function->running--;
        queue->running--;
}

void queue_leave(struct queue *queue, struct queue_entry *entry)
{
        struct flow *flow = entry->flow;

        if (entry->state == QUEUE_DROPPED)
                list_remove(&entry->link);
        if (entry->state == QUEUE_WAITING)
                line_remove(queue, entry);
        if (entry->state == QUEUE_RUNNING)
                queue_give_back(queue, flow);
        entry->state = QUEUE_OUT;
        entry->flow = NULL;
        if (!flow)
                return;
        flow_settle(queue, flow);
        flow_part(&queue->index, flow);
        event_active(queue->turn, EV_TIMEOUT, 0);
}

size_t queue_waiting(const struct queue *queue)
{
        return queue->waiting[ENTRIES];
}

size_t queue_running(const struct queue *queue)
{
        return queue->running;
}

unsigned queue_retry_after_s(const struct queue *queue)
{
        double seconds = (double)queue->interval_us * (double)queue->waiting[ENTRIES] / 1e6;

        return seconds >= RETRY_MAX_S - 1 ? RETRY_MAX_S : 1 + (unsigned)seconds;
}
