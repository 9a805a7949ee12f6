#pragma once

/* What every child of the keeper does first: it dies with its parent, leaves the terminal, and takes no
 * signal settings along. */

#include <stdint.h>
#include <sys/types.h>

/* As fork(); in the child with the above done. */
pid_t child_fork(void);

/* In the child, in its own root: fds[i] becomes descriptor 3 + i, 0 is /dev/null, everything above is closed.
 * 0 or negative errno. */
int child_keep_fds(const int *fds, unsigned n_fds);

/* In the child: becomes this user and group, without others, keeping only `capabilities` (through an exec
 * too), for ever. 0 or negative errno. */
int child_become(uint32_t uid, uint64_t capabilities);
