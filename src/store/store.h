#pragma once

/*
 * What survives a restart: functions, their versions and their aliases. The contract, of which there are two
 * kinds: SQLite under DATA_DIR (sqlite.c) and Redis (redis.c).
 *
 * A question is a struct store_request, embedded in what its answer needs. store_start() takes it and returns
 * at once; done() is called later, on the loop's thread, never from within store_start(), and once for every
 * request, also at the store's end. Requests may be answered in another order than they were asked in; each
 * is one step, all of it or nothing. No request waits for another one's slow disk or lost packet, except
 * that writes into SQLite take turns.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct event_base;
struct store;

enum {
        STORE_NOT_FOUND = 1,   /* no such function, or version or alias of it */
        STORE_UNAVAILABLE = 2, /* the medium failed or does not answer (I/O error, full, locked, corrupt, no
                                  connection, refused, too late); a later request may work again. A write
                                  that nobody answered in time may have been done or not. */
        STORE_IN_USE = 3,      /* REMOVE: an alias names that version; `reason` is the alias */
        STORE_FULL = 4,        /* SET_ALIAS: the function has as many as it may have */
};

enum {
        STORE_PATH_MAX = 255,
        STORE_ALIAS_MAX = 64,  /* bytes of an alias' name */
        STORE_PAGE_MAX = 1000, /* of `limit` */
        STORE_HASH_SIZE = 65,  /* SHA-256 in lower-case hexadecimal digits, and its NUL */
};

struct store_bytes {
        char *data; /* NULL: absent. Otherwise malloc'd and NUL-terminated behind its length */
        size_t length;
};

struct store_version {
        char *path;
        char *language;
        uint64_t version;           /* unique and rising for a path: ms since the epoch; of go-faas: s */
        uint64_t created_ms;        /* ms since the epoch by the clock of the upload */
        char hash[STORE_HASH_SIZE]; /* of `code`, made by the asker of PUT; "": not known (go-faas) */
        struct store_bytes code;
        struct store_bytes compiled; /* TypeScript: the JavaScript and its source map; otherwise absent */
        struct store_bytes map;
        struct store_bytes limits; /* JSON text, its meaning is the server's; absent: none of its own */
        struct store_bytes cache;  /* compiled code; absent: none was kept */
        struct store_bytes
                cache_for; /* text: of what runtime it is, also if that made none; absent: not made */
        struct store_bytes imports; /* text: modules that it imports; absent: not looked for */
};

/* A version without what it consists of. */
struct store_summary {
        char *path;
        char *language;
        char *limits; /* NULL: none */
        uint64_t version;
        uint64_t created_ms;
        uint64_t size;       /* bytes of its code */
        uint64_t n_versions; /* LIST: that the function has; DESCRIBE: 0 */
        char hash[STORE_HASH_SIZE];
};

struct store_alias {
        char *name;
        uint64_t version;
};

enum store_operation {
        /* Can it be read and written now? Writes, and leaves nothing. */
        STORE_CHECK,
        /* given → latest, created. Keeps a further version of given->path, and when that is answered with 0,
         * it is on stable storage (Redis: as its settings promise). Its number is max(now_ms, the highest
         * number that the path ever had + 1). If the latest version has the same language, code and limits,
         * nothing is kept: created is false, and latest is that version. Reads path, language, hash, code,
         * compiled, map, limits, cache, cache_for, imports. */
        STORE_PUT,
        /* path, and version (0: the latest) or alias → found, latest, may_change. */
        STORE_GET,
        /* given. Replaces compiled, map, cache, cache_for and imports of the version given->version of
         * given->path. given->code is what they were made from: where another program may write over that
         * (go-faas), nothing is kept unless it is still the code. */
        STORE_KEEP_COMPILED,
        /* path (a prefix; "": all), after (NULL: from the first), limit → summaries of the latest versions,
         * ordered by path (bytewise), has_more. An empty page is 0 too. */
        STORE_LIST,
        /* path, before (0: from the newest), limit → latest, language (the latest's), summaries of its
         * versions, newest first, has_more, aliases ordered by name (all of them, on every page). */
        STORE_DESCRIBE,
        /* path, version. 0: all versions and aliases. The number of a removed version is never given again.
         */
        STORE_REMOVE,
        /* path, alias, version, limit (aliases that a function may have). The version must exist. An alias
         * that exists is moved. */
        STORE_SET_ALIAS,
        /* path, alias. */
        STORE_REMOVE_ALIAS,
        /* given, with its number and its time, for a copy of another store. A version that exists already
         * stays as it is: created is false. */
        STORE_RESTORE,
        STORE_OPERATIONS,
};

struct store_request {
        struct list link; /* the store's, until done() */
        enum store_operation operation;

        /* What is asked; it stays the asker's, unchanged and in place until done(). */
        const char *path;
        const char *alias; /* GET: NULL: by version */
        uint64_t version;
        const struct store_version *given;
        uint64_t now_ms;
        const char *after;
        uint64_t before;
        uint32_t limit; /* 1 to STORE_PAGE_MAX */
        void (*done)(struct store_request *request);

        /* The answer: 0, an outcome from above, -ENOMEM, -EINVAL, or -EBADMSG (what is stored is damaged).
         * store_request_deinit() frees it; what done() takes it sets to zero. */
        int r;
        char reason[256]; /* STORE_UNAVAILABLE, -EBADMSG: what it was, for the log */
        struct store_version found;
        uint64_t latest;
        char *language; /* DESCRIBE */
        bool created;
        bool may_change; /* GET: another program may still write over this version: do not remember it */
        bool has_more;
        struct store_summary *summaries;
        size_t n_summaries;
        struct store_alias *aliases;
        size_t n_aliases;
};

/* Something of this function (NULL: of any) was changed by somebody else. On the loop's thread; within a
 * second of the change while the store is up. */
typedef void store_changed(const char *path, void *context);

struct store_ops {
        void (*start)(struct store *store, struct store_request *request);
        void (*free)(struct store *store);
};

/* The head of every kind of store. */
struct store {
        const struct store_ops *ops;
        store_changed *changed; /* or NULL */
        void *changed_context;
};

/* For the kinds of store: does the request say all that its operation wants to know? */
bool store_request_is_complete(const struct store_request *request);
bool store_operation_writes(enum store_operation operation);

void store_start(struct store *store, struct store_request *request);
/* Starts it and turns the loop until it is done; returns request->r. For programs that do one thing. */
int store_wait(struct store *store, struct event_base *base, struct store_request *request);
void store_watch(struct store *store, store_changed *changed, void *context);
/* done() of every request still open is called: with what became of it, or with STORE_UNAVAILABLE. Takes
 * NULL, returns NULL. */
struct store *store_free(struct store *store);

void store_request_deinit(struct store_request *request);
void store_version_deinit(struct store_version *version);
/* Is the code what its hash says? No store looks by itself. Without a hash (go-faas) it is. Much code takes a
 * while: work for a thread. */
bool store_version_is_whole(const struct store_version *version);
/* The hash that `hash` members hold. */
void store_hash(const void *data, size_t length, char hash[STORE_HASH_SIZE]);

/* The embedded store: the SQLite database `mayfly.db` in `directory`, made if it is not there. One process at
 * a time. 0, -ENOMEM, or STORE_UNAVAILABLE: `error` says why, also if a newer mayfly wrote it. */
int store_open_sqlite(struct event_base *base, const char *directory, struct store **ret_store, char *error,
        size_t error_size);

struct store_redis_options {
        const char *host; /* name or address; not used where there are sentinels */
        uint32_t port;
        const char *username, *password; /* or NULL */
        uint32_t database;
        const char *sentinels;       /* "host:port,host:port" (26379 without a port), or NULL */
        const char *sentinel_master; /* the name that they know the primary by */
        const char *sentinel_password;
        bool tls;
        const char *tls_ca, *tls_certificate,
                *tls_key;    /* names of PEM files, or NULL: the host's authorities */
        const char *prefix;  /* of the names of mayfly's own keys */
        uint32_t timeout_ms; /* of connecting, and of an answer */
        uint32_t replicas;   /* that must have a write before it is answered */
        /* For a copy: told of each path that go-faas left, also of one that no function may have, perhaps
         * more than once, and NULL when it was told of all. Nothing is written then, and DESCRIBE tells of
         * versions that have no code too. NULL: the paths go into the list. */
        void (*found)(const char *path, void *context);
        void *found_context;
};

/* Redis or Valkey. It need not be there yet: requests are answered STORE_UNAVAILABLE until it is. The options
 * are copied. 0, -ENOMEM, or -EINVAL with `error` (an option that cannot be, TLS that this build has not). */
int store_open_redis(struct event_base *base, const struct store_redis_options *options,
        struct store **ret_store, char *error, size_t error_size);
