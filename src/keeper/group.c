#include "keeper/group.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"

static int open_file(
        const struct brief_cgroups *files, uint32_t tree, const char *name, const char *file, int flags)
{
        char path[BRIEF_PATH + 80];

        snprintf(path, sizeof path, "%s/%s/%s", files->trees[tree], name, file);
        return open(path, flags | O_CLOEXEC);
}

int group_open(const struct brief_cgroups *files, const char *name, struct group *group)
{
        *group = (struct group){ .files = files };
        for (uint32_t i = 0; i < files->n_trees; i++) {
                group->joins[i] = open_file(files, i, name, files->join, O_WRONLY);
                if (group->joins[i] < 0)
                        return -errno;
        }
        for (size_t i = 0; i < BRIEF_COUNTERS; i++) {
                const struct brief_counter *counter = &files->counters[i];

                group->counters[i] = !*counter->file ? -1
                                                     : open_file(files, counter->tree, name, counter->file,
                                                               i == BRIEF_PEAK ? O_RDWR : O_RDONLY);
        }
        for (uint32_t i = 0; i < files->n_limits; i++) {
                group->limits[i] =
                        open_file(files, files->limits[i].tree, name, files->limits[i].file, O_WRONLY);
                if (group->limits[i] < 0)
                        return -errno;
        }
        return 0;
}

int group_join(const struct group *group)
{
        for (uint32_t i = 0; i < group->files->n_trees; i++) {
                if (write(group->joins[i], "0", 1) != 1)
                        return -errno;
        }
        return 0;
}

static uint64_t counter_read(int fd, const struct brief_counter *counter)
{
        size_t length = strlen(counter->word);
        char text[1024], *line, *rest = text;
        ssize_t n = fd < 0 ? 0 : pread(fd, text, sizeof text - 1, 0);

        text[MAX(n, 0)] = 0;
        while (n > 0 && (line = strsep(&rest, "\n"))) {
                if (length == 0 || (strncmp(line, counter->word, length) == 0 && line[length] == ' '))
                        return strtoull(line + length, NULL, 10) / counter->divisor;
        }
        return 0;
}

void group_read(struct group *group, uint64_t ret_counts[BRIEF_COUNTERS])
{
        for (size_t i = 0; i < BRIEF_COUNTERS; i++) {
                uint64_t now = counter_read(group->counters[i], &group->files->counters[i]);

                ret_counts[i] = now - group->last[i];
                group->last[i] = now;
        }
        if (pwrite(group->counters[BRIEF_PEAK], "0", 1, 0) != 1)
                ret_counts[BRIEF_PEAK] = 0;
        group->last[BRIEF_PEAK] = group->last[BRIEF_ALIVE] = 0; /* they are no sums */
}

static int limit_write(const struct group *group, uint32_t i, uint64_t value)
{
        const struct brief_limit *limit = &group->files->limits[i];
        char text[64];
        int n = snprintf(
                text, sizeof text, "%" PRIu64 "%s", MAX(value * limit->factor, limit->least), limit->rest);

        return pwrite(group->limits[i], text, (size_t)n, 0) == n ? 0 : -errno;
}

int group_lower(const struct group *group, const uint64_t limits[BRIEF_LIMITS])
{
        int r = 0;

        for (uint32_t i = 0; r == 0 && i < group->files->n_limits; i++) {
                uint64_t value = limits[group->files->limits[i].name];

                if (value > 0 && value < group->files->limits[i].value)
                        r = limit_write(group, i, value);
        }
        return r;
}

int group_restore(const struct group *group)
{
        int r = 0;

        for (uint32_t i = group->files->n_limits; r == 0 && i-- > 0;)
                r = limit_write(group, i, group->files->limits[i].value);
        return r;
}
