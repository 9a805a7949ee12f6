#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macros.h"

/* The interface of ABI 7, written out: the headers of a build host may be older than the kernel that runs. */
enum {
        FS_WRITE_FILE = 1 << 1,
        FS_READ_FILE = 1 << 2,
        FS_READ_DIR = 1 << 3,
        FS_MAKE_CHAR = 1 << 6,
        FS_MAKE_BLOCK = 1 << 11,
        FS_EXECUTE = 1 << 0,
        SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0,
        SCOPE_SIGNAL = 1 << 1,
        CREATE_RULESET_VERSION = 1 << 0,
        RULE_PATH_BENEATH = 1,
};

struct ruleset_attr {
        uint64_t handled_access_fs;
        uint64_t handled_access_net;
        uint64_t scoped;
};

struct path_beneath_attr {
        uint64_t allowed_access;
        int32_t parent_fd;
} __attribute__((packed));

/* Rights known to each ABI: 2 adds REFER, 3 TRUNCATE, 5 IOCTL_DEV. */
static const struct {
        int abi;
        uint64_t access;
        uint64_t scoped;
        size_t size; /* of ruleset_attr that this ABI takes */
} abis[] = {
        { 6, (1 << 16) - 1, SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL, 24 },
        { 5, (1 << 16) - 1, 0, 16 },
        { 4, (1 << 15) - 1, 0, 16 },
        { 3, (1 << 15) - 1, 0, 8 },
        { 2, (1 << 14) - 1, 0, 8 },
        { 1, (1 << 13) - 1, 0, 8 },
};

#define READ (FS_READ_FILE | FS_READ_DIR)

/*
 * All that there is may be read: the root holds nothing but interpreters and libraries. Nothing may be
 * executed: interpreters are forked, and libraries are mapped, which Landlock does not count as executing.
 */
static const struct {
        const char *path;
        uint64_t access; /* 0: everything except executing and making device nodes */
} rules[] = {
        { "/", FS_READ_FILE | FS_READ_DIR },
        { "/dev", FS_WRITE_FILE },
        { "/tmp", 0 },
};

int landlock_abi(void)
{
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

        return abi < 0 ? -errno : (int)abi;
}

static int rule_add(int ruleset, const char *path, uint64_t access)
{
        _cleanup_(fd_closep) int fd = open(path, O_PATH | O_CLOEXEC);
        struct path_beneath_attr attr = { .allowed_access = access, .parent_fd = fd };

        if (fd < 0)
                return -errno;
        return syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr, 0) < 0 ? -errno : 0;
}

int landlock_enter(void)
{
        _cleanup_(fd_closep) int ruleset = -1;
        int abi = landlock_abi();
        size_t n = 0;

        if (abi < 1)
                return abi < 0 ? abi : -EOPNOTSUPP;
        while (abis[n].abi > abi)
                n++;

        struct ruleset_attr attr = { .handled_access_fs = abis[n].access, .scoped = abis[n].scoped };

        ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, abis[n].size, 0);
        if (ruleset < 0)
                return -errno;
        for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
                uint64_t access = rules[i].access ? rules[i].access
                                                  : ~(uint64_t)(FS_EXECUTE | FS_MAKE_CHAR | FS_MAKE_BLOCK);
                int r = rule_add(ruleset, rules[i].path, access & attr.handled_access_fs);

                if (r < 0)
                        return r;
        }
        return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
