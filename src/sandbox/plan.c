#include "sandbox/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/seccomp_policy.h"

int plan_new(uint32_t walls, int *ret_fd)
{
        _cleanup_(fd_closep) int fd = memfd_create("mayfly-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct plan plan = { .walls = walls };
        off_t start, middle, end;
        int r;

        if (fd < 0)
                return -errno;
        start = lseek(fd, sizeof plan, SEEK_SET);
        r = seccomp_policy_write(SECCOMP_POLICY_TEMPLATE, fd);
        if (r < 0)
                return error_trace(r);
        middle = lseek(fd, 0, SEEK_CUR);
        r = seccomp_policy_write(SECCOMP_POLICY_CELL, fd);
        if (r < 0)
                return error_trace(r);
        end = lseek(fd, 0, SEEK_CUR);

        plan.template_length = (uint32_t)((size_t)(middle - start) / sizeof(struct sock_filter));
        plan.cell_length = (uint32_t)((size_t)(end - middle) / sizeof(struct sock_filter));
        if (pwrite(fd, &plan, sizeof plan, 0) != sizeof plan)
                return -EIO;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
                return -errno;
        *ret_fd = fd_steal(&fd);
        return 0;
}
