#pragma once

/*
 * Raising the walls around the calling process, in a fixed order (the table in enter.c). Only system calls,
 * no allocation: it runs in a fresh fork of an interpreter.
 */

#include <stddef.h>
#include <stdint.h>

#include "sandbox/plan.h"
#include "sandbox/wall.h"

enum { ENTER_CGROUPS_MAX = 4 };

/* The slot to enter. The descriptors are closed on the way in. */
struct enter_slot {
        int pidfd;                      /* of the slot's first process, whose namespaces are joined */
        int cgroups[ENTER_CGROUPS_MAX]; /* files to join by writing "0" */
        size_t n_cgroups;
        uint32_t uid;
        int channel, output, errors; /* become descriptors 3, 1 and 2 */
};

/* In the template, before the fork: its next children are born into the slot's pid namespace. 0 or negative
 * errno. */
int enter_before_fork(const struct enter_slot *slot);

/* In the child. 0, or negative errno with the wall that could not be raised in *ret_wall: nothing but an exit
 * is safe then. */
int enter(const struct plan *plan, const struct enter_slot *slot, uint32_t *ret_wall);

/* In the template, once: lays on what its children inherit. 0 or negative errno. */
int enter_template(const struct plan *plan);
