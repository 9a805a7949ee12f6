#pragma once

/*
 * The keeper's state. It owns ids, namespaces and descriptors; it holds no byte of user data and no secret,
 * and speaks to nobody but its own children: the server, the templates and the slots' anchors.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper/group.h"
#include "wire/brief.h"

struct keeper;
struct template;
struct slot;

/* A descriptor that the loop watches; lives inside the object that it belongs to. */
struct watch {
        int fd;
        void (*ready)(struct keeper *keeper, struct watch *watch);
};

struct keeper {
        const struct brief *brief;
        int epoll;
        int janitor_fd; /* closing it lets the janitor clean up */
        pid_t janitor_pid;
        struct watch signals;
        struct group server_group, template_group, anchor_group;

        pid_t server_pid;
        struct watch server;
        uint64_t server_started_us, server_retry_us;
        uint32_t server_failures;

        struct template *templates; /* RUNTIME_COUNT */
        struct slot *slots;         /* brief->n_slots */
        uint32_t n_wanted;          /* of them: cells that wait to be started */

        bool draining;
        bool finished;
        int exit_code;
        uint64_t drain_deadline_us;
};

/* Watches a descriptor for reading. 0 or negative errno. */
int keeper_watch(
        struct keeper *keeper, struct watch *watch, int fd, void (*ready)(struct keeper *, struct watch *));
/* Stops watching and closes. Does nothing for fd -1. */
void keeper_unwatch(struct keeper *keeper, struct watch *watch);

/* Starts a child that runs `body` with its end of a packet socket, and watches the other. Its pid or negative
 * errno. */
pid_t keeper_spawn(struct keeper *keeper, struct watch *watch, void (*ready)(struct keeper *, struct watch *),
        void (*body)(struct keeper *, struct watch *, int socket));

/* Where a child of the keeper goes to live. */
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

/* Tells whoever asked for a cell how it ended: the server, or the template that tests itself. */
void keeper_report_done(
        struct keeper *keeper, bool selftest, enum runtime runtime, const struct keeper_done *done);
/* Sends a packet to the server, if there is one. */
void keeper_tell_server(struct keeper *keeper, const void *message, size_t length);
/* Ends the keeper with this exit code. */
void keeper_stop(struct keeper *keeper, int exit_code);

/* Runs until the end. Returns the exit code. */
int keeper_run(struct keeper *keeper);
