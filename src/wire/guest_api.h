#pragma once

/*
 * Two conversations.
 *
 * Keeper and template: packets over GUEST_CONTROL_FD. The template gets TEMPLATE_PLAN once, says
 * TEMPLATE_READY once its interpreter is warm, then forks one cell for each TEMPLATE_FORK, saying
 * TEMPLATE_FORKED at once and TEMPLATE_EXITED when it ended.
 *
 * Server and cell: frames over the channel, a stream socket, GUEST_CHANNEL_FD in the cell. A frame is a
 * header and its body. The server trusts nothing that comes from a cell.
 */

#include <stdint.h>

enum {
        GUEST_CONTROL_FD = 3, /* in a template */
        GUEST_CHANNEL_FD = 3, /* in a cell */
};

enum template_message_type {
        TEMPLATE_PLAN = 1,  /* keeper: struct template_plan with one memfd, sandbox/plan.h tells its layout */
        TEMPLATE_READY = 2, /* template: struct template_ready */
        TEMPLATE_FORK = 3,  /* keeper: struct template_fork with descriptors, see there */
        TEMPLATE_FORKED = 4, /* template: struct template_forked */
        TEMPLATE_EXITED = 5, /* template: struct template_exited */
};

struct template_ready {
        uint32_t type;
        char version[252]; /* NUL-terminated, such as "Node.js 24.21.0" */
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

enum frame_kind {
        /* server to cell */
        FRAME_CALL = 1, /* struct frame_call, then code, map and input */
        /* cell to server; the first of RESULT..WALL ends the call, whatever follows is not read */
        FRAME_READY = 64,   /* empty: the cell is walled and waits for its call */
        FRAME_RESULT = 65,  /* one JSON value, UTF-8: what the script returned */
        FRAME_NOTHING = 66, /* empty: the script ended and returned nothing; or: the check found no fault */
        FRAME_ERROR = 67,   /* a JSON object {name, message, stack, line, column}: the script failed; line and
                               column from 1, or null */
        FRAME_SYNTAX = 68,  /* the same object: the script does not parse */
        FRAME_COMPILED = 69, /* struct frame_compiled, then JavaScript and its source map (JSON) */
        FRAME_WALL = 70,     /* struct frame_wall: the cell could not be walled and has not run */
};

struct frame_header {
        uint32_t length; /* of the body, bytes */
        uint32_t kind;   /* enum frame_kind */
};

enum guest_mode {
        GUEST_RUN = 1,   /* run the script */
        GUEST_CHECK = 2, /* parse it; TypeScript: compile it, answered by FRAME_COMPILED */
};

enum guest_language { GUEST_JAVASCRIPT = 1, GUEST_TYPESCRIPT = 2, GUEST_PYTHON = 3 };

/* For GUEST_RUN of TypeScript `code` is the compiled JavaScript and `map` its source map; otherwise map is
 * empty. */
struct frame_call {
        uint32_t mode;     /* enum guest_mode */
        uint32_t language; /* enum guest_language */
        uint32_t code_length;
        uint32_t map_length;
        uint32_t input_length; /* JSON text of the event */
};

struct frame_compiled {
        uint32_t code_length;
        uint32_t map_length;
};

struct frame_wall {
        uint32_t wall; /* enum wall of sandbox/wall.h */
        int32_t error; /* negative errno */
};
