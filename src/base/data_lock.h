#pragma once

#include <stddef.h>

/*
 * Opens DATA_DIR, makes it if it is not there (for its owner alone), and locks it against other users of it
 * for as long as *ret_fd is open. `absolute` gets its path. 0, -EBUSY, or another negative errno; `error`
 * says what it was.
 */
int data_lock(const char *path, char *absolute, size_t size, int *ret_fd, char *error, size_t error_size);
