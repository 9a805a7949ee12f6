/* The embedded store: what every store must do, and how a database comes and goes. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "sqlite_place.h"

/* As the first mayfly made it, and with two functions of its time. */
static const char first_schema[] =
        "PRAGMA journal_mode = WAL;"
        "CREATE TABLE function_version ("
        " path TEXT NOT NULL,"
        " version INTEGER NOT NULL,"
        " created_ms INTEGER NOT NULL,"
        " language TEXT NOT NULL,"
        " code BLOB NOT NULL,"
        " compiled BLOB,"
        " map BLOB,"
        " PRIMARY KEY (path, version)"
        ") STRICT;"
        "PRAGMA user_version = 1;"
        "INSERT INTO function_version VALUES ('old', 1000, 900, 'typescript', CAST('ts' AS BLOB),"
        " CAST('js' AS BLOB), CAST('{}' AS BLOB));"
        "INSERT INTO function_version VALUES ('old', 998, 890, 'python', CAST('py' AS BLOB), NULL, NULL);"
        "INSERT INTO function_version VALUES ('empty', 5, 5, 'python', x'', NULL, NULL);";
static const char second_schema[] = "ALTER TABLE function_version ADD COLUMN limits TEXT;"
                                    "PRAGMA user_version = 2;"
                                    "UPDATE function_version SET limits = '{\"cpus\":2}';";
static const char third_schema[] =
        "ALTER TABLE function_version ADD COLUMN cache BLOB;"
        "ALTER TABLE function_version ADD COLUMN cache_for TEXT;"
        "ALTER TABLE function_version ADD COLUMN imports TEXT;"
        "PRAGMA user_version = 3;"
        "UPDATE function_version SET cache = x'00ff', cache_for = 'Node.js 1', imports = '';";

static void expect_text(const struct store_bytes *bytes, const char *text)
{
        if (text)
                assert_string_equal(bytes->data, text);
        else
                assert_null(bytes->data);
}

/* The functions above, as they should look when a mayfly of that schema has kept them. */
static void expect_old_functions(struct suite *suite, int schema)
{
        struct store_request get = { .operation = STORE_GET, .path = "old" };
        struct store_request describe = { .operation = STORE_DESCRIBE, .path = "old", .limit = 5 };
        struct store_version typescript = suite_version("old", "ts"), python = suite_version("old", "py");

        assert_int_equal(suite_ask(suite, &get), 0);
        assert_int_equal(get.found.version, 1000);
        assert_int_equal(get.found.created_ms, 900);
        assert_string_equal(get.found.hash, typescript.hash);
        assert_string_equal(get.found.language, "typescript");
        expect_text(&get.found.code, "ts");
        expect_text(&get.found.compiled, "js");
        expect_text(&get.found.map, "{}");
        expect_text(&get.found.limits, schema >= 2 ? "{\"cpus\":2}" : NULL);
        expect_text(&get.found.cache_for, schema >= 3 ? "Node.js 1" : NULL);
        expect_text(&get.found.imports, schema >= 3 ? "" : NULL);
        assert_int_equal(get.found.cache.length, schema >= 3 ? 2 : 0);
        store_request_deinit(&get);

        assert_int_equal(suite_ask(suite, &describe), 0);
        assert_int_equal(describe.n_summaries, 2);
        assert_int_equal(describe.summaries[1].version, 998);
        assert_int_equal(describe.summaries[1].size, 2);
        assert_string_equal(describe.summaries[1].hash, python.hash);
        assert_int_equal(describe.n_aliases, 0);
        store_request_deinit(&describe);
        suite_expect_code(suite, "empty", 5, "");
        suite_expect_list(suite, "", NULL, 10, "empty old");
}

static void test_the_store_of_an_older_mayfly_is_brought_up_to_date(void **state)
{
        struct suite *suite = *state;
        char statements[sizeof first_schema + sizeof second_schema + sizeof third_schema];

        for (int schema = 1; schema <= 3; schema++) {
                snprintf(statements, sizeof statements, "%s%s%s", first_schema,
                        schema >= 2 ? second_schema : "", schema >= 3 ? third_schema : "");
                place_begin_with(suite, statements);
                expect_old_functions(suite, schema);
                suite_reopen(suite);
                expect_old_functions(suite, schema);
                assert_int_equal(suite_put(suite, "old", "py", 1), 1001);
                assert_int_equal(suite_set_alias(suite, "old", "before", 1000), 0);
                suite_expect_alias(suite, "old", "before", 1000);
        }
}

static void test_a_lock_puts_the_update_off(void **state)
{
        struct suite *suite = *state;
        sqlite3 *other;

        suite->store = store_free(suite->store);
        assert_int_equal(unlink(place_of(suite)->file), 0);
        other = place_sql(suite, first_schema);
        assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        place_expect_refusal(suite, place_of(suite)->directory, "locked");
        sqlite3_close(other);
        suite->store = suite->kind->open(suite->place, suite->base);
        expect_old_functions(suite, 1);
}

static void test_the_store_of_a_newer_mayfly_is_left_alone(void **state)
{
        struct suite *suite = *state;

        suite_put(suite, "a", "1", 1000);
        suite->store = store_free(suite->store);
        sqlite3_close(place_sql(suite, "PRAGMA user_version = 99"));
        place_expect_refusal(suite, place_of(suite)->directory, "newer mayfly (schema 99");
        place_expect_refusal(suite, "/nowhere/at/all", "No such file or directory");
        sqlite3_close(place_sql(suite, "PRAGMA user_version = 4"));
        suite->store = suite->kind->open(suite->place, suite->base);
        suite_expect_code(suite, "a", 0, "1");
}

/* Several at once, so that some wait behind others. */
static void test_a_locked_store_is_unavailable_and_recovers(void **state)
{
        struct suite *suite = *state;
        struct store_version given = suite_version("a", "2");
        struct store_request puts[5], check = { .operation = STORE_CHECK };
        sqlite3 *other;

        suite_put(suite, "a", "1", 1000);
        other = place_sql(suite, "BEGIN IMMEDIATE");
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
                puts[i] = (struct store_request){ .operation = STORE_PUT, .given = &given, .now_ms = 2000 };
                if (i + 1 < ARRAY_SIZE(puts)) {
                        puts[i].done = store_request_deinit;
                        store_start(suite->store, &puts[i]);
                }
        }
        suite_expect_code(suite, "a", 0, "1"); /* who reads does not wait */
        suite_expect_list(suite, "", NULL, 10, "a");
        place_expect_unavailable(suite, &puts[ARRAY_SIZE(puts) - 1], "locked");
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++)
                assert_int_equal(puts[i].r, STORE_UNAVAILABLE);
        place_expect_unavailable(suite, &check, "locked");
        suite_expect_code(suite, "a", 0, "1");
        sqlite3_close(other);
        assert_int_equal(suite_ask(suite, &check), 0);
        store_request_deinit(&check);
        assert_int_equal(suite_put(suite, "a", "2", 2000), 2000);
}

static void test_a_file_that_is_moved_away_is_missed(void **state)
{
        struct suite *suite = *state;
        struct store_request get = { .operation = STORE_GET, .path = "a" };
        struct store_request check = { .operation = STORE_CHECK };
        char away[112];

        snprintf(away, sizeof away, "%s.away", place_of(suite)->file);
        suite_put(suite, "a", "1", 1000);
        suite_expect_code(suite, "a", 0, "1");
        assert_int_equal(rename(place_of(suite)->file, away), 0);
        place_put_unavailable(suite, "a", "2", "unable to open");
        place_expect_unavailable(suite, &get, "unable to open");
        place_expect_unavailable(suite, &check, "unable to open");
        assert_int_equal(rename(away, place_of(suite)->file), 0);
        suite_expect_code(suite, "a", 0, "1");
        assert_int_equal(suite_put(suite, "a", "2", 1), 1001);
        suite_reopen(suite);
        suite_expect_code(suite, "a", 0, "2");
}

static void test_an_empty_file_in_its_place_does_not_look_like_no_functions(void **state)
{
        struct suite *suite = *state;
        struct store_request get = { .operation = STORE_GET, .path = "a" };
        char away[112];
        FILE *empty;

        snprintf(away, sizeof away, "%s.away", place_of(suite)->file);
        suite_put(suite, "a", "1", 1000);
        suite_reopen(suite); /* so that no journal is left */
        assert_int_equal(rename(place_of(suite)->file, away), 0);
        empty = fopen(place_of(suite)->file, "w");
        assert_non_null(empty);
        fclose(empty);
        place_put_unavailable(suite, "a", "2", "emptied");
        place_expect_unavailable(suite, &get, "emptied");
        assert_int_equal(rename(away, place_of(suite)->file), 0);
        suite_expect_code(suite, "a", 0, "1");
        assert_int_equal(suite_put(suite, "a", "2", 1), 1001);
}

/* The highest number that SQLite can hold. */
static void test_numbers_end_where_the_database_has_none_left(void **state)
{
        struct suite *suite = *state;
        struct store_version given = suite_version("a", "1");
        struct store_request restore = { .operation = STORE_RESTORE, .given = &given };
        struct store_request get = { .operation = STORE_GET, .path = "a", .version = INT64_MAX };

        given.version = (uint64_t)INT64_MAX + 1;
        assert_int_equal(suite_ask(suite, &restore), -EINVAL);
        given.version = 0;
        assert_int_equal(suite_ask(suite, &restore), -EINVAL);
        given.version = INT64_MAX;
        given.created_ms = UINT64_MAX;
        assert_int_equal(suite_ask(suite, &restore), 0);
        store_request_deinit(&restore);
        assert_int_equal(suite_ask(suite, &get), 0);
        assert_int_equal(get.found.version, INT64_MAX);
        assert_int_equal(get.found.created_ms, UINT64_MAX);
        store_request_deinit(&get);
        given.code = (struct store_bytes){ (char *)"2", 1 };
        restore.operation = STORE_PUT;
        assert_int_equal(suite_ask(suite, &restore), -EINVAL);
        store_request_deinit(&restore);
        suite_expect_code(suite, "a", 0, "1");
}

static void on_refused(struct store_request *request)
{
        request->done = NULL;
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

                request.done = on_refused;
                store_start(suite->store, &request);
                assert_non_null(request.done); /* never from within store_start() */
                while (request.done)
                        event_base_loop(suite->base, EVLOOP_ONCE);
                assert_int_equal(request.r, -EINVAL);
                store_request_deinit(&request);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                suite_test(test_the_store_of_an_older_mayfly_is_brought_up_to_date),
                suite_test(test_a_lock_puts_the_update_off),
                suite_test(test_the_store_of_a_newer_mayfly_is_left_alone),
                suite_test(test_a_locked_store_is_unavailable_and_recovers),
                suite_test(test_a_file_that_is_moved_away_is_missed),
                suite_test(test_an_empty_file_in_its_place_does_not_look_like_no_functions),
                suite_test(test_numbers_end_where_the_database_has_none_left),
                suite_test(test_what_is_not_asked_in_full_is_refused_later),
        };
        int n_failed = suite_run(&sqlite_kind);

        return n_failed + cmocka_run_group_tests_name("store: the database", tests, NULL, NULL);
}
