/* Versions: how they are numbered, what is kept of them, how they are found. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "store_suite_parts.h"

static void test_versions_rise_also_when_the_clock_does_not(void **state)
{
        struct suite *suite = *state;

        assert_int_equal(suite_put(suite, "a", "1", 1000), 1000);
        assert_int_equal(suite_put(suite, "a", "2", 1000), 1001);
        assert_int_equal(suite_put(suite, "a", "3", 500), 1002);
        assert_int_equal(suite_put(suite, "b", "4", 700), 700);
        assert_int_equal(suite_put(suite, "a", "5", 2000), 2000);
        suite_expect_code(suite, "a", 0, "5");
        suite_expect_code(suite, "a", 1000, "1");
        suite_expect_code(suite, "a", 1001, "2");
        suite_expect_code(suite, "a", 1002, "3");
        suite_expect_code(suite, "b", 0, "4");
}

static void test_times_are_kept_to_the_millisecond(void **state)
{
        struct suite *suite = *state;
        struct store_request request = { .operation = STORE_GET, .path = "a" };

        assert_int_equal(suite_put(suite, "a", "1", 1764539123457), 1764539123457);
        assert_int_equal(suite_put(suite, "a", "2", 1764539123456), 1764539123458);
        suite_reopen(suite);
        assert_int_equal(suite_ask(suite, &request), 0);
        assert_int_equal(request.found.version, 1764539123458);
        assert_int_equal(request.found.created_ms, 1764539123456); /* by the clock of its upload */
        store_request_deinit(&request);
}

static int suite_compare_numbers(const void *a, const void *b)
{
        uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

        return left < right ? -1 : left > right;
}

static void test_uploads_at_once_have_versions_of_their_own(void **state)
{
        enum { UPLOADS = 200 };
        struct suite *suite = *state;
        uint64_t numbers[UPLOADS];
        struct crowd crowd;

        crowd_init(&crowd, UPLOADS, STORE_PUT);
        for (size_t i = 0; i < UPLOADS; i++) {
                strcpy(crowd.members[i].path, "busy");
                snprintf(crowd.members[i].code, sizeof crowd.members[i].code, "code %zu", i);
        }
        suite_put_crowd(suite, &crowd);
        for (size_t i = 0; i < UPLOADS; i++) {
                assert_int_equal(crowd.members[i].request.r, 0);
                assert_true(crowd.members[i].request.created);
                numbers[i] = crowd.members[i].request.latest;
        }
        suite_reopen(suite);
        for (size_t i = 0; i < UPLOADS; i++)
                suite_expect_code(suite, "busy", numbers[i], crowd.members[i].code);
        qsort(numbers, UPLOADS, sizeof *numbers, suite_compare_numbers);
        for (size_t i = 0; i < UPLOADS; i++)
                assert_int_equal(numbers[i], 1000 + i);
        crowd_deinit(&crowd);
}

static void test_the_same_upload_many_times_at_once_makes_one_version(void **state)
{
        struct suite *suite = *state;
        struct crowd crowd;
        size_t n_created = 0;

        crowd_init(&crowd, 50, STORE_PUT);
        for (size_t i = 0; i < crowd.n; i++) {
                strcpy(crowd.members[i].path, "same");
                strcpy(crowd.members[i].code, "code");
        }
        suite_put_crowd(suite, &crowd);
        for (size_t i = 0; i < crowd.n; i++) {
                assert_int_equal(crowd.members[i].request.r, 0);
                assert_int_equal(crowd.members[i].request.latest, 1000);
                n_created += crowd.members[i].request.created;
        }
        assert_int_equal(n_created, 1);
        crowd_deinit(&crowd);
}

static void test_what_is_the_latest_already_makes_no_version(void **state)
{
        struct suite *suite = *state;
        struct store_version first = suite_version("a", "1"), other;

        suite_expect_put(suite, &first, true, 5000);
        suite_expect_put(suite, &first, false, 5000);
        suite_reopen(suite);
        suite_expect_put(suite, &first, false, 5000);
        other = first; /* what is compiled from it is not what it is */
        other.cache = (struct store_bytes){ (char *)"compiled", 8 };
        suite_expect_put(suite, &other, false, 5000);
        other = first;
        other.path = (char *)"b";
        suite_expect_put(suite, &other, true, 5000);

        other = first;
        other.language = (char *)"javascript";
        suite_expect_put(suite, &other, true, 5001);
        other.limits = (struct store_bytes){ (char *)"{}", 2 };
        suite_expect_put(suite, &other, true, 5002);
        suite_expect_put(suite, &other, false, 5002);
        other.limits = (struct store_bytes){ (char *)"{\"cpus\":1}", 10 };
        suite_expect_put(suite, &other, true, 5003);
        /* An older version's content is a new version again: whoever uploads it wants it called. */
        suite_expect_put(suite, &first, true, 5004);
        suite_expect_code(suite, "a", 0, "1");
}

static void test_every_part_of_a_version_is_kept(void **state)
{
        static const char code[] = "nul \0 and \xff\r\n";
        struct suite *suite = *state;
        struct store_version given = suite_version("x/y", ""), found;
        struct store_request put = { .operation = STORE_PUT, .given = &given, .now_ms = 5000 };
        struct store_request get = { .operation = STORE_GET, .path = "x/y" };

        given.language = (char *)"typescript";
        given.code = (struct store_bytes){ (char *)code, sizeof code - 1 };
        given.compiled = (struct store_bytes){ (char *)"j\0s", 3 };
        given.map = (struct store_bytes){ (char *)"{}", 2 };
        given.limits = (struct store_bytes){ (char *)"{\"cpus\":1}", 10 };
        given.cache = (struct store_bytes){ (char *)code, sizeof code - 1 };
        given.cache_for = (struct store_bytes){ (char *)"Node.js 1", 9 };
        given.imports = (struct store_bytes){ (char *)"a b", 3 };
        store_hash(code, sizeof code - 1, given.hash);
        assert_int_equal(suite_ask(suite, &put), 0);
        suite_reopen(suite);
        assert_int_equal(suite_ask(suite, &get), 0);
        found = get.found;
        assert_int_equal(found.code.length, sizeof code - 1);
        assert_memory_equal(found.code.data, code, sizeof code);
        assert_string_equal(found.path, "x/y");
        assert_string_equal(found.language, "typescript");
        assert_string_equal(found.hash, given.hash);
        assert_int_equal(found.compiled.length, 3);
        assert_memory_equal(found.compiled.data, "j\0s", 4);
        assert_string_equal(found.map.data, "{}");
        assert_string_equal(found.limits.data, "{\"cpus\":1}");
        assert_int_equal(found.limits.length, 10);
        assert_int_equal(found.cache.length, sizeof code - 1);
        assert_memory_equal(found.cache.data, code, sizeof code);
        assert_string_equal(found.cache_for.data, "Node.js 1");
        assert_string_equal(found.imports.data, "a b");
        assert_int_equal(found.version, 5000);
        assert_int_equal(found.created_ms, 5000);
        assert_int_equal(get.latest, 5000);
        assert_false(get.may_change);
        store_request_deinit(&put);
        store_request_deinit(&get);
}

static void test_absent_and_empty_are_told_apart(void **state)
{
        static const struct store_bytes empty = { (char *)"", 0 };
        struct suite *suite = *state;
        struct store_version given = suite_version("a", "");
        struct store_request get = { .operation = STORE_GET, .path = "a" };

        suite_expect_put(suite, &given, true, 5000);
        assert_int_equal(suite_ask(suite, &get), 0);
        assert_non_null(get.found.code.data);
        assert_int_equal(get.found.code.length, 0);
        assert_null(get.found.compiled.data);
        assert_null(get.found.map.data);
        assert_null(get.found.limits.data);
        assert_null(get.found.cache.data);
        assert_null(get.found.cache_for.data);
        assert_null(get.found.imports.data);
        store_request_deinit(&get);

        given.path = (char *)"b";
        given.compiled = given.map = given.cache = given.cache_for = given.imports = empty;
        suite_expect_put(suite, &given, true, 5000);
        get.path = "b";
        assert_int_equal(suite_ask(suite, &get), 0);
        assert_non_null(get.found.compiled.data);
        assert_int_equal(get.found.compiled.length, 0);
        assert_non_null(get.found.map.data);
        assert_null(get.found.limits.data);
        assert_non_null(get.found.cache.data);
        assert_non_null(get.found.cache_for.data);
        assert_string_equal(get.found.imports.data, "");
        store_request_deinit(&get);
}

static void test_a_large_version_comes_back_whole(void **state)
{
        enum { SIZE = 4 << 20 };
        struct suite *suite = *state;
        struct store_version given = suite_version("large", "");
        struct store_request get = { .operation = STORE_GET, .path = "large" };
        char *code = malloc(SIZE + 1);

        assert_non_null(code);
        for (size_t i = 0; i < SIZE; i++)
                code[i] = (char)(i * 2654435761U >> 13);
        code[SIZE] = 0;
        given.code = (struct store_bytes){ code, SIZE };
        store_hash(code, SIZE, given.hash);
        suite_expect_put(suite, &given, true, 5000);
        suite_expect_put(suite, &given, false, 5000);
        assert_int_equal(suite_ask(suite, &get), 0);
        assert_int_equal(get.found.code.length, SIZE);
        assert_memory_equal(get.found.code.data, code, SIZE);
        store_request_deinit(&get);
        free(code);
}

static void test_what_is_not_there_is_not_found(void **state)
{
        struct suite *suite = *state;

        assert_int_equal(suite_get(suite, "a", 0, NULL), STORE_NOT_FOUND);
        suite_put(suite, "a", "1", 1000);
        assert_int_equal(suite_set_alias(suite, "a", "prod", 1000), 0);
        assert_int_equal(suite_get(suite, "a", 0, NULL), 0);
        assert_int_equal(suite_get(suite, "a", 1000, NULL), 0);
        assert_int_equal(suite_get(suite, "a", 0, "prod"), 0);
        assert_int_equal(suite_get(suite, "b", 0, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "A", 0, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "a", 999, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "a", 1, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "a", INT64_MAX, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "a", (uint64_t)INT64_MAX + 1, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "a", UINT64_MAX, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "a", 0, "Prod"), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "b", 0, "prod"), STORE_NOT_FOUND);
}

static int suite_restore(struct suite *suite, const struct store_version *given, bool created)
{
        struct store_request request = { .operation = STORE_RESTORE, .given = given, .now_ms = 9000 };
        int r = suite_ask(suite, &request);

        if (r == 0)
                assert_int_equal(request.created, created);
        store_request_deinit(&request);
        return r;
}

static void test_a_restored_version_keeps_its_number_and_its_time(void **state)
{
        struct suite *suite = *state;
        struct store_version old = suite_version("a", "old");
        struct store_request get = { .operation = STORE_GET, .path = "a", .version = 1700000000 };

        old.version = 1700000000;
        old.created_ms = 1700000000000;
        old.cache_for = (struct store_bytes){ (char *)"CPython 1", 9 };
        old.hash[0] = 0; /* as those of go-faas */
        assert_int_equal(suite_restore(suite, &old, true), 0);
        old.code = (struct store_bytes){ (char *)"another", 7 };
        assert_int_equal(suite_restore(suite, &old, false), 0);
        suite_reopen(suite);
        assert_int_equal(suite_ask(suite, &get), 0);
        assert_int_equal(get.found.version, 1700000000);
        assert_int_equal(get.found.created_ms, 1700000000000);
        assert_string_equal(get.found.hash, "");
        assert_string_equal(get.found.code.data, "old");
        assert_string_equal(get.found.cache_for.data, "CPython 1");
        store_request_deinit(&get);

        old = suite_version("a", "newer");
        old.version = 1700000002;
        assert_int_equal(suite_restore(suite, &old, true), 0);
        old = suite_version("a", "between");
        old.version = 1700000001;
        assert_int_equal(suite_restore(suite, &old, true), 0);
        suite_expect_code(suite, "a", 0, "newer");
        suite_expect_code(suite, "a", 1700000001, "between");
        assert_int_equal(suite_put(suite, "a", "put", 5), 1700000003);
        suite_expect_list(suite, "", NULL, 10, "a");
        old = suite_version("a", "put");
        old.version = 1700000003;
        old.created_ms = 5;
        suite_expect_listed(suite, "a", &old, 4);
}

static void test_compiled_code_is_replaced_in_its_own_version(void **state)
{
        struct suite *suite = *state;
        struct store_version given = suite_version("a", "1");
        struct store_request keep = { .operation = STORE_KEEP_COMPILED, .given = &given };
        struct store_request get = { .operation = STORE_GET, .path = "a", .version = 5000 };

        given.limits = (struct store_bytes){ (char *)"{}", 2 };
        given.compiled = (struct store_bytes){ (char *)"js", 2 };
        given.map = (struct store_bytes){ (char *)"{}", 2 };
        suite_expect_put(suite, &given, true, 5000);
        suite_put(suite, "a", "2", 5000);
        given = (struct store_version){ .path = (char *)"a",
                .version = 5000,
                .compiled = { (char *)"better", 6 },
                .cache = { (char *)"c\0de", 4 },
                .cache_for = { (char *)"Node.js 2", 9 },
                .imports = { (char *)"", 0 } };
        assert_int_equal(suite_ask(suite, &keep), 0);
        suite_reopen(suite);
        assert_int_equal(suite_ask(suite, &get), 0);
        assert_string_equal(get.found.code.data, "1");
        assert_string_equal(get.found.limits.data, "{}");
        assert_string_equal(get.found.compiled.data, "better");
        assert_null(get.found.map.data);
        assert_int_equal(get.found.cache.length, 4);
        assert_memory_equal(get.found.cache.data, "c\0de", 5);
        assert_string_equal(get.found.cache_for.data, "Node.js 2");
        assert_string_equal(get.found.imports.data, "");
        store_request_deinit(&get);
        get.version = 0;
        assert_int_equal(suite_ask(suite, &get), 0);
        assert_string_equal(get.found.code.data, "2");
        assert_null(get.found.compiled.data);
        assert_null(get.found.cache.data);
        assert_null(get.found.cache_for.data);
        store_request_deinit(&get);

        given.version = 7;
        assert_int_equal(suite_ask(suite, &keep), STORE_NOT_FOUND);
        given.path = (char *)"b";
        assert_int_equal(suite_ask(suite, &keep), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "b", 0, NULL), STORE_NOT_FOUND);
        assert_int_equal(suite_get(suite, "a", 7, NULL), STORE_NOT_FOUND);
        store_request_deinit(&keep);
}

static void test_checking_leaves_nothing(void **state)
{
        struct suite *suite = *state;
        struct store_request check = { .operation = STORE_CHECK };

        for (int i = 0; i < 3; i++)
                assert_int_equal(suite_ask(suite, &check), 0);
        store_request_deinit(&check);
        suite_expect_list(suite, "", NULL, 10, "");
}

static void test_every_request_is_answered_when_the_store_ends(void **state)
{
        struct suite *suite = *state;
        struct crowd crowd;

        crowd_init(&crowd, 30, STORE_PUT);
        for (size_t i = 0; i < crowd.n; i++) {
                snprintf(crowd.members[i].path, sizeof crowd.members[i].path, "%zu", i);
                crowd_give(&crowd.members[i], 1000);
                crowd.members[i].request.path = crowd.members[i].path;
                crowd.members[i].request.operation = i % 3 ? STORE_PUT : STORE_GET;
                store_start(suite->store, &crowd.members[i].request);
                assert_int_equal(crowd.n_done, 0); /* never from within store_start() */
        }
        suite->store = store_free(suite->store);
        assert_int_equal(crowd.n_done, crowd.n);
        suite->store = suite->kind->open(suite->place, suite->base);
        for (size_t i = 0; i < crowd.n; i++) {
                int r = crowd.members[i].request.r;

                if (crowd.members[i].request.operation == STORE_GET)
                        assert_true(r == STORE_NOT_FOUND || r == STORE_UNAVAILABLE);
                else if (r != STORE_UNAVAILABLE)
                        suite_expect_code(suite, crowd.members[i].path, 1000, "");
        }
        crowd_deinit(&crowd);
}

/* An asker that asks on as soon as it is answered, also while the store ends. */
struct chain {
        struct store_request request;
        struct store *store;
        size_t n_left;
};

static void chain_on_done(struct store_request *request)
{
        struct chain *chain = container_of(request, struct chain, request);

        store_request_deinit(request);
        if (--chain->n_left > 0)
                store_start(chain->store, request);
}

static void test_a_request_may_be_made_while_another_is_answered(void **state)
{
        struct suite *suite = *state;
        struct chain chains[8];
        size_t n_left = 1;

        suite_put(suite, "a", "1", 1000);
        for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
                chains[i] = (struct chain){
                        .request = { .operation = i % 2 ? STORE_GET : STORE_CHECK,
                                .path = "a",
                                .done = chain_on_done },
                        .store = suite->store,
                        .n_left = 20,
                };
                store_start(suite->store, &chains[i].request);
        }
        while (n_left > 0) {
                event_base_loop(suite->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
                n_left = 0;
                for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
                        n_left += chains[i].n_left;
        }
        for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
                chains[i].n_left = 5;
                store_start(suite->store, &chains[i].request);
        }
        suite->store = store_free(suite->store);
        for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
                assert_int_equal(chains[i].n_left, 0);
}

int suite_run_versions(void)
{
        const struct CMUnitTest tests[] = {
                suite_test(test_versions_rise_also_when_the_clock_does_not),
                suite_test(test_times_are_kept_to_the_millisecond),
                suite_test(test_uploads_at_once_have_versions_of_their_own),
                suite_test(test_the_same_upload_many_times_at_once_makes_one_version),
                suite_test(test_what_is_the_latest_already_makes_no_version),
                suite_test(test_every_part_of_a_version_is_kept),
                suite_test(test_absent_and_empty_are_told_apart),
                suite_test(test_a_large_version_comes_back_whole),
                suite_test(test_what_is_not_there_is_not_found),
                suite_test(test_a_restored_version_keeps_its_number_and_its_time),
                suite_test(test_compiled_code_is_replaced_in_its_own_version),
                suite_test(test_checking_leaves_nothing),
                suite_test(test_every_request_is_answered_when_the_store_ends),
                suite_test(test_a_request_may_be_made_while_another_is_answered),
        };

        return cmocka_run_group_tests_name("store: versions", tests, NULL, NULL);
}
