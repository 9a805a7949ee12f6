/* The life of calls, cells and the server itself: deadlines, the queue, spares, a failing store, draining. */

#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/macros.h"
#include "server_stage.h"

static void test_the_deadline_is_kept(void **state)
{
        struct stage stage;
        uint64_t begin_us, took_ms;

        (void)state;
        stage_open(&stage, "TIMEOUT_SCRIPT=0.3");
        assert_true(comes_true(stage_is_ready, &stage));
        begin_us = clock_us();
        expect_problem(stage_run(&stage, "out so far\nsleep 9000\nresult 1"), 504, "timeout",
                "\"stdout\":\"so far\\n\"");
        took_ms = (clock_us() - begin_us) / 1000;
        /* libevent's clock moves in steps of 4 ms. */
        assert_in_range(took_ms, 295, 1500);
        expect_problem(stage_run(&stage, "close\nsleep 9000"), 504, "timeout", NULL);
        expect_problem(stage_post(&stage, "/upload",
                               "{\"path\":\"a\",\"language\":\"python\",\"code\":\"check sleep 9000\"}"),
                504, "timeout", NULL);
        expect_problem(stage_run_stored(&stage, "a", "{}"), 404, "not_found", NULL);
        stage_close(&stage);
}

/* The answer is out; the cell that will not leave is ended, and its place comes back. */
static void test_a_cell_that_lingers_is_ended(void **state)
{
        struct stage stage;
        uint64_t begin_us = clock_us();

        (void)state;
        stage_open(&stage, "MAX_CONTAINERS=1 SPARE_CELLS=0");
        for (int i = 0; i < 5; i++)
                expect(stage_run(&stage, "result 1\nsleep 9000"), 200, "{\"data\":1,\"type\":\"number\"}");
        assert_true(clock_us() - begin_us < 3000000);
        assert_true(stage.play->killed >= 4);
        stage_close(&stage);
}

static bool three_started(struct stage *stage)
{
        return stage->play->started[RUNTIME_NODE] >= 3;
}

static void test_full_queue_says_retry(void **state)
{
        static const char body[] = "{\"language\":\"javascript\",\"code\":\"sleep 500\\nresult 1\"}";
        struct stage stage;
        struct reply reply;
        int fds[3];

        (void)state;
        stage_open(&stage, "MAX_CONTAINERS=2 QUEUE_MAX=1 SPARE_CELLS=1");
        for (int i = 0; i < 2; i++) {
                fds[i] = stage_connect(&stage);
                stage_send(fds[i], "POST", "/run-now", NULL, body);
        }
        assert_true(comes_true(three_started, &stage));
        fds[2] = stage_connect(&stage);
        stage_send(fds[2], "POST", "/run-now", NULL, body);
        usleep(50000);
        reply = stage_run(&stage, "result 1");
        assert_non_null(strstr(reply.head, "Retry-After: 1\r\n"));
        expect_problem(reply, 429, "queue_full", NULL);
        for (int i = 0; i < 3; i++) {
                expect(stage_receive(fds[i]), 200, "{\"data\":1,\"type\":\"number\"}");
                close(fds[i]);
        }
        stage_close(&stage);
}

static void test_long_wait_says_retry(void **state)
{
        struct stage stage;
        struct reply reply;
        int fd;

        (void)state;
        stage_open(&stage, "MAX_CONTAINERS=1 QUEUE_TIMEOUT=0.1");
        fd = stage_connect(&stage);
        stage_send(fd, "POST", "/run-now", NULL,
                "{\"language\":\"javascript\",\"code\":\"sleep 500\\nresult 1\"}");
        usleep(100000);
        reply = stage_run(&stage, "result 1");
        assert_non_null(strstr(reply.head, "Retry-After: "));
        assert_non_null(strstr(reply.head, "queue;dur=1"));
        expect_problem(reply, 429, "queue_full", "QUEUE_TIMEOUT");
        expect(stage_receive(fd), 200, "{\"data\":1,\"type\":\"number\"}");
        close(fd);
        stage_close(&stage);
}

static bool one_killed(struct stage *stage)
{
        return stage->play->killed >= 1;
}

static void test_a_client_that_leaves_takes_its_call_along(void **state)
{
        struct linger reset = { .l_onoff = 1 };
        struct stage stage;
        int fd;

        (void)state;
        stage_open(&stage, "MAX_CONTAINERS=1");
        for (int i = 0; i < 2; i++) {
                stage.play->killed = 0;
                fd = stage_connect(&stage);
                stage_send(fd, "POST", "/run-now", NULL,
                        i ? "{\"language\":\"typescript\",\"code\":\"sleep 9000\"}"
                          : "{\"language\":\"javascript\",\"code\":\"sleep 9000\"}");
                usleep(100000);
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
                close(fd);
                assert_true(comes_true(one_killed, &stage));
        }
        expect(stage_run(&stage, "result 1"), 200, "{\"data\":1,\"type\":\"number\"}");
        stage_close(&stage);
}

static bool spares_wait(struct stage *stage)
{
        return stage->play->alive >= 2; /* one for each language; more, as calls come */
}

static void test_spares_wait_and_are_replaced(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, "SPARE_CELLS=2 MAX_CONTAINERS=1");
        assert_true(comes_true(spares_wait, &stage));
        assert_int_equal(stage.play->started[RUNTIME_TYPESCRIPT], 0);
        for (int i = 0; i < 50; i++)
                expect(stage_run(&stage, "result 1"), 200, "{\"data\":1,\"type\":\"number\"}");
        assert_true(comes_true(spares_wait, &stage));
        assert_true(stage.play->most_alive <= 1 + 2 * 2);
        stage_close(&stage);
}

static bool spares_are_back(struct stage *stage)
{
        return stage->play->alive >= 3; /* a call, and one for each language */
}

/* The last one in line gave up while the only place was taken: the spare that was used comes back all the
 * same. */
static void test_a_line_that_was_left_holds_no_spare_back(void **state)
{
        struct stage stage;
        int first, second;

        (void)state;
        stage_open(&stage, "MAX_CONTAINERS=1 SPARE_CELLS=1 QUEUE_TIMEOUT=0.5");
        assert_true(comes_true(spares_wait, &stage));
        first = stage_begin(&stage, "sleep 200\nresult 1");
        usleep(20000);
        second = stage_begin(&stage, "sleep 3000\nresult 1");
        usleep(20000);
        expect_problem(stage_run(&stage, "result 1"), 429, "queue_full", NULL);
        expect(stage_receive(first), 200, "{\"data\":1,\"type\":\"number\"}");
        assert_true(comes_true(spares_are_back, &stage));
        close(first);
        close(second);
        stage_close(&stage);
}

static bool cells_killed(struct stage *stage)
{
        return stage->play->kill_idle == 0;
}

static void test_a_spare_that_died_costs_no_call(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, "SPARE_CELLS=2");
        for (int i = 0; i < 3; i++) {
                assert_true(comes_true(spares_wait, &stage));
                stage.play->kill_idle = 1;
                assert_true(comes_true(cells_killed, &stage));
                expect(stage_run(&stage, "result 1"), 200, "{\"data\":1,\"type\":\"number\"}");
        }
        stage.play->down = 1;
        expect(stage_run(&stage, "result 1"), 200, "{\"data\":1,\"type\":\"number\"}");
        stage_close(&stage);
}

static void test_cells_that_never_live(void **state)
{
        struct stage stage;
        int started;

        (void)state;
        stage_open(&stage, "SPARE_CELLS=0");
        stage.play->refuse = 1;
        expect_problem(stage_run(&stage, "result 1"), 502, "cell_lost", NULL);
        stage.play->refuse = 0;
        stage.play->die_early = 1;
        expect_problem(stage_run(&stage, "result 1"), 502, "cell_lost", NULL);
        stage.play->die_early = 0;
        stage.play->report_wall = 1;
        expect_problem(stage_run(&stage, "result 1"), 502, "cell_lost", NULL);
        stage.play->report_wall = 0;
        expect(stage_run(&stage, "result 1"), 200, "{\"data\":1,\"type\":\"number\"}");
        stage_close(&stage);

        /* Spares that cannot live are not asked for without end. */
        stage_open(&stage, "SPARE_CELLS=1");
        stage.play->die_early = 1;
        usleep(500000);
        started = stage.play->started[RUNTIME_NODE];
        assert_true(started <= 6);
        stage_close(&stage);
}

static sqlite3 *lock_store(const struct stage *stage)
{
        char file[128];
        sqlite3 *db;

        snprintf(file, sizeof file, "%s/mayfly.db", stage->directory);
        assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
        sqlite3_busy_timeout(db, 5000); /* the store is tried now and then */
        assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        return db;
}

static void test_known_functions_run_while_the_store_fails(void **state)
{
        struct stage stage;
        struct reply reply;
        sqlite3 *db;

        (void)state;
        stage_open(&stage, NULL);
        stage_upload(&stage, "known", "javascript", "result 1");
        db = lock_store(&stage);
        reply = stage_post(
                &stage, "/upload", "{\"path\":\"known\",\"language\":\"python\",\"code\":\"result 2\"}");
        assert_non_null(strstr(reply.head, "Retry-After: "));
        expect_problem(reply, 503, "store_unavailable", NULL);
        expect(stage_run_stored(&stage, "known", "{}"), 200, "{\"data\":1,\"type\":\"number\"}");
        assert_false(stage_is_ready(&stage));
        sqlite3_close(db);
        assert_true(comes_true(stage_is_ready, &stage));
        stage_upload(&stage, "known", "javascript", "result 3");
        expect(stage_run_stored(&stage, "known", "{}"), 200, "{\"data\":3,\"type\":\"number\"}");
        stage_close(&stage);
}

static void store_change(struct stage *stage, const char *statement)
{
        char file[96];
        sqlite3 *db;

        snprintf(file, sizeof file, "%s/mayfly.db", stage->directory);
        assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
        sqlite3_busy_timeout(db, 5000); /* the store is tried now and then */
        assert_int_equal(sqlite3_exec(db, statement, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        stage_restart(stage);
        assert_true(comes_true(stage_is_ready, stage));
}

static int started;

static bool two_started(struct stage *stage)
{
        return stage->play->started[RUNTIME_PYTHON] == started + 2;
}

static void test_compiled_code_is_made_anew_for_another_interpreter(void **state)
{
        static const char made[] = "{\"data\":12,\"type\":\"number\"}",
                          none[] = "{\"data\":null,\"type\":\"json\"}";
        struct stage stage;

        (void)state;
        stage_open(&stage, "SPARE_CELLS=0");
        assert_true(comes_true(stage_is_ready, &stage));
        stage_upload(&stage, "a", "python", "check make 12\\nmade");
        expect(stage_run_stored(&stage, "a", "{}"), 200, made);
        stage_restart(&stage);
        assert_true(comes_true(stage_is_ready, &stage));
        expect(stage_run_stored(&stage, "a", "{}"), 200, made);

        store_change(
                &stage, "UPDATE function_version SET cache_for = 'CPython 3.old ' || substr(cache_for, -16)");
        for (int i = 0; i < 2; i++) {
                started = stage.play->started[RUNTIME_PYTHON];
                expect(stage_run_stored(&stage, "a", "{}"), 200, i == 0 ? none : made);
                if (i == 0)
                        assert_true(comes_true(two_started, &stage));
                usleep(300000);
                assert_int_equal(stage.play->started[RUNTIME_PYTHON], started + (i == 0 ? 2 : 1));
        }
        stage_restart(&stage); /* it was kept */
        assert_true(comes_true(stage_is_ready, &stage));
        expect(stage_run_stored(&stage, "a", "{}"), 200, made);
        stage_close(&stage);
}

static void test_a_check_without_an_answer_is_not_tried_again(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, "SPARE_CELLS=0");
        assert_true(comes_true(stage_is_ready, &stage));
        stage_upload(&stage, "a", "python", "result 1");
        store_change(&stage, "UPDATE function_version SET cache_for = NULL, code = CAST('check exit 3' || "
                             "char(10) || 'result 1' AS BLOB), hash = "
                             "'8597a4e4072bee2e21ed77787f35ea1054b0db36e38a7d1fea671897823e538f'");
        for (int i = 0; i < 3; i++) {
                started = stage.play->started[RUNTIME_PYTHON];
                expect(stage_run_stored(&stage, "a", "{}"), 200, "{\"data\":1,\"type\":\"number\"}");
                if (i == 0)
                        assert_true(comes_true(two_started, &stage));
                usleep(300000);
                assert_int_equal(stage.play->started[RUNTIME_PYTHON], started + (i == 0 ? 2 : 1));
        }
        stage_close(&stage);
}

static void test_draining_finishes_what_runs(void **state)
{
        struct stage stage;
        int fd;

        (void)state;
        stage_open(&stage, NULL);
        assert_true(comes_true(stage_is_ready, &stage));
        fd = stage_connect(&stage);
        stage_send(fd, "POST", "/run-now", NULL,
                "{\"language\":\"javascript\",\"code\":\"sleep 300\\nresult 1\"}");
        usleep(100000);
        stage.play->drain = 1;
        usleep(50000);
        kill(stage.server, SIGTERM); /* a Ctrl-C reaches the whole terminal */
        expect(stage_receive(fd), 200, "{\"data\":1,\"type\":\"number\"}");
        close(fd);
        stage_close(&stage);
}

static void test_draining_has_an_end(void **state)
{
        struct stage stage;
        uint64_t begin_us;
        int fd;

        (void)state;
        stage_open(&stage, "DRAIN_TIMEOUT=0.3");
        fd = stage_connect(&stage);
        stage_send(fd, "POST", "/run-now", NULL,
                "{\"language\":\"javascript\",\"code\":\"sleep 9000\\nresult 1\"}");
        usleep(100000);
        begin_us = clock_us();
        stage_close(&stage);
        assert_true(clock_us() - begin_us < 2000000);
        close(fd);
}

static void test_without_a_keeper_the_server_exits(void **state)
{
        struct stage stage;
        int status;

        (void)state;
        stage_open(&stage, NULL);
        assert_true(comes_true(stage_is_ready, &stage));
        kill(stage.keeper, SIGKILL);
        waitpid(stage.server, &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
        stage_restart(&stage);
        stage_close(&stage);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_deadline_is_kept),
                cmocka_unit_test(test_a_cell_that_lingers_is_ended),
                cmocka_unit_test(test_full_queue_says_retry),
                cmocka_unit_test(test_long_wait_says_retry),
                cmocka_unit_test(test_a_client_that_leaves_takes_its_call_along),
                cmocka_unit_test(test_spares_wait_and_are_replaced),
                cmocka_unit_test(test_a_line_that_was_left_holds_no_spare_back),
                cmocka_unit_test(test_a_spare_that_died_costs_no_call),
                cmocka_unit_test(test_cells_that_never_live),
                cmocka_unit_test(test_known_functions_run_while_the_store_fails),
                cmocka_unit_test(test_compiled_code_is_made_anew_for_another_interpreter),
                cmocka_unit_test(test_a_check_without_an_answer_is_not_tried_again),
                cmocka_unit_test(test_draining_finishes_what_runs),
                cmocka_unit_test(test_draining_has_an_end),
                cmocka_unit_test(test_without_a_keeper_the_server_exits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
