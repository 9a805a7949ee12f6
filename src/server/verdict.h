#pragma once

/* How a cell's part in a call ended: by the frame it sent, or by its exit. A cell is hostile; the keeper is
 * not. */

#include "base/bytes.h"
#include "server/call.h"

struct verdict {
        enum call_ending ending;
        const char *body; /* in the frame; CALL_CHECKED: compiled code to keep */
        size_t length;
};

/*
 * leg: what the cell was asked to do. A CALL_CHECKED has put into the script what it imports and, for
 * TypeScript, the JavaScript.
 * 0; -EBADMSG: the cell may not say that; -ENOMEM. cell.c has checked turn and length of the frame.
 */
int verdict_of_frame(struct script *script, enum guest_mode leg, const struct cell_notice *notice,
        struct verdict *ret_verdict);

/* error: the body of the FRAME_ERROR that it has sent before; empty: none. Only for a cell that was ready. */
enum call_ending verdict_of_exit(
        enum guest_mode leg, const struct bytes *error, const struct keeper_done *done);

/* For the log. */
const char *verdict_name(enum call_ending ending);
