/* The operations that read. All that one reads is of one moment, since each is one transaction. */

#include "store/sqlite_operations.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"
#include "store/sqlite_connection.h"
#include "store/store.h"

/* A function without a latest version has no versions, unless the database is damaged; then it must not look
 * as if it were not there. */
static int sqlite_expect_none(struct sqlite_connection *connection, const char *path)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query =
                sqlite_query(connection, STATEMENT_HAS_VERSIONS);
        bool is_row;
        int r;

        sqlite_bind_text(&query, path);
        r = sqlite_query_next(&query, &is_row);
        if (r != 0 || !is_row)
                return r;
        return sqlite_refused(
                connection, -EBADMSG, "%s has versions, but it is not known which is its latest", path);
}

int sqlite_read_function(
        struct sqlite_connection *connection, const char *path, struct sqlite_function *ret_function)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query = sqlite_query(connection, STATEMENT_FUNCTION);
        struct sqlite_function function = { 0 };
        bool is_row;
        int r;

        sqlite_bind_text(&query, path);
        r = sqlite_query_next(&query, &is_row);
        if (r == 0 && is_row) {
                function.last_version = sqlite_column_number(&query, 0);
                function.latest = sqlite_column_number(&query, 1);
        }
        if (r == 0 && function.latest == 0)
                r = sqlite_expect_none(connection, path);
        if (r == 0)
                *ret_function = function;
        return r;
}

int sqlite_has_version(struct sqlite_connection *connection, const char *path, uint64_t version)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query =
                sqlite_query(connection, STATEMENT_HAS_VERSION);
        bool is_row;
        int r;

        sqlite_bind_text(&query, path);
        sqlite_bind_number(&query, version);
        r = sqlite_query_next(&query, &is_row);
        return r == 0 && !is_row ? STORE_NOT_FOUND : r;
}

static int sqlite_version_of_alias(
        struct sqlite_connection *connection, const char *path, const char *alias, uint64_t *ret_version)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query =
                sqlite_query(connection, STATEMENT_VERSION_OF_ALIAS);
        bool is_row;
        int r;

        sqlite_bind_text(&query, path);
        sqlite_bind_text(&query, alias);
        r = sqlite_query_next(&query, &is_row);
        if (r == 0 && is_row)
                *ret_version = sqlite_column_number(&query, 0);
        return r == 0 && !is_row ? STORE_NOT_FOUND : r;
}

static int sqlite_read_version(const struct sqlite_query *row, struct store_version *ret_version)
{
        struct store_version version = {
                .version = sqlite_column_number(row, 2),
                .created_ms = sqlite_column_number(row, 3),
        };
        _cleanup_(freep) char *hash = NULL;

        if (sqlite_column_text(row, 0, &version.path) < 0 ||
                sqlite_column_text(row, 1, &version.language) < 0 || sqlite_column_text(row, 4, &hash) < 0 ||
                sqlite_column_bytes(row, 5, &version.limits) < 0 ||
                sqlite_column_bytes(row, 6, &version.code) < 0 ||
                sqlite_column_bytes(row, 7, &version.compiled) < 0 ||
                sqlite_column_bytes(row, 8, &version.map) < 0 ||
                sqlite_column_bytes(row, 9, &version.cache) < 0 ||
                sqlite_column_bytes(row, 10, &version.cache_for) < 0 ||
                sqlite_column_bytes(row, 11, &version.imports) < 0) {
                store_version_deinit(&version);
                return error_trace(-ENOMEM);
        }
        if (!version.path || !version.language || !hash || !version.code.data) {
                store_version_deinit(&version);
                return sqlite_refused(
                        row->connection, -EBADMSG, "a version of a function misses what each has");
        }
        memccpy(version.hash, hash, 0, sizeof version.hash - 1);
        *ret_version = version;
        return 0;
}

static int sqlite_get_version(
        struct sqlite_connection *connection, struct store_request *request, uint64_t number)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query = sqlite_query(connection, STATEMENT_GET);
        bool is_row;
        int r;

        sqlite_bind_text(&query, request->path);
        sqlite_bind_number(&query, number);
        r = sqlite_query_next(&query, &is_row);
        if (r != 0)
                return r;
        if (is_row)
                return sqlite_read_version(&query, &request->found);
        if (number == request->version && !request->alias)
                return STORE_NOT_FOUND;
        return sqlite_refused(connection, -EBADMSG, "%s has no version %" PRIu64 ", which it names as its %s",
                request->path, number, request->alias ? request->alias : "latest");
}

int sqlite_get(struct sqlite_connection *connection, struct store_request *request)
{
        struct sqlite_function function = { 0 };
        uint64_t number = request->version;
        int r = sqlite_read_function(connection, request->path, &function);

        if (r == 0 && function.latest == 0)
                return STORE_NOT_FOUND;
        if (r == 0 && request->alias)
                r = sqlite_version_of_alias(connection, request->path, request->alias, &number);
        else if (number == 0)
                number = function.latest;
        if (r != 0)
                return r;
        request->latest = function.latest;
        return sqlite_get_version(connection, request, number);
}

static int sqlite_read_summary(const struct sqlite_query *row, struct store_summary *summary)
{
        _cleanup_(freep) char *hash = NULL;

        if (sqlite_column_text(row, 0, &summary->path) < 0 ||
                sqlite_column_text(row, 1, &summary->language) < 0 ||
                sqlite_column_text(row, 2, &summary->limits) < 0 || sqlite_column_text(row, 6, &hash) < 0)
                return error_trace(-ENOMEM);
        summary->version = sqlite_column_number(row, 3);
        summary->created_ms = sqlite_column_number(row, 4);
        summary->size = sqlite_column_number(row, 5);
        summary->n_versions = sqlite_column_number(row, 7);
        if (!summary->path || !summary->language || !hash)
                return sqlite_refused(row->connection, -EBADMSG,
                        "%s: version %" PRIu64 " is not there, or damaged",
                        summary->path ? summary->path : "a function", sqlite_column_number(row, 3));
        memccpy(summary->hash, hash, 0, sizeof summary->hash - 1);
        return 0;
}

/* The rows become the page; one row more than the page has tells that there is more. */
static int sqlite_read_page(struct sqlite_query *query, struct store_request *request)
{
        bool is_row = true;
        int r = 0;

        request->summaries = calloc(request->limit, sizeof *request->summaries);
        if (!request->summaries)
                return error_trace(-ENOMEM);
        for (;;) {
                r = sqlite_query_next(query, &is_row);
                if (r != 0 || !is_row)
                        return r;
                if (request->n_summaries == request->limit) {
                        request->has_more = true;
                        return 0;
                }
                r = sqlite_read_summary(query, &request->summaries[request->n_summaries++]);
                if (r != 0)
                        return r;
        }
}

/* Binds the smallest text above all that begin with the prefix, which becomes that text. Any text is below a
 * blob, so an empty one is above them all where there is no such text. */
static void sqlite_bind_above(struct sqlite_query *query, char *prefix)
{
        static char none[] = "";
        size_t length = strlen(prefix);

        while (length && (unsigned char)prefix[length - 1] == 0xff)
                length--;
        if (length == 0) {
                sqlite_bind_bytes(query, &(struct store_bytes){ none, 0 });
                return;
        }
        prefix[length - 1]++;
        sqlite_bind_text_bytes(query, &(struct store_bytes){ prefix, length });
}

int sqlite_list(struct sqlite_connection *connection, struct store_request *request)
{
        char above[STORE_PATH_MAX + 1];
        _cleanup_(sqlite_query_end) struct sqlite_query query = sqlite_query(connection, STATEMENT_LIST);

        if (snprintf(above, sizeof above, "%s", request->path) > STORE_PATH_MAX)
                return 0; /* no path begins with that */
        /* The smallest text behind `after` is `after` and a NUL. */
        if (request->after && strcmp(request->after, request->path) >= 0)
                sqlite_bind_text_bytes(
                        &query, &(struct store_bytes){ (char *)request->after, strlen(request->after) + 1 });
        else
                sqlite_bind_text(&query, request->path);
        sqlite_bind_above(&query, above);
        sqlite_bind_number(&query, (uint64_t)request->limit + 1);
        return sqlite_read_page(&query, request);
}

static int sqlite_list_versions(struct sqlite_connection *connection, struct store_request *request)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query =
                sqlite_query(connection, STATEMENT_LIST_VERSIONS);

        sqlite_bind_text(&query, request->path);
        sqlite_bind_number(&query, MIN(request->before - 1, (uint64_t)INT64_MAX)); /* 0 wraps to the newest */
        sqlite_bind_number(&query, (uint64_t)request->limit + 1);
        return sqlite_read_page(&query, request);
}

int sqlite_count_aliases(
        struct sqlite_connection *connection, const char *path, const char *except, uint64_t *ret_n)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query =
                sqlite_query(connection, STATEMENT_COUNT_ALIASES);
        bool is_row;
        int r;

        sqlite_bind_text(&query, path);
        sqlite_bind_text(&query, except);
        r = sqlite_query_next(&query, &is_row);
        if (r == 0)
                *ret_n = sqlite_column_number(&query, 0);
        return r;
}

static int sqlite_list_aliases(struct sqlite_connection *connection, struct store_request *request)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query =
                sqlite_query(connection, STATEMENT_LIST_ALIASES);
        uint64_t n = 0;
        bool is_row;
        int r = sqlite_count_aliases(connection, request->path, "", &n);

        if (r != 0 || n == 0)
                return r;
        request->aliases = calloc(n, sizeof *request->aliases);
        if (!request->aliases)
                return error_trace(-ENOMEM);
        sqlite_bind_text(&query, request->path);
        while ((r = sqlite_query_next(&query, &is_row)) == 0 && is_row && request->n_aliases < n) {
                struct store_alias *alias = &request->aliases[request->n_aliases++];

                alias->version = sqlite_column_number(&query, 1);
                r = sqlite_column_text(&query, 0, &alias->name);
                if (r < 0)
                        return r;
        }
        return r;
}

static int sqlite_read_language(struct sqlite_connection *connection, struct store_request *request)
{
        _cleanup_(sqlite_query_end) struct sqlite_query query = sqlite_query(connection, STATEMENT_LANGUAGE);
        bool is_row;
        int r;

        sqlite_bind_text(&query, request->path);
        sqlite_bind_number(&query, request->latest);
        r = sqlite_query_next(&query, &is_row);
        if (r == 0 && is_row)
                r = sqlite_column_text(&query, 0, &request->language);
        return r;
}

int sqlite_describe(struct sqlite_connection *connection, struct store_request *request)
{
        struct sqlite_function function;
        int r = sqlite_read_function(connection, request->path, &function);

        if (r != 0)
                return r;
        if (function.latest == 0)
                return STORE_NOT_FOUND;
        request->latest = function.latest;
        r = sqlite_read_language(connection, request);
        if (r == 0)
                r = sqlite_list_versions(connection, request);
        return r == 0 ? sqlite_list_aliases(connection, request) : r;
}
