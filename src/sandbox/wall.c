#include "sandbox/wall.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macros.h"
#include "sandbox/landlock.h"

static bool landlock_works(void)
{
        return landlock_abi() >= 1;
}

static bool seccomp_works(void)
{
        const uint32_t action = SECCOMP_RET_ERRNO;

        return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* Walls without a cure are what a cell is made of: without them there is no cell. */
static const struct {
        const char *name;
        bool (*works)(void); /* NULL: asked elsewhere, or part of every kernel that pidfds need (5.8) */
        bool optional;
        const char *cure;
} walls[WALL_COUNT] = {
        [WALL_CGROUP_MEMORY] = { "cgroup_memory", NULL, true,
                "mount the memory cgroup controller writable (cgroup v2 at /sys/fs/cgroup, or v1 at "
                "/sys/fs/cgroup/memory), "
                "or boot with cgroup_enable=memory; in a container, give it a writable cgroup" },
        [WALL_CGROUP_PIDS] = { "cgroup_pids", NULL, true,
                "mount the pids cgroup controller writable (cgroup v2, or v1 at /sys/fs/cgroup/pids)" },
        [WALL_CGROUP_CPU] = { "cgroup_cpu", NULL, true,
                "mount the cpu cgroup controller writable (cgroup v2, or v1 at /sys/fs/cgroup/cpu) on a "
                "kernel with CONFIG_CFS_BANDWIDTH" },
        [WALL_PID_NAMESPACE] = { "pid_namespace", NULL, false,
                "use a kernel of 5.8 or newer with CONFIG_PID_NS, and start as root with CAP_SYS_ADMIN" },
        [WALL_NAMESPACES] = { "namespaces", NULL, false,
                "use a kernel of 5.8 or newer with CONFIG_NAMESPACES, and start as root with CAP_SYS_ADMIN" },
        [WALL_DESCRIPTORS] = { "descriptors", NULL, false, "use a kernel of 5.9 or newer (close_range)" },
        [WALL_LANDLOCK] = { "landlock", landlock_works, true,
                "boot a kernel of 5.13 or newer with CONFIG_SECURITY_LANDLOCK and landlock in the lsm= "
                "list" },
        [WALL_UID] = { "uid", NULL, false, "start as root with CAP_SETUID and CAP_SETGID; see UID_BASE" },
        [WALL_CAPABILITIES] = { "capabilities", NULL, false, "start as root with CAP_SETPCAP" },
        [WALL_NO_NEW_PRIVS] = { "no_new_privs", NULL, false, "use a kernel of 3.5 or newer" },
        [WALL_SECCOMP] = { "seccomp", seccomp_works, true, "use a kernel with CONFIG_SECCOMP_FILTER" },
};

const char *wall_name(uint32_t wall)
{
        return wall < WALL_COUNT ? walls[wall].name : "?";
}

const char *wall_cure(enum wall wall)
{
        return walls[wall].cure;
}

static int wall_find(const char *name, size_t length)
{
        for (int i = 0; i < WALL_COUNT; i++) {
                if (strlen(walls[i].name) == length && strncmp(walls[i].name, name, length) == 0)
                        return i;
        }
        return -1;
}

int walls_parse(const char *list, uint32_t *ret_walls, const char **ret_bad, size_t *ret_bad_length)
{
        uint32_t set = 0;

        for (const char *name = list; name && *name;) {
                size_t length = strcspn(name, ",");
                int wall = wall_find(name, length);

                if (wall < 0 || !walls[wall].optional) {
                        *ret_bad = name;
                        *ret_bad_length = length;
                        return -EINVAL;
                }
                set |= 1u << wall;
                name += length + (name[length] == ',');
        }
        *ret_walls = set;
        return 0;
}

const char *walls_format(uint32_t set, char *buffer, size_t size)
{
        size_t used = 0;

        buffer[0] = 0;
        for (uint32_t i = 0; i < WALL_COUNT; i++) {
                if (set & (1u << i) && used < size)
                        used += (size_t)snprintf(
                                buffer + used, size - used, "%s%s", used ? "," : "", walls[i].name);
        }
        return buffer;
}

uint32_t walls_missing(void)
{
        uint32_t missing = 0;

        for (uint32_t i = 0; i < WALL_COUNT; i++) {
                if (walls[i].works && !walls[i].works())
                        missing |= 1u << i;
        }
        return missing;
}
