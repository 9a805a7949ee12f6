#pragma once

/* Inside the root that mayflyd has built (setup/root_build.h): for children of the keeper. */

#include <stdint.h>

/* In a child with a mount namespace of its own: makes `path` its root and forgets the host. 0 or negative
 * errno. */
int rootfs_enter(const char *path);

/* Mounts a fresh, empty /tmp; with the flag MS_REMOUNT, changes the size of the one that is there: -EINVAL if
 * it holds more. Or mounts the calling process's /proc (own processes alone). 0 or negative errno. */
int rootfs_mount_tmp(unsigned long flags, uint64_t bytes, uint32_t files);
int rootfs_mount_proc(void);
