#include "base/data_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

int data_lock(const char *path, char *absolute, size_t size, int *ret_fd, char *error, size_t error_size)
{
        _cleanup_(fd_closep) int fd = -1;
        _cleanup_(freep) char *found = NULL;

        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
                snprintf(error, error_size, "DATA_DIR=%s cannot be made: %s", path, strerror(errno));
                return -EINVAL;
        }
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
                snprintf(error, error_size, "DATA_DIR=%s cannot be used: %s", path, strerror(errno));
                return -EINVAL;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                snprintf(error, error_size,
                        "DATA_DIR=%s is in use by another mayfly; stop that one, or choose another directory",
                        path);
                return -EBUSY;
        }
        found = realpath(path, NULL);
        if (!found || strlen(found) >= size) {
                snprintf(error, error_size, "DATA_DIR=%s: its absolute path is longer than %zu bytes", path,
                        size - 1);
                return -EINVAL;
        }
        memcpy(absolute, found, strlen(found) + 1);
        *ret_fd = fd_steal(&fd);
        return 0;
}
