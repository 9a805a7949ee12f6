/* What go-faas wrote into the same Redis is served as it is, also where it is not as it should be. */

#include <errno.h>
#include <md5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "redis_place.h"

enum { SECONDS = 1700000000 }; /* of an upload long ago */

/* The MD5 of "a", "b" and so on, by which go-faas knows these paths. */
static const char *md5_of(const char *path)
{
        static char md5[MD5_DIGEST_STRING_LENGTH];

        return MD5Data((const uint8_t *)path, strlen(path), md5);
}

static void upload(const char *path, const char *code, long long seconds)
{
        go_faas_upload(&redis_main, path, "python", code, seconds);
}

static void wait_until_listed(struct suite *suite, size_t n)
{
        struct store_request list = { .operation = STORE_LIST, .path = "", .limit = 100 };

        for (;;) {
                assert_int_equal(suite_ask(suite, &list), 0);
                if (list.n_summaries == n)
                        break;
                store_request_deinit(&list);
                redis_turn(suite->base, 10);
        }
        store_request_deinit(&list);
}

static void test_a_function_is_served_as_it_is(void **state)
{
        struct suite *suite = *state;
        struct store_request get = { .operation = STORE_GET, .path = "api/greet" };
        struct store_request describe = { .operation = STORE_DESCRIBE, .path = "api/greet", .limit = 10 };

        upload("api/greet", "old", SECONDS);
        upload("api/greet", "new", SECONDS + 10);
        assert_int_equal(suite_ask(suite, &get), 0);
        assert_string_equal(get.found.code.data, "new");
        assert_string_equal(get.found.language, "python");
        assert_string_equal(get.found.hash, "");
        assert_int_equal(get.found.version, SECONDS + 10);
        assert_int_equal(get.found.created_ms, (SECONDS + 10) * 1000LL);
        assert_int_equal(get.latest, SECONDS + 10);
        assert_null(get.found.limits.data);
        assert_null(get.found.cache.data);
        assert_false(get.may_change);
        store_request_deinit(&get);
        suite_expect_code(suite, "api/greet", SECONDS, "old");
        assert_int_equal(suite_get(suite, "api/greet", SECONDS + 1, NULL), STORE_NOT_FOUND);

        assert_int_equal(suite_ask(suite, &describe), 0);
        assert_int_equal(describe.n_summaries, 2);
        assert_int_equal(describe.latest, SECONDS + 10);
        assert_int_equal(describe.summaries[0].version, SECONDS + 10);
        assert_int_equal(describe.summaries[1].version, SECONDS);
        assert_int_equal(describe.summaries[1].size, 3);
        assert_int_equal(describe.summaries[1].created_ms, SECONDS * 1000LL);
        assert_string_equal(describe.summaries[1].hash, "");
        assert_string_equal(describe.summaries[1].language, "python");
        store_request_deinit(&describe);
}

static void test_an_upload_continues_it(void **state)
{
        struct suite *suite = *state;
        struct store_version same = suite_version("a", "code");
        struct store_request put = { .operation = STORE_PUT, .given = &same, .now_ms = SECONDS * 1000LL };
        struct store_request describe = { .operation = STORE_DESCRIBE, .path = "a", .limit = 2 };

        upload("a", "code", SECONDS);
        assert_int_equal(suite_ask(suite, &put), 0);
        assert_false(put.created);
        assert_int_equal(put.latest, SECONDS);
        store_request_deinit(&put);
        same.limits = (struct store_bytes){ (char *)"{}", 2 };
        assert_int_equal(suite_ask(suite, &put), 0);
        assert_true(put.created);
        assert_int_equal(put.latest, SECONDS * 1000LL);
        store_request_deinit(&put);
        assert_int_equal(suite_put(suite, "a", "next", 5), SECONDS * 1000LL + 1);
        suite_expect_code(suite, "a", 0, "next");
        suite_expect_code(suite, "a", SECONDS, "code");

        assert_int_equal(suite_ask(suite, &describe), 0);
        assert_true(describe.has_more);
        assert_int_equal(describe.summaries[1].version, SECONDS * 1000LL);
        store_request_deinit(&describe);
        describe.before = SECONDS * 1000LL;
        assert_int_equal(suite_ask(suite, &describe), 0);
        assert_false(describe.has_more);
        assert_int_equal(describe.n_summaries, 1);
        assert_int_equal(describe.summaries[0].version, SECONDS);
        store_request_deinit(&describe);
        suite_expect_list(suite, "", NULL, 10, "a");
        /* And it is still go-faas' own. */
        assert_string_equal(redis_tell(&redis_main, "GET code:%s:%d", md5_of("a"), SECONDS), "code");
        assert_string_equal(redis_tell(&redis_main, "HGET meta:%s latest", md5_of("a")), "1700000000");
}

/* Also by a clock that is behind: its numbers stay the highest. */
static void test_an_upload_is_the_latest_also_by_a_slow_clock(void **state)
{
        struct suite *suite = *state;

        upload("a", "code", SECONDS);
        assert_int_equal(suite_put(suite, "a", "next", 5), SECONDS + 1);
        upload("a", "theirs", SECONDS + 7);
        suite_expect_code(suite, "a", 0, "theirs");
        assert_int_equal(suite_put(suite, "a", "mine", 5), SECONDS + 8);
        suite_expect_code(suite, "a", 0, "mine");
}

static void test_a_version_of_this_second_may_change(void **state)
{
        struct suite *suite = *state;
        struct store_request get = { .operation = STORE_GET, .path = "a" };

        upload("a", "first", time(NULL) + 1);
        assert_int_equal(suite_ask(suite, &get), 0);
        assert_true(get.may_change);
        store_request_deinit(&get);
        upload("a", "second", time(NULL) - 10);
        assert_int_equal(suite_ask(suite, &get), 0);
        assert_false(get.may_change);
        store_request_deinit(&get);
}

static int keep_compiled(struct suite *suite, uint64_t version, const char *code, const char *compiled)
{
        struct store_version given = suite_version("a", code);
        struct store_request request = { .operation = STORE_KEEP_COMPILED, .given = &given };

        given.version = version;
        given.cache = (struct store_bytes){ (char *)compiled, strlen(compiled) };
        if (!*code)
                given.code = (struct store_bytes){ 0 };
        return suite_ask(suite, &request);
}

static void expect_compiled(struct suite *suite, const char *compiled)
{
        struct store_request get = { .operation = STORE_GET, .path = "a" };

        assert_int_equal(suite_ask(suite, &get), 0);
        if (compiled)
                assert_string_equal(get.found.cache.data, compiled);
        else
                assert_null(get.found.cache.data);
        store_request_deinit(&get);
}

static void test_what_was_compiled_stays_with_the_code_that_it_is_of(void **state)
{
        struct suite *suite = *state;

        upload("a", "first", SECONDS);
        assert_int_equal(keep_compiled(suite, SECONDS, "first", "FIRST"), 0);
        expect_compiled(suite, "FIRST");
        suite_reopen(suite);
        expect_compiled(suite, "FIRST");
        upload("a", "again", SECONDS); /* in the same second */
        expect_compiled(suite, NULL);
        assert_int_equal(keep_compiled(suite, SECONDS, "first", "FIRST"), 0);
        expect_compiled(suite, NULL);
        assert_int_equal(keep_compiled(suite, SECONDS, "", "UNKNOWN"), 0);
        expect_compiled(suite, NULL);
        assert_int_equal(keep_compiled(suite, SECONDS, "again", "AGAIN"), 0);
        expect_compiled(suite, "AGAIN");
        assert_int_equal(keep_compiled(suite, SECONDS + 1, "again", "AGAIN"), STORE_NOT_FOUND);
}

static void test_old_functions_are_listed(void **state)
{
        struct suite *suite = *state;
        struct store_request list = { .operation = STORE_LIST, .path = "", .limit = 10 };

        upload("b", "12", SECONDS);
        upload("b", "123", SECONDS + 1);
        upload("d", "1", SECONDS);
        upload("not a path", "1", SECONDS);
        upload("../x", "1", SECONDS);
        redis_tell(&redis_main, "SET meta:%s x", md5_of("e"));
        redis_tell(&redis_main, "HSET meta:%s path g language python latest 5", md5_of("f"));
        suite_reopen(suite);
        suite_put(suite, "a", "1", 1000);
        suite_put(suite, "c", "1", 1000);
        wait_until_listed(suite, 4);
        suite_expect_list(suite, "", NULL, 10, "a b c d");
        suite_expect_list(suite, "", "a", 2, "b c");
        suite_expect_list(suite, "d", NULL, 2, "d");
        list.path = "b";
        assert_int_equal(suite_ask(suite, &list), 0);
        assert_int_equal(list.summaries[0].version, SECONDS + 1);
        assert_int_equal(list.summaries[0].size, 3);
        assert_int_equal(list.summaries[0].n_versions, 2);
        assert_int_equal(list.summaries[0].created_ms, (SECONDS + 1) * 1000LL);
        assert_string_equal(list.summaries[0].language, "python");
        assert_string_equal(list.summaries[0].hash, "");
        store_request_deinit(&list);
}

/* One that is uploaded later is listed once it was called, before the keys are looked through again. */
static void test_an_old_function_that_was_met_is_listed(void **state)
{
        struct suite *suite = *state;

        redis_turn(suite->base, 100);
        upload("a", "1", SECONDS);
        suite_expect_code(suite, "a", 0, "1");
        wait_until_listed(suite, 1);
        upload("b", "1", SECONDS);
        assert_int_equal(suite_put(suite, "b", "2", SECONDS * 1000LL), SECONDS * 1000LL);
        suite_expect_list(suite, "", NULL, 10, "a b");
}

/* f0, f1 and so on. */
static void upload_many(int n)
{
        redisContext *context = redisConnect("127.0.0.1", redis_main.port);
        char path[32];

        for (int i = 0; i < n; i++) {
                snprintf(path, sizeof path, "f%d", i);
                redisAppendCommand(
                        context, "HSET meta:%s path %s language python latest 5", md5_of(path), path);
                redisAppendCommand(context, "SET code:%s:5 x", md5_of(path));
                redisAppendCommand(context, "SADD meta:%s:version 5", md5_of(path));
        }
        for (int i = 0; i < n * 3; i++) {
                void *reply = NULL;

                assert_int_equal(redisGetReply(context, &reply), REDIS_OK);
                freeReplyObject(reply);
        }
        redisFree(context);
}

static void test_thousands_of_old_functions_are_found(void **state)
{
        enum { FUNCTIONS = 3000 };
        struct suite *suite = *state;

        upload_many(FUNCTIONS);
        suite_reopen(suite);
        while (redis_tell_number(&redis_main, "ZCARD mayfly:functions") < FUNCTIONS)
                redis_turn(suite->base, 20);
        assert_int_equal(redis_tell_number(&redis_main, "ZCARD mayfly:functions"), FUNCTIONS);
}

static void test_an_alias_names_an_old_version(void **state)
{
        struct suite *suite = *state;

        upload("a", "1", SECONDS);
        upload("a", "2", SECONDS + 1);
        assert_int_equal(suite_set_alias(suite, "a", "prod", SECONDS + 5), STORE_NOT_FOUND);
        assert_int_equal(suite_set_alias(suite, "a", "prod", SECONDS), 0);
        suite_expect_alias(suite, "a", "prod", SECONDS);
        assert_int_equal(suite_remove(suite, "a", SECONDS), STORE_IN_USE);
        assert_int_equal(suite_remove(suite, "a", SECONDS + 1), 0);
        suite_expect_code(suite, "a", 0, "1");
}

static void test_removing_removes_it_there_too(void **state)
{
        struct suite *suite = *state;

        upload("a", "1", SECONDS);
        upload("a", "2", SECONDS + 1);
        upload("a", "3", SECONDS + 2);
        assert_int_equal(keep_compiled(suite, SECONDS + 2, "3", "THREE"), 0);
        assert_int_equal(suite_remove(suite, "a", SECONDS + 2), 0);
        suite_expect_code(suite, "a", 0, "2");
        assert_string_equal(redis_tell(&redis_main, "HGET meta:%s latest", md5_of("a")), "1700000001");
        assert_int_equal(redis_tell_number(&redis_main, "SCARD meta:%s:version", md5_of("a")), 2);
        assert_int_equal(suite_remove(suite, "a", SECONDS), 0);
        assert_int_equal(suite_remove(suite, "a", SECONDS + 1), 0);
        assert_int_equal(suite_remove(suite, "a", 0), STORE_NOT_FOUND);
        assert_int_equal(redis_tell_number(&redis_main, "EXISTS meta:%s", md5_of("a")), 0);
        assert_int_equal(suite_put(suite, "a", "4", 5), SECONDS + 3); /* never a number again */

        for (int i = 0; i < 1200; i++)
                redis_tell_number(&redis_main, "SADD meta:%s:version %d", md5_of("b"), i);
        upload("b", "1", SECONDS);
        assert_int_equal(suite_put(suite, "b", "2", SECONDS * 1000LL), SECONDS * 1000LL);
        assert_int_equal(suite_remove(suite, "b", 0), 0);
        assert_int_equal(suite_get(suite, "b", 0, NULL), STORE_NOT_FOUND);
        assert_int_equal(redis_tell_number(&redis_main, "EXISTS meta:%s", md5_of("b")), 0);
        assert_int_equal(redis_tell_number(&redis_main, "EXISTS meta:%s:version", md5_of("b")), 0);
        assert_int_equal(redis_tell_number(&redis_main, "EXISTS code:%s:%d", md5_of("b"), SECONDS), 0);
        suite_expect_list(suite, "", NULL, 10, "a");
}

/* $M and $C are the path's keys: meta:<md5> and code:<md5>. */
static const struct {
        const char *commands[4];
        uint64_t version; /* asked for */
        int r;
        const char *words;
} shapes[] = {
        { { "HSET $M path a language python latest 100" }, 0, -EBADMSG, "the latest, is not there" },
        { { "HSET $M path a language python latest 100" }, 100, -EBADMSG, "the latest, is not there" },
        { { "HSET $M path a language python latest 100", "SET $C:99 old" }, 0, -EBADMSG, "is not there" },
        { { "HSET $M path a language python latest 100", "SET $C:99 old" }, 99, 0, "" },
        { { "HSET $M path a language python", "SET $C:100 x" }, 0, -EBADMSG, "no valid latest" },
        { { "HSET $M path a language python", "SET $C:100 x" }, 100, -EBADMSG, "no valid latest" },
        { { "HSET $M path a latest 100", "SET $C:100 x" }, 0, -EBADMSG, "no language" },
        { { "HSET $M path b language python latest 100", "SET $C:100 x" }, 0, -EBADMSG, "another path" },
        { { "HSET $M language python latest 100", "SET $C:100 x" }, 0, 0, "" },
        { { "HSET $M path a language python latest 0", "SET $C:0 x" }, 0, -EBADMSG, "no valid latest" },
        { { "HSET $M path a language python latest -5", "SET $C:-5 x" }, 0, -EBADMSG, "no valid latest" },
        { { "HSET $M path a language python latest 1e3", "SET $C:1000 x" }, 0, -EBADMSG, "no valid latest" },
        { { "HSET $M path a language python latest 007", "SET $C:7 x" }, 0, -EBADMSG, "no valid latest" },
        { { "HSET $M path a language python latest 99999999999999999999", "SET $C:1 x" }, 0, -EBADMSG,
                "no valid latest" },
        { { "SET $M x" }, 0, -EBADMSG, "not a hash" },
        { { "SADD $M x" }, 5, -EBADMSG, "not a hash" },
        { { "HSET $M path a language python latest 100", "SADD $C:100 x" }, 0, -EBADMSG, "not a string" },
        { { "HSET $M path a language python latest 100", "SET $C:100 x", "SET $M:version x" }, 0, 0, "" },
        { { "SET $C:100 x", "SADD $M:version 100" }, 100, STORE_NOT_FOUND, "" },
        { { "HSET $M path a language python latest 100", "SET $C:100 x",
                  "HSET mayfly:version:a:100 of 00 cache no" },
                0, 0, "" },
};

static void tell_shape(const char *command)
{
        char text[512] = "";

        for (const char *at = command; *at; at++) {
                size_t length = strlen(text);

                if (*at != '$')
                        snprintf(text + length, sizeof text - length, "%c", *at);
                else
                        snprintf(text + length, sizeof text - length, "%s:%s", *++at == 'M' ? "meta" : "code",
                                md5_of("a"));
        }
        redis_tell(&redis_main, text);
}

static void test_data_of_every_shape_is_answered_clearly(void **state)
{
        struct suite *suite = *state;
        struct store_version given = suite_version("a", "mine");

        for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
                struct store_request get = {
                        .operation = STORE_GET, .path = "a", .version = shapes[i].version
                };
                struct store_request describe = { .operation = STORE_DESCRIBE, .path = "a", .limit = 9 };
                struct store_request put = {
                        .operation = STORE_PUT, .given = &given, .now_ms = 5000000000000
                };

                redis_tell(&redis_main, "FLUSHALL");
                for (size_t j = 0; j < ARRAY_SIZE(shapes[i].commands) && shapes[i].commands[j]; j++)
                        tell_shape(shapes[i].commands[j]);
                if (suite_ask(suite, &get) != shapes[i].r || !strstr(get.reason, shapes[i].words))
                        fail_msg("%zu: %d '%s'", i, get.r, get.reason);
                assert_null(get.found.cache.data);
                store_request_deinit(&get);
                suite_ask(suite, &describe);
                assert_true(describe.r == 0 || describe.r == STORE_NOT_FOUND || describe.r == -EBADMSG);
                store_request_deinit(&describe);
                suite_expect_list(suite, "zzz", NULL, 10, "");

                /* An upload is right whatever was there. */
                assert_int_equal(suite_ask(suite, &put), 0);
                assert_int_equal(put.latest, 5000000000000);
                store_request_deinit(&put);
                suite_expect_code(suite, "a", 0, "mine");
                suite_expect_list(suite, "", NULL, 10, "a");
                assert_int_equal(suite_remove(suite, "a", 0), 0);
        }
}

static void note_change(const char *path, void *context)
{
        size_t *n = context;

        *n += path && strcmp(path, "a") == 0;
}

static void test_what_go_faas_uploads_meanwhile_is_told(void **state)
{
        struct suite *suite = *state;
        size_t n_told = 0;

        upload("a", "1", SECONDS);
        upload("b", "1", SECONDS);
        redis_turn(suite->base, 300);
        store_watch(suite->store, note_change, &n_told);
        suite_expect_code(suite, "a", 0, "1");
        suite_expect_code(suite, "b", 0, "1");
        upload("a", "2", SECONDS + 1);
        suite_wait_for(suite, &n_told, 1);
        suite_expect_code(suite, "a", 0, "2");
        redis_tell(&redis_main, "DEL meta:%s", md5_of("a"));
        suite_wait_for(suite, &n_told, 2);
        assert_int_equal(suite_get(suite, "a", 0, NULL), STORE_NOT_FOUND);
        store_watch(suite->store, NULL, NULL);
}

static void count_change(const char *path, void *context)
{
        *(size_t *)context += path != NULL;
}

/* The store looks at so many paths; one that it forgets may have changed. */
static void test_paths_that_are_forgotten_are_told(void **state)
{
        enum { REMEMBERED = 4096, MORE = 100 };
        struct suite *suite = *state;
        size_t n_told = 0;
        char path[32];

        upload_many(REMEMBERED + MORE);
        store_watch(suite->store, count_change, &n_told);
        for (int i = 0; i < REMEMBERED + MORE; i++) {
                snprintf(path, sizeof path, "f%d", i);
                assert_int_equal(suite_get(suite, path, 0, NULL), 0);
        }
        assert_int_equal(n_told, MORE);
        store_watch(suite->store, NULL, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                suite_test(test_a_function_is_served_as_it_is),
                suite_test(test_an_upload_continues_it),
                suite_test(test_an_upload_is_the_latest_also_by_a_slow_clock),
                suite_test(test_a_version_of_this_second_may_change),
                suite_test(test_what_was_compiled_stays_with_the_code_that_it_is_of),
                suite_test(test_old_functions_are_listed),
                suite_test(test_an_old_function_that_was_met_is_listed),
                suite_test(test_thousands_of_old_functions_are_found),
                suite_test(test_an_alias_names_an_old_version),
                suite_test(test_removing_removes_it_there_too),
                suite_test(test_data_of_every_shape_is_answered_clearly),
                suite_test(test_what_go_faas_uploads_meanwhile_is_told),
                suite_test(test_paths_that_are_forgotten_are_told),
        };
        int n_failed;

        redis_server_start(&redis_main, "");
        suite_use(&redis_kind);
        n_failed = cmocka_run_group_tests_name("store: what go-faas wrote", tests, NULL, NULL);
        redis_server_clean(&redis_main);
        return n_failed;
}
