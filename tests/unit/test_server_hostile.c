/* Cells that lie. Each costs its own caller a 502 and nobody else anything. */

#include <dirent.h>
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

static bool one_waits(struct stage *stage)
{
        return stage->play->waiting > 0;
}

/* A call that has come to its `wait`; play->go lets it go on. */
static int begin_waiting(struct stage *stage, const char *script)
{
        int fd;

        stage->play->go = stage->play->waiting = 0;
        fd = stage_begin(stage, script);
        assert_true(comes_true(one_waits, stage));
        return fd;
}

/* code: of the problem; NULL: status 200 with this text. Neither a call that is in flight beside it nor the
 * next one feels anything. */
static void expect_alone(
        struct stage *stage, const char *script, int status, const char *code, const char *text)
{
        int neighbour = begin_waiting(stage, "wait\nresult 2");
        struct reply reply = stage_run(stage, script);

        if (code)
                expect_problem(reply, status, code, text);
        else
                expect(reply, status, text);
        stage->play->go = 1;
        expect(stage_receive(neighbour), 200, "{\"data\":2,\"type\":\"number\"}");
        close(neighbour);
        expect_well(stage);
}

static void test_a_strange_cell_costs_its_own_call_alone(void **state)
{
        static const char one[] = "{\"data\":1,\"type\":\"number\"}";
        static const char null[] = "{\"data\":null,\"type\":\"json\"}";
        static const struct {
                const char *script;
                int status;
                const char *code, *text;
        } cases[] = {
                /* forged and oversized */
                { "header 65 4294967295\nsleep 9000", 500, "output_limit", NULL },
                { "header 67 4294967295\nsleep 9000", 502, "cell_lost", NULL },
                { "header 69 4294967295\nsleep 9000", 502, "cell_lost", NULL },
                { "header 4294967295 4294967295\nsleep 9000", 502, "cell_lost", NULL },
                { "long 65537\nsleep 9000", 500, "output_limit", NULL },
                { "header 67 1048577\nsleep 9000", 502, "cell_lost", NULL },
                /* half */
                { "bytes abc", 502, "cell_lost", NULL },
                { "header 65 100\nbytes 12", 502, "cell_lost", NULL },
                { "header 65 100\nbytes 12\nexit 2", 500, "script_error", "status 2" },
                /* repeated, and after the result */
                { "header 64 0\nsleep 9000", 502, "cell_lost", NULL },
                { "header 64 0\nresult 1\nsleep 9000", 502, "cell_lost", NULL },
                { "result 1\nresult 3", 200, NULL, one },
                { "result 1\nheader 64 0\nsleep 9000", 200, NULL, one },
                { "result 1\nheader 4294967295 4294967295\nsleep 9000", 200, NULL, one },
                /* floods: of no frame, of an error, of a result, behind a result */
                { "spew 67108864", 502, "cell_lost", NULL },
                { "header 67 1048576\nspew 67108864", 502, "cell_lost", NULL },
                { "header 65 65536\nspew 67108864", 502, "cell_lost", NULL },
                { "result 1\nspew 67108864", 200, NULL, one },
                /* none */
                { "exit 0", 200, NULL, null },
                { "exit 3", 500, "script_error", "status 3" },
                { "signal 9", 500, "script_error", "signal 9" },
                { "close", 200, NULL, null },
                { "close\nexit 3", 500, "script_error", "status 3" },
                { "header 65 9\nclose\nexit 3", 500, "script_error", "status 3" },
        };
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                expect_alone(&stage, cases[i].script, cases[i].status, cases[i].code, cases[i].text);
        stage_close(&stage);
}

static void test_a_silent_cell_ends_at_its_deadline(void **state)
{
        static const char *const scripts[] = {
                "wait",
                "bytes abc\nwait",
                "header 65 100\nwait",
                "header 65 100\nbytes 12\nwait",
                "close\nwait",
                "header 65 100\nclose\nwait",
                "header 65 2\ndescriptors 1\nwait",
        };
        struct stage stage;

        (void)state;
        stage_open(&stage, "TIMEOUT_SCRIPT=0.5");
        for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
                int fd = begin_waiting(&stage, scripts[i]);

                expect_well(&stage);
                expect_problem(stage_receive(fd), 504, "timeout", NULL);
                close(fd);
        }
        expect_well(&stage);
        stage_close(&stage);
}

/* The call is handed over when the cell starts: what it says before READY is out of turn all the same. */
static void test_frames_before_the_call(void **state)
{
        static const char *const early[] = {
                "result 1",
                "error {}",
                "nothing",
                "header 64 0",                    /* READY, and once more */
                "header 64 1\nbytes x",           /* READY with a body */
                "header 70 8\nbytes 12345678",    /* it could not be walled, it says */
                "header 70 4294967295\nspew 999", /* and at length */
                "bytes abc",
                "spew 16777216",
                "descriptors abcdefgh",
                "close",
                "exit 0",
        };
        struct stage stage;

        (void)state;
        stage_open(&stage, "SPARE_CELLS=0");
        for (size_t i = 0; i < ARRAY_SIZE(early); i++) {
                int neighbour = begin_waiting(&stage, "wait\nresult 2");

                strcpy(stage.play->early, early[i]);
                expect_problem(stage_run(&stage, "result 1"), 502, "cell_lost", NULL);
                stage.play->early[0] = 0;
                stage.play->go = 1;
                expect(stage_receive(neighbour), 200, "{\"data\":2,\"type\":\"number\"}");
                close(neighbour);
                expect_well(&stage);
        }
        stage_close(&stage);
}

static bool spares_are_killed(struct stage *stage)
{
        return stage->play->killed >= 2;
}

static bool runs_well(struct stage *stage)
{
        struct reply reply = stage_run(stage, "result 1");
        bool well = reply.status == 200;

        reply_free(&reply);
        return well;
}

/* A spare has no call: an answer is a lie, and one that would be taken for the next call's at that. */
static void test_a_spare_may_not_answer(void **state)
{
        static const char *const early[] = {
                "header 64 0\nresult 666",
                "header 64 0\nheader 65 4294967295",
                "header 64 0\nerror {}",
                "spew 16777216",
        };
        struct stage stage;

        (void)state;
        stage_open(&stage, "SPARE_CELLS=1");
        for (size_t i = 0; i < ARRAY_SIZE(early); i++) {
                strcpy(stage.play->early, early[i]);
                stage.play->killed = 0;
                stage.play->kill_idle = 1;
                assert_true(comes_true(spares_are_killed, &stage));
                stage.play->early[0] = 0;
                /* One that was forked before may still cost a call. */
                assert_true(comes_true(runs_well, &stage));
                expect_well(&stage);
        }
        stage_close(&stage);
}

static int server_descriptors(const struct stage *stage)
{
        char path[64];
        DIR *folder;
        int n = 0;

        snprintf(path, sizeof path, "/proc/%d/fd", (int)stage->server);
        folder = opendir(path);
        assert_non_null(folder);
        while (readdir(folder))
                n++;
        closedir(folder);
        return n;
}

/* 100 come with each byte; what the server has of its own varies by a few, with cells and connections. */
static void test_descriptors_that_a_cell_sends_are_dropped(void **state)
{
        enum { ITS_OWN = 50 };
        struct stage stage;
        int fd, before;

        (void)state;
        stage_open(&stage, NULL);
        expect_well(&stage);
        before = server_descriptors(&stage);

        fd = begin_waiting(&stage, "header 65 6\ndescriptors 12345\nwait\nbytes 6");
        expect_well(&stage);
        assert_in_range(server_descriptors(&stage), 1, before + ITS_OWN);
        stage.play->go = 1;
        expect(stage_receive(fd), 200, "{\"data\":123456,\"type\":\"number\"}");
        close(fd);

        expect_alone(&stage, "descriptors garbage that is no frame", 502, "cell_lost", NULL);
        expect_alone(&stage, "result 1\ndescriptors abcde", 200, NULL, "{\"data\":1,\"type\":\"number\"}");
        assert_in_range(server_descriptors(&stage), 1, before + ITS_OWN);
        stage_close(&stage);
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
                cmocka_unit_test(test_a_strange_cell_costs_its_own_call_alone),
                cmocka_unit_test(test_a_silent_cell_ends_at_its_deadline),
                cmocka_unit_test(test_frames_before_the_call),
                cmocka_unit_test(test_a_spare_may_not_answer),
                cmocka_unit_test(test_descriptors_that_a_cell_sends_are_dropped),
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
