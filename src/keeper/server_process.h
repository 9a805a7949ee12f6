#pragma once

/* The server: started by the keeper in a root of its own, without a single capability, and started again
 * should it die. */

#include "keeper/keeper.h"

/* The process has ended (seen by wait). */
void server_died(struct keeper *keeper, int status);
/* Timers: returns when to call again (clock_us), 0 for never. */
uint64_t server_tick(struct keeper *keeper, uint64_t now_us);
