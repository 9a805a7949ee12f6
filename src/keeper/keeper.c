/*
 * Theory of operation. One loop, one thread, no waiting: a packet or a signal comes in, a state changes,
 * packets go out. The server may ask for what the table in server_process.c lists; templates and anchors
 * answer what they were asked. Children that end are noticed by SIGCHLD. Time limits are looked at before
 * each wait.
 */
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
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
#include "keeper/server_process.h"
#include "keeper/slot.h"
#include "keeper/template.h"
#include "sandbox/child.h"
#include "sandbox/rootfs.h"
#include "wire/janitor.h"
#include "wire/packet.h"

enum { DRAIN_EXTRA_US = 5000000, SEND_BUFFER = 4 << 20 };

int keeper_watch(
        struct keeper *keeper, struct watch *watch, int fd, void (*ready)(struct keeper *, struct watch *))
{
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = watch };
        const int buffer = SEND_BUFFER;

        /* The keeper never waits for anybody: who does not read its packets is as good as dead. But there
         * must be room for a packet about every slot at once. */
        fcntl(fd, F_SETFL, O_NONBLOCK);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
        if (epoll_ctl(keeper->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
                return -errno;
        watch->fd = fd;
        watch->ready = ready;
        return 0;
}

void keeper_unwatch(struct keeper *keeper, struct watch *watch)
{
        if (watch->fd < 0)
                return;
        epoll_ctl(keeper->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
        fd_closep(&watch->fd);
}

pid_t keeper_spawn(struct keeper *keeper, struct watch *watch, void (*ready)(struct keeper *, struct watch *),
        void (*body)(struct keeper *, struct watch *, int))
{
        int fds[2], r = packet_pair(fds);
        pid_t pid;

        if (r < 0)
                return r;
        pid = child_fork();
        if (pid == 0)
                body(keeper, watch, fds[1]);
        r = pid < 0 ? -errno : keeper_watch(keeper, watch, fds[0], ready);
        close(fds[1]);
        if (r < 0) {
                close(fds[0]); /* which ends the child */
                return r;
        }
        return pid;
}

int keeper_enter(struct keeper *keeper, const struct keeper_place *place)
{
        int r = group_join(place->group);

        if (r == 0)
                r = rootfs_enter(keeper->brief->root);
        if (r == 0)
                r = rootfs_mount_tmp(place->tmp_bytes, 1024);
        if (r == 0)
                r = rootfs_mount_proc();
        if (r == 0)
                r = child_keep_fds(place->fds, place->n_fds);
        return r == 0 ? child_become(place->uid, place->capabilities) : r;
}

void keeper_tell_server(struct keeper *keeper, const void *message, size_t length)
{
        if (keeper->server.fd < 0)
                return;
        if (packet_send(keeper->server.fd, message, length, NULL, 0) == PACKET_AGAIN) {
                log_error("server.deaf", "it does not take its messages");
                kill(keeper->server_pid, SIGKILL);
        }
}

void keeper_report_done(
        struct keeper *keeper, bool selftest, enum runtime runtime, const struct keeper_done *done)
{
        if (selftest)
                template_test_done(keeper, &keeper->templates[runtime], done);
        else
                keeper_tell_server(keeper, done, sizeof *done);
}

void keeper_stop(struct keeper *keeper, int exit_code)
{
        if (!keeper->finished)
                keeper->exit_code = exit_code;
        keeper->finished = true;
}

static void keeper_drain(struct keeper *keeper)
{
        const struct keeper_plain message = { .type = KEEPER_DRAIN };

        if (keeper->draining || keeper->server_pid <= 0) {
                keeper_stop(keeper, keeper->draining ? 1 : 0);
                return;
        }
        log_info("keeper.draining", "running calls may take %u ms to end; a second signal ends them now",
                keeper->brief->drain_timeout_ms);
        keeper->draining = true;
        keeper->drain_deadline_us =
                clock_us() + (uint64_t)keeper->brief->drain_timeout_ms * 1000 + DRAIN_EXTRA_US;
        keeper_tell_server(keeper, &message, sizeof message);
}

/* Without one, what a killed keeper leaves stays until the next mayflyd sweeps. */
static void keeper_restart_janitor(struct keeper *keeper)
{
        int r;

        fd_closep(&keeper->janitor_fd);
        keeper->janitor_pid = 0;
        r = janitor_start(
                BRIEF_JANITOR_FD, keeper->brief->janitor, &keeper->janitor_pid, &keeper->janitor_fd);
        log_warn("janitor.down", "started anew: %s", r < 0 ? strerror(-r) : "yes");
}

static void child_ended(struct keeper *keeper, pid_t pid, int status)
{
        if (pid == keeper->server_pid)
                server_died(keeper, status);
        if (pid == keeper->janitor_pid)
                keeper_restart_janitor(keeper);
        for (int i = 0; i < RUNTIME_COUNT; i++) {
                if (keeper->templates[i].pid == pid)
                        template_died(keeper, &keeper->templates[i]);
        }
        for (uint32_t i = 0; i < keeper->brief->n_slots; i++) {
                if (keeper->slots[i].anchor_pid != pid)
                        continue;
                keeper->slots[i].anchor_pid = 0;
                slot_anchor_lost(keeper, &keeper->slots[i]);
        }
}

static void keeper_on_signal(struct keeper *keeper, struct watch *watch)
{
        struct signalfd_siginfo info;
        int status;
        pid_t pid;

        if (read(watch->fd, &info, sizeof info) != sizeof info)
                return;
        if (info.ssi_signo != SIGCHLD) {
                keeper_drain(keeper);
                return;
        }
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                child_ended(keeper, pid, status);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
        return !a ? b : !b ? a : MIN(a, b);
}

/* Looks at every time limit. Returns the next one, 0 for none. */
static uint64_t keeper_tick(struct keeper *keeper)
{
        uint64_t now_us = clock_us(), next = server_tick(keeper, now_us);

        for (int i = 0; i < RUNTIME_COUNT; i++)
                next = earlier(next, template_tick(keeper, &keeper->templates[i], now_us));
        for (uint32_t i = 0; i < keeper->brief->n_slots; i++)
                next = earlier(next, slot_tick(keeper, &keeper->slots[i], now_us));
        if (keeper->draining) {
                next = earlier(next, keeper->drain_deadline_us);
                if (now_us >= keeper->drain_deadline_us)
                        keeper_stop(keeper, 1);
        }
        return next;
}

int keeper_run(struct keeper *keeper)
{
        sigset_t signals;
        int fd, r;

        sigemptyset(&signals);
        sigaddset(&signals, SIGCHLD);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGTERM);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        r = fd < 0 ? -errno : keeper_watch(keeper, &keeper->signals, fd, keeper_on_signal);

        while (r >= 0 && !keeper->finished) {
                uint64_t next = keeper_tick(keeper), now_us = clock_us();
                struct epoll_event event;
                int wait_ms = !next ? -1 : next <= now_us ? 0 : (int)MIN((next - now_us) / 1000 + 1, 60000u);

                if (keeper->finished)
                        break;
                /* One at a time: what it leads to may close the descriptors of others. */
                r = epoll_wait(keeper->epoll, &event, 1, wait_ms);
                if (r < 0 && errno == EINTR)
                        r = 0;
                if (r > 0) {
                        struct watch *watch = event.data.ptr;

                        watch->ready(keeper, watch);
                }
        }
        if (r < 0) {
                log_error("keeper.loop", "error=\"%s\"", strerror(-r));
                return 1;
        }
        return keeper->exit_code;
}
