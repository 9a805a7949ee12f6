#pragma once

/* What cell.c (one cell) and cell_pool.c (spares and runtimes) share; nobody else includes it. */

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/bytes.h"
#include "base/list.h"
#include "server/cell.h"
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
        enum runtime runtime;
        bool eof;    /* of the channel */
        bool full;   /* an output is over the limit */
        bool muted;  /* the owner has heard enough */
        bool killed; /* KEEPER_KILL was sent */
        bool paused; /* the pipes are not read */
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
        enum runtime runtime;
        bool up;
        char version[KEEPER_TEXT], build[KEEPER_TEXT];
        struct list spares; /* also dying ones: they still occupy the keeper */
        size_t n_spares, wanted;
        uint32_t backoff_ms; /* 0: the last spare served */
        struct event refill_timer;
};

struct cells {
        struct event_base *base;
        struct keeper_link *link;
        const struct settings *settings;
        struct list all;
        uint64_t last_id;
        struct cell_pool pools[RUNTIME_COUNT];
};

/* cell.c */
int cell_new(struct cells *cells, enum runtime runtime, struct cell **ret_cell);
void cell_free(struct cell *cell);
void cell_read(struct cell *cell);
void cell_limited(struct cell *cell, int error);
void cell_finish(struct cell *cell, const struct keeper_done *done);

/* cell_pool.c */
void cell_pool_hear(struct cell *cell, const struct cell_notice *notice);
void cell_pool_look(struct cell *cell);
