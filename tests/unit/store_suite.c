#include "store_suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "store_suite_parts.h"

static const struct suite_kind *suite_kind;

void suite_use(const struct suite_kind *kind)
{
        suite_kind = kind;
}

int suite_setup(void **state)
{
        struct suite *suite = calloc(1, sizeof *suite);

        assert_non_null(suite);
        suite->kind = suite_kind;
        suite->base = event_base_new();
        assert_non_null(suite->base);
        suite->place = suite->kind->begin();
        suite->store = suite->kind->open(suite->place, suite->base);
        *state = suite;
        return 0;
}

int suite_teardown(void **state)
{
        struct suite *suite = *state;

        store_free(suite->store);
        suite->kind->end(suite->place);
        event_base_free(suite->base);
        free(suite);
        return 0;
}

void suite_reopen(struct suite *suite)
{
        suite->store = store_free(suite->store);
        suite->store = suite->kind->open(suite->place, suite->base);
}

int suite_ask(struct suite *suite, struct store_request *request)
{
        return store_wait(suite->store, suite->base, request);
}

void suite_wait_for(struct suite *suite, const size_t *count, size_t wanted)
{
        while (*count < wanted)
                event_base_loop(suite->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
        assert_int_equal(*count, wanted);
}

struct store_version suite_version(const char *path, const char *code)
{
        struct store_version version = { .path = (char *)path,
                .language = (char *)"python",
                .code = { .data = (char *)code, .length = strlen(code) } };

        store_hash(code, version.code.length, version.hash);
        return version;
}

uint64_t suite_put(struct suite *suite, const char *path, const char *code, uint64_t now_ms)
{
        struct store_version version = suite_version(path, code);
        struct store_request request = { .operation = STORE_PUT, .given = &version, .now_ms = now_ms };

        assert_int_equal(suite_ask(suite, &request), 0);
        assert_true(request.created);
        version.version = request.latest;
        store_request_deinit(&request);
        return version.version;
}

int suite_get(struct suite *suite, const char *path, uint64_t version, const char *alias)
{
        struct store_request request = {
                .operation = STORE_GET, .path = path, .version = version, .alias = alias
        };
        int r = suite_ask(suite, &request);

        store_request_deinit(&request);
        return r;
}

static void suite_expect(struct suite *suite, struct store_request *request, const char *code)
{
        assert_int_equal(suite_ask(suite, request), 0);
        assert_string_equal(request->found.path, request->path);
        assert_int_equal(request->found.code.length, strlen(code));
        assert_string_equal(request->found.code.data, code);
}

void suite_expect_code(struct suite *suite, const char *path, uint64_t version, const char *code)
{
        struct store_request request = { .operation = STORE_GET, .path = path, .version = version };

        suite_expect(suite, &request, code);
        assert_int_equal(request.found.version, version ? version : request.latest);
        store_request_deinit(&request);
}

void suite_expect_alias(struct suite *suite, const char *path, const char *alias, uint64_t version)
{
        struct store_request request = { .operation = STORE_GET, .path = path, .alias = alias };

        assert_int_equal(suite_ask(suite, &request), 0);
        assert_int_equal(request.found.version, version);
        store_request_deinit(&request);
}

int suite_set_alias(struct suite *suite, const char *path, const char *alias, uint64_t version)
{
        struct store_request request = { .operation = STORE_SET_ALIAS,
                .path = path,
                .alias = alias,
                .version = version,
                .limit = ALIASES };
        int r = suite_ask(suite, &request);

        store_request_deinit(&request);
        return r;
}

int suite_remove_alias(struct suite *suite, const char *path, const char *alias)
{
        struct store_request request = { .operation = STORE_REMOVE_ALIAS, .path = path, .alias = alias };
        int r = suite_ask(suite, &request);

        store_request_deinit(&request);
        return r;
}

int suite_remove(struct suite *suite, const char *path, uint64_t version)
{
        struct store_request request = { .operation = STORE_REMOVE, .path = path, .version = version };
        int r = suite_ask(suite, &request);

        store_request_deinit(&request);
        return r;
}

void suite_expect_list(
        struct suite *suite, const char *prefix, const char *after, uint32_t limit, const char *paths)
{
        struct store_request request = {
                .operation = STORE_LIST, .path = prefix, .after = after, .limit = limit
        };
        char found[4096] = "";

        assert_int_equal(suite_ask(suite, &request), 0);
        for (size_t i = 0; i < request.n_summaries; i++) {
                size_t length = strlen(found);

                snprintf(found + length, sizeof found - length, "%s%s", i ? " " : "",
                        request.summaries[i].path);
        }
        assert_string_equal(found, paths);
        store_request_deinit(&request);
}

static void crowd_on_done(struct store_request *request)
{
        ++*container_of(request, struct crowd_request, request)->n_done;
}

void crowd_init(struct crowd *crowd, size_t n, enum store_operation operation)
{
        *crowd = (struct crowd){ .members = calloc(n, sizeof *crowd->members), .n = n };
        assert_non_null(crowd->members);
        for (size_t i = 0; i < n; i++) {
                struct crowd_request *member = &crowd->members[i];

                member->n_done = &crowd->n_done;
                member->request = (struct store_request){
                        .operation = operation, .given = &member->given, .done = crowd_on_done
                };
        }
}

/* What the member puts. */
void crowd_give(struct crowd_request *member, uint64_t now_ms)
{
        member->given = suite_version(member->path, member->code);
        member->request.now_ms = now_ms;
}

void crowd_deinit(struct crowd *crowd)
{
        for (size_t i = 0; i < crowd->n; i++)
                store_request_deinit(&crowd->members[i].request);
        free(crowd->members);
}

/* Half of them on another node, where there can be one. */
void suite_put_crowd(struct suite *suite, struct crowd *crowd)
{
        struct store *peer = suite->kind->has_peers ? suite->kind->open(suite->place, suite->base) : NULL;

        for (size_t i = 0; i < crowd->n; i++) {
                crowd_give(&crowd->members[i], 1000);
                store_start(i % 2 && peer ? peer : suite->store, &crowd->members[i].request);
        }
        assert_int_equal(crowd->n_done, 0);
        suite_wait_for(suite, &crowd->n_done, crowd->n);
        store_free(peer);
}

void suite_expect_put(struct suite *suite, const struct store_version *given, bool created, uint64_t version)
{
        struct store_request request = { .operation = STORE_PUT, .given = given, .now_ms = 5000 };

        assert_int_equal(suite_ask(suite, &request), 0);
        assert_int_equal(request.created, created);
        assert_int_equal(request.latest, version);
        store_request_deinit(&request);
}

void suite_expect_listed(
        struct suite *suite, const char *path, const struct store_version *latest, uint64_t n_versions)
{
        static const enum store_operation operations[] = { STORE_LIST, STORE_DESCRIBE };

        for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
                struct store_request request = { .operation = operations[i], .path = path, .limit = 1 };
                const struct store_summary *summary;

                assert_int_equal(suite_ask(suite, &request), 0);
                assert_int_equal(request.n_summaries, 1);
                summary = &request.summaries[0];
                assert_string_equal(summary->path, path);
                assert_string_equal(summary->language, latest->language);
                assert_string_equal(summary->hash, latest->hash);
                assert_int_equal(summary->size, latest->code.length);
                assert_int_equal(summary->version, latest->version);
                assert_int_equal(summary->created_ms, latest->created_ms);
                assert_int_equal(summary->n_versions, operations[i] == STORE_LIST ? n_versions : 0);
                if (latest->limits.data)
                        assert_string_equal(summary->limits, latest->limits.data);
                else
                        assert_null(summary->limits);
                store_request_deinit(&request);
        }
}

int suite_run(const struct suite_kind *kind)
{
        int n_failed;

        suite_use(kind);
        print_message("%s\n", kind->name);
        n_failed = suite_run_versions();
        return n_failed + suite_run_functions();
}
