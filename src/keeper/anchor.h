#pragma once

/*
 * A slot's anchor: the process that lives in the slot's namespaces, keeps them, and makes them clean again
 * between cells. It speaks with the keeper alone: each packet from the keeper (one byte) asks for a clean
 * slot; each answer is struct anchor_ready, with a pidfd of the slot's new first process if error is 0.
 */

#include <stdint.h>

#include "keeper/keeper.h"

struct anchor_ready {
        int32_t error; /* 0 or negative errno */
        char step[60]; /* what was tried */
};

/* Runs in a child of the keeper. `socket` is the anchor's end. */
void anchor_main(const struct keeper *keeper, const struct group *slot_group, int socket)
        __attribute__((noreturn));
