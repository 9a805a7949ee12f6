#pragma once

/*
 * A slot's anchor: the process that lives in the slot's namespaces, keeps them, and makes them clean again
 * between cells. It speaks with the keeper alone: each ANCHOR_CLEAN asks for a clean slot, each answer is
 * ANCHOR_READY with a pidfd of the slot's new first process, or ANCHOR_FAILED.
 */

#include <stdint.h>

#include "keeper/keeper.h"

enum anchor_message_type { ANCHOR_CLEAN = 1, ANCHOR_READY = 2, ANCHOR_FAILED = 3 };

struct anchor_clean {
        uint32_t type;
};

struct anchor_ready {
        uint32_t type;
};

struct anchor_failed {
        uint32_t type;
        int32_t error; /* negative errno */
        char step[56]; /* what was tried */
};

/* Runs in a child of the keeper. `socket` is the anchor's end. */
void anchor_main(const struct keeper *keeper, const struct group *slot_group, int socket)
        __attribute__((noreturn));
