#pragma once

/*
 * A script with its language: stored under a path as a version, or sent along with /run-now. Shared between
 * the cache and the calls that run it, by counting; only the server's one thread touches the count.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/limits.h"
#include "store/store.h"
#include "wire/guest_api.h"

enum { IMPORTS_MAX = 32, IMPORTS_MAX_BYTES = 1024 };

struct script {
        unsigned references;
        enum guest_language language;
        char *path;                 /* NULL: not stored (/run-now) */
        uint64_t version;           /* 0: not stored, or not yet */
        char hash[STORE_HASH_SIZE]; /* of its code, once stored; "": not known */
        struct store_bytes code;
        struct store_bytes compiled; /* TypeScript once compiled; data is NULL before */
        struct store_bytes map;
        /* Python: the modules that it imports at its top level, as its check cell said: dotted names, sorted,
         * each once, a blank between two. Never NULL; "" for none. May change when another build checks it.
         */
        char *imports;
        /* Compiled code, for the cells of this script alone; opaque. cache_for: the version of the runtime
         * that made it, or that made none; NULL: none was asked. */
        struct store_bytes cache;
        char *cache_for;
        bool was_recompiled;  /* see recompile.c */
        struct limits limits; /* of a version. Those of /run-now are its call's: equal code shares a script */
};

/* Takes the malloc'd path (may be NULL) and code over when it succeeds. NULL: out of memory. */
struct script *script_new(enum guest_language language, char *path, char *code, size_t code_length);
struct script *script_ref(struct script *script);
/* Takes NULL, returns NULL. */
struct script *script_unref(struct script *script);
void script_unrefp(struct script **script);

/* TypeScript without its JavaScript must be compiled before it can run. */
bool script_needs_compiling(const struct script *script);
/* Copies JavaScript and source map in. 0 or -ENOMEM. */
int script_set_compiled(
        struct script *script, const char *code, size_t code_length, const char *map, size_t map_length);

/* What a check cell says that a script imports, which is taken for none if it has not the form that is said
 * above, or is longer than IMPORTS_. 0 or -ENOMEM. */
int script_set_imports(struct script *script, const char *imports, size_t length);
/* Copies the cache and the name of the runtime in. 0 or -ENOMEM. */
int script_set_cache(struct script *script, const char *cache, size_t length, const char *cache_for);

/* Was it made for this build (cells_runtime_build()), or tried at least? */
bool script_cache_fits(const struct script *script, const char *build);

/* Bytes that it occupies. */
size_t script_size(const struct script *script);
