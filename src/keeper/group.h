#pragma once

/* One cgroup of those that mayflyd has made, by the files that the brief names: to join it, and to read how
 * much it has used. It knows of no cgroup version. */

#include <stddef.h>
#include <stdint.h>

#include "wire/brief.h"

enum group_name { GROUP_SERVER, GROUP_TEMPLATES, GROUP_ANCHORS, GROUPS }; /* and one for each slot */

struct group {
        const struct brief_cgroups *files;
        int joins[BRIEF_TREES];       /* written "0", the writer moves in */
        int counters[BRIEF_COUNTERS]; /* -1: this host has none */
        uint64_t last[BRIEF_COUNTERS];
};

/* Opens its files, for good. 0 or negative errno. */
int group_open(const struct brief_cgroups *files, const char *name, struct group *group);
/* The calling process moves in. 0 or negative errno. */
int group_join(const struct group *group);
/*
 * What was counted since the last reading; BRIEF_PEAK: the high-water mark since then, where the kernel
 * starts it anew (v1, and v2 since 6.12), else 0. What the host does not tell is 0.
 */
void group_read(struct group *group, uint64_t ret_counts[BRIEF_COUNTERS]);
