/* How many spares a template should have, from when calls came. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/demand.h"

enum { S = 1000000, REPLACE_US = 8000 };

/* Calls at even intervals; returns when the last one came. */
static uint64_t call_every(struct demand *demand, uint64_t from_us, uint64_t interval_us, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                demand_add_call(demand, from_us += interval_us);
        return from_us;
}

static void test_nobody_calls(void **state)
{
        struct demand demand = { 0 };

        (void)state;
        assert_int_equal(demand_spares(&demand, 5 * S), 0);
}

static void test_now_and_then_wants_one(void **state)
{
        struct demand demand = { 0 };
        uint64_t now_us;

        (void)state;
        demand_add_replacement(&demand, REPLACE_US);
        now_us = call_every(&demand, S, 100000, 50);
        assert_int_equal(demand_spares(&demand, now_us), 1);
}

/* A call each 2 ms and 8 ms for a replacement: four are under way at any time. */
static void test_calls_times_replacement(void **state)
{
        struct demand demand = { 0 };
        uint64_t now_us;

        (void)state;
        demand_add_replacement(&demand, REPLACE_US);
        now_us = call_every(&demand, S, 2000, 500);
        assert_in_range(demand_spares(&demand, now_us), 4, 5);
        demand = (struct demand){ 0 };
        for (int i = 0; i < 50; i++)
                demand_add_replacement(&demand, 2 * REPLACE_US);
        now_us = call_every(&demand, S, 2000, 500);
        assert_in_range(demand_spares(&demand, now_us), 8, 9);
}

static void test_a_burst_is_remembered_for_a_while(void **state)
{
        struct demand demand = { 0 };
        uint64_t now_us;

        (void)state;
        demand_add_replacement(&demand, REPLACE_US);
        now_us = call_every(&demand, S, 10, 6);
        assert_int_equal(demand_spares(&demand, now_us), 6);
        assert_in_range(demand_spares(&demand, now_us + 3 * S), 4, 5);
        assert_in_range(demand_spares(&demand, now_us + 10 * S), 2, 3);
        assert_int_equal(demand_spares(&demand, now_us + 90 * S), 0);
        /* A quiet caller afterwards keeps one, not six. */
        now_us = call_every(&demand, now_us, S, 60);
        assert_int_equal(demand_spares(&demand, now_us), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nobody_calls),
                cmocka_unit_test(test_now_and_then_wants_one),
                cmocka_unit_test(test_calls_times_replacement),
                cmocka_unit_test(test_a_burst_is_remembered_for_a_while),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
