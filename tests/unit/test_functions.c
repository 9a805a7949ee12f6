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
#include "store/function_name.h"
#include "store/store.h"

static void test_paths(void **state)
{
        static const char *const good[] = { "a", "a/b", "test/calculator", "A-Z_0.9", "...", "a/.../b", ".a",
                "a..b" };
        static const char *const bad[] = { "", "/", "a/", "/a", "a//b", ".", "..", "a/.", "./a", "a/../b",
                "a b", "a%b", "\xc3\xa9", "a\n", "a\\b", "a?b" };
        char longest[STORE_PATH_MAX + 1];

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                assert_true(function_path_valid(good[i], strlen(good[i])));
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_false(function_path_valid(bad[i], strlen(bad[i])));
        memset(longest, 'a', sizeof longest);
        assert_true(function_path_valid(longest, STORE_PATH_MAX));
        assert_false(function_path_valid(longest, STORE_PATH_MAX + 1));
        assert_false(function_path_valid("a\0b", 3));
}

static void test_aliases_of_paths(void **state)
{
        static const char *const good[] = { "a", "prod", "Z9._-", "latest2", "Latest" };
        static const char *const bad[] = { "", "1", "9a", "_a", "-a", ".a", "a/b", "a b", "latest",
                "\xc3\xa9" };
        static const char *const none[] = { "a", "a/aliases", "a/aliases/b/c", "xaliases/a", "a/xaliases/b",
                "a/aliasesx/b", "", "/" };
        static const struct {
                const char *path, *alias;
                size_t length;
        } some[] = { { "a/aliases/b", "b", 1 }, { "a/b/aliases/c", "c", 3 },
                { "a/aliases/aliases/x", "x", 9 }, { "a/aliases/", "", 1 }, { "aliases/x", "x", 0 },
                { "/aliases/x", "x", 0 } };
        char longest[STORE_ALIAS_MAX + 2];

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                assert_true(function_alias_valid(good[i]));
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_false(function_alias_valid(bad[i]));
        memset(longest, 'a', sizeof longest);
        longest[STORE_ALIAS_MAX + 1] = 0;
        assert_false(function_alias_valid(longest));
        assert_true(function_alias_valid(longest + 1));
        for (size_t i = 0; i < ARRAY_SIZE(none); i++)
                assert_null(function_path_alias(none[i], NULL));
        for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
                size_t length = 99;

                assert_string_equal(function_path_alias(some[i].path, &length), some[i].alias);
                assert_int_equal(length, some[i].length);
        }
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
        cache_put(cache, made);
        if (is_latest)
                cache_put_name(cache, made->path, CACHE_LATEST, made->version);
        script_unref(made);
}

/* 0: nothing there. Stale: the number, negative. */
static int64_t version_of(struct cache *cache, const char *path, const char *name, uint64_t version)
{
        bool is_stale = false;
        struct script *found = cache_find(cache, path, name, version, &is_stale);

        if (!found)
                return 0;
        return is_stale ? -(int64_t)found->version : (int64_t)found->version;
}

static int64_t latest_of(struct cache *cache, const char *path)
{
        return version_of(cache, path, CACHE_LATEST, 0);
}

static void test_the_cache_knows_versions_and_the_latest(void **state)
{
        struct cache *cache = cache_new(1 << 20);

        (void)state;
        assert_int_equal(latest_of(cache, "a"), 0);
        keep(cache, script("a", 1, 10), false);
        assert_int_equal(latest_of(cache, "a"), 0);
        assert_int_equal(version_of(cache, "a", NULL, 1), 1);
        keep(cache, script("a", 2, 10), true);
        keep(cache, script("b", 9, 10), true);
        assert_int_equal(latest_of(cache, "a"), 2);
        keep(cache, script("a", 1, 10), true); /* an older answer of the store takes nothing back */
        assert_int_equal(latest_of(cache, "a"), 2);
        keep(cache, script("a", 3, 10), true);
        assert_int_equal(latest_of(cache, "a"), 3);
        assert_int_equal(version_of(cache, "a", NULL, 2), 2);
        assert_int_equal(latest_of(cache, "b"), 9);
        cache_free(cache);
}

static void test_the_cache_knows_aliases(void **state)
{
        struct cache *cache = cache_new(1 << 20);

        (void)state;
        keep(cache, script("a", 1, 10), true);
        keep(cache, script("a", 2, 10), true);
        cache_put_name(cache, "a", "prod", 2);
        cache_put_name(cache, "a", "old", 7); /* a version that is not here */
        assert_int_equal(version_of(cache, "a", "prod", 0), 2);
        assert_int_equal(version_of(cache, "a", "old", 0), 0);
        assert_int_equal(version_of(cache, "b", "prod", 0), 0);
        cache_put_name(cache, "a", "prod", 1); /* an alias may go back, unlike the latest */
        assert_int_equal(version_of(cache, "a", "prod", 0), 1);
        cache_forget_name(cache, "a", "prod");
        cache_forget_name(cache, "a", "never");
        assert_int_equal(version_of(cache, "a", "prod", 0), 0);
        assert_int_equal(version_of(cache, "a", NULL, 1), 1);
        cache_free(cache);
}

static void test_the_cache_forgets_versions_with_their_names(void **state)
{
        struct cache *cache = cache_new(1 << 20);

        (void)state;
        for (uint64_t i = 1; i <= 3; i++)
                keep(cache, script("a", i, 10), true);
        keep(cache, script("b", 1, 10), true);
        cache_put_name(cache, "a", "prod", 1);
        cache_forget(cache, "a", 3);
        assert_int_equal(latest_of(cache, "a"), 0);
        assert_int_equal(version_of(cache, "a", NULL, 3), 0);
        assert_int_equal(version_of(cache, "a", "prod", 0), 1);
        cache_forget(cache, "a", 0);
        assert_int_equal(version_of(cache, "a", NULL, 2), 0);
        assert_int_equal(version_of(cache, "a", "prod", 0), 0);
        assert_int_equal(latest_of(cache, "b"), 1);
        cache_forget(cache, "b", 0);
        assert_int_equal(cache_size(cache), 0);
        cache_free(cache);
}

static void test_what_may_have_changed_is_stale_until_it_is_put_again(void **state)
{
        struct cache *cache = cache_new(1 << 20);

        (void)state;
        keep(cache, script("a", 5, 10), true);
        keep(cache, script("b", 6, 10), true);
        keep(cache, script(NULL, 0, 8), false);
        cache_mark_stale(cache, "a");
        assert_int_equal(latest_of(cache, "a"), -5);
        assert_int_equal(version_of(cache, "a", NULL, 5), -5);
        assert_int_equal(latest_of(cache, "b"), 6);
        keep(cache, script("a", 4, 10), true); /* another node has removed version 5 */
        assert_int_equal(latest_of(cache, "a"), 4);
        assert_int_equal(version_of(cache, "a", NULL, 5), -5);
        cache_mark_stale(cache, NULL);
        assert_int_equal(latest_of(cache, "a"), -4);
        assert_int_equal(latest_of(cache, "b"), -6);
        assert_non_null(cache_find_code(cache, (char[8]){ 0 }, 8));
        keep(cache, script("b", 6, 10), false);
        assert_int_equal(version_of(cache, "b", NULL, 6), 6);
        assert_int_equal(latest_of(cache, "b"), -6);
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
                assert_int_equal(latest_of(cache, "used"), 1);
        }
        assert_int_equal(version_of(cache, "a", NULL, 1), 0);
        assert_int_equal(latest_of(cache, "a"), 50);
        keep(cache, script("large", 1, 20000), true);
        assert_int_equal(version_of(cache, "large", NULL, 1), 0);
        assert_true(cache_size(cache) <= 10000);
        for (uint64_t i = 1; i <= 1000; i++) { /* names have a size too */
                char name[16];

                snprintf(name, sizeof name, "n%u", (unsigned)i);
                cache_put_name(cache, "a", name, 50);
                assert_true(cache_size(cache) <= 10000);
        }
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

        assert_int_equal(store_open_sqlite(shop->base, shop->directory, &store, error, sizeof error), 0);
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

/* It is tried at once, beside what else is asked. */
static void await_up(struct shop *shop)
{
        for (int i = 0; i < 1000 && !functions_store_up(shop->functions); i++)
                event_base_loop(shop->base, EVLOOP_ONCE);
        assert_true(functions_store_up(shop->functions));
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
        assert_int_equal(functions_load(shop->functions, path, NULL, version, tell, shop), 0);
        event_base_dispatch(shop->base);
}

static void tell_answer(struct store_request *answer, void *context)
{
        struct shop *shop = context;

        shop->r = answer->r;
        shop->version = answer->latest;
        event_base_loopbreak(shop->base);
}

/* Of other content each time: an equal one would be no further version. */
static void upload(struct shop *shop, const char *path, struct limits limits)
{
        struct script *made = script(path, 0, 3);
        static unsigned serial;

        made->code.data[0] = (char)('A' + serial % 26);
        made->code.data[1] = (char)('A' + serial++ / 26 % 26);

        made->limits = limits;
        assert_int_equal(functions_upload(shop->functions, made, tell_answer, shop), 0);
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
        assert_int_equal(functions_find(shop->functions, "a", NULL, 0)->version, last);
        assert_int_equal(functions_find(shop->functions, "a", NULL, first)->version, first);

        shop_restart(shop, &settings);
        load(shop, "a", first);
        assert_int_equal(shop->version, first);
        assert_null(functions_find(shop->functions, "a", NULL, 0));
        load(shop, "a", 0);
        assert_int_equal(shop->version, last);
        assert_non_null(functions_find(shop->functions, "a", NULL, 0));
        load(shop, "a", first + 1000000);
        assert_int_equal(shop->r, FUNCTIONS_NOT_FOUND);
        await_up(shop);
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
        assert_int_equal(functions_find(shop->functions, "a", NULL, first)->limits.processes, 8);
        assert_int_equal(functions_find(shop->functions, "a", NULL, 0)->limits.processes, 0);

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
        sqlite3_busy_timeout(db, 5000); /* the store is tried now and then */
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
                "UPDATE function_version SET language = 'python', code = CAST('xyz' AS BLOB) WHERE path = "
                "'a'",
        };
        struct shop *shop = *state;

        upload(shop, "a", (struct limits){ .processes = 8 });
        upload(shop, "b", (struct limits){ .processes = 8 });
        for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
                spoil(shop, damages[i]);
                shop_restart(shop, &settings);
                load(shop, "a", 0);
                assert_int_equal(shop->r, -EBADMSG);
                assert_null(functions_find(shop->functions, "a", NULL, 0));
                load(shop, "b", 0);
                assert_int_equal(shop->r, 0);
                await_up(shop);
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
        made = functions_find(shop->functions, "a", NULL, 0);
        expect_kept(made, NULL, NULL, "");
        for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
                assert_int_equal(script_set_imports(made, "json", 4), 0);
                assert_int_equal(script_set_cache(made, "code", 4, "CPython 3 #1"), 0);
                assert_int_equal(functions_keep_compiled(shop->functions, made, tell_answer, shop), 0);
                event_base_dispatch(shop->base);
                assert_int_equal(shop->r, 0);
                shop_restart(shop, &settings);
                load(shop, "a", 0);
                expect_kept(functions_find(shop->functions, "a", NULL, 0), "code", "CPython 3 #1", "json");

                spoil(shop, damages[i]);
                shop_restart(shop, &settings);
                load(shop, "a", 0);
                assert_int_equal(shop->r, 0);
                made = functions_find(shop->functions, "a", NULL, 0);
                expect_kept(made, NULL, NULL, "json");
        }
}

static void test_the_cache_counts_compiled_code(void **state)
{
        struct cache *cache = cache_new(10000);
        struct script *grown = script("a", 1, 1000), *other = script("a", 1, 1000);
        size_t before;

        (void)state;
        cache_put(cache, grown);
        before = cache_size(cache);
        assert_int_equal(script_set_cache(grown, "0123456789", 10, "x"), 0);
        cache_weigh(cache, other); /* not the one that is here */
        assert_int_equal(cache_size(cache), before);
        cache_weigh(cache, grown);
        assert_int_equal(cache_size(cache), before + 10 + 1);
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
                cmocka_unit_test(test_aliases_of_paths),
                cmocka_unit_test(test_the_cache_knows_aliases),
                cmocka_unit_test(test_the_cache_forgets_versions_with_their_names),
                cmocka_unit_test(test_what_may_have_changed_is_stale_until_it_is_put_again),
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
