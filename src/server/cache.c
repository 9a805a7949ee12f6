/*
 * A hash table over the path (for scripts without one, over the code), and one list from the entry used last
 * to the one unused for longest. The versions and the names of one path share a bucket. The hash starts from
 * a random number, so nobody outside can choose the bucket.
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
        struct script *script; /* NULL: this is a name */
        const char *name;      /* a name: behind the path, in `text` */
        uint64_t version;      /* what it stands for */
        bool is_stale;
        size_t size;
        char text[];
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

static struct list *cache_bucket_of_path(struct cache *cache, const char *path)
{
        return cache_bucket(cache, path, strlen(path));
}

static struct list *cache_bucket_of(struct cache *cache, const struct script *script)
{
        if (script->path)
                return cache_bucket_of_path(cache, script->path);
        return cache_bucket(cache, script->code.data, script->code.length);
}

static const char *entry_path(const struct cache_entry *entry)
{
        return entry->script ? entry->script->path : entry->text;
}

static bool entry_is_of(const struct cache_entry *entry, const char *path)
{
        const char *own = entry_path(entry);

        return own && strcmp(own, path) == 0;
}

static uint64_t entry_version(const struct cache_entry *entry)
{
        return entry->script ? entry->script->version : entry->version;
}

static struct cache_entry *cache_touch(struct cache *cache, struct cache_entry *entry)
{
        if (!entry)
                return NULL;
        list_remove(&entry->use);
        list_append(cache->uses.next, &entry->use); /* before the first, which is behind the head */
        return entry;
}

static struct cache_entry *cache_look(struct list *bucket, const char *path, uint64_t version)
{
        list_foreach(link, bucket) {
                struct cache_entry *entry = container_of(link, struct cache_entry, bucket);

                if (entry->script && entry->script->version == version && entry_is_of(entry, path))
                        return entry;
        }
        return NULL;
}

static struct cache_entry *cache_look_name(struct list *bucket, const char *path, const char *name)
{
        list_foreach(link, bucket) {
                struct cache_entry *entry = container_of(link, struct cache_entry, bucket);

                if (!entry->script && strcmp(entry->name, name) == 0 && entry_is_of(entry, path))
                        return entry;
        }
        return NULL;
}

static struct cache_entry *cache_look_code(struct list *bucket, const char *code, size_t length)
{
        list_foreach(link, bucket) {
                struct cache_entry *entry = container_of(link, struct cache_entry, bucket);

                if (entry->script && !entry->script->path && entry->script->code.length == length &&
                        memcmp(entry->script->code.data, code, length) == 0)
                        return entry;
        }
        return NULL;
}

struct script *cache_find(
        struct cache *cache, const char *path, const char *name, uint64_t version, bool *ret_stale)
{
        struct list *bucket = cache_bucket_of_path(cache, path);
        struct cache_entry *named = name ? cache_look_name(bucket, path, name) : NULL, *entry;

        if (name && !named)
                return NULL;
        entry = cache_look(bucket, path, named ? named->version : version);
        if (!entry)
                return NULL;
        *ret_stale = entry->is_stale || (named && named->is_stale);
        cache_touch(cache, named);
        return cache_touch(cache, entry)->script;
}

struct script *cache_find_code(struct cache *cache, const char *code, size_t code_length)
{
        struct list *bucket = cache_bucket(cache, code, code_length);
        struct cache_entry *entry = cache_touch(cache, cache_look_code(bucket, code, code_length));

        return entry ? entry->script : NULL;
}

static struct cache_entry *cache_add(struct cache *cache, struct list *bucket, size_t text, size_t more)
{
        struct cache_entry *entry = calloc(1, sizeof *entry + text);

        if (!entry)
                return NULL;
        entry->size = sizeof *entry + text + more;
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

static struct cache_entry *cache_known(struct list *bucket, const struct script *script)
{
        if (script->path)
                return cache_look(bucket, script->path, script->version);
        return cache_look_code(bucket, script->code.data, script->code.length);
}

void cache_put(struct cache *cache, struct script *script)
{
        struct list *bucket = cache_bucket_of(cache, script);
        struct cache_entry *entry = cache_known(bucket, script);

        if (!entry) {
                entry = cache_add(cache, bucket, 0, script_size(script));
                if (!entry)
                        return;
                entry->script = script_ref(script);
        }
        entry->is_stale = false;
        cache_touch(cache, entry);
        cache_trim(cache);
}

static struct cache_entry *cache_add_name(struct cache *cache, const char *path, const char *name)
{
        size_t path_size = strlen(path) + 1, name_size = strlen(name) + 1;
        struct cache_entry *entry =
                cache_add(cache, cache_bucket_of_path(cache, path), path_size + name_size, 0);

        if (!entry)
                return NULL;
        memcpy(entry->text, path, path_size);
        entry->name = memcpy(entry->text + path_size, name, name_size);
        return entry;
}

void cache_put_name(struct cache *cache, const char *path, const char *name, uint64_t version)
{
        struct cache_entry *entry = cache_look_name(cache_bucket_of_path(cache, path), path, name);

        /* Answers of the store may be older than an upload since. */
        if (entry && strcmp(name, CACHE_LATEST) == 0 && entry->version > version && !entry->is_stale)
                return;
        if (!entry)
                entry = cache_add_name(cache, path, name);
        if (!entry)
                return;
        entry->version = version;
        entry->is_stale = false;
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

void cache_forget(struct cache *cache, const char *path, uint64_t version)
{
        list_foreach(link, cache_bucket_of_path(cache, path)) {
                struct cache_entry *entry = container_of(link, struct cache_entry, bucket);

                if (entry_is_of(entry, path) && (version == 0 || entry_version(entry) == version))
                        cache_drop(cache, entry);
        }
}

void cache_forget_name(struct cache *cache, const char *path, const char *name)
{
        struct cache_entry *entry = cache_look_name(cache_bucket_of_path(cache, path), path, name);

        if (entry)
                cache_drop(cache, entry);
}

void cache_mark_stale(struct cache *cache, const char *path)
{
        if (path) {
                list_foreach(link, cache_bucket_of_path(cache, path)) {
                        struct cache_entry *entry = container_of(link, struct cache_entry, bucket);

                        entry->is_stale |= entry_is_of(entry, path);
                }
                return;
        }
        list_foreach(link, &cache->uses) {
                struct cache_entry *entry = container_of(link, struct cache_entry, use);

                entry->is_stale |= entry_path(entry) != NULL;
        }
}

size_t cache_size(const struct cache *cache)
{
        return cache->size;
}
