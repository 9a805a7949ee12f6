#pragma once

/*
 * Resource limits and accounting by cgroup, v2 or v1 behind one interface. A tree named mayfly-<pid> holds
 * one group for the server, one for the templates, one for the slots' own processes, and one group with
 * limits for each slot. What differs between v1 and v2 is the table in cgroup.c.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/wall.h"

enum { CGROUP_WALLS = 1 << WALL_CGROUP_MEMORY | 1 << WALL_CGROUP_PIDS | 1 << WALL_CGROUP_CPU };
enum { CGROUP_TREES_MAX = 3 }; /* v1: one hierarchy a controller; v2: one in all */

struct cgroups {
        int version;    /* 1, 2, or 0: none */
        uint32_t walls; /* bits of the WALL_CGROUP_* that it can raise */
        size_t n_trees;
        struct cgroup_tree {
                char *path; /* of mayfly-<pid>, absolute */
                uint32_t walls;
        } trees[CGROUP_TREES_MAX];
};

struct cgroup_limits {
        uint64_t memory_bytes;
        uint32_t processes;
        uint32_t cpus_milli;
};

/* One group: the files to join it by, its directories, and its counters when it was last read. */
struct cgroup {
        const struct cgroups *cgroups;
        char name[32];
        size_t n_trees;
        int directories[CGROUP_TREES_MAX];
        int joins[CGROUP_TREES_MAX];
        int peak; /* the memory high-water mark; v2 resets it for this very descriptor; -1: not told */
        uint64_t memory_kills, process_refusals;
};

struct cgroup_usage {
        uint64_t peak_memory_bytes; /* 0 where the kernel does not tell */
        uint64_t memory_kills;      /* since the last read */
        uint64_t process_refusals;  /* since the last read */
};

/*
 * Finds the host's cgroups and makes the tree. `parent` (or NULL) as of the setting CGROUP_PARENT. Missing
 * controllers are no error: see ret_cgroups->walls; `problem` then says what was in the way. 0 or negative
 * errno.
 */
int cgroups_open(
        const char *parent, pid_t pid, struct cgroups *ret_cgroups, char *problem, size_t problem_size);
void cgroups_deinit(struct cgroups *cgroups);

/* Kills everything in the tree and removes it; waits for the dying, 10 s at most. 0 or -EBUSY. */
int cgroups_remove(const struct cgroups *cgroups);

/* Makes a group; with limits if not NULL. 0 or negative errno. */
int cgroup_new(const struct cgroups *cgroups, const char *name, const struct cgroup_limits *limits,
        struct cgroup *ret_cgroup);
void cgroup_deinit(struct cgroup *cgroup);

/* The calling process moves in. 0 or negative errno. */
int cgroup_join(const struct cgroup *cgroup);

/* Reads the counters since the last call, and starts the high-water mark anew where that is possible. */
void cgroup_read(struct cgroup *cgroup, struct cgroup_usage *ret_usage);
