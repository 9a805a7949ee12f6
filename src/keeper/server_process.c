#include "keeper/server_process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/macros.h"
#include "keeper/slot.h"
#include "keeper/template.h"
#include "wire/packet.h"

enum { RETRY_US = 100000, HEALTHY_US = 60000000, FAILURES_MAX = 8, SERVER_TMP_BYTES = 64 << 20 };

/* A root like the cells', and in it the data directory and the server's own /proc: nothing else of the host.
 */
static int server_enter(struct keeper *keeper, int control)
{
        const struct keeper_place place = {
                .group = &keeper->server_group,
                .tmp_bytes = SERVER_TMP_BYTES,
                .uid = keeper->brief->uid_base + UID_SERVER,
                .n_fds = 4,
                .fds = { control, BRIEF_LISTEN_FD, BRIEF_SETTINGS_FD, BRIEF_SERVER_FD },
        };
        char target[BRIEF_PATH + 8];

        snprintf(target, sizeof target, "%s/srv", keeper->brief->root);
        if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0 ||
                mount(keeper->brief->data_dir, target, NULL, MS_BIND, NULL) < 0 ||
                mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
                return -errno;
        return keeper_enter(keeper, &place);
}

static void __attribute__((noreturn)) server_main(struct keeper *keeper, struct watch *watch, int control)
{
        char *const arguments[] = { "mayfly-server", NULL }, *const environment[] = { NULL };
        int r = server_enter(keeper, control);

        (void)watch;
        if (r == 0) {
                /* The program is not in that root: it is started by its descriptor, which then closes. */
                fcntl(KEEPER_FDS_END, F_SETFD, FD_CLOEXEC);
                fexecve(KEEPER_FDS_END, arguments, environment);
                r = -errno;
        }
        log_error("server.failed", "it cannot be started: %s", strerror(-r));
        _exit(1);
}

static int request_start(struct keeper *keeper, const void *message, int *fds)
{
        const struct keeper_start *start = message;
        struct slot_request request = { .cell = start->cell, .runtime = start->runtime };

        memcpy(request.fds, fds, sizeof request.fds);
        if (start->runtime >= RUNTIME_COUNT || slot_find_cell(keeper, start->cell)) {
                fds_close(fds, KEEPER_FDS_PER_CELL);
                return -EBADMSG;
        }
        if (slot_request(keeper, &request) < 0) {
                struct keeper_done done = {
                        .type = KEEPER_DONE, .outcome = CELL_REFUSED, .cell = start->cell
                };

                keeper_tell_server(keeper, &done, sizeof done);
        }
        return 0;
}

static int request_kill(struct keeper *keeper, const void *message, int *fds)
{
        (void)fds;
        slot_kill_cell(keeper, ((const struct keeper_kill *)message)->cell);
        return 0;
}

/* All that the server may ask for. Anything else ends it: it has been taken over, or is broken. */
static const struct {
        uint32_t type;
        size_t length;
        size_t n_fds;
        int (*serve)(struct keeper *keeper, const void *message, int *fds);
} requests[] = {
        { KEEPER_START, sizeof(struct keeper_start), KEEPER_FDS_PER_CELL, request_start },
        { KEEPER_KILL, sizeof(struct keeper_kill), 0, request_kill },
};

static int server_serve(struct keeper *keeper, const void *message, size_t length, int *fds, size_t n_fds)
{
        uint32_t type = 0;

        memcpy(&type, message, MIN(length, sizeof type));
        for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
                if (requests[i].type == type && requests[i].length == length && requests[i].n_fds == n_fds)
                        return requests[i].serve(keeper, message, fds);
        }
        fds_close(fds, n_fds);
        return -EBADMSG;
}

static void server_on_message(struct keeper *keeper, struct watch *watch)
{
        char message[256] __attribute__((aligned(8)));
        size_t length = 0, n_fds = 0;
        int fds[PACKET_FDS];
        int r = packet_receive(
                watch->fd, MSG_DONTWAIT, message, sizeof message, &length, fds, PACKET_FDS, &n_fds);

        if (r == PACKET_AGAIN)
                return;
        if (r == 0)
                r = server_serve(keeper, message, length, fds, n_fds);
        if (r == 0)
                return;
        if (r < 0)
                log_error("server.protocol", "error=\"%s\"", strerror(-r));
        keeper_unwatch(keeper, watch);
        /* One that broke the protocol, or hung up and lives on, is replaced. */
        if ((r < 0 || !keeper->draining) && keeper->server_pid > 0)
                kill(keeper->server_pid, SIGKILL);
}

static int server_start(struct keeper *keeper)
{
        pid_t pid = keeper_spawn(keeper, &keeper->server, server_on_message, server_main);

        if (pid < 0)
                return (int)pid;
        keeper->server_pid = pid;
        keeper->server_started_us = clock_us();
        for (int i = 0; i < RUNTIME_COUNT; i++)
                template_announce(keeper, &keeper->templates[i]);
        return 0;
}

void server_died(struct keeper *keeper, int status)
{
        keeper->server_pid = 0;
        keeper_unwatch(keeper, &keeper->server);
        if (keeper->draining && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
                keeper_stop(keeper, 0);
                return;
        }
        log_error("server.down", "%s=%d", WIFEXITED(status) ? "exit" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        if (clock_us() - keeper->server_started_us > HEALTHY_US)
                keeper->server_failures = 0;
        if (keeper->draining || ++keeper->server_failures >= FAILURES_MAX ||
                (WIFEXITED(status) && WEXITSTATUS(status) == 2)) {
                keeper_stop(keeper, 1); /* 2: it cannot work with these settings, and has said why */
                return;
        }
        slots_forget_server(keeper);
        keeper->server_retry_us = clock_us() + ((uint64_t)RETRY_US << keeper->server_failures) / 2;
}

uint64_t server_tick(struct keeper *keeper, uint64_t now_us)
{
        if (keeper->server_pid > 0)
                return 0;
        if (now_us < keeper->server_retry_us)
                return keeper->server_retry_us;
        if (server_start(keeper) < 0)
                keeper->server_retry_us = now_us + RETRY_US;
        return now_us + RETRY_US;
}
