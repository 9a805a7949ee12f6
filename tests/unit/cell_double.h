#pragma once

/* A cell for tests of mayfly-server: says READY on GUEST_CHANNEL_FD, takes a call, and does what its script
 * says, one command a line. */

#include "keeper_double.h"

/* Exit statuses that the keeper double turns into a report: limits (plus bits of enum cell_limit), CELL_LOST.
 */
enum { EXIT_LIMITS = 240, EXIT_LOST = 250 };

void cell_double_main(struct keeper_play *play) __attribute__((noreturn));
