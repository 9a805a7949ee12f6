#pragma once

/*
 * mayfly-janitor outlives the keeper, however that ends: once nobody holds the other end of its
 * JANITOR_HOLD_FD any more, a pipe or a socket, it kills whatever is left in the cgroups and removes them and
 * the root's directory. Its arguments are the root's path and the paths of the cgroup trees.
 */

enum { JANITOR_HOLD_FD = 3 };
