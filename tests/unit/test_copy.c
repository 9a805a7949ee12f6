/* What mayfly import does between two stores, which are embedded ones here: all of it, once, and nothing
 * else. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "cli/copy.h"
#include "store/store.h"

struct place {
        struct event_base *base;
        char from_directory[64], to_directory[64];
        struct store *from, *to;
};

static char refusals[4096]; /* a line each */

static void tell(const char *path, const char *what, const char *why)
{
        size_t used = strlen(refusals);

        snprintf(refusals + used, sizeof refusals - used, "%s, %s: %s\n", path, what, why);
}

static struct store *open_store(struct place *place, char *directory)
{
        struct store *store = NULL;
        char error[256] = "";

        strcpy(directory, "/tmp/mayfly-copy-XXXXXX");
        assert_non_null(mkdtemp(directory));
        if (store_open_sqlite(place->base, directory, &store, error, sizeof error) != 0)
                fail_msg("%s", error);
        return store;
}

static int place_setup(void **state)
{
        struct place *place = calloc(1, sizeof *place);

        place->base = event_base_new();
        place->from = open_store(place, place->from_directory);
        place->to = open_store(place, place->to_directory);
        refusals[0] = 0;
        *state = place;
        return 0;
}

static int place_teardown(void **state)
{
        struct place *place = *state;
        char command[160];
        int r;

        store_free(place->from);
        store_free(place->to);
        event_base_free(place->base);
        snprintf(command, sizeof command, "rm -r %s %s", place->from_directory, place->to_directory);
        r = system(command);
        free(place);
        return r;
}

static void add(
        struct place *place, struct store *store, const char *path, uint64_t version, const char *code)
{
        struct store_version given = {
                .path = (char *)path,
                .language = "python",
                .version = version,
                .created_ms = version + 7,
                .code = { (char *)code, strlen(code) },
                .compiled = { "js", 2 },
                .limits = { "{\"cpus\":1}", 10 },
                .cache = { "\0bytes", 6 },
                .cache_for = { "build", 5 },
                .imports = { "numpy", 5 },
        };
        struct store_request request = { .operation = STORE_RESTORE, .given = &given };

        store_hash(code, strlen(code), given.hash);
        assert_int_equal(store_wait(store, place->base, &request), 0);
        store_request_deinit(&request);
}

static void set_alias(
        struct place *place, struct store *store, const char *path, const char *alias, uint64_t version)
{
        struct store_request request = {
                .operation = STORE_SET_ALIAS, .path = path, .alias = alias, .version = version, .limit = 1000
        };

        assert_int_equal(store_wait(store, place->base, &request), 0);
        store_request_deinit(&request);
}

/* The request is the caller's to deinit. */
static void get(struct place *place, const char *path, const char *alias, uint64_t version,
        struct store_request *request)
{
        *request = (struct store_request){
                .operation = STORE_GET, .path = path, .alias = alias, .version = version
        };
        assert_int_equal(store_wait(place->to, place->base, request), 0);
}

static struct copy run(struct place *place, struct store *to)
{
        struct copy copy = { .base = place->base, .from = place->from, .to = to, .refused = tell };
        int r = copy_run(&copy);

        if (r != 0)
                fail_msg("%d: %s", r, copy.reason);
        copy_deinit(&copy);
        return copy;
}

/* Behind the store's back. */
static void run_sql(const char *directory, const char *sql)
{
        char file[96];
        sqlite3 *database;

        snprintf(file, sizeof file, "%s/mayfly.db", directory);
        assert_int_equal(sqlite3_open(file, &database), SQLITE_OK);
        if (sqlite3_exec(database, sql, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s", sqlite3_errmsg(database));
        sqlite3_close(database);
}

static void test_everything_arrives_as_it_was(void **state)
{
        struct place *place = *state;
        struct store_request got;
        struct copy copy;

        add(place, place->from, "a/b", 1600000000, "old");
        add(place, place->from, "a/b", 1700000000123, "new");
        add(place, place->from, "c", 5, "");
        set_alias(place, place->from, "a/b", "prod", 1600000000);
        copy = run(place, place->to);
        assert_int_equal(copy.n_functions, 2);
        assert_int_equal(copy.n_versions, 3);
        assert_int_equal(copy.n_new_versions, 3);
        assert_int_equal(copy.n_aliases, 1);
        assert_int_equal(copy.n_new_aliases, 1);
        assert_int_equal(copy.n_refused, 0);

        get(place, "a/b", "prod", 0, &got);
        assert_int_equal(got.latest, 1700000000123);
        assert_int_equal(got.found.version, 1600000000);
        assert_int_equal(got.found.created_ms, 1600000007);
        assert_string_equal(got.found.language, "python");
        assert_string_equal(got.found.code.data, "old");
        assert_string_equal(got.found.compiled.data, "js");
        assert_string_equal(got.found.limits.data, "{\"cpus\":1}");
        assert_memory_equal(got.found.cache.data, "\0bytes", 6);
        assert_string_equal(got.found.cache_for.data, "build");
        assert_string_equal(got.found.imports.data, "numpy");
        assert_int_equal(strlen(got.found.hash), STORE_HASH_SIZE - 1);
        store_request_deinit(&got);
}

static void test_a_second_copy_adds_what_is_new_and_changes_nothing(void **state)
{
        struct place *place = *state;
        struct store_request got;
        struct copy copy;

        add(place, place->from, "f", 10, "ten");
        add(place, place->from, "f", 20, "twenty");
        set_alias(place, place->from, "f", "prod", 10);
        run(place, place->to);
        set_alias(place, place->to, "f", "prod", 20); /* moved where it is served now */
        add(place, place->to, "f", 40, "ours");
        add(place, place->from, "f", 30, "thirty");
        copy = run(place, place->to);
        assert_int_equal(copy.n_versions, 3);
        assert_int_equal(copy.n_new_versions, 1);
        assert_int_equal(copy.n_aliases, 1);
        assert_int_equal(copy.n_new_aliases, 0);

        get(place, "f", "prod", 0, &got);
        assert_int_equal(got.found.version, 20);
        assert_int_equal(got.latest, 40);
        store_request_deinit(&got);
        copy = run(place, place->to);
        assert_int_equal(copy.n_new_versions, 0);
        assert_int_equal(copy.n_refused, 0);
}

static void test_what_cannot_be_copied_is_named_and_the_rest_is_copied(void **state)
{
        struct place *place = *state;
        struct store_request got;
        struct copy copy;

        add(place, place->from, "fine", 1, "one");
        add(place, place->from, "fine", 2, "two");
        add(place, place->from, "with blank", 3, "three");
        add(place, place->from, "../../etc", 4, "four");
        add(place, place->from, "f/aliases/prod", 5, "five"); /* none is uploaded so, but go-faas may have */
        add(place, place->from, "zz", 6, "six");
        set_alias(place, place->from, "fine", "broken", 1);
        run_sql(place->from_directory, "UPDATE function_version SET code = x'656e6f' WHERE version = 1");
        copy = run(place, place->to);
        assert_int_equal(copy.n_functions, 5);
        assert_int_equal(copy.n_new_versions, 3);
        assert_int_equal(copy.n_refused, 4);
        assert_non_null(strstr(refusals, "fine, version 1: it is damaged"));
        assert_non_null(strstr(refusals, "fine, alias broken: its version 1 is not there"));
        assert_non_null(strstr(refusals, "with blank, function"));
        assert_non_null(strstr(refusals, "../../etc, function"));
        get(place, "zz", NULL, 6, &got);
        store_request_deinit(&got);
}

static void test_more_than_a_page_of_functions_and_of_versions(void **state)
{
        enum { FUNCTIONS = 520, VERSIONS = 1100 };
        struct place *place = *state;
        struct copy copy;

        for (int i = 0; i < FUNCTIONS; i++) {
                char path[32];

                snprintf(path, sizeof path, "f-%04d", i);
                add(place, place->from, path, 1, "x");
        }
        for (uint64_t i = 2; i <= VERSIONS; i++)
                add(place, place->from, "f-0300", i, "x");
        copy = run(place, NULL);
        assert_int_equal(copy.n_functions, FUNCTIONS);
        assert_int_equal(copy.n_new_versions, FUNCTIONS + VERSIONS - 1);
        copy = run(place, place->to);
        assert_int_equal(copy.n_new_versions, FUNCTIONS + VERSIONS - 1);
        copy = run(place, place->to);
        assert_int_equal(copy.n_versions, FUNCTIONS + VERSIONS - 1);
        assert_int_equal(copy.n_new_versions, 0);
}

static void test_paths_from_elsewhere_are_taken_once(void **state)
{
        struct place *place = *state;
        struct copy copy = { .base = place->base, .from = place->from, .to = place->to, .refused = tell };

        add(place, place->from, "listed", 1, "one");
        for (int i = 0; i < 2; i++) {
                assert_int_equal(copy_add_path(&copy, "listed"), 0);
                assert_int_equal(copy_add_path(&copy, "not there"), 0);
                assert_int_equal(copy_add_path(&copy, "gone"), 0);
        }
        assert_int_equal(copy_run(&copy), 0);
        assert_int_equal(copy.n_functions, 3);
        assert_int_equal(copy.n_new_versions, 1);
        assert_int_equal(copy.n_refused, 2);
        assert_non_null(strstr(refusals, "gone, function: it has no version"));
        copy_deinit(&copy);
}

static void test_without_a_place_to_write_to_everything_is_read(void **state)
{
        struct place *place = *state;
        struct store_request list = { .operation = STORE_LIST, .path = "", .limit = 1 };
        struct copy copy;

        add(place, place->from, "f", 1, "one");
        add(place, place->from, "f", 2, "two");
        run_sql(place->from_directory, "UPDATE function_version SET code = x'656e6f' WHERE version = 1");
        copy = run(place, NULL);
        assert_int_equal(copy.n_versions, 2);
        assert_int_equal(copy.n_new_versions, 1);
        assert_int_equal(copy.n_refused, 1);
        assert_int_equal(store_wait(place->to, place->base, &list), 0);
        assert_int_equal(list.n_summaries, 0);
        store_request_deinit(&list);
}

int main(void)
{
#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_setup, place_teardown)
        static const struct CMUnitTest tests[] = {
                IN_PLACE(test_everything_arrives_as_it_was),
                IN_PLACE(test_a_second_copy_adds_what_is_new_and_changes_nothing),
                IN_PLACE(test_what_cannot_be_copied_is_named_and_the_rest_is_copied),
                IN_PLACE(test_more_than_a_page_of_functions_and_of_versions),
                IN_PLACE(test_paths_from_elsewhere_are_taken_once),
                IN_PLACE(test_without_a_place_to_write_to_everything_is_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
