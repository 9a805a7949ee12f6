#pragma once

/* The server: started by the keeper in a root of its own, without a single capability, and started again
 * should it die. */

#include "keeper/keeper.h"

/* Opens DATA_DIR, gives it to the server's user, and locks it against a second mayfly. 0, or negative errno
 * with a message. */
int server_open_data(struct keeper *keeper, char *error, size_t error_size);
/* Binds the HTTP socket. 0, or negative errno with a message. */
int server_open_socket(struct keeper *keeper, char *error, size_t error_size);
/* Starts the process. 0 or negative errno. */
int server_start(struct keeper *keeper);
/* The process has ended (seen by wait). */
void server_died(struct keeper *keeper, int status);
/* Timers: returns when to call again (clock_us), 0 for never. */
uint64_t server_tick(struct keeper *keeper, uint64_t now_us);
