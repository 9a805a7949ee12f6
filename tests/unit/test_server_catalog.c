/* Functions told, removed, and named: GET, PUT and DELETE /functions, asked of the real mayfly-server. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "server_stage.h"

static struct reply ask(const struct stage *stage, const char *method, const char *body, const char *format,
        ...) __attribute__((format(printf, 4, 5)));

static struct reply ask(
        const struct stage *stage, const char *method, const char *body, const char *format, ...)
{
        char target[512];
        va_list args;

        va_start(args, format);
        vsnprintf(target, sizeof target, format, args);
        va_end(args);
        return stage_ask(stage, method, target, NULL, body);
}

/* 200, and the text occurs in the body. */
static void expect_text(struct reply reply, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void expect_text(struct reply reply, const char *format, ...)
{
        char text[512];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        assert_int_equal(reply.status, 200);
        if (!strstr(reply.body, text))
                fail_msg("no %s in %s", text, reply.body);
        reply_free(&reply);
}

static void expect_gone(struct reply reply)
{
        assert_int_equal(reply.status, 204);
        assert_int_equal(reply.length, 0);
        reply_free(&reply);
}

static void test_an_upload_says_what_was_kept(void **state)
{
        static const char body[] = "{\"path\":\"a\",\"language\":\"python\",\"code\":\"4\"}";
        struct stage stage;
        unsigned long long first;

        (void)state;
        stage_open(&stage, NULL);
        expect_text(stage_post(&stage, "/upload", "%s", body),
                "\"created\":true,\"size\":1,\"hash\":"
                "\"4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a\"}");
        first = stage_upload(&stage, "a", "python", "4");
        expect_text(stage_post(&stage, "/upload", "%s", body), "\"version\":%llu,\"created\":false", first);
        assert_true(stage_upload(&stage, "a", "javascript", "4") > first);
        expect_text(stage_post(&stage, "/upload",
                            "{\"path\":\"a\",\"language\":\"javascript\",\"code\":\"4\",\"limits\":{\"cpus\":"
                            "0.5}}"),
                "\"created\":true");
        assert_true(stage_upload(&stage, "a", "python", "4") > first); /* equal to an older one alone */
        expect_problem(stage_post(&stage, "/upload",
                               "{\"path\":\"a/aliases/b\",\"language\":\"python\",\"code\":\"4\"}"),
                400, "bad_request", "aliases");
        stage_close(&stage);
}

static void test_functions_are_listed_in_pages(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        expect(ask(&stage, "GET", NULL, "/functions"), 200, "{\"functions\":[],\"next\":null}");
        for (char name[] = "x/a"; name[2] < 'f'; name[2]++)
                stage_upload(&stage, name, "python", "1");
        stage_upload(&stage, "y", "javascript", "1");
        expect_text(ask(&stage, "GET", NULL, "/functions?limit=2"), "\"next\":\"x/b\"}");
        expect_text(ask(&stage, "GET", NULL, "/functions?limit=2&after=x/b"),
                "{\"functions\":[{\"path\":\"x/c\",\"language\":\"python\",\"latest\":");
        expect_text(ask(&stage, "GET", NULL, "/functions?limit=2&after=x/d&prefix=x/"), "\"next\":null}");
        expect_text(ask(&stage, "GET", NULL, "/functions?prefix=y"), "{\"functions\":[{\"path\":\"y\"");
        expect(ask(&stage, "GET", NULL, "/functions?prefix=z"), 200, "{\"functions\":[],\"next\":null}");
        for (size_t i = 0; i < 5; i++) {
                static const char *const bad[] = { "limit=0", "limit=1001", "limit=x", "limit=", "limit=-1" };

                expect_problem(
                        ask(&stage, "GET", NULL, "/functions?%s", bad[i]), 400, "bad_request", "limit");
        }
        expect_problem(ask(&stage, "GET", NULL, "/functions?prefix=%0300d", 0), 400, "bad_request", "prefix");
        stage_close(&stage);
}

static void test_versions_are_told_newest_first_and_shown_with_their_code(void **state)
{
        unsigned long long versions[3];
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        versions[0] = stage_upload(&stage, "a", "python", "result \\\"\\u00e9\\\"");
        versions[1] = stage_upload(&stage, "a", "javascript", "2");
        versions[2] = stage_upload(&stage, "a", "javascript", "3");
        expect_text(ask(&stage, "GET", NULL, "/functions/a"),
                "{\"path\":\"a\",\"language\":\"javascript\",\"latest\":%llu,\"aliases\":{},\"versions\":[{"
                "\"version\":%llu,",
                versions[2], versions[2]);
        expect_text(ask(&stage, "GET", NULL, "/functions/a?limit=2"), "\"next\":%llu}", versions[1]);
        expect_text(ask(&stage, "GET", NULL, "/functions/a?limit=2&before=%llu", versions[1]),
                "\"language\":\"javascript\",\"latest\":%llu,\"aliases\":{},\"versions\":[{\"version\":%llu,"
                "\"language\":\"python\"",
                versions[2], versions[0]);
        expect_text(ask(&stage, "GET", NULL, "/functions/a?version=%llu", versions[0]),
                "{\"path\":\"a\",\"version\":%llu,\"latest\":%llu,\"language\":\"python\",\"size\":11,",
                versions[0], versions[2]);
        expect_text(ask(&stage, "GET", NULL, "/functions/a?version=%llu", versions[0]),
                "\"code\":\"result \\\"\xc3\xa9\\\"\"}");
        expect_problem(ask(&stage, "GET", NULL, "/functions/a?version=latest"), 400, "bad_request", "alias");
        expect_problem(ask(&stage, "GET", NULL, "/functions/a?version=1"), 404, "not_found", NULL);
        expect_problem(ask(&stage, "GET", NULL, "/functions/a?version=0"), 404, "not_found", NULL);
        expect_problem(ask(&stage, "GET", NULL, "/functions/a?version=-1"), 400, "bad_request", "version");
        expect_problem(ask(&stage, "GET", NULL, "/functions/a?before=x"), 400, "bad_request", "before");
        expect_problem(ask(&stage, "GET", NULL, "/functions/b"), 404, "not_found", NULL);
        expect_problem(ask(&stage, "GET", NULL, "/functions/"), 400, "bad_request", NULL);
        expect_problem(ask(&stage, "GET", NULL, "/functions/a//b"), 400, "bad_request", NULL);
        stage_close(&stage);
}

static void test_an_alias_is_moved_and_followed(void **state)
{
        static const char one[] = "{\"data\":1,\"type\":\"number\"}",
                          two[] = "{\"data\":2,\"type\":\"number\"}";
        static const char *const bad_names[] = { "1", "latest", "a%20b", "_x", "" };
        static const char *const bad_bodies[] = { "{}", "{\"version\":0}", "{\"version\":\"1\"}",
                "{\"version\":1.5}", "{\"version\":-1}", "{\"version\":1e3}", "[]", "",
                "{\"version\":1111111111111111111}" };
        unsigned long long versions[2];
        struct stage stage;
        char body[64], answer[128];

        (void)state;
        stage_open(&stage, "ALIASES_MAX=2");
        versions[0] = stage_upload(&stage, "a/b", "python", "result 1");
        versions[1] = stage_upload(&stage, "a/b", "python", "result 2");
        for (int i = 0; i < 4; i++) {
                snprintf(body, sizeof body, "{\"version\":%llu}", versions[i % 2]);
                snprintf(answer, sizeof answer, "{\"path\":\"a/b\",\"alias\":\"prod\",\"version\":%llu}",
                        versions[i % 2]);
                expect(ask(&stage, "PUT", body, "/functions/a/b/aliases/prod"), 200, answer);
                expect(ask(&stage, "GET", NULL, "/functions/a/b/aliases/prod"), 200, answer);
                expect(stage_run_stored(&stage, "a/b?version=prod", "{}"), 200, i % 2 ? two : one);
                if (i == 1)
                        stage_restart(&stage);
                assert_true(comes_true(stage_is_ready, &stage));
                expect(stage_run_stored(&stage, "a/b?version=prod", "{}"), 200, i % 2 ? two : one);
                expect(stage_run_stored(&stage, "a/b", "{}"), 200, two);
        }
        expect_text(ask(&stage, "GET", NULL, "/functions/a/b"), "\"aliases\":{\"prod\":%llu}", versions[1]);
        expect_problem(ask(&stage, "DELETE", NULL, "/functions/a/b?version=%llu", versions[1]), 409,
                "version_in_use", "prod");
        expect_text(ask(&stage, "PUT", body, "/functions/a/b/aliases/second"), "\"second\"");
        expect_problem(
                ask(&stage, "PUT", body, "/functions/a/b/aliases/third"), 409, "aliases_full", "ALIASES_MAX");
        expect_gone(ask(&stage, "DELETE", NULL, "/functions/a/b/aliases/prod"));
        expect_problem(ask(&stage, "DELETE", NULL, "/functions/a/b/aliases/prod"), 404, "not_found", NULL);
        expect_problem(stage_run_stored(&stage, "a/b?version=prod", "{}"), 404, "not_found", "alias");
        for (size_t i = 0; i < ARRAY_SIZE(bad_names); i++)
                expect_problem(ask(&stage, "PUT", body, "/functions/a/b/aliases/%s", bad_names[i]), 400,
                        "bad_request", NULL);
        for (size_t i = 0; i < ARRAY_SIZE(bad_bodies); i++)
                expect_problem(ask(&stage, "PUT", bad_bodies[i], "/functions/a/b/aliases/x"), 400,
                        "bad_request", NULL);
        expect_problem(
                ask(&stage, "PUT", "{\"version\":7}", "/functions/a/b/aliases/x"), 404, "not_found", NULL);
        expect_problem(ask(&stage, "PUT", body, "/functions/none/aliases/x"), 404, "not_found", NULL);
        expect_problem(ask(&stage, "PUT", body, "/functions/a/b"), 405, "method_not_allowed", "/upload");
        stage_close(&stage);
}

static void test_what_is_removed_is_gone_also_from_memory(void **state)
{
        unsigned long long versions[3], next;
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        for (int i = 0; i < 3; i++) {
                char code[16];

                snprintf(code, sizeof code, "result %d", i);
                versions[i] = stage_upload(&stage, "a", "python", code);
        }
        expect_problem(
                ask(&stage, "DELETE", NULL, "/functions/a?version=prod"), 400, "bad_request", "number");
        expect_problem(ask(&stage, "DELETE", NULL, "/functions/a?version=1"), 404, "not_found", NULL);
        expect_gone(ask(&stage, "DELETE", NULL, "/functions/a?version=%llu", versions[2]));
        expect(stage_run_stored(&stage, "a", "{}"), 200, "{\"data\":1,\"type\":\"number\"}");
        expect_gone(ask(&stage, "DELETE", NULL, "/functions/a"));
        expect_problem(stage_run_stored(&stage, "a", "{}"), 404, "not_found", NULL);
        expect_problem(ask(&stage, "GET", NULL, "/functions/a"), 404, "not_found", NULL);
        expect_problem(ask(&stage, "DELETE", NULL, "/functions/a"), 404, "not_found", NULL);
        next = stage_upload(&stage, "a", "python", "result 9");
        assert_true(next > versions[2]);
        expect(stage_run_stored(&stage, "a", "{}"), 200, "{\"data\":9,\"type\":\"number\"}");
        stage_close(&stage);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_upload_says_what_was_kept),
                cmocka_unit_test(test_functions_are_listed_in_pages),
                cmocka_unit_test(test_versions_are_told_newest_first_and_shown_with_their_code),
                cmocka_unit_test(test_an_alias_is_moved_and_followed),
                cmocka_unit_test(test_what_is_removed_is_gone_also_from_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
