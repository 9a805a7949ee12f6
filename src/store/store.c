/* The parts of store.h that are the same for every kind of store. */

#include "store/store.h"

#include <stdlib.h>

int store_put(
        struct store *store, const struct store_version *function, uint64_t now_ms, uint64_t *ret_version)
{
        return store->ops->put(store, function, now_ms, ret_version);
}

int store_get(struct store *store, const char *path, uint64_t version, struct store_version *ret_function,
        uint64_t *ret_latest)
{
        return store->ops->get(store, path, version, ret_function, ret_latest);
}

int store_put_cache(struct store *store, const struct store_version *function)
{
        return store->ops->put_cache(store, function);
}

int store_check(struct store *store)
{
        return store->ops->check(store);
}

const char *store_reason(const struct store *store)
{
        return store->reason;
}

struct store *store_free(struct store *store)
{
        if (store)
                store->ops->free(store);
        return NULL;
}

void store_version_deinit(struct store_version *function)
{
        free(function->path);
        free(function->language);
        free(function->code.data);
        free(function->compiled.data);
        free(function->map.data);
        free(function->limits.data);
        free(function->cache.data);
        free(function->cache_for.data);
        free(function->imports.data);
        *function = (struct store_version){ 0 };
}
