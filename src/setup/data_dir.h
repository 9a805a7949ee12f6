#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * Opens DATA_DIR, makes it if it is not there, gives it to the server's user, and locks it against a second
 * mayfly for as long as *ret_fd is open. `absolute` gets its path. 0, or negative errno with a message.
 */
int data_dir_open(const char *path, uid_t uid, char *absolute, size_t size, int *ret_fd, char *error,
        size_t error_size);
