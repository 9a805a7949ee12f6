#pragma once

/*
 * Scripts kept in the server's memory: versions of functions, which of them is the latest, and TypeScript of
 * /run-now that was compiled before. At most limit_bytes; the one unused for longest leaves first.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/script.h"

struct cache;

struct cache *cache_new(size_t limit_bytes); /* NULL: out of memory */
struct cache *cache_free(struct cache *cache);

/* Keeps the script and takes a reference. A script larger than the whole cache is passed over, and so is one
 * when memory is out: a cache may forget. is_latest: no later version of its path exists. */
void cache_put(struct cache *cache, struct script *script, bool is_latest);

/* The script has grown, or shrunk. */
void cache_weigh(struct cache *cache, const struct script *script);

/* The version of a function, or its latest (version 0); NULL if it is not here. The caller takes its own
 * reference if it keeps the script. */
struct script *cache_find(struct cache *cache, const char *path, uint64_t version);
/* The compiled script of exactly this TypeScript. */
struct script *cache_find_code(struct cache *cache, const char *code, size_t code_length);

size_t cache_size(const struct cache *cache);
