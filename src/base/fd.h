#pragma once

/* Descriptors are born close-on-exec and leave with their scope. */

#include "base/macros.h"

/* Closes *fd if it is one (>= 0) and sets it to -1. For _cleanup_(fd_closep) and for members. */
void fd_closep(int *fd);

/* The same for each of an array. */
static inline void fds_close(int *fds, unsigned long n)
{
        for (unsigned long i = 0; i < n; i++)
                fd_closep(&fds[i]);
}

/* Gives the descriptor away: the variable keeps -1. */
static inline int fd_steal(int *fd)
{
        int value = *fd;

        *fd = -1;
        return value;
}
