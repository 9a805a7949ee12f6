#include "sandbox/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

int rootfs_enter(const char *path)
{
        _cleanup_(fd_closep) int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(fd_closep) int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

        /*
         * Who joins a mount namespace starts at its very root. If the keeper was started in a chroot, that
         * root lies above its own, and would be the host's: so out of the chroot first (joining one's own
         * namespace does that), and only then pivot.
         */
        if (root < 0 || own < 0 || setns(own, CLONE_NEWNS) < 0 || fchdir(root) < 0)
                return -errno;
        /* The same directory as new root and as place of the old one: pivot_root(2), "pivot_root(".", ".")".
         */
        if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
                return -errno;
        return 0;
}

int rootfs_mount_tmp(unsigned long flags, uint64_t bytes, uint32_t files)
{
        char options[128];

        snprintf(options, sizeof options, "mode=1777,size=%llu,nr_inodes=%u", (unsigned long long)bytes,
                files);
        flags |= MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME;
        return mount("tmp", "/tmp", "tmpfs", flags, options) < 0 ? -errno : 0;
}

int rootfs_mount_proc(void)
{
        const char *options = "hidepid=invisible,subset=pid";

        return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0 ? -errno : 0;
}
