#include "setup/host_cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/macros.h"

#define ROOT "/sys/fs/cgroup"

/* By the names that /proc/self/cgroup and cgroup.controllers use. */
static const struct {
        const char *name;
        uint32_t wall; /* 0: it only counts, and v2 counts without it */
} controllers[CGROUP_CONTROLLERS] = {
        [CGROUP_MEMORY] = { "memory", 1 << WALL_CGROUP_MEMORY },
        [CGROUP_PIDS] = { "pids", 1 << WALL_CGROUP_PIDS },
        [CGROUP_CPU] = { "cpu", 1 << WALL_CGROUP_CPU },
        [CGROUP_CPUACCT] = { "cpuacct", 0 },
};

enum { FIXED = BRIEF_LIMITS /* the same for all */ };

/* So a thousandth of a core is 100 us of it. The kernel takes 1 ms and more. */
#define CPU_PERIOD_US "100000"

/*
 * How a limit is written: number * factor, `least` at least, then the text. From top to bottom they can be
 * lowered, from bottom to top raised: v1 wants memory.limit never above memory.memsw.limit. Optional files
 * are absent on some hosts (no swap accounting).
 */
static const struct {
        int version;
        enum cgroup_controller controller;
        const char *file;
        uint32_t name; /* enum brief_limit_name, or FIXED */
        uint64_t factor, least;
        const char *text;
        bool optional;
} limit_files[] = {
        { 1, CGROUP_MEMORY, "memory.limit_in_bytes", BRIEF_MEMORY, 1, 0, "", false },
        { 1, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", BRIEF_MEMORY, 1, 0, "", true },
        /* Else sockets hold gigabytes. */
        { 1, CGROUP_MEMORY, "memory.kmem.tcp.limit_in_bytes", BRIEF_MEMORY, 1, 0, "", true },
        { 1, CGROUP_PIDS, "pids.max", BRIEF_PROCESSES, 1, 0, "", false },
        { 1, CGROUP_CPU, "cpu.cfs_period_us", FIXED, 0, 0, CPU_PERIOD_US, false },
        { 1, CGROUP_CPU, "cpu.cfs_quota_us", BRIEF_CPUS, 100, 1000, "", false },
        { 2, CGROUP_MEMORY, "memory.max", BRIEF_MEMORY, 1, 0, "", false },
        { 2, CGROUP_MEMORY, "memory.swap.max", FIXED, 0, 0, "0", true },
        { 2, CGROUP_MEMORY, "memory.oom.group", FIXED, 0, 0, "1", true },
        { 2, CGROUP_PIDS, "pids.max", BRIEF_PROCESSES, 1, 0, "", false },
        { 2, CGROUP_CPU, "cpu.max", BRIEF_CPUS, 100, 1000, " " CPU_PERIOD_US, false },
};

/* `tasks` in v1 spares the global lock that cgroup.procs takes. */
static const char *const joins[] = { [1] = "tasks", [2] = "cgroup.procs" };

/* What is read of a group. */
static const struct {
        int version;
        enum cgroup_controller controller;
        enum brief_counter_name counter;
        const char *file, *word;
        uint64_t divisor;
} counters[] = {
        { 1, CGROUP_MEMORY, BRIEF_PEAK, "memory.max_usage_in_bytes", "", 1 },
        { 1, CGROUP_MEMORY, BRIEF_KILLS, "memory.oom_control", "oom_kill", 1 },
        { 1, CGROUP_PIDS, BRIEF_REFUSALS, "pids.events", "max", 1 },
        { 1, CGROUP_PIDS, BRIEF_ALIVE, "pids.current", "", 1 },
        { 1, CGROUP_CPUACCT, BRIEF_CPU, "cpuacct.usage", "", 1000 },
        { 2, CGROUP_MEMORY, BRIEF_PEAK, "memory.peak", "", 1 },
        { 2, CGROUP_MEMORY, BRIEF_KILLS, "memory.events", "oom_kill", 1 },
        { 2, CGROUP_PIDS, BRIEF_REFUSALS, "pids.events", "max", 1 },
        { 2, CGROUP_PIDS, BRIEF_ALIVE, "pids.current", "", 1 },
        { 2, CGROUP_CPUACCT, BRIEF_CPU, "cpu.stat", "usage_usec", 1 },
};

static int write_at(int directory, const char *file, const char *text)
{
        _cleanup_(fd_closep) int fd = openat(directory, file, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int read_at(int directory, const char *file, char *buffer, size_t size)
{
        _cleanup_(fd_closep) int fd = openat(directory, file, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, buffer, size - 1);
        if (n < 0)
                return -errno;
        buffer[n] = 0;
        return 0;
}

/* The path of the calling process in one hierarchy ("" for v2), from lines such as "4:memory:/a/b". */
static int own_path(const char *controller, char *ret_path, size_t size)
{
        char text[8192], *line, *rest = text;
        int r = read_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof text);

        if (r < 0)
                return r;
        while ((line = strsep(&rest, "\n"))) {
                char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL, *name;

                if (!path)
                        continue;
                *path++ = 0;
                for (list++; (name = strsep(&list, ","));) {
                        if (strcmp(name, controller) != 0)
                                continue;
                        snprintf(ret_path, size, "%s", strcmp(path, "/") == 0 ? "" : path);
                        return 0;
                }
        }
        return -ENOENT;
}

static bool text_has_word(const char *text, const char *word)
{
        size_t length = strlen(word);

        for (const char *at = strstr(text, word); at; at = strstr(at + 1, word)) {
                if ((at == text || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\n' || !at[length]))
                        return true;
        }
        return false;
}

/* Trees of keepers whose whole session was killed, janitor and all: removed where nothing lives in them any
 * more. */
static void sweep_tree(const char *path)
{
        DIR *directory = opendir(path);
        struct dirent *entry;

        /* A keeper of another pid namespace lives, whatever kill() says: its slots' groups are often empty,
         * that of the anchors never is. */
        if (directory && unlinkat(dirfd(directory), "anchors", AT_REMOVEDIR) < 0 && errno == EBUSY) {
                closedir(directory);
                return;
        }
        while (directory && (entry = readdir(directory))) {
                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                        unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR);
        }
        if (directory)
                closedir(directory);
        rmdir(path);
}

static void sweep(const char *base)
{
        DIR *listing = opendir(base);
        struct dirent *entry;

        while (listing && (entry = readdir(listing))) {
                char path[PATH_MAX], *end = NULL;
                pid_t pid;

                if (strncmp(entry->d_name, "mayfly-", strlen("mayfly-")) != 0)
                        continue;
                pid = (pid_t)strtol(entry->d_name + strlen("mayfly-"), &end, 10);
                if (pid <= 0 || *end || kill(pid, 0) == 0 || errno != ESRCH)
                        continue;
                if (snprintf(path, sizeof path, "%s/%s", base, entry->d_name) < (int)sizeof path)
                        sweep_tree(path);
        }
        if (listing)
                closedir(listing);
}

/* Controllers that are mounted together share a tree. */
static int find_tree(const struct brief_cgroups *files, const char *path)
{
        struct stat wanted, st;

        if (stat(path, &wanted) < 0)
                return -1;
        for (uint32_t i = 0; i < files->n_trees; i++) {
                if (stat(files->trees[i], &st) == 0 && st.st_dev == wanted.st_dev &&
                        st.st_ino == wanted.st_ino)
                        return (int)i;
        }
        return -1;
}

/* The tree's index, or -1 with a problem. */
static int add_tree(struct brief_cgroups *files, const char *base, pid_t pid, char *problem, size_t size)
{
        char *path = files->trees[files->n_trees];
        int known;

        sweep(base);
        if (snprintf(path, BRIEF_PATH, "%s/mayfly-%d", base, pid) >= BRIEF_PATH) {
                snprintf(problem, size, "%s is too long a path", base);
                return -1;
        }
        known = find_tree(files, path);
        if (known >= 0)
                return known;
        if (mkdir(path, 0755) < 0 && errno != EEXIST) {
                snprintf(problem, size, "cannot make %s: %s", path, strerror(errno));
                return -1;
        }
        return (int)files->n_trees++;
}

/* Where one v1 controller's tree is to be made. 0; -ENODEV: there is no such controller; -ENOENT: no parent.
 */
static int find_v1_base(const char *controller, const char *parent, char *base, size_t base_size,
        char *problem, size_t problem_size)
{
        char own[PATH_MAX / 2] = "";

        if (parent) {
                snprintf(own, sizeof own, "/%s", parent);
        } else if (own_path(controller, own, sizeof own) < 0) {
                snprintf(problem, problem_size, "no %s controller in /proc/self/cgroup", controller);
                return -ENODEV;
        }
        snprintf(base, base_size, ROOT "/%s%s", controller, own);
        if (parent && access(base, F_OK) < 0) {
                snprintf(problem, problem_size, "there is no cgroup %s; make it, or leave the setting out",
                        base);
                return -ENOENT;
        }
        /* In a container the hierarchy is often mounted with its own group as the root. */
        if (access(base, F_OK) < 0)
                snprintf(base, base_size, ROOT "/%s", controller);
        return 0;
}

static int open_v1(struct host_cgroups *cgroups, const char *parent, pid_t pid, char *problem, size_t size)
{
        char base[PATH_MAX], ignored[512];

        for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
                char *words = controllers[i].wall ? problem : ignored;
                size_t words_size = controllers[i].wall ? size : sizeof ignored;
                int r = find_v1_base(controllers[i].name, parent, base, sizeof base, words, words_size);

                if (r == -ENOENT && controllers[i].wall)
                        return r;
                if (r == 0)
                        cgroups->tree_of[i] = add_tree(&cgroups->files, base, pid, words, words_size);
                if (cgroups->tree_of[i] >= 0)
                        cgroups->walls |= controllers[i].wall;
        }
        return 0;
}

/* Turns the controllers on for the children of one directory: each that fails is a wall less. */
static uint32_t delegate(const char *directory, uint32_t walls, char *problem, size_t size)
{
        _cleanup_(fd_closep) int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        uint32_t given = 0;

        for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
                char text[16];
                int r;

                if (!(walls & controllers[i].wall))
                        continue;
                snprintf(text, sizeof text, "+%s", controllers[i].name);
                r = write_at(fd, "cgroup.subtree_control", text);
                if (r == 0)
                        given |= controllers[i].wall;
                else
                        snprintf(problem, size, "cannot delegate %s in %s: %s", controllers[i].name,
                                directory, strerror(-r));
        }
        return given;
}

static int open_v2(struct host_cgroups *cgroups, const char *parent, pid_t pid, char *problem, size_t size)
{
        char base[PATH_MAX], text[512];
        int r, tree;

        snprintf(base, sizeof base, ROOT "%s%s", parent ? "/" : "", parent ? parent : "");
        if (access(base, F_OK) < 0) {
                snprintf(problem, size, "there is no cgroup %s; make it, or leave the setting out", base);
                return -ENOENT;
        }
        r = read_at(AT_FDCWD, ROOT "/cgroup.controllers", text, sizeof text);
        if (r < 0)
                return r;
        for (size_t i = 0; i < CGROUP_CONTROLLERS; i++)
                cgroups->walls |= text_has_word(text, controllers[i].name) ? controllers[i].wall : 0;

        cgroups->walls = delegate(base, cgroups->walls, problem, size);
        tree = add_tree(&cgroups->files, base, pid, problem, size);
        cgroups->walls = tree < 0 ? 0 : delegate(cgroups->files.trees[tree], cgroups->walls, problem, size);
        for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
                if (!controllers[i].wall || cgroups->walls & controllers[i].wall)
                        cgroups->tree_of[i] = tree;
        }
        return 0;
}

/* Tells the brief what the files are called. */
static void name_files(struct host_cgroups *cgroups)
{
        struct brief_cgroups *files = &cgroups->files;

        snprintf(files->join, sizeof files->join, "%s", joins[cgroups->version]);
        for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
                struct brief_counter *counter = &files->counters[counters[i].counter];
                int tree = cgroups->tree_of[counters[i].controller];

                if (counters[i].version != cgroups->version || tree < 0)
                        continue;
                counter->tree = (uint32_t)tree;
                counter->divisor = counters[i].divisor;
                snprintf(counter->file, sizeof counter->file, "%s", counters[i].file);
                snprintf(counter->word, sizeof counter->word, "%s", counters[i].word);
        }
}

int host_cgroups_open(
        const char *parent, pid_t pid, struct host_cgroups *ret_cgroups, char *problem, size_t problem_size)
{
        struct host_cgroups cgroups = { .tree_of = { -1, -1, -1, -1 } };
        int r;

        snprintf(problem, problem_size, "no cgroups below " ROOT);
        cgroups.version = access(ROOT "/cgroup.controllers", F_OK) == 0 ? 2 : 1;
        r = cgroups.version == 2 ? open_v2(&cgroups, parent, pid, problem, problem_size)
                                 : open_v1(&cgroups, parent, pid, problem, problem_size);
        name_files(&cgroups);
        *ret_cgroups = cgroups;
        return error_trace(r);
}

void host_cgroups_limit(struct host_cgroups *cgroups, const uint64_t limits[BRIEF_LIMITS])
{
        struct brief_cgroups *files = &cgroups->files;

        for (size_t i = 0; i < ARRAY_SIZE(limit_files); i++) {
                int tree = cgroups->tree_of[limit_files[i].controller];
                struct brief_limit *limit = &files->limits[files->n_limits];
                char path[BRIEF_PATH + 40];

                if (limit_files[i].version != cgroups->version || limit_files[i].name == FIXED || tree < 0)
                        continue;
                snprintf(path, sizeof path, "%s/%s", files->trees[tree], limit_files[i].file);
                if (limit_files[i].optional && access(path, F_OK) < 0)
                        continue;
                *limit = (struct brief_limit){ .tree = (uint32_t)tree,
                        .name = limit_files[i].name,
                        .value = limits[limit_files[i].name],
                        .factor = limit_files[i].factor,
                        .least = limit_files[i].least };
                snprintf(limit->file, sizeof limit->file, "%s", limit_files[i].file);
                snprintf(limit->rest, sizeof limit->rest, "%s", limit_files[i].text);
                files->n_limits++;
        }
}

static int set_limits(
        const struct host_cgroups *cgroups, uint32_t tree, int directory, const uint64_t limits[BRIEF_LIMITS])
{
        for (size_t i = 0; i < ARRAY_SIZE(limit_files); i++) {
                uint64_t factor = limit_files[i].factor, least = limit_files[i].least;
                char number[32] = "", text[64];
                int r;

                if (limit_files[i].version != cgroups->version ||
                        cgroups->tree_of[limit_files[i].controller] != (int)tree)
                        continue;
                if (limit_files[i].name != FIXED)
                        snprintf(number, sizeof number, "%" PRIu64,
                                MAX(limits[limit_files[i].name] * factor, least));
                snprintf(text, sizeof text, "%s%s", number, limit_files[i].text);
                r = write_at(directory, limit_files[i].file, text);
                if (r < 0 && !(limit_files[i].optional && r == -ENOENT))
                        return error_trace(r);
        }
        return 0;
}

int host_cgroups_add(const struct host_cgroups *cgroups, const char *name, const uint64_t *limits)
{
        int r = 0;

        for (uint32_t i = 0; r == 0 && i < cgroups->files.n_trees; i++) {
                _cleanup_(fd_closep) int directory = -1;
                char path[BRIEF_PATH + 32];

                snprintf(path, sizeof path, "%s/%s", cgroups->files.trees[i], name);
                if (mkdir(path, 0755) < 0 && errno != EEXIST)
                        return error_trace(-errno);
                directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (directory < 0)
                        return error_trace(-errno);
                if (limits)
                        r = set_limits(cgroups, i, directory, limits);
        }
        return r;
}
