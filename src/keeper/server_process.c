#include "keeper/server_process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

/* A root like the cells', and in it the server's own /proc and what the brief names: DATA_DIR, or the files
 * that find Redis by its name, as they are now. */
static int server_enter(struct keeper *keeper, int control)
{
        const struct keeper_place place = {
                .group = &keeper->groups[GROUP_SERVER],
                .tmp_bytes = SERVER_TMP_BYTES,
                .uid = keeper->brief->uid_base + UID_SERVER,
                .n_fds = 4,
                .fds = { control, BRIEF_LISTEN_FD, BRIEF_SETTINGS_FD, BRIEF_SERVER_FD },
        };

        if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
                return -errno;
        for (const struct brief_bind *bind = keeper->brief->server_binds; bind->source[0]; bind++) {
                if ((mount(bind->source, bind->target, NULL, MS_BIND, NULL) < 0 ||
                            mount(NULL, bind->target, NULL, bind->flags, NULL) < 0) &&
                        errno != ENOENT)
                        return -errno;
        }
        return keeper_enter(keeper, &place);
}

static void __attribute__((noreturn))
server_main(struct keeper *keeper, struct child *child _unused_, int control)
{
        char *const arguments[] = { "mayfly-server", NULL }, *const environment[] = { NULL };
        int r = server_enter(keeper, control);

        if (r == 0) {
                /* The program is not in that root: it is started by its descriptor, which then closes. */
                fcntl(KEEPER_FDS_END, F_SETFD, FD_CLOEXEC);
                fexecve(KEEPER_FDS_END, arguments, environment);
                r = -errno;
        }
        log_error("server.failed", "it cannot be started: %s", strerror(-r));
        _exit(1);
}

/* A channel and two pipes, whose closing waits for nobody. */
static bool fds_are_harmless(const int *fds)
{
        socklen_t size = sizeof(int);
        struct stat output, errors;
        int domain = 0;

        return getsockopt(fds[0], SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
               fstat(fds[1], &output) == 0 && S_ISFIFO(output.st_mode) && fstat(fds[2], &errors) == 0 &&
               S_ISFIFO(errors.st_mode);
}

static int server_asks_start(
        struct keeper *keeper, struct child *child _unused_, const void *message, const int *fds)
{
        const struct keeper_start *start = message;
        struct slot_request request = { .cell = start->cell, .place = start->place };

        memcpy(request.fds, fds, sizeof request.fds);
        if (start->place < TEMPLATE_PLACES && start->cell && fds_are_harmless(fds) &&
                !slot_find_cell(keeper, start->cell)) {
                slot_request(keeper, &request);
                return 0;
        }
        fds_close(request.fds, KEEPER_FDS_PER_CELL);
        return -EBADMSG;
}

static int server_asks_kill(
        struct keeper *keeper, struct child *child _unused_, const void *message, const int *fds _unused_)
{
        slot_kill_cell(keeper, ((const struct keeper_kill *)message)->cell);
        return 0;
}

static int server_asks_limit(
        struct keeper *keeper, struct child *child _unused_, const void *message, const int *fds _unused_)
{
        return slot_limit_cell(keeper, message);
}

static int server_asks_warm(
        struct keeper *keeper, struct child *child _unused_, const void *message, const int *fds)
{
        return template_warm(keeper, message, fds[0]);
}

static int server_asks_cool(
        struct keeper *keeper, struct child *child _unused_, const void *message, const int *fds _unused_)
{
        uint32_t place = ((const struct keeper_cool *)message)->place;

        if (place < RUNTIME_COUNT || place >= TEMPLATE_PLACES)
                return -EBADMSG;
        template_cool(keeper, &keeper->templates[place]);
        return 0;
}

void server_tell(struct keeper *keeper, const void *message, size_t length)
{
        if (child_tell(&keeper->server, message, length, NULL, 0) == PACKET_AGAIN) {
                log_error("server.deaf", "it does not take its messages");
                child_end(keeper, &keeper->server);
        }
}

static void server_wake(struct keeper *keeper, struct child *server)
{
        if (child_start(keeper, server) < 0) {
                server->wake_us = clock_us() + RETRY_US;
                return;
        }
        keeper->server_started_us = clock_us();
        for (int i = 0; i < RUNTIME_COUNT; i++)
                template_announce(keeper, &keeper->templates[i]);
}

/* One that broke the protocol, or hung up and lives on, is replaced once its process has ended; one that
 * drains ends by itself. */
static void server_lost(struct keeper *keeper, struct child *server, const char *why)
{
        bool exited = WIFEXITED(server->status);
        int code = exited ? WEXITSTATUS(server->status) : WTERMSIG(server->status);

        child_hang_up(keeper, server);
        if (server->pid > 0) {
                if (keeper->draining)
                        return;
                log_error("server.lost", "why=\"%s\"", why);
                kill(server->pid, SIGKILL);
                return;
        }
        if (keeper->draining && exited && code == 0) {
                keeper_stop(keeper, 0);
                return;
        }
        log_error("server.down", "%s=%d", exited ? "exit" : "signal", code);
        if (clock_us() - keeper->server_started_us > HEALTHY_US)
                server->failures = 0;
        slots_forget_server(keeper);
        for (uint32_t i = RUNTIME_COUNT; i < TEMPLATE_PLACES; i++)
                template_cool(keeper, &keeper->templates[i]);
        server->wake_us = clock_us() + ((uint64_t)RETRY_US << ++server->failures) / 2;
        /* 2: it cannot work with these settings, and has said why. */
        if (keeper->draining || server->failures >= FAILURES_MAX || (exited && code == 2))
                keeper_stop(keeper, 1);
}

/* All that the server may ask for. Anything else ends it: it has been taken over, or is broken. */
const struct child_kind server_kind = {
        .body = server_main,
        .lost = server_lost,
        .wake = server_wake,
        .rules = {
                { KEEPER_START, sizeof(struct keeper_start), KEEPER_FDS_PER_CELL, server_asks_start },
                { KEEPER_KILL, sizeof(struct keeper_kill), 0, server_asks_kill },
                { KEEPER_LIMIT, sizeof(struct keeper_limit), 0, server_asks_limit },
                { KEEPER_WARM, sizeof(struct keeper_warm), 1, server_asks_warm },
                { KEEPER_COOL, sizeof(struct keeper_cool), 0, server_asks_cool },
        },
};
