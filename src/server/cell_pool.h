#pragma once

/* What cell.c (one cell) and cell_pool.c (spares and templates) share; nobody else includes it. */

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/bytes.h"
#include "base/list.h"
#include "server/cell.h"
#include "server/demand.h"
#include "server/frame.h"

struct cell_pipe {
        struct cell *cell;
        int fd; /* -1: at its end */
        struct event readable;
};

struct cell {
        struct list link;  /* in cells->all */
        struct list spare; /* in cell_pool->spares, until it is taken or gone */
        struct cells *cells;
        uint64_t id;
        uint64_t born_us; /* clock_us() */
        struct cell_pool *pool;
        bool eof;        /* of the channel */
        bool full;       /* an output is over the limit */
        bool muted;      /* the owner has heard enough */
        bool killed;     /* KEEPER_KILL was sent */
        bool waited_for; /* a call has it and it is not ready yet */
        bool is_made;    /* a spare that is not ready yet */
        bool surplus;    /* a spare that is not wanted any more */
        bool paused;     /* the pipes are not read */
        int channel;
        struct event readable, writable;
        struct frames frames; /* what it says */
        struct bytes outbox;
        size_t outbox_sent;
        struct cell_pipe pipes[CELL_STREAMS];
        struct transcript *transcript; /* the owner's; NULL: the pipes are not read */
        cell_owner *owner;             /* NULL: a spare */
        void *context;
};

struct cell_pool {
        struct cells *cells;
        uint32_t place;
        bool up;
        uint32_t generation;
        uint64_t memory_bytes;
        char version[KEEPER_TEXT], build[KEEPER_TEXT];
        struct list spares;       /* also dying ones: they still occupy the keeper */
        size_t n_spares, n_cells; /* with those of calls */
        size_t least, most;       /* spares, whatever the demand */
        struct demand demand;
        uint32_t backoff_ms; /* 0: the last spare served */
        struct event refill_timer;
};

struct cells {
        struct event_base *base;
        struct keeper_link *link;
        const struct settings *settings;
        struct list all;
        uint64_t last_id;
        size_t n_spares;     /* of all pools */
        size_t n_waited_for; /* cells that calls wait for */
        size_t n_made;       /* spares that are not ready yet */
        bool crowded;        /* calls wait for a place */
        struct event look_timer;
        struct cell_pool pools[TEMPLATE_PLACES];
};

/* cell.c */
int cell_new(struct cell_pool *pool, struct cell **ret_cell);
void cell_free(struct cell *cell);
void cell_read(struct cell *cell);
void cell_limited(struct cell *cell, int error);
void cell_finish(struct cell *cell, const struct keeper_done *done);

/* cell_pool.c */
/* It is ready, or gone. */
void cell_pool_stop_waiting(struct cell *cell);
void cell_pool_hear(struct cell *cell, const struct cell_notice *notice);
void cell_pool_look(struct cell *cell);
