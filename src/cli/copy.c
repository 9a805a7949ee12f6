/*
 * Function by function, newest version first: an interrupted copy leaves functions that are current, and lack
 * old versions at worst. One thing at a time: it is for a program that runs once.
 */
#include "cli/copy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "store/function_name.h"
#include "store/store.h"

enum { PAGE = 500, PROGRESS = 1000 };

/* What the other store has of a function: the numbers of its versions, newest first. */
struct known {
        uint64_t *versions;
        size_t n, at;
};

static void known_deinit(struct known *known)
{
        free(known->versions);
}

static void refuse(struct copy *copy, const char *path, const char *what, const char *format, ...)
        _printf_(4, 5);

static void refuse(struct copy *copy, const char *path, const char *what, const char *format, ...)
{
        char why[512];
        va_list args;

        va_start(args, format);
        vsnprintf(why, sizeof why, format, args);
        va_end(args);
        copy->n_refused++;
        copy->refused(path, what, why);
}

/* As store_wait(), and what ends the copy. */
static int ask(struct copy *copy, struct store *store, struct store_request *request)
{
        int r = store_wait(store, copy->base, request);

        snprintf(copy->reason, sizeof copy->reason, "%s", request->reason);
        if (r != STORE_UNAVAILABLE)
                return r;
        return store == copy->from ? COPY_FROM_FAILED : COPY_TO_FAILED;
}

static bool ends_copy(int r)
{
        return r == COPY_FROM_FAILED || r == COPY_TO_FAILED || r == -ENOMEM;
}

static int known_add(struct known *known, const struct store_request *page)
{
        uint64_t *versions =
                reallocarray(known->versions, known->n + page->n_summaries + 1, sizeof *versions);

        if (!versions)
                return -ENOMEM;
        known->versions = versions;
        for (size_t i = 0; i < page->n_summaries; i++)
                versions[known->n++] = page->summaries[i].version;
        return 0;
}

static int known_read(struct copy *copy, const char *path, struct known *known)
{
        bool has_more = copy->to;
        int r = 0;

        while (r == 0 && has_more) {
                _cleanup_(store_request_deinit) struct store_request page = { .operation = STORE_DESCRIBE,
                        .path = path,
                        .before = known->n ? known->versions[known->n - 1] : 0,
                        .limit = PAGE };

                r = ask(copy, copy->to, &page);
                has_more = r == 0 && page.has_more && page.n_summaries;
                if (r == 0)
                        r = known_add(known, &page);
        }
        return r == STORE_NOT_FOUND ? 0 : r;
}

/* Asked from the newest to the oldest, as it is filled. */
static bool known_has(struct known *known, uint64_t version)
{
        while (known->at < known->n && known->versions[known->at] > version)
                known->at++;
        return known->at < known->n && known->versions[known->at] == version;
}

static int write_version(struct copy *copy, struct store_version *version, const char *what)
{
        _cleanup_(store_request_deinit) struct store_request restore = { .operation = STORE_RESTORE,
                .given = version };
        int r;

        /* go-faas kept none, since it may write over a version; here nobody does. */
        if (!version->hash[0])
                store_hash(version->code.data, version->code.length, version->hash);
        if (!copy->to) {
                copy->n_new_versions++;
                return 0;
        }
        r = ask(copy, copy->to, &restore);
        copy->n_new_versions += r == 0 && restore.created;
        if (r == 0 || ends_copy(r))
                return r;
        refuse(copy, version->path, what, "it is not taken: %s",
                copy->reason[0] ? copy->reason : strerror(abs(r)));
        return 0;
}

static int copy_version(struct copy *copy, const char *path, uint64_t version, struct known *known)
{
        _cleanup_(store_request_deinit) struct store_request get = {
                .operation = STORE_GET, .path = path, .version = version
        };
        char what[64];
        int r;

        copy->n_versions++;
        if (known_has(known, version))
                return 0;
        snprintf(what, sizeof what, "version %" PRIu64, version);
        r = ask(copy, copy->from, &get);
        if (r == 0 && get.found.code.data && store_version_is_whole(&get.found))
                return write_version(copy, &get.found, what);
        if (ends_copy(r))
                return r;
        if (r == 0 && get.found.code.data)
                refuse(copy, path, what, "it is damaged: its code is not what its hash says");
        else if (r == 0 || r == STORE_NOT_FOUND)
                refuse(copy, path, what, "it has no code");
        else
                refuse(copy, path, what, "it is damaged%s%s", copy->reason[0] ? ": " : "", copy->reason);
        return 0;
}

/* `ret_aliases` gets those of the function, as an answer to DESCRIBE has them. */
static int copy_versions(struct copy *copy, const char *path, struct store_request *ret_aliases)
{
        _cleanup_(known_deinit) struct known known = { 0 };
        int r = known_read(copy, path, &known);
        bool has_more = true;
        uint64_t before = 0;

        while (r == 0 && has_more) {
                _cleanup_(store_request_deinit) struct store_request page = {
                        .operation = STORE_DESCRIBE, .path = path, .before = before, .limit = PAGE
                };

                r = ask(copy, copy->from, &page);
                has_more = r == 0 && page.has_more && page.n_summaries;
                if (before == 0) {
                        ret_aliases->aliases = steal(&page.aliases);
                        ret_aliases->n_aliases = page.n_aliases;
                        page.n_aliases = 0;
                }
                for (size_t i = 0; r == 0 && i < page.n_summaries; i++) {
                        before = page.summaries[i].version;
                        r = copy_version(copy, path, before, &known);
                }
        }
        return r;
}

static bool has_alias(const struct store_request *description, const char *name)
{
        for (size_t i = 0; i < description->n_aliases; i++) {
                if (strcmp(description->aliases[i].name, name) == 0)
                        return true;
        }
        return false;
}

static int copy_alias(struct copy *copy, const char *path, const struct store_alias *alias)
{
        _cleanup_(store_request_deinit) struct store_request set = { .operation = STORE_SET_ALIAS,
                .path = path,
                .alias = alias->name,
                .version = alias->version,
                .limit = STORE_PAGE_MAX };
        char what[STORE_ALIAS_MAX + 32];
        int r = 0;

        snprintf(what, sizeof what, "alias %.*s", STORE_ALIAS_MAX, alias->name);
        if (!function_alias_valid(alias->name)) {
                refuse(copy, path, what, "that is no name for an alias");
                return 0;
        }
        if (copy->to)
                r = ask(copy, copy->to, &set);
        copy->n_new_aliases += r == 0;
        if (r == 0 || ends_copy(r))
                return r;
        refuse(copy, path, what,
                r == STORE_NOT_FOUND ? "its version %" PRIu64 " is not there"
                                     : "its version %" PRIu64 " cannot be named",
                alias->version);
        return 0;
}

/* One that is there already is the other store's: it may have been moved since. */
static int copy_aliases(struct copy *copy, const char *path, const struct store_request *here)
{
        _cleanup_(store_request_deinit) struct store_request there = {
                .operation = STORE_DESCRIBE, .path = path, .limit = 1
        };
        int r = here->n_aliases && copy->to ? ask(copy, copy->to, &there) : 0;

        if (r == STORE_NOT_FOUND)
                r = 0;
        for (size_t i = 0; r == 0 && i < here->n_aliases; i++) {
                copy->n_aliases++;
                if (!has_alias(&there, here->aliases[i].name))
                        r = copy_alias(copy, path, &here->aliases[i]);
        }
        return r;
}

static int copy_function(struct copy *copy, const char *path)
{
        _cleanup_(store_request_deinit) struct store_request aliases = { 0 };
        int r;

        copy->n_functions++;
        if (!function_path_valid(path, strlen(path))) {
                refuse(copy, path, "function", "no function may be called so");
                return 0;
        }
        r = copy_versions(copy, path, &aliases);
        if (r == 0)
                r = copy_aliases(copy, path, &aliases);
        if (r == 0 || ends_copy(r))
                return r;
        if (r == STORE_NOT_FOUND)
                refuse(copy, path, "function", "it has no version, or was removed just now");
        else
                refuse(copy, path, "function", "it is damaged%s%s", copy->reason[0] ? ": " : "",
                        copy->reason);
        return 0;
}

int copy_add_path(struct copy *copy, const char *path)
{
        if (copy->n_paths == copy->paths_size) {
                size_t size = MAX(copy->paths_size * 2, 1024);
                char **paths = reallocarray(copy->paths, size, sizeof *paths);

                if (!paths)
                        return -ENOMEM;
                copy->paths = paths;
                copy->paths_size = size;
        }
        copy->paths[copy->n_paths] = strdup(path);
        return copy->paths[copy->n_paths] ? (copy->n_paths++, 0) : -ENOMEM;
}

static int list_paths(struct copy *copy)
{
        _cleanup_(freep) char *after = NULL;
        bool has_more = true;
        int r = 0;

        while (r == 0 && has_more) {
                _cleanup_(store_request_deinit) struct store_request page = {
                        .operation = STORE_LIST, .path = "", .after = after, .limit = PAGE
                };

                r = ask(copy, copy->from, &page);
                for (size_t i = 0; r == 0 && i < page.n_summaries; i++)
                        r = copy_add_path(copy, page.summaries[i].path);
                has_more = page.has_more && page.n_summaries;
                if (r == 0 && has_more) {
                        char *last = strdup(page.summaries[page.n_summaries - 1].path);

                        r = last ? 0 : -ENOMEM;
                        free(after);
                        after = last;
                }
        }
        return r;
}

static int compare_paths(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int copy_run(struct copy *copy)
{
        int r = list_paths(copy);

        if (r == 0 && copy->n_paths)
                qsort(copy->paths, copy->n_paths, sizeof *copy->paths, compare_paths);
        for (size_t i = 0; r == 0 && i < copy->n_paths; i++) {
                if (i == 0 || strcmp(copy->paths[i], copy->paths[i - 1]) != 0)
                        r = copy_function(copy, copy->paths[i]);
                if (copy->progress && (i + 1) % PROGRESS == 0)
                        copy->progress(i + 1, copy->n_paths);
        }
        return r;
}

void copy_deinit(struct copy *copy)
{
        for (size_t i = 0; i < copy->n_paths; i++)
                free(copy->paths[i]);
        free(copy->paths);
        copy->paths = NULL;
        copy->n_paths = copy->paths_size = 0;
}
