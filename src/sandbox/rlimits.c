#include "sandbox/rlimits.h"

#include <errno.h>
#include <sys/resource.h>

#include "base/macros.h"

int rlimits_apply(const struct settings *settings)
{
        const struct {
                int resource;
                rlim_t value;
        } limits[] = {
                { RLIMIT_NOFILE, settings->max_open_files },
                { RLIMIT_NPROC, settings->max_processes + 1 },
                { RLIMIT_FSIZE, settings->max_tmp_bytes },
                { RLIMIT_CORE, 0 },
                { RLIMIT_MSGQUEUE, 0 },
                { RLIMIT_MEMLOCK, 65536 },
                { RLIMIT_STACK, 8 << 20 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
                struct rlimit limit;

                /* Lowering is always allowed; the host's own limit may be the lower one. */
                if (getrlimit(limits[i].resource, &limit) < 0)
                        return -errno;
                limit.rlim_max = MIN(limit.rlim_max, limits[i].value);
                limit.rlim_cur = limit.rlim_max;
                if (setrlimit(limits[i].resource, &limit) < 0)
                        return -errno;
        }
        return 0;
}
