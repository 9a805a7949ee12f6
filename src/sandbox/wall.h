#pragma once

/* The walls around a cell, by name: for the operator (--allow-missing-walls, /readyz) and for error reports.
 */

#include <stddef.h>
#include <stdint.h>

enum wall {
        WALL_CGROUP_MEMORY,
        WALL_CGROUP_PIDS,
        WALL_CGROUP_CPU,
        WALL_PID_NAMESPACE,
        WALL_NAMESPACES, /* network, ipc, uts, cgroup and mount, joined in one step */
        WALL_DESCRIPTORS,
        WALL_LANDLOCK,
        WALL_UID,
        WALL_CAPABILITIES,
        WALL_NO_NEW_PRIVS,
        WALL_SECCOMP,
        WALL_COUNT,
};

enum { WALLS_ALL = (1 << WALL_COUNT) - 1 };

/* "landlock" for WALL_LANDLOCK; "?" for a number that is no wall. */
const char *wall_name(uint32_t wall);

/* What to do on a host that cannot raise this wall; a sentence. */
const char *wall_cure(enum wall wall);

/*
 * Reads a comma separated list into a set of bits. 0; -EINVAL for a name that is no wall or that cannot be
 * left out: *ret_bad is then its first byte, and *ret_bad_length its length. NULL and "" are the empty set.
 */
int walls_parse(const char *list, uint32_t *ret_walls, const char **ret_bad, size_t *ret_bad_length);

/* Writes the names of a set, comma separated, into buffer. Returns buffer. */
const char *walls_format(uint32_t walls, char *buffer, size_t size);

/* Which walls this kernel cannot raise, found out by asking it; cgroups are found out by sandbox/cgroup.h. */
uint32_t walls_missing(void);
