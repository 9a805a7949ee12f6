#pragma once

/*
 * The functions that this server knows: a bounded cache in front of the store. What needs the store is done
 * on the store thread and comes back as a call of `done`, on the loop's thread and never before the asking
 * function has returned. While the store fails, what the cache holds keeps running.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/script.h"

struct event_base;
struct functions;
struct settings;
struct store;

enum { FUNCTION_PATH_MAX = 255 };

enum {
        FUNCTIONS_NOT_FOUND = 1,   /* no such path, or no such version of it */
        FUNCTIONS_UNAVAILABLE = 2, /* the store does not answer */
};

/* r: 0, a FUNCTIONS_ outcome or negative errno. script: the function if r is 0; to be referenced by whoever
 * keeps it. */
typedef void functions_done(int r, struct script *script, void *context);

/* Takes the store over when it succeeds; the settings must outlive it. 0 or negative errno. */
int functions_new(struct event_base *base, struct store *store, const struct settings *settings,
        struct functions **ret_functions);
/* Waits for the store thread; every `done` still owed is called. Takes NULL, returns NULL. */
struct functions *functions_free(struct functions *functions);

/* 1-255 bytes, segments of letters, digits, `.`, `_`, `-`; no empty segment, no `.` or `..`. */
bool function_path_valid(const char *path, size_t length);

/* From the cache alone: the version (0: the latest), or NULL. */
struct script *functions_find(struct functions *functions, const char *path, uint64_t version);
/* From the store; 0 or -ENOMEM (done is not called then). done gets -EBADMSG for a row that is damaged: it
 * is logged, and neither its language nor its limits are guessed. */
int functions_load(
        struct functions *functions, const char *path, uint64_t version, functions_done *done, void *context);
/* Keeps script->code (and what it compiled to, and its limits) as a further version of script->path, and sets
 * script->version once it is on stable storage. 0 or -ENOMEM (done is not called then). */
int functions_upload(struct functions *functions, struct script *script, functions_done *done, void *context);

/* Keeps the compiled code that script has by now, and what it imports, with its version. 0 or -ENOMEM (done
 * is not called then). */
int functions_keep_cache(
        struct functions *functions, struct script *script, functions_done *done, void *context);

/* TypeScript of /run-now that was compiled before. */
struct script *functions_find_compiled(struct functions *functions, const char *code, size_t code_length);
void functions_keep_compiled(struct functions *functions, struct script *script);

/* Did the store work when it was last used? It is tried every few seconds. */
bool functions_store_up(const struct functions *functions);
