#pragma once

/*
 * Scripts kept in the server's memory: versions of functions, what their names stand for (aliases, and which
 * version is the latest), and TypeScript of /run-now that was compiled before. At most limit_bytes; what is
 * unused for longest leaves first.
 *
 * What somebody else may have changed meanwhile is stale: to be asked for again, and good enough while nobody
 * answers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/script.h"

/* The name of the latest version; aliases have at least a letter. */
#define CACHE_LATEST ""

struct cache;

struct cache *cache_new(size_t limit_bytes); /* NULL: out of memory */
struct cache *cache_free(struct cache *cache);

/* Keeps the script and takes a reference; one that is here already is fresh again, and stays. A script larger
 * than the whole cache is passed over, and so is one when memory is out: a cache may forget. */
void cache_put(struct cache *cache, struct script *script);
/* What the name stands for, from now on. The latest moves to a lower version only where it was stale. */
void cache_put_name(struct cache *cache, const char *path, const char *name, uint64_t version);

/* The script has grown, or shrunk. */
void cache_weigh(struct cache *cache, const struct script *script);

/* The version of a function, or what the name stands for if that is not NULL; NULL if it is not here. The
 * caller takes its own reference if it keeps the script. ret_stale: is anything of it stale? */
struct script *cache_find(
        struct cache *cache, const char *path, const char *name, uint64_t version, bool *ret_stale);
/* The compiled script of exactly this TypeScript. */
struct script *cache_find_code(struct cache *cache, const char *code, size_t code_length);

/* Of a function: one version and the names that stand for it (0: all). */
void cache_forget(struct cache *cache, const char *path, uint64_t version);
void cache_forget_name(struct cache *cache, const char *path, const char *name);
/* All of a function (NULL: of every one) may have changed. */
void cache_mark_stale(struct cache *cache, const char *path);

size_t cache_size(const struct cache *cache);
