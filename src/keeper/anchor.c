/*
 * Theory of operation. Namespaces are dear (a network namespace takes 350 us and more), so they are made once
 * per slot and reused; processes never are. For every cell the anchor starts a "first process" in a pid
 * namespace of its own: the cell is born beside it, as process 2, and when the first process is killed the
 * kernel kills all that is left of the cell. What a cell can leave in the other namespaces is undone here:
 * files in /tmp by a fresh tmpfs, used sockets by a fresh network namespace, the old /proc by a new one.
 * System V IPC and message queues are refused by seccomp, the host name by capabilities.
 *
 * Most cells leave nothing. Where the keeper has seen that no process of the last one is left, the first
 * process stays, and its pid namespace with it (a fresh one takes 0.4 ms of CPU). All that could tell of the
 * last cell there is how far the numbers have come: the first process sets them back, so every cell is
 * process 2.
 */
#include "keeper/anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "base/fd.h"
#include "base/macros.h"
#include "sandbox/capability.h"
#include "sandbox/child.h"
#include "sandbox/loopback.h"
#include "sandbox/rootfs.h"
#include "wire/packet.h"

enum { ANCHOR_FD = 3, PROC_FD = 4 /* its own directory of the host's /proc */ };

struct anchor {
        const struct brief *brief;
        pid_t first;      /* 0: none */
        int first_fd;     /* an int to it sets the pid numbers back; the answer is 0 or negative errno */
        bool is_deserted; /* no process of the last cell is left */
        bool is_kept;     /* the first process of the last cell is that of the next one */
        int net_dev;      /* the network's counters; -1: not opened yet */
        struct stat tmp;  /* /tmp as it was mounted; st_ino 0: it must be mounted anew */
};

/* A fresh one, unless the last cell has left this one as it was: a file would show in the size of the
 * directory, one that came and went in its times. */
static int clean_tmp(struct anchor *anchor)
{
        struct stat now;
        int r;

        if (stat("/tmp", &now) == 0 && memcmp(&now, &anchor->tmp, sizeof now) == 0)
                return 0;
        if (umount2("/tmp", MNT_DETACH) < 0 && errno != EINVAL) /* EINVAL: there was none yet */
                return -errno;
        r = rootfs_mount_tmp(0, anchor->brief->tmp_bytes, anchor->brief->tmp_files);
        return r == 0 && stat("/tmp", &anchor->tmp) < 0 ? -errno : r;
}

static int end_first(struct anchor *anchor)
{
        if (anchor->first == 0)
                return 0;
        fd_closep(&anchor->first_fd);
        kill(anchor->first, SIGKILL);
        if (waitpid(anchor->first, NULL, 0) < 0)
                return -errno;
        anchor->first = 0;
        return umount2("/proc", MNT_DETACH) < 0 ? -errno : 0;
}

static int clean_processes(struct anchor *anchor)
{
        return anchor->is_deserted ? 0 : end_first(anchor);
}

/* A used network may hold ports in TIME_WAIT, and counters: a fresh one has neither. Cells join that of the
 * first process. */
static int clean_network(struct anchor *anchor)
{
        uint64_t packets = 1;

        if (loopback_packets(anchor->net_dev, &packets) == 0 && packets == 0)
                return 0;
        if (unshare(CLONE_NEWNET) < 0 || end_first(anchor) < 0)
                return -errno;
        fd_closep(&anchor->net_dev);
        anchor->net_dev = openat(PROC_FD, "net/dev", O_RDONLY | O_CLOEXEC);
        return anchor->net_dev < 0 ? -errno : loopback_up();
}

/* All that the first process may still do. */
static int first_confine(void)
{
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 3, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwrite64, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

/*
 * Process 1 of the cell's pid namespace: reaps what the cell orphans. Setting the numbers back takes a right,
 * the kernel asks the writer's own namespace, and templates may join the namespaces of nobody who has a right
 * that they have not: so it keeps one of theirs, with a filter that leaves nothing else to use it for. Ends
 * with the anchor, or by the filter.
 */
static void __attribute__((noreturn)) first_main(const struct anchor *anchor, int fd)
{
        enum { FD, LAST_PID };
        int last_pid = openat(PROC_FD, "../sys/kernel/ns_last_pid", O_WRONLY), r = rootfs_mount_proc();

        prctl(PR_SET_NAME, "mayfly-first");
        signal(SIGCHLD, SIG_IGN);
        /* A change of user makes a process undumpable, and only a dumpable one lets its user join its
         * namespaces. */
        if (r == 0)
                r = child_become(anchor->brief->uid_base + UID_TEMPLATE, UINT64_C(1) << CAP_SYS_ADMIN);
        if (r == 0 && (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 || dup2(fd, FD) < 0 ||
                              (last_pid >= 0 && dup2(last_pid, LAST_PID) < 0) ||
                              close_range(last_pid < 0 ? LAST_PID : LAST_PID + 1, ~0u, 0) < 0))
                r = -errno;
        if (r == 0)
                r = first_confine();
        while (write(FD, &r, sizeof r) == sizeof r && read(FD, &r, sizeof r) == sizeof r)
                r = pwrite(LAST_PID, "1", 1, 0) == 1 ? 0 : -errno;
        _exit(1);
}

static int start_first(struct anchor *anchor)
{
        int fds[2], r = -EIO;

        /* One that has died meanwhile does not answer. */
        anchor->is_kept = anchor->first > 0 &&
                          send(anchor->first_fd, &r, sizeof r, MSG_NOSIGNAL) == sizeof r &&
                          read(anchor->first_fd, &r, sizeof r) == sizeof r && r == 0;
        if (anchor->is_kept)
                return 0;
        r = end_first(anchor);
        if (r < 0)
                return r;
        /* Failing, here as elsewhere, ends the anchor: nothing needs to be closed. */
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        anchor->first = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
        if (anchor->first < 0)
                return -errno;
        if (anchor->first == 0)
                first_main(anchor, fds[1]);
        close(fds[1]);
        anchor->first_fd = fds[0];
        return read(fds[0], &r, sizeof r) == sizeof r ? r : -EIO;
}

/* Walked from top to bottom before each cell. */
static const struct {
        const char *name;
        int (*clean)(struct anchor *anchor);
} steps[] = {
        { "end the last cell's processes", clean_processes },
        { "a clean network", clean_network },
        { "a clean /tmp", clean_tmp },
        { "a fresh pid namespace", start_first },
};

static void __attribute__((noreturn)) anchor_fail(int error, const char *step)
{
        struct anchor_answer failed = { .type = ANCHOR_FAILED, .error = error };

        snprintf(failed.step, sizeof failed.step, "%s", step);
        packet_send(ANCHOR_FD, &failed, sizeof failed, NULL, 0);
        _exit(1);
}

static void anchor_clean(struct anchor *anchor)
{
        struct anchor_answer ready = { .type = ANCHOR_KEPT };
        int pidfd;

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                int r = steps[i].clean(anchor);

                if (r < 0)
                        anchor_fail(r, steps[i].name);
        }
        if (anchor->is_kept) {
                packet_send(ANCHOR_FD, &ready, sizeof ready, NULL, 0);
                return;
        }
        ready.type = ANCHOR_READY;
        pidfd = (int)syscall(SYS_pidfd_open, anchor->first, 0);
        if (pidfd < 0 || packet_send(ANCHOR_FD, &ready, sizeof ready, &pidfd, 1) != 0)
                anchor_fail(-errno, "a pidfd");
        close(pidfd);
}

static void anchor_limit(struct anchor *anchor, uint64_t tmp_bytes)
{
        struct anchor_answer answer = { .type = ANCHOR_LIMITED };

        anchor->tmp.st_ino = 0;
        answer.error = rootfs_mount_tmp(MS_REMOUNT, tmp_bytes, anchor->brief->tmp_files);
        packet_send(ANCHOR_FD, &answer, sizeof answer, NULL, 0);
}

/* The slot's cgroup must be the root of its cgroup namespace, but its limits are for cells: in, unshare, and
 * out again. */
static int anchor_enter(const struct keeper *keeper, const struct group *slot_group, int socket)
{
        const uint64_t capabilities = UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_NET_ADMIN |
                                      UINT64_C(1) << CAP_KILL | UINT64_C(1) << CAP_SETUID |
                                      UINT64_C(1) << CAP_SETGID | UINT64_C(1) << CAP_SETPCAP;
        const int fds[] = { socket, open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC) };
        int r = group_join(slot_group);

        if (r == 0 &&
                (unshare(CLONE_NEWCGROUP | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0 ||
                        sethostname("mayfly", strlen("mayfly")) < 0))
                r = -errno;
        if (r == 0)
                r = group_join(&keeper->groups[GROUP_ANCHORS]);
        if (r == 0)
                r = loopback_up();
        if (r == 0)
                r = rootfs_enter(keeper->brief->root);
        if (r == 0)
                r = child_keep_fds(fds, ARRAY_SIZE(fds));
        if (r == 0)
                r = capabilities_bound(capabilities);
        if (r == 0)
                r = capabilities_keep(capabilities, 0);
        return r;
}

void anchor_main(const struct keeper *keeper, const struct group *slot_group, int socket)
{
        struct anchor anchor = { .brief = keeper->brief, .first_fd = -1, .net_dev = -1 };
        struct anchor_request request;
        size_t length;
        int r;

        prctl(PR_SET_NAME, "mayfly-anchor");
        r = anchor_enter(keeper, slot_group, socket);
        if (r < 0) {
                dup2(socket, ANCHOR_FD); /* it may not have come to that */
                anchor_fail(r, "namespaces");
        }
        while (packet_receive(ANCHOR_FD, 0, &request, sizeof request, &length, NULL, 0, NULL) == 0) {
                anchor.is_deserted = request.is_deserted;
                if (request.type == ANCHOR_LIMIT)
                        anchor_limit(&anchor, request.tmp_bytes);
                else
                        anchor_clean(&anchor);
        }
        _exit(0);
}
