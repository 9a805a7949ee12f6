/* The reading half of plan.h: in the guests, without libseccomp. */
#include "sandbox/plan.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

int plan_map(int fd, const struct plan **ret_plan)
{
        const struct plan *plan;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if ((size_t)st.st_size < sizeof *plan)
                return -EBADMSG;
        /* Private: kernels before 6.7 refuse any shared mapping of a sealed file, and cells are to share
         * nothing. */
        plan = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (plan == MAP_FAILED)
                return -errno;
        if (sizeof *plan + sizeof(struct sock_filter) * ((size_t)plan->template_length + plan->cell_length) !=
                (size_t)st.st_size)
                return -EBADMSG;
        *ret_plan = plan;
        return 0;
}
