#pragma once

/*
 * What survives a restart: functions and their versions. The calls block, so the server makes them on its
 * store thread; one thread at a time may use a store. sqlite.c implements them; a further kind of store is
 * one more store_ops.
 *
 * Every call returns 0, one of the outcomes below, or -ENOMEM / -EINVAL.
 */

#include <stddef.h>
#include <stdint.h>

/* STORE_UNAVAILABLE: the medium failed (I/O error, full, locked by another, corrupt). Nothing was changed;
 * store_reason() says what it was; a later call may work again. */
enum { STORE_NOT_FOUND = 1, STORE_UNAVAILABLE = 2 };

struct store_bytes {
        char *data; /* NULL: absent. Otherwise malloc'd and NUL-terminated behind its length */
        size_t length;
};

struct store_version {
        char *path;
        char *language;
        uint64_t version;    /* ms since the epoch, unique and rising for a path */
        uint64_t created_ms; /* ms since the epoch by the clock of the upload */
        struct store_bytes code;
        struct store_bytes compiled; /* TypeScript: the JavaScript and its source map; otherwise absent */
        struct store_bytes map;
        struct store_bytes limits; /* JSON text, its meaning is the server's; absent: none of its own */
        struct store_bytes cache;  /* compiled code; absent: none was kept */
        struct store_bytes
                cache_for; /* text: of what runtime it is, also if that made none; absent: not made */
        struct store_bytes imports; /* text: modules that it imports; absent: not looked for */
};

struct store;

struct store_ops {
        /* Keeps a further version of function->path. Its number is max(now_ms, latest + 1), chosen and
         * written in one transaction; when 0 is returned, it is on stable storage. Reads path, language,
         * code, compiled, map, limits, cache, cache_for, imports. */
        int (*put)(struct store *store, const struct store_version *function, uint64_t now_ms,
                uint64_t *ret_version);
        /* version 0: the latest. The caller frees *ret_function with store_version_deinit(). ret_latest, if
         * not NULL: the latest version's number. */
        int (*get)(struct store *store, const char *path, uint64_t version,
                struct store_version *ret_function, uint64_t *ret_latest);
        /* Replaces cache, cache_for and imports of the version function->version of function->path.
         * STORE_NOT_FOUND: it is not there. */
        int (*put_cache)(struct store *store, const struct store_version *function);
        /* Can it be read and written now? 0 or STORE_UNAVAILABLE. */
        int (*check)(struct store *store);
        void (*free)(struct store *store);
};

/* The head of every kind of store. */
struct store {
        const struct store_ops *ops;
        char reason[256]; /* why the last call returned STORE_UNAVAILABLE */
};

int store_put(
        struct store *store, const struct store_version *function, uint64_t now_ms, uint64_t *ret_version);
int store_get(struct store *store, const char *path, uint64_t version, struct store_version *ret_function,
        uint64_t *ret_latest);
int store_put_cache(struct store *store, const struct store_version *function);
int store_check(struct store *store);
const char *store_reason(const struct store *store);
/* Takes NULL, returns NULL. */
struct store *store_free(struct store *store);

void store_version_deinit(struct store_version *function);

/* The embedded store: the SQLite database `mayfly.db` in `directory`, made if it is not there.
 * STORE_UNAVAILABLE: `error` says why, also if a newer mayfly wrote it. */
int store_open_sqlite(const char *directory, struct store **ret_store, char *error, size_t error_size);
