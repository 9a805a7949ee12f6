/*
 * mayfly import: from Redis, what go-faas and mayfly keep there, into the embedded store. It holds DATA_DIR's
 * lock, so nobody serves from it meanwhile; Redis may be served, and is left as it is.
 *
 * It may run as root on a directory that belongs to the server's user, whom it trusts no further than mayflyd
 * does: what stands in for the database there must be a file. mayflyd gives what is made here to that user.
 */
#include "cli/import.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/data_lock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/settings.h"
#include "cli/copy.h"
#include "store/store.h"
#include "store/store_settings.h"

enum { EXIT_REFUSED = 1, EXIT_UNUSABLE = 2 };
enum { READY_US = 10000000, RETRY_MS = 100 }; /* for Redis to be there, and between two looks */

struct import {
        struct settings settings;
        bool dry_run;
        int data_fd;
        char data_dir[PATH_MAX];
        struct event_base *base;
        struct store *redis, *sqlite;
        struct copy copy;
        bool found_all, lacks_memory;
        char error[512];
};

static int import_read_settings(struct import *import, int argc, char **argv);
static int import_lock_data(struct import *import);
static int import_open_redis(struct import *import);
static int import_await_redis(struct import *import);
static int import_open_sqlite(struct import *import);
static int import_copy(struct import *import);

/* In order; each leaves a message when it fails. The settings come before. */
static int (*const steps[])(struct import *import) = {
        import_lock_data,
        import_open_redis,
        import_await_redis,
        import_open_sqlite,
        import_copy,
};

static int fail(struct import *import, const char *format, ...) _printf_(2, 3);

static int fail(struct import *import, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(import->error, sizeof import->error, format, args);
        va_end(args);
        return -EINVAL;
}

static int import_read_settings(struct import *import, int argc, char **argv)
{
        int n = 1, r;

        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--dry-run") == 0)
                        import->dry_run = true;
                else
                        argv[n++] = argv[i];
        }
        r = settings_load(n, argv, environ, ".env", &import->settings, import->error, sizeof import->error);
        if (r == 0 && !settings_use_redis(&import->settings))
                return fail(import, "REDIS_HOST is not set, nor REDIS_SENTINELS: from where?");
        return r > 0 ? fail(import, "%s: mayfly help", argv[1]) : r;
}

static int import_check_files(struct import *import)
{
        DIR *listing = fdopendir(openat(import->data_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        struct dirent *entry;
        struct stat st;
        int r = 0;

        if (!listing)
                return fail(import, "DATA_DIR=%s cannot be read: %s", import->data_dir, strerror(errno));
        while (r == 0 && (entry = readdir(listing))) {
                if (strncmp(entry->d_name, "mayfly.", 7) != 0)
                        continue;
                if (fstatat(import->data_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                        !S_ISREG(st.st_mode) || st.st_nlink != 1)
                        r = fail(import, "%s/%s is not a file of its own; remove it", import->data_dir,
                                entry->d_name);
        }
        closedir(listing);
        return r;
}

static int import_lock_data(struct import *import)
{
        int r;

        if (import->dry_run)
                return 0;
        umask(077);
        r = data_lock(import->settings.data_dir, import->data_dir, sizeof import->data_dir, &import->data_fd,
                import->error, sizeof import->error);
        return r < 0 ? r : import_check_files(import);
}

static void import_found(const char *path, void *context)
{
        struct import *import = context;

        if (!path)
                import->found_all = true;
        else if (copy_add_path(&import->copy, path) < 0)
                import->lacks_memory = true;
}

static int import_open_redis(struct import *import)
{
        struct store_redis_options options = store_redis_options(&import->settings);
        int r;

        options.found = import_found;
        options.found_context = import;
        import->base = event_base_new();
        if (!import->base)
                return fail(import, "out of memory");
        r = store_open_redis(import->base, &options, &import->redis, import->error, sizeof import->error);
        return r != 0 && !import->error[0] ? fail(import, "out of memory") : r;
}

static int fail_at_redis(struct import *import, const char *what, const char *reason)
{
        const struct settings *settings = &import->settings;

        if (settings->redis_sentinels)
                return fail(import, "Redis, by the sentinels %s, %s: %s", settings->redis_sentinels, what,
                        reason);
        return fail(import, "Redis at %s, port %u, %s: %s", settings->redis_host, settings->redis_port, what,
                reason);
}

static void on_time(evutil_socket_t fd, short what, void *context)
{
        (void)fd, (void)what, (void)context;
}

static int import_ask_redis(struct import *import, uint64_t until_us)
{
        _cleanup_(store_request_deinit) struct store_request list = {
                .operation = STORE_LIST, .path = "", .limit = 1
        };
        int r = store_wait(import->redis, import->base, &list);

        if (r == STORE_UNAVAILABLE && clock_us() > until_us)
                return fail_at_redis(import, "cannot be reached", list.reason);
        if (r != 0 && r != STORE_UNAVAILABLE)
                return fail_at_redis(import, "cannot be read", list.reason);
        return r;
}

/* It connects when it is opened, and then looks for what go-faas left, for as long as that takes while it
 * answers. */
static int import_await_redis(struct import *import)
{
        const struct timeval pause = { .tv_usec = RETRY_MS * 1000 };
        uint64_t until_us = clock_us() + READY_US;
        int r = STORE_UNAVAILABLE;

        while (r == STORE_UNAVAILABLE || (r == 0 && !import->found_all)) {
                event_base_once(import->base, -1, EV_TIMEOUT, on_time, NULL, &pause);
                event_base_loop(import->base, EVLOOP_ONCE);
                r = import_ask_redis(import, until_us);
                if (r == 0)
                        until_us = clock_us() + READY_US;
        }
        return r == 0 && import->lacks_memory ? fail(import, "out of memory") : r;
}

static int import_open_sqlite(struct import *import)
{
        int r;

        if (import->dry_run)
                return 0;
        r = store_open_sqlite(
                import->base, import->data_dir, &import->sqlite, import->error, sizeof import->error);
        return r != 0 && !import->error[0] ? fail(import, "out of memory") : r;
}

static void tell_refused(const char *path, const char *what, const char *why)
{
        char safe[3][512]; /* they come from Redis, and go to a terminal */

        fprintf(stderr, "mayfly: %s, %s: not copied: %s\n", log_safe(path, safe[0], sizeof safe[0]),
                log_safe(what, safe[1], sizeof safe[1]), log_safe(why, safe[2], sizeof safe[2]));
}

static void tell_progress(size_t n_done, size_t n_all)
{
        fprintf(stderr, "\r%zu of %zu functions\r", n_done, n_all);
}

static int import_copy(struct import *import)
{
        struct copy *copy = &import->copy;
        int r;

        copy->base = import->base;
        copy->from = import->redis;
        copy->to = import->sqlite;
        copy->refused = tell_refused;
        copy->progress = isatty(STDERR_FILENO) ? tell_progress : NULL;
        r = copy_run(copy);
        printf("%s %zu functions: %zu versions, %zu of them new, and %zu aliases, %zu of them new; %zu could "
               "not be copied\n",
                import->dry_run ? "found"
                : r == 0        ? "imported"
                                : "imported so far",
                copy->n_functions, copy->n_versions, copy->n_new_versions, copy->n_aliases,
                copy->n_new_aliases, copy->n_refused);
        if (r == COPY_FROM_FAILED || r == COPY_TO_FAILED)
                return fail(import, "%s: %s; run it again to continue",
                        r == COPY_FROM_FAILED ? "Redis" : import->data_dir, copy->reason);
        return r == 0 ? 0 : fail(import, "%s", strerror(abs(r)));
}

static int import_close(struct import *import)
{
        store_free(import->sqlite);
        store_free(import->redis);
        copy_deinit(&import->copy);
        if (import->base)
                event_base_free(import->base);
        fd_closep(&import->data_fd);
        settings_deinit(&import->settings);
        return import->copy.n_refused ? EXIT_REFUSED : 0;
}

int import_main(int argc, char **argv)
{
        static struct import import = { .data_fd = -1 };
        int r = import_read_settings(&import, argc, argv), status;

        log_set_level(LOG_ERROR); /* what a store says in passing is no business of a copy */
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
                r = steps[i](&import);
        status = import_close(&import);
        if (r == 0)
                return status;
        fprintf(stderr, "mayfly: import: %s\n", import.error);
        return EXIT_UNUSABLE;
}
