#pragma once

/*
 * A child that outlives the keeper, however that ends: once its pipe closes it kills whatever is left in the
 * cgroups and removes them and the root's directory.
 */

#include <sys/types.h>

#include "sandbox/cgroup.h"

/* *ret_fd is the pipe that holds it back. 0 or negative errno. */
int janitor_start(const struct cgroups *cgroups, const char *root_path, pid_t *ret_pid, int *ret_fd);
