#pragma once

/*
 * What server and keeper say to each other, one packet (wire/packet.h) a message, over the socket that the
 * keeper gives the server as descriptor KEEPER_SERVER_FD. Every message begins with its type; its length is
 * that of its struct.
 *
 * A cell is asked for with KEEPER_START and ends with exactly one KEEPER_DONE. User bytes never pass here:
 * the server makes a socket pair and two pipes for each cell and hands the cell's ends over with
 * KEEPER_START.
 */

#include <stdint.h>

enum {
        KEEPER_SERVER_FD = 3,   /* in the server: the socket to the keeper */
        KEEPER_LISTEN_FD = 4,   /* in the server: the listening HTTP socket */
        KEEPER_SETTINGS_FD = 5, /* in the server: NAME=value strings, each with its NUL; read it from 0 */
        KEEPER_FDS_END = 6,
        KEEPER_FDS_PER_CELL = 3, /* with KEEPER_START: channel, stdout, stderr, in this order */
        KEEPER_TEXT = 256,
};

enum runtime {
        RUNTIME_PYTHON,
        RUNTIME_NODE,
        RUNTIME_TYPESCRIPT, /* a Node.js with the TypeScript compiler loaded: compiles, runs nothing */
        RUNTIME_FAKE,       /* tests only: the C runtime of tests/fake */
        RUNTIME_COUNT,
};

/*
 * A place holds one template. Those below RUNTIME_COUNT are the base ones, each at the place of its runtime:
 * the keeper starts them, and starts them again. The others are for import sets: templates that have imported
 * what some functions import; the server has them made and ended.
 */
enum { TEMPLATE_PLACES = RUNTIME_COUNT + 16 };

enum keeper_message_type {
        /* server to keeper */
        KEEPER_START = 1,
        KEEPER_KILL = 2,
        KEEPER_LIMIT = 3,
        KEEPER_WARM = 4,
        KEEPER_COOL = 5,
        /* keeper to server */
        KEEPER_DONE = 64,
        KEEPER_TEMPLATE = 65,
        KEEPER_DRAIN = 66, /* accept nothing new, finish what runs, exit with 0 */
        KEEPER_LIMITED = 67,
};

/* Fork a cell from the template at this place. It waits for its FRAME_CALL on the channel (wire/guest_api.h).
 */
struct keeper_start {
        uint32_t type;
        uint32_t place;
        uint64_t cell; /* the server's name for it, unique while it lives; not 0 */
};

/*
 * Make a template of this runtime at a place for import sets that holds none. With one descriptor, a sealed
 * memory file: the names of the modules, blank-separated. The keeper hands it on unread. Answered by
 * KEEPER_TEMPLATE when it is up, and once in any case when it is no more.
 */
struct keeper_warm {
        uint32_t type;
        uint32_t place;
        uint32_t runtime; /* enum runtime */
};

/* End the template at this place for import sets, and its cells. Ignored where there is none: it may have
 * ended by itself. */
struct keeper_cool {
        uint32_t type;
        uint32_t place;
};

/* End this cell and whatever it started, now. Unknown cells are ignored: it may have ended by itself. */
struct keeper_kill {
        uint32_t type;
        uint32_t padding;
        uint64_t cell;
};

/*
 * Sent before a call is handed over: lowers the limits of this one cell below those of the settings (0:
 * leaves one as it is; never raises one), and starts its usage anew, so that KEEPER_DONE tells of the call
 * and not of the cell's start. At most once for a cell. Answered by KEEPER_LIMITED when the limits hold; for
 * a cell that is not forked yet, after the fork. No answer for an unknown cell, or one that ends meanwhile:
 * its KEEPER_DONE is on the way.
 */
struct keeper_limit {
        uint32_t type;
        uint32_t processes;
        uint64_t cell;
        uint64_t memory_bytes;
        uint64_t tmp_bytes;
        uint32_t cpus_milli; /* CPU share, thousandths of a core */
        uint32_t padding;
};

struct keeper_limited {
        uint32_t type;
        int32_t error; /* 0, or negative errno: the call must not be handed over */
        uint64_t cell;
};

struct keeper_plain {
        uint32_t type; /* KEEPER_DRAIN */
};

enum cell_outcome {
        CELL_EXITED,   /* `code` is its exit status */
        CELL_SIGNALED, /* `code` is the signal */
        CELL_LOST,     /* its template died or answered no more: not the script's fault */
        CELL_REFUSED,  /* never started: more cells than slots, or the runtime is not there */
};

enum cell_limit {
        CELL_LIMIT_MEMORY = 1 << 0,    /* the kernel killed a process of the cell for its memory limit */
        CELL_LIMIT_PROCESSES = 1 << 1, /* a fork or thread was refused by the process limit */
};

struct keeper_done {
        uint32_t type;
        uint32_t outcome; /* enum cell_outcome */
        uint64_t cell;
        int32_t code;
        uint32_t limits; /* bits of enum cell_limit that were hit */
        uint32_t killed; /* 1: ended by KEEPER_KILL */
        uint32_t padding;
        uint64_t cpu_us; /* of the cell and all its children; of those it waited for, where cgroups do not
                            count it */
        uint64_t peak_memory_bytes; /* cgroup's high-water mark; 0 if the host does not tell */
        uint64_t wall_us;           /* from fork to exit */
};

/* A template came up or went down. Sent at every change, and for the base ones at start. */
struct keeper_template {
        uint32_t type;
        uint32_t place;
        uint32_t up;               /* 1: cells can be started */
        uint32_t generation;       /* counts the templates of its place: 1, 2, ... */
        uint64_t memory_bytes;     /* that it occupied when it was warm */
        char version[KEEPER_TEXT]; /* such as "CPython 3.11.2 #1a2b3c4d"; what went wrong while up is 0 */
};
