#pragma once

/* TLS to Redis, if this build's hiredis has it (1.0 or newer, with hiredis_ssl). */

#include <stddef.h>

#include <hiredis/async.h>

#include "store/store.h"

struct redis_tls;

/* Reads authorities, certificate and key. 0, -ENOMEM, or -EINVAL with `error`. */
int redis_tls_new(const struct store_redis_options *options, struct redis_tls **ret_tls, char *error,
        size_t error_size);
/* Takes NULL, returns NULL. */
struct redis_tls *redis_tls_free(struct redis_tls *tls);
/* For a connection just begun. The other side must prove that it is `name` (a host name or an address). 0 or
 * negative errno. */
int redis_tls_begin(struct redis_tls *tls, redisAsyncContext *context, const char *name);
/* Why TLS ended the connection that failed just now; NULL: it did not. Valid until the next question. */
const char *redis_tls_refusal(struct redis_tls *tls);
