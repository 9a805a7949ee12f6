#pragma once

/*
 * One connection to the database, which one thread has to itself. A failing medium fails the connection; the
 * next request opens it again. So a disk that was full, or a file that another process had locked, needs no
 * restart once it is well.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "store/sqlite_query.h"

struct sqlite_connection {
        const char *directory;
        const char *file; /* in it */
        bool writes;      /* or only reads */
        bool was_open;    /* then the file is there, and full */
        sqlite3 *db;      /* NULL: not open */
        sqlite3_stmt *statements[STATEMENT_COUNT];
        bool failed;       /* to be closed when the request that saw it is through */
        uint64_t until_us; /* how long to wait for a lock, by clock_us() */
        char reason[256];  /* of the last STORE_UNAVAILABLE or -EBADMSG */
};

/* Opens it unless it is open, and brings the database to today's schema if it may write. 0,
 * STORE_UNAVAILABLE, -ENOMEM. */
int sqlite_open(struct sqlite_connection *connection);
void sqlite_close(struct sqlite_connection *connection);

/* Keeps what SQLite says about the failure of `what`, and gives the result for it. */
int sqlite_failed(struct sqlite_connection *connection, const char *what);
/* The same for a failure that SQLite knows nothing of: the reason is given, and so is the result. */
int sqlite_refused(struct sqlite_connection *connection, int r, const char *format, ...) _printf_(3, 4);
