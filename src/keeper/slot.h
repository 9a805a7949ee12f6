#pragma once

/* A slot: the namespaces, cgroup and user id that one cell at a time lives in. Pooled and cleaned; its
 * processes are never reused. */

#include "keeper/keeper.h"

enum slot_state {
        SLOT_DOWN,     /* no anchor yet, or no more */
        SLOT_CLEANING, /* the anchor is at work */
        SLOT_FREE,
        SLOT_STARTING, /* the template was asked to fork */
        SLOT_RUNNING,
        SLOT_LIMITING, /* it runs, and the anchor is lowering the size of its /tmp */
};

/* Somebody wants a cell: the server, or a template for its self-test. */
struct slot_request {
        uint64_t cell;  /* the server's name for it; 0: nobody asks any more, or it is a self-test */
        uint32_t place; /* of its template */
        bool selftest;
        int fds[KEEPER_FDS_PER_CELL];
        struct keeper_limit limit; /* type 0: not asked for */
};

struct slot {
        struct child anchor; /* wakes to be started, or when it or the cell's template is late */
        uint32_t index;
        enum slot_state state;
        int first_pidfd; /* of the slot's first process: killing it ends the cell; -1: none */
        struct group group;
        /* who comes next: waits for the slot to be free and for the template to be up */
        bool is_wanted;
        struct slot_request next;
        /* the cell; its descriptors are closed */
        struct slot_request now;
        uint64_t ticket; /* the template's name for it: never used twice; the slot's index, modulo their
                            number */
        bool killed;
        bool is_deserted;              /* the last cell left no process */
        uint64_t started_us;           /* asked to fork */
        uint64_t used[BRIEF_COUNTERS]; /* as of the last reading */
};

/* Makes a slot, and its anchor one of the keeper's children. 0 or negative errno. */
int slot_add(struct keeper *keeper, uint32_t index);

/* Asks for a cell; takes the descriptors over. The asker hears of its end, or at once that every slot is
 * taken. */
void slot_request(struct keeper *keeper, const struct slot_request *request);
/* Starts what waits and can be started now; refuses what will never start. */
void slots_dispatch(struct keeper *keeper);
/* Kills a cell and all it started, whose template then reports its end; one that only waits is refused. */
void slot_kill_cell(struct keeper *keeper, uint64_t cell);
/* Lowers a cell's limits and tells the server, at once or when it is forked; ignores what it does not know.
 * 0, or -EBADMSG the second time. */
int slot_limit_cell(struct keeper *keeper, const struct keeper_limit *limit);
/* The server has died: ends all its cells, and tells nobody. */
void slots_forget_server(struct keeper *keeper);

/* The slot of a cell of this template that starts or runs, by its ticket; or NULL. */
struct slot *slot_find_ticket(struct keeper *keeper, uint32_t place, uint64_t ticket);
/* The slot of what the server calls by this name, a cell or the wish for one; or NULL. */
struct slot *slot_find_cell(struct keeper *keeper, uint64_t cell);
/* Its template has forked the cell. */
void slot_forked(struct keeper *keeper, struct slot *slot);
/* The cell has ended: reads its usage, reports, and cleans the slot. `done` has outcome, code and cpu_us set.
 */
void slot_end_cell(struct keeper *keeper, struct slot *slot, struct keeper_done done);
/* Every cell of the template at this place has ended with it. */
void slots_lose_cells(struct keeper *keeper, uint32_t place);
