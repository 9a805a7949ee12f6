#pragma once

/* One cgroup of those that mayflyd has made, by the files that the brief names: to join it, and to read how
 * much it has used, and to lower its limits. It knows of no cgroup version. */

#include <stddef.h>
#include <stdint.h>

#include "wire/brief.h"

enum group_name { GROUP_SERVER, GROUP_TEMPLATES, GROUP_ANCHORS, GROUPS }; /* and one for each slot */

struct group {
        const struct brief_cgroups *files;
        int joins[BRIEF_TREES];       /* written "0", the writer moves in */
        int counters[BRIEF_COUNTERS]; /* -1: this host has none */
        uint64_t last[BRIEF_COUNTERS];
        int limits[BRIEF_LIMIT_FILES];
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
/* Lowers the limits of the settings to these; leaves alone what is 0 or not lower. 0 or negative errno: some
 * may have been lowered. */
int group_lower(const struct group *group, const uint64_t limits[BRIEF_LIMITS]);
/* Sets the limits of the settings again. 0 or negative errno. */
int group_restore(const struct group *group);
