#include "base/fd.h"

#include <unistd.h>

void fd_closep(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}
