#include "sandbox/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/macros.h"

#define ROOT "/sys/fs/cgroup"

enum { MEMORY = 1 << WALL_CGROUP_MEMORY, PIDS = 1 << WALL_CGROUP_PIDS, CPU = 1 << WALL_CGROUP_CPU };

/* Controllers, by the names that /proc/self/cgroup and cgroup.controllers use. */
static const struct {
        uint32_t wall;
        const char *name;
} controllers[] = { { MEMORY, "memory" }, { PIDS, "pids" }, { CPU, "cpu" } };

enum value {
        VALUE_MEMORY,
        VALUE_PROCESSES,
        VALUE_CPU_PERIOD,
        VALUE_CPU_QUOTA,
        VALUE_CPU_MAX,
        VALUE_ZERO,
        VALUE_ONE
};

/* How a limit is written, in this order. Optional files are absent on some hosts (no swap accounting). */
static const struct {
        int version;
        uint32_t wall;
        const char *file;
        enum value value;
        bool optional;
} limit_files[] = {
        { 1, MEMORY, "memory.limit_in_bytes", VALUE_MEMORY, false },
        { 1, MEMORY, "memory.memsw.limit_in_bytes", VALUE_MEMORY, true },
        { 1, MEMORY, "memory.kmem.tcp.limit_in_bytes", VALUE_MEMORY, true }, /* else sockets hold gigabytes */
        { 1, PIDS, "pids.max", VALUE_PROCESSES, false },
        { 1, CPU, "cpu.cfs_period_us", VALUE_CPU_PERIOD, false },
        { 1, CPU, "cpu.cfs_quota_us", VALUE_CPU_QUOTA, false },
        { 2, MEMORY, "memory.max", VALUE_MEMORY, false },
        { 2, MEMORY, "memory.swap.max", VALUE_ZERO, true },
        { 2, MEMORY, "memory.oom.group", VALUE_ONE, true },
        { 2, PIDS, "pids.max", VALUE_PROCESSES, false },
        { 2, CPU, "cpu.max", VALUE_CPU_MAX, false },
};

enum { CPU_PERIOD_US = 100000 };

/* What the two versions call the same things. `tasks` in v1 spares the global lock that cgroup.procs takes.
 */
static const struct {
        const char *join, *kills, *peak;
} names[] = {
        [1] = { "tasks", "memory.oom_control", "memory.max_usage_in_bytes" },
        [2] = { "cgroup.procs", "memory.events", "memory.peak" },
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

/* One group below the tree: ends its members, if asked to, and removes it. Returns whether it is gone. */
static bool remove_group(int tree, const char *name, bool with_members)
{
        _cleanup_(fd_closep) int directory = openat(tree, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (directory < 0)
                return true;
        if (with_members)
                kill_members(directory);
        return unlinkat(tree, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

static bool remove_tree(const char *path, bool with_members)
{
        DIR *directory = opendir(path);
        struct dirent *entry;
        bool gone = true;

        if (!directory)
                return true;
        while ((entry = readdir(directory))) {
                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                        gone &= remove_group(dirfd(directory), entry->d_name, with_members);
        }
        closedir(directory);
        return gone && (rmdir(path) == 0 || errno == ENOENT);
}

/* Trees of keepers whose whole session was killed, janitor and all: removed where nothing lives in them any
 * more. */
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
                        remove_tree(path, false);
        }
        if (listing)
                closedir(listing);
}

static int add_tree(
        struct cgroups *cgroups, const char *base, pid_t pid, uint32_t walls, char *problem, size_t size)
{
        struct cgroup_tree *tree = &cgroups->trees[cgroups->n_trees];

        sweep(base);
        if (asprintf(&tree->path, "%s/mayfly-%d", base, pid) < 0)
                return -ENOMEM;
        if (mkdir(tree->path, 0755) < 0 && errno != EEXIST) {
                snprintf(problem, size, "cannot make %s: %s", tree->path, strerror(errno));
                free(steal(&tree->path));
                return 0;
        }
        tree->walls = walls;
        cgroups->walls |= walls;
        cgroups->n_trees++;
        return 0;
}

static int open_v1(struct cgroups *cgroups, const char *parent, pid_t pid, char *problem, size_t size)
{
        for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
                char own[PATH_MAX / 2] = "", base[PATH_MAX];
                int r;

                if (parent)
                        snprintf(own, sizeof own, "/%s", parent);
                else if (own_path(controllers[i].name, own, sizeof own) < 0) {
                        snprintf(problem, size, "no %s controller in /proc/self/cgroup", controllers[i].name);
                        continue;
                }
                snprintf(base, sizeof base, ROOT "/%s%s", controllers[i].name, own);
                if (parent && access(base, F_OK) < 0) {
                        snprintf(problem, size, "there is no cgroup %s; make it, or leave the setting out",
                                base);
                        return -ENOENT;
                }
                /* In a container the hierarchy is often mounted with its own group as the root. */
                if (access(base, F_OK) < 0)
                        snprintf(base, sizeof base, ROOT "/%s", controllers[i].name);
                r = add_tree(cgroups, base, pid, controllers[i].wall, problem, size);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Turns the controllers on for the children of one directory: each that fails is a wall less. */
static uint32_t delegate(const char *directory, uint32_t walls, char *problem, size_t size)
{
        _cleanup_(fd_closep) int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        uint32_t given = 0;

        for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
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

static int open_v2(struct cgroups *cgroups, const char *parent, pid_t pid, char *problem, size_t size)
{
        char base[PATH_MAX], text[512];
        uint32_t walls = 0;
        int r;

        snprintf(base, sizeof base, ROOT "%s%s", parent ? "/" : "", parent ? parent : "");
        if (access(base, F_OK) < 0) {
                snprintf(problem, size, "there is no cgroup %s; make it, or leave the setting out", base);
                return -ENOENT;
        }
        r = read_at(AT_FDCWD, ROOT "/cgroup.controllers", text, sizeof text);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
                walls |= text_has_word(text, controllers[i].name) ? controllers[i].wall : 0;

        walls = delegate(base, walls, problem, size);
        r = add_tree(cgroups, base, pid, walls, problem, size);
        if (r < 0 || !cgroups->trees[0].path)
                return r;
        cgroups->walls = delegate(cgroups->trees[0].path, walls, problem, size);
        cgroups->trees[0].walls = cgroups->walls;
        return 0;
}

int cgroups_open(
        const char *parent, pid_t pid, struct cgroups *ret_cgroups, char *problem, size_t problem_size)
{
        struct cgroups cgroups = { 0 };
        int r;

        snprintf(problem, problem_size, "no cgroups below " ROOT);
        cgroups.version = access(ROOT "/cgroup.controllers", F_OK) == 0 ? 2 : 1;
        r = cgroups.version == 2 ? open_v2(&cgroups, parent, pid, problem, problem_size)
                                 : open_v1(&cgroups, parent, pid, problem, problem_size);
        *ret_cgroups = cgroups;
        return error_trace(r);
}

void cgroups_deinit(struct cgroups *cgroups)
{
        for (size_t i = 0; i < cgroups->n_trees; i++)
                free(cgroups->trees[i].path);
        *cgroups = (struct cgroups){ 0 };
}

int cgroups_remove(const struct cgroups *cgroups)
{
        for (int attempt = 0; attempt < 1000; attempt++) {
                bool gone = true;

                for (size_t i = 0; i < cgroups->n_trees; i++)
                        gone &= remove_tree(cgroups->trees[i].path, true);
                if (gone)
                        return 0;
                nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
        }
        return -EBUSY;
}

static void format_value(enum value value, const struct cgroup_limits *limits, char *text, size_t size)
{
        unsigned long long quota_us = (unsigned long long)limits->cpus_milli * CPU_PERIOD_US / 1000;

        switch (value) {
        case VALUE_MEMORY:
                snprintf(text, size, "%llu", (unsigned long long)limits->memory_bytes);
                break;
        case VALUE_PROCESSES:
                snprintf(text, size, "%u", limits->processes);
                break;
        case VALUE_CPU_PERIOD:
                snprintf(text, size, "%d", CPU_PERIOD_US);
                break;
        case VALUE_CPU_QUOTA:
                snprintf(text, size, "%llu", MAX(quota_us, 1000ULL));
                break;
        case VALUE_CPU_MAX:
                snprintf(text, size, "%llu %d", MAX(quota_us, 1000ULL), CPU_PERIOD_US);
                break;
        case VALUE_ZERO:
                snprintf(text, size, "0");
                break;
        case VALUE_ONE:
                snprintf(text, size, "1");
                break;
        }
}

static int set_limits(
        const struct cgroups *cgroups, size_t tree, int directory, const struct cgroup_limits *limits)
{
        for (size_t i = 0; i < ARRAY_SIZE(limit_files); i++) {
                char text[64];
                int r;

                if (limit_files[i].version != cgroups->version ||
                        !(limit_files[i].wall & cgroups->trees[tree].walls))
                        continue;
                format_value(limit_files[i].value, limits, text, sizeof text);
                r = write_at(directory, limit_files[i].file, text);
                if (r < 0 && !(limit_files[i].optional && r == -ENOENT))
                        return error_trace(r);
        }
        return 0;
}

int cgroup_new(const struct cgroups *cgroups, const char *name, const struct cgroup_limits *limits,
        struct cgroup *ret_cgroup)
{
        struct cgroup cgroup = {
                .cgroups = cgroups, .directories = { -1, -1, -1 }, .joins = { -1, -1, -1 }, .peak = -1
        };
        int r = 0;

        snprintf(cgroup.name, sizeof cgroup.name, "%s", name);
        for (; r == 0 && cgroup.n_trees < cgroups->n_trees; cgroup.n_trees++) {
                size_t i = cgroup.n_trees;
                char path[PATH_MAX];

                snprintf(path, sizeof path, "%s/%s", cgroups->trees[i].path, name);
                if (mkdir(path, 0755) < 0 && errno != EEXIST)
                        r = -errno;
                cgroup.directories[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (r == 0 && cgroup.directories[i] < 0)
                        r = -errno;
                if (r == 0)
                        cgroup.joins[i] = openat(
                                cgroup.directories[i], names[cgroups->version].join, O_WRONLY | O_CLOEXEC);
                if (r == 0 && cgroup.joins[i] < 0)
                        r = -errno;
                if (r == 0 && cgroup.peak < 0)
                        cgroup.peak = openat(
                                cgroup.directories[i], names[cgroups->version].peak, O_RDWR | O_CLOEXEC);
                if (r == 0 && limits)
                        r = set_limits(cgroups, i, cgroup.directories[i], limits);
        }
        if (r < 0) {
                cgroup_deinit(&cgroup);
                return error_trace(r);
        }
        *ret_cgroup = cgroup;
        return 0;
}

void cgroup_deinit(struct cgroup *cgroup)
{
        for (size_t i = 0; i < cgroup->n_trees; i++) {
                fd_closep(&cgroup->directories[i]);
                fd_closep(&cgroup->joins[i]);
        }
        if (cgroup->n_trees > 0)
                fd_closep(&cgroup->peak);
        cgroup->n_trees = 0;
}

int cgroup_join(const struct cgroup *cgroup)
{
        for (size_t i = 0; i < cgroup->n_trees; i++) {
                if (write(cgroup->joins[i], "0", 1) != 1)
                        return -errno;
        }
        return 0;
}

/* The number behind a word at the start of a line, such as "oom_kill 3". */
static uint64_t read_counter(int directory, const char *file, const char *word)
{
        char text[1024], *line, *rest = text;
        size_t length = strlen(word);

        if (read_at(directory, file, text, sizeof text) < 0)
                return 0;
        while ((line = strsep(&rest, "\n"))) {
                if (strncmp(line, word, length) == 0 && line[length] == ' ')
                        return strtoull(line + length, NULL, 10);
        }
        return 0;
}

static uint64_t since(uint64_t *last, uint64_t now)
{
        uint64_t difference = now - *last;

        *last = now;
        return difference;
}

/* Reads the mark and starts it anew: v1, and v2 since 6.12, where the new start holds for the descriptor that
 * wrote it. */
static uint64_t read_peak(const struct cgroup *cgroup)
{
        char text[32] = "";

        if (cgroup->peak < 0 || pread(cgroup->peak, text, sizeof text - 1, 0) <= 0 ||
                pwrite(cgroup->peak, "0", 1, 0) != 1)
                return 0;
        return strtoull(text, NULL, 10);
}

void cgroup_read(struct cgroup *cgroup, struct cgroup_usage *ret_usage)
{
        const struct cgroups *cgroups = cgroup->cgroups;

        *ret_usage = (struct cgroup_usage){ .peak_memory_bytes = read_peak(cgroup) };
        for (size_t i = 0; i < cgroup->n_trees; i++) {
                int directory = cgroup->directories[i];

                if (cgroups->trees[i].walls & MEMORY)
                        ret_usage->memory_kills = since(&cgroup->memory_kills,
                                read_counter(directory, names[cgroups->version].kills, "oom_kill"));
                if (cgroups->trees[i].walls & PIDS)
                        ret_usage->process_refusals = since(
                                &cgroup->process_refusals, read_counter(directory, "pids.events", "max"));
        }
}
