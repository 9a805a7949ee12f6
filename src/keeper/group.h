#pragma once

/* One cgroup of those that mayflyd has made, by the files that the brief names: to join it, and to read how
 * much it has used. It knows of no cgroup version. */

#include <stddef.h>
#include <stdint.h>

#include "wire/brief.h"

enum group_counter { GROUP_KILLS, GROUP_REFUSALS, GROUP_CPU, GROUP_COUNTERS };

struct group {
        size_t n_trees;
        int directories[BRIEF_TREES];
        int joins[BRIEF_TREES]; /* written "0", the writer moves in */
        int peak;               /* the high-water mark; v2 resets it for this very descriptor; -1: not told */
        uint64_t last[GROUP_COUNTERS];
};

struct group_usage {
        uint64_t peak_memory_bytes; /* 0 where the kernel does not tell */
        uint64_t
                since_last[GROUP_COUNTERS]; /* reading; cpu in microseconds, 0 where the host does not tell */
};

/* A group that group_close() may have. */
void group_init(struct group *group);
/* 0 or negative errno. */
int group_open(const struct brief_cgroups *cgroups, const char *name, struct group *group);
void group_close(struct group *group);
/* The calling process moves in. 0 or negative errno. */
int group_join(const struct group *group);
/* Reads the counters, and starts the high-water mark anew where that is possible. */
void group_read(const struct brief_cgroups *cgroups, struct group *group, struct group_usage *ret_usage);
