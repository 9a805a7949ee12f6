#pragma once

/*
 * The keeper's state. It owns ids, limits, namespaces and descriptors; it holds no byte of user data and
 * speaks to nobody but its own children: the server, the templates and the slots' anchors.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/settings.h"
#include "sandbox/cgroup.h"
#include "sandbox/rootfs.h"
#include "wire/keeper_api.h"

/* A descriptor that the loop watches; lives inside the object that it belongs to. */
struct keeper;
struct template;
struct slot;

struct watch {
        int fd;
        void (*ready)(struct keeper *keeper, struct watch *watch);
};

/* A cell that was asked for and has no slot yet. */
struct pending {
        uint64_t cell;
        enum runtime runtime;
        bool selftest;
        int fds[KEEPER_FDS_PER_CELL];
};

struct keeper {
        struct settings settings;
        uint32_t walls_missing;
        char *python;       /* the interpreter's path inside the root */
        char library[4096]; /* where server, guest modules and node_modules lie */
        int epoll;
        int plan_fd;
        int listen_fd;
        int data_fd;
        int janitor_fd; /* closing it lets the janitor clean up */
        pid_t janitor_pid;
        struct watch signals;
        struct rootfs rootfs;
        struct cgroups cgroups;
        struct cgroup server_group, template_group, anchor_group;

        pid_t server_pid;
        struct watch server;
        uint64_t server_started_us, server_retry_us;
        uint32_t server_failures;

        struct template *templates; /* RUNTIME_COUNT */
        struct slot *slots;
        size_t n_slots;
        struct pending *pending; /* room for n_slots and the templates' self-tests, oldest first */
        size_t n_pending;

        bool draining;
        bool finished;
        int exit_code;
        uint64_t drain_deadline_us;
};

/* User ids, counted from UID_BASE. */
enum { UID_SERVER = 0, UID_TEMPLATE = 1, UID_CELLS = 64 };

enum { SLOTS_EXTRA = 2 }; /* so that a slot being reset does not delay the next call */

/* Watches a descriptor for reading. 0 or negative errno. */
int keeper_watch(
        struct keeper *keeper, struct watch *watch, int fd, void (*ready)(struct keeper *, struct watch *));
/* Stops watching and closes. Does nothing for fd -1. */
void keeper_unwatch(struct keeper *keeper, struct watch *watch);

/* Asks for a cell; takes the descriptors over. 0 or negative errno (-ENOSPC: more than there is room for). */
int keeper_request_cell(struct keeper *keeper, struct pending *request);
/* Drops a cell that waits, telling its asker; 0: all of the server's, telling nobody. */
void keeper_forget_pending(struct keeper *keeper, uint64_t cell);
/* Starts what waits and can be started now. */
void keeper_dispatch(struct keeper *keeper);
/* Tells whoever asked for a cell how it ended. */
void keeper_report_done(
        struct keeper *keeper, bool selftest, enum runtime runtime, const struct keeper_done *done);
/* Sends a packet to the server, if there is one. */
void keeper_tell_server(struct keeper *keeper, const void *message, size_t length);
/* Starts the janitor, at first or again. 0 or negative errno. */
int keeper_start_janitor(struct keeper *keeper);
/* Ends the keeper with this exit code. */
void keeper_stop(struct keeper *keeper, int exit_code);

/* Runs until the end. Returns the exit code. */
int keeper_run(struct keeper *keeper);
