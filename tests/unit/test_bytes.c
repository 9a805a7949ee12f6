/* A run of bytes with a ceiling. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

static void test_what_is_appended_is_there_and_ends_in_nul(void **state)
{
        struct bytes bytes;

        (void)state;
        bytes_init(&bytes, 100);
        assert_int_equal(bytes_append_text(&bytes, "ab"), 0);
        assert_int_equal(bytes_append(&bytes, "c\0d", 3), 0);
        assert_int_equal(bytes_format(&bytes, "%d-%s", 7, "x"), 0);
        assert_int_equal(bytes.length, 8);
        assert_memory_equal(bytes.data, "abc\0d7-x", 9);
        bytes_deinit(&bytes);
}

static void test_appending_nothing_still_gives_a_string(void **state)
{
        struct bytes bytes;

        (void)state;
        bytes_init(&bytes, 0);
        assert_int_equal(bytes_append(&bytes, NULL, 0), 0);
        assert_string_equal(bytes.data, "");
        assert_int_equal(bytes_append(&bytes, "a", 1), BYTES_FULL);
        assert_int_equal(bytes.length, 0);
        bytes_deinit(&bytes);
}

static void test_the_ceiling_is_kept_and_what_fits_is_taken(void **state)
{
        struct bytes bytes;

        (void)state;
        bytes_init(&bytes, 5);
        assert_int_equal(bytes_append_text(&bytes, "abc"), 0);
        assert_int_equal(bytes_append_text(&bytes, "def"), BYTES_FULL);
        assert_string_equal(bytes.data, "abcde");
        assert_int_equal(bytes_append_text(&bytes, "g"), BYTES_FULL);
        assert_int_equal(bytes.length, 5);
        assert_int_equal(bytes_format(&bytes, "%s", ""), 0);
        assert_int_equal(bytes_format(&bytes, "x"), BYTES_FULL);
        assert_string_equal(bytes.data, "abcde");
        bytes_deinit(&bytes);
}

static void test_it_grows_to_its_ceiling_exactly(void **state)
{
        enum { LIMIT = 100000 };
        struct bytes bytes;

        (void)state;
        bytes_init(&bytes, LIMIT);
        for (int i = 0; i < LIMIT; i++)
                assert_int_equal(bytes_append(&bytes, "x", 1), 0);
        assert_int_equal(bytes_append(&bytes, "x", 1), BYTES_FULL);
        assert_int_equal(bytes.length, LIMIT);
        assert_true(bytes.capacity <= LIMIT + 1);
        bytes_deinit(&bytes);
}

static void test_reserved_room_may_be_filled_directly(void **state)
{
        struct bytes bytes;

        (void)state;
        bytes_init(&bytes, 1000);
        assert_int_equal(bytes_reserve(&bytes, 1000), 0);
        memset(bytes.data, 'y', 1000);
        bytes.length = 1000;
        bytes.data[1000] = 0;
        assert_int_equal(bytes_reserve(&bytes, 1), BYTES_FULL);
        assert_int_equal(strlen(bytes.data), 1000);
        bytes_deinit(&bytes);
}

static void test_dropping_keeps_the_rest(void **state)
{
        struct bytes bytes;

        (void)state;
        bytes_init(&bytes, 100);
        bytes_drop(&bytes, 0);
        bytes_append_text(&bytes, "first second");
        bytes_drop(&bytes, 6);
        assert_string_equal(bytes.data, "second");
        bytes_drop(&bytes, 6);
        assert_string_equal(bytes.data, "");
        assert_int_equal(bytes.length, 0);
        bytes_deinit(&bytes);
}

static void test_it_may_be_used_again_after_deinit(void **state)
{
        struct bytes bytes;

        (void)state;
        bytes_init(&bytes, 3);
        bytes_append_text(&bytes, "abc");
        bytes_deinit(&bytes);
        bytes_deinit(&bytes);
        assert_int_equal(bytes_append_text(&bytes, "xyz!"), BYTES_FULL);
        assert_string_equal(bytes.data, "xyz");
        bytes_deinit(&bytes);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_appended_is_there_and_ends_in_nul),
                cmocka_unit_test(test_appending_nothing_still_gives_a_string),
                cmocka_unit_test(test_the_ceiling_is_kept_and_what_fits_is_taken),
                cmocka_unit_test(test_it_grows_to_its_ceiling_exactly),
                cmocka_unit_test(test_reserved_room_may_be_filled_directly),
                cmocka_unit_test(test_dropping_keeps_the_rest),
                cmocka_unit_test(test_it_may_be_used_again_after_deinit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
