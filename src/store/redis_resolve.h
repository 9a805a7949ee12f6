#pragma once

/* The addresses of a host, found without holding the loop up. */

#include <stddef.h>

struct event_base;
struct redis_resolve;

enum { REDIS_ADDRESSES_MAX = 8, REDIS_ADDRESS_SIZE = 64 };

struct redis_addresses {
        char text[REDIS_ADDRESSES_MAX][REDIS_ADDRESS_SIZE]; /* numeric */
        size_t n;
};

/* `failed` is NULL, or says why there are none. On the loop's thread, once, never from within
 * redis_resolve_new(), and not after redis_resolve_free(). Free it there or later. */
typedef void redis_resolved(struct redis_resolve *resolve, const struct redis_addresses *addresses,
        const char *failed, void *context);

/* 0, -ENOMEM, or -EAGAIN: too many names hang already. */
int redis_resolve_new(struct event_base *base, const char *host, redis_resolved *resolved, void *context,
        struct redis_resolve **ret_resolve);
/* Does not wait for a name server. Takes NULL, returns NULL. */
struct redis_resolve *redis_resolve_free(struct redis_resolve *resolve);
