#include "setup/root_build.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/macros.h"

enum entry_kind {
        ENTRY_DIRECTORY, /* argument unused */
        ENTRY_LINK,      /* argument: where it points */
        ENTRY_FILE,      /* argument: contents */
        ENTRY_DEVICE,    /* the host's node of the same name */
        ENTRY_LIBRARY, /* the host's directory or file of the same name, read-only; a symbolic link is copied;
                          absent: passed over */
};

static const struct {
        enum entry_kind kind;
        const char *path;
        const char *argument;
} entries[] = {
        { ENTRY_DIRECTORY, "/proc", NULL },
        { ENTRY_DIRECTORY, "/tmp", NULL },
        { ENTRY_DIRECTORY, "/srv", NULL }, /* DATA_DIR, in the server's namespace alone */
        { ENTRY_DIRECTORY, "/mayfly", NULL },
        { ENTRY_DIRECTORY, "/etc", NULL },
        { ENTRY_DIRECTORY, "/dev", NULL },
        { ENTRY_DEVICE, "/dev/null", NULL },
        { ENTRY_DEVICE, "/dev/zero", NULL },
        { ENTRY_DEVICE, "/dev/full", NULL },
        { ENTRY_DEVICE, "/dev/random", NULL },
        { ENTRY_DEVICE, "/dev/urandom", NULL },
        { ENTRY_LINK, "/dev/shm", "/tmp" },
        { ENTRY_LINK, "/dev/fd", "/proc/self/fd" },
        { ENTRY_LINK, "/dev/stdin", "/proc/self/fd/0" },
        { ENTRY_LINK, "/dev/stdout", "/proc/self/fd/1" },
        { ENTRY_LINK, "/dev/stderr", "/proc/self/fd/2" },
        { ENTRY_LIBRARY, "/usr/lib", NULL },
        { ENTRY_LIBRARY, "/usr/lib64", NULL },
        { ENTRY_LIBRARY, "/usr/local/lib", NULL },
        { ENTRY_LIBRARY, "/lib", NULL },
        { ENTRY_LIBRARY, "/lib64", NULL },
        { ENTRY_LIBRARY, "/usr/share/zoneinfo", NULL },
        { ENTRY_LIBRARY, "/usr/share/ca-certificates", NULL },
        { ENTRY_LIBRARY, "/etc/ssl/certs", NULL },
        { ENTRY_LIBRARY, "/etc/alternatives", NULL }, /* libblas.so.3 and its like are links through here */
        { ENTRY_LIBRARY, "/etc/ld.so.cache", NULL },
        { ENTRY_LIBRARY, "/etc/mime.types", NULL },
        { ENTRY_FILE, "/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n" },
        { ENTRY_FILE, "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n" },
        { ENTRY_FILE, "/etc/resolv.conf", "" },
        { ENTRY_FILE, "/etc/group", "root:x:0:\n" },
};

struct builder {
        const char *root;
        char *error;
        size_t error_size;
};

static int fail(struct builder *builder, int r, const char *what, const char *path)
{
        snprintf(builder->error, builder->error_size, "%s %s: %s", what, path, strerror(-r));
        return error_trace(r);
}

static int inside(const struct builder *builder, const char *path, char *ret_path)
{
        return snprintf(ret_path, PATH_MAX, "%s%s", builder->root, path) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Every directory above the last name. */
static int make_parents(char *path, size_t root_length)
{
        for (char *slash = strchr(path + root_length + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                int r;

                *slash = 0;
                r = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
                *slash = '/';
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_file(const char *path, const char *text)
{
        _cleanup_(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        size_t length = strlen(text);

        if (fd < 0)
                return -errno;
        return write(fd, text, length) == (ssize_t)length ? 0 : -EIO;
}

/* struct mount_attr of linux/mount.h, which older C libraries do not suffer beside sys/mount.h; its first
 * four flags are the MS_ ones. */
struct attributes {
        uint64_t set, clear, propagation, user_namespace;
};

/*
 * A bind mount takes its flags only in a second step, and what is mounted below it only in a third: that one
 * takes a kernel of 5.12. Without access times, or reading would write to the host.
 */
static int bind(const char *source, const char *target, unsigned long flags)
{
        struct attributes attributes = { .set = flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC) };

        if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0 ||
                mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_NOATIME | flags, NULL) < 0)
                return -errno;
        return syscall(SYS_mount_setattr, AT_FDCWD, target, AT_RECURSIVE, &attributes, sizeof attributes) <
                                       0 &&
                               errno != ENOSYS
                       ? -errno
                       : 0;
}

static int make_point(const char *source, const char *target)
{
        struct stat st;

        if (stat(source, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return mkdir(target, 0755) < 0 && errno != EEXIST ? -errno : 0;
        return write_file(target, "");
}

static int add_bind(struct builder *builder, const char *source, const char *path, unsigned long flags)
{
        char target[PATH_MAX];
        int r = inside(builder, path, target);

        if (r == 0)
                r = make_parents(target, strlen(builder->root));
        if (r == 0)
                r = make_point(source, target);
        if (r == 0)
                r = bind(source, target, flags);
        return r < 0 ? fail(builder, r, "cannot bind", source) : 0;
}

static int add_library(struct builder *builder, const char *path)
{
        char target[PATH_MAX], link[PATH_MAX];
        struct stat st;
        ssize_t n;
        int r;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : fail(builder, -errno, "cannot look at", path);
        if (!S_ISLNK(st.st_mode))
                return add_bind(builder, path, path, MS_RDONLY | MS_NOSUID | MS_NODEV);

        n = readlink(path, link, sizeof link - 1);
        if (n < 0)
                return fail(builder, -errno, "cannot read", path);
        link[n] = 0;
        r = inside(builder, path, target);
        return r == 0 && symlink(link, target) == 0 ? 0
                                                    : fail(builder, r < 0 ? r : -errno, "cannot link", path);
}

static int add_entry(struct builder *builder, enum entry_kind kind, const char *path, const char *argument)
{
        char target[PATH_MAX];
        int r = inside(builder, path, target);

        if (r == 0)
                r = make_parents(target, strlen(builder->root));
        if (r < 0)
                return fail(builder, r, "cannot make", path);

        switch (kind) {
        case ENTRY_LIBRARY:
                return add_library(builder, path);
        case ENTRY_DEVICE:
                return add_bind(builder, path, path, MS_RDONLY | MS_NOSUID | MS_NOEXEC);
        case ENTRY_DIRECTORY:
                r = mkdir(target, 0755);
                break;
        case ENTRY_LINK:
                r = symlink(argument, target);
                break;
        case ENTRY_FILE:
                r = write_file(target, argument);
                break;
        }
        return r < 0 ? fail(builder, r == -1 ? -errno : r, "cannot make", path) : 0;
}

/* getpwuid() and os.userInfo() want a name for the cell's user. */
static int add_passwd(struct builder *builder, uint32_t first_uid, uint32_t uids)
{
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);

        if (!file)
                return -ENOMEM;
        fprintf(file, "root:x:0:0::/:/usr/sbin/nologin\n");
        for (uint32_t i = 0; i < uids; i++)
                fprintf(file, "cell:x:%u:%u::/tmp:/usr/sbin/nologin\n", first_uid + i, first_uid + i);
        if (fclose(file) != 0)
                return -ENOMEM;
        return add_entry(builder, ENTRY_FILE, "/etc/passwd", text);
}

static int build(struct builder *builder, const struct root_binds *binds, uint32_t first_uid, uint32_t uids)
{
        int r;

        if (mount("mayfly", builder->root, "tmpfs", MS_NOSUID | MS_NOATIME, "mode=0755,size=1m") < 0)
                return fail(builder, -errno, "cannot mount a tmpfs on", builder->root);
        for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
                r = add_entry(builder, entries[i].kind, entries[i].path, entries[i].argument);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < binds->n; i++) {
                r = add_bind(builder, binds->binds[i].source, binds->binds[i].target,
                        MS_RDONLY | MS_NOSUID | MS_NODEV);
                if (r < 0)
                        return r;
        }
        r = add_passwd(builder, first_uid, uids);
        if (r < 0)
                return r;
        if (mount(NULL, builder->root, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) <
                0)
                return fail(builder, -errno, "cannot make read-only:", builder->root);
        return 0;
}

int root_binds_add(struct root_binds *binds, const char *directory, const char *name, const char *target)
{
        struct root_bind bind = { 0 };

        if (binds->n == ROOT_BINDS_MAX)
                return -ENOSPC;
        if (asprintf(&bind.source, "%s%s%s", directory, *directory ? "/" : "", name) < 0)
                return -ENOMEM;
        bind.target = strdup(target);
        binds->binds[binds->n++] = bind;
        return bind.target ? 0 : -ENOMEM;
}

void root_binds_deinit(struct root_binds *binds)
{
        for (size_t i = 0; i < binds->n; i++) {
                free(binds->binds[i].source);
                free(binds->binds[i].target);
        }
        binds->n = 0;
}

int root_build(const char *path, const struct root_binds *binds, uint32_t first_uid, uint32_t uids,
        char *error, size_t error_size)
{
        struct builder builder = { .root = path, .error = error, .error_size = error_size };
        int r;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return fail(&builder, -errno, "cannot make directory", path);
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                r = fail(&builder, -errno, "cannot make a private mount namespace",
                        "(start as root with CAP_SYS_ADMIN)");
        else
                r = build(&builder, binds, first_uid, uids);
        if (r < 0)
                rmdir(path);
        return r;
}
