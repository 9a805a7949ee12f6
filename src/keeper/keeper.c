/*
 * Theory of operation. One loop, one thread, no waiting: a packet or a signal comes in, or a time has come; a
 * state changes, packets go out. Each child has its kind, a table of what it may say and what to do about it.
 * Children that end are noticed by SIGCHLD.
 */
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/macros.h"
#include "sandbox/child.h"
#include "sandbox/rootfs.h"
#include "wire/packet.h"

enum { DRAIN_EXTRA_US = 5000000, SEND_BUFFER = 4 << 20, MESSAGE_MAX = 512 };

/* --- children --- */

void child_add(struct keeper *keeper, struct child *child, const struct child_kind *kind)
{
        *child = (struct child){ .kind = kind, .fd = -1, .wake_us = 1, .next = keeper->children };
        keeper->children = child;
}

int child_start(struct keeper *keeper, struct child *child)
{
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = child };
        const int buffer = SEND_BUFFER;
        int fds[2], r = packet_pair(fds);

        if (r < 0)
                return r;
        child->pid = child_fork();
        if (child->pid == 0)
                child->kind->body(keeper, child, fds[1]);
        r = child->pid < 0 ? -errno : 0;
        child->pid = MAX(child->pid, 0);
        child->fd = fds[0];
        close(fds[1]);
        /* The keeper never waits for anybody: who does not read its packets is as good as dead. But there
         * must be room for a packet about every slot at once. */
        fcntl(child->fd, F_SETFL, O_NONBLOCK);
        setsockopt(child->fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
        if (r == 0 && epoll_ctl(keeper->epoll, EPOLL_CTL_ADD, child->fd, &event) < 0)
                r = -errno;
        if (r < 0)
                child_end(keeper, child);
        return r;
}

void child_hang_up(struct keeper *keeper, struct child *child)
{
        epoll_ctl(keeper->epoll, EPOLL_CTL_DEL, child->fd, NULL); /* EBADF: it has none */
        fd_closep(&child->fd);
}

void child_end(struct keeper *keeper, struct child *child)
{
        child_hang_up(keeper, child);
        if (child->pid > 0)
                kill(child->pid, SIGKILL);
}

int child_tell(struct child *child, const void *message, size_t length, const int *fds, size_t n_fds)
{
        return child->fd < 0 ? PACKET_EOF : packet_send(child->fd, message, length, fds, n_fds);
}

static int child_serve(struct keeper *keeper, struct child *child, const void *message, size_t length,
        int *fds, size_t n_fds)
{
        uint32_t type = 0;

        memcpy(&type, message, MIN(length, sizeof type));
        for (const struct child_rule *rule = child->kind->rules; rule->take; rule++) {
                if (rule->type == type && rule->length == length && rule->n_fds == n_fds)
                        return rule->take(keeper, child, message, fds);
        }
        fds_close(fds, n_fds);
        return -EBADMSG;
}

static void child_hear(struct keeper *keeper, struct child *child)
{
        char message[MESSAGE_MAX] __attribute__((aligned(8)));
        size_t length = 0, n_fds = 0;
        int fds[PACKET_FDS];
        int r = packet_receive(
                child->fd, MSG_DONTWAIT, message, sizeof message, &length, fds, PACKET_FDS, &n_fds);

        if (r == PACKET_AGAIN)
                return;
        for (size_t i = 0; r == 0 && i < n_fds; i++) /* closing it must not wait */
                setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &(struct linger){ 0 }, sizeof(struct linger));
        if (r == 0)
                r = child_serve(keeper, child, message, length, fds, n_fds);
        if (r != 0)
                child->kind->lost(keeper, child, r > 0 ? "it closed its socket" : "it broke the protocol");
}

int keeper_enter(struct keeper *keeper, const struct keeper_place *place)
{
        int r = group_join(place->group);

        if (r == 0)
                r = rootfs_enter(keeper->brief->root);
        if (r == 0)
                r = rootfs_mount_tmp(0, place->tmp_bytes, 1024);
        if (r == 0)
                r = rootfs_mount_proc();
        if (r == 0)
                r = child_keep_fds(place->fds, place->n_fds);
        return r == 0 ? child_become(place->uid, place->capabilities) : r;
}

/* --- the end --- */

void keeper_stop(struct keeper *keeper, int exit_code)
{
        if (!keeper->finished)
                keeper->exit_code = exit_code;
        keeper->finished = true;
}

static void keeper_drain(struct keeper *keeper)
{
        const struct keeper_plain message = { .type = KEEPER_DRAIN };

        if (keeper->draining || keeper->server.pid == 0) {
                keeper_stop(keeper, keeper->draining ? 1 : 0);
                return;
        }
        log_info("keeper.draining", "running calls may take %u ms to end; a second signal ends them now",
                keeper->brief->drain_timeout_ms);
        keeper->draining = true;
        keeper->drain_deadline_us =
                clock_us() + (uint64_t)keeper->brief->drain_timeout_ms * 1000 + DRAIN_EXTRA_US;
        child_tell(&keeper->server, &message, sizeof message, NULL, 0);
}

/* --- the loop --- */

static void keeper_reap(struct keeper *keeper)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                for (struct child *child = keeper->children; child; child = child->next) {
                        if (child->pid != pid)
                                continue;
                        child->pid = 0;
                        child->status = status;
                        child->kind->lost(keeper, child, "its process ended");
                }
        }
}

static void keeper_on_signal(struct keeper *keeper)
{
        struct signalfd_siginfo info;

        if (read(keeper->signals, &info, sizeof info) != sizeof info)
                return;
        if (info.ssi_signo == SIGCHLD)
                keeper_reap(keeper);
        else
                keeper_drain(keeper);
}

/* Wakes whose time has come. Returns how long to wait for the next, in ms; -1: there is none. */
static int keeper_tick(struct keeper *keeper)
{
        uint64_t now_us = clock_us(), next_us = keeper->draining ? keeper->drain_deadline_us : UINT64_MAX;

        for (struct child *child = keeper->children; child; child = child->next) {
                if (child->wake_us)
                        next_us = MIN(next_us, child->wake_us);
                if (child->wake_us && now_us >= child->wake_us) {
                        child->wake_us = 0;
                        child->kind->wake(keeper, child);
                }
        }
        if (keeper->draining && now_us >= keeper->drain_deadline_us)
                keeper_stop(keeper, 1);
        if (next_us == UINT64_MAX)
                return -1;
        return next_us <= now_us ? 0 : (int)MIN((next_us - now_us) / 1000 + 1, 60000u);
}

int keeper_run(struct keeper *keeper)
{
        int r = 0;

        keeper_reap(keeper); /* a janitor that has died before SIGCHLD was listened for */
        while (r >= 0) {
                struct epoll_event event;
                int wait_ms = keeper_tick(keeper);

                if (keeper->finished)
                        return keeper->exit_code;
                /* One at a time: what it leads to may close the descriptors of others. */
                r = TEMP_FAILURE_RETRY(epoll_wait(keeper->epoll, &event, 1, wait_ms));
                if (r > 0 && event.data.ptr)
                        child_hear(keeper, event.data.ptr);
                else if (r > 0)
                        keeper_on_signal(keeper);
        }
        log_error("keeper.loop", "error=\"%s\"", strerror(errno));
        return 1;
}
