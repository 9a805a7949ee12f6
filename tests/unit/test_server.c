/* What the HTTP API promises, asked of the real mayfly-server. Its cells are played: see keeper_double.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "server_stage.h"

static void test_health_and_readiness(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, "ALLOW_MISSING_WALLS=landlock,cgroup");
        expect(stage_ask(&stage, "GET", "/healthz", NULL, NULL), 200, "{\"status\":\"ok\"}");
        assert_true(comes_true(stage_is_ready, &stage));
        expect(stage_ask(&stage, "GET", "/readyz", NULL, NULL), 200,
                "{\"store\":\"ok\",\"draining\":false,\"runtimes\":{"
                "\"python\":{\"up\":true,\"version\":\"CPython 3.test\"},"
                "\"node\":{\"up\":true,\"version\":\"Node.js test\"},"
                "\"typescript\":{\"up\":true,\"version\":\"TypeScript test\"}},"
                "\"walls\":{\"missing\":[\"landlock\",\"cgroup\"]}}");
        stage_close(&stage);
}

static void test_tokens_guard_all_but_health(void **state)
{
        static const char *const wrong[] = { NULL, "Authorization: Bearer\r\n",
                "Authorization: Bearer no\r\n", "Authorization: Bearer one,two\r\n",
                "Authorization: Bearer onex\r\n", "Authorization: Basic one\r\n",
                "Authorization: Bearer \r\n" };
        struct stage stage;

        (void)state;
        stage_open(&stage, "AUTH_TOKEN=one,two");
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                struct reply reply = stage_ask(&stage, "POST", "/run/a", wrong[i], "{}");

                assert_non_null(strstr(reply.head, "WWW-Authenticate: Bearer"));
                expect_problem(reply, 401, "unauthorized", NULL);
        }
        expect_problem(stage_ask(&stage, "GET", "/nowhere", NULL, NULL), 401, "unauthorized", NULL);
        expect_problem(stage_ask(&stage, "POST", "/run/a", "Authorization: Bearer one\r\n", "{}"), 404,
                "not_found", NULL);
        expect_problem(stage_ask(&stage, "POST", "/run/a", "authorization: bearer two\r\n", "{}"), 404,
                "not_found", NULL);
        expect(stage_ask(&stage, "GET", "/healthz", NULL, NULL), 200, "{\"status\":\"ok\"}");
        stage_close(&stage);
}

static void test_unknown_routes_and_methods(void **state)
{
        struct stage stage;
        struct reply reply;

        (void)state;
        stage_open(&stage, NULL);
        expect_problem(stage_ask(&stage, "GET", "/", NULL, NULL), 404, "not_found", NULL);
        expect_problem(stage_ask(&stage, "POST", "/run", NULL, "{}"), 404, "not_found", NULL);
        expect_problem(stage_ask(&stage, "POST", "/run-nowhere", NULL, "{}"), 404, "not_found", NULL);
        reply = stage_ask(&stage, "GET", "/upload", NULL, NULL);
        assert_non_null(strstr(reply.head, "Allow: POST\r\n"));
        expect_problem(reply, 405, "method_not_allowed", NULL);
        reply = stage_ask(&stage, "DELETE", "/readyz", NULL, NULL);
        assert_non_null(strstr(reply.head, "Allow: GET, HEAD\r\n"));
        expect_problem(reply, 405, "method_not_allowed", NULL);
        stage_close(&stage);
}

static void test_upload_then_run(void **state)
{
        struct stage stage;
        unsigned long long first, second, last = 0;
        char target[64];

        (void)state;
        stage_open(&stage, NULL);
        first = stage_upload(&stage, "test/calculator", "javascript", "result 1");
        second = stage_upload(&stage, "test/calculator", "python", "result 2");
        assert_true(first > 1600000000000 && second > first);
        for (int i = 0; i < 10; i++, last = second) {
                second = stage_upload(&stage, "test/calculator", "python", i % 2 ? "result 2" : "result 3");
                assert_true(second > last);
        }

        expect(stage_run_stored(&stage, "test/calculator", "{}"), 200, "{\"data\":2,\"type\":\"number\"}");
        expect(stage_run_stored(&stage, "test/calculator", NULL), 200, "{\"data\":2,\"type\":\"number\"}");
        snprintf(target, sizeof target, "test/calculator?version=%llu", first);
        expect(stage_run_stored(&stage, target, "{}"), 200, "{\"data\":1,\"type\":\"number\"}");
        expect_problem(stage_run_stored(&stage, "test/calculator?version=7", "{}"), 404, "not_found", NULL);
        expect_problem(stage_run_stored(&stage, "test/calculator?version=0", "{}"), 404, "not_found", NULL);
        expect_problem(
                stage_run_stored(&stage, "test/calculator?version=latest", "{}"), 400, "bad_request", NULL);
        expect_problem(stage_run_stored(&stage, "test/calculator?version=", "{}"), 400, "bad_request", NULL);
        expect_problem(
                stage_run_stored(&stage, "test/calculator?version=-1", "{}"), 400, "bad_request", NULL);
        expect_problem(stage_run_stored(&stage, "test", "{}"), 404, "not_found", NULL);
        stage_close(&stage);
}

static void test_what_was_uploaded_survives_a_kill(void **state)
{
        struct stage stage;
        unsigned long long version;
        char target[64];

        (void)state;
        stage_open(&stage, NULL);
        version = stage_upload(&stage, "kept", "javascript", "result 1");
        stage_upload(&stage, "kept", "typescript", "result 2");
        stage_restart(&stage);
        expect(stage_run_stored(&stage, "kept", "{}"), 200, "{\"data\":2,\"type\":\"number\"}");
        snprintf(target, sizeof target, "kept?version=%llu", version);
        expect(stage_run_stored(&stage, target, "{}"), 200, "{\"data\":1,\"type\":\"number\"}");
        stage_close(&stage);
}

static void test_a_script_that_does_not_parse_is_not_stored(void **state)
{
        static const char *const languages[] = { "javascript", "typescript", "python" };
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(languages); i++) {
                expect_problem(stage_post(&stage, "/upload",
                                       "{\"path\":\"bad\",\"language\":\"%s\",\"code\":\"check syntax "
                                       "{\\\"name\\\":\\\"SyntaxError\\\",\\\"message\\\":\\\"unexpected\\\","
                                       "\\\"stack\\\":null,\\\"line\\\":3,\\\"column\\\":7}\"}",
                                       languages[i]),
                        422, "syntax_error",
                        "\"error\":{\"name\":\"SyntaxError\",\"message\":\"unexpected\",\"stack\":null,"
                        "\"line\":3,\"column\":7}");
                expect_problem(stage_run_stored(&stage, "bad", "{}"), 404, "not_found", NULL);
        }
        stage_close(&stage);
}

static void test_typescript_is_compiled_once(void **state)
{
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        stage_upload(&stage, "ts", "typescript", "nothing");
        assert_int_equal(stage.play->started[RUNTIME_TYPESCRIPT], 1);
        expect(stage_run_stored(&stage, "ts", "{}"), 200, "{\"data\":\"js:1\",\"type\":\"text\"}");
        for (int i = 0; i < 3; i++)
                expect(stage_post(&stage, "/run-now",
                               "{\"language\":\"typescript\",\"code\":\"out hi\\nnothing\"}"),
                        200, "{\"data\":\"js:1\\nhi\",\"type\":\"text\"}");
        assert_int_equal(stage.play->started[RUNTIME_TYPESCRIPT], 2);
        stage_close(&stage);
}

static void test_bad_envelopes(void **state)
{
        static const struct {
                const char *target, *body, *says;
        } cases[] = {
                { "/upload", "", "not JSON" },
                { "/upload", "{", "not JSON" },
                { "/upload", "[]", "must be a JSON object" },
                { "/upload", "{\"path\":\"a\",\"path\":\"b\"}", "twice" },
                { "/upload", "{\"language\":\"python\",\"code\":\"\"}", "`path` is missing" },
                { "/upload", "{\"path\":\"a\",\"code\":\"\"}", "`language` is missing" },
                { "/upload", "{\"path\":\"a\",\"language\":\"python\"}", "`code` is missing" },
                { "/upload", "{\"path\":1,\"language\":\"python\",\"code\":\"\"}",
                        "`path` must be a string" },
                { "/upload", "{\"path\":\"../a\",\"language\":\"python\",\"code\":\"\"}",
                        "`path` must be 1 to 255" },
                { "/upload", "{\"path\":\"a\",\"language\":\"perl\",\"code\":\"\"}", "`language` must be" },
                { "/upload", "{\"path\":\"a\",\"language\":\"python\",\"code\":null}",
                        "`code` must be a string" },
                { "/upload", "{\"path\":\"a\",\"language\":\"python\",\"code\":\"\\ud800\"}", "surrogate" },
                { "/run-now", "{\"language\":\"python\"}", "`code` is missing" },
                { "/run-now", "{\"language\":\"python\",\"code\":\"\",\"stream\":1}",
                        "`stream` must be true or false" },
                { "/run/a", "{\"detail\":\"true\"}", "`detail` must be true or false" },
                { "/run/a", "{\"limits\":{}}", "`limits` belongs to /upload and /run-now" },
                { "/run-now", "{\"language\":\"python\",\"code\":\"\",\"limits\":[]}",
                        "`limits` must be an object" },
                { "/upload", "{\"path\":\"a\",\"language\":\"python\",\"code\":\"\",\"limits\":{\"cpu\":1}}",
                        "`limits` has no member \\\"cpu\\\"; there are `timeout_ms`, `memory_bytes`, "
                        "`cpus`" },
                { "/run/a", "nonsense", "not JSON" },
                { "/run/a", "\"x\"", "must be a JSON object" },
                { "/run/", "{}", "not a valid path" },
                { "/run/a//b", "{}", "not a valid path" },
                { "/run/a/%2e%2e/b", "{}", "not a valid path" },
        };
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                expect_problem(stage_ask(&stage, "POST", cases[i].target, NULL, cases[i].body), 400,
                        "bad_request", cases[i].says);
        stage_close(&stage);
}

static void test_code_and_body_have_limits(void **state)
{
        struct stage stage;
        char *body = calloc(1, 5000);

        (void)state;
        stage_open(&stage, "CODE_MAX_SIZE=10 BODY_MAX_SIZE=4k");
        expect(stage_post(&stage, "/run-now", "{\"language\":\"python\",\"code\":\"result 123\"}"), 200,
                "{\"data\":123,\"type\":\"number\"}");
        expect_problem(stage_post(&stage, "/run-now", "{\"language\":\"python\",\"code\":\"result 1234\"}"),
                413, "too_large", "CODE_MAX_SIZE");
        expect_problem(stage_post(&stage, "/upload",
                               "{\"path\":\"a\",\"language\":\"python\",\"code\":\"result 1234\"}"),
                413, "too_large", "11 bytes");
        memset(body, ' ', 4999);
        expect_problem(stage_ask(&stage, "POST", "/run/a", NULL, body), 413, "too_large", NULL);
        free(body);
        stage_close(&stage);
}

static void test_input_arrives_as_it_was_sent(void **state)
{
        static const struct {
                const char *input, *data, *type;
        } cases[] = {
                { "{\"b\":1,\"a\":[2, 3]}", "{\"b\":1,\"a\":[2, 3]}", "json" },
                { "12345678901234567890123", "12345678901234567890123", "number" },
                { "1.10", "1.10", "number" },
                { "null", "null", "json" },
                { "\"plain \\u0041\"", "\"plain \\u0041\"", "string" },
                { "\"{\\\"a\\\":1.0}\"", "{\"a\":1.0}", "json" },
                { "\" [1] \"", "[1]", "json" },
                { "\"\"", "\"\"", "string" },
                { "\"\\ud800\"", "\"\\ud800\"", "string" },
        };
        char expected[256];
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                snprintf(expected, sizeof expected, "{\"data\":%s,\"type\":\"%s\"}", cases[i].data,
                        cases[i].type);
                expect(stage_post(&stage, "/run-now",
                               "{\"unknown\":1,\"language\":\"python\",\"code\":\"echo\",\"input\": %s }",
                               cases[i].input),
                        200, expected);
        }
        expect(stage_post(&stage, "/run-now", "{\"language\":\"python\",\"code\":\"echo\",\"stream\":false}"),
                200, "{\"data\":{},\"type\":\"json\"}");
        stage_close(&stage);
}

static void test_what_comes_back(void **state)
{
        static const struct {
                const char *script, *body;
        } cases[] = {
                { "result true", "{\"data\":true,\"type\":\"json\"}" },
                { "result  [1, 2] ", "{\"data\":[1, 2],\"type\":\"json\"}" },
                { "result 9007199254740993", "{\"data\":9007199254740993,\"type\":\"number\"}" },
                { "result \"text\"", "{\"data\":\"text\",\"type\":\"string\"}" },
                { "result \"{\\\"a\\\": 1}\"", "{\"data\":{\"a\": 1},\"type\":\"json\"}" },
                { "result \"7\"", "{\"data\":7,\"type\":\"number\"}" },
                { "out noise\nresult 1", "{\"data\":1,\"type\":\"number\"}" },
                { "nothing", "{\"data\":null,\"type\":\"json\"}" },
                { "err only stderr\nnothing", "{\"data\":null,\"type\":\"json\"}" },
                { "out {\"a\":1}\nout not json\nnothing", "{\"data\":{\"a\":1},\"type\":\"json\"}" },
                { "out 1\nout 2\nnothing", "{\"data\":2,\"type\":\"number\"}" },
                { "out \"str\"\nnothing", "{\"data\":\"str\",\"type\":\"string\"}" },
                { "out hello\nout world\nnothing", "{\"data\":\"hello\\nworld\",\"type\":\"text\"}" },
                { "out_bad\nnothing", "{\"data\":\"a\xef\xbf\xbd\xef\xbf\xbd(\",\"type\":\"text\"}" },
                { "out \nnothing", "{\"data\":\"\",\"type\":\"text\"}" },
                { "out 5", "{\"data\":5,\"type\":\"number\"}" }, /* exits without a frame */
                { "close\nsleep 20\nout 6", "{\"data\":6,\"type\":\"number\"}" },
                { "out 5\nexit 0", "{\"data\":5,\"type\":\"number\"}" },
        };
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                expect(stage_run(&stage, cases[i].script), 200, cases[i].body);
        stage_close(&stage);
}

static void test_scripts_that_fail(void **state)
{
        static const struct {
                const char *script;
                int status;
                const char *code, *says;
        } cases[] = {
                { "out a\nerr b\nerror {\"name\":\"TypeError\",\"message\":\"no \\\"x\\\"\",\"stack\":\"at "
                  "1\",\"line\":2,"
                  "\"column\":3,\"evil\":1}",
                        500, "script_error",
                        "\"error\":{\"name\":\"TypeError\",\"message\":\"no \\\"x\\\"\",\"stack\":\"at "
                        "1\",\"line\":2,"
                        "\"column\":3},\"stdout\":\"a\\n\",\"stderr\":\"b\",\"truncated\":false}" },
                { "error {\"name\":\"TypeError\",\"message\":\"no\"}", 500, "script_error",
                        "\"detail\":\"TypeError: no\"" },
                { "error {\"name\":7,\"message\":[],\"stack\":{},\"line\":\"1\",\"column\":1.5}", 500,
                        "script_error",
                        "\"error\":{\"name\":\"Error\",\"message\":\"the script "
                        "failed\",\"stack\":null,\"line\":null,"
                        "\"column\":null}" },
                { "error {\"line\":99999999999,\"column\":-1}", 500, "script_error",
                        "\"line\":null,\"column\":null" },
                { "error {}", 500, "script_error", "\"name\":\"Error\"" },
                { "exit 3", 500, "script_error", "the script exited with status 3" },
                { "signal 10", 500, "script_error", "the script was ended by signal 10" },
                { "out_bad\nexit 1", 500, "script_error", "\"stdout\":\"a\xef\xbf\xbd\xef\xbf\xbd(\\n\"" },
                { "limit 1", 500, "memory_limit", "MAX_MEMORY_PER_CONTAINER" },
                { "limit 2", 500, "process_limit", "MAX_PROCESSES_PER_CONTAINER" },
                { "error {\"name\":\"OSError\",\"message\":\"fork\"}\nlimit 2", 500, "process_limit",
                        "\"name\":\"OSError\"" },
                { "error {\"name\":\"E\",\"message\":\"m\"}\nlimit 1", 500, "memory_limit",
                        "\"name\":\"E\"" },
                { "error {\"name\":\"E\",\"message\":\"m\",\"code\":\"ENOSPC\"}", 500, "tmp_limit",
                        "\"error\":{\"name\":\"E\",\"message\":\"m\",\"stack\":null,\"line\":null,\"column\":"
                        "null},"
                        "\"stdout\"" },
                { "error {\"code\":\"EDQUOT\"}", 500, "tmp_limit", "MAX_TMP_PER_CONTAINER" },
                { "error {\"code\":\"EFBIG\"}", 500, "tmp_limit", "\"name\":\"TmpLimit\"" },
                { "error {\"code\":\"EMFILE\"}", 500, "open_files_limit", "MAX_OPEN_FILES_PER_CONTAINER" },
                { "error {\"code\":\"ENFILE\"}", 500, "open_files_limit", NULL },
                { "error {\"code\":\"ENOMEM\"}", 500, "memory_limit", "MAX_MEMORY_PER_CONTAINER" },
                { "error {\"code\":\"ENOSPC\"}\nlimit 1", 500, "memory_limit", NULL },
                { "error {\"code\":\"EMFILE\"}\nlimit 2", 500, "process_limit", NULL },
                { "error {\"code\":\"ENOENT\"}", 500, "script_error", NULL },
                { "error {\"code\":\"ENOSPC \"}", 500, "script_error", NULL },
                { "error {\"code\":28}", 500, "script_error", NULL },
                { "error {\"code\":{\"code\":\"ENOSPC\"}}", 500, "script_error", NULL },
                { "deep 600", 500, "script_error", "nested too deep" },
                { "lost", 502, "cell_lost", "safe to try again" },
                { "long 65536", 200, NULL, NULL },
                { "long 65537", 500, "output_limit", "OUTPUT_MAX_SIZE" },
                { "flood 65536\nresult 1", 200, NULL, NULL },
                { "flood 65537\nresult 1", 500, "output_limit", "xxxxxxxx" },
                { "flood 999999\nsleep 5000", 500, "output_limit", "xxxxxxxx" },
                { "syntax {\"name\":\"SyntaxError\",\"message\":\"m\",\"line\":1,\"column\":1}", 422,
                        "syntax_error", "\"line\":1" },
        };
        struct stage stage;

        (void)state;
        stage_open(&stage, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct reply reply = stage_run(&stage, cases[i].script);

                if (cases[i].status != 200) {
                        expect_problem(reply, cases[i].status, cases[i].code, cases[i].says);
                        continue;
                }
                assert_int_equal(reply.status, 200);
                reply_free(&reply);
        }
        stage_upload(&stage, "s", "python", "syntax {\\\"name\\\":\\\"SyntaxError\\\"}");
        expect_problem(stage_run_stored(&stage, "s", "{}"), 500, "script_error", NULL);
        stage_close(&stage);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_health_and_readiness),
                cmocka_unit_test(test_tokens_guard_all_but_health),
                cmocka_unit_test(test_unknown_routes_and_methods),
                cmocka_unit_test(test_upload_then_run),
                cmocka_unit_test(test_what_was_uploaded_survives_a_kill),
                cmocka_unit_test(test_a_script_that_does_not_parse_is_not_stored),
                cmocka_unit_test(test_typescript_is_compiled_once),
                cmocka_unit_test(test_bad_envelopes),
                cmocka_unit_test(test_code_and_body_have_limits),
                cmocka_unit_test(test_input_arrives_as_it_was_sent),
                cmocka_unit_test(test_what_comes_back),
                cmocka_unit_test(test_scripts_that_fail),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
