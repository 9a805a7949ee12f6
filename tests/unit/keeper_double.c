#include "keeper_double.h"
#include "cell_double.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "wire/guest_api.h"
#include "wire/packet.h"

enum { CELLS_MAX = 256 };

struct played_cell {
        uint64_t id;
        pid_t pid;
        bool killed;
};

struct keeper_double {
        int fd;
        struct keeper_play *play;
        struct played_cell cells[CELLS_MAX];
};

static void double_send(struct keeper_double *keeper, const void *message, size_t length)
{
        /* A server that has left may have said something before: reading ends the double, not writing. */
        packet_send(keeper->fd, message, length, NULL, 0);
}

static void double_fork(struct keeper_double *keeper, struct played_cell *cell, const int *fds)
{
        cell->pid = fork();
        if (cell->pid > 0)
                return;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int i = 0; i < KEEPER_FDS_PER_CELL; i++) {
                static const int places[] = { 20, 21, 22 };

                dup2(fds[i], places[i]);
        }
        dup2(20, GUEST_CHANNEL_FD);
        dup2(21, STDOUT_FILENO);
        dup2(22, STDERR_FILENO);
        close_range(4, ~0u, 0);
        cell_double_main(keeper->play);
}

static void double_start(struct keeper_double *keeper, const struct keeper_start *start, const int *fds)
{
        struct keeper_play *play = keeper->play;

        bool at_set = start->place >= RUNTIME_COUNT, lose = at_set && play->sets_lose;

        play->started[start->place]++;
        if (play->refuse || lose || (at_set && play->sets_refuse)) {
                struct keeper_done done = {
                        .type = KEEPER_DONE, .outcome = lose ? CELL_LOST : CELL_REFUSED, .cell = start->cell
                };

                double_send(keeper, &done, sizeof done);
                return;
        }
        for (size_t i = 0; i < CELLS_MAX; i++) {
                if (keeper->cells[i].pid)
                        continue;
                keeper->cells[i] = (struct played_cell){ .id = start->cell };
                double_fork(keeper, &keeper->cells[i], fds);
                play->alive++;
                play->most_alive = MAX((int)play->most_alive, (int)play->alive);
                return;
        }
        _exit(95);
}

static void double_kill(struct keeper_double *keeper, const struct keeper_kill *request)
{
        keeper->play->killed++;
        for (size_t i = 0; i < CELLS_MAX; i++) {
                if (keeper->cells[i].pid && keeper->cells[i].id == request->cell &&
                        !keeper->play->kill_deaf) {
                        keeper->cells[i].killed = true;
                        kill(keeper->cells[i].pid, SIGKILL);
                }
        }
}

static void double_limit(struct keeper_double *keeper, const struct keeper_limit *request)
{
        struct keeper_play *play = keeper->play;
        struct keeper_limited answer = {
                .type = KEEPER_LIMITED, .error = play->limit_error, .cell = request->cell
        };

        play->limit.memory = request->memory_bytes;
        play->limit.tmp = request->tmp_bytes;
        play->limit.processes = request->processes;
        play->limit.cpus_milli = request->cpus_milli;
        play->limited++;
        for (size_t i = 0; i < CELLS_MAX; i++) {
                if (!keeper->cells[i].pid || keeper->cells[i].id != request->cell)
                        continue;
                if (play->limit_kills)
                        kill(keeper->cells[i].pid, SIGKILL);
                else if (!play->limit_deaf)
                        double_send(keeper, &answer, sizeof answer);
        }
}

static void double_say_place(struct keeper_double *keeper, uint32_t place, uint32_t up)
{
        struct keeper_template template = { .type = KEEPER_TEMPLATE,
                .place = place,
                .up = up,
                .generation = 1,
                .memory_bytes = keeper->play->warm_bytes,
                .version = "it was played" };

        double_send(keeper, &template, sizeof template);
}

static void double_warm(struct keeper_double *keeper, const struct keeper_warm *request, int names)
{
        struct keeper_play *play = keeper->play;
        ssize_t n = pread(names, play->names, sizeof play->names - 1, 0);

        play->names[MAX(n, 0)] = 0;
        play->warmed++;
        double_say_place(keeper, request->place, !play->warm_fails);
}

static void double_receive(struct keeper_double *keeper)
{
        _Alignas(uint64_t) char message[PACKET_MAX];
        int fds[KEEPER_FDS_PER_CELL];
        size_t length, n_fds;
        uint32_t type;

        if (packet_receive(keeper->fd, 0, message, sizeof message, &length, fds, ARRAY_SIZE(fds), &n_fds) !=
                0)
                _exit(0);
        memcpy(&type, message, sizeof type);
        if (type == KEEPER_START && n_fds == KEEPER_FDS_PER_CELL)
                double_start(keeper, (const struct keeper_start *)(const void *)message, fds);
        else if (type == KEEPER_KILL)
                double_kill(keeper, (const struct keeper_kill *)(const void *)message);
        else if (type == KEEPER_LIMIT)
                double_limit(keeper, (const struct keeper_limit *)(const void *)message);
        else if (type == KEEPER_WARM && n_fds == 1)
                double_warm(keeper, (const struct keeper_warm *)(const void *)message, fds[0]);
        else if (type == KEEPER_COOL && ++keeper->play->cooled)
                double_say_place(keeper, ((const struct keeper_cool *)(const void *)message)->place, 0);
        for (size_t i = 0; i < n_fds; i++)
                close(fds[i]);
}

static void double_done(struct keeper_double *keeper, struct played_cell *cell, int status)
{
        struct keeper_done done = { .type = KEEPER_DONE,
                .cell = cell->id,
                .outcome = WIFSIGNALED(status) ? CELL_SIGNALED : CELL_EXITED,
                .code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                .killed = cell->killed,
                .cpu_us = 1000,
                .peak_memory_bytes = 1 << 20 };

        if (done.outcome == CELL_EXITED && done.code == EXIT_LOST) {
                done.outcome = CELL_LOST;
        } else if (done.outcome == CELL_EXITED && done.code > EXIT_LIMITS) {
                done.limits = (uint32_t)(done.code - EXIT_LIMITS);
                done.code = 1;
        }
        cell->pid = 0;
        keeper->play->alive--;
        double_send(keeper, &done, sizeof done);
}

static void double_reap(struct keeper_double *keeper)
{
        for (size_t i = 0; i < CELLS_MAX; i++) {
                int status;

                if (keeper->cells[i].pid && waitpid(keeper->cells[i].pid, &status, WNOHANG) > 0)
                        double_done(keeper, &keeper->cells[i], status);
        }
}

static void double_say_runtimes(struct keeper_double *keeper, uint32_t up)
{
        static const char *const versions[RUNTIME_COUNT] = { "CPython 3.test", "Node.js test",
                "TypeScript test" };

        for (uint32_t i = 0; i < RUNTIME_FAKE; i++) {
                struct keeper_template runtime = {
                        .type = KEEPER_TEMPLATE, .place = i, .up = up, .generation = 1
                };

                snprintf(runtime.version, sizeof runtime.version, "%s", up ? versions[i] : "it went down");
                double_send(keeper, &runtime, sizeof runtime);
        }
}

/* What the test wants done once. */
static void double_play(struct keeper_double *keeper)
{
        struct keeper_play *play = keeper->play;

        if (play->kill_idle) {
                for (size_t i = 0; i < CELLS_MAX; i++) {
                        siginfo_t info;

                        if (!keeper->cells[i].pid)
                                continue;
                        kill(keeper->cells[i].pid, SIGKILL);
                        waitid(P_PID, (id_t)keeper->cells[i].pid, &info, WEXITED | WNOWAIT);
                }
                play->kill_idle = 0;
        }
        if (atomic_exchange(&play->down, 0)) {
                double_say_runtimes(keeper, 0);
                double_say_runtimes(keeper, 1);
        }
        if (atomic_exchange(&play->nonsense, 0)) {
                for (uint32_t place = RUNTIME_COUNT; place < TEMPLATE_PLACES + 3; place++) {
                        double_say_place(keeper, place, 1);
                        double_say_place(keeper, place, 0);
                }
        }
        if (atomic_exchange(&play->drain, 0)) {
                struct keeper_plain drain = { .type = KEEPER_DRAIN };

                double_send(keeper, &drain, sizeof drain);
        }
}

static void __attribute__((noreturn)) double_main(int fd, struct keeper_play *play)
{
        static struct keeper_double keeper;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        keeper.fd = fd;
        keeper.play = play;
        double_say_runtimes(&keeper, 1);
        for (;;) {
                struct pollfd readable = { .fd = fd, .events = POLLIN };

                if (poll(&readable, 1, 2) > 0)
                        double_receive(&keeper);
                double_reap(&keeper);
                double_play(&keeper);
        }
}

pid_t keeper_double_start(int server_fd, struct keeper_play *play)
{
        pid_t pid = fork();

        if (pid == 0)
                double_main(server_fd, play);
        return pid;
}
