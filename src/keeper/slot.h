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

struct slot {
        uint32_t index;
        enum slot_state state;
        struct watch anchor;
        pid_t anchor_pid;
        int first_pidfd; /* of the slot's first process: killing it ends the cell; -1 while cleaning */
        struct cgroup group;
        uint32_t failures;
        uint64_t retry_us;
        /* the cell */
        uint64_t cell;   /* the asker's name for it */
        uint64_t ticket; /* the template's name for it: never used twice */
        enum runtime runtime;
        bool selftest;
        bool killed;
        uint64_t started_us;  /* asked to fork, then forked */
        uint64_t deadline_us; /* for the template's next word; 0: none is due */
};

/* Makes the cgroup and starts the anchor. 0 or negative errno. */
int slot_init(struct keeper *keeper, struct slot *slot, uint32_t index);
void slot_deinit(struct keeper *keeper, struct slot *slot);

/* A free slot, or NULL. */
struct slot *slot_find_free(struct keeper *keeper);
/* The slot of a cell, or NULL. */
struct slot *slot_find_cell(struct keeper *keeper, uint64_t cell, bool selftest);
struct slot *slot_find_ticket(struct keeper *keeper, uint64_t ticket);
/* Is a cell starting or running here? */
bool slot_is_busy(const struct slot *slot);

/* Gives the slot to a cell and asks its template to fork it. The descriptors stay the caller's. 0 or negative
 * errno: the slot stays free. */
int slot_start_cell(struct keeper *keeper, struct slot *slot, const struct pending *request);
/* Kills the cell and all it started; the template then reports its end. */
void slot_kill_cell(struct slot *slot);
/* The cell has ended: reads its usage, reports, and cleans the slot. `done` has outcome, code and cpu_us set.
 */
void slot_end_cell(struct keeper *keeper, struct slot *slot, struct keeper_done done);

/* Restarts dead anchors. Returns when to call again (clock_us), 0 for never. */
uint64_t slot_tick(struct keeper *keeper, struct slot *slot, uint64_t now_us);
/* An anchor has died. */
void slot_anchor_lost(struct keeper *keeper, struct slot *slot);
