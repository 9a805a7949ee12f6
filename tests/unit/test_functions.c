/* Paths, the cache, and the functions in front of a real store. */

#include <errno.h>
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
#include <event2/event.h>

#include "base/macros.h"
#include "base/settings.h"
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

static void test_imports_have_one_form(void **state)
{
        static const char *const good[] = { "a", "a b", "numpy os.path", "A _b.c9.D", "a a.b ab" };
        static const char *const bad[] = { "", " ", "a ", " a", "a  b", "b a", "a a", "a.b a", "ab a", "9a",
                "a.", ".a", "a..b", "a.9", "a-b", "a\nb", "a\tb", "\xc3\xa9", "a,b", "a/b" };
        char longest[IMPORTS_MAX_BYTES + 2], many[IMPORTS_MAX * 3 + 3] = "";
        struct script *made = script("a", 1, 1);

        (void)state;
        assert_string_equal(made->imports, "");
        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                assert_int_equal(script_set_imports(made, good[i], strlen(good[i])), 0);
                assert_string_equal(made->imports, good[i]);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_int_equal(script_set_imports(made, bad[i], strlen(bad[i])), 0);
                assert_string_equal(made->imports, "");
        }
        assert_int_equal(script_set_imports(made, "a\0b", 3), 0);
        assert_string_equal(made->imports, "");

        memset(longest, 'a', sizeof longest);
        for (size_t length = IMPORTS_MAX_BYTES; length < sizeof longest; length++) {
                assert_int_equal(script_set_imports(made, longest, length), 0);
                assert_int_equal(strlen(made->imports), length == IMPORTS_MAX_BYTES ? length : 0);
        }
        for (int i = 0; i <= IMPORTS_MAX; i++) {
                sprintf(many + strlen(many), "%s%c%c", i ? " " : "", 'a' + i / 26, 'a' + i % 26);
                assert_int_equal(script_set_imports(made, many, strlen(many)), 0);
                assert_int_equal(strlen(made->imports), i < IMPORTS_MAX ? strlen(many) : 0);
        }
        script_unref(made);
}

static const struct settings settings = {
        .cache_max_bytes = 1 << 20,
        .timeout_script_ms = 30000,
        .max_processes = 64,
};

/* Functions in front of a store in a directory of their own. One answer at a time. */
struct shop {
        char directory[64];
        struct event_base *base;
        struct functions *functions;
        int r;
        uint64_t version;
        struct limits limits;
};

static void shop_start(struct shop *shop, const struct settings *with)
{
        struct store *store;
        char error[256];

        assert_int_equal(store_open_sqlite(shop->directory, &store, error, sizeof error), 0);
        assert_int_equal(functions_new(shop->base, store, with, &shop->functions), 0);
}

static void shop_restart(struct shop *shop, const struct settings *with)
{
        functions_free(shop->functions);
        shop_start(shop, with);
}

static int shop_setup(void **state)
{
        struct shop *shop = calloc(1, sizeof *shop);

        strcpy(shop->directory, "/tmp/mayfly-functions-XXXXXX");
        if (!mkdtemp(shop->directory))
                return -1;
        shop->base = event_base_new();
        shop_start(shop, &settings);
        *state = shop;
        return 0;
}

static int shop_teardown(void **state)
{
        struct shop *shop = *state;
        char command[96];
        int r;

        functions_free(shop->functions);
        event_base_free(shop->base);
        snprintf(command, sizeof command, "rm -r %s", shop->directory);
        r = system(command);
        free(shop);
        return r;
}

static void tell(int r, struct script *found, void *context)
{
        struct shop *shop = context;

        shop->r = r;
        shop->version = r == 0 ? found->version : 0;
        shop->limits = r == 0 ? found->limits : (struct limits){ 0 };
        event_base_loopbreak(shop->base);
}

static void load(struct shop *shop, const char *path, uint64_t version)
{
        assert_int_equal(functions_load(shop->functions, path, version, tell, shop), 0);
        event_base_dispatch(shop->base);
}

static void upload(struct shop *shop, const char *path, struct limits limits)
{
        struct script *made = script(path, 0, 3);

        made->limits = limits;
        assert_int_equal(functions_upload(shop->functions, made, tell, shop), 0);
        event_base_dispatch(shop->base);
        script_unref(made);
        assert_int_equal(shop->r, 0);
}

static void test_uploads_are_found_in_memory_and_in_the_store(void **state)
{
        struct shop *shop = *state;
        uint64_t first = 0, last = 0;

        load(shop, "a", 0);
        assert_int_equal(shop->r, FUNCTIONS_NOT_FOUND);
        for (int i = 0; i < 20; i++, last = shop->version) {
                upload(shop, "a", (struct limits){ 0 });
                assert_true(shop->version > last);
                first = i == 0 ? shop->version : first;
        }
        assert_int_equal(functions_find(shop->functions, "a", 0)->version, last);
        assert_int_equal(functions_find(shop->functions, "a", first)->version, first);

        shop_restart(shop, &settings);
        load(shop, "a", first);
        assert_int_equal(shop->version, first);
        assert_null(functions_find(shop->functions, "a", 0));
        load(shop, "a", 0);
        assert_int_equal(shop->version, last);
        assert_non_null(functions_find(shop->functions, "a", 0));
        load(shop, "a", first + 1000000);
        assert_int_equal(shop->r, FUNCTIONS_NOT_FOUND);
        assert_true(functions_store_up(shop->functions));
}

static void test_each_version_keeps_its_limits(void **state)
{
        struct settings lower = settings;
        struct shop *shop = *state;
        uint64_t first, second;

        upload(shop, "a", (struct limits){ .timeout_ms = 20000, .processes = 8 });
        first = shop->version;
        upload(shop, "a", (struct limits){ 0 });
        second = shop->version;
        assert_int_equal(functions_find(shop->functions, "a", first)->limits.processes, 8);
        assert_int_equal(functions_find(shop->functions, "a", 0)->limits.processes, 0);

        lower.timeout_script_ms = 5000; /* lowered since the upload */
        shop_restart(shop, &lower);
        load(shop, "a", first);
        assert_int_equal(shop->limits.timeout_ms, 5000);
        assert_int_equal(shop->limits.processes, 8);
        load(shop, "a", second);
        assert_int_equal(shop->limits.timeout_ms, 0);

        shop_restart(shop, &settings); /* and raised again */
        load(shop, "a", first);
        assert_int_equal(shop->limits.timeout_ms, 20000);
}

static void spoil(const struct shop *shop, const char *statement)
{
        char file[96];
        sqlite3 *db;

        snprintf(file, sizeof file, "%s/mayfly.db", shop->directory);
        assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, statement, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
}

static void test_a_damaged_row_is_not_run_without_its_limits(void **state)
{
        static const char *const damages[] = {
                "UPDATE function_version SET limits = 'nonsense' WHERE path = 'a'",
                "UPDATE function_version SET limits = '' WHERE path = 'a'",
                "UPDATE function_version SET limits = '{\"processes\":\"8\"}' WHERE path = 'a'",
                "UPDATE function_version SET limits = NULL, language = 'perl' WHERE path = 'a'",
        };
        struct shop *shop = *state;

        upload(shop, "a", (struct limits){ .processes = 8 });
        upload(shop, "b", (struct limits){ .processes = 8 });
        for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
                spoil(shop, damages[i]);
                shop_restart(shop, &settings);
                load(shop, "a", 0);
                assert_int_equal(shop->r, -EBADMSG);
                assert_null(functions_find(shop->functions, "a", 0));
                load(shop, "b", 0);
                assert_int_equal(shop->r, 0);
                assert_true(functions_store_up(shop->functions));
        }
}

static void expect_kept(
        const struct script *found, const char *cache, const char *cache_for, const char *imports)
{
        if (cache)
                assert_string_equal(found->cache.data, cache);
        else
                assert_null(found->cache.data);
        if (cache_for)
                assert_string_equal(found->cache_for, cache_for);
        else
                assert_null(found->cache_for);
        assert_string_equal(found->imports, imports);
}

static void test_compiled_code_is_found_again_unless_its_seal_is_broken(void **state)
{
        static const char *const damages[] = {
                "UPDATE function_version SET cache = CAST('codf' AS BLOB)",
                "UPDATE function_version SET cache = NULL",
                "UPDATE function_version SET code = CAST('other' AS BLOB)",
                "UPDATE function_version SET cache_for = 'CPython 3'",
                "UPDATE function_version SET cache_for = ''",
                "UPDATE function_version SET cache_for = NULL",
                "UPDATE function_version SET cache_for = cache_for || '0'",
        };
        struct shop *shop = *state;
        struct script *made;

        upload(shop, "a", (struct limits){ 0 });
        shop_restart(shop, &settings);
        load(shop, "a", 0);
        made = functions_find(shop->functions, "a", 0);
        expect_kept(made, NULL, NULL, "");
        for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
                assert_int_equal(script_set_imports(made, "json", 4), 0);
                assert_int_equal(script_set_cache(made, "code", 4, "CPython 3 #1"), 0);
                assert_int_equal(functions_keep_cache(shop->functions, made, tell, shop), 0);
                event_base_dispatch(shop->base);
                assert_int_equal(shop->r, 0);
                shop_restart(shop, &settings);
                load(shop, "a", 0);
                expect_kept(functions_find(shop->functions, "a", 0), "code", "CPython 3 #1", "json");

                spoil(shop, damages[i]);
                shop_restart(shop, &settings);
                load(shop, "a", 0);
                assert_int_equal(shop->r, 0);
                made = functions_find(shop->functions, "a", 0);
                expect_kept(made, NULL, NULL, "json");
        }
}

static void test_the_cache_counts_compiled_code(void **state)
{
        struct cache *cache = cache_new(10000);
        struct script *grown = script("a", 1, 1000), *other = script("a", 1, 1000);
        size_t before;

        (void)state;
        cache_put(cache, grown, true);
        before = cache_size(cache);
        assert_int_equal(script_set_cache(grown, "0123456789", 10, "x"), 0);
        cache_weigh(cache, other); /* not the one that is here */
        assert_int_equal(cache_size(cache), before);
        cache_weigh(cache, grown);
        assert_int_equal(cache_size(cache), before + 10);
        free(grown->cache.data);
        grown->cache = (struct store_bytes){ .data = calloc(1, 20000), .length = 20000 };
        cache_weigh(cache, grown);
        assert_int_equal(cache_size(cache), 0);
        script_unref(grown);
        script_unref(other);
        cache_free(cache);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_paths),
                cmocka_unit_test(test_the_cache_knows_versions_and_the_latest),
                cmocka_unit_test(test_the_cache_has_a_bound),
                cmocka_unit_test(test_the_cache_knows_code),
                cmocka_unit_test(test_imports_have_one_form),
                cmocka_unit_test(test_the_cache_counts_compiled_code),
                cmocka_unit_test_setup_teardown(
                        test_uploads_are_found_in_memory_and_in_the_store, shop_setup, shop_teardown),
                cmocka_unit_test_setup_teardown(
                        test_each_version_keeps_its_limits, shop_setup, shop_teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_damaged_row_is_not_run_without_its_limits, shop_setup, shop_teardown),
                cmocka_unit_test_setup_teardown(test_compiled_code_is_found_again_unless_its_seal_is_broken,
                        shop_setup, shop_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
