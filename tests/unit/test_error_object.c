/* The error object of a cell: what is taken of it, and what is told. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "server/error_object.h"

#define NOTHING "{\"name\":null,\"message\":null,\"stack\":null,\"line\":null,\"column\":null}"

static const struct object_case {
        const char *text;
        const char *told;
        bool has_code; /* ENOSPC */
} cases[] = {
        { "{}", NOTHING, false },
        { " { } ", NOTHING, false },
        { "", NOTHING, false },
        { "[]", NOTHING, false },
        { "{\"name\":\"a\"", NOTHING, false },
        { "{\"name\":\"a\",\"name\":\"b\"}", NOTHING, false },
        { "{\"line\":1,\"name\":\"a\",\"message\":\"b\",\"other\":[1],\"column\":2,\"stack\":\"c\"}",
                "{\"name\":\"a\",\"message\":\"b\",\"stack\":\"c\",\"line\":1,\"column\":2}", false },
        { "{\"name\":1,\"message\":null,\"stack\":[],\"line\":\"1\",\"column\":{}}", NOTHING, false },
        { "{\"line\":-1,\"column\":1.5}", NOTHING, false },
        { "{\"line\":12345678901,\"column\":1e9}", NOTHING, false },
        { "{\"code\":\"ENOSPC\"}", NOTHING, true },
        { "{\"message\":\"full\",\"code\":\"ENOSPC\"}",
                "{\"name\":null,\"message\":\"full\",\"stack\":null,\"line\":null,\"column\":null}", true },
        { "{\"code\":\"EMFILE\"}", NOTHING, false },
        { "{\"code\":\"ENOSPC2\"}", NOTHING, false },
        { "{\"code\":\"ENOSP\"}", NOTHING, false },
        { "{\"code\":\"\"}", NOTHING, false },
        { "{\"code\":28}", NOTHING, false },
        { "{\"code\":123456}", NOTHING, false },
        { "{\"code\":null}", NOTHING, false },
        { "{\"code\":\"ENOSPC\",\"code\":\"ENOSPC\"}", NOTHING, false },
        { "{\"errors\":{\"code\":\"ENOSPC\"}}", NOTHING, false },
};

static void test_known_members_of_the_right_type(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct json_span values[ERROR_MEMBERS];
                struct bytes told = { .limit = SIZE_MAX / 2 };

                error_object_read(cases[i].text, strlen(cases[i].text), values);
                assert_int_equal(error_object_write(&told, values), 0);
                assert_memory_equal(told.data, ",\"error\":", 9);
                assert_string_equal(told.data + 9, cases[i].told);
                assert_int_equal(error_object_has_code(values, "ENOSPC"), cases[i].has_code);
                bytes_deinit(&told);
        }
}

/* A name of 2-byte characters behind one of one byte: the cut would fall into a character. */
static void test_long_text_is_cut_between_characters(void **state)
{
        struct bytes text = { .limit = SIZE_MAX / 2 }, told = { .limit = SIZE_MAX / 2 };
        struct json_span values[ERROR_MEMBERS];

        (void)state;
        bytes_append_text(&text, "{\"name\":\"a");
        for (int i = 0; i < 200; i++)
                bytes_append_text(&text, "\xc3\xa9");
        bytes_append_text(&text, "\"}");
        error_object_read(text.data, text.length, values);
        assert_int_equal(error_object_write(&told, values), 0);
        assert_int_equal(json_check(told.data + 9, told.length - 9, NULL, NULL), 0);
        assert_non_null(strstr(told.data, "\xc3\xa9\",\"message\""));
        assert_in_range(told.length, 255, 255 + 100);
        bytes_deinit(&text);
        bytes_deinit(&told);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_known_members_of_the_right_type),
                cmocka_unit_test(test_long_text_is_cut_between_characters),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
