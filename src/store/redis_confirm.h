#pragma once

/*
 * Asks how many replicas have what was written (WAIT). Redis lets a connection wait for that, and everything
 * behind it; so one question at a time is open, for a fraction of the timeout, and it speaks for all that was
 * written before it.
 */

#include <stdint.h>

#include "base/list.h"

struct redis_link;
struct redis_confirm;

/* Embed it in what waits for its replicas; done() is called once. `failed`: NULL, or why not. */
struct redis_confirm_wait {
        struct list link;
        void (*done)(struct redis_confirm_wait *wait, const char *failed);
};

/* 0 or -ENOMEM. */
int redis_confirm_new(
        struct redis_link *link, uint32_t replicas, uint32_t timeout_ms, struct redis_confirm **ret_confirm);
/* Nobody waits any more: free the link first. Takes NULL, returns NULL. */
struct redis_confirm *redis_confirm_free(struct redis_confirm *confirm);
/* done() may be called at once. */
void redis_confirm_add(struct redis_confirm *confirm, struct redis_confirm_wait *wait);
