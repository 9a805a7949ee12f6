#pragma once

/*
 * The statements, and how values go in and come out. A statement is prepared when it is first needed and kept
 * while the connection lives. Values are bound in the order of their numbers; that one could not be bound
 * shows at the next step.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sqlite_connection;
struct store_bytes;

enum sqlite_statement {
        STATEMENT_BEGIN_READ,
        STATEMENT_BEGIN_WRITE,
        STATEMENT_COMMIT,
        STATEMENT_ROLLBACK,
        STATEMENT_FUNCTION,
        STATEMENT_VERSION_OF_ALIAS,
        STATEMENT_ALIAS_OF_VERSION,
        STATEMENT_LANGUAGE,
        STATEMENT_HAS_VERSION,
        STATEMENT_HAS_VERSIONS,
        STATEMENT_HAS_SAME,
        STATEMENT_GET,
        STATEMENT_LIST,
        STATEMENT_LIST_VERSIONS,
        STATEMENT_LIST_ALIASES,
        STATEMENT_COUNT_ALIASES,
        STATEMENT_PUT,
        STATEMENT_COUNT_VERSION,
        STATEMENT_COUNT_VERSIONS,
        STATEMENT_KEEP_COMPILED,
        STATEMENT_REMOVE_VERSION,
        STATEMENT_REMOVE_VERSIONS,
        STATEMENT_SET_ALIAS,
        STATEMENT_REMOVE_ALIAS,
        STATEMENT_REMOVE_ALIASES,
        STATEMENT_COUNT,
};

struct sqlite_query {
        struct sqlite_connection *connection;
        enum sqlite_statement which;
        sqlite3_stmt *statement; /* NULL: it could not be prepared */
        int n_bound;
        int code; /* of the first thing that failed */
};

struct sqlite_query sqlite_query(struct sqlite_connection *connection, enum sqlite_statement which);
/* For _cleanup_. */
void sqlite_query_end(struct sqlite_query *query);

/* NULL, and bytes without data, are SQL's NULL. What is bound must stay until the end. A number above
 * INT64_MAX goes in as a negative one, which no version is, and comes out as it was. */
void sqlite_bind_text(struct sqlite_query *query, const char *text);
void sqlite_bind_number(struct sqlite_query *query, uint64_t number);
void sqlite_bind_bytes(struct sqlite_query *query, const struct store_bytes *bytes);
void sqlite_bind_text_bytes(struct sqlite_query *query, const struct store_bytes *text);

/* All of them: 0, STORE_UNAVAILABLE or -ENOMEM. */
int sqlite_query_next(struct sqlite_query *query, bool *ret_is_row);
/* For what gives no row; *ret_n_changed (or NULL) is how many it changed. */
int sqlite_query_run(struct sqlite_query *query, uint64_t *ret_n_changed);
/* For what needs no values and gives no row. */
int sqlite_run(struct sqlite_connection *connection, enum sqlite_statement which);

/* What is in the row. NULL is 0, no text, and no bytes. The last two return 0 or -ENOMEM. */
uint64_t sqlite_column_number(const struct sqlite_query *query, int at);
int sqlite_column_text(const struct sqlite_query *query, int at, char **ret_text);
int sqlite_column_bytes(const struct sqlite_query *query, int at, struct store_bytes *ret_bytes);
