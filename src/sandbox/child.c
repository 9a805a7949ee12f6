#include "sandbox/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <linux/capability.h>

#include "sandbox/capability.h"

pid_t child_fork(void)
{
        pid_t parent = getpid(), pid = fork();
        sigset_t none;

        if (pid != 0)
                return pid;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent || setsid() < 0)
                _exit(1);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        for (int number = 1; number < NSIG; number++) /* execve(2) would hand on what is ignored */
                signal(number, SIG_DFL);
        return 0;
}

int child_keep_fds(const int *fds, unsigned n_fds)
{
        int high[8], null;

        /* First out of the way of each other, then into place. */
        for (unsigned i = 0; i < n_fds; i++) {
                high[i] = fcntl(fds[i], F_DUPFD, 3 + (int)n_fds);
                if (high[i] < 0)
                        return -errno;
        }
        for (unsigned i = 0; i < n_fds; i++) {
                if (dup2(high[i], 3 + (int)i) < 0)
                        return -errno;
        }
        null = open("/dev/null", O_RDWR);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0)
                return -errno;
        return close_range(3 + n_fds, ~0u, 0) < 0 ? -errno : 0;
}

int child_become(uint32_t uid, uint64_t capabilities)
{
        int r;

        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
                setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
                return -errno;
        /* The inheritable set can only be filled before the bounding set is emptied, which takes SETPCAP. */
        r = capabilities_keep(capabilities | UINT64_C(1) << CAP_SETPCAP, capabilities);
        if (r == 0)
                r = capabilities_bound(0);
        if (r == 0)
                r = capabilities_keep(capabilities, capabilities);
        /* The change of user has cleared the first of these. */
        if (r == 0 &&
                (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
                r = -errno;
        return r;
}
