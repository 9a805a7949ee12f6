/* Records, and what their calls ask of the keeper: limits, usage, watchers that come late, leave early, or do
 * not read. */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/macros.h"
#include "server_stage.h"

static void expect_in(const char *text, const char *part)
{
        if (!strstr(text, part))
                fail_msg("expected %s\nin %s", part, text);
}

/* --- limits and usage --- */

static const char limits[] = "{\"timeout_ms\":5000,\"memory_bytes\":33554432,\"cpus\":0.25,\"processes\":7,"
                             "\"tmp_bytes\":100000,\"output_bytes\":2000}";

static void expect_limits_sent(struct stage *stage, int times)
{
        assert_int_equal(stage->play->limited, times);
        assert_int_equal(stage->play->limit.memory, 33554432);
        assert_int_equal(stage->play->limit.tmp, 100000);
        assert_int_equal(stage->play->limit.processes, 7);
        assert_int_equal(stage->play->limit.cpus_milli, 250);
}

static void test_the_keeper_is_told_the_limits_of_the_function(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        expect(stage_run(&stage, "result 1"), 200, "{\"data\":1,\"type\":\"number\"}");
        assert_int_equal(stage.play->limited, 0);
        expect(stage_post(&stage, "/run-now", "{\"language\":\"python\",\"code\":\"result 1\",\"limits\":%s}",
                       limits),
                200, "{\"data\":1,\"type\":\"number\"}");
        expect_limits_sent(&stage, 1);

        memset(&stage.play->limit, 0, sizeof stage.play->limit);
        expect_problem(stage_post(&stage, "/upload",
                               "{\"path\":\"a\",\"language\":\"python\",\"code\":\"check syntax {}\","
                               "\"limits\":%s}",
                               limits),
                422, "syntax_error", NULL);
        assert_int_equal(stage.play->limited, 1); /* a check has the limits of the settings */
        stage_close(&stage);
}

static void test_limits_that_do_not_hold_are_no_call(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, "MAX_CONTAINERS=1");
        stage.play->limit_error = -EBUSY;
        for (int detail = 0; detail < 2; detail++)
                expect_problem(stage_post(&stage, "/run-now",
                                       "{\"language\":\"python\",\"code\":\"wait\",\"detail\":%s,"
                                       "\"limits\":{\"processes\":5}}",
                                       detail ? "true" : "false"),
                        502, "cell_lost", NULL);
        assert_int_equal(stage.play->waiting, 0);
        stage.play->limit_error = 0;
        expect(stage_run(&stage, "result 1"), 200, "{\"data\":1,\"type\":\"number\"}");
        stage_close(&stage);
}

/* Its cell is not seen to end either: who wants to know the usage need not wait for that. */
static void test_a_call_that_never_began_waits_for_no_usage(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        stage.play->limit_error = -EBUSY;
        stage.play->kill_deaf = 1;
        expect_problem(
                stage_post(&stage, "/run-now", "{\"language\":\"python\",\"code\":\"wait\",\"detail\":true}"),
                502, "cell_lost", NULL);
        stage_close(&stage);
}

static void test_a_cell_that_dies_before_it_is_limited_is_lost(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, "MAX_CONTAINERS=1");
        assert_true(comes_true(stage_is_ready, &stage));
        stage.play->limit_kills = 1;
        expect_problem(
                stage_post(&stage, "/run-now", "{\"language\":\"python\",\"code\":\"wait\",\"detail\":true}"),
                502, "cell_lost", NULL);
        assert_int_equal(stage.play->waiting, 0);
        stage.play->limit_kills = 0;
        expect(stage_run(&stage, "result 1"), 200, "{\"data\":1,\"type\":\"number\"}");
        stage_close(&stage);
}

static bool one_limited(struct stage *stage)
{
        return stage->play->limited > 0;
}

static bool one_killed(struct stage *stage)
{
        return stage->play->killed > 0;
}

static void test_a_client_may_leave_before_the_limits_hold(void **state)
{
        struct stage stage;
        int fd;

        (void)state;
        stage_open(&stage, "MAX_CONTAINERS=1");
        stage.play->limit_deaf = 1;
        fd = stage_connect(&stage);
        stage_send(
                fd, "POST", "/run-now", NULL, "{\"language\":\"python\",\"code\":\"wait\",\"detail\":true}");
        assert_true(comes_true(one_limited, &stage));
        close(fd);
        assert_true(comes_true(one_killed, &stage));
        stage.play->limit_deaf = 0;
        expect(stage_run(&stage, "result 1"), 200, "{\"data\":1,\"type\":\"number\"}");
        assert_int_equal(stage.play->waiting, 0);
        stage_close(&stage);
}

static void test_usage_is_the_keeper_s(void **state)
{
        struct stage stage;
        struct reply reply;

        (void)state;
        stage_open(&stage, NULL);
        reply = stage_post(&stage, "/run-now",
                "{\"language\":\"python\",\"code\":\"out a\\nerr b\\nresult 1\",\"detail\":true}");
        assert_int_equal(reply.status, 200);
        expect_in(reply.body, "\"stdout\":\"a\\n\",\"stderr\":\"b\",\"truncated\":false,");
        expect_in(reply.body, "\"exit\":{\"code\":0,\"signal\":null,\"limit\":null}");
        expect_in(reply.body, "\"usage\":{\"cpu_ms\":1.000,");
        expect_in(reply.body, "\"peak_memory_bytes\":1048576,");
        assert_int_equal(stage.play->limited, 1); /* so that it counts from the call on */
        reply_free(&reply);
        stage_close(&stage);
}

/* --- who comes late, and who does not read --- */

/* A stream whose client takes next to nothing. The caller closes it. */
static int open_slow_stream(const struct stage *stage, const char *headers, const char *body)
{
        int fd = stage_connect(stage), small = 4096;

        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        stage_send(fd, "POST", "/run-now", headers, body);
        return fd;
}

static bool one_waits(struct stage *stage)
{
        return stage->play->waiting > 0;
}

static void test_a_slow_reader_does_not_hold_back_what_became_for_later(void **state)
{
        static const char key[] = "Idempotency-Key: k\r\n",
                          later[] = "Idempotency-Key: k\r\nPrefer: respond-async\r\n",
                          body[] = "{\"language\":\"python\",\"code\":\"lines 16000\\nwait\\nresult 1\","
                                   "\"stream\":true}";
        struct stage stage;
        struct reply reply;
        int fd;

        (void)state;
        stage_open(&stage, "OUTPUT_MAX_SIZE=32m TIMEOUT_SCRIPT=20");
        fd = open_slow_stream(&stage, key, body);
        usleep(500000);
        assert_int_equal(stage.play->waiting, 0); /* it is held back */
        reply = stage_ask(&stage, "POST", "/run-now", later, body);
        assert_int_equal(reply.status, 202);
        reply_free(&reply);
        assert_true(comes_true(one_waits, &stage));

        stage.play->go = 1;
        close(fd);
        stage_close(&stage);
}

static bool is_cut(int fd)
{
        struct pollfd socket = { .fd = fd };

        return poll(&socket, 1, 5000) == 1 && (socket.revents & (POLLERR | POLLHUP));
}

/* STREAM_PING may be long: it is no measure of a reader. */
static void test_who_reads_nothing_is_cut_off_when_the_call_has_ended(void **state)
{
        struct stage stage;
        int fd;

        (void)state;
        stage_open(&stage, "OUTPUT_MAX_SIZE=32m TIMEOUT_SCRIPT=1 HTTP_IDLE_TIMEOUT=0.3 STREAM_PING=3600");
        fd = open_slow_stream(&stage, NULL,
                "{\"language\":\"python\",\"code\":\"lines 16000\\nresult 1\",\"stream\":true}");
        assert_true(is_cut(fd));
        close(fd);
        stage_close(&stage);
}

/* Reads for so long, with pauses that are shorter than what the server allows. */
static size_t read_slowly(int fd, int ms)
{
        char block[65536];
        size_t length = 0;

        for (int i = 0; i < ms / 20; i++) {
                ssize_t n = read(fd, block, sizeof block);

                if (n <= 0)
                        break;
                length += (size_t)n;
                usleep(20000);
        }
        return length;
}

/* The rest of the answer, whose end it is. */
static bool ends_with_result(int fd)
{
        static const char end[] =
                "data: {\"event\":\"result\",\"data\":1,\"type\":\"number\"}\n\n\r\n0\r\n\r\n";
        char tail[2 * sizeof end] = "";
        size_t length = 0;
        ssize_t n;

        while ((n = read(fd, tail + length, sizeof end)) > 0) {
                length += (size_t)n;
                if (length >= sizeof end) {
                        memmove(tail, tail + length - (sizeof end - 1), sizeof end - 1);
                        length = sizeof end - 1;
                }
        }
        return length >= sizeof end - 1 && memcmp(tail + length - (sizeof end - 1), end, sizeof end - 1) == 0;
}

static void test_who_reads_slowly_hears_the_end(void **state)
{
        struct stage stage;
        int fd;

        (void)state;
        stage_open(&stage, "OUTPUT_MAX_SIZE=32m HTTP_IDLE_TIMEOUT=0.3 STREAM_PING=0.05");
        fd = stage_connect(&stage);
        stage_send(fd, "POST", "/run-now", NULL,
                "{\"language\":\"python\",\"code\":\"flood 30000000\\nresult 1\",\"stream\":true}");
        assert_true(read_slowly(fd, 1500) > 0); /* one message, which takes longer than HTTP_IDLE_TIMEOUT */
        assert_true(ends_with_result(fd));
        close(fd);
        stage_close(&stage);
}

static void test_a_stream_is_told_again_however_it_ended(void **state)
{
        static const char key[] = "Idempotency-Key: k\r\n",
                          body[] = "{\"language\":\"python\",\"code\":\"out a\\nexit 3\",\"stream\":true}";
        struct stage stage;
        struct reply first, second;

        (void)state;
        stage_open(&stage, NULL);
        first = stage_ask(&stage, "POST", "/run-now", key, body);
        second = stage_ask(&stage, "POST", "/run-now", key, body);
        assert_int_equal(first.status, 200);
        assert_int_equal(second.status, 200);
        expect_in(second.head, "Idempotency-Replayed: true");
        expect_in(first.body, "id: 1\ndata: {\"event\":\"log\",\"data\":\"a\",\"type\":\"text\"}\n\n");
        expect_in(first.body, "\"code\":\"script_error\"");
        assert_string_equal(first.body, second.body);
        reply_free(&first);
        reply_free(&second);
        stage_close(&stage);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_keeper_is_told_the_limits_of_the_function),
                cmocka_unit_test(test_limits_that_do_not_hold_are_no_call),
                cmocka_unit_test(test_a_call_that_never_began_waits_for_no_usage),
                cmocka_unit_test(test_a_cell_that_dies_before_it_is_limited_is_lost),
                cmocka_unit_test(test_a_client_may_leave_before_the_limits_hold),
                cmocka_unit_test(test_usage_is_the_keeper_s),
                cmocka_unit_test(test_a_slow_reader_does_not_hold_back_what_became_for_later),
                cmocka_unit_test(test_who_reads_nothing_is_cut_off_when_the_call_has_ended),
                cmocka_unit_test(test_who_reads_slowly_hears_the_end),
                cmocka_unit_test(test_a_stream_is_told_again_however_it_ended),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
