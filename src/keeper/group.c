#include "keeper/group.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/macros.h"

void group_init(struct group *group)
{
        *group = (struct group){ .peak = -1 };
}

int group_open(const struct brief_cgroups *cgroups, const char *name, struct group *group)
{
        char path[BRIEF_PATH + 32];

        group_init(group);
        for (size_t i = 0; i < cgroups->n_trees; i++) {
                snprintf(path, sizeof path, "%s/%s", cgroups->trees[i], name);
                group->directories[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                group->joins[i] = openat(group->directories[i], cgroups->join, O_WRONLY | O_CLOEXEC);
                group->n_trees++;
                if (group->joins[i] < 0)
                        return error_trace(-errno);
        }
        if (*cgroups->peak.file)
                group->peak = openat(
                        group->directories[cgroups->peak.tree], cgroups->peak.file, O_RDWR | O_CLOEXEC);
        return 0;
}

void group_close(struct group *group)
{
        fds_close(group->directories, group->n_trees);
        fds_close(group->joins, group->n_trees);
        fd_closep(&group->peak);
        group->n_trees = 0;
}

int group_join(const struct group *group)
{
        for (size_t i = 0; i < group->n_trees; i++) {
                if (write(group->joins[i], "0", 1) != 1)
                        return -errno;
        }
        return 0;
}

static uint64_t counter_read(const struct group *group, const struct brief_counter *counter)
{
        _cleanup_(fd_closep) int fd = -1;
        size_t length = strlen(counter->word);
        char text[1024], *line, *rest = text;
        ssize_t n;

        if (!*counter->file)
                return 0;
        fd = openat(group->directories[counter->tree], counter->file, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        text[MAX(n, 0)] = 0;
        while ((line = strsep(&rest, "\n"))) {
                if (length == 0 || (strncmp(line, counter->word, length) == 0 && line[length] == ' '))
                        return strtoull(line + length, NULL, 10) / counter->divisor;
        }
        return 0;
}

/* v1, and v2 since 6.12, start the mark anew when written to. */
static uint64_t peak_read(const struct group *group)
{
        char text[32] = "";

        if (group->peak < 0 || pread(group->peak, text, sizeof text - 1, 0) <= 0 ||
                pwrite(group->peak, "0", 1, 0) != 1)
                return 0;
        return strtoull(text, NULL, 10);
}

void group_read(const struct brief_cgroups *cgroups, struct group *group, struct group_usage *ret_usage)
{
        const struct brief_counter *const counters[GROUP_COUNTERS] = {
                [GROUP_KILLS] = &cgroups->kills,
                [GROUP_REFUSALS] = &cgroups->refusals,
                [GROUP_CPU] = &cgroups->cpu,
        };

        ret_usage->peak_memory_bytes = peak_read(group);
        for (size_t i = 0; i < GROUP_COUNTERS; i++) {
                uint64_t now = counter_read(group, counters[i]);

                ret_usage->since_last[i] = now - group->last[i];
                group->last[i] = now;
        }
}
