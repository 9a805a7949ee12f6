/* Cells that lie. Each costs its own caller a 502 and nobody else anything. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "server_stage.h"

static void expect_well(const struct stage *stage)
{
        expect(stage_run(stage, "result 1"), 200, "{\"data\":1,\"type\":\"number\"}");
}

static void test_frames_that_break_the_protocol(void **state)
{
        static const char *const scripts[] = {
                "header 65 4294967295",             /* a result of 4 GiB: over the limit, see below */
                "header 67 4294967295\nsleep 9000", /* an error of 4 GiB */
                "header 64 0\nsleep 9000",          /* a second READY */
                "header 64 5\nsleep 9000", "header 66 1\nbytes x\nsleep 9000", /* NOTHING with a body */
                "header 65 0\nsleep 9000",                                     /* a result without one */
                "header 70 8\nbytes 12345678\nsleep 9000",                     /* FRAME_WALL after READY */
                "header 1 0\nsleep 9000",                                      /* the server's own word */
                "header 0 0\nsleep 9000", "header 4294967295 0\nsleep 9000",
                "bytes GET / HTTP/1.1\nsleep 9000", "result {\"a\":\nsleep 9000",
                "result nonsense\nsleep 9000", "result 1 2\nsleep 9000", "error []\nsleep 9000",
                "error {\nsleep 9000", "error {\"a\":1,}\nsleep 9000", "syntax 12\nsleep 9000",
                "compiled\nsleep 9000", /* from a cell that was to run */
        };
        struct stage stage;

        (void)state;
        stage_open(&stage, "MAX_CONTAINERS=2");
        expect_problem(stage_run(&stage, scripts[0]), 500, "output_limit", NULL);
        for (size_t i = 1; i < ARRAY_SIZE(scripts); i++)
                expect_problem(stage_run(&stage, scripts[i]), 502, "cell_lost", NULL);
        expect_well(&stage);
        stage_close(&stage);
}

static void test_a_half_frame_is_no_frame(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        /* It ends well in the middle of a frame: a guest does not do that. */
        expect_problem(stage_run(&stage, "out 7\nheader 65 100\nbytes 12"), 502, "cell_lost", "");
        expect_problem(stage_run(&stage, "bytes abc\nout 8"), 502, "cell_lost", "");
        /* It failed: then its exit is what counts. */
        expect_problem(stage_run(&stage, "header 65 100\nexit 2"), 500, "script_error", "status 2");
        stage_close(&stage);
}

static void test_only_the_first_answer_counts(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        expect(stage_run(&stage, "result 1\nresult 2\nerror {}"), 200, "{\"data\":1,\"type\":\"number\"}");
        expect_problem(stage_run(&stage, "error {\"name\":\"A\",\"message\":\"b\"}\nresult 2"), 500,
                "script_error", "A: b");
        stage_close(&stage);
}

static void test_checks_may_only_check(void **state)
{
        static const struct {
                const char *language, *script;
        } cases[] = {
                { "javascript", "result 1" },
                { "python", "compiled" },
                { "python", "exit 0" },
                { "typescript", "nothing" },
                { "typescript", "compiled" }, /* its lengths promise more than it has */
                { "typescript", "header 69 4\\nbytes 1234\\nsleep 9000" },
                { "typescript", "result 1" },
                { "typescript", "exit 0" },
        };
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                expect_problem(stage_post(&stage, "/upload",
                                       "{\"path\":\"a\",\"language\":\"%s\",\"code\":\"check %s\"}",
                                       cases[i].language, cases[i].script),
                        502, "cell_lost", NULL);
                expect_problem(stage_ask(&stage, "POST", "/run/a", NULL, "{}"), 404, "not_found", NULL);
        }
        expect_well(&stage);
        stage_close(&stage);
}

static void test_a_cell_that_never_reads(void **state)
{
        size_t length = 6 << 20;
        char *input = malloc(length + 1);
        struct stage stage;

        (void)state;
        memset(input, 'x', length);
        input[length] = 0;
        stage_open(&stage, "TIMEOUT_SCRIPT=0.3 SPARE_CELLS=0");
        expect(stage_post(&stage, "/run-now",
                       "{\"language\":\"python\",\"code\":\"result 1\",\"input\":\"%s\"}", input),
                200, "{\"data\":1,\"type\":\"number\"}");
        stage.play->deaf = 1;
        for (int i = 0; i < 3; i++)
                expect_problem(
                        stage_post(&stage, "/run-now",
                                "{\"language\":\"python\",\"code\":\"result 1\",\"input\":\"%s\"}", input),
                        504, "timeout", NULL);
        stage.play->deaf = 0;
        free(input);
        stage_close(&stage);
}

static void test_long_errors_are_cut(void **state)
{
        enum { LENGTH = 300000 };
        char *script = malloc(LENGTH + 200), *at = script;
        struct stage stage;
        struct reply reply;

        (void)state;
        stage_open(&stage, "CODE_MAX_SIZE=1m");
        at += sprintf(at, "error {\"name\":\"E\",\"message\":\"a");
        for (int i = 0; i < LENGTH / 2; i++) /* two bytes each, begun at an odd one: a cut would halve it */
                at += sprintf(at, "\xc3\xa9");
        sprintf(at, "\"}");
        reply = stage_run(&stage, script);
        assert_true(reply.length < 67000);
        expect_problem(reply, 500, "script_error", "\xc3\xa9\",\"stack\":null");
        free(script);
        stage_close(&stage);
}

static void test_noise(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, "SPARE_CELLS=1");
        stage.play->garbage = 1;
        for (int i = 0; i < 200; i++) {
                struct reply reply = stage_run(&stage, "result 1");

                assert_true(reply.status == 502 || reply.status == 500 || reply.status == 200 ||
                            reply.status == 422);
                reply_free(&reply);
        }
        stage.play->garbage = 0;
        stage.play->kill_idle = 1;
        usleep(50000);
        expect_well(&stage);
        stage_close(&stage);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_frames_that_break_the_protocol),
                cmocka_unit_test(test_a_half_frame_is_no_frame),
                cmocka_unit_test(test_only_the_first_answer_counts),
                cmocka_unit_test(test_checks_may_only_check),
                cmocka_unit_test(test_a_cell_that_never_reads),
                cmocka_unit_test(test_long_errors_are_cut),
                cmocka_unit_test(test_noise),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
