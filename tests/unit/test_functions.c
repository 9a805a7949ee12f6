/* Paths, the cache, and the functions in front of a real store. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/macros.h"
#include "server/cache.h"
#include "server/functions.h"
#include "store/store.h"

static void test_paths(void **state)
{
        static const char *const good[] = { "a", "a/b", "test/calculator", "A-Z_0.9", "...", "a/.../b", ".a",
                "a..b" };
        static const char *const bad[] = { "", "/", "a/", "/a", "a//b", ".", "..", "a/.", "./a", "a/../b",
                "a b", "a%b", "\xc3\xa9", "a\n", "a\\b", "a?b" };
        char longest[FUNCTION_PATH_MAX + 1];

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                assert_true(function_path_valid(good[i], strlen(good[i])));
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_false(function_path_valid(bad[i], strlen(bad[i])));
        memset(longest, 'a', sizeof longest);
        assert_true(function_path_valid(longest, FUNCTION_PATH_MAX));
        assert_false(function_path_valid(longest, FUNCTION_PATH_MAX + 1));
        assert_false(function_path_valid("a\0b", 3));
}

static struct script *script(const char *path, uint64_t version, size_t code_length)
{
        struct script *made =
                script_new(GUEST_PYTHON, path ? strdup(path) : NULL, calloc(1, code_length + 1), code_length);

        made->version = version;
        return made;
}

static void keep(struct cache *cache, struct script *made, bool is_latest)
{
        cache_put(cache, made, is_latest);
        script_unref(made);
}

static void test_the_cache_knows_versions_and_the_latest(void **state)
{
        struct cache *cache = cache_new(1 << 20);

        (void)state;
        assert_null(cache_find(cache, "a", 0));
        keep(cache, script("a", 1, 10), false);
        assert_null(cache_find(cache, "a", 0));
        assert_int_equal(cache_find(cache, "a", 1)->version, 1);
        keep(cache, script("a", 2, 10), true);
        keep(cache, script("b", 9, 10), true);
        assert_int_equal(cache_find(cache, "a", 0)->version, 2);
        keep(cache, script("a", 1, 10), true); /* an older answer of the store takes nothing back */
        assert_int_equal(cache_find(cache, "a", 0)->version, 2);
        keep(cache, script("a", 3, 10), true);
        assert_int_equal(cache_find(cache, "a", 0)->version, 3);
        assert_int_equal(cache_find(cache, "a", 2)->version, 2);
        assert_int_equal(cache_find(cache, "b", 0)->version, 9);
        cache_free(cache);
}

static void test_the_cache_has_a_bound(void **state)
{
        struct cache *cache = cache_new(10000);

        (void)state;
        for (uint64_t i = 1; i <= 50; i++) {
                keep(cache, script("a", i, 1000), true);
                assert_true(cache_size(cache) <= 10000);
                keep(cache, script("used", 1, 1000), true);
                assert_non_null(cache_find(cache, "used", 1));
        }
        assert_null(cache_find(cache, "a", 1));
        assert_int_equal(cache_find(cache, "a", 0)->version, 50);
        keep(cache, script("large", 1, 20000), true);
        assert_null(cache_find(cache, "large", 1));
        assert_true(cache_size(cache) <= 10000);
        cache_free(cache);
}

static void test_the_cache_knows_code(void **state)
{
        struct cache *cache = cache_new(1 << 20);
        char code[8] = { 0 };

        (void)state;
        keep(cache, script(NULL, 0, 8), false);
        assert_non_null(cache_find_code(cache, code, 8));
        assert_null(cache_find_code(cache, code, 7));
        code[3] = 1;
        assert_null(cache_find_code(cache, code, 8));
        cache_free(cache);
}

/* One answer at a time. */
struct told {
        struct event_base *base;
        int r;
        uint64_t version;
};

static void tell(int r, struct script *found, void *context)
{
        struct told *told = context;

        told->r = r;
        told->version = r == 0 ? found->version : 0;
        event_base_loopbreak(told->base);
}

static void load(struct functions *functions, struct told *told, const char *path, uint64_t version)
{
        assert_int_equal(functions_load(functions, path, version, tell, told), 0);
        event_base_dispatch(told->base);
}

static void upload(struct functions *functions, struct told *told, const char *path)
{
        struct script *made = script(path, 0, 3);

        assert_int_equal(functions_upload(functions, made, tell, told), 0);
        event_base_dispatch(told->base);
        script_unref(made);
}

static void test_uploads_are_found_in_memory_and_in_the_store(void **state)
{
        char directory[] = "/tmp/mayfly-functions-XXXXXX", command[64], error[256];
        struct told told = { .base = event_base_new() };
        struct functions *functions;
        struct store *store;
        uint64_t first = 0, last = 0;

        (void)state;
        assert_non_null(mkdtemp(directory));
        assert_int_equal(store_open_sqlite(directory, &store, error, sizeof error), 0);
        assert_int_equal(functions_new(told.base, store, 1 << 20, &functions), 0);
        load(functions, &told, "a", 0);
        assert_int_equal(told.r, FUNCTIONS_NOT_FOUND);
        for (int i = 0; i < 20; i++, last = told.version) {
                upload(functions, &told, "a");
                assert_int_equal(told.r, 0);
                assert_true(told.version > last);
                first = i == 0 ? told.version : first;
        }
        assert_int_equal(functions_find(functions, "a", 0)->version, last);
        assert_int_equal(functions_find(functions, "a", first)->version, first);
        functions_free(functions);

        assert_int_equal(store_open_sqlite(directory, &store, error, sizeof error), 0);
        assert_int_equal(functions_new(told.base, store, 1 << 20, &functions), 0);
        load(functions, &told, "a", first);
        assert_int_equal(told.version, first);
        assert_null(functions_find(functions, "a", 0));
        load(functions, &told, "a", 0);
        assert_int_equal(told.version, last);
        assert_non_null(functions_find(functions, "a", 0));
        load(functions, &told, "a", first + 1000000);
        assert_int_equal(told.r, FUNCTIONS_NOT_FOUND);
        assert_true(functions_store_up(functions));
        functions_free(functions);

        event_base_free(told.base);
        snprintf(command, sizeof command, "rm -r %s", directory);
        assert_int_equal(system(command), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_paths),
                cmocka_unit_test(test_the_cache_knows_versions_and_the_latest),
                cmocka_unit_test(test_the_cache_has_a_bound),
                cmocka_unit_test(test_the_cache_knows_code),
                cmocka_unit_test(test_uploads_are_found_in_memory_and_in_the_store),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
