/* The JSON writer: each byte as it must be, wherever it stands. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "server/json_write.h"

/* One byte in words that need no thought. */
static const char *expected_byte(unsigned char byte, char buffer[8])
{
        static const char *const special[] = {
                ['"'] = "\\\"", ['\\'] = "\\\\", ['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t"
        };

        if (byte < sizeof special / sizeof *special && special[byte])
                return special[byte];
        if (byte >= 0x80)
                return "\xef\xbf\xbd";
        snprintf(buffer, 8, byte < 0x20 || byte == 0x7f ? "\\u%04x" : "%c", byte);
        return buffer;
}

static void expect_written(const char *text, size_t length, const char *expected)
{
        struct bytes bytes = { .limit = SIZE_MAX / 2 };

        assert_int_equal(json_write_string(&bytes, text, length), 0);
        assert_string_equal(bytes.data, expected);
        bytes_deinit(&bytes);
}

static void test_every_byte(void **state)
{
        (void)state;
        for (int byte = 0; byte < 256; byte++) {
                char text[] = { 'a', (char)byte, 'b' }, buffer[8], expected[16];

                snprintf(expected, sizeof expected, "\"a%sb\"", expected_byte((unsigned char)byte, buffer));
                expect_written(text, sizeof text, expected);
        }
}

/* Bytes that are no text at all, in runs of any length. */
static void test_long_runs(void **state)
{
        static const unsigned char alphabet[] = { 0, 1, '\n', '"', 0x7f, 0xff, 0x80, 'x', 'y' };
        static char text[6000], expected[6 * sizeof text + 3];

        (void)state;
        srandom(1);
        for (size_t length = 0; length < sizeof text; length += 37) {
                size_t at = 1;

                expected[0] = '"';
                for (size_t i = 0; i < length; i++) {
                        size_t kinds = i / 1000 % 2 ? 7 : sizeof alphabet; /* 7: none that is plain */
                        char buffer[8];

                        text[i] = (char)alphabet[(size_t)random() % kinds];
                        at += (size_t)snprintf(expected + at, sizeof expected - at, "%s",
                                expected_byte((unsigned char)text[i], buffer));
                }
                strcpy(expected + at, "\"");
                expect_written(text, length, expected);
        }
}

static void test_characters_stay_whole(void **state)
{
        static const char text[] = "\xc3\xa9\x01\xe2\x82\xac\n\xf0\x9f\x98\x80\xf0\x9f\x98";

        (void)state;
        expect_written(text, sizeof text - 1,
                "\"\xc3\xa9\\u0001\xe2\x82\xac\\n\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
        expect_written("", 0, "\"\"");
}

static void test_a_limit_is_told(void **state)
{
        struct bytes bytes = { .limit = 100 };
        char text[50] = { 0 };

        (void)state;
        assert_int_equal(json_write_string(&bytes, text, sizeof text), BYTES_FULL);
        bytes_deinit(&bytes);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_byte),
                cmocka_unit_test(test_long_runs),
                cmocka_unit_test(test_characters_stay_whole),
                cmocka_unit_test(test_a_limit_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
