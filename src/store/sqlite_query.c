#include "store/sqlite_query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/sqlite_connection.h"
#include "store/store.h"

/* ?1 is the path wherever there is one. */
static const char *const statements[STATEMENT_COUNT] = {
        [STATEMENT_BEGIN_READ] = "BEGIN",
        [STATEMENT_BEGIN_WRITE] = "BEGIN IMMEDIATE",
        [STATEMENT_COMMIT] = "COMMIT",
        [STATEMENT_ROLLBACK] = "ROLLBACK",

        [STATEMENT_FUNCTION] = "SELECT last_version, latest FROM function WHERE path = ?1",
        [STATEMENT_VERSION_OF_ALIAS] = "SELECT version FROM alias WHERE path = ?1 AND name = ?2",
        [STATEMENT_ALIAS_OF_VERSION] =
                "SELECT name FROM alias WHERE path = ?1 AND version = ?2 ORDER BY name LIMIT 1",
        [STATEMENT_LANGUAGE] = "SELECT language FROM function_version WHERE path = ?1 AND version = ?2",
        [STATEMENT_HAS_VERSION] = "SELECT 1 FROM function_version WHERE path = ?1 AND version = ?2",
        [STATEMENT_HAS_VERSIONS] = "SELECT 1 FROM function_version WHERE path = ?1 LIMIT 1",
        /* The hash spares reading most code that differs; the code itself has the last word. */
        [STATEMENT_HAS_SAME] = "SELECT 1 FROM function_version WHERE path = ?1 AND version = ?2 "
                               "AND language = ?3 AND hash = ?4 AND limits IS ?5 AND code = ?6",
        [STATEMENT_GET] =
                "SELECT path, language, version, created_ms, hash, limits, code, compiled, map, cache, "
                "cache_for, imports FROM function_version WHERE path = ?1 AND version = ?2",

        /* Every bound is one of the index, so a page costs the same wherever it lies. */
        [STATEMENT_LIST] =
                "SELECT f.path, v.language, v.limits, f.latest, v.created_ms, v.size, v.hash, "
                "f.n_versions FROM function f INDEXED BY function_live LEFT JOIN function_version v "
                "ON v.path = f.path AND v.version = f.latest WHERE f.latest IS NOT NULL "
                "AND f.path >= ?1 AND f.path < ?2 ORDER BY f.path LIMIT ?3",
        [STATEMENT_LIST_VERSIONS] = "SELECT path, language, limits, version, created_ms, size, hash, 0 "
                                    "FROM function_version WHERE path = ?1 AND version <= ?2 "
                                    "ORDER BY version DESC LIMIT ?3",
        [STATEMENT_LIST_ALIASES] = "SELECT name, version FROM alias WHERE path = ?1 ORDER BY name",
        [STATEMENT_COUNT_ALIASES] = "SELECT count(*) FROM alias WHERE path = ?1 AND name <> ?2",

        [STATEMENT_PUT] = "INSERT INTO function_version (path, version, created_ms, language, hash, size, "
                          "limits, code, compiled, map, cache, cache_for, imports) "
                          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        [STATEMENT_COUNT_VERSION] =
                "INSERT INTO function (path, last_version, latest, n_versions) VALUES (?1, ?2, ?2, 1) "
                "ON CONFLICT (path) DO UPDATE SET last_version = max(last_version, ?2), "
                "latest = max(ifnull(latest, 0), ?2), n_versions = n_versions + 1",
        [STATEMENT_COUNT_VERSIONS] =
                "UPDATE function SET "
                "latest = (SELECT max(version) FROM function_version WHERE path = ?1), "
                "n_versions = (SELECT count(*) FROM function_version WHERE path = ?1) WHERE path = ?1",
        [STATEMENT_KEEP_COMPILED] = "UPDATE function_version SET compiled = ?3, map = ?4, cache = ?5, "
                                    "cache_for = ?6, imports = ?7 WHERE path = ?1 AND version = ?2",
        [STATEMENT_REMOVE_VERSION] = "DELETE FROM function_version WHERE path = ?1 AND version = ?2",
        [STATEMENT_REMOVE_VERSIONS] = "DELETE FROM function_version WHERE path = ?1",
        [STATEMENT_SET_ALIAS] = "INSERT INTO alias (path, name, version) VALUES (?1, ?2, ?3) "
                                "ON CONFLICT (path, name) DO UPDATE SET version = ?3",
        [STATEMENT_REMOVE_ALIAS] = "DELETE FROM alias WHERE path = ?1 AND name = ?2",
        [STATEMENT_REMOVE_ALIASES] = "DELETE FROM alias WHERE path = ?1",
};

struct sqlite_query sqlite_query(struct sqlite_connection *connection, enum sqlite_statement which)
{
        struct sqlite_query query = { .connection = connection, .which = which };

        if (!connection->statements[which])
                query.code = sqlite3_prepare_v3(connection->db, statements[which], -1,
                        SQLITE_PREPARE_PERSISTENT, &connection->statements[which], NULL);
        query.statement = connection->statements[which];
        return query;
}

void sqlite_query_end(struct sqlite_query *query)
{
        sqlite3_reset(query->statement); /* says again what the last step has said */
        if (query->statement)
                sqlite3_clear_bindings(query->statement);
}

static void sqlite_bound(struct sqlite_query *query, int code)
{
        if (query->code == SQLITE_OK)
                query->code = code;
}

void sqlite_bind_text(struct sqlite_query *query, const char *text)
{
        query->n_bound++;
        if (query->statement)
                sqlite_bound(
                        query, sqlite3_bind_text(query->statement, query->n_bound, text, -1, SQLITE_STATIC));
}

void sqlite_bind_number(struct sqlite_query *query, uint64_t number)
{
        query->n_bound++;
        if (query->statement)
                sqlite_bound(
                        query, sqlite3_bind_int64(query->statement, query->n_bound, (sqlite3_int64)number));
}

void sqlite_bind_bytes(struct sqlite_query *query, const struct store_bytes *bytes)
{
        query->n_bound++;
        if (query->statement && bytes->data)
                sqlite_bound(query, sqlite3_bind_blob64(query->statement, query->n_bound, bytes->data,
                                            bytes->length, SQLITE_STATIC));
}

void sqlite_bind_text_bytes(struct sqlite_query *query, const struct store_bytes *text)
{
        query->n_bound++;
        if (query->statement && text->data)
                sqlite_bound(query, sqlite3_bind_text64(query->statement, query->n_bound, text->data,
                                            text->length, SQLITE_STATIC, SQLITE_UTF8));
}

int sqlite_query_next(struct sqlite_query *query, bool *ret_is_row)
{
        if (query->code == SQLITE_OK)
                query->code = sqlite3_step(query->statement);
        if (query->code != SQLITE_ROW && query->code != SQLITE_DONE)
                return sqlite_failed(query->connection, statements[query->which]);
        *ret_is_row = query->code == SQLITE_ROW;
        query->code = SQLITE_OK;
        return 0;
}

int sqlite_query_run(struct sqlite_query *query, uint64_t *ret_n_changed)
{
        bool is_row;
        int r = sqlite_query_next(query, &is_row);

        if (r == 0 && ret_n_changed)
                *ret_n_changed = (uint64_t)sqlite3_changes64(query->connection->db);
        return r;
}

int sqlite_run(struct sqlite_connection *connection, enum sqlite_statement which)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query = sqlite_query(connection, which);

        return sqlite_query_run(&query, NULL);
}

uint64_t sqlite_column_number(const struct sqlite_query *query, int at)
{
        return (uint64_t)sqlite3_column_int64(query->statement, at);
}

int sqlite_column_bytes(const struct sqlite_query *query, int at, struct store_bytes *ret_bytes)
{
        const void *data;
        size_t length;
        char *copy;

        if (sqlite3_column_type(query->statement, at) == SQLITE_NULL)
                return 0;
        data = sqlite3_column_blob(query->statement, at);
        length = (size_t)sqlite3_column_bytes(query->statement, at);
        copy = malloc(length + 1);
        if (!copy)
                return error_trace(-ENOMEM);
        if (length)
                memcpy(copy, data, length);
        copy[length] = 0;
        *ret_bytes = (struct store_bytes){ copy, length };
        return 0;
}

int sqlite_column_text(const struct sqlite_query *query, int at, char **ret_text)
{
        struct store_bytes text = { 0 };
        int r = sqlite_column_bytes(query, at, &text);

        if (r == 0)
                *ret_text = text.data;
        return r;
}
