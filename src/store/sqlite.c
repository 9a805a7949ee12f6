/*
 * The embedded store: one SQLite database in WAL mode with synchronous=FULL, so a commit has reached the disk
 * when COMMIT returns and a reader never waits for a writer. Runs on the server's store thread.
 *
 * A failing medium closes the database; the next call opens it again. So a disk that was full, or a file that
 * another process had locked, needs no restart once it is well.
 */

#include "store/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"

enum { BUSY_TIMEOUT_MS = 2000 };

enum statement {
        STATEMENT_BEGIN,
        STATEMENT_COMMIT,
        STATEMENT_ROLLBACK,
        STATEMENT_LATEST,
        STATEMENT_GET,
        STATEMENT_PUT,
        STATEMENT_PUT_CACHE,
        STATEMENT_COUNT,
};

static const char *const statements[STATEMENT_COUNT] = {
        [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
        [STATEMENT_COMMIT] = "COMMIT",
        [STATEMENT_ROLLBACK] = "ROLLBACK",
        [STATEMENT_LATEST] = "SELECT max(version) FROM function_version WHERE path = ?1",
        [STATEMENT_GET] = "SELECT path, language, version, created_ms, code, compiled, map, limits, cache, "
                          "cache_for, imports FROM function_version WHERE path = ?1 AND version = ?2",
        [STATEMENT_PUT] =
                "INSERT INTO function_version (path, version, created_ms, language, code, compiled, map, "
                "limits, cache, cache_for, imports) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        [STATEMENT_PUT_CACHE] = "UPDATE function_version SET cache = ?3, cache_for = ?4, imports = ?5 "
                                "WHERE path = ?1 AND version = ?2",
};

/* Row n brings a database from user_version n to n + 1. Rows are added, never changed. */
static const char *const schema[] = {
        "CREATE TABLE function_version ("
        " path TEXT NOT NULL,"
        " version INTEGER NOT NULL,"
        " created_ms INTEGER NOT NULL,"
        " language TEXT NOT NULL,"
        " code BLOB NOT NULL,"
        " compiled BLOB,"
        " map BLOB,"
        " PRIMARY KEY (path, version)"
        ") STRICT",
        "ALTER TABLE function_version ADD COLUMN limits TEXT",
        "ALTER TABLE function_version ADD COLUMN cache BLOB;"
        "ALTER TABLE function_version ADD COLUMN cache_for TEXT;"
        "ALTER TABLE function_version ADD COLUMN imports TEXT",
};

struct sqlite_store {
        struct store store;
        char *file;
        sqlite3 *db; /* NULL: closed after a failure */
        sqlite3_stmt *statements[STATEMENT_COUNT];
};

static struct sqlite_store *sqlite_from(struct store *store)
{
        return container_of(store, struct sqlite_store, store);
}

static void sqlite_close(struct sqlite_store *sqlite)
{
        for (size_t i = 0; i < STATEMENT_COUNT; i++) {
                sqlite3_finalize(sqlite->statements[i]);
                sqlite->statements[i] = NULL;
        }
        sqlite3_close(sqlite->db);
        sqlite->db = NULL;
}

/* Everything that SQLite may say besides success is the medium's failure: the statements are ours, and were
 * prepared. Only a lack of memory is told apart. */
static int sqlite_failed(struct sqlite_store *sqlite, const char *what)
{
        int code = sqlite->db ? sqlite3_extended_errcode(sqlite->db) : SQLITE_NOMEM;

        snprintf(sqlite->store.reason, sizeof sqlite->store.reason, "%s: %s (SQLite code %d)", what,
                sqlite->db ? sqlite3_errmsg(sqlite->db) : "out of memory", code);
        sqlite_close(sqlite);
        return code == SQLITE_NOMEM ? error_trace(-ENOMEM) : STORE_UNAVAILABLE;
}

static int sqlite_execute(struct sqlite_store *sqlite, const char *sql)
{
        return sqlite3_exec(sqlite->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : sqlite_failed(sqlite, sql);
}

static int sqlite_schema_version(struct sqlite_store *sqlite, int *ret_version)
{
        sqlite3_stmt *statement = NULL;
        int r = STORE_UNAVAILABLE;

        if (sqlite3_prepare_v2(sqlite->db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
                sqlite3_step(statement) == SQLITE_ROW) {
                *ret_version = sqlite3_column_int(statement, 0);
                r = 0;
        }
        sqlite3_finalize(statement);
        return r == 0 ? 0 : sqlite_failed(sqlite, "PRAGMA user_version");
}

/* One step of the schema and its number are one transaction: a kill in between leaves the step undone. */
static int sqlite_upgrade(struct sqlite_store *sqlite, int from)
{
        char pragma[64];
        int r;

        snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", from + 1);
        r = sqlite_execute(sqlite, "BEGIN IMMEDIATE");
        if (r == 0)
                r = sqlite_execute(sqlite, schema[from]);
        if (r == 0)
                r = sqlite_execute(sqlite, pragma);
        return r == 0 ? sqlite_execute(sqlite, "COMMIT") : r;
}

static int sqlite_migrate(struct sqlite_store *sqlite)
{
        int version = 0, r;

        r = sqlite_schema_version(sqlite, &version);
        if (r != 0)
                return r;
        if (version > (int)ARRAY_SIZE(schema)) {
                snprintf(sqlite->store.reason, sizeof sqlite->store.reason,
                        "it was written by a newer mayfly (schema %d, this one knows %d)", version,
                        (int)ARRAY_SIZE(schema));
                sqlite_close(sqlite);
                return STORE_UNAVAILABLE;
        }
        for (; r == 0 && version < (int)ARRAY_SIZE(schema); version++)
                r = sqlite_upgrade(sqlite, version);
        return r;
}

static int sqlite_prepare(struct sqlite_store *sqlite)
{
        for (size_t i = 0; i < STATEMENT_COUNT; i++) {
                if (sqlite3_prepare_v3(sqlite->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                            &sqlite->statements[i], NULL) != SQLITE_OK)
                        return sqlite_failed(sqlite, statements[i]);
        }
        return 0;
}

/* Opens the database unless it is open. */
static int sqlite_open(struct sqlite_store *sqlite)
{
        int r;

        if (sqlite->db)
                return 0;
        if (sqlite3_open_v2(sqlite->file, &sqlite->db,
                    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
                return sqlite_failed(sqlite, "open");
        sqlite3_busy_timeout(sqlite->db, BUSY_TIMEOUT_MS);

        r = sqlite_execute(sqlite, "PRAGMA journal_mode = WAL");
        if (r == 0)
                r = sqlite_execute(sqlite, "PRAGMA synchronous = FULL");
        if (r == 0)
                r = sqlite_migrate(sqlite);
        return r == 0 ? sqlite_prepare(sqlite) : r;
}

/* Runs a statement that gives no row. */
static int sqlite_run(struct sqlite_store *sqlite, enum statement which)
{
        sqlite3_stmt *statement = sqlite->statements[which];
        int code = sqlite3_step(statement);

        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement);
        return code == SQLITE_DONE ? 0 : sqlite_failed(sqlite, statements[which]);
}

static int sqlite_bind_path(sqlite3_stmt *statement, const char *path)
{
        return sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
}

/* *ret_version is 0 for a path without versions. */
static int sqlite_latest(struct sqlite_store *sqlite, const char *path, uint64_t *ret_version)
{
        sqlite3_stmt *statement = sqlite->statements[STATEMENT_LATEST];
        int code = SQLITE_ERROR;

        if (sqlite_bind_path(statement, path) == SQLITE_OK)
                code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
                *ret_version = (uint64_t)sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
        return code == SQLITE_ROW ? 0 : sqlite_failed(sqlite, "latest version");
}

static int sqlite_bind_bytes(sqlite3_stmt *statement, int at, const struct store_bytes *bytes)
{
        if (!bytes->data)
                return sqlite3_bind_null(statement, at);
        return sqlite3_bind_blob64(statement, at, bytes->data, bytes->length, SQLITE_STATIC);
}

static int sqlite_bind_text(sqlite3_stmt *statement, int at, const struct store_bytes *text)
{
        if (!text->data)
                return sqlite3_bind_null(statement, at);
        return sqlite3_bind_text64(statement, at, text->data, text->length, SQLITE_STATIC, SQLITE_UTF8);
}

static int sqlite_insert(
        struct sqlite_store *sqlite, const struct store_version *function, uint64_t now_ms, uint64_t version)
{
        sqlite3_stmt *statement = sqlite->statements[STATEMENT_PUT];

        if (sqlite_bind_path(statement, function->path) != SQLITE_OK ||
                sqlite3_bind_int64(statement, 2, (sqlite3_int64)version) != SQLITE_OK ||
                sqlite3_bind_int64(statement, 3, (sqlite3_int64)now_ms) != SQLITE_OK ||
                sqlite3_bind_text(statement, 4, function->language, -1, SQLITE_STATIC) != SQLITE_OK ||
                sqlite_bind_bytes(statement, 5, &function->code) != SQLITE_OK ||
                sqlite_bind_bytes(statement, 6, &function->compiled) != SQLITE_OK ||
                sqlite_bind_bytes(statement, 7, &function->map) != SQLITE_OK ||
                sqlite_bind_text(statement, 8, &function->limits) != SQLITE_OK ||
                sqlite_bind_bytes(statement, 9, &function->cache) != SQLITE_OK ||
                sqlite_bind_text(statement, 10, &function->cache_for) != SQLITE_OK ||
                sqlite_bind_text(statement, 11, &function->imports) != SQLITE_OK)
                return sqlite_failed(sqlite, "bind");
        return sqlite_run(sqlite, STATEMENT_PUT);
}

static int sqlite_put(
        struct store *store, const struct store_version *function, uint64_t now_ms, uint64_t *ret_version)
{
        struct sqlite_store *sqlite = sqlite_from(store);
        uint64_t latest = 0, version;
        int r;

        r = sqlite_open(sqlite);
        if (r == 0)
                r = sqlite_run(sqlite, STATEMENT_BEGIN);
        if (r == 0)
                r = sqlite_latest(sqlite, function->path, &latest);
        if (r != 0)
                return r; /* a failure has closed the database, and with it the transaction */

        version = MAX(now_ms, latest + 1);
        r = sqlite_insert(sqlite, function, now_ms, version);
        if (r == 0)
                r = sqlite_run(sqlite, STATEMENT_COMMIT);
        if (r == 0)
                *ret_version = version;
        return r;
}

static int sqlite_put_cache(struct store *store, const struct store_version *function)
{
        struct sqlite_store *sqlite = sqlite_from(store);
        sqlite3_stmt *statement;
        int r = sqlite_open(sqlite);

        if (r != 0)
                return r;
        statement = sqlite->statements[STATEMENT_PUT_CACHE];
        if (sqlite_bind_path(statement, function->path) != SQLITE_OK ||
                sqlite3_bind_int64(statement, 2, (sqlite3_int64)function->version) != SQLITE_OK ||
                sqlite_bind_bytes(statement, 3, &function->cache) != SQLITE_OK ||
                sqlite_bind_text(statement, 4, &function->cache_for) != SQLITE_OK ||
                sqlite_bind_text(statement, 5, &function->imports) != SQLITE_OK)
                return sqlite_failed(sqlite, "bind");
        r = sqlite_run(sqlite, STATEMENT_PUT_CACHE);
        return r == 0 && sqlite3_changes(sqlite->db) == 0 ? STORE_NOT_FOUND : r;
}

static int sqlite_column_bytes(sqlite3_stmt *statement, int at, struct store_bytes *ret_bytes)
{
        const void *data = sqlite3_column_blob(statement, at);
        size_t length = (size_t)sqlite3_column_bytes(statement, at);

        if (sqlite3_column_type(statement, at) == SQLITE_NULL)
                return 0;
        ret_bytes->data = malloc(length + 1);
        if (!ret_bytes->data)
                return -ENOMEM;
        if (length)
                memcpy(ret_bytes->data, data, length);
        ret_bytes->data[length] = 0;
        ret_bytes->length = length;
        return 0;
}

static char *sqlite_column_text(sqlite3_stmt *statement, int at)
{
        const unsigned char *text = sqlite3_column_text(statement, at);

        return text ? strdup((const char *)text) : NULL;
}

static int sqlite_read_row(sqlite3_stmt *statement, struct store_version *ret_function)
{
        struct store_version function = {
                .path = sqlite_column_text(statement, 0),
                .language = sqlite_column_text(statement, 1),
                .version = (uint64_t)sqlite3_column_int64(statement, 2),
                .created_ms = (uint64_t)sqlite3_column_int64(statement, 3),
        };

        if (!function.path || !function.language || sqlite_column_bytes(statement, 4, &function.code) < 0 ||
                sqlite_column_bytes(statement, 5, &function.compiled) < 0 ||
                sqlite_column_bytes(statement, 6, &function.map) < 0 ||
                sqlite_column_bytes(statement, 7, &function.limits) < 0 ||
                sqlite_column_bytes(statement, 8, &function.cache) < 0 ||
                sqlite_column_bytes(statement, 9, &function.cache_for) < 0 ||
                sqlite_column_bytes(statement, 10, &function.imports) < 0) {
                store_version_deinit(&function);
                return error_trace(-ENOMEM);
        }
        *ret_function = function;
        return 0;
}

static int sqlite_select(
        struct sqlite_store *sqlite, const char *path, uint64_t version, struct store_version *ret_function)
{
        sqlite3_stmt *statement = sqlite->statements[STATEMENT_GET];
        int code = SQLITE_ERROR, r;

        if (sqlite_bind_path(statement, path) == SQLITE_OK &&
                sqlite3_bind_int64(statement, 2, (sqlite3_int64)version) == SQLITE_OK)
                code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
                r = sqlite_read_row(statement, ret_function);
        else
                r = code == SQLITE_DONE ? STORE_NOT_FOUND : sqlite_failed(sqlite, "read");
        if (sqlite->db) {
                sqlite3_reset(statement);
                sqlite3_clear_bindings(statement);
        }
        return r;
}

static int sqlite_get(struct store *store, const char *path, uint64_t version,
        struct store_version *ret_function, uint64_t *ret_latest)
{
        struct sqlite_store *sqlite = sqlite_from(store);
        uint64_t latest = 0;
        int r;

        r = sqlite_open(sqlite);
        if (r == 0)
                r = sqlite_latest(sqlite, path, &latest);
        if (r != 0)
                return r;
        if (latest == 0 || version > INT64_MAX)
                return STORE_NOT_FOUND;
        r = sqlite_select(sqlite, path, version ? version : latest, ret_function);
        if (r == 0 && ret_latest)
                *ret_latest = latest;
        return r;
}

/* BEGIN IMMEDIATE takes the write lock: a disk that can no longer be written, or a lock held elsewhere, shows
 * itself, and nothing is changed. */
static int sqlite_check(struct store *store)
{
        struct sqlite_store *sqlite = sqlite_from(store);
        int r;

        r = sqlite_open(sqlite);
        if (r == 0)
                r = sqlite_run(sqlite, STATEMENT_BEGIN);
        return r == 0 ? sqlite_run(sqlite, STATEMENT_ROLLBACK) : r;
}

static void sqlite_free(struct store *store)
{
        struct sqlite_store *sqlite = sqlite_from(store);

        sqlite_close(sqlite);
        free(sqlite->file);
        free(sqlite);
}

static const struct store_ops sqlite_ops = {
        .put = sqlite_put,
        .get = sqlite_get,
        .put_cache = sqlite_put_cache,
        .check = sqlite_check,
        .free = sqlite_free,
};

int store_open_sqlite(const char *directory, struct store **ret_store, char *error, size_t error_size)
{
        struct sqlite_store *sqlite = calloc(1, sizeof *sqlite);
        int r;

        if (!sqlite)
                return error_trace(-ENOMEM);
        sqlite->store.ops = &sqlite_ops;
        if (asprintf(&sqlite->file, "%s/mayfly.db", directory) < 0) {
                free(sqlite);
                return error_trace(-ENOMEM);
        }

        r = sqlite_open(sqlite);
        if (r != 0) {
                snprintf(error, error_size, "%s: %s", sqlite->file, sqlite->store.reason);
                sqlite_free(&sqlite->store);
                return r;
        }
        *ret_store = &sqlite->store;
        return 0;
}
