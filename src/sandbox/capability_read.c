/* Apart from the rest of capability.h: mayflyd asks, the keeper sets. */
#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/capability.h"

int capabilities_read(uint64_t *ret_permitted)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2];

        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;
        *ret_permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
        return 0;
}
