#pragma once

/*
 * The file system that templates and cells see: a read-only root in memory with the interpreters and their
 * libraries bound into it, five devices, generated /etc files, and mount points for /proc, /tmp and /srv.
 * Built once; every child of the keeper enters it by sandbox/rootfs.h.
 */

#include <stddef.h>
#include <stdint.h>

/* What the caller adds to the fixed list: files or directories of the host, read-only, at a path inside. */
enum { ROOT_BINDS_MAX = 8 };

struct root_binds {
        size_t n;
        struct root_bind {
                char *source;
                char *target;
        } binds[ROOT_BINDS_MAX];
};

/* The source is `directory`/`name`, or `name` alone if directory is "". 0, -ENOMEM, or -ENOSPC when the list
 * is full. */
int root_binds_add(struct root_binds *binds, const char *directory, const char *name, const char *target);
void root_binds_deinit(struct root_binds *binds);

/*
 * Makes the calling process's mounts private and builds the root at `path`, a directory to be made. `uids`
 * users named "cell" from first_uid on get a line in /etc/passwd. 0, or negative errno with what failed in
 * `error`.
 */
int root_build(const char *path, const struct root_binds *binds, uint32_t first_uid, uint32_t uids,
        char *error, size_t error_size);
