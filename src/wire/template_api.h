#pragma once

/*
 * Keeper and template: packets over GUEST_CONTROL_FD. The template gets TEMPLATE_PLAN once, says
 * TEMPLATE_READY once its interpreter is warm, then forks one cell for each TEMPLATE_FORK, saying
 * TEMPLATE_FORKED at once and TEMPLATE_EXITED when it ended.
 */

#include <stdint.h>

/* In a template. That of an import set has "4" as its last argument: the file of KEEPER_WARM. */
enum { GUEST_CONTROL_FD = 3, GUEST_NAMES_FD = 4 };

enum template_message_type {
        TEMPLATE_PLAN = 1,  /* keeper: struct template_plan with one memfd, sandbox/plan.h tells its layout */
        TEMPLATE_READY = 2, /* template: struct template_ready */
        TEMPLATE_FORK = 3,  /* keeper: struct template_fork with descriptors, see there */
        TEMPLATE_FORKED = 4, /* template: struct template_forked */
        TEMPLATE_EXITED = 5, /* template: struct template_exited */
};

struct template_ready {
        uint32_t type;
        char version[252];     /* NUL-terminated, such as "Node.js 24.21.0 #1a2b3c4d" */
        uint64_t memory_bytes; /* its share of what it has mapped (PSS) */
};

/* Descriptors: channel, stdout, stderr, pidfd of the slot's first process, then 1 to 4 cgroup files to join
 * by writing "0". */
struct template_fork {
        uint32_t type;
        uint32_t selftest; /* 1: run the runtime's self-test instead of serving a call; it reports by exit
                              status */
        uint64_t cell;
        uint32_t uid; /* the cell's user and group id */
        uint32_t padding;
};

struct template_forked {
        uint32_t type;
        int32_t error; /* 0, or negative errno: no cell was made and no TEMPLATE_EXITED follows */
        uint64_t cell;
};

struct template_exited {
        uint32_t type;
        int32_t status; /* as of wait(2) */
        uint64_t cell;
        uint64_t cpu_us;
};
