#include "setup/janitor_start.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "wire/brief.h"
#include "wire/janitor.h"

static void __attribute__((noreturn)) janitor_execute(int program, const char *list, int pipe_fd)
{
        const char *arguments[BRIEF_LIST], *environment[] = { NULL };

        brief_words(list, arguments);
        program = fcntl(program, F_DUPFD_CLOEXEC, JANITOR_HOLD_FD + 1);
        if (program >= 0 && dup2(pipe_fd, JANITOR_HOLD_FD) >= 0)
                fexecve(program, (char *const *)arguments, (char *const *)environment);
        _exit(1);
}

int janitor_start(int program, const char *list, pid_t *ret_pid, int *ret_fd)
{
        int fds[2];
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        pid = fork();
        if (pid == 0)
                janitor_execute(program, list, fds[0]);
        close(fds[0]);
        if (pid < 0) {
                close(fds[1]);
                return -errno;
        }
        *ret_pid = pid;
        *ret_fd = fds[1];
        return 0;
}
