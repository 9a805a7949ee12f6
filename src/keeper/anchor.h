#pragma once

/*
 * A slot's anchor: the process that lives in the slot's namespaces, keeps them, and makes them clean again
 * between cells. It speaks with the keeper alone: each ANCHOR_CLEAN asks for a clean slot, and is answered by
 * ANCHOR_READY with a pidfd of the slot's new first process, ANCHOR_KEPT if it is the old one, or
 * ANCHOR_FAILED. ANCHOR_LIMIT lowers the size of /tmp until the slot is cleaned, and is answered by
 * ANCHOR_LIMITED.
 */

#include <stdint.h>

#include "keeper/keeper.h"

enum anchor_message_type {
        ANCHOR_CLEAN,
        ANCHOR_READY,
        ANCHOR_KEPT,
        ANCHOR_FAILED,
        ANCHOR_LIMIT,
        ANCHOR_LIMITED
};

struct anchor_request {
        uint32_t type;
        uint32_t is_deserted; /* with ANCHOR_CLEAN: 1 if no process of the last cell is left */
        uint64_t tmp_bytes;   /* with ANCHOR_LIMIT */
};

struct anchor_answer {
        uint32_t type;
        int32_t error; /* 0, or negative errno */
        char step[56]; /* what has failed */
};

/* Runs in a child of the keeper. `socket` is the anchor's end. */
void anchor_main(const struct keeper *keeper, const struct group *slot_group, int socket)
        __attribute__((noreturn));
