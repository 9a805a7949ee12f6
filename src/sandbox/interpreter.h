#pragma once

/* Where the interpreters lie on the host, and which of the host's files they need inside the root. */

#include <stddef.h>

#include "sandbox/rootfs.h"

enum { INTERPRETER_BINDS_MAX = 3 };

/*
 * CPython at `path` (a symbolic link may lead there). Debian's needs its own file alone, since /usr/lib is
 * there already; any other the prefix that it was installed to. *ret_path is its path inside, owned by the
 * caller. 0, or -EINVAL with a message.
 */
int interpreter_python(
        const char *path, struct rootfs_binds *binds, char **ret_path, char *error, size_t error_size);

/* Node.js at `path`, or NULL for the pinned one below `library`/node_modules, as /mayfly/node; with the npm
 * libraries beside it. */
int interpreter_node(
        const char *path, const char *library, struct rootfs_binds *binds, char *error, size_t error_size);

/* mayfly's own modules and boot scripts, as /mayfly/guest. 0 or -ENOMEM. */
int interpreter_guest(const char *library, struct rootfs_binds *binds);
