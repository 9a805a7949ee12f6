#pragma once

/*
 * The functions that this server knows: a bounded cache in front of the store. What needs the store comes
 * back as a call of `done`, on the loop's thread and never before the asking function has returned. While the
 * store fails, what the cache holds keeps running.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/script.h"
#include "store/store.h"

struct event_base;
struct functions;
struct settings;

enum {
        FUNCTIONS_NOT_FOUND = 1,   /* no such path, or no such version or alias of it */
        FUNCTIONS_UNAVAILABLE = 2, /* the store does not answer */
};

/* r: 0, a FUNCTIONS_ outcome or negative errno. script: the function if r is 0; to be referenced by whoever
 * keeps it. */
typedef void functions_done(int r, struct script *script, void *context);

/* Takes the store over when it succeeds; the settings must outlive it. 0 or negative errno. */
int functions_new(struct event_base *base, struct store *store, const struct settings *settings,
        struct functions **ret_functions);
/* Waits for what is under way; every `done` still owed is called. Takes NULL, returns NULL. */
struct functions *functions_free(struct functions *functions);

/* From the cache alone: the version by its number, or by an alias if that is not NULL (number 0, no alias:
 * the latest). NULL: it is not there, or somebody may have changed what it is since. */
struct script *functions_find(
        struct functions *functions, const char *path, const char *alias, uint64_t version);
/* From the store, and if that is away from what the cache held last. 0 or -ENOMEM (done is not called then).
 * done gets -EBADMSG for a row that is damaged: it is logged, and neither code nor language nor limits are
 * guessed. */
int functions_load(struct functions *functions, const char *path, const char *alias, uint64_t version,
        functions_done *done, void *context);

/* The store's answer, its own to read until it returns; r has the outcomes of store.h. */
typedef void functions_answered(struct store_request *answer, void *context);

/* Keeps script->code (and what it compiled to, and its limits) as a further version of script->path, or finds
 * that the latest is just that; sets script->version and script->hash once it is on stable storage. 0 or
 * -ENOMEM (answered is not called then). */
int functions_upload(
        struct functions *functions, struct script *script, functions_answered *answered, void *context);

/* Keeps what script was compiled to by now, and what it imports, with its version. 0 or -ENOMEM (answered is
 * not called then). */
int functions_keep_compiled(
        struct functions *functions, struct script *script, functions_answered *answered, void *context);

/* Any other question to the store: STORE_GET, LIST, DESCRIBE, REMOVE, SET_ALIAS, REMOVE_ALIAS. It is copied.
 * The code of a version that was got has the hash that stands beside it. 0 or -ENOMEM (answered is not called
 * then). */
int functions_ask(struct functions *functions, const struct store_request *question,
        functions_answered *answered, void *context);

/* TypeScript of /run-now that was compiled before. */
struct script *functions_find_code(struct functions *functions, const char *code, size_t code_length);
void functions_remember_code(struct functions *functions, struct script *script);

/* Could the store be read and written when that was last tried? It is tried every second. */
bool functions_store_up(const struct functions *functions);
