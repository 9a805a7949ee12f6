#pragma once

/* The server: started by the keeper in a root of its own, without a single capability, and started again
 * should it die. */

#include "keeper/keeper.h"

extern const struct child_kind server_kind;

/* Sends it a packet, if it is there. */
void server_tell(struct keeper *keeper, const void *message, size_t length);
