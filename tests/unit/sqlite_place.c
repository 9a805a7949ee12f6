#include "sqlite_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *place_begin(void)
{
        struct place *place = calloc(1, sizeof *place);

        assert_non_null(place);
        strcpy(place->directory, "/tmp/mayfly-store-XXXXXX");
        assert_non_null(mkdtemp(place->directory));
        snprintf(place->file, sizeof place->file, "%s/mayfly.db", place->directory);
        return place;
}

static struct store *place_open(void *context, struct event_base *base)
{
        struct place *place = context;
        struct store *store = NULL;
        char error[512] = "";

        if (store_open_sqlite(base, place->directory, &store, error, sizeof error) != 0)
                fail_msg("%s", error);
        return store;
}

static void place_end(void *context)
{
        struct place *place = context;
        char command[96];

        snprintf(command, sizeof command, "rm -r %s", place->directory);
        assert_int_equal(system(command), 0);
        free(place);
}

const struct suite_kind sqlite_kind = {
        .name = "store: SQLite",
        .begin = place_begin,
        .open = place_open,
        .end = place_end,
};

struct place *place_of(const struct suite *suite)
{
        return suite->place;
}

static void place_expect_words(const char *text, const char *words)
{
        if (!strstr(text, words))
                fail_msg("\"%s\" does not say \"%s\"", text, words);
}

void place_expect_refusal(struct suite *suite, const char *directory, const char *words)
{
        struct store *store = NULL;
        char error[512] = "";

        assert_int_equal(
                store_open_sqlite(suite->base, directory, &store, error, sizeof error), STORE_UNAVAILABLE);
        assert_null(store);
        place_expect_words(error, directory);
        place_expect_words(error, words);
}

sqlite3 *place_sql(struct suite *suite, const char *statements)
{
        sqlite3 *db;

        assert_int_equal(sqlite3_open(place_of(suite)->file, &db), SQLITE_OK);
        sqlite3_busy_timeout(db, 5000); /* the store is tried now and then */
        if (sqlite3_exec(db, statements, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s", sqlite3_errmsg(db));
        return db;
}

void place_begin_with(struct suite *suite, const char *statements)
{
        suite->store = store_free(suite->store);
        assert_int_equal(unlink(place_of(suite)->file), 0);
        sqlite3_close(place_sql(suite, statements));
        suite->store = suite->kind->open(suite->place, suite->base);
}

void place_expect_unavailable(struct suite *suite, struct store_request *request, const char *words)
{
        assert_int_equal(suite_ask(suite, request), STORE_UNAVAILABLE);
        place_expect_words(request->reason, words);
        assert_false(request->created);
        assert_int_equal(request->latest, 0);
        assert_null(request->found.path);
        store_request_deinit(request);
}

void place_put_unavailable(struct suite *suite, const char *path, const char *code, const char *words)
{
        struct store_version given = suite_version(path, code);
        struct store_request request = { .operation = STORE_PUT, .given = &given, .now_ms = 1 };

        place_expect_unavailable(suite, &request, words);
}
