#include "keeper/janitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"

static void __attribute__((noreturn))
janitor_main(const struct cgroups *cgroups, const char *root_path, int pipe_fd)
{
        sigset_t all;
        char byte;

        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        setsid();
        prctl(PR_SET_NAME, "mayfly-janitor");
        if (dup2(pipe_fd, 3) < 0 || close_range(4, ~0u, 0) < 0)
                _exit(1);
        while (read(3, &byte, 1) < 0 && errno == EINTR)
                ;
        if (cgroups_remove(cgroups) < 0)
                log_error("janitor.cgroups",
                        "some cgroups named %s could not be removed: processes in them do not die",
                        cgroups->trees[0].path);
        umount2(root_path, MNT_DETACH); /* one that was started late shares the keeper's mounts */
        if (rmdir(root_path) < 0 && errno != ENOENT)
                log_error("janitor.root", "cannot remove %s: %s", root_path, strerror(errno));
        _exit(0);
}

int janitor_start(const struct cgroups *cgroups, const char *root_path, pid_t *ret_pid, int *ret_fd)
{
        int fds[2];
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        pid = fork();
        if (pid == 0)
                janitor_main(cgroups, root_path, fds[0]);
        close(fds[0]);
        if (pid < 0) {
                close(fds[1]);
                return -errno;
        }
        *ret_pid = pid;
        *ret_fd = fds[1];
        return 0;
}
