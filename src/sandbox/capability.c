#include "sandbox/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (UINT64_C(1) << (capability))

/* setns() takes SYS_ADMIN, into a mount namespace SYS_CHROOT too; the cell's own uid and gid take SETUID and
 * SETGID. */
const uint64_t capability_template_set =
        BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_CHROOT) | BIT(CAP_SETUID) | BIT(CAP_SETGID);

int capabilities_keep(uint64_t set, uint64_t ambient)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2];

        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        for (int i = 0; i < 2; i++) {
                data[i].effective = data[i].permitted = (uint32_t)(set >> (32 * i));
                data[i].inheritable = (uint32_t)(ambient >> (32 * i));
        }
        if (syscall(SYS_capset, &header, data) < 0)
                return -errno;
        for (int i = 0; i < 64; i++) {
                if (ambient & BIT(i) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
                        return -errno;
        }
        return 0;
}

int capabilities_bound(uint64_t set)
{
        for (int i = 0; i < 64; i++) {
                int there = prctl(PR_CAPBSET_READ, i, 0, 0, 0);

                if (there < 0)
                        return errno == EINVAL ? 0 : -errno; /* beyond the last one that this kernel knows */
                if (there && !(set & BIT(i)) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0)
                        return -errno;
        }
        return 0;
}
