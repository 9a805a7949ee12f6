/* The log: one line an event, whatever is in it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

static int saved_stderr, pipe_fds[2];

static int stderr_catch(void **state)
{
        (void)state;
        saved_stderr = dup(STDERR_FILENO);
        return pipe(pipe_fds) < 0 || dup2(pipe_fds[1], STDERR_FILENO) < 0;
}

static int stderr_release(void **state)
{
        (void)state;
        dup2(saved_stderr, STDERR_FILENO);
        close(saved_stderr);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        log_set_level(LOG_INFO);
        return 0;
}

/* What was logged; a mark behind it, so that reading nothing does not block. */
static const char *logged(void)
{
        static char text[8192];
        ssize_t n;

        assert_int_equal(write(pipe_fds[1], "#", 1), 1);
        n = read(pipe_fds[0], text, sizeof text - 1);
        assert_true(n > 0 && text[n - 1] == '#');
        text[n - 1] = 0;
        return text;
}

static void test_a_line_has_time_level_event_and_fields(void **state)
{
        int year, month, day, hour, minute, second, millisecond, end = 0;
        const char *line;

        (void)state;
        log_info("call.done", "call=%s ms=%d", "7f3a", 4);
        line = logged();
        assert_int_equal(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ info call.done call=7f3a ms=4\n%n", &year,
                                 &month, &day, &hour, &minute, &second, &millisecond, &end),
                7);
        assert_int_equal(end, strlen(line));
        assert_true(year >= 2024);
}

static void test_levels_below_the_threshold_are_silent(void **state)
{
        (void)state;
        log_debug("a", "x=1");
        assert_string_equal(logged(), "");
        log_set_level(LOG_DEBUG);
        log_debug("a", "x=1");
        assert_non_null(strstr(logged(), " debug a x=1\n"));
        log_set_level(LOG_ERROR);
        log_warn("a", "x=1");
        assert_string_equal(logged(), "");
        log_error("a", "x=1");
        assert_non_null(strstr(logged(), " error a x=1\n"));
}

static void test_a_long_line_is_cut_but_ends(void **state)
{
        const char *line;
        char text[5000];

        (void)state;
        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = 0;
        log_info("long", "text=%s", text);
        line = logged();
        assert_true(strlen(line) < 2048);
        assert_int_equal(line[strlen(line) - 1], '\n');
        assert_int_equal(line[strlen(line) - 2], 'x');
}

static void test_log_safe_leaves_no_line_break_quote_or_control_byte(void **state)
{
        char buffer[64], tiny[4];

        (void)state;
        assert_string_equal(log_safe("a\r\n2026 error fake\t\x1b[31m\"\x7f\xc3\xa9", buffer, sizeof buffer),
                "a??2026 error fake??[31m????");
        assert_string_equal(log_safe("abcdef", tiny, sizeof tiny), "abc");
        assert_string_equal(log_safe("", tiny, sizeof tiny), "");
}

static void test_level_names_are_read(void **state)
{
        enum log_level level;

        (void)state;
        assert_int_equal(log_level_parse("warn", &level), 0);
        assert_int_equal(level, LOG_WARN);
        assert_int_equal(log_level_parse("debug", &level), 0);
        assert_int_equal(level, LOG_DEBUG);
        assert_true(log_level_parse("WARN", &level) < 0);
        assert_true(log_level_parse("", &level) < 0);
        assert_true(log_level_parse("info ", &level) < 0);
        assert_int_equal(level, LOG_DEBUG);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_a_line_has_time_level_event_and_fields, stderr_catch, stderr_release),
                cmocka_unit_test_setup_teardown(
                        test_levels_below_the_threshold_are_silent, stderr_catch, stderr_release),
                cmocka_unit_test_setup_teardown(
                        test_a_long_line_is_cut_but_ends, stderr_catch, stderr_release),
                cmocka_unit_test(test_log_safe_leaves_no_line_break_quote_or_control_byte),
                cmocka_unit_test(test_level_names_are_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
