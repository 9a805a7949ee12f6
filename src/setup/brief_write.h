#pragma once

/* The brief's lists, and the memory files that are handed to the keeper. */

#include <stddef.h>

#include "wire/brief.h"

/* Adds a word to a list of `size` bytes, all 0 at first. 0, or -E2BIG. */
int brief_add(char *list, size_t size, const char *word);

/* A sealed memory file, close-on-exec, owned by the caller. 0 or negative errno. */
int memory_file(const char *name, const void *data, size_t length, int *ret_fd);
