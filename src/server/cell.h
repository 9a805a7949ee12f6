#pragma once

/*
 * Cells as the server sees them: a channel for frames, two pipes for stdout and stderr, and a keeper that
 * starts and ends them. Spare ones wait ready: cell_pool.c says how many.
 *
 * Nothing that a cell says is believed: its frames are checked against a table (frame.c) of what may come
 * when, and how long it may be. A cell that breaks it is killed, and its owner is told.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/transcript.h"
#include "wire/guest_api.h"
#include "wire/keeper_api.h"

struct bytes;
struct cell;
struct cells;
struct event_base;
struct keeper_link;
struct languages;
struct settings;

enum cell_news {
        CELL_IS_READY,    /* it is walled; from now on the script runs */
        CELL_SENT_FRAME,  /* the frame that ends the call, or FRAME_WALL; nothing is read after it */
        CELL_SENT_LARGE,  /* a FRAME_RESULT over the limit was announced; nothing is read after it */
        CELL_MISBEHAVED,  /* it broke the protocol: `fault` says how; it has been killed */
        CELL_IS_LIMITED,  /* the answer to cell_limit(): `error` */
        CELL_HAS_OUTPUT,  /* the transcript has grown */
        CELL_OUTPUT_FULL, /* stdout or stderr is over the limit */
        CELL_IS_GONE,     /* the keeper's KEEPER_DONE; whatever it had still to say has been told before */
};

/* Valid while the owner is being told. */
struct cell_notice {
        enum cell_news news;
        uint32_t frame; /* enum frame_kind; body and length belong to it */
        const char *body;
        size_t length;
        const char *fault;
        int error;
        const struct keeper_done *done;
};

typedef void cell_owner(struct cell *cell, const struct cell_notice *notice, void *context);

/* 0 or negative errno. */
int cells_new(struct event_base *base, struct keeper_link *link, const struct settings *settings,
        const struct languages *languages, struct cells **ret_cells);
/* Forgets every cell without a word to its owner. Takes NULL, returns NULL. */
struct cells *cells_free(struct cells *cells);

/* What the keeper said. */
void cells_on_done(struct cells *cells, const struct keeper_done *done);
void cells_on_limited(struct cells *cells, const struct keeper_limited *limited);
void cells_on_template(struct cells *cells, const struct keeper_template *template);

bool cells_runtime_up(const struct cells *cells, enum runtime runtime);
/* Of the base template. Its version, or while it is down what went wrong; "" before the keeper said anything.
 */
const char *cells_runtime_version(const struct cells *cells, enum runtime runtime);
/* Its version, and what else compiled code depends on; "" while it is down. */
const char *cells_runtime_build(const struct cells *cells, enum runtime runtime);
/* Calls wait for places, or none do any more: no spares are made meanwhile, the CPUs are theirs. */
void cells_set_crowded(struct cells *cells, bool crowded);
/* Keep no spares any more: the server is about to leave. */
void cells_drain(struct cells *cells);

/*
 * A template and its cells, by place. `least`: spares that are kept whatever the demand; spares are limited
 * by the settings in any case. With `is_open` false there are none, and those that wait are ended.
 */
struct cells_view {
        bool up;
        uint32_t generation;
        uint64_t memory_bytes; /* of the template, when it was warm */
        size_t spares, cells;  /* that live; `cells` counts spares too */
};
struct cells_view cells_look(const struct cells *cells, uint32_t place);
/* The view as members of a JSON object, each after a comma. As bytes_append(). */
int cells_write(const struct cells *cells, uint32_t place, struct bytes *body);
void cells_keep(struct cells *cells, uint32_t place, bool is_open, size_t least);
/* Bytes that templates for import sets and all spares occupy. */
uint64_t cells_memory(const struct cells *cells);

/*
 * A spare that is alive, or a new cell. `owner` is told what happens, never from within a function of this
 * header that the owner called; last comes CELL_IS_GONE, and then the cell is no more. 0 or negative errno.
 */
int cell_take(struct cells *cells, uint32_t place, cell_owner *owner, void *context, struct cell **ret_cell);
bool cell_is_ready(const struct cell *cell);
/*
 * Before the call is handed over: lowers the cell's limits (whose cell is set here), and starts its usage
 * anew. CELL_IS_LIMITED comes when they hold. 0 or -ENOMEM.
 */
int cell_limit(struct cell *cell, const struct keeper_limit *limit);
struct cell_parts {
        const char *code, *map, *cache, *input;
};

/*
 * Hands the call over, once, with parts as long as it says; what the socket does not take now is copied and
 * follows. What the cell writes goes to the transcript, until cell_mute(); NULL: its pipes are not read.
 * result_max: bytes of FRAME_RESULT. 0 or -ENOMEM.
 */
int cell_call(struct cell *cell, const struct frame_call *call, const struct cell_parts *parts,
        struct transcript *transcript, size_t result_max);
/* Leaves its pipes unread, or reads on: one that writes then waits in its write. */
void cell_pause(struct cell *cell, bool paused);
/* Reads what stdout and stderr hold now. 0, or CELL_FULL when one is over the limit. */
enum { CELL_FULL = 1 };
int cell_drain(struct cell *cell);
/* Reads nothing more: its owner has heard enough. CELL_IS_GONE still comes. */
void cell_mute(struct cell *cell);
/* Ends it and whatever it started, now. */
void cell_kill(struct cell *cell);
