#pragma once

#include <stddef.h>

/* A sealed memory file, close-on-exec, owned by the caller. 0 or negative errno. */
int memory_file(const char *name, const void *data, size_t length, int *ret_fd);
