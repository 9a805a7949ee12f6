/* The embedded store keeps what it was given, counts versions upwards, and says when it cannot. */

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"

struct place {
        char directory[64];
        char file[96];
        struct store *store;
};

static void place_open(struct place *place)
{
        char error[256];

        assert_int_equal(store_open_sqlite(place->directory, &place->store, error, sizeof error), 0);
}

static int place_setup(void **state)
{
        struct place *place = calloc(1, sizeof *place);

        strcpy(place->directory, "/tmp/mayfly-store-XXXXXX");
        if (!mkdtemp(place->directory))
                return -1;
        snprintf(place->file, sizeof place->file, "%s/mayfly.db", place->directory);
        place_open(place);
        *state = place;
        return 0;
}

static int place_teardown(void **state)
{
        struct place *place = *state;
        char command[96];
        int r;

        store_free(place->store);
        snprintf(command, sizeof command, "rm -r %s", place->directory);
        r = system(command);
        free(place);
        return r;
}

static void place_reopen(struct place *place)
{
        place->store = store_free(place->store);
        place_open(place);
}

static uint64_t put(struct place *place, const char *path, const char *code, uint64_t now_ms)
{
        struct store_version function = { .path = (char *)path,
                .language = (char *)"python",
                .code = { .data = (char *)code, .length = strlen(code) } };
        uint64_t version = 0;

        assert_int_equal(store_put(place->store, &function, now_ms, &version), 0);
        return version;
}

static void expect_code(struct place *place, const char *path, uint64_t version, const char *code)
{
        struct store_version function;

        assert_int_equal(store_get(place->store, path, version, &function, NULL), 0);
        assert_string_equal(function.code.data, code);
        assert_string_equal(function.path, path);
        store_version_deinit(&function);
}

static void test_versions_rise_also_when_the_clock_does_not(void **state)
{
        struct place *place = *state;

        assert_int_equal(put(place, "a", "1", 1000), 1000);
        assert_int_equal(put(place, "a", "2", 1000), 1001);
        assert_int_equal(put(place, "a", "3", 500), 1002);
        assert_int_equal(put(place, "b", "4", 700), 700);
        assert_int_equal(put(place, "a", "5", 2000), 2000);
        expect_code(place, "a", 0, "5");
        expect_code(place, "a", 1001, "2");
        expect_code(place, "b", 0, "4");
}

static void test_it_is_there_after_reopening(void **state)
{
        static const char code[] = "nul \0 and \xff";
        struct place *place = *state;
        struct store_version function = { .path = (char *)"x/y",
                .language = (char *)"typescript",
                .code = { (char *)code, sizeof code - 1 },
                .compiled = { (char *)"js", 2 },
                .map = { (char *)"{}", 2 },
                .limits = { (char *)"{\"cpus\":1}", 10 },
                .cache = { (char *)code, sizeof code - 1 },
                .cache_for = { (char *)"Node.js 1", 9 },
                .imports = { (char *)"a b", 3 } };
        struct store_version found;
        uint64_t version, latest;

        assert_int_equal(store_put(place->store, &function, 5000, &version), 0);
        place_reopen(place);
        assert_int_equal(store_get(place->store, "x/y", version, &found, &latest), 0);
        assert_int_equal(found.code.length, sizeof code - 1);
        assert_memory_equal(found.code.data, code, sizeof code);
        assert_string_equal(found.language, "typescript");
        assert_string_equal(found.compiled.data, "js");
        assert_string_equal(found.map.data, "{}");
        assert_string_equal(found.limits.data, "{\"cpus\":1}");
        assert_int_equal(found.limits.length, 10);
        assert_int_equal(found.cache.length, sizeof code - 1);
        assert_memory_equal(found.cache.data, code, sizeof code);
        assert_string_equal(found.cache_for.data, "Node.js 1");
        assert_string_equal(found.imports.data, "a b");
        assert_int_equal(found.version, 5000);
        assert_int_equal(found.created_ms, 5000);
        assert_int_equal(latest, 5000);
        store_version_deinit(&found);
        assert_int_equal(put(place, "x/y", "", 1), 5001);
        expect_code(place, "x/y", 0, "");
        assert_int_equal(store_get(place->store, "x/y", 0, &found, NULL), 0);
        assert_null(found.compiled.data);
        assert_null(found.limits.data);
        assert_null(found.cache.data);
        assert_null(found.cache_for.data);
        assert_null(found.imports.data);
        store_version_deinit(&found);
}

static void test_compiled_code_is_replaced_in_its_own_version(void **state)
{
        struct place *place = *state;
        struct store_version function = { .path = (char *)"a",
                .version = 1001,
                .cache = { (char *)"code", 4 },
                .cache_for = { (char *)"CPython 1", 9 },
                .imports = { (char *)"", 0 } };
        struct store_version found;

        for (uint64_t version = 1000; version <= 1002; version++)
                assert_int_equal(put(place, "a", "1", version), version);
        assert_int_equal(store_put_cache(place->store, &function), 0);
        place_reopen(place);
        for (uint64_t version = 1000; version <= 1002; version++) {
                assert_int_equal(store_get(place->store, "a", version, &found, NULL), 0);
                assert_string_equal(found.code.data, "1");
                if (version == 1001) {
                        assert_string_equal(found.cache.data, "code");
                        assert_string_equal(found.cache_for.data, "CPython 1");
                        assert_string_equal(found.imports.data, "");
                } else {
                        assert_null(found.cache.data);
                        assert_null(found.cache_for.data);
                }
                store_version_deinit(&found);
        }
        function.version = 7;
        assert_int_equal(store_put_cache(place->store, &function), STORE_NOT_FOUND);
}

static void test_absent_is_not_found(void **state)
{
        struct place *place = *state;
        struct store_version found;

        put(place, "a", "1", 1000);
        assert_int_equal(store_get(place->store, "b", 0, &found, NULL), STORE_NOT_FOUND);
        assert_int_equal(store_get(place->store, "a", 999, &found, NULL), STORE_NOT_FOUND);
        assert_int_equal(store_get(place->store, "a", UINT64_MAX, &found, NULL), STORE_NOT_FOUND);
        assert_int_equal(store_get(place->store, "A", 0, &found, NULL), STORE_NOT_FOUND);
        assert_int_equal(store_check(place->store), 0);
}

static void sql(struct place *place, sqlite3 **ret_db, const char *statement)
{
        assert_int_equal(sqlite3_open(place->file, ret_db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(*ret_db, statement, NULL, NULL, NULL), SQLITE_OK);
}

static void test_a_locked_store_is_unavailable_and_recovers(void **state)
{
        struct place *place = *state;
        struct store_version function = {
                .path = (char *)"a", .language = (char *)"python", .code = { (char *)"2", 1 }
        };
        uint64_t version = 77;
        sqlite3 *db;

        put(place, "a", "1", 1000);
        sql(place, &db, "BEGIN IMMEDIATE");
        assert_int_equal(store_put(place->store, &function, 2000, &version), STORE_UNAVAILABLE);
        assert_int_equal(version, 77);
        assert_non_null(strstr(store_reason(place->store), "locked"));
        expect_code(place, "a", 0, "1"); /* WAL: readers do not wait for a writer */
        sqlite3_close(db);
        assert_int_equal(put(place, "a", "2", 2000), 2000);
}

static void test_a_damaged_file_is_unavailable(void **state)
{
        struct place *place = *state;
        struct store_version found;
        struct store *store = NULL;
        char error[256] = "";
        FILE *file;

        for (int i = 0; i < 50; i++)
                put(place, "a", "some code that fills a few pages of the database", (uint64_t)i + 1);
        place->store = store_free(place->store);
        file = fopen(place->file, "r+");
        assert_non_null(file);
        fseek(file, 4096, SEEK_SET);
        for (int i = 0; i < 65536; i++)
                fputc(0xa5, file);
        fclose(file);
        place_open(place); /* the first page, with the schema, is whole */
        assert_int_equal(store_get(place->store, "a", 0, &found, NULL), STORE_UNAVAILABLE);
        place->store = store_free(place->store);

        file = fopen(place->file, "w");
        assert_non_null(file);
        fputs("this is no database, and it is longer than a header of one would be: at least 100 bytes of "
              "text, "
              "so that it is not taken for an empty file",
                file);
        fclose(file);
        assert_int_equal(store_open_sqlite(place->directory, &store, error, sizeof error), STORE_UNAVAILABLE);
        assert_non_null(strstr(error, "not a database"));
}

/* As the first mayfly made it, and with one function of its time. */
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
        " CAST('js' AS BLOB), CAST('{}' AS BLOB))";

static void place_begin_with(struct place *place, const char *statements)
{
        sqlite3 *db;

        place->store = store_free(place->store);
        assert_int_equal(unlink(place->file), 0);
        sql(place, &db, statements);
        sqlite3_close(db);
        place_open(place);
}

static void test_the_store_of_an_older_mayfly_is_brought_up_to_date(void **state)
{
        struct place *place = *state;
        struct store_version function = { .path = (char *)"old",
                .language = (char *)"python",
                .code = { (char *)"2", 1 },
                .limits = { (char *)"{}", 2 } };
        struct store_version found;
        uint64_t version;

        place_begin_with(place, first_schema);
        for (int i = 0; i < 2; i++, place_reopen(place)) {
                assert_int_equal(store_get(place->store, "old", 1000, &found, NULL), 0);
                assert_string_equal(found.code.data, "ts");
                assert_string_equal(found.compiled.data, "js");
                assert_string_equal(found.map.data, "{}");
                assert_string_equal(found.language, "typescript");
                assert_int_equal(found.created_ms, 900);
                assert_null(found.limits.data);
                assert_null(found.cache_for.data);
                store_version_deinit(&found);
        }
        assert_int_equal(store_put(place->store, &function, 500, &version), 0);
        assert_int_equal(version, 1001);
        assert_int_equal(store_get(place->store, "old", 0, &found, NULL), 0);
        assert_string_equal(found.limits.data, "{}");
        store_version_deinit(&found);
        expect_code(place, "old", 1000, "ts");
}

static void test_the_second_schema_too(void **state)
{
        struct place *place = *state;
        char statements[2 * sizeof first_schema];
        struct store_version found;

        snprintf(statements, sizeof statements,
                "%s; ALTER TABLE function_version ADD COLUMN limits TEXT; PRAGMA user_version = 2;"
                "UPDATE function_version SET limits = '{\"cpus\":2}'",
                first_schema);
        place_begin_with(place, statements);
        assert_int_equal(store_get(place->store, "old", 0, &found, NULL), 0);
        assert_string_equal(found.compiled.data, "js");
        assert_string_equal(found.limits.data, "{\"cpus\":2}");
        assert_null(found.cache.data);
        assert_null(found.cache_for.data);
        assert_null(found.imports.data);
        store_version_deinit(&found);
}

static void test_a_lock_puts_the_update_off(void **state)
{
        struct place *place = *state;
        struct store *store = NULL;
        char error[256] = "";
        sqlite3 *writer;

        place->store = store_free(place->store);
        assert_int_equal(unlink(place->file), 0);
        sql(place, &writer, first_schema);
        assert_int_equal(sqlite3_exec(writer, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(store_open_sqlite(place->directory, &store, error, sizeof error), STORE_UNAVAILABLE);
        assert_non_null(strstr(error, "locked"));
        sqlite3_close(writer);
        place_open(place);
        expect_code(place, "old", 0, "ts");
        assert_int_equal(put(place, "new", "1", 1), 1);
}

static void test_the_store_of_a_newer_mayfly_is_left_alone(void **state)
{
        struct place *place = *state;
        struct store *store = NULL;
        char error[256] = "";
        sqlite3 *db;

        place->store = store_free(place->store);
        sql(place, &db, "PRAGMA user_version = 99");
        sqlite3_close(db);
        assert_int_equal(store_open_sqlite(place->directory, &store, error, sizeof error), STORE_UNAVAILABLE);
        assert_non_null(strstr(error, "newer mayfly"));
        assert_int_equal(
                store_open_sqlite("/nowhere/at/all", &store, error, sizeof error), STORE_UNAVAILABLE);
        assert_non_null(strstr(error, "/nowhere/at/all"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_versions_rise_also_when_the_clock_does_not, place_setup, place_teardown),
                cmocka_unit_test_setup_teardown(
                        test_it_is_there_after_reopening, place_setup, place_teardown),
                cmocka_unit_test_setup_teardown(test_absent_is_not_found, place_setup, place_teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_locked_store_is_unavailable_and_recovers, place_setup, place_teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_damaged_file_is_unavailable, place_setup, place_teardown),
                cmocka_unit_test_setup_teardown(
                        test_the_store_of_an_older_mayfly_is_brought_up_to_date, place_setup, place_teardown),
                cmocka_unit_test_setup_teardown(test_the_second_schema_too, place_setup, place_teardown),
                cmocka_unit_test_setup_teardown(
                        test_compiled_code_is_replaced_in_its_own_version, place_setup, place_teardown),
                cmocka_unit_test_setup_teardown(test_a_lock_puts_the_update_off, place_setup, place_teardown),
                cmocka_unit_test_setup_teardown(
                        test_the_store_of_a_newer_mayfly_is_left_alone, place_setup, place_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
