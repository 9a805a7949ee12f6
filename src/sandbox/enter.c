/*
 * Theory of operation. A template has joined nothing: it waits in a small read-only root of its own with four
 * capabilities. For each call it forks, and the child walks the table below from top to bottom. The order
 * matters: cgroups first, so that every page that the child copies from now on is charged to the cell;
 * namespaces while the capabilities are there; Landlock inside the new mounts; then the user id, then the
 * capabilities, and last the filter that refuses the very calls that got us here.
 *
 * no_new_privs, the bounding set, rlimits and the large filter were laid on the template and are inherited
 * for nothing.
 */
#include "sandbox/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/syscall.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macros.h"
#include "sandbox/capability.h"
#include "sandbox/landlock.h"

static int enter_cgroups(const struct plan *plan, const struct enter_slot *slot);
static int enter_namespaces(const struct plan *plan, const struct enter_slot *slot);
static int enter_descriptors(const struct plan *plan, const struct enter_slot *slot);
static int enter_landlock(const struct plan *plan, const struct enter_slot *slot);
static int enter_uid(const struct plan *plan, const struct enter_slot *slot);
static int enter_capabilities(const struct plan *plan, const struct enter_slot *slot);
static int enter_no_new_privs(const struct plan *plan, const struct enter_slot *slot);
static int enter_seccomp(const struct plan *plan, const struct enter_slot *slot);

static const struct {
        enum wall wall;
        int (*raise)(const struct plan *plan, const struct enter_slot *slot);
} steps[] = {
        { WALL_CGROUP_MEMORY, enter_cgroups }, /* all that there are, in one step */
        { WALL_NAMESPACES, enter_namespaces },
        { WALL_DESCRIPTORS, enter_descriptors },
        { WALL_LANDLOCK, enter_landlock },
        { WALL_UID, enter_uid },
        { WALL_CAPABILITIES, enter_capabilities },
        { WALL_NO_NEW_PRIVS, enter_no_new_privs },
        { WALL_SECCOMP, enter_seccomp },
};

int enter_before_fork(const struct enter_slot *slot)
{
        return setns(slot->pidfd, CLONE_NEWPID) < 0 ? -errno : 0;
}

int enter(const struct plan *plan, const struct enter_slot *slot, uint32_t *ret_wall)
{
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                int r;

                if (steps[i].wall != WALL_CGROUP_MEMORY && !(plan->walls & (1u << steps[i].wall)))
                        continue;
                r = steps[i].raise(plan, slot);
                if (r < 0) {
                        *ret_wall = steps[i].wall;
                        return r;
                }
        }
        return 0;
}

/* "0" means the writer: v1 `tasks` and v2 `cgroup.procs` alike, with the rights of whoever opened the file.
 */
static int enter_cgroups(const struct plan *plan, const struct enter_slot *slot)
{
        (void)plan;
        for (size_t i = 0; i < slot->n_cgroups; i++) {
                if (write(slot->cgroups[i], "0", 1) != 1)
                        return -errno;
        }
        return 0;
}

static int enter_namespaces(const struct plan *plan, const struct enter_slot *slot)
{
        struct statfs root;

        (void)plan;
        if (setns(slot->pidfd, CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWNS) <
                0)
                return -errno;
        /* Never on with another root than the small one. */
        if (statfs("/", &root) < 0)
                return -errno;
        if (root.f_type != TMPFS_MAGIC || !(root.f_flags & ST_RDONLY))
                return -EXDEV;
        if (setsid() < 0 || chdir("/tmp") < 0)
                return -errno;
        umask(022);
        return 0;
}

/* The descriptors came by SCM_RIGHTS while 0 to 3 were taken, so none of them lies below 4. The template's
 * own /dev/null has flags and locks that all its cells would have in common. */
static int enter_descriptors(const struct plan *plan, const struct enter_slot *slot)
{
        _cleanup_(fd_closep) int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        (void)plan;
        if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(slot->output, STDOUT_FILENO) < 0 ||
                dup2(slot->errors, STDERR_FILENO) < 0 || dup3(slot->channel, 3, O_CLOEXEC) < 0)
                return -errno;
        return 0;
}

static int enter_landlock(const struct plan *plan, const struct enter_slot *slot)
{
        (void)plan;
        (void)slot;
        return landlock_enter();
}

static int enter_uid(const struct plan *plan, const struct enter_slot *slot)
{
        (void)plan;
        if (setgroups(0, NULL) < 0 || setresgid(slot->uid, slot->uid, slot->uid) < 0 ||
                setresuid(slot->uid, slot->uid, slot->uid) < 0)
                return -errno;
        return 0;
}

/* A template that dies takes its cells along through the keeper, which ends their first processes: a
 * parent-death signal would need CAP_KILL in the template. Never dumpable, whatever fs.suid_dumpable says: a
 * host's core_pattern may be a program, which no rlimit keeps from reading a cell's memory as root. */
static int enter_capabilities(const struct plan *plan, const struct enter_slot *slot)
{
        int r;

        (void)plan;
        (void)slot;
        r = capabilities_keep(0, 0);
        if (r < 0)
                return r;
        return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

/* Inherited since before the template was executed; a cell that lacks it is not to run. */
static int enter_no_new_privs(const struct plan *plan, const struct enter_slot *slot)
{
        (void)plan;
        (void)slot;
        return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -EPERM;
}

static int filter_install(const struct sock_filter *filter, size_t length)
{
        struct sock_fprog program = { .len = (unsigned short)length, .filter = (struct sock_filter *)filter };

        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0
                       ? -errno
                       : 0;
}

static int enter_seccomp(const struct plan *plan, const struct enter_slot *slot)
{
        (void)slot;
        return filter_install(plan_cell_filter(plan), plan->cell_length);
}

/* What a template was allowed to raise, for its own memory (guest/image.c), ends where cells begin. */
static int limits_close(void)
{
        static const int resources[] = { RLIMIT_FSIZE, RLIMIT_MEMLOCK };
        struct rlimit limit;

        for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
                if (getrlimit(resources[i], &limit) < 0)
                        return -errno;
                limit.rlim_max = limit.rlim_cur;
                if (setrlimit(resources[i], &limit) < 0)
                        return -errno;
        }
        return 0;
}

int enter_template(const struct plan *plan)
{
        int r = capabilities_keep(capability_template_set, 0);

        if (r == 0)
                r = limits_close();
        if (r < 0 || !(plan->walls & (1u << WALL_SECCOMP)))
                return r;
        return filter_install(plan_template_filter(plan), plan->template_length);
}
