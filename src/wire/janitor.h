#pragma once

/*
 * mayfly-janitor outlives the keeper, however that ends: once the pipe at its JANITOR_PIPE_FD has no writer
 * any more, it kills whatever is left in the cgroups and removes them and the root's directory. Its arguments
 * are the root's path and the paths of the cgroup trees.
 */

#include <sys/types.h>

enum { JANITOR_PIPE_FD = 3 };

/* Starts one; `program` is its file, open; `list` its name and arguments as of brief_words(). *ret_fd is the
 * pipe that holds it back. 0 or negative errno. */
int janitor_start(int program, const char *list, pid_t *ret_pid, int *ret_fd);
