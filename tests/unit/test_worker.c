/* A worker does jobs in order beside the loop, and hands all of them back. */

#include <event2/event.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/macros.h"
#include "store/worker.h"

struct bench {
        struct event_base *base;
        struct worker *worker;
        pthread_t loop;
        size_t n_worked, n_done;
        size_t n_more; /* jobs that a done() is to give */
};

struct job {
        struct worker_job job;
        struct bench *bench;
        size_t nth; /* that was worked on */
};

static void job_work(struct worker_job *worker_job, void *context)
{
        struct job *job = container_of(worker_job, struct job, job);
        struct bench *bench = context;

        assert_ptr_equal(bench, job->bench);
        job->nth = bench->n_worked++;
}

static void job_done(struct worker_job *worker_job)
{
        struct job *job = container_of(worker_job, struct job, job);
        struct bench *bench = job->bench;

        assert_true(pthread_equal(pthread_self(), bench->loop));
        bench->n_done++;
        if (bench->n_more > 0) {
                bench->n_more--;
                worker_give(bench->worker, worker_job);
        }
}

static void bench_give(struct bench *bench, struct job *jobs, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                jobs[i] = (struct job){ .job = { .work = job_work, .done = job_done }, .bench = bench };
                worker_give(bench->worker, &jobs[i].job);
        }
}

static int bench_setup(void **state)
{
        struct bench *bench = calloc(1, sizeof *bench);

        assert_non_null(bench);
        bench->loop = pthread_self();
        bench->base = event_base_new();
        assert_int_equal(worker_new(bench->base, bench, &bench->worker), 0);
        *state = bench;
        return 0;
}

static int bench_teardown(void **state)
{
        struct bench *bench = *state;

        worker_free(bench->worker);
        event_base_free(bench->base);
        free(bench);
        return 0;
}

static void test_jobs_are_done_in_the_order_they_were_given(void **state)
{
        struct bench *bench = *state;
        struct job jobs[100];

        assert_int_equal(worker_load(bench->worker), 0);
        bench_give(bench, jobs, ARRAY_SIZE(jobs));
        assert_int_equal(worker_load(bench->worker), ARRAY_SIZE(jobs)); /* the loop has not turned */
        assert_int_equal(bench->n_done, 0);
        while (bench->n_done < ARRAY_SIZE(jobs))
                event_base_loop(bench->base, EVLOOP_ONCE);
        for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
                assert_int_equal(jobs[i].nth, i);
        assert_int_equal(worker_load(bench->worker), 0);
}

static void test_its_end_waits_for_what_was_given_and_for_what_that_gives(void **state)
{
        struct bench *bench = *state;
        struct job jobs[10];

        bench_give(bench, jobs, ARRAY_SIZE(jobs));
        bench->n_more = 25;
        bench->worker = worker_free(bench->worker);
        assert_int_equal(bench->n_worked, ARRAY_SIZE(jobs) + 25);
        assert_int_equal(bench->n_done, ARRAY_SIZE(jobs) + 25);
        assert_null(worker_free(NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_jobs_are_done_in_the_order_they_were_given, bench_setup, bench_teardown),
                cmocka_unit_test_setup_teardown(test_its_end_waits_for_what_was_given_and_for_what_that_gives,
                        bench_setup, bench_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
