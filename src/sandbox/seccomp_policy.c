/*
 * Default deny. What CPython and Node.js use when they run ordinary programs is allowed, with arguments
 * checked where one number hides many calls (clone, socket, ioctl, prctl, mknodat). The template's filter is
 * inherited by its cells for nothing; it therefore also holds what a fresh cell needs to enter its slot, and
 * the cell's own small filter takes that away again.
 */
#include "sandbox/seccomp_policy.h"

#include <errno.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/macros.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

static const char *const allowed[] = {
        /* files */
        "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2",
        "open", "openat", "creat", "close", "close_range", "stat", "fstat", "lstat", "newfstatat", "statx",
        "statfs", "fstatfs", "lseek", "access", "faccessat", "faccessat2", "readlink", "readlinkat",
        "getdents", "getdents64", "getcwd", "chdir", "fchdir", "mkdir", "mkdirat", "rmdir", "unlink",
        "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "chmod",
        "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "truncate", "ftruncate", "fallocate",
        "utime", "utimes", "utimensat", "futimesat", "umask", "fsync", "fdatasync", "sync_file_range",
        "fadvise64", "readahead", "copy_file_range", "sendfile", "splice", "tee", "flock", "fcntl", "dup",
        "dup2", "dup3", "pipe", "pipe2", "getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr",
        "flistxattr",
        /* waiting */
        "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait",
        "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "signalfd", "signalfd4", "timerfd_create",
        "timerfd_settime", "timerfd_gettime",
        /* memory */
        "munmap", "mremap", "mprotect", "madvise", "brk", "msync", "mincore", "mlock", "munlock",
        "membarrier", "pkey_alloc", "pkey_free", "pkey_mprotect",
        /* signals and time */
        "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "rt_sigsuspend",
        "rt_sigqueueinfo", "rt_tgsigqueueinfo", "sigaltstack", "kill", "tgkill", "tkill", "pause", "alarm",
        "getitimer", "setitimer", "timer_create", "timer_settime", "timer_gettime", "timer_getoverrun",
        "timer_delete", "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday",
        "time", "times",
        /* processes and threads */
        "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid",
        "getgroups", "getpgrp", "getpgid", "setpgid", "getsid", "setsid", "futex", "futex_waitv",
        "get_robust_list", "set_robust_list", "set_tid_address", "rseq", "sched_yield", "sched_getaffinity",
        "sched_getparam", "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min",
        "getpriority", "getrlimit", "setrlimit", "prlimit64", "getrusage", "sysinfo", "uname", "getrandom",
        "getcpu", "capget", "arch_prctl", "exit", "exit_group", "wait4", "waitid", "restart_syscall",
        /* sockets; which kinds, see below */
        "bind", "connect", "listen", "accept", "accept4", "getsockname", "getpeername", "sendto", "recvfrom",
        "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "shutdown", "setsockopt", "getsockopt"
};

/* What only entering a slot needs: allowed by the template's filter, refused by the cell's. */
static const char *const entering[] = { "setns", "setgroups", "setresgid", "setresuid", "capset", "seccomp",
        "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self" };

static const uint32_t entering_prctl[] = { PR_CAP_AMBIENT, PR_SET_DUMPABLE };
static const uint32_t allowed_prctl[] = { PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_GET_DUMPABLE,
        PR_GET_NO_NEW_PRIVS };
static const uint32_t allowed_ioctl[] = { FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, TCGETS, TIOCGWINSZ };

/* The protocol counts: an ordinary type with MPTCP, SCTP or L2TP behind it would load that module. */
static const struct {
        uint32_t family, type, protocol;
} allowed_sockets[] = {
        { AF_UNIX, SOCK_STREAM, 0 },
        { AF_UNIX, SOCK_DGRAM, 0 },
        { AF_UNIX, SOCK_SEQPACKET, 0 },
        { AF_INET, SOCK_STREAM, 0 },
        { AF_INET, SOCK_STREAM, IPPROTO_TCP },
        { AF_INET, SOCK_DGRAM, 0 },
        { AF_INET, SOCK_DGRAM, IPPROTO_UDP },
        { AF_INET6, SOCK_STREAM, 0 },
        { AF_INET6, SOCK_STREAM, IPPROTO_TCP },
        { AF_INET6, SOCK_DGRAM, 0 },
        { AF_INET6, SOCK_DGRAM, IPPROTO_UDP },
};

/* Refused to cells: programs for the kernel's interpreter, and protocols on top of TCP. */
static const struct {
        uint32_t level, option;
} refused_options[] = {
        { SOL_SOCKET, SO_ATTACH_FILTER },
        { SOL_SOCKET, SO_ATTACH_BPF },
        { SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF },
        { SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF },
        { IPPROTO_TCP, TCP_ULP },
};

enum {
        SOCKET_TYPE_MASK = 0xf, /* SOCK_CLOEXEC and SOCK_NONBLOCK lie above */
        NEW_NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                         CLONE_NEWPID | CLONE_NEWNET,
};

/* Calls that are harmless without some bits of one argument. A child with CLONE_PARENT would be the
 * template's to reap; the host's huge pages count as nobody's memory. */
static const struct {
        const char *name;
        unsigned argument;
        uint64_t forbidden;
} allowed_without[] = {
        { "clone", 0, NEW_NAMESPACES | CLONE_PARENT },
        { "mmap", 3, MAP_HUGETLB },
        { "memfd_create", 1, MFD_HUGETLB },
};

/* A call that this build's libseccomp does not know cannot be allowed, and stays refused. */
static int allow_names(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                int number = seccomp_syscall_resolve_name(names[i]), r;

                if (number < 0)
                        continue;
                r = seccomp_rule_add(filter, action, number, 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int rule_for_values(scmp_filter_ctx filter, uint32_t action, int number, const uint32_t *values,
        size_t n, unsigned argument)
{
        for (size_t i = 0; i < n; i++) {
                int r = seccomp_rule_add(
                        filter, action, number, 1, SCMP_CMP64(argument, SCMP_CMP_EQ, values[i], 0));

                if (r < 0)
                        return r;
        }
        return 0;
}

static int allow_sockets(scmp_filter_ctx filter)
{
        for (size_t i = 0; i < ARRAY_SIZE(allowed_sockets); i++) {
                int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3,
                        SCMP_A0_64(SCMP_CMP_EQ, allowed_sockets[i].family, 0),
                        SCMP_A1_64(SCMP_CMP_MASKED_EQ, SOCKET_TYPE_MASK, allowed_sockets[i].type),
                        SCMP_A2_64(SCMP_CMP_EQ, allowed_sockets[i].protocol, 0));

                if (r < 0)
                        return r;
        }
        return seccomp_rule_add(
                filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0_64(SCMP_CMP_EQ, AF_UNIX, 0));
}

static int allow_arguments(scmp_filter_ctx filter)
{
        int r;

        /* clone3 hides its flags behind a pointer: "not implemented" makes libc fall back to clone. */
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_without); i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW,
                        seccomp_syscall_resolve_name(allowed_without[i].name), 1,
                        SCMP_CMP64(allowed_without[i].argument, SCMP_CMP_MASKED_EQ,
                                allowed_without[i].forbidden, 0));
        if (r == 0)
                r = rule_for_values(
                        filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), allowed_ioctl, ARRAY_SIZE(allowed_ioctl), 1);
        if (r == 0)
                r = rule_for_values(
                        filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), allowed_prctl, ARRAY_SIZE(allowed_prctl), 0);
        if (r == 0)
                r = rule_for_values(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), entering_prctl,
                        ARRAY_SIZE(entering_prctl), 0);
        if (r == 0)
                r = allow_sockets(filter);
        /* mkfifo() */
        if (r == 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mknodat), 1,
                        SCMP_A2_64(SCMP_CMP_MASKED_EQ, S_IFMT, S_IFIFO));
        return r;
}

static int template_rules(scmp_filter_ctx filter)
{
        int r = allow_names(filter, SCMP_ACT_ALLOW, allowed, ARRAY_SIZE(allowed));

        if (r == 0)
                r = allow_names(filter, SCMP_ACT_ALLOW, entering, ARRAY_SIZE(entering));
        return r == 0 ? allow_arguments(filter) : r;
}

static int cell_rules(scmp_filter_ctx filter)
{
        int r = allow_names(filter, SCMP_ACT_ERRNO(EPERM), entering, ARRAY_SIZE(entering));

        if (r == 0)
                r = rule_for_values(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), entering_prctl,
                        ARRAY_SIZE(entering_prctl), 0);
        /* The kernel looks at the lower half of these arguments, so this must too. */
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(refused_options); i++)
                r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setsockopt), 2,
                        SCMP_A1_64(SCMP_CMP_MASKED_EQ, UINT32_MAX, refused_options[i].level),
                        SCMP_A2_64(SCMP_CMP_MASKED_EQ, UINT32_MAX, refused_options[i].option));
        return r;
}

static const struct {
        uint32_t otherwise;
        int (*rules)(scmp_filter_ctx filter);
} policies[] = {
        [SECCOMP_POLICY_TEMPLATE] = { SCMP_ACT_ERRNO(EPERM), template_rules },
        [SECCOMP_POLICY_CELL] = { SCMP_ACT_ALLOW, cell_rules },
};

int seccomp_policy_write(enum seccomp_policy policy, int fd)
{
        scmp_filter_ctx filter = seccomp_init(policies[policy].otherwise);
        int r;

        if (!filter)
                return -ENOMEM;
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        if (r == 0)
                r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r == 0)
                r = policies[policy].rules(filter);
        if (r == 0)
                r = seccomp_export_bpf(filter, fd);
        seccomp_release(filter);
        return r;
}
