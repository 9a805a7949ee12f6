/*
 * How the database is opened: WAL, so that who reads never waits for who writes, and synchronous=FULL, so
 * that a commit is on the disk when COMMIT returns. The schema is a table of steps.
 */

#include "store/sqlite_connection.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/store.h"

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
        /* What lists show stands before what is long, since SQLite reads a row from its front. The path of a
         * function whose versions are all removed stays for the sake of last_version, but in no list. */
        "ALTER TABLE function_version RENAME TO function_version_3;"
        "CREATE TABLE function_version ("
        " path TEXT NOT NULL,"
        " version INTEGER NOT NULL,"
        " created_ms INTEGER NOT NULL,"
        " language TEXT NOT NULL,"
        " hash TEXT NOT NULL,"
        " size INTEGER NOT NULL,"
        " limits TEXT,"
        " code BLOB NOT NULL,"
        " compiled BLOB,"
        " map BLOB,"
        " cache BLOB,"
        " cache_for TEXT,"
        " imports TEXT,"
        " PRIMARY KEY (path, version)"
        ") STRICT;"
        "INSERT INTO function_version SELECT path, version, created_ms, language, store_hash(code),"
        " length(code), limits, code, compiled, map, cache, cache_for, imports FROM function_version_3;"
        "DROP TABLE function_version_3;"
        "CREATE TABLE function ("
        " path TEXT NOT NULL PRIMARY KEY,"
        " last_version INTEGER NOT NULL," /* the highest that there ever was */
        " latest INTEGER,"                /* NULL: all are removed */
        " n_versions INTEGER NOT NULL"
        ") STRICT, WITHOUT ROWID;"
        "INSERT INTO function SELECT path, max(version), max(version), count(*) FROM function_version"
        " GROUP BY path;"
        "CREATE INDEX function_live ON function (path) WHERE latest IS NOT NULL;"
        "CREATE TABLE alias ("
        " path TEXT NOT NULL,"
        " name TEXT NOT NULL,"
        " version INTEGER NOT NULL,"
        " PRIMARY KEY (path, name)"
        ") STRICT, WITHOUT ROWID",
};

/* The journal of a migration may grow as large as the database: what is above this goes back to the disk. */
static const char writer_pragmas[] = "PRAGMA journal_mode = WAL;"
                                     "PRAGMA synchronous = FULL;"
                                     "PRAGMA journal_size_limit = 16777216";
static const char reader_pragmas[] = "PRAGMA query_only = ON";

int sqlite_failed(struct sqlite_connection *connection, const char *what)
{
        int code = connection->db ? sqlite3_extended_errcode(connection->db) : SQLITE_NOMEM;
        int error = connection->db ? sqlite3_system_errno(connection->db) : 0;

        /* Everything that SQLite may say besides success is the medium's failure: the statements are ours,
         * and have been tried. Only a lack of memory is told apart. */
        sqlite_refused(connection, 0, "%s (SQLite code %d%s%s) at \"%.48s\"",
                connection->db ? sqlite3_errmsg(connection->db) : "out of memory", code, error ? ", " : "",
                error ? strerrordesc_np(error) : "", what);
        connection->failed = true;
        return code == SQLITE_NOMEM ? error_trace(-ENOMEM) : STORE_UNAVAILABLE;
}

int sqlite_refused(struct sqlite_connection *connection, int r, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(connection->reason, sizeof connection->reason, format, arguments);
        va_end(arguments);
        return r;
}

static int sqlite_execute(struct sqlite_connection *connection, const char *sql)
{
        return sqlite3_exec(connection->db, sql, NULL, NULL, NULL) == SQLITE_OK
                       ? 0
                       : sqlite_failed(connection, sql);
}

static int sqlite_schema_version(struct sqlite_connection *connection, int *ret_version)
{
        sqlite3_stmt *statement = NULL;
        int r = STORE_UNAVAILABLE;

        if (sqlite3_prepare_v2(connection->db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
                sqlite3_step(statement) == SQLITE_ROW) {
                *ret_version = sqlite3_column_int(statement, 0);
                r = 0;
        }
        if (r != 0)
                r = sqlite_failed(connection, "PRAGMA user_version");
        sqlite3_finalize(statement);
        return r;
}

/* One step of the schema and its number are one transaction: a kill in between leaves the step undone. */
static int sqlite_upgrade(struct sqlite_connection *connection, int from)
{
        char pragma[64];
        int r;

        snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", from + 1);
        r = sqlite_execute(connection, "BEGIN IMMEDIATE");
        if (r == 0)
                r = sqlite_execute(connection, schema[from]);
        if (r == 0)
                r = sqlite_execute(connection, pragma);
        return r == 0 ? sqlite_execute(connection, "COMMIT") : r;
}

static int sqlite_migrate(struct sqlite_connection *connection)
{
        const int known = ARRAY_SIZE(schema);
        int version = 0, r;

        r = sqlite_schema_version(connection, &version);
        if (r != 0)
                return r;
        if (version > known)
                return sqlite_refused(connection, STORE_UNAVAILABLE,
                        "it was written by a newer mayfly (schema %d, this one knows %d)", version, known);
        /* An empty file would answer that there are no functions. */
        if (version == 0 && connection->was_open)
                return sqlite_refused(connection, STORE_UNAVAILABLE, "it was emptied");
        if (version < known && !connection->writes)
                return sqlite_refused(connection, STORE_UNAVAILABLE,
                        "it is of an older mayfly (schema %d, this one writes %d)", version, known);
        for (; r == 0 && version < known; version++)
                r = sqlite_upgrade(connection, version);
        return r;
}

/* SQL function of the schema's fourth step. */
static void sqlite_hash(sqlite3_context *context, int n_arguments, sqlite3_value **arguments)
{
        const void *data = sqlite3_value_blob(arguments[0]);
        char hash[STORE_HASH_SIZE];

        (void)n_arguments;
        store_hash(data ? data : "", (size_t)sqlite3_value_bytes(arguments[0]), hash);
        sqlite3_result_text(context, hash, -1, SQLITE_TRANSIENT);
}

/* Another one holds a lock: wait a little, if there is time left. */
static int sqlite_on_busy(void *context, int n_tries)
{
        struct sqlite_connection *connection = context;

        if (clock_us() >= connection->until_us)
                return 0;
        sqlite3_sleep(MIN(n_tries + 1, 20));
        return 1;
}

static int sqlite_set_up(struct sqlite_connection *connection)
{
        int r;

        sqlite3_busy_handler(connection->db, sqlite_on_busy, connection);
        /* What may not be written SQLite opens for reading, and fails later with less clear words. */
        if (connection->writes && sqlite3_db_readonly(connection->db, "main") != 0)
                return sqlite_refused(connection, STORE_UNAVAILABLE,
                        "it may not be written: a read-only file system, or no permission");
        if (sqlite3_create_function(connection->db, "store_hash", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                    sqlite_hash, NULL, NULL) != SQLITE_OK)
                return sqlite_failed(connection, "functions");
        r = sqlite_execute(connection, connection->writes ? writer_pragmas : reader_pragmas);
        return r == 0 ? sqlite_migrate(connection) : r;
}

/* The file's name leads to another file than the one that is open, or to none. */
static bool sqlite_has_moved(struct sqlite_connection *connection)
{
        int moved = 0;

        sqlite3_file_control(connection->db, NULL, SQLITE_FCNTL_HAS_MOVED, &moved);
        return moved;
}

int sqlite_open(struct sqlite_connection *connection)
{
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, r = 0;

        /* What is written into a file without a name is lost. */
        if (connection->db && sqlite_has_moved(connection))
                sqlite_close(connection);
        if (connection->db)
                return 0;
        /* A new file in the place of one that has gone away would answer that there are no functions. */
        if (connection->writes && !connection->was_open)
                flags |= SQLITE_OPEN_CREATE;
        if (sqlite3_open_v2(connection->file, &connection->db, flags, NULL) != SQLITE_OK)
                r = sqlite_failed(connection, "open");
        if (r == 0)
                r = sqlite_set_up(connection);
        if (r == 0)
                connection->was_open = true;
        else
                sqlite_close(connection);
        return r;
}

void sqlite_close(struct sqlite_connection *connection)
{
        for (size_t i = 0; i < STATEMENT_COUNT; i++) {
                sqlite3_finalize(connection->statements[i]);
                connection->statements[i] = NULL;
        }
        sqlite3_close(connection->db);
        connection->db = NULL;
        connection->failed = false;
}
