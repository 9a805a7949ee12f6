#pragma once

/* How this node was started, and starting it again in its own place. */

#include <stdbool.h>

/* As early as may be: a changed process.title or environment covers what is kept here. 0 or negative errno.
 */
int node_restart_remember(void);

/* Was it started with this flag? */
bool node_restart_has(const char *flag);

/* The same program, arguments, environment and descriptors, with one more flag. Returns only a negative
 * errno. */
int node_restart_with(const char *flag);
