#pragma once

/* A slot: the namespaces, cgroup and user id that one cell at a time lives in. Pooled and cleaned; its
 * processes are never reused. */

#include "keeper/keeper.h"

enum slot_state {
        SLOT_DOWN,     /* no anchor; made anew at retry_us */
        SLOT_CLEANING, /* the anchor is at work */
        SLOT_FREE,
        SLOT_STARTING, /* the template was asked to fork */
        SLOT_RUNNING,
};

/* Somebody wants a cell: the server, or a template for its self-test. */
struct slot_request {
        uint64_t cell; /* the asker's name for it */
        enum runtime runtime;
        bool selftest;
        int fds[KEEPER_FDS_PER_CELL];
};

struct slot {
        uint32_t index;
        enum slot_state state;
        struct watch anchor;
        pid_t anchor_pid;
        int first_pidfd; /* of the slot's first process: killing it ends the cell; -1 while cleaning */
        struct group group;
        uint32_t failures;
        uint64_t retry_us;
        /* who comes next: waits for the slot to be free and for the template to be up */
        bool is_wanted;
        struct slot_request next;
        /* the cell; its descriptors are closed */
        struct slot_request now;
        uint64_t ticket; /* the template's name for it: never used twice */
        bool killed;
        uint64_t started_us;  /* asked to fork */
        uint64_t deadline_us; /* for the anchor's or the template's next word; 0: none is due */
};

void slot_init(struct slot *slot, uint32_t index);
/* Opens the cgroup and starts the anchor. 0 or negative errno. */
int slot_make(struct keeper *keeper, struct slot *slot);

/* Asks for a cell; takes the descriptors over. 0, or -ENOSPC: every slot is taken. */
int slot_request(struct keeper *keeper, struct slot_request *request);
/* Starts what waits and can be started now; refuses what will never start. */
void slots_dispatch(struct keeper *keeper);
/* Kills a cell and all it started, whose template then reports its end; one that only waits is refused. */
void slot_kill_cell(struct keeper *keeper, uint64_t cell);
/* The server has died: ends all its cells, and tells nobody. */
void slots_forget_server(struct keeper *keeper);

/* The slot of a cell that starts or runs, by its ticket; or NULL. */
struct slot *slot_find_ticket(struct keeper *keeper, uint64_t ticket);
/* The slot of what the server calls by this name, a cell or the wish for one; or NULL. */
struct slot *slot_find_cell(struct keeper *keeper, uint64_t cell);
/* Its template has forked the cell. */
void slot_forked(struct slot *slot);
/* The cell has ended: reads its usage, reports, and cleans the slot. `done` has outcome, code and cpu_us set.
 */
void slot_end_cell(struct keeper *keeper, struct slot *slot, struct keeper_done done);
/* Every cell of this runtime has ended, with its template. */
void slots_lose_cells(struct keeper *keeper, enum runtime runtime);

/* Restarts dead anchors. Returns when to call again (clock_us), 0 for never. */
uint64_t slot_tick(struct keeper *keeper, struct slot *slot, uint64_t now_us);
/* An anchor has died. */
void slot_anchor_lost(struct keeper *keeper, struct slot *slot);
