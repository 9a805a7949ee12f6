/*
 * A hash table over the path (for scripts without one, over the code), and one list from the script used last
 * to the one unused for longest. The versions of one path share a bucket, so the latest is found by looking
 * for the mark. The hash starts from a random number, so nobody outside can choose the bucket.
 */

#include "server/cache.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/macros.h"

enum { BUCKETS = 4096 };

struct cache_entry {
        struct list bucket;
        struct list use;
        struct script *script;
        bool is_latest;
        size_t size;
};

struct cache {
        struct list buckets[BUCKETS];
        struct list uses; /* last used first */
        uint64_t seed;
        size_t size, limit;
};

struct cache *cache_new(size_t limit_bytes)
{
        struct cache *cache = malloc(sizeof *cache);

        if (!cache)
                return NULL;
        for (size_t i = 0; i < BUCKETS; i++)
                list_init(&cache->buckets[i]);
        list_init(&cache->uses);
        cache->size = 0;
        cache->limit = limit_bytes;
        if (getrandom(&cache->seed, sizeof cache->seed, 0) < 0)
                cache->seed = (uint64_t)(uintptr_t)cache;
        return cache;
}

static void cache_drop(struct cache *cache, struct cache_entry *entry)
{
        list_remove(&entry->bucket);
        list_remove(&entry->use);
        cache->size -= entry->size;
        script_unref(entry->script);
        free(entry);
}

struct cache *cache_free(struct cache *cache)
{
        if (!cache)
                return NULL;
        list_foreach(link, &cache->uses)
                cache_drop(cache, container_of(link, struct cache_entry, use));
        free(cache);
        return NULL;
}

static struct list *cache_bucket(struct cache *cache, const char *key, size_t length)
{
        uint64_t hash = hash_add(cache->seed, key, length); /* the start is secret */

        return &cache->buckets[(hash ^ hash >> 32) % BUCKETS];
}

static struct list *cache_bucket_of(struct cache *cache, const struct script *script)
{
        if (script->path)
                return cache_bucket(cache, script->path, strlen(script->path));
        return cache_bucket(cache, script->code.data, script->code.length);
}

static struct script *cache_touch(struct cache *cache, struct cache_entry *entry)
{
        if (!entry)
                return NULL;
        list_remove(&entry->use);
        list_append(cache->uses.next, &entry->use); /* before the first, which is behind the head */
        return entry->script;
}

static struct cache_entry *cache_look(struct list *bucket, const char *path, uint64_t version)
{
        list_foreach(link, bucket) {
                struct cache_entry *entry = container_of(link, struct cache_entry, bucket);

                if (entry->script->path && strcmp(entry->script->path, path) == 0 &&
                        (version ? entry->script->version == version : entry->is_latest))
                        return entry;
        }
        return NULL;
}

static struct cache_entry *cache_look_code(struct list *bucket, const char *code, size_t length)
{
        list_foreach(link, bucket) {
                struct cache_entry *entry = container_of(link, struct cache_entry, bucket);

                if (!entry->script->path && entry->script->code.length == length &&
                        memcmp(entry->script->code.data, code, length) == 0)
                        return entry;
        }
        return NULL;
}

struct script *cache_find(struct cache *cache, const char *path, uint64_t version)
{
        return cache_touch(cache, cache_look(cache_bucket(cache, path, strlen(path)), path, version));
}

struct script *cache_find_code(struct cache *cache, const char *code, size_t code_length)
{
        return cache_touch(cache, cache_look_code(cache_bucket(cache, code, code_length), code, code_length));
}

/* The mark moves to the newer version only: answers of the store may be older than an upload since. */
static bool cache_move_latest(struct list *bucket, const struct script *script)
{
        struct cache_entry *latest = cache_look(bucket, script->path, 0);

        if (latest && latest->script->version > script->version)
                return false;
        if (latest)
                latest->is_latest = false;
        return true;
}

static struct cache_entry *cache_known(struct list *bucket, const struct script *script)
{
        if (script->path)
                return cache_look(bucket, script->path, script->version);
        return cache_look_code(bucket, script->code.data, script->code.length);
}

static struct cache_entry *cache_add(struct cache *cache, struct list *bucket, struct script *script)
{
        struct cache_entry *entry = malloc(sizeof *entry);

        if (!entry)
                return NULL;
        *entry = (struct cache_entry){ .script = script_ref(script),
                .size = sizeof *entry + script_size(script) };
        list_append(bucket, &entry->bucket);
        list_append(cache->uses.next, &entry->use);
        cache->size += entry->size;
        return entry;
}

static void cache_trim(struct cache *cache)
{
        while (cache->size > cache->limit)
                cache_drop(cache, container_of(cache->uses.previous, struct cache_entry, use));
}

void cache_put(struct cache *cache, struct script *script, bool is_latest)
{
        struct list *bucket = cache_bucket_of(cache, script);
        bool marked = is_latest && script->path && cache_move_latest(bucket, script);
        struct cache_entry *entry = cache_known(bucket, script);

        if (!entry)
                entry = cache_add(cache, bucket, script);
        if (!entry)
                return;
        entry->is_latest |= marked;
        cache_touch(cache, entry);
        cache_trim(cache);
}

void cache_weigh(struct cache *cache, const struct script *script)
{
        struct cache_entry *entry = cache_known(cache_bucket_of(cache, script), script);

        if (!entry || entry->script != script)
                return; /* it has left, and perhaps come back as another */
        cache->size -= entry->size;
        entry->size = sizeof *entry + script_size(script);
        cache->size += entry->size;
        cache_trim(cache);
}

size_t cache_size(const struct cache *cache)
{
        return cache->size;
}
