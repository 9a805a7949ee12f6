#pragma once

/*
 * What mayflyd has prepared and mayfly-keeper builds on. mayflyd executes the keeper in its own place, with
 * the descriptors below and no environment; BRIEF_FD is a sealed memory file that holds struct brief. Plain
 * data of one build: no pointers, every text NUL-terminated.
 */

#include <stdint.h>
#include <sys/resource.h>

#include "wire/keeper_api.h"

enum brief_fd {
        BRIEF_FD = 3,
        BRIEF_PLAN_FD,     /* for templates, as of sandbox/plan.h */
        BRIEF_LISTEN_FD,   /* for the server: the HTTP socket */
        BRIEF_SETTINGS_FD, /* for the server: NAME=value strings, each with its NUL; the keeper never reads
                              them */
        BRIEF_SERVER_FD,   /* the program mayfly-server */
        BRIEF_JANITOR_FD,  /* the program mayfly-janitor */
        BRIEF_PIPE_FD,     /* holds the janitor back that mayflyd has started */
        BRIEF_DATA_FD,     /* DATA_DIR, locked, or /dev/null: held, not used */
        BRIEF_FDS_END,
};

/* User ids, counted from brief.uid_base. */
enum { UID_SERVER = 0, UID_TEMPLATE = 1, UID_CELLS = 64 };

enum { BRIEF_PATH = 512, BRIEF_TREES = 4, BRIEF_LIMIT_FILES = 6, BRIEF_WORDS = 1024, BRIEF_LIST = 16 };

/*
 * The host's cgroups, v1 or v2, as files to open: `trees` are directories (v1: one a controller; v2: one in
 * all) that hold a group each for "server", "templates", "anchors" and "slot-0" to "slot-<n_slots - 1>",
 * made, with their limits set. A file that is "" does not exist on this host.
 */
enum brief_counter_name {
        BRIEF_PEAK,     /* bytes; written "0" it starts anew, where the kernel can do that */
        BRIEF_KILLS,    /* processes killed for the memory limit */
        BRIEF_REFUSALS, /* of forks, by the pids limit */
        BRIEF_CPU,      /* microseconds, user and system */
        BRIEF_ALIVE,    /* processes and threads, now */
        BRIEF_COUNTERS,
};

struct brief_counter {
        uint32_t tree;
        char file[32];
        char word[16]; /* the line's first word, a blank and the number follow; "": the file is the number */
        uint64_t divisor; /* from the file's unit to ours */
};

/* What can be lowered for one cell, and set back after it. */
enum brief_limit_name { BRIEF_MEMORY /* bytes */, BRIEF_PROCESSES, BRIEF_CPUS /* milli */, BRIEF_LIMITS };

/* A file that holds one. Written is the number, at least `least`, and `rest`; all are in the order in which
 * they can be lowered, and in the opposite one they can be raised. */
struct brief_limit {
        uint32_t tree;
        uint32_t name;          /* enum brief_limit_name */
        uint64_t value;         /* of the settings, in our unit */
        uint64_t factor, least; /* from our unit to the file's; in the file's */
        char file[32];
        char rest[16];
};

struct brief_cgroups {
        uint32_t n_trees, n_limits;
        char trees[BRIEF_TREES][BRIEF_PATH];
        char join[32]; /* in every tree: written "0", the writer moves in */
        struct brief_counter counters[BRIEF_COUNTERS];
        struct brief_limit limits[BRIEF_LIMIT_FILES];
};

struct brief_runtime {
        char name[16];
        char arguments[BRIEF_WORDS]; /* the template's command: words, each with its NUL, and an empty one;
                                        none: not configured */
};

/* What only the server has mounted into its root; what is not there any more is passed over. */
struct brief_bind {
        char source[BRIEF_PATH], target[BRIEF_PATH]; /* "": the list's end */
        uint64_t flags;                              /* of mount(2), for its second step */
};

struct brief {
        uint32_t log_level;
        uint32_t n_slots;
        uint32_t uid_base;
        uint32_t drain_timeout_ms;
        uint32_t tmp_files; /* of a cell's /tmp */
        uint64_t tmp_bytes;
        int32_t janitor_pid;
        struct rlimit rlimits[RLIM_NLIMITS]; /* of templates and cells, by RLIMIT_… */
        char root[BRIEF_PATH]; /* where the cells' root is mounted, in the keeper's mount namespace */
        struct brief_bind server_binds[4];
        char environment[BRIEF_WORDS];                /* of templates: as of brief_runtime.arguments */
        char janitor[(BRIEF_TREES + 2) * BRIEF_PATH]; /* the arguments of mayfly-janitor, likewise */
        struct brief_cgroups cgroups;
        struct brief_runtime runtimes[RUNTIME_COUNT];
};

/* Points words[0..n] at a list and ends them with NULL; at most BRIEF_LIST - 1. */
void brief_words(const char *list, const char *words[BRIEF_LIST]);
