#include "setup/data_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/data_lock.h"
#include "base/fd.h"
#include "base/log.h"

/* A data directory that was filled under another UID_BASE is taken over: the store's own files, no others. */
static void data_take_over(int directory, uid_t uid)
{
        DIR *listing = fdopendir(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        struct dirent *entry;

        while (listing && (entry = readdir(listing))) {
                if (strncmp(entry->d_name, "mayfly.", 7) == 0 &&
                        fchownat(directory, entry->d_name, uid, uid, AT_SYMLINK_NOFOLLOW) < 0)
                        log_warn("data.owner", "file=%s error=\"%s\"", entry->d_name, strerror(errno));
        }
        if (listing)
                closedir(listing);
}

int data_dir_open(
        const char *path, uid_t uid, char *absolute, size_t size, int *ret_fd, char *error, size_t error_size)
{
        _cleanup_(fd_closep) int fd = -1;
        int r = data_lock(path, absolute, size, &fd, error, error_size);

        if (r < 0)
                return r;
        if (fchown(fd, uid, uid) < 0) {
                snprintf(error, error_size, "DATA_DIR=%s cannot be used: %s", path, strerror(errno));
                return -EINVAL;
        }
        data_take_over(fd, uid);
        *ret_fd = fd_steal(&fd);
        return 0;
}
