/* The limits of one function: what may be asked for, what is refused with which words, and what is kept. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/settings.h"
#include "server/limits.h"

static const struct settings settings = {
        .timeout_script_ms = 30000,
        .max_memory_bytes = 134217728,
        .max_cpus_milli = 1500,
        .max_processes = 64,
        .max_tmp_bytes = 1 << 20,
        .output_max_bytes = UINT64_C(1000000000000000),
};

static int take(const char *text, struct limits *limits, char *fault, size_t size)
{
        struct json_span value;

        assert_int_equal(json_check(text, strlen(text), &value, NULL), 0);
        return limits_read(value, &settings, limits, fault, size);
}

static void good(const char *text, struct limits expected)
{
        struct limits limits;
        char fault[512] = "";

        if (take(text, &limits, fault, sizeof fault) != 0)
                fail_msg("%s: %s", text, fault);
        assert_int_equal(limits.timeout_ms, expected.timeout_ms);
        assert_int_equal(limits.memory_bytes, expected.memory_bytes);
        assert_int_equal(limits.cpus_milli, expected.cpus_milli);
        assert_int_equal(limits.processes, expected.processes);
        assert_int_equal(limits.tmp_bytes, expected.tmp_bytes);
        assert_int_equal(limits.output_bytes, expected.output_bytes);
}

static void test_limits_are_read(void **state)
{
        (void)state;
        good("{}", (struct limits){ 0 });
        good("null", (struct limits){ 0 });
        good("{\"timeout_ms\":null,\"cpus\":null}", (struct limits){ 0 });
        good("{\"timeout_ms\":1000}", (struct limits){ .timeout_ms = 1000 });
        good(" { \"t\\u0069meout_ms\" : 10 } ", (struct limits){ .timeout_ms = 10 });
        good("{\"memory_bytes\":16777216,\"processes\":4,\"tmp_bytes\":65536,\"output_bytes\":1024}",
                (struct limits){
                        .memory_bytes = 16777216, .processes = 4, .tmp_bytes = 65536, .output_bytes = 1024 });
        good("{\"timeout_ms\":30000,\"memory_bytes\":134217728,\"cpus\":1.5,\"processes\":64,"
             "\"tmp_bytes\":1048576,\"output_bytes\":1000000000000000}",
                (struct limits){ .timeout_ms = 30000,
                        .memory_bytes = 134217728,
                        .cpus_milli = 1500,
                        .processes = 64,
                        .tmp_bytes = 1048576,
                        .output_bytes = UINT64_C(1000000000000000) });
        good("{\"output_bytes\":999999999999999}",
                (struct limits){ .output_bytes = UINT64_C(999999999999999) });
}

static void test_cpus_may_be_fractions(void **state)
{
        (void)state;
        good("{\"cpus\":0.01}", (struct limits){ .cpus_milli = 10 });
        good("{\"cpus\":0.5}", (struct limits){ .cpus_milli = 500 });
        good("{\"cpus\":1}", (struct limits){ .cpus_milli = 1000 });
        good("{\"cpus\":1.0}", (struct limits){ .cpus_milli = 1000 });
        good("{\"cpus\":0.3333333333333333}", (struct limits){ .cpus_milli = 333 });
        good("{\"cpus\":0.30000000000000004}", (struct limits){ .cpus_milli = 300 });
        good("{\"cpus\":1.4999999999999999999999999999999}", (struct limits){ .cpus_milli = 1499 });
        good("{\"cpus\":1.50000000000000000000000000000000}", (struct limits){ .cpus_milli = 1500 });
}

static void test_what_is_bad_is_refused_with_words(void **state)
{
        static const struct {
                const char *text, *says;
        } cases[] = {
                { "[]", "`limits` must be an object." },
                { "1", "`limits` must be an object." },
                { "true", "`limits` must be an object." },
                { "\"{}\"", "`limits` must be an object." },
                { "{\"processes\":8,\"processes\":8}", "`limits` has the same member twice." },
                { "{\"processes\":8,\"process\\u0065s\":9}", "`limits` has the same member twice." },
                { "{\"timeout\":1}",
                        "`limits` has no member \"timeout\"; there are `timeout_ms`, `memory_bytes`, `cpus`, "
                        "`processes`, `tmp_bytes`, `output_bytes`." },
                { "{\"cpus\":1,\"Cpus\":null,\"x\":1}", "`limits` has no member \"Cpus\"; there are" },
                { "{\"\":1}", "`limits` has no member \"\"; there are" },
                { "{\"\\u0000\":1}", "`limits` has no member \"\\u0000\"; there are" },
                /* what is told is cut, but not in the middle of a character */
                { "{\"01234567890123456789012345678901234567\xc3\xa9\xc3\xa9\":1}",
                        "member \"01234567890123456789012345678901234567; there are" },
                /* not numbers of their kind */
                { "{\"processes\":1.5}", "`limits.processes` must be a whole number, such as 16." },
                { "{\"processes\":8.0}", "must be a whole number" },
                { "{\"processes\":1e1}", "must be a whole number" },
                { "{\"processes\":-8.5}", "must be a whole number" },
                { "{\"processes\":\"8\"}", "must be a whole number" },
                { "{\"processes\":[8]}", "must be a whole number" },
                { "{\"processes\":{}}", "must be a whole number" },
                { "{\"processes\":true}", "must be a whole number" },
                { "{\"memory_bytes\":\"64m\"}", "`limits.memory_bytes` must be a whole number of bytes" },
                { "{\"memory_bytes\":1E8}", "must be a whole number of bytes" },
                { "{\"timeout_ms\":0.5}", "must be a whole number of milliseconds" },
                { "{\"cpus\":5e-1}", "`limits.cpus` must be a number of cores without an exponent" },
                { "{\"cpus\":0.5E0}", "must be a number of cores" },
                { "{\"cpus\":\"0.5\"}", "must be a number of cores" },
                /* too low */
                { "{\"processes\":0}", "`limits.processes` is 0; it must be at least 4." },
                { "{\"processes\":3}", "`limits.processes` is 3; it must be at least 4." },
                { "{\"processes\":-8}", "`limits.processes` is -8; it must be at least 4." },
                { "{\"processes\":-0}", "`limits.processes` is -0; it must be at least 4." },
                { "{\"timeout_ms\":9}", "it must be at least 10." },
                { "{\"memory_bytes\":16777215}", "it must be at least 16777216." },
                { "{\"tmp_bytes\":65535}", "it must be at least 65536." },
                { "{\"output_bytes\":1023}", "it must be at least 1024." },
                { "{\"cpus\":0}", "`limits.cpus` is 0; it must be at least 0.01." },
                { "{\"cpus\":0.0099999}", "`limits.cpus` is 0.0099999; it must be at least 0.01." },
                { "{\"cpus\":-0.5}", "`limits.cpus` is -0.5; it must be at least 0.01." },
                /* above the settings */
                { "{\"memory_bytes\":1073741824}",
                        "`limits.memory_bytes` is 1073741824; this server allows at most 134217728 "
                        "(MAX_MEMORY_PER_CONTAINER)." },
                { "{\"memory_bytes\":134217729}", "MAX_MEMORY_PER_CONTAINER" },
                { "{\"timeout_ms\":30001}", "at most 30000 (TIMEOUT_SCRIPT)." },
                { "{\"cpus\":1.501}", "at most 1.5 (MAX_CPUS_PER_CONTAINER)." },
                { "{\"cpus\":1.5000000000000000000000001}", "at most 1.5 (MAX_CPUS_PER_CONTAINER)." },
                { "{\"cpus\":18446744073709551617}", "MAX_CPUS_PER_CONTAINER" },
                { "{\"processes\":65}", "at most 64 (MAX_PROCESSES_PER_CONTAINER)." },
                { "{\"tmp_bytes\":1048577}", "at most 1048576 (MAX_TMP_PER_CONTAINER)." },
                { "{\"output_bytes\":1000000000000001}", "at most 1000000000000000 (OUTPUT_MAX_SIZE)." },
                /* what would be small or right in 32 or 64 bits */
                { "{\"processes\":4294967304}", "at most 64" },
                { "{\"timeout_ms\":4294968296}", "at most 30000" },
                { "{\"output_bytes\":18446744073709551615}", "at most 1000000000000000" },
                { "{\"output_bytes\":18446744073709553664}", "at most 1000000000000000" },
                { "{\"output_bytes\":184467440737095516160000000000000000000000000001024}",
                        "is 1844674407370955161600000000000000000000; this server allows" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct limits limits = { .processes = 77 };
                char fault[512] = "";

                if (take(cases[i].text, &limits, fault, sizeof fault) != LIMITS_BAD)
                        fail_msg("%s was accepted", cases[i].text);
                if (!strstr(fault, cases[i].says))
                        fail_msg("%s: %s", cases[i].text, fault);
                assert_int_equal(limits.processes, 77);
        }
}

static void expect_written(const struct limits *limits, const char *expected)
{
        struct bytes bytes = { .limit = 4096 };

        assert_int_equal(limits_write(limits, &bytes), 0);
        assert_string_equal(bytes.data ? bytes.data : "", expected);
        bytes_deinit(&bytes);
}

static void test_those_that_are_set_are_written(void **state)
{
        (void)state;
        expect_written(&(struct limits){ 0 }, "");
        expect_written(&(struct limits){ .processes = 8 }, "{\"processes\":8}");
        expect_written(&(struct limits){ .cpus_milli = 10 }, "{\"cpus\":0.01}");
        expect_written(&(struct limits){ .cpus_milli = 20000 }, "{\"cpus\":20}");
        expect_written(&(struct limits){ .timeout_ms = 86400000,
                               .memory_bytes = UINT64_C(999999999999999),
                               .cpus_milli = 1250,
                               .processes = 4,
                               .tmp_bytes = 65536,
                               .output_bytes = 1024 },
                "{\"timeout_ms\":86400000,\"memory_bytes\":999999999999999,\"cpus\":1.25,\"processes\":4,"
                "\"tmp_bytes\":65536,\"output_bytes\":1024}");
}

static int take_stored(const char *text, struct limits *limits)
{
        return limits_read_stored(text, strlen(text), &settings, limits);
}

static void test_stored_limits_are_cut_to_settings_that_were_lowered(void **state)
{
        struct limits limits;

        (void)state;
        assert_int_equal(take_stored("{\"timeout_ms\":60000,\"memory_bytes\":999999999999999,\"cpus\":64,"
                                     "\"processes\":5,\"tmp_bytes\":18446744073709551616}",
                                 &limits),
                0);
        expect_written(&limits, "{\"timeout_ms\":30000,\"memory_bytes\":134217728,\"cpus\":1.5,"
                                "\"processes\":5,\"tmp_bytes\":1048576}");
}

static void test_stored_garbage_is_no_absence_of_limits(void **state)
{
        static const char *const garbage[] = { "", "null", "[]", "{", "{\"cpus\":1", "{\"cpu\":1}",
                "{\"cpus\":\"1\"}", "{\"cpus\":0}", "{\"processes\":-4}", "{\"processes\":5}{}",
                "{\"processes\":5,\"processes\":5}", "\xff" };
        struct limits limits = { .processes = 77 };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
                if (take_stored(garbage[i], &limits) != LIMITS_BAD)
                        fail_msg("%s", garbage[i]);
                assert_int_equal(limits.processes, 77);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_limits_are_read),
                cmocka_unit_test(test_cpus_may_be_fractions),
                cmocka_unit_test(test_what_is_bad_is_refused_with_words),
                cmocka_unit_test(test_those_that_are_set_are_written),
                cmocka_unit_test(test_stored_limits_are_cut_to_settings_that_were_lowered),
                cmocka_unit_test(test_stored_garbage_is_no_absence_of_limits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
