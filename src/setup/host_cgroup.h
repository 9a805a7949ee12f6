#pragma once

/*
 * The host's cgroups, v2 or v1: found, and made ready for the keeper. A tree named mayfly-<pid> holds one
 * group for the server, one for the templates, one for the slots' own processes, and one with limits for each
 * slot. What differs between the versions is in the tables of host_cgroup.c; who uses the groups knows only
 * files (wire/brief.h).
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/wall.h"
#include "wire/brief.h"

enum { CGROUP_WALLS = 1 << WALL_CGROUP_MEMORY | 1 << WALL_CGROUP_PIDS | 1 << WALL_CGROUP_CPU };

enum cgroup_controller { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU, CGROUP_CPUACCT, CGROUP_CONTROLLERS };

struct host_cgroups {
        int version;                     /* 1 or 2 */
        uint32_t walls;                  /* bits of the WALL_CGROUP_* that this host can raise */
        int tree_of[CGROUP_CONTROLLERS]; /* index into files.trees; -1: not there */
        struct brief_cgroups files;
};

/*
 * Makes the trees. `parent` (or NULL) as of the setting CGROUP_PARENT. Missing controllers are no error: see
 * ret_cgroups->walls; `problem` then says what was in the way. 0 or negative errno.
 */
int host_cgroups_open(
        const char *parent, pid_t pid, struct host_cgroups *ret_cgroups, char *problem, size_t problem_size);

/* Tells the brief in which files the limits of a group are, and that these are those of the settings. */
void host_cgroups_limit(struct host_cgroups *cgroups, const uint64_t limits[BRIEF_LIMITS]);

/* Makes one group, with limits (by enum brief_limit_name) if not NULL. 0 or negative errno. */
int host_cgroups_add(const struct host_cgroups *cgroups, const char *name, const uint64_t *limits);
