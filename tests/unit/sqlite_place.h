#pragma once

/* Where the tests of the embedded store have their database: a directory of its own under /tmp. */

#include <sqlite3.h>

#include "store_suite.h"

struct place {
        char directory[64];
        char file[96];
};

extern const struct suite_kind sqlite_kind;

struct place *place_of(const struct suite *suite);
/* Opens it where it is expected to be refused, and looks for `words` in why. */
void place_expect_refusal(struct suite *suite, const char *directory, const char *words);
/* A connection of another program, which has done what it was told. */
sqlite3 *place_sql(struct suite *suite, const char *statements);
/* Closes the store, and opens one on a database that these statements make. */
void place_begin_with(struct suite *suite, const char *statements);
/* Asks, and expects STORE_UNAVAILABLE for a reason with these words in it. */
void place_expect_unavailable(struct suite *suite, struct store_request *request, const char *words);
void place_put_unavailable(struct suite *suite, const char *path, const char *code, const char *words);
