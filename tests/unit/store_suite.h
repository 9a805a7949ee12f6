#pragma once

/*
 * What every kind of store must do, written against store.h alone. A test program says how its kind is
 * opened, runs the suite on it, and adds what is true of that kind only, with the same helpers.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>

#include "store/store.h"

/* A kind of store. Its functions assert that they succeed. */
struct suite_kind {
        const char *name;
        /* An empty place for functions, such as a directory or a prefix; `place` is what it is known by. */
        void *(*begin)(void);
        /* Opens a store on it that answers. Called again after store_free(): what was kept is there. */
        struct store *(*open)(void *place, struct event_base *base);
        void (*end)(void *place);
        bool has_peers; /* it may be opened a second time while it is open, as another node would */
};

struct suite {
        const struct suite_kind *kind;
        void *place;
        struct event_base *base;
        struct store *store;
};

/* Runs all the tests; returns how many failed. */
int suite_run(const struct suite_kind *kind);

/* For tests of one kind: suite_use() first, then each test's state is a struct suite with an empty store. */
void suite_use(const struct suite_kind *kind);
int suite_setup(void **state);
int suite_teardown(void **state);
#define suite_test(test) cmocka_unit_test_setup_teardown(test, suite_setup, suite_teardown)

void suite_reopen(struct suite *suite);

/* Asks and waits; the answer is request->r too. */
int suite_ask(struct suite *suite, struct store_request *request);
/* Turns the loop until *count is `wanted`. */
void suite_wait_for(struct suite *suite, const size_t *count, size_t wanted);

/* A version of Python code, which stays the caller's, with its hash. */
struct store_version suite_version(const char *path, const char *code);
uint64_t suite_put(struct suite *suite, const char *path, const char *code, uint64_t now_ms);
/* The result of GET; the answer is thrown away. */
int suite_get(struct suite *suite, const char *path, uint64_t version, const char *alias);
/* version 0: the latest. */
void suite_expect_code(struct suite *suite, const char *path, uint64_t version, const char *code);
void suite_expect_alias(struct suite *suite, const char *path, const char *alias, uint64_t version);
int suite_set_alias(struct suite *suite, const char *path, const char *alias, uint64_t version);
/* version 0: all. */
int suite_remove(struct suite *suite, const char *path, uint64_t version);
/* Expects these paths, in this order, between spaces. "": none. */
void suite_expect_list(
        struct suite *suite, const char *prefix, const char *after, uint32_t limit, const char *paths);
