/* The parts of store.h that are the same for every kind of store. */

#include "store/store.h"

#include <assert.h>
#include <event2/event.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>

static_assert(STORE_HASH_SIZE == SHA256_DIGEST_STRING_LENGTH, "a hash and its NUL");

enum {
        NEEDS_PATH = 1,
        NEEDS_ALIAS = 2,
        NEEDS_PAGE = 4,
        NEEDS_GIVEN = 8,
        NEEDS_CONTENT = 16,
};

static const struct {
        bool writes;
        unsigned needs;
} operations[STORE_OPERATIONS] = {
        [STORE_CHECK] = { true, 0 },
        [STORE_PUT] = { true, NEEDS_GIVEN | NEEDS_CONTENT },
        [STORE_GET] = { false, NEEDS_PATH },
        [STORE_KEEP_COMPILED] = { true, NEEDS_GIVEN },
        [STORE_LIST] = { false, NEEDS_PATH | NEEDS_PAGE },
        [STORE_DESCRIBE] = { false, NEEDS_PATH | NEEDS_PAGE },
        [STORE_REMOVE] = { true, NEEDS_PATH },
        [STORE_SET_ALIAS] = { true, NEEDS_PATH | NEEDS_ALIAS },
        [STORE_REMOVE_ALIAS] = { true, NEEDS_PATH | NEEDS_ALIAS },
        [STORE_RESTORE] = { true, NEEDS_GIVEN | NEEDS_CONTENT },
};

bool store_operation_writes(enum store_operation operation)
{
        return operations[operation].writes;
}

bool store_request_is_complete(const struct store_request *request)
{
        const struct store_version *given = request->given;
        unsigned needs;

        if ((unsigned)request->operation >= STORE_OPERATIONS)
                return false;
        needs = operations[request->operation].needs;
        return (!(needs & NEEDS_PATH) || request->path) && (!(needs & NEEDS_ALIAS) || request->alias) &&
               (!(needs & NEEDS_PAGE) || (request->limit > 0 && request->limit <= STORE_PAGE_MAX)) &&
               (!(needs & NEEDS_GIVEN) || (given && given->path)) &&
               (!(needs & NEEDS_CONTENT) || (given->language && given->code.data));
}

/* As if nothing had been answered yet; frees nothing. */
static void store_clear_answer(struct store_request *request)
{
        request->found = (struct store_version){ 0 };
        request->latest = 0;
        request->created = request->may_change = request->has_more = false;
        request->language = NULL;
        request->summaries = NULL;
        request->n_summaries = 0;
        request->aliases = NULL;
        request->n_aliases = 0;
}

void store_start(struct store *store, struct store_request *request)
{
        list_init(&request->link);
        request->r = 0;
        request->reason[0] = 0;
        store_clear_answer(request);
        store->ops->start(store, request);
}

static void store_on_waited(struct store_request *request)
{
        request->done = NULL;
}

int store_wait(struct store *store, struct event_base *base, struct store_request *request)
{
        request->done = store_on_waited;
        store_start(store, request);
        while (request->done)
                event_base_loop(base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
        return request->r;
}

void store_watch(struct store *store, store_changed *changed, void *context)
{
        store->changed = changed;
        store->changed_context = context;
}

struct store *store_free(struct store *store)
{
        if (store)
                store->ops->free(store);
        return NULL;
}

void store_version_deinit(struct store_version *version)
{
        free(version->path);
        free(version->language);
        free(version->code.data);
        free(version->compiled.data);
        free(version->map.data);
        free(version->limits.data);
        free(version->cache.data);
        free(version->cache_for.data);
        free(version->imports.data);
        *version = (struct store_version){ 0 };
}

void store_request_deinit(struct store_request *request)
{
        store_version_deinit(&request->found);
        for (size_t i = 0; i < request->n_summaries; i++) {
                free(request->summaries[i].path);
                free(request->summaries[i].language);
                free(request->summaries[i].limits);
        }
        free(request->summaries);
        for (size_t i = 0; i < request->n_aliases; i++)
                free(request->aliases[i].name);
        free(request->aliases);
        free(request->language);
        store_clear_answer(request);
}

bool store_version_is_whole(const struct store_version *version)
{
        char hash[STORE_HASH_SIZE];

        if (!version->hash[0])
                return true;
        store_hash(version->code.data, version->code.length, hash);
        return strcmp(hash, version->hash) == 0;
}

void store_hash(const void *data, size_t length, char hash[STORE_HASH_SIZE])
{
        SHA256Data(data, length, hash);
}
