/*
 * The queue with a real loop. A call is an entry that notes what happens to it; time is the order of events:
 * a call runs until the test ends it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "server/queue.h"

enum { CALLS_MAX = 100000, MANY = 1000 };

struct world {
        struct event_base *base;
        struct queue *queue;
        size_t granted;    /* places given so far */
        struct call *last; /* who got the last one */
        struct call *calls;
        size_t n_calls;
        int bell[2]; /* a pipe, for one test */
};

struct call {
        struct queue_entry entry;
        struct world *world;
        size_t place; /* the how manieth place it got, from 1; 0: none yet */
        bool dropped;
        void (*then)(struct call *call); /* what its callback does further */
};

static void open_world(struct world *world, size_t places, size_t waiting_max, size_t waiting_max_bytes)
{
        *world = (struct world){ .base = event_base_new() };
        world->queue = queue_new(world->base, places, waiting_max, waiting_max_bytes);
        world->calls = calloc(CALLS_MAX, sizeof *world->calls);
        assert_non_null(world->queue);
        assert_non_null(world->calls);
}

static void close_world(struct world *world)
{
        queue_free(world->queue);
        event_base_free(world->base);
        free(world->calls);
}

static void on_place(struct queue_entry *entry)
{
        struct call *call = container_of(entry, struct call, entry);

        assert_false(call->dropped);
        call->place = ++call->world->granted;
        call->world->last = call;
        if (call->then)
                call->then(call);
}

static void on_drop(struct queue_entry *entry)
{
        struct call *call = container_of(entry, struct call, entry);

        assert_int_equal(call->place, 0);
        assert_false(call->dropped);
        call->dropped = true;
        if (call->then)
                call->then(call);
        else
                queue_leave(call->world->queue, entry);
}

static int enter(struct call *call, const char *client, const char *function, size_t bytes)
{
        struct queue_wish wish = { client, function, bytes, on_place, on_drop };

        return queue_enter(call->world->queue, &call->entry, &wish);
}

static struct call *prepare(struct world *world)
{
        struct call *call = &world->calls[world->n_calls++];

        assert_true(world->n_calls <= CALLS_MAX);
        *call = (struct call){ .world = world };
        return call;
}

/* NULL: refused. */
static struct call *try_bytes(struct world *world, const char *client, const char *function, size_t bytes)
{
        struct call *call = prepare(world);
        int r = enter(call, client, function, bytes);

        if (r == 0)
                return call;
        assert_int_equal(r, QUEUE_FULL);
        world->n_calls--;
        return NULL;
}

static struct call *try(struct world *world, const char *client, const char *function)
{
        return try_bytes(world, client, function, 1);
}

static struct call *wait_for(struct world *world, const char *client, const char *function)
{
        struct call *call = try(world, client, function);

        assert_non_null(call);
        return call;
}

static void turn(struct world *world)
{
        assert_true(event_base_loop(world->base, EVLOOP_NONBLOCK) >= 0);
}

static void end(struct call *call)
{
        assert_int_not_equal(call->place, 0);
        queue_leave(call->world->queue, &call->entry);
}

static void leave_at_once(struct call *call)
{
        queue_leave(call->world->queue, &call->entry);
}

/* Ends the call that got the last place, `times` times. */
static void end_last(struct world *world, size_t times)
{
        for (size_t i = 0; i < times; i++) {
                end(world->last);
                turn(world);
        }
}

static const char *numbered(char (*text)[16], const char *name, size_t number)
{
        snprintf(*text, sizeof *text, "%s%zu", name, number);
        return *text;
}

static void flood_functions(struct world *world, const char *client)
{
        char name[16];

        for (size_t i = 0; i < MANY; i++)
                wait_for(world, client, numbered(&name, "function", i));
}

static void flood_clients(struct world *world, const char *function)
{
        char name[16];

        for (size_t i = 0; i < MANY; i++)
                wait_for(world, numbered(&name, "client", i), function);
}

/* --- who is next --- */

static void test_places_are_given_from_the_loop(void **state)
{
        struct world world;
        struct call *call;

        (void)state;
        open_world(&world, 1, 0, 100);
        call = wait_for(&world, "a", "f");
        assert_int_equal(call->place, 0);
        assert_int_equal(queue_waiting(world.queue), 1);
        turn(&world);
        assert_int_equal(call->place, 1);
        assert_int_equal(queue_waiting(world.queue), 0);
        assert_int_equal(queue_running(world.queue), 1);
        end(call);
        assert_int_equal(queue_running(world.queue), 0);
        close_world(&world);
}

static void test_within_a_flow_first_come_is_first_served(void **state)
{
        struct world world;
        struct call *calls[20];

        (void)state;
        open_world(&world, 2, 100, 100);
        for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
                calls[i] = wait_for(&world, "a", "f");
        turn(&world);
        end_last(&world, ARRAY_SIZE(calls) - 2);
        for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
                assert_int_equal(calls[i]->place, i + 1);
        close_world(&world);
}

static void test_client_that_floods_does_not_delay_another(void **state)
{
        struct world world;
        struct call *other;

        (void)state;
        for (size_t places = 1; places <= 8; places *= 2) {
                open_world(&world, places, 2 * MANY, SIZE_MAX);
                for (size_t i = 0; i < MANY; i++)
                        wait_for(&world, "flood", "f");
                turn(&world);
                other = wait_for(&world, "other", "g");
                end_last(&world, 2);
                assert_in_range(other->place, places + 1, places + 2);
                other = wait_for(&world, "third", "f"); /* the same function */
                end_last(&world, 2);
                assert_int_not_equal(other->place, 0);
                close_world(&world);
        }
}

static void test_client_with_a_thousand_functions_does_not_starve_another(void **state)
{
        struct world world;
        struct call *others[10];

        (void)state;
        for (size_t places = 1; places <= 8; places *= 2) {
                open_world(&world, places, 2 * MANY, SIZE_MAX);
                flood_functions(&world, "flood");
                turn(&world);
                for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                        others[i] = wait_for(&world, "other", "own");
                end_last(&world, 2 * ARRAY_SIZE(others) + 2);
                for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                        assert_int_not_equal(others[i]->place, 0);
                close_world(&world);
        }
}

static void test_function_called_by_a_thousand_clients_does_not_starve_another(void **state)
{
        struct world world;
        struct call *others[10];

        (void)state;
        for (size_t places = 1; places <= 8; places *= 2) {
                open_world(&world, places, 2 * MANY, SIZE_MAX);
                flood_clients(&world, "popular");
                turn(&world);
                for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                        others[i] = wait_for(&world, "client0", "quiet");
                end_last(&world, 2 * ARRAY_SIZE(others) + 2);
                for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                        assert_int_not_equal(others[i]->place, 0);
                close_world(&world);
        }
}

/* More clients come, always new ones, than places are given: an old one that calls again and again goes on.
 */
static void test_new_clients_that_keep_coming_do_not_starve_an_old_one(void **state)
{
        struct world world;
        struct call *old;
        char name[16];

        (void)state;
        open_world(&world, 1, CALLS_MAX, SIZE_MAX);
        old = wait_for(&world, "old", "f");
        for (size_t came = 0; came < 5; came++) {
                for (size_t i = 0; !old->place; i++) {
                        wait_for(&world, numbered(&name, "client", world.n_calls), "f");
                        wait_for(&world, numbered(&name, "client", world.n_calls), "g");
                        assert_true(i < CALLS_MAX / 4);
                        turn(&world);
                        end(world.last);
                }
                old = wait_for(&world, "old", "f");
        }
        close_world(&world);
}

/* Sleepers hold all places and more of them wait; then quick ones come. */
static void check_long_calls(bool many_clients, bool many_functions)
{
        struct world world;
        struct call *sleepers[50];
        char client[16], function[16];

        open_world(&world, 4, 1000, SIZE_MAX);
        for (size_t i = 0; i < ARRAY_SIZE(sleepers); i++)
                sleepers[i] = wait_for(&world, numbered(&client, "sleeper", many_clients ? i : 0),
                        numbered(&function, "long", many_functions ? i : 0));
        turn(&world);
        for (size_t i = 0; i < 100; i++)
                wait_for(&world, "quick", "short");
        turn(&world);
        assert_int_equal(world.granted, 4);
        end(sleepers[0]);
        turn(&world);
        end_last(&world, 50); /* of the quick, through the one place that a sleeper has given back */
        assert_int_equal(world.granted, 55);
        assert_int_equal(sleepers[4]->place, 0);

        /* They meet in the middle. */
        end(sleepers[1]);
        turn(&world);
        end(sleepers[2]);
        turn(&world);
        assert_int_equal(world.granted, 57);
        assert_int_not_equal(sleepers[4]->place, 0);
        close_world(&world);
}

static void test_long_calls_leave_places_to_others(void **state)
{
        (void)state;
        check_long_calls(false, false);
}

static void test_long_calls_of_many_functions_leave_places_to_other_clients(void **state)
{
        (void)state;
        check_long_calls(false, true);
}

static void test_long_calls_by_many_clients_leave_places_to_other_functions(void **state)
{
        (void)state;
        check_long_calls(true, false);
}

/* Each of two busy parties has its own other flow; the flow between the two goes on too, at a single place.
 */
static void test_flow_between_two_busy_parties_gets_its_turns(void **state)
{
        struct world world;
        struct call *between[20];

        (void)state;
        open_world(&world, 1, 1000, SIZE_MAX);
        for (size_t i = 0; i < 100; i++) {
                wait_for(&world, "client", "other");
                wait_for(&world, "another", "function");
        }
        for (size_t i = 0; i < ARRAY_SIZE(between); i++)
                between[i] = wait_for(&world, "client", "function");
        turn(&world);
        end_last(&world, 70);
        assert_int_not_equal(between[ARRAY_SIZE(between) - 1]->place, 0);
        close_world(&world);
}

/* --- who has to go --- */

static void test_full_line_drops_the_hog_s_newest(void **state)
{
        struct world world;
        struct call *floods[10], *other;

        (void)state;
        open_world(&world, 1, 9, SIZE_MAX);
        for (size_t i = 0; i < ARRAY_SIZE(floods); i++)
                floods[i] = wait_for(&world, "flood", "f");
        assert_null(try(&world, "flood", "f"));
        turn(&world);
        assert_int_equal(floods[0]->place, 1);
        assert_null(try(&world, "flood", "f"));
        other = wait_for(&world, "other", "g");
        assert_false(floods[9]->dropped); /* not from within queue_enter() */
        assert_int_equal(queue_waiting(world.queue), 9);
        turn(&world);
        for (size_t i = 0; i < ARRAY_SIZE(floods); i++)
                assert_int_equal(floods[i]->dropped, i == 9);
        end_last(&world, 2);
        assert_int_equal(other->place, 3);
        close_world(&world);
}

static void test_client_that_floods_by_many_functions_leaves_others_a_third(void **state)
{
        struct world world;
        struct call *others[15];
        size_t left = 0;
        char name[16];

        (void)state;
        open_world(&world, 0, 30, SIZE_MAX);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                others[i] = wait_for(&world, "other", "g");
        for (size_t i = 0; i < MANY; i++) {
                try(&world, "flood", numbered(&name, "f", i));
                turn(&world);
        }
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                left += !others[i]->dropped;
        assert_in_range(left, 10, 14);
        close_world(&world);
}

static void test_a_popular_function_yields_to_another(void **state)
{
        struct world world;
        struct call *last;
        char name[16];

        (void)state;
        open_world(&world, 0, 50, SIZE_MAX);
        for (size_t i = 0; i < 49; i++)
                wait_for(&world, numbered(&name, "client", i), "popular");
        last = wait_for(&world, "client49", "popular");
        assert_null(try(&world, "client50", "popular"));
        wait_for(&world, "client0", "quiet");
        turn(&world);
        assert_true(last->dropped);
        close_world(&world);
}

static void test_equals_are_refused_when_full(void **state)
{
        struct world world;
        char name[16];

        (void)state;
        open_world(&world, 0, 10, SIZE_MAX);
        for (size_t i = 0; i < 10; i++)
                wait_for(&world, numbered(&name, "client", i), "f");
        assert_null(try(&world, "client10", "f"));
        assert_null(try(&world, "client0", "f"));
        close_world(&world);

        open_world(&world, 0, 1, SIZE_MAX);
        wait_for(&world, "a", "f");
        assert_null(try(&world, "b", "g"));
        close_world(&world);
}

/* Each tries again and again; in the end the line is shared, and nothing moves any more. */
static void test_two_do_not_drive_each_other_out_in_turns(void **state)
{
        struct world world;
        size_t dropped = 0;

        (void)state;
        open_world(&world, 0, 10, SIZE_MAX);
        for (size_t i = 0; i < 10; i++)
                wait_for(&world, "a", "f");
        for (size_t i = 0; i < 100; i++) {
                try(&world, "b", "g");
                try(&world, "a", "f");
                turn(&world);
        }
        for (size_t i = 0; i < world.n_calls; i++)
                dropped += world.calls[i].dropped;
        assert_in_range(dropped, 4, 5);
        assert_int_equal(queue_waiting(world.queue), 10);
        close_world(&world);
}

static void test_free_places_add_to_the_line(void **state)
{
        struct world world;

        (void)state;
        open_world(&world, 3, 2, 10);
        for (size_t i = 0; i < 3; i++) /* these wait for the next turn only, whatever they weigh */
                assert_non_null(try_bytes(&world, "a", "f", 100));
        turn(&world);
        assert_int_equal(queue_running(world.queue), 3);
        wait_for(&world, "a", "f");
        wait_for(&world, "a", "f");
        assert_null(try(&world, "a", "f"));
        close_world(&world);

        open_world(&world, 1, 0, 10);
        wait_for(&world, "a", "f");
        assert_null(try(&world, "b", "g"));
        turn(&world);
        assert_null(try(&world, "b", "g"));
        close_world(&world);
}

static void test_bytes_are_bounded(void **state)
{
        struct world world;
        struct call *small;

        (void)state;
        open_world(&world, 0, 100, 1000);
        assert_non_null(try_bytes(&world, "a", "f", 400));
        assert_non_null(try_bytes(&world, "a", "f", 400));
        assert_null(try_bytes(&world, "a", "f", 400));
        small = try_bytes(&world, "a", "f", 200);
        assert_non_null(small);
        assert_null(try_bytes(&world, "a", "f", 1));
        queue_leave(world.queue, &small->entry);
        assert_null(try_bytes(&world, "a", "f", 201));
        assert_non_null(try_bytes(&world, "a", "f", 200));
        close_world(&world);
}

static void test_many_small_ones_yield_to_a_large_one(void **state)
{
        struct world world;

        (void)state;
        open_world(&world, 0, 1000, 1000);
        assert_non_null(try_bytes(&world, "other", "g", 400));
        for (size_t i = 1; i <= 60; i++)
                assert_non_null(try_bytes(&world, "flood", "f", 10));
        assert_null(try_bytes(&world, "other", "g", 300)); /* it would have more than the flood has */
        assert_int_equal(queue_waiting(world.queue), 61);
        assert_non_null(try_bytes(&world, "other", "g", 95));
        assert_int_equal(queue_waiting(world.queue), 61 - 10 + 1);
        turn(&world);
        for (size_t i = 0; i <= 60; i++)
                assert_int_equal(world.calls[i].dropped, i > 50);
        close_world(&world);
}

/* What was taken out in vain stands where it stood. */
static void test_a_refusal_changes_nothing(void **state)
{
        struct world world;
        struct call *calls[20];

        (void)state;
        open_world(&world, 1, 1000, 200);
        wait_for(&world, "busy", "busy");
        turn(&world);
        for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
                calls[i] = try_bytes(&world, i < 10 ? "a" : "b", i < 10 ? "f" : "g", 10);
        assert_null(try_bytes(&world, "other", "h", 190));
        end_last(&world, ARRAY_SIZE(calls));
        for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
                assert_int_equal(calls[i]->place, i < 10 ? 2 + 2 * i : 3 + 2 * (i - 10));
        close_world(&world);
}

static void test_a_large_one_is_admitted_alone_and_kept(void **state)
{
        struct world world;
        struct call *large;

        (void)state;
        open_world(&world, 1, 100, 1000);
        wait_for(&world, "busy", "busy");
        turn(&world);
        large = try_bytes(&world, "a", "f", 5000);
        assert_non_null(large);
        assert_null(try_bytes(&world, "b", "g", 1));
        assert_null(try_bytes(&world, "b", "f", 5000));
        end_last(&world, 1);
        assert_int_equal(large->place, 2);
        assert_non_null(try_bytes(&world, "b", "g", 1));
        assert_null(try_bytes(&world, "b", "g", 5000));
        close_world(&world);
}

/* --- leaving, and callbacks that do things --- */

static void test_leaving_while_waiting(void **state)
{
        struct world world;
        struct call *calls[5];

        (void)state;
        open_world(&world, 1, 5, 5);
        for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
                calls[i] = wait_for(&world, "a", i == 3 ? "g" : "f");
        leave_at_once(calls[0]); /* before the turn comes */
        turn(&world);
        assert_int_equal(calls[1]->place, 1);
        leave_at_once(calls[3]); /* its flow is gone with it */
        leave_at_once(calls[3]); /* twice does no harm */
        assert_int_equal(queue_waiting(world.queue), 2);
        end(calls[1]);
        leave_at_once(calls[2]);
        turn(&world);
        assert_int_equal(calls[4]->place, 2);
        end(calls[4]);
        turn(&world);
        assert_int_equal(queue_waiting(world.queue), 0);
        assert_int_equal(queue_running(world.queue), 0);
        assert_int_equal(world.granted, 2);
        close_world(&world);
}

static void test_leaving_before_the_drop_is_told(void **state)
{
        struct world world;
        struct call *victim = NULL;

        (void)state;
        open_world(&world, 0, 5, SIZE_MAX);
        for (size_t i = 0; i < 5; i++)
                victim = wait_for(&world, "flood", "f");
        wait_for(&world, "other", "g");
        leave_at_once(victim);
        turn(&world);
        assert_false(victim->dropped);
        assert_int_equal(queue_waiting(world.queue), 5);
        close_world(&world);
}

static void leave_with_all_others(struct call *call)
{
        for (size_t i = 0; i < call->world->n_calls; i++)
                queue_leave(call->world->queue, &call->world->calls[i].entry);
}

static void test_a_callback_may_let_everybody_leave(void **state)
{
        struct world world;
        struct call *first;

        (void)state;
        open_world(&world, 4, 20, SIZE_MAX);
        first = wait_for(&world, "a", "f");
        first->then = leave_with_all_others;
        for (size_t i = 0; i < 20; i++)
                wait_for(&world, "b", i % 2 ? "f" : "g");
        turn(&world);
        assert_int_equal(world.granted, 1);
        assert_int_equal(queue_waiting(world.queue) + queue_running(world.queue), 0);
        close_world(&world);
}

static void enter_a_friend(struct call *call)
{
        struct world *world = call->world;

        leave_at_once(call);
        if (world->n_calls < 5000) {
                struct call *friend = wait_for(world, "b", "g");

                friend->then = enter_a_friend;
        }
}

static void test_a_callback_may_let_others_enter(void **state)
{
        struct world world;

        (void)state;
        open_world(&world, 2, 20, SIZE_MAX);
        wait_for(&world, "a", "f")->then = enter_a_friend;
        while (queue_waiting(world.queue) > 0)
                turn(&world);
        assert_int_equal(world.granted, 5000);
        assert_int_equal(queue_running(world.queue), 0);
        close_world(&world);
}

/* Rings while it runs, and would run for ever. */
static void come_back(struct call *call)
{
        assert_int_equal(write(call->world->bell[1], "", 1), 1);
        leave_at_once(call);
        assert_int_equal(enter(call, "a", "f", 1), 0);
}

static void hear_bell(evutil_socket_t fd, short what, void *context)
{
        (void)fd, (void)what;
        event_base_loopbreak(context);
}

static void test_a_call_that_comes_back_at_once_does_not_hold_the_loop(void **state)
{
        struct world world;
        struct call *other;
        struct event *heard;

        (void)state;
        open_world(&world, 1, 20, SIZE_MAX);
        assert_int_equal(pipe(world.bell), 0);
        heard = event_new(world.base, world.bell[0], EV_READ, hear_bell, world.base);
        event_add(heard, NULL);
        wait_for(&world, "a", "f")->then = come_back;
        other = wait_for(&world, "b", "f");
        other->then = leave_at_once;
        event_base_dispatch(world.base); /* returns, because the loop looks at its descriptors */
        assert_int_equal(other->place, 2);
        assert_true(world.granted > 2);
        event_free(heard);
        close(world.bell[0]);
        close(world.bell[1]);
        close_world(&world);
}

static void try_again(struct call *call)
{
        leave_at_once(call);
        if (call->dropped)
                assert_int_equal(enter(call, "flood", "f", 1), QUEUE_FULL);
}

static void test_a_dropped_call_may_try_again(void **state)
{
        struct world world;
        struct call *victim = NULL;

        (void)state;
        open_world(&world, 0, 5, SIZE_MAX);
        for (size_t i = 0; i < 5; i++)
                victim = wait_for(&world, "flood", "f");
        victim->then = try_again;
        wait_for(&world, "other", "g");
        turn(&world);
        assert_true(victim->dropped);
        assert_int_equal(queue_waiting(world.queue), 5);
        close_world(&world);
}

static void test_a_queue_with_calls_in_it_can_be_freed(void **state)
{
        struct world world;

        (void)state;
        open_world(&world, 2, 10, SIZE_MAX);
        for (size_t i = 0; i < 12; i++)
                wait_for(&world, i % 2 ? "a" : "b", "f");
        turn(&world);
        for (size_t i = 0; i < 3; i++)
                wait_for(&world, "c", "g");
        free(steal(&world.calls)); /* the calls go first, as in calls_free() */
        close_world(&world);
        assert_null(queue_free(NULL));
}

/* --- how it all holds together --- */

static unsigned dice(unsigned sides)
{
        static uint64_t seed = 1;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        return (unsigned)(seed >> 33) % sides;
}

static void throw_dice(struct call *call)
{
        struct world *world = call->world;
        struct call *any = &world->calls[dice((unsigned)world->n_calls)];
        char client[16], function[16];

        if (call->dropped || dice(2))
                leave_at_once(call);
        if (dice(3) == 0)
                leave_at_once(any);
        if (any->entry.state == QUEUE_OUT) {
                *any = (struct call){ .world = world, .then = throw_dice };
                enter(any, numbered(&client, "c", dice(5)), numbered(&function, "f", dice(4)), dice(40));
        }
}

static void check_counts(const struct world *world)
{
        size_t waiting = 0, running = 0, bytes = 0;

        for (size_t i = 0; i < world->n_calls; i++) {
                const struct queue_entry *entry = &world->calls[i].entry;

                waiting += entry->state == QUEUE_WAITING;
                running += entry->state == QUEUE_RUNNING;
                bytes += entry->state == QUEUE_WAITING ? entry->bytes : 0;
        }
        assert_int_equal(queue_waiting(world->queue), waiting);
        assert_int_equal(queue_running(world->queue), running);
        assert_true(running <= 3 && waiting <= 20 + 3 && bytes <= 300 + 3 * 40);
}

static void test_counts_hold_whatever_happens(void **state)
{
        struct world world;
        size_t dropped = 0;

        (void)state;
        open_world(&world, 3, 20, 300);
        for (size_t i = 0; i < 60; i++)
                prepare(&world);
        for (size_t step = 0; step < 50000; step++) {
                struct call *call = &world.calls[dice(60)];

                throw_dice(call);
                if (dice(4) == 0)
                        turn(&world);
                dropped += call->dropped;
                check_counts(&world);
        }
        assert_true(world.granted > 1000);
        assert_true(dropped > 100);
        for (size_t i = 0; i < world.n_calls; i++)
                leave_at_once(&world.calls[i]);
        assert_int_equal(queue_waiting(world.queue) + queue_running(world.queue), 0);
        close_world(&world);
}

/* Takes minutes if anything looks at every flow for every call. */
static void test_a_hundred_thousand_flows_pass_through(void **state)
{
        struct world world;
        char client[16], function[16];

        (void)state;
        open_world(&world, 8, CALLS_MAX, SIZE_MAX);
        for (size_t i = 0; i < CALLS_MAX; i++) {
                struct call *call =
                        wait_for(&world, numbered(&client, "client", i), numbered(&function, "function", i));

                call->then = leave_at_once;
        }
        while (queue_waiting(world.queue) > 0)
                turn(&world);
        assert_int_equal(world.granted, CALLS_MAX);
        close_world(&world);
}

static void test_a_hundred_thousand_calls_of_a_few_pass_through(void **state)
{
        struct world world;
        char client[16];

        (void)state;
        open_world(&world, 8, CALLS_MAX, SIZE_MAX);
        for (size_t i = 0; i < CALLS_MAX; i++)
                wait_for(&world, numbered(&client, "client", i % 100), i % 7 ? "f" : "g")->then =
                        leave_at_once;
        while (queue_waiting(world.queue) > 0)
                turn(&world);
        assert_int_equal(world.granted, CALLS_MAX);
        close_world(&world);
}

static void test_retry_after_has_bounds(void **state)
{
        struct world world;

        (void)state;
        open_world(&world, 1, CALLS_MAX, SIZE_MAX);
        assert_int_equal(queue_retry_after_s(world.queue), 1); /* nothing is known, nobody waits */
        for (size_t i = 0; i < CALLS_MAX - 10; i++)
                wait_for(&world, "a", "f");
        turn(&world);
        assert_int_equal(queue_retry_after_s(world.queue), 1); /* nothing is known yet */
        usleep(2000);
        end_last(&world, 1);
        assert_int_equal(queue_retry_after_s(world.queue), 60); /* 2 ms and more for each of them */
        for (size_t i = 0; i < world.n_calls; i++)
                leave_at_once(&world.calls[i]);
        assert_int_equal(queue_retry_after_s(world.queue), 1);
        close_world(&world);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_places_are_given_from_the_loop),
                cmocka_unit_test(test_within_a_flow_first_come_is_first_served),
                cmocka_unit_test(test_client_that_floods_does_not_delay_another),
                cmocka_unit_test(test_client_with_a_thousand_functions_does_not_starve_another),
                cmocka_unit_test(test_function_called_by_a_thousand_clients_does_not_starve_another),
                cmocka_unit_test(test_new_clients_that_keep_coming_do_not_starve_an_old_one),
                cmocka_unit_test(test_long_calls_leave_places_to_others),
                cmocka_unit_test(test_long_calls_of_many_functions_leave_places_to_other_clients),
                cmocka_unit_test(test_long_calls_by_many_clients_leave_places_to_other_functions),
                cmocka_unit_test(test_flow_between_two_busy_parties_gets_its_turns),
                cmocka_unit_test(test_full_line_drops_the_hog_s_newest),
                cmocka_unit_test(test_client_that_floods_by_many_functions_leaves_others_a_third),
                cmocka_unit_test(test_a_popular_function_yields_to_another),
                cmocka_unit_test(test_equals_are_refused_when_full),
                cmocka_unit_test(test_two_do_not_drive_each_other_out_in_turns),
                cmocka_unit_test(test_free_places_add_to_the_line),
                cmocka_unit_test(test_bytes_are_bounded),
                cmocka_unit_test(test_many_small_ones_yield_to_a_large_one),
                cmocka_unit_test(test_a_refusal_changes_nothing),
                cmocka_unit_test(test_a_large_one_is_admitted_alone_and_kept),
                cmocka_unit_test(test_leaving_while_waiting),
                cmocka_unit_test(test_leaving_before_the_drop_is_told),
                cmocka_unit_test(test_a_callback_may_let_everybody_leave),
                cmocka_unit_test(test_a_callback_may_let_others_enter),
                cmocka_unit_test(test_a_call_that_comes_back_at_once_does_not_hold_the_loop),
                cmocka_unit_test(test_a_dropped_call_may_try_again),
                cmocka_unit_test(test_a_queue_with_calls_in_it_can_be_freed),
                cmocka_unit_test(test_counts_hold_whatever_happens),
                cmocka_unit_test(test_a_hundred_thousand_flows_pass_through),
                cmocka_unit_test(test_a_hundred_thousand_calls_of_a_few_pass_through),
                cmocka_unit_test(test_retry_after_has_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
