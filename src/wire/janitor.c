#include "wire/janitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static void __attribute__((noreturn)) janitor_execute(const struct brief *brief, int program, int pipe_fd)
{
        const char *arguments[BRIEF_TREES + 3] = { "mayfly-janitor", brief->root }, *environment[] = { NULL };
        sigset_t all;

        for (uint32_t i = 0; i < brief->cgroups.n_trees; i++)
                arguments[2 + i] = brief->cgroups.trees[i];
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        program = fcntl(program, F_DUPFD, JANITOR_PIPE_FD + 1);
        if (program >= 0 && dup2(pipe_fd, JANITOR_PIPE_FD) >= 0)
                fexecve(program, (char *const *)arguments, (char *const *)environment);
        _exit(1);
}

int janitor_start(const struct brief *brief, int program, pid_t *ret_pid, int *ret_fd)
{
        int fds[2];
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        pid = fork();
        if (pid == 0)
                janitor_execute(brief, program, fds[0]);
        close(fds[0]);
        if (pid < 0) {
                close(fds[1]);
                return -errno;
        }
        *ret_pid = pid;
        *ret_fd = fds[1];
        return 0;
}
