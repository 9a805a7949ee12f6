/* The operations that write. They run one at a time, so what one reads stays as it is until it has written.
 */

#include "store/sqlite_operations.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macros.h"
#include "store/sqlite_connection.h"
#include "store/store.h"

enum { CHECK_BYTES = 65536 };

/* A file that goes with its descriptor; where the file system has none without a name, it loses it at once.
 */
static int sqlite_open_scratch(const char *directory)
{
        char name[4096];
        int fd = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

        if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
                return fd;
        snprintf(name, sizeof name, "%s/mayfly.check", directory);
        fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
        if (fd >= 0)
                unlink(name);
        return fd;
}

/* That the transaction could begin says that nobody else holds the lock. A full or read-only file system
 * would show at a commit only, so a file beside the database asks it: space is promised, or refused, at the
 * write, and what is thrown away before it is due costs no disk anything. */
int sqlite_check(struct sqlite_connection *connection, struct store_request *request)
{
        static const char zeros[CHECK_BYTES];
        _cleanup_(fd_closep) int fd = sqlite_open_scratch(connection->directory);
        ssize_t n;

        (void)request;
        n = fd < 0 ? -1 : write(fd, zeros, sizeof zeros);
        if (n == sizeof zeros)
                return 0;
        return sqlite_refused(connection, STORE_UNAVAILABLE, "a test write into %s: %s",
                connection->directory, n < 0 ? strerrordesc_np(errno) : "not all of it fitted");
}

static int sqlite_insert(struct sqlite_connection *connection, const struct store_version *given,
        uint64_t version, uint64_t created_ms)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query = sqlite_query(connection, STATEMENT_PUT);

        sqlite_bind_text(&query, given->path);
        sqlite_bind_number(&query, version);
        sqlite_bind_number(&query, created_ms);
        sqlite_bind_text(&query, given->language);
        sqlite_bind_text(&query, given->hash);
        sqlite_bind_number(&query, given->code.length);
        sqlite_bind_text_bytes(&query, &given->limits);
        sqlite_bind_bytes(&query, &given->code);
        sqlite_bind_bytes(&query, &given->compiled);
        sqlite_bind_bytes(&query, &given->map);
        sqlite_bind_bytes(&query, &given->cache);
        sqlite_bind_text_bytes(&query, &given->cache_for);
        sqlite_bind_text_bytes(&query, &given->imports);
        return sqlite_query_run(&query, NULL);
}

static int sqlite_count_version(struct sqlite_connection *connection, const char *path, uint64_t version)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query =
                sqlite_query(connection, STATEMENT_COUNT_VERSION);

        sqlite_bind_text(&query, path);
        sqlite_bind_number(&query, version);
        return sqlite_query_run(&query, NULL);
}

static int sqlite_add(struct sqlite_connection *connection, const struct store_version *given,
        uint64_t version, uint64_t created_ms)
{
        int r = sqlite_insert(connection, given, version, created_ms);

        return r == 0 ? sqlite_count_version(connection, given->path, version) : r;
}

/* Is that version what is given? */
static int sqlite_is_same(struct sqlite_connection *connection, const struct store_version *given,
        uint64_t version, bool *ret_same)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query = sqlite_query(connection, STATEMENT_HAS_SAME);

        sqlite_bind_text(&query, given->path);
        sqlite_bind_number(&query, version);
        sqlite_bind_text(&query, given->language);
        sqlite_bind_text(&query, given->hash);
        sqlite_bind_text_bytes(&query, &given->limits);
        sqlite_bind_bytes(&query, &given->code);
        return sqlite_query_next(&query, ret_same);
}

int sqlite_put(struct sqlite_connection *connection, struct store_request *request)
{
        const struct store_version *given = request->given;
        struct sqlite_function function;
        bool same = false;
        int r = sqlite_read_function(connection, given->path, &function);

        if (r == 0 && function.latest)
                r = sqlite_is_same(connection, given, function.latest, &same);
        if (r != 0)
                return r;
        request->latest = same ? function.latest : MAX(request->now_ms, function.last_version + 1);
        request->created = !same;
        if (same)
                return 0;
        if (request->latest > INT64_MAX)
                return -EINVAL;
        return sqlite_add(connection, given, request->latest, request->now_ms);
}

int sqlite_restore(struct sqlite_connection *connection, struct store_request *request)
{
        const struct store_version *given = request->given;
        struct sqlite_function function;
        int r;

        if (given->version == 0 || given->version > INT64_MAX)
                return -EINVAL;
        r = sqlite_has_version(connection, given->path, given->version);
        request->created = r == STORE_NOT_FOUND;
        if (request->created)
                r = sqlite_add(connection, given, given->version, given->created_ms);
        if (r == 0)
                r = sqlite_read_function(connection, given->path, &function);
        if (r == 0)
                request->latest = function.latest;
        return r;
}

int sqlite_keep_compiled(struct sqlite_connection *connection, struct store_request *request)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query =
                sqlite_query(connection, STATEMENT_KEEP_COMPILED);
        const struct store_version *given = request->given;
        uint64_t n_changed;
        int r;

        sqlite_bind_text(&query, given->path);
        sqlite_bind_number(&query, given->version);
        sqlite_bind_bytes(&query, &given->compiled);
        sqlite_bind_bytes(&query, &given->map);
        sqlite_bind_bytes(&query, &given->cache);
        sqlite_bind_text_bytes(&query, &given->cache_for);
        sqlite_bind_text_bytes(&query, &given->imports);
        r = sqlite_query_run(&query, &n_changed);
        return r == 0 && n_changed == 0 ? STORE_NOT_FOUND : r;
}

/* For statements that take the path alone. */
static int sqlite_run_for(struct sqlite_connection *connection, enum sqlite_statement which, const char *path)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query = sqlite_query(connection, which);

        sqlite_bind_text(&query, path);
        return sqlite_query_run(&query, NULL);
}

/* STORE_IN_USE and the alias in connection->reason if there is one. */
static int sqlite_is_in_use(struct sqlite_connection *connection, const char *path, uint64_t version)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query =
                sqlite_query(connection, STATEMENT_ALIAS_OF_VERSION);
        bool is_row;
        int r;

        sqlite_bind_text(&query, path);
        sqlite_bind_number(&query, version);
        r = sqlite_query_next(&query, &is_row);
        if (r != 0 || !is_row)
                return r;
        return sqlite_refused(connection, STORE_IN_USE, "%s", sqlite3_column_text(query.statement, 0));
}

static int sqlite_remove_version(struct sqlite_connection *connection, const char *path, uint64_t version)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query =
                sqlite_query(connection, STATEMENT_REMOVE_VERSION);
        int r = sqlite_has_version(connection, path, version);

        if (r == 0)
                r = sqlite_is_in_use(connection, path, version);
        if (r != 0)
                return r;
        sqlite_bind_text(&query, path);
        sqlite_bind_number(&query, version);
        return sqlite_query_run(&query, NULL);
}

static int sqlite_remove_all(struct sqlite_connection *connection, const char *path)
{
        struct sqlite_function function;
        int r = sqlite_read_function(connection, path, &function);

        if (r == 0 && function.latest == 0)
                return STORE_NOT_FOUND;
        if (r == 0)
                r = sqlite_run_for(connection, STATEMENT_REMOVE_ALIASES, path);
        return r == 0 ? sqlite_run_for(connection, STATEMENT_REMOVE_VERSIONS, path) : r;
}

int sqlite_remove(struct sqlite_connection *connection, struct store_request *request)
{
        int r = request->version ? sqlite_remove_version(connection, request->path, request->version)
                                 : sqlite_remove_all(connection, request->path);

        return r == 0 ? sqlite_run_for(connection, STATEMENT_COUNT_VERSIONS, request->path) : r;
}

int sqlite_set_alias(struct sqlite_connection *connection, struct store_request *request)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query = sqlite_query(connection, STATEMENT_SET_ALIAS);
        uint64_t n_others;
        int r = sqlite_has_version(connection, request->path, request->version);

        if (r == 0)
                r = sqlite_count_aliases(connection, request->path, request->alias, &n_others);
        if (r == 0 && n_others >= request->limit)
                return STORE_FULL;
        if (r != 0)
                return r;
        sqlite_bind_text(&query, request->path);
        sqlite_bind_text(&query, request->alias);
        sqlite_bind_number(&query, request->version);
        return sqlite_query_run(&query, NULL);
}

int sqlite_remove_alias(struct sqlite_connection *connection, struct store_request *request)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query =
                sqlite_query(connection, STATEMENT_REMOVE_ALIAS);
        uint64_t n_changed;
        int r;

        sqlite_bind_text(&query, request->path);
        sqlite_bind_text(&query, request->alias);
        r = sqlite_query_run(&query, &n_changed);
        return r == 0 && n_changed == 0 ? STORE_NOT_FOUND : r;
}
