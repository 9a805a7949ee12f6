/*
 * The shared store on a real Redis: the suite of every store, what other nodes do, and what an index and a
 * stream of changes look like after others have been at them. What go-faas wrote is test_store_go_faas.c, and
 * a Redis that is away or unwell test_store_redis_away.c.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "redis_place.h"
#include "store/redis_hosts.h"

/* Paths p0000 and so on in the index, of functions that are not there. */
static void index_gone(const char *prefix, int n)
{
        redis_tell(&redis_main, "EVAL %s 0 %s %d",
                "for i = 0, ARGV[2] - 1 do "
                " redis.call('ZADD', 'mayfly:functions', 0, ARGV[1] .. string.format('%04d', i)) end "
                "return {ok = 'OK'}",
                prefix, n);
}

static void test_a_listing_passes_over_what_is_gone(void **state)
{
        struct suite *suite = *state;

        index_gone("p", 900);
        suite_put(suite, "p0300", "1", 1000);
        suite_put(suite, "p0301", "1", 1000);
        suite_put(suite, "p0899", "1", 1000);
        suite_expect_list(suite, "", NULL, 2, "p0300 p0301");
        suite_expect_list(suite, "", "p0300", 1, "p0301");
        suite_expect_list(suite, "", "p0301", 10, "p0899");
        suite_expect_list(suite, "", "p0899", 10, "");
        assert_int_equal(redis_tell_number(&redis_main, "ZCARD mayfly:functions"), 3);
}

static void test_a_listing_says_that_there_is_more_only_if_there_is(void **state)
{
        struct suite *suite = *state;
        struct store_request list = { .operation = STORE_LIST, .path = "", .limit = 2 };

        suite_put(suite, "a", "1", 1000);
        suite_put(suite, "b", "1", 1000);
        index_gone("c", 600);
        assert_int_equal(suite_ask(suite, &list), 0);
        assert_int_equal(list.n_summaries, 2);
        assert_false(list.has_more);
        store_request_deinit(&list);

        suite_put(suite, "d", "1", 1000);
        index_gone("c", 600);
        assert_int_equal(suite_ask(suite, &list), 0);
        assert_int_equal(list.n_summaries, 2);
        assert_true(list.has_more);
        store_request_deinit(&list);
}

static void test_a_function_of_a_thousand_versions_is_removed_whole(void **state)
{
        struct suite *suite = *state;
        char code[32];

        for (int i = 0; i < 1300; i++) {
                snprintf(code, sizeof code, "code %d", i);
                suite_put(suite, "many", code, 1000);
        }
        assert_int_equal(suite_set_alias(suite, "many", "prod", 1299), 0);
        assert_int_equal(suite_remove(suite, "many", 0), 0);
        assert_int_equal(suite_get(suite, "many", 0, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "many", 0, "prod"), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "many", 2299, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_remove(suite, "many", 0), STORE_NOT_FOUND);
        suite_expect_list(suite, "", NULL, 10, "");
        /* Its highest number, and that it was changed. */
        assert_int_equal(redis_tell_number(&redis_main, "DBSIZE"), 2);
        assert_int_equal(suite_put(suite, "many", "again", 1), 2300);
}

static void test_scripts_that_redis_has_forgotten_are_sent_again(void **state)
{
        struct suite *suite = *state;

        suite_put(suite, "a", "1", 1000);
        redis_tell(&redis_main, "SCRIPT FLUSH");
        suite_expect_code(suite, "a", 0, "1");
        redis_tell(&redis_main, "SCRIPT FLUSH");
        assert_int_equal(suite_put(suite, "a", "2", 1000), 1001);
        redis_tell(&redis_main, "SCRIPT FLUSH");
        suite_expect_list(suite, "", NULL, 10, "a");
}

struct told {
        size_t n_any;
        size_t n_named;
        char path[STORE_PATH_MAX + 1];
};

static void told_on_change(const char *path, void *context)
{
        struct told *told = context;

        if (!path) {
                told->n_any++;
                return;
        }
        told->n_named++;
        snprintf(told->path, sizeof told->path, "%s", path);
}

static void test_changes_that_were_cut_away_may_be_any(void **state)
{
        struct suite *suite = *state;
        struct told told = { 0 };

        suite_put(suite, "a", "1", 1000);
        redis_turn(suite->base, 300); /* the stream's end is known */
        store_watch(suite->store, told_on_change, &told);
        redis_tell(&redis_main, "XADD mayfly:changes * path b node other");
        suite_wait_for(suite, &told.n_named, 1);
        assert_string_equal(told.path, "b");
        assert_int_equal(told.n_any, 0);

        redis_tell(&redis_main, "XADD mayfly:changes MAXLEN 1 * path c node other");
        redis_tell(&redis_main, "XADD mayfly:changes MAXLEN 1 * path d node other");
        suite_wait_for(suite, &told.n_any, 1);
        redis_tell(&redis_main, "DEL mayfly:changes");
        suite_wait_for(suite, &told.n_any, 2);
        redis_tell(&redis_main, "XADD mayfly:changes * path e node other");
        while (strcmp(told.path, "e") != 0)
                event_base_loop(suite->base, EVLOOP_ONCE);
        redis_tell(&redis_main, "XADD mayfly:changes * from a-later-mayfly");
        suite_wait_for(suite, &told.n_any, 3);
        store_watch(suite->store, NULL, NULL);
}

static void test_thousands_of_changes_are_all_told(void **state)
{
        struct suite *suite = *state;
        struct told told = { 0 };

        redis_turn(suite->base, 300);
        store_watch(suite->store, told_on_change, &told);
        redis_tell(&redis_main, "EVAL %s 0",
                "for i = 1, 3500 do redis.call('XADD', 'mayfly:changes', '*', 'path', 'p' .. i, 'node', "
                "'other') end "
                "return {ok = 'OK'}");
        suite_wait_for(suite, &told.n_named, 3500);
        assert_string_equal(told.path, "p3500");
        assert_int_equal(told.n_any, 0);
        store_watch(suite->store, NULL, NULL);
}

/* What the other program's keys may be, and what is damaged: a clear answer each time, and nothing half. */
static const struct {
        const char *commands[3];
        enum store_operation operation;
        int r;
        const char *words;
} foreign[] = {
        { { "SET mayfly:function:a x" }, STORE_GET, STORE_UNAVAILABLE, "REDIS_PREFIX" },
        { { "SET mayfly:function:a x" }, STORE_PUT, STORE_UNAVAILABLE, "REDIS_PREFIX" },
        { { "SET mayfly:function:a x" }, STORE_LIST, STORE_UNAVAILABLE, "REDIS_PREFIX" },
        { { "DEL mayfly:versions:a", "SET mayfly:versions:a x" }, STORE_PUT, STORE_UNAVAILABLE,
                "REDIS_PREFIX" },
        { { "DEL mayfly:functions", "SET mayfly:functions x" }, STORE_PUT, STORE_UNAVAILABLE,
                "REDIS_PREFIX" },
        { { "DEL mayfly:functions", "SET mayfly:functions x" }, STORE_LIST, STORE_UNAVAILABLE,
                "REDIS_PREFIX" },
        { { "DEL mayfly:changes", "SET mayfly:changes x" }, STORE_PUT, STORE_UNAVAILABLE, "REDIS_PREFIX" },
        { { "DEL mayfly:changes", "SET mayfly:changes x" }, STORE_CHECK, STORE_UNAVAILABLE, "REDIS_PREFIX" },
        { { "DEL mayfly:functions", "SET mayfly:functions x" }, STORE_CHECK, STORE_UNAVAILABLE,
                "REDIS_PREFIX" },
        { { "SET mayfly:aliases:a x" }, STORE_DESCRIBE, STORE_UNAVAILABLE, "REDIS_PREFIX" },
        { { "HSET mayfly:function:a last 12x" }, STORE_PUT, -EBADMSG, "no valid numbers" },
        { { "HSET mayfly:function:a latest -1" }, STORE_GET, -EBADMSG, "no valid numbers" },
        { { "HSET mayfly:function:a last 9007199254740991" }, STORE_PUT, -EBADMSG, "no further number" },
        { { "HSET mayfly:function:a latest x" }, STORE_LIST, -EBADMSG, "not whole" },
        { { "HDEL mayfly:function:a language" }, STORE_LIST, -EBADMSG, "not whole" },
        { { "HDEL mayfly:function:a size" }, STORE_LIST, -EBADMSG, "not whole" },
        { { "HDEL mayfly:function:a language" }, STORE_DESCRIBE, -EBADMSG, "not whole" },
        { { "DEL mayfly:version:a:1000" }, STORE_GET, -EBADMSG, "not whole" },
        { { "HDEL mayfly:version:a:1000 code" }, STORE_GET, -EBADMSG, "not whole" },
        { { "HDEL mayfly:version:a:1000 size" }, STORE_DESCRIBE, -EBADMSG, "not whole" },
        { { "HSET mayfly:version:a:1000 code other" }, STORE_GET, -EBADMSG, "not what was uploaded" },
        { { "HSET mayfly:version:a:1000 hash 00" }, STORE_GET, -EBADMSG, "damaged" },
        { { "HSET mayfly:version:a:1000 created soon" }, STORE_GET, -EBADMSG, "damaged" },
        { { "HSET mayfly:version:a:1000 size 1e3" }, STORE_DESCRIBE, -EBADMSG, "damaged" },
        { { "DEL mayfly:version:a:1000", "SET mayfly:version:a:1000 x" }, STORE_GET, STORE_UNAVAILABLE,
                "REDIS_PREFIX" },
        { { "HSET mayfly:aliases:a prod many" }, STORE_DESCRIBE, -EBADMSG, "damaged" },
};

static void test_foreign_and_damaged_data_is_told(void **state)
{
        struct suite *suite = *state;
        const struct store_version given = suite_version("a", "2");

        for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
                struct store_request request = { .operation = foreign[i].operation,
                        .path = foreign[i].operation == STORE_LIST ? "" : "a",
                        .given = &given,
                        .now_ms = 1000,
                        .limit = 10 };
                long long n_keys;

                redis_tell(&redis_main, "FLUSHALL");
                suite_put(suite, "a", "1", 1000);
                for (size_t j = 0; j < ARRAY_SIZE(foreign[i].commands) && foreign[i].commands[j]; j++)
                        redis_tell(&redis_main, foreign[i].commands[j]);
                n_keys = redis_tell_number(&redis_main, "DBSIZE");
                if (suite_ask(suite, &request) != foreign[i].r || !strstr(request.reason, foreign[i].words))
                        fail_msg("%s: %d '%s'", foreign[i].commands[0], request.r, request.reason);
                assert_null(request.found.code.data);
                assert_int_equal(request.n_summaries, 0);
                assert_int_equal(redis_tell_number(&redis_main, "DBSIZE"), n_keys);
                store_request_deinit(&request);
        }
        redis_tell(&redis_main, "FLUSHALL");
        suite_put(suite, "a", "1", 1000);
        suite_expect_code(suite, "a", 0, "1");
}

static void test_an_upload_heals_damaged_code(void **state)
{
        struct suite *suite = *state;

        suite_put(suite, "a", "1", 1000);
        redis_tell(&redis_main, "HSET mayfly:version:a:1000 code 2");
        assert_int_equal(suite_get(suite, "a", 0, NULL), -EBADMSG);
        assert_int_equal(suite_put(suite, "a", "1", 1000), 1001);
        suite_expect_code(suite, "a", 0, "1");
}

static void test_numbers_that_scripts_cannot_count_are_refused(void **state)
{
        struct suite *suite = *state;
        struct store_version given = suite_version("a", "1");
        struct store_request request = { .operation = STORE_PUT, .given = &given, .now_ms = 1ULL << 53 };

        assert_int_equal(suite_ask(suite, &request), -EINVAL);
        given.version = 1ULL << 53;
        request.operation = STORE_RESTORE;
        assert_int_equal(suite_ask(suite, &request), -EINVAL);
        suite_put(suite, "a", "1", 1000);
        assert_int_equal(suite_get(suite, "a", UINT64_MAX, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_remove(suite, "a", UINT64_MAX), STORE_NOT_FOUND);
        assert_int_equal(suite_set_alias(suite, "a", "prod", UINT64_MAX), STORE_NOT_FOUND);
}

static void test_what_is_not_asked_in_full_is_refused_later(void **state)
{
        static const struct store_version no_code = { .path = (char *)"a", .language = (char *)"python" };
        static const struct store_request incomplete[] = {
                { .operation = STORE_OPERATIONS, .path = "a" },
                { .operation = STORE_PUT },
                { .operation = STORE_PUT, .given = &no_code },
                { .operation = STORE_RESTORE, .given = &no_code },
                { .operation = STORE_KEEP_COMPILED },
                { .operation = STORE_GET },
                { .operation = STORE_LIST, .path = "" },
                { .operation = STORE_LIST, .path = "", .limit = STORE_PAGE_MAX + 1 },
                { .operation = STORE_DESCRIBE, .limit = 1 },
                { .operation = STORE_REMOVE },
                { .operation = STORE_SET_ALIAS, .path = "a", .version = 1, .limit = 1 },
                { .operation = STORE_REMOVE_ALIAS, .path = "a" },
        };
        struct suite *suite = *state;

        for (size_t i = 0; i < ARRAY_SIZE(incomplete); i++) {
                struct store_request request = incomplete[i];

                assert_int_equal(suite_ask(suite, &request), -EINVAL);
                store_request_deinit(&request);
        }
}

static void test_sentinels_are_hosts_with_or_without_a_port(void **state)
{
        const struct {
                const char *text, *name;
                uint32_t port;
        } items[] = {
                { "a", "a", 26379 },
                { " a.b:7 ", "a.b", 7 },
                { "127.0.0.1:65535", "127.0.0.1", 65535 },
                { "[::1]", "::1", 26379 },
                { "[fe80::2]:8", "fe80::2", 8 },
                { "fe80::2", "fe80::2", 26379 },
        };
        static const char *const wrong[] = { "", " ", ":7", "a:", "a:0", "a:65536", "a:1x", "[::1", "[]",
                "[a]b", "a b", "a,", ",a", "[::1]:" };
        struct redis_hosts hosts;
        char error[128];

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
                assert_int_equal(redis_hosts_parse(items[i].text, 26379, &hosts, error, sizeof error), 0);
                assert_int_equal(hosts.n, 1);
                assert_string_equal(hosts.items[0].name, items[i].name);
                assert_int_equal(hosts.items[0].port, items[i].port);
                redis_hosts_deinit(&hosts);
        }
        assert_int_equal(redis_hosts_parse("a:1,[::1]:2 , b", 9, &hosts, error, sizeof error), 0);
        assert_int_equal(hosts.n, 3);
        assert_string_equal(hosts.items[1].name, "::1");
        assert_int_equal(hosts.items[2].port, 9);
        redis_hosts_deinit(&hosts);
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                if (redis_hosts_parse(wrong[i], 26379, &hosts, error, sizeof error) != -EINVAL)
                        fail_msg("'%s'", wrong[i]);
        }
}

/* Options that cannot be are said at once, with the setting's name. */
static void test_options_that_cannot_be_are_refused(void **state)
{
        const struct {
                struct store_redis_options options;
                const char *words;
        } wrong[] = {
                { { .port = 6379, .prefix = "m:", .timeout_ms = 1 }, "REDIS_HOST" },
                { { .host = "a", .port = 0, .prefix = "m:", .timeout_ms = 1 }, "REDIS_PORT" },
                { { .host = "a", .port = 70000, .prefix = "m:", .timeout_ms = 1 }, "REDIS_PORT" },
                { { .host = "a", .port = 1, .prefix = "m:" }, "REDIS_TIMEOUT" },
                { { .host = "a", .port = 1, .prefix = "code:", .timeout_ms = 1 }, "REDIS_PREFIX" },
                { { .sentinels = "a", .prefix = "m:", .timeout_ms = 1 }, "REDIS_SENTINEL_MASTER" },
                { { .sentinels = "a:x", .sentinel_master = "m", .prefix = "m:", .timeout_ms = 1 }, "a:x" },
                { { .sentinels = "a,,b", .sentinel_master = "m", .prefix = "m:", .timeout_ms = 1 },
                        "REDIS_SENTINELS" },
                { { .sentinels = "[::1]1", .sentinel_master = "m", .prefix = "m:", .timeout_ms = 1 },
                        "REDIS_SENTINELS" },
        };
        struct suite *suite = *state;
        char error[256];
        struct store *store;

        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                assert_int_equal(
                        store_open_redis(suite->base, &wrong[i].options, &store, error, sizeof error),
                        -EINVAL);
                assert_non_null(strstr(error, wrong[i].words));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                suite_test(test_a_listing_passes_over_what_is_gone),
                suite_test(test_a_listing_says_that_there_is_more_only_if_there_is),
                suite_test(test_a_function_of_a_thousand_versions_is_removed_whole),
                suite_test(test_scripts_that_redis_has_forgotten_are_sent_again),
                suite_test(test_changes_that_were_cut_away_may_be_any),
                suite_test(test_thousands_of_changes_are_all_told),
                suite_test(test_foreign_and_damaged_data_is_told),
                suite_test(test_an_upload_heals_damaged_code),
                suite_test(test_numbers_that_scripts_cannot_count_are_refused),
                suite_test(test_what_is_not_asked_in_full_is_refused_later),
                cmocka_unit_test(test_sentinels_are_hosts_with_or_without_a_port),
                suite_test(test_options_that_cannot_be_are_refused),
        };
        int n_failed;

        redis_server_start(&redis_main, "");
        n_failed = suite_run(&redis_kind);
        n_failed += cmocka_run_group_tests_name("store: in Redis only", tests, NULL, NULL);
        redis_server_clean(&redis_main);
        return n_failed;
}
