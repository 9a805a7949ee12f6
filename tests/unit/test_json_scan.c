/* The JSON reader: what RFC 8259 allows and forbids, one row a case, and the members of an envelope. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "server/json_scan.h"

static const char *const accepted[] = {
        /* words and blanks */
        "null",
        "true",
        "false",
        " null",
        "null ",
        "\t\r\n null \t\r\n",
        /* numbers */
        "0",
        "-0",
        "1",
        "-1",
        "10",
        "1234567890123456789012345678901234567890",
        "0.5",
        "-0.5",
        "1.0",
        "1e5",
        "1E5",
        "1e+5",
        "1e-5",
        "0e0",
        "0.0e-0",
        "1.25E+10",
        "1e400",
        "-1e-400",
        "9007199254740993",
        "[123]",
        "[-0]",
        "[1,-2, 3.5e7 ]",
        /* strings */
        "\"\"",
        "\"a\"",
        "\" \"",
        "\"\\\"\"",
        "\"\\\\\"",
        "\"\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\"",
        "\"\\u00e9\"",
        "\"\\uD83D\\uDE00\"",
        "\"\\uABCD\\uabcd\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\x7f\"",
        "\"caf\xc3\xa9\"",
        "\"\xe2\x82\xac\"",
        "\"\xf0\x9f\x98\x80\"",
        "\"\xf4\x8f\xbf\xbf\"",
        "\"\xef\xbf\xbf\"",
        "\"\xed\x9f\xbf\"",
        "\"\xee\x80\x80\"",
        "\"\xc2\x80\"",
        "\"\xe0\xa0\x80\"",
        "\"\xf0\x90\x80\x80\"",
        "\"\xe2\x80\xa8\"",
        "\"just long enough to be read eight bytes at a time\"",
        "\"12345678\"",
        "\"1234567\\n\"",
        "\"/* not a comment */\"",
        "\"\xef\xbb\xbf is no mark here\"",
        /* containers */
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[[]]",
        "[{}]",
        "{\"a\":[]}",
        "[1]",
        "[1,2]",
        "[ 1 , 2 ]",
        "[null,true,false]",
        "{\"a\":1}",
        "{\"a\":1,\"b\":2}",
        " { \"a\" : 1 , \"b\" : [ 2 , { \"c\" : null } ] } ",
        "{\"\":0}",
        "{\"a\":1,\"a\":2}",
        "{\"\\u0061\":1}",
        "[\"a\",{\"b\":{\"c\":[[[[]]]]}},[{}]]",
        "[1\n]",
        "[\n\n[\n\n]\n\n]",
};

static const char *const refused[] = {
        /* nothing, or not only one value */
        "",
        " ",
        "1 2",
        "{}{}",
        "[] x",
        "null null",
        "1,",
        ",1",
        "\"a\" \"b\"",
        "{}}",
        "[]]",
        "}",
        "]",
        ":",
        ",",
        /* words */
        "nul",
        "nulL",
        "tru",
        "truth",
        "True",
        "FALSE",
        "None",
        "undefined",
        "nullx",
        "NaN",
        "Infinity",
        "-Infinity",
        "[NaN]",
        "-nan",
        "inf",
        /* numbers */
        "-",
        "+1",
        "01",
        "-01",
        "00",
        "1.",
        ".5",
        "-.5",
        "1.e5",
        "1e",
        "1e+",
        "1E-",
        "1e1.5",
        "0x10",
        "1_000",
        "1.2.3",
        "--1",
        "1 000",
        "1a",
        "0b1",
        "1e5e5",
        "- 1",
        "[1.]",
        "[-]",
        "[01]",
        "\xef\xbc\x91",
        /* strings */
        "\"",
        "\"a",
        "a\"",
        "'a'",
        "\"\\\"",
        "\"\\x41\"",
        "\"\\u\"",
        "\"\\u12\"",
        "\"\\u123g\"",
        "\"\\u 123\"",
        "\"\\U0041\"",
        "\"\\a\"",
        "\"\\0\"",
        "\"\\'\"",
        "\"\n\"",
        "\"\t\"",
        "\"\r\"",
        "\"\x01\"",
        "\"\x1f\"",
        "\"abcdefgh\x02ijklmnop\"",
        "\"\\ud83d\\u\"",
        "\"\\\n\"",
        "`a`",
        "\\u0022a\\u0022",
        "abc",
        /* UTF-8 that is none */
        "\"\x80\"",
        "\"\xbf\"",
        "\"\xc0\x80\"",
        "\"\xc1\xbf\"",
        "\"\xc3\"",
        "\"\xc3(\"",
        "\"\xe0\x80\x80\"",
        "\"\xe0\x9f\xbf\"",
        "\"\xe2\x82\"",
        "\"\xe2(\xa1\"",
        "\"\xed\xa0\x80\"",
        "\"\xed\xbf\xbf\"",
        "\"\xf0\x80\x80\x80\"",
        "\"\xf0\x8f\xbf\xbf\"",
        "\"\xf0\x9f\x98\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xf8\x88\x80\x80\x80\"",
        "\"\xfe\"",
        "\"\xff\"",
        "\"12345678\xff\"",
        "\xff",
        "\xc3\xa9",
        /* marks, comments, foreign blanks */
        "\xef\xbb\xbf{}",
        "// c\n1",
        "/**/1",
        "1//",
        "1/**/",
        "# c\n1",
        "[1,/* two */2]",
        "\v1",
        "\f1",
        "\xc2\xa0"
        "1",
        "1\x0c",
        "\xe2\x80\xa8"
        "1",
        /* arrays */
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[,]",
        "[1,,2]",
        "[1 2]",
        "[1;2]",
        "[}",
        "[1}",
        "[\"a\"",
        "[[]",
        "[1:2]",
        "[\"a\":1]",
        "[x]",
        "[*]",
        "[1],",
        "[]1",
        "[a",
        "[\"\": 1]",
        /* objects */
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{,\"a\":1}",
        "{\"a\":1,,\"b\":2}",
        "{\"a\" 1}",
        "{\"a\"::1}",
        "{a:1}",
        "{'a':1}",
        "{1:1}",
        "{null:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":}",
        "{:1}",
        "{\"a\"}",
        "{[]:1}",
        "{\"a\":1]",
        "{]",
        "{\"a\",1}",
        "{\"a\":1;}",
        "{\"a\":1}}",
        "{\"a\":1}#",
        "{\"a\n\":1}",
        "{\"a\":1,\"b\"}",
        "{\"a\":\"b\",}",
        "{{}:1}",
        "{\"\xff\":1}",
};

/* In memory of an exact size, so that a sanitizer sees the first byte read beyond it. */
static int check(const char *text, size_t length, struct json_span *ret_value, size_t *ret_offset)
{
        static char *copy;

        free(copy);
        copy = length ? malloc(length) : NULL;
        if (length)
                memcpy(copy, text, length);
        return length ? json_check(copy, length, ret_value, ret_offset)
                      : json_check("", 0, ret_value, ret_offset);
}

static void test_what_the_rfc_allows_is_accepted(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
                int r = check(accepted[i], strlen(accepted[i]), NULL, NULL);

                if (r != 0)
                        fail_msg("%s: %d", accepted[i], r);
        }
}

static void test_what_the_rfc_forbids_is_refused(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
                size_t offset = SIZE_MAX;
                int r = check(refused[i], strlen(refused[i]), NULL, &offset);

                if (r != JSON_BAD || offset > strlen(refused[i]))
                        fail_msg("%s: %d at %zu", refused[i], r, offset);
        }
}

static void test_no_prefix_of_a_container_is_json(void **state)
{
        static const char text[] =
                "{\"k\\u00e9\":[1.5e3,-0,\"\\ud83d\\ude00 \xf0\x9f\x98\x80\",{\"x\":null}],\"\":true}";

        (void)state;
        for (size_t length = 0; length < sizeof text - 1; length++)
                assert_int_equal(check(text, length, NULL, NULL), JSON_BAD);
        assert_int_equal(check(text, sizeof text - 1, NULL, NULL), 0);
}

static void test_a_nul_byte_is_no_blank(void **state)
{
        (void)state;
        assert_int_equal(check("1\0", 2, NULL, NULL), JSON_BAD);
        assert_int_equal(check("\0", 1, NULL, NULL), JSON_BAD);
        assert_int_equal(check("\"a\0b\"", 5, NULL, NULL), JSON_BAD);
        assert_int_equal(check("[1,\0 2]", 7, NULL, NULL), JSON_BAD);
}

static void test_every_control_byte_in_a_string_is_refused_wherever_it_stands(void **state)
{
        (void)state;
        for (int byte = 0; byte < 0x20; byte++) {
                for (size_t at = 1; at < 25; at++) {
                        char text[26];

                        memset(text, 'x', sizeof text);
                        text[0] = text[25] = '"';
                        text[at] = (char)byte;
                        assert_int_equal(check(text, sizeof text, NULL, NULL), JSON_BAD);
                }
        }
}

static void test_the_offset_points_at_the_fault(void **state)
{
        size_t offset;

        (void)state;
        assert_int_equal(check("{\"a\": tru}", 10, NULL, &offset), JSON_BAD);
        assert_int_equal(offset, 9);
        assert_int_equal(check("[1, 2] x", 8, NULL, &offset), JSON_BAD);
        assert_int_equal(offset, 7);
}

static void test_depth_has_a_limit_and_no_stack(void **state)
{
        enum { MANY = 100000 };
        static char text[2 * MANY];

        (void)state;
        memset(text, '[', MANY);
        memset(text + MANY, ']', MANY);
        assert_int_equal(check(text + MANY - JSON_DEPTH_MAX, (size_t)2 * JSON_DEPTH_MAX, NULL, NULL), 0);
        assert_int_equal(check(text + MANY - JSON_DEPTH_MAX - 1, (size_t)2 * JSON_DEPTH_MAX + 2, NULL, NULL),
                JSON_DEEP);
        assert_int_equal(check(text, sizeof text, NULL, NULL), JSON_DEEP);
}

static void test_the_value_comes_without_its_blanks(void **state)
{
        struct json_span value;

        (void)state;
        assert_int_equal(check(" \n{\"a\" : 1} \t", 13, &value, NULL), 0);
        assert_int_equal(value.length, 9);
        assert_memory_equal(value.text, "{\"a\" : 1}", 9);
        assert_int_equal(json_type(value), JSON_OBJECT);
}

static void test_every_type_is_told(void **state)
{
        static const struct {
                const char *text;
                enum json_type type;
        } rows[] = { { "null", JSON_NULL }, { " false", JSON_FALSE }, { "true ", JSON_TRUE },
                { "0", JSON_NUMBER }, { "-1", JSON_NUMBER }, { "\"\"", JSON_STRING }, { "[]", JSON_ARRAY },
                { "{}", JSON_OBJECT } };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct json_span value;

                assert_int_equal(check(rows[i].text, strlen(rows[i].text), &value, NULL), 0);
                assert_int_equal(json_type(value), rows[i].type);
        }
}

/* ---- members ---- */

static int members(const char *text, const char *const *names, size_t n, struct json_span *values)
{
        return json_members(text, strlen(text), names, n, values);
}

static void span_is(struct json_span span, const char *text)
{
        assert_non_null(span.text);
        assert_int_equal(span.length, strlen(text));
        assert_memory_equal(span.text, text, span.length);
}

static void test_an_envelope_gives_its_members_as_they_were_written(void **state)
{
        static const char *const names[] = { "language", "code", "input", "stream" };
        struct json_span values[4];

        (void)state;
        assert_int_equal(
                members(" { \"input\" : {\"big\": 12345678901234567890 , \"b\":[1, 2]} ,\n"
                        "\"other\":[[\"code\"]],\"code\": \"return 1\\n\", \"language\":\"python\" } ",
                        names, 4, values),
                0);
        span_is(values[0], "\"python\"");
        span_is(values[1], "\"return 1\\n\"");
        span_is(values[2], "{\"big\": 12345678901234567890 , \"b\":[1, 2]}");
        assert_null(values[3].text);
}

static void test_names_are_compared_after_unescaping(void **state)
{
        static const char *const names[] = { "code", "caf\xc3\xa9", "\xf0\x9f\x98\x80", "a\\n" };
        struct json_span values[4];

        (void)state;
        assert_int_equal(members("{\"\\u0063o\\u0064e\":1,\"caf\\u00e9\":2,\"\\ud83d\\ude00\":3,\"a\\n\":4}",
                                 names, 4, values),
                0);
        span_is(values[0], "1");
        span_is(values[1], "2");
        span_is(values[2], "3");
        assert_null(values[3].text);
        assert_int_equal(members("{\"cod\":1,\"codes\":2,\"Code\":3,\"a\\\\n\":4}", names, 4, values), 0);
        assert_null(values[0].text);
        span_is(values[3], "4");
}

static void test_a_key_that_is_there_twice_is_refused(void **state)
{
        static const char *const names[] = { "a" };
        static const char *const twice[] = { "{\"a\":1,\"a\":2}", "{\"x\":1,\"a\":0,\"x\":2}",
                "{\"a\":1,\"\\u0061\":2}", "{\"\":1,\"\":1}", "{\"\xc3\xa9\":1,\"\\u00E9\":1}",
                "{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":1}", "{\"\\ud800\":1,\"\\uD800\":1}",
                "{\"\\n\":1,\"\\u000a\":1}", "{\"/\":1,\"\\/\":1}" };
        static const char *const once[] = { "{\"a\":{\"b\":1,\"b\":2}}", "{\"a\":1,\"A\":2}",
                "{\"a\":1,\"aa\":2,\"\":3}", "{\"\\ud800\":1,\"\\udc00\":2,\"\\ud800\\udc00\":3}",
                "{\"\\u0000\":1,\"\":2,\"0\":3}" };
        struct json_span value;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(twice); i++) {
                if (members(twice[i], names, 1, &value) != JSON_DUPLICATE)
                        fail_msg("%s", twice[i]);
        }
        for (size_t i = 0; i < ARRAY_SIZE(once); i++) {
                if (members(once[i], names, 1, &value) != 0)
                        fail_msg("%s", once[i]);
        }
}

static void test_many_keys_are_compared_in_reasonable_time(void **state)
{
        enum { MANY = 200000 };
        char *text = malloc((size_t)MANY * 24), *to = text;
        static const char *const names[] = { "k199999" };
        struct json_span value;

        (void)state;
        for (int i = 0; i < MANY; i++)
                to += sprintf(to, "%c\"k%06d\":%d", i ? ',' : '{', i, i);
        strcpy(to, "}");
        assert_int_equal(members(text, names, 1, &value), 0);
        span_is(value, "199999");
        strcpy(to, ",\"k000000\":0}");
        assert_int_equal(members(text, names, 1, &value), JSON_DUPLICATE);
        free(text);
}

static void expect_stranger(const char *text, const char *stranger)
{
        static const char *const names[] = { "code", "caf\xc3\xa9" };
        struct json_span name;

        assert_int_equal(json_stranger(text, strlen(text), names, 2, &name), 0);
        if (stranger)
                span_is(name, stranger);
        else
                assert_null(name.text);
}

static void test_a_member_that_nobody_asked_for_is_found(void **state)
{
        static const char *const names[] = { "code" };
        struct json_span name;

        (void)state;
        expect_stranger("{}", NULL);
        expect_stranger(" {\"c\\u006fde\": 1, \"caf\\u00e9\":{\"x\":2}} ", NULL);
        expect_stranger("{\"code\":1,\"y\":1,\"x\":2}", "\"y\"");
        expect_stranger("{\"code\":1,\"\\u0043ode\":2}", "\"\\u0043ode\"");
        expect_stranger("{\"\":1}", "\"\"");
        assert_int_equal(json_stranger("[]", 2, names, 1, &name), JSON_NOT_OBJECT);
        assert_int_equal(json_stranger("{\"x\":1", 6, names, 1, &name), JSON_BAD);
        assert_null(name.text);
}

static void test_what_is_no_object_has_no_members(void **state)
{
        static const char *const names[] = { "a" };
        struct json_span value;

        (void)state;
        assert_int_equal(members("[1]", names, 1, &value), JSON_NOT_OBJECT);
        assert_int_equal(members(" \"{}\" ", names, 1, &value), JSON_NOT_OBJECT);
        assert_int_equal(members("null", names, 1, &value), JSON_NOT_OBJECT);
        assert_int_equal(members("", names, 1, &value), JSON_BAD);
        assert_int_equal(members("[1", names, 1, &value), JSON_BAD);
        assert_int_equal(members("{}", names, 1, &value), 0);
        assert_null(value.text);
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
                if (members(refused[i], names, 1, &value) != JSON_BAD)
                        fail_msg("%s", refused[i]);
        }
}

static void test_members_count_the_object_around_them_as_depth(void **state)
{
        static const char *const names[] = { "a" };
        char text[2 * JSON_DEPTH_MAX + 16];
        struct json_span value;

        (void)state;
        for (int depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX; depth++) {
                size_t n = (size_t)depth;

                memcpy(text, "{\"a\":", 5);
                memset(text + 5, '[', n);
                memset(text + 5 + n, ']', n);
                memcpy(text + 5 + 2 * n, "}", 2);
                assert_int_equal(members(text, names, 1, &value), depth < JSON_DEPTH_MAX ? 0 : JSON_DEEP);
                assert_int_equal(
                        json_check(text, strlen(text), NULL, NULL), depth < JSON_DEPTH_MAX ? 0 : JSON_DEEP);
        }
}

/* ---- strings ---- */

static void test_strings_are_decoded(void **state)
{
        static const struct {
                const char *text;
                const char *decoded;
                size_t length;
        } rows[] = {
                { "\"\"", "", 0 },
                { "\"abc\"", "abc", 3 },
                { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8 },
                { "\"\\u0041\\u00e9\\u20AC\\uffff\"", "A\xc3\xa9\xe2\x82\xac\xef\xbf\xbf", 9 },
                { "\"\\ud83d\\ude00\\uDBFF\\uDFFF\"", "\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf", 8 },
                { "\"a\\u0000b\"", "a\0b", 3 },
                { "\"\x7f\xc2\x80\xe2\x82\xac\xf0\x9f\x98\x80\"", "\x7f\xc2\x80\xe2\x82\xac\xf0\x9f\x98\x80",
                        10 },
                { "\"\\u007f\\u0080\\u07ff\\u0800\"", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80", 8 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct json_span value;
                size_t length;
                char *text;

                assert_int_equal(check(rows[i].text, strlen(rows[i].text), &value, NULL), 0);
                assert_int_equal(json_string(value, &text, &length), 0);
                assert_int_equal(length, rows[i].length);
                assert_memory_equal(text, rows[i].decoded, length + 1);
                free(text);
        }
}

static void test_lone_surrogates_and_other_types_are_no_text(void **state)
{
        static const char *const rows[] = { "\"\\ud800\"", "\"\\udc00\"", "\"\\ud83d\\ud83d\"",
                "\"a\\ud83d b\"", "\"\\ud83d\\n\"", "\"\\udfff\\udbff\"", "1", "null", "[\"a\"]", "{}" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct json_span value;
                size_t length;
                char *text;

                assert_int_equal(check(rows[i], strlen(rows[i]), &value, NULL), 0);
                assert_int_equal(json_string(value, &text, &length), JSON_BAD);
        }
        assert_int_equal(json_string((struct json_span){ 0 }, &(char *){ NULL }, &(size_t){ 0 }), JSON_BAD);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_the_rfc_allows_is_accepted),
                cmocka_unit_test(test_what_the_rfc_forbids_is_refused),
                cmocka_unit_test(test_no_prefix_of_a_container_is_json),
                cmocka_unit_test(test_a_nul_byte_is_no_blank),
                cmocka_unit_test(test_every_control_byte_in_a_string_is_refused_wherever_it_stands),
                cmocka_unit_test(test_the_offset_points_at_the_fault),
                cmocka_unit_test(test_depth_has_a_limit_and_no_stack),
                cmocka_unit_test(test_the_value_comes_without_its_blanks),
                cmocka_unit_test(test_every_type_is_told),
                cmocka_unit_test(test_an_envelope_gives_its_members_as_they_were_written),
                cmocka_unit_test(test_names_are_compared_after_unescaping),
                cmocka_unit_test(test_a_key_that_is_there_twice_is_refused),
                cmocka_unit_test(test_many_keys_are_compared_in_reasonable_time),
                cmocka_unit_test(test_a_member_that_nobody_asked_for_is_found),
                cmocka_unit_test(test_what_is_no_object_has_no_members),
                cmocka_unit_test(test_members_count_the_object_around_them_as_depth),
                cmocka_unit_test(test_strings_are_decoded),
                cmocka_unit_test(test_lone_surrogates_and_other_types_are_no_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
