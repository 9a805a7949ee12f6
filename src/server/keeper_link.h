#pragma once

/*
 * The server's end of the socket to the keeper (wire/keeper_api.h). Messages that the socket does not take at
 * once wait here, in order, with their descriptors.
 */

#include <stdint.h>

#include "wire/keeper_api.h"

struct event_base;
struct keeper_link;

struct keeper_hooks {
        void (*on_done)(const struct keeper_done *done, void *context);
        void (*on_limited)(const struct keeper_limited *limited, void *context);
        void (*on_template)(const struct keeper_template *template, void *context);
        void (*on_drain)(void *context);
        /* The keeper is gone, or talks nonsense: without it there is nothing to do but exit. */
        void (*on_lost)(void *context);
};

/* Takes the socket. 0 or negative errno. */
int keeper_link_new(struct event_base *base, int fd, const struct keeper_hooks *hooks, void *context,
        struct keeper_link **ret_link);
struct keeper_link *keeper_link_free(struct keeper_link *link);

/* Takes the three descriptors, also on failure. 0 or negative errno. */
int keeper_link_start(struct keeper_link *link, uint32_t place, uint64_t cell, int fds[KEEPER_FDS_PER_CELL]);
/* A template for an import set, as of KEEPER_WARM; takes the descriptor, also on failure. 0 or -ENOMEM. */
int keeper_link_warm(struct keeper_link *link, uint32_t place, enum runtime runtime, int names);
int keeper_link_cool(struct keeper_link *link, uint32_t place);
int keeper_link_kill(struct keeper_link *link, uint64_t cell);
/* `limit` without its type. Answered by on_limited(), unless the cell ends before. */
int keeper_link_limit(struct keeper_link *link, const struct keeper_limit *limit);
