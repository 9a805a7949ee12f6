/*
 * mayfly-janitor: cgroup directories are files, and a keeper that was killed cannot remove its own. Started
 * by mayflyd, and again by the keeper should it die; it has root's rights, reads nothing and obeys nobody: it
 * waits until nobody holds it back. wire/janitor.h tells its arguments.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "wire/janitor.h"

enum { ATTEMPTS = 1000, PAUSE_NS = 10000000 }; /* the dying take their time */

static void kill_members(int directory)
{
        _cleanup_(fd_closep) int fd = openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
        char text[65536], *line, *rest = text;
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

        text[MAX(n, 0)] = 0;
        while ((line = strsep(&rest, "\n"))) {
                pid_t pid = (pid_t)strtol(line, NULL, 10);

                if (pid > 1)
                        kill(pid, SIGKILL);
        }
}

/* One group below the tree. Returns whether it is gone. */
static bool remove_group(int tree, const char *name)
{
        _cleanup_(fd_closep) int directory = openat(tree, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (directory < 0)
                return true;
        kill_members(directory);
        return unlinkat(tree, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

static bool remove_tree(const char *path)
{
        DIR *directory = opendir(path);
        struct dirent *entry;
        bool gone = true;

        if (!directory)
                return true;
        while ((entry = readdir(directory))) {
                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                        gone &= remove_group(dirfd(directory), entry->d_name);
        }
        closedir(directory);
        return gone && (rmdir(path) == 0 || errno == ENOENT);
}

static bool remove_trees(char **paths)
{
        bool gone = true;

        for (; *paths; paths++)
                gone &= remove_tree(*paths);
        return gone;
}

int main(int argc, char **argv)
{
        sigset_t all;
        char byte;

        if (argc < 2) {
                log_error("janitor.failed", "it is started by mayflyd alone");
                return 2;
        }
        setsid();
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        close_range(JANITOR_HOLD_FD + 1, ~0u, 0);
        while (read(JANITOR_HOLD_FD, &byte, 1) < 0 && errno == EINTR)
                ;
        for (int attempt = 0; !remove_trees(argv + 2); attempt++) {
                if (attempt == ATTEMPTS) {
                        log_error("janitor.cgroups", "%s could not be removed: processes in it do not die",
                                argv[2]);
                        break;
                }
                nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
        }
        umount2(argv[1], MNT_DETACH); /* one that was started late shares the keeper's mounts */
        if (rmdir(argv[1]) < 0 && errno != ENOENT)
                log_error("janitor.root", "cannot remove %s: %s", argv[1], strerror(errno));
        return 0;
}
