#pragma once

/*
 * The keeper's state. It owns ids, namespaces and descriptors; it holds no byte of user data and no secret,
 * and speaks to nobody but its own children: the server, the templates and the slots' anchors.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper/group.h"
#include "wire/brief.h"

struct child;
struct keeper;

/* What a child may say: anything else ends it. The row takes over its descriptors; negative errno: bad after
 * all. */
struct child_rule {
        uint32_t type;
        size_t length, n_fds;
        int (*take)(struct keeper *keeper, struct child *child, const void *message, const int *fds);
};

enum { CHILD_RULES_MAX = 6 };

struct child_kind {
        /* In the new process, with its end of a packet socket; never returns. */
        void (*body)(struct keeper *keeper, struct child *child, int socket);
        /* It has hung up or broken the protocol (why says which; it may still run, see child_end()) or ended.
         */
        void (*lost)(struct keeper *keeper, struct child *child, const char *why);
        /* Its wake_us has come. */
        void (*wake)(struct keeper *keeper, struct child *child);
        struct child_rule rules[CHILD_RULES_MAX];
};

/* A process that the keeper keeps; lives inside the object that it belongs to. */
struct child {
        const struct child_kind *kind;
        pid_t pid;         /* 0: none */
        int fd;            /* our end of the socket; -1: none */
        int status;        /* of the last one that ended, as of wait(2) */
        uint32_t failures; /* in a row */
        uint64_t wake_us;  /* clock_us(); 0: not */
        struct child *next;
};

struct keeper {
        const struct brief *brief;
        int epoll;
        int signals;
        struct group groups[GROUPS]; /* by enum group_name */

        struct child janitor; /* hanging up lets it clean up */
        struct child server;
        uint64_t server_started_us;
        struct template *templates;     /* TEMPLATE_PLACES */
        struct slot *slots, *slots_end; /* brief->n_slots */
        struct child *children;         /* all of the above */

        bool draining;
        bool finished;
        int exit_code;
        uint64_t drain_deadline_us;
};

/* Makes it one of the keeper's children; it wakes at once. */
void child_add(struct keeper *keeper, struct child *child, const struct child_kind *kind);
/* Starts the process. 0 or negative errno. */
int child_start(struct keeper *keeper, struct child *child);
/* Closes our end of its socket. */
void child_hang_up(struct keeper *keeper, struct child *child);
/* Hangs up, and kills it if it lives. */
void child_end(struct keeper *keeper, struct child *child);
/* Sends a packet, if it is there to take it. As packet_send(). */
int child_tell(struct child *child, const void *message, size_t length, const int *fds, size_t n_fds);

/* Where a child goes to live. */
struct keeper_place {
        const struct group *group;
        uint64_t tmp_bytes;
        uint32_t uid;
        uint64_t capabilities; /* kept, for ever */
        unsigned n_fds;
        int fds[4]; /* become 3, 4, ... */
};

/* In the child, in a mount namespace of its own: goes there, for good. 0 or negative errno. */
int keeper_enter(struct keeper *keeper, const struct keeper_place *place);

/* Ends the keeper with this exit code. */
void keeper_stop(struct keeper *keeper, int exit_code);

/* Runs until the end. Returns the exit code. */
int keeper_run(struct keeper *keeper);
