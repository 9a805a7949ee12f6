/* What a call has written, and its readers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "server/transcript.h"

static int stage_open(void **state)
{
        static struct transcript transcript;

        transcript_init(&transcript, 64);
        *state = &transcript;
        return 0;
}

static int stage_close(void **state)
{
        transcript_deinit(*state);
        return 0;
}

static void out(struct transcript *transcript, const char *text)
{
        assert_int_equal(transcript_append(transcript, CELL_STDOUT, text, strlen(text)), 0);
}

static void err(struct transcript *transcript, const char *text)
{
        assert_int_equal(transcript_append(transcript, CELL_STDERR, text, strlen(text)), 0);
}

/* The next line as "1:text" (stdout) or "2:text"; "-": none. */
static void expect_next(
        const struct transcript *transcript, struct transcript_cursor *cursor, const char *expected)
{
        struct transcript_line line;
        char text[128] = "-";

        if (transcript_next(transcript, cursor, &line))
                snprintf(text, sizeof text, "%d:%.*s", line.stream + 1, (int)line.length, line.text);
        assert_string_equal(text, expected);
}

static void test_line_is_there_when_it_is_finished(void **state)
{
        struct transcript_cursor cursor = { 0 };

        out(*state, "he");
        expect_next(*state, &cursor, "-");
        out(*state, "llo\nwor");
        expect_next(*state, &cursor, "1:hello");
        expect_next(*state, &cursor, "-");
        out(*state, "ld\n");
        expect_next(*state, &cursor, "1:world");
        expect_next(*state, &cursor, "-");
}

static void test_lines_come_in_the_order_in_which_they_were_finished(void **state)
{
        struct transcript_cursor cursor = { 0 };

        out(*state, "a");
        err(*state, "x\ny");
        out(*state, "b\nc\n");
        err(*state, "z\n");
        expect_next(*state, &cursor, "2:x");
        expect_next(*state, &cursor, "1:ab");
        expect_next(*state, &cursor, "1:c");
        expect_next(*state, &cursor, "2:yz");
        expect_next(*state, &cursor, "-");
        assert_int_equal(transcript_lines(*state), 4);
}

static void test_end_finishes_what_has_no_line_break(void **state)
{
        struct transcript_cursor cursor = { 0 };

        out(*state, "a\nb");
        err(*state, "x");
        assert_int_equal(transcript_close(*state), 0);
        expect_next(*state, &cursor, "1:a");
        expect_next(*state, &cursor, "1:b");
        expect_next(*state, &cursor, "2:x");
        expect_next(*state, &cursor, "-");
        assert_int_equal(transcript_close(*state), 0);
        expect_next(*state, &cursor, "-");
}

static void test_line_breaks_are_not_part_of_a_line(void **state)
{
        struct transcript_cursor cursor = { 0 };

        out(*state, "dos\r\n\n\r\na\rb\nlast\r");
        assert_int_equal(transcript_close(*state), 0);
        expect_next(*state, &cursor, "1:dos");
        expect_next(*state, &cursor, "1:");
        expect_next(*state, &cursor, "1:");
        expect_next(*state, &cursor, "1:a\rb");
        expect_next(*state, &cursor, "1:last\r");
        expect_next(*state, &cursor, "-");
}

static void test_each_reader_has_a_place_of_its_own(void **state)
{
        struct transcript_cursor fast = { 0 }, slow = { 0 };

        out(*state, "a\nb\n");
        expect_next(*state, &fast, "1:a");
        expect_next(*state, &fast, "1:b");
        expect_next(*state, &slow, "1:a");
        err(*state, "c\n");
        expect_next(*state, &fast, "2:c");
        expect_next(*state, &slow, "1:b");
        expect_next(*state, &slow, "2:c");
}

static void test_limit_is_each_stream_s_own_and_says_that_it_cut(void **state)
{
        struct transcript *transcript = *state;
        struct transcript_cursor cursor = { 0 };
        char long_text[100];

        memset(long_text, 'x', sizeof long_text);
        assert_int_equal(
                transcript_append(transcript, CELL_STDOUT, long_text, sizeof long_text), TRANSCRIPT_FULL);
        assert_true(transcript->is_cut);
        assert_int_equal(transcript->text[CELL_STDOUT].length, 64);
        assert_int_equal(transcript_append(transcript, CELL_STDOUT, "y", 1), TRANSCRIPT_FULL);
        err(transcript, "still here\n");
        expect_next(transcript, &cursor, "2:still here");
        assert_int_equal(transcript_close(transcript), 0);
        long_text[64] = 0;
        assert_true(cursor.line == 1 && transcript_lines(transcript) == 2);
}

static void test_exactly_the_limit_is_not_cut(void **state)
{
        struct transcript *transcript = *state;
        char text[64];

        memset(text, '\n', sizeof text);
        assert_int_equal(transcript_append(transcript, CELL_STDOUT, text, sizeof text), 0);
        assert_false(transcript->is_cut);
        assert_int_equal(transcript_lines(transcript), 64);
}

static void test_bytes_of_any_kind_are_kept(void **state)
{
        struct transcript *transcript = *state;
        struct transcript_cursor cursor = { 0 };
        struct transcript_line line;

        assert_int_equal(transcript_append(transcript, CELL_STDOUT, "a\0\xff\nb", 5), 0);
        assert_true(transcript_next(transcript, &cursor, &line));
        assert_int_equal(line.length, 3);
        assert_memory_equal(line.text, "a\0\xff", 3);
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, stage_open, stage_close)

int main(void)
{
        const struct CMUnitTest tests[] = {
                STORY(test_line_is_there_when_it_is_finished),
                STORY(test_lines_come_in_the_order_in_which_they_were_finished),
                STORY(test_end_finishes_what_has_no_line_break),
                STORY(test_line_breaks_are_not_part_of_a_line),
                STORY(test_each_reader_has_a_place_of_its_own),
                STORY(test_limit_is_each_stream_s_own_and_says_that_it_cut),
                STORY(test_exactly_the_limit_is_not_cut),
                STORY(test_bytes_of_any_kind_are_kept),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
