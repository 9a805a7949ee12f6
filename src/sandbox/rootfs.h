#pragma once

/*
 * The file system that templates and cells see: a read-only root in memory with the interpreters and their
 * libraries bound into it, five devices, generated /etc files, and mount points for /proc, /tmp and /srv.
 * Built once by the keeper in its private mount namespace; every child enters it by pivot_root and forgets
 * the host.
 */

#include <stddef.h>
#include <stdint.h>

/* Where the root is mounted, by the keeper's pid. */
#define ROOTFS_PATH "/run/mayfly-%d"

struct rootfs {
        char *path; /* where it is mounted, in the keeper's private namespace; a directory of its own below
                       /run */
};

/* What the caller adds to the fixed list: files or directories of the host, read-only, at a path inside. */
enum { ROOTFS_BINDS_MAX = 8 };

struct rootfs_binds {
        size_t n;
        struct rootfs_bind {
                char *source;
                char *target;
        } binds[ROOTFS_BINDS_MAX];
};

/* The source is `directory`/`name`, or `name` alone if directory is "". 0, -ENOMEM, or -ENOSPC when the list
 * is full. */
int rootfs_binds_add(struct rootfs_binds *binds, const char *directory, const char *name, const char *target);
void rootfs_binds_deinit(struct rootfs_binds *binds);

/*
 * Makes the calling process's mounts private and builds the root. `uids` users named "cell" from first_uid on
 * get a line in /etc/passwd. 0, or negative errno with what failed in `error`.
 */
int rootfs_build(const struct rootfs_binds *binds, uint32_t first_uid, uint32_t uids,
        struct rootfs *ret_rootfs, char *error, size_t error_size);

/* Removes the directory (the mount has gone with its namespace) and frees. */
void rootfs_deinit(struct rootfs *rootfs);

/* In a child with a mount namespace of its own: makes the root its root. 0 or negative errno. */
int rootfs_enter(const struct rootfs *rootfs);

/* Mounts a fresh, empty /tmp, or the calling process's /proc (own processes alone). 0 or negative errno. */
int rootfs_mount_tmp(uint64_t bytes, uint32_t files);
int rootfs_mount_proc(void);
