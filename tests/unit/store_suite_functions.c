/* Functions: their lists, their aliases, how they are removed, and who is told. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "store_suite_parts.h"

static void suite_ask_versions(
        struct suite *suite, struct store_request *request, uint64_t before, uint32_t limit)
{
        *request = (struct store_request){
                .operation = STORE_DESCRIBE, .path = "many", .before = before, .limit = limit
        };
        assert_int_equal(suite_ask(suite, request), 0);
        assert_int_equal(request->latest, 1063);
        assert_string_equal(request->language, "python"); /* the latest's, on every page */
}

static void test_versions_are_listed_newest_first_in_pages(void **state)
{
        struct suite *suite = *state;
        struct store_request page;
        uint64_t before = 0;
        size_t n = 0;
        char code[16];

        for (int i = 0; i < 64; i++) {
                snprintf(code, sizeof code, "%.*s", i % 8 + 1, "12345678");
                suite_put(suite, "many", code, 1000);
        }
        suite_put(suite, "many/", "of another", 1000);
        do {
                suite_ask_versions(suite, &page, before, 10);
                for (size_t i = 0; i < page.n_summaries; i++, n++) {
                        const struct store_summary *summary = &page.summaries[i];
                        struct store_version version = suite_version("many", "");

                        assert_int_equal(summary->version, 1063 - n);
                        assert_int_equal(summary->size, (63 - n) % 8 + 1);
                        store_hash("12345678", summary->size, version.hash);
                        assert_string_equal(summary->hash, version.hash);
                        assert_string_equal(summary->path, "many");
                        assert_string_equal(summary->language, "python");
                        assert_null(summary->limits);
                        assert_int_equal(summary->created_ms, 1000);
                        assert_int_equal(summary->n_versions, 0);
                        before = summary->version;
                }
                assert_int_equal(page.has_more, n < 64);
                assert_int_equal(page.n_summaries, n < 64 ? 10 : 4);
                assert_int_equal(page.n_aliases, 0);
                store_request_deinit(&page);
        } while (n < 64);
        suite_ask_versions(suite, &page, 1000, 10);
        assert_int_equal(page.n_summaries, 0);
        assert_false(page.has_more);
        store_request_deinit(&page);
        suite_ask_versions(suite, &page, 0, 64);
        assert_int_equal(page.n_summaries, 64);
        assert_false(page.has_more);
        store_request_deinit(&page);
        suite_ask_versions(suite, &page, UINT64_MAX, STORE_PAGE_MAX);
        assert_int_equal(page.n_summaries, 64);
        store_request_deinit(&page);
        page = (struct store_request){ .operation = STORE_DESCRIBE, .path = "man", .limit = 10 };
        assert_int_equal(suite_ask(suite, &page), STORE_NOT_FOUND);
        store_request_deinit(&page);
}

static void suite_put_many(struct suite *suite, size_t n)
{
        struct crowd crowd;

        crowd_init(&crowd, n, STORE_PUT);
        for (size_t i = 0; i < n; i++) {
                /* In an order that is not the paths'. */
                snprintf(crowd.members[i].path, sizeof crowd.members[i].path, "%s/%05zu",
                        i % 3 ? "list" : "other", i * 7919 % n);
                snprintf(crowd.members[i].code, sizeof crowd.members[i].code, "%zu", i);
        }
        suite_put_crowd(suite, &crowd);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(crowd.members[i].request.r, 0);
        crowd_deinit(&crowd);
}

/* Walks all pages; returns how many functions there were. */
static size_t suite_walk(struct suite *suite, const char *prefix, uint32_t limit)
{
        struct store_request page = { .operation = STORE_LIST, .path = prefix, .limit = limit };
        char last[64] = "";
        size_t n = 0;
        bool more = true;

        while (more) {
                assert_int_equal(suite_ask(suite, &page), 0);
                for (size_t i = 0; i < page.n_summaries; i++, n++) {
                        assert_true(strcmp(page.summaries[i].path, last) > 0);
                        assert_memory_equal(page.summaries[i].path, prefix, strlen(prefix));
                        snprintf(last, sizeof last, "%s", page.summaries[i].path);
                }
                more = page.has_more;
                if (more)
                        assert_int_equal(page.n_summaries, limit);
                page.after = last;
                store_request_deinit(&page);
        }
        return n;
}

static void test_thousands_of_functions_are_listed_in_pages(void **state)
{
        struct suite *suite = *state;

        suite_put_many(suite, 3000);
        assert_int_equal(suite_walk(suite, "", 1000), 3000);
        assert_int_equal(suite_walk(suite, "list/", 93), 2000);
        assert_int_equal(suite_walk(suite, "other/", 100), 1000);
        assert_int_equal(suite_walk(suite, "list/000", 100) + suite_walk(suite, "other/000", 7), 100);
        assert_int_equal(suite_walk(suite, "nowhere", 100), 0);
}

static void test_a_prefix_and_what_comes_after_are_compared_by_bytes(void **state)
{
        static const char *const paths[] = { "A", "a", "a%", "a*", "a-", "a-b", "a/", "a/b", "a/b/c", "a0",
                "a[b]", "a_", "ab", "a\xc3\xa9", "a\xf4\x8f\xbf\xbf", "b" };
        static const struct {
                const char *prefix, *after;
                uint32_t limit;
                const char *paths;
        } cases[] = {
                { "a", NULL, 100, "a a% a* a- a-b a/ a/b a/b/c a0 a[b] a_ ab a\xc3\xa9 a\xf4\x8f\xbf\xbf" },
                { "a/", NULL, 100, "a/ a/b a/b/c" },
                { "a-", NULL, 100, "a- a-b" },
                { "a%", NULL, 100, "a%" },
                { "a*", NULL, 100, "a*" },
                { "a_", NULL, 100, "a_" },
                { "a[", NULL, 100, "a[b]" },
                { "a[b]", NULL, 100, "a[b]" },
                { "a/b", NULL, 100, "a/b a/b/c" },
                { "a/b/c", NULL, 100, "a/b/c" },
                { "a/b/c/", NULL, 100, "" },
                { "a\xf4\x8f\xbf\xbf", NULL, 100, "a\xf4\x8f\xbf\xbf" },
                { "", NULL, 3, "A a a%" },
                { "", "a", 3, "a% a* a-" },
                { "", "a/b", 2, "a/b/c a0" },
                { "", "a/a", 2, "a/b a/b/c" }, /* which itself need not be there */
                { "", "b", 3, "" },
                { "a/", "a/", 3, "a/b a/b/c" },
                { "a/", "a-", 3, "a/ a/b a/b/c" }, /* before the first */
                { "a/", "a", 1, "a/" },
                { "a/", "a0", 3, "" }, /* behind the last */
                { "a/", "", 1, "a/" },
                { "a/b", "a/b/c", 3, "" },
        };
        struct suite *suite = *state;
        char longest[STORE_PATH_MAX + 2];

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                suite_put(suite, paths[ARRAY_SIZE(paths) - 1 - i], "1", 1000);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                suite_expect_list(suite, cases[i].prefix, cases[i].after, cases[i].limit, cases[i].paths);
        memset(longest, 'l', sizeof longest);
        longest[STORE_PATH_MAX] = 0;
        suite_put(suite, longest, "1", 1000);
        suite_expect_list(suite, longest, NULL, 1, longest);
        longest[STORE_PATH_MAX] = 'l'; /* longer than any path */
        longest[STORE_PATH_MAX + 1] = 0;
        suite_expect_list(suite, longest, NULL, 1, "");
}

static void test_a_list_shows_the_latest_version_of_each(void **state)
{
        struct suite *suite = *state;
        struct store_version first = suite_version("a", "first"), second = suite_version("a", "second one");

        first.version = first.created_ms = second.created_ms = 5000;
        first.limits = (struct store_bytes){ (char *)"{\"cpus\":2}", 10 };
        second.version = 5001;
        second.language = (char *)"javascript";
        suite_expect_put(suite, &first, true, 5000);
        suite_expect_listed(suite, "a", &first, 1);
        suite_expect_put(suite, &second, true, 5001);
        suite_expect_listed(suite, "a", &second, 2);
        suite_expect_put(suite, &second, false, 5001);
        suite_expect_listed(suite, "a", &second, 2);
        suite_reopen(suite);
        assert_int_equal(suite_remove(suite, "a", 5001), 0);
        suite_expect_listed(suite, "a", &first, 1);
        assert_int_equal(suite_remove(suite, "a", 5000), 0);
        suite_expect_list(suite, "", NULL, 10, "");
}

static void test_an_alias_names_a_version_until_it_is_moved(void **state)
{
        struct suite *suite = *state;

        for (uint64_t version = 1000; version < 1003; version++)
                assert_int_equal(suite_put(suite, "a", version % 2 ? "odd" : "even", 1000), version);
        suite_put(suite, "b", "1", 7);
        assert_int_equal(suite_set_alias(suite, "a", "prod", 1001), 0);
        suite_expect_alias(suite, "a", "prod", 1001);
        suite_put(suite, "a", "newer", 2000);
        suite_expect_alias(suite, "a", "prod", 1001);
        assert_int_equal(suite_set_alias(suite, "a", "prod", 1000), 0);
        suite_reopen(suite);
        suite_expect_alias(suite, "a", "prod", 1000);
        assert_int_equal(suite_set_alias(suite, "a", "prod", 1000), 0);

        assert_int_equal(suite_set_alias(suite, "a", "prod", 7), STORE_NOT_FOUND);
        assert_int_equal(suite_set_alias(suite, "a", "prod", UINT64_MAX), STORE_NOT_FOUND);
        assert_int_equal(suite_set_alias(suite, "c", "prod", 1000), STORE_NOT_FOUND);
        suite_expect_alias(suite, "a", "prod", 1000);
        assert_int_equal(suite_remove_alias(suite, "a", "other"), STORE_NOT_FOUND);
        assert_int_equal(suite_remove_alias(suite, "b", "prod"), STORE_NOT_FOUND);
        assert_int_equal(suite_remove_alias(suite, "a", "prod"), 0);
        assert_int_equal(suite_remove_alias(suite, "a", "prod"), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "a", 0, "prod"), STORE_NOT_FOUND);
        suite_expect_code(suite, "a", 1000, "even");
}

static void test_a_function_has_so_many_aliases_and_no_more(void **state)
{
        struct suite *suite = *state;
        struct store_request request = { .operation = STORE_DESCRIBE, .path = "a", .limit = 1 };

        suite_put(suite, "a", "1", 1000);
        suite_put(suite, "a", "2", 1000);
        assert_int_equal(suite_set_alias(suite, "a", "c", 1000), 0);
        assert_int_equal(suite_set_alias(suite, "a", "a", 1001), 0);
        assert_int_equal(suite_set_alias(suite, "a", "B", 1000), 0);
        assert_int_equal(suite_set_alias(suite, "a", "d", 1000), STORE_FULL);
        assert_int_equal(suite_set_alias(suite, "a", "a", 1000), 0); /* moving is no more */
        assert_int_equal(suite_get(suite, "a", 0, "d"), STORE_NOT_FOUND);
        for (int page = 0; page < 2; page++) {
                assert_int_equal(suite_ask(suite, &request), 0);
                assert_int_equal(request.n_summaries, 1);
                assert_int_equal(request.n_aliases, ALIASES);
                assert_string_equal(request.aliases[0].name, "B");
                assert_string_equal(request.aliases[1].name, "a");
                assert_string_equal(request.aliases[2].name, "c");
                assert_int_equal(request.aliases[1].version, 1000);
                store_request_deinit(&request);
                request.before = 1001;
        }
        assert_int_equal(suite_remove_alias(suite, "a", "a"), 0);
        assert_int_equal(suite_set_alias(suite, "a", "d", 1000), 0);
}

static void test_a_removed_version_is_gone_and_the_next_one_is_the_latest(void **state)
{
        struct suite *suite = *state;

        suite_put(suite, "a", "1", 1000);
        suite_put(suite, "a", "2", 1001);
        suite_put(suite, "a", "3", 1002);
        suite_put(suite, "b", "of b", 1002);
        assert_int_equal(suite_remove(suite, "a", 1001), 0);
        assert_int_equal(suite_remove(suite, "a", 1001), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "a", 1001, NULL), STORE_NOT_FOUND);
        suite_expect_code(suite, "a", 0, "3");
        assert_int_equal(suite_remove(suite, "a", 1002), 0);
        suite_reopen(suite);
        suite_expect_code(suite, "a", 0, "1");
        assert_int_equal(suite_remove(suite, "a", 1000), 0);
        assert_int_equal(suite_get(suite, "a", 0, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_remove(suite, "a", 1000), STORE_NOT_FOUND);
        assert_int_equal(suite_remove(suite, "a", 0), STORE_NOT_FOUND);
        assert_int_equal(suite_remove(suite, "never", 0), STORE_NOT_FOUND);
        assert_int_equal(suite_remove(suite, "b", UINT64_MAX), STORE_NOT_FOUND);
        suite_expect_code(suite, "b", 0, "of b");
}

static void test_a_version_that_an_alias_names_is_in_use(void **state)
{
        struct suite *suite = *state;
        struct store_request request = { .operation = STORE_REMOVE, .path = "a", .version = 1000 };

        suite_put(suite, "a", "1", 1000);
        suite_put(suite, "a", "2", 1001);
        assert_int_equal(suite_set_alias(suite, "a", "prod", 1000), 0);
        assert_int_equal(suite_ask(suite, &request), STORE_IN_USE);
        assert_string_equal(request.reason, "prod");
        store_request_deinit(&request);
        suite_expect_code(suite, "a", 1000, "1");
        assert_int_equal(suite_set_alias(suite, "a", "prod", 1001), 0);
        assert_int_equal(suite_remove(suite, "a", 1000), 0);
        /* All of them: with the aliases. */
        assert_int_equal(suite_remove(suite, "a", 0), 0);
        assert_int_equal(suite_get(suite, "a", 0, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "a", 0, "prod"), STORE_NOT_FOUND);
        assert_int_equal(suite_put(suite, "a", "3", 1), 1002);
        assert_int_equal(suite_get(suite, "a", 0, "prod"), STORE_NOT_FOUND);
}

static void test_a_removed_number_is_never_given_again(void **state)
{
        struct suite *suite = *state;
        struct store_version again = suite_version("a", "2");

        suite_put(suite, "a", "1", 1000);
        suite_put(suite, "a", "2", 1001);
        assert_int_equal(suite_remove(suite, "a", 1001), 0);
        again.version = again.created_ms = 1002;
        assert_int_equal(suite_put(suite, "a", "2", 1000), 1002); /* as the removed one was, but new */
        assert_int_equal(suite_remove(suite, "a", 1002), 0);
        assert_int_equal(suite_remove(suite, "a", 1000), 0);
        suite_reopen(suite);
        assert_int_equal(suite_put(suite, "a", "2", 500), 1003);
        assert_int_equal(suite_remove(suite, "a", 0), 0);
        assert_int_equal(suite_put(suite, "a", "2", 500), 1004);
        assert_int_equal(suite_put(suite, "a", "3", 3000), 3000);
        again.version = 3000;
        again.created_ms = 3000;
        store_hash("3", 1, again.hash);
        suite_expect_listed(suite, "a", &again, 2);
}

struct watcher {
        size_t n_seen; /* changes of "watched", or of any */
        size_t n_seen_by_name;
};

static void watcher_on_change(const char *path, void *context)
{
        struct watcher *watcher = context;

        watcher->n_seen_by_name += path && strcmp(path, "watched") == 0;
        watcher->n_seen += !path || strcmp(path, "watched") == 0;
}

static void suite_wait_for_change(struct suite *suite, struct watcher *watcher)
{
        while (watcher->n_seen == 0)
                event_base_loop(suite->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
        watcher->n_seen = 0;
}

static void test_changes_of_others_are_told(void **state)
{
        struct suite *suite = *state;
        struct suite peer = *suite;
        struct watcher watcher = { 0 };
        uint64_t version;

        store_watch(suite->store, watcher_on_change, &watcher);
        version = suite_put(suite, "watched", "1", 1000);
        assert_int_equal(suite_get(suite, "watched", 0, NULL), 0);
        assert_int_equal(watcher.n_seen_by_name, 0); /* what one does oneself one knows */
        if (!suite->kind->has_peers)
                return;
        peer.store = peer.kind->open(peer.place, peer.base);
        watcher.n_seen = 0;
        suite_put(&peer, "watched", "2", 1000);
        suite_wait_for_change(suite, &watcher);
        suite_expect_code(suite, "watched", 0, "2");
        assert_int_equal(suite_set_alias(&peer, "watched", "prod", version), 0);
        suite_wait_for_change(suite, &watcher);
        suite_expect_alias(suite, "watched", "prod", version);
        assert_int_equal(suite_remove_alias(&peer, "watched", "prod"), 0);
        suite_wait_for_change(suite, &watcher);
        assert_int_equal(suite_remove(&peer, "watched", 0), 0);
        suite_wait_for_change(suite, &watcher);
        assert_int_equal(suite_get(suite, "watched", 0, NULL), STORE_NOT_FOUND);
        store_watch(suite->store, NULL, NULL);
        suite_put(&peer, "watched", "3", 1000);
        store_free(peer.store);
}

int suite_run_functions(void)
{
        const struct CMUnitTest tests[] = {
                suite_test(test_versions_are_listed_newest_first_in_pages),
                suite_test(test_thousands_of_functions_are_listed_in_pages),
                suite_test(test_a_prefix_and_what_comes_after_are_compared_by_bytes),
                suite_test(test_a_list_shows_the_latest_version_of_each),
                suite_test(test_an_alias_names_a_version_until_it_is_moved),
                suite_test(test_a_function_has_so_many_aliases_and_no_more),
                suite_test(test_a_removed_version_is_gone_and_the_next_one_is_the_latest),
                suite_test(test_a_version_that_an_alias_names_is_in_use),
                suite_test(test_a_removed_number_is_never_given_again),
                suite_test(test_changes_of_others_are_told),
        };

        return cmocka_run_group_tests_name("store: functions", tests, NULL, NULL);
}
