#pragma once

#include <sys/types.h>

/* Starts mayfly-janitor (wire/janitor.h); `program` is its file, open; `list` its name and arguments as of
 * brief_words(). *ret_fd is the pipe that holds it back. 0 or negative errno. */
int janitor_start(int program, const char *list, pid_t *ret_pid, int *ret_fd);
