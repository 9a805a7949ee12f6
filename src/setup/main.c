/*
 * mayflyd: what an operator starts. It runs as root, for as long as it takes to prepare the host: it reads
 * the settings, raises what can be raised before anybody calls, writes down in the brief what it has made,
 * and then executes mayfly-keeper in its own place. It meets no byte from a client or a function: only the
 * operator's settings and files. See ARCHITECTURE.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/macros.h"
#include "base/memory_file.h"
#include "base/settings.h"
#include "sandbox/capability.h"
#include "sandbox/child.h"
#include "sandbox/plan.h"
#include "sandbox/wall.h"
#include "setup/brief_write.h"
#include "setup/data_dir.h"
#include "setup/host_cgroup.h"
#include "setup/interpreter.h"
#include "setup/janitor_start.h"
#include "setup/listen.h"
#include "setup/root_build.h"
#include "setup/server_files.h"
#include "wire/brief.h"
#include "wire/runtime.h"

enum { EXIT_SETTINGS = 2, ERROR_SIZE = 512 };
/* Beyond those that calls need: so that a slot being cleaned does not delay the next call, nor calls a
 * self-test. */
enum { SLOTS_EXTRA = 4 };
/* Open files: of the keeper, and of the server, which answers some connections beyond its limit too. */
enum { FILES_PER_SLOT = 20, FILES_PER_CELL = 4, FILES_REFUSED = 256, FILES_ELSE = 128 };
enum { N_FDS = BRIEF_FDS_END - BRIEF_FD };

struct setup {
        struct settings settings;
        struct brief brief;
        struct host_cgroups cgroups;
        uint32_t walls_missing;
        char data_dir[BRIEF_PATH]; /* absolute; "": functions are kept in Redis */
        char library[PATH_MAX];    /* where keeper, server, guest modules and node_modules lie */
        int fds[N_FDS];            /* by enum brief_fd - BRIEF_FD; -1: not open */
        char error[ERROR_SIZE];
};

static int prepare_privileges(struct setup *setup);
static int prepare_programs(struct setup *setup);
static int prepare_socket(struct setup *setup);
static int prepare_data(struct setup *setup);
static int prepare_cgroups(struct setup *setup);
static int prepare_walls(struct setup *setup);
static int prepare_files(struct setup *setup);
static int prepare_server_root(struct setup *setup);
static int prepare_groups(struct setup *setup);
static int prepare_plan(struct setup *setup);
static int prepare_templates(struct setup *setup);
static int prepare_limits(struct setup *setup);
static int prepare_settings(struct setup *setup);
static int prepare_brief(struct setup *setup);

/* In order. Each leaves a message when it fails; whatever was made before goes with the process, or is
 * cleared by the janitor. */
static int (*const steps[])(struct setup *setup) = {
        prepare_privileges,
        prepare_programs,
        prepare_socket,
        prepare_data,
        prepare_cgroups,
        prepare_walls,
        prepare_files,
        prepare_server_root,
        prepare_groups,
        prepare_plan,
        prepare_templates,
        prepare_limits,
        prepare_settings,
        prepare_brief,
};

static int *setup_fd(struct setup *setup, enum brief_fd fd)
{
        return &setup->fds[fd - BRIEF_FD];
}

static int __attribute__((format(printf, 3, 4))) fail(struct setup *setup, int r, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(setup->error, sizeof setup->error, format, args);
        va_end(args);
        return r;
}

#define BIT(capability) (UINT64_C(1) << (capability))

/*
 * What the keeper keeps, beyond what it hands to templates: NET_ADMIN brings a slot's loopback up,
 * NET_BIND_SERVICE binds port 80, KILL ends other users' processes, CHOWN gives DATA_DIR to the server,
 * SETPCAP bounds its children, DAC_* open what the operator configured below private directories,
 * SYS_RESOURCE (if there) raises hard limits.
 */
static const uint64_t capability_keeper_set =
        BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_CHROOT) | BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_NET_ADMIN) |
        BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_KILL) | BIT(CAP_CHOWN) | BIT(CAP_FOWNER) | BIT(CAP_SETPCAP) |
        BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_SYS_RESOURCE);

static int prepare_privileges(struct setup *setup)
{
        uint64_t permitted = 0;
        struct rlimit files;
        int r;

        if (geteuid() != 0)
                return fail(setup, -EPERM,
                        "must be started as root: it raises walls around each call and gives up all rights "
                        "before any of your functions run");
        r = capabilities_read(&permitted);
        if (r == 0 && (permitted & capability_template_set) != capability_template_set)
                return fail(setup, -EPERM,
                        "root lacks CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_SETUID or CAP_SETGID here; in a "
                        "container, add these capabilities");
        if (r == 0)
                r = capabilities_bound(capability_keeper_set);
        if (r == 0)
                r = capabilities_keep(permitted & capability_keeper_set, 0);
        if (r == 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                setrlimit(RLIMIT_NOFILE, &files);
        }
        /* Orphans of a dead template come to the keeper, to be reaped: this outlives the execve(2). */
        if (r == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
                r = -errno;
        return r < 0 ? fail(setup, r, "cannot set up privileges: %s", strerror(-r)) : 0;
}

/* The others lie where this program lies: <library>/setup/mayflyd. */
static int prepare_programs(struct setup *setup)
{
        static const struct {
                enum brief_fd fd;
                const char *name;
        } programs[] = {
                { BRIEF_SERVER_FD, "server/mayfly-server" },
                { BRIEF_JANITOR_FD, "janitor/mayfly-janitor" },
        };
        ssize_t n = readlink("/proc/self/exe", setup->library, sizeof setup->library - 1);

        if (n < 0)
                return fail(setup, -errno, "/proc is not mounted");
        setup->library[n] = 0;
        dirname(dirname(setup->library));
        for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
                char path[PATH_MAX + 32];

                snprintf(path, sizeof path, "%s/%s", setup->library, programs[i].name);
                *setup_fd(setup, programs[i].fd) = open(path, O_RDONLY | O_CLOEXEC);
                if (*setup_fd(setup, programs[i].fd) < 0)
                        return fail(setup, -errno, "%s: %s; it belongs beside this program", path,
                                strerror(errno));
        }
        return 0;
}

static int prepare_socket(struct setup *setup)
{
        const struct settings *settings = &setup->settings;
        int fd = listen_open(settings->http_host, settings->http_port, setup->error, sizeof setup->error);

        *setup_fd(setup, BRIEF_LISTEN_FD) = fd;
        return fd < 0 ? fd : 0;
}

/* With Redis there is none, so that several may run in one directory, and `mayfly import` beside them. */
static int prepare_data(struct setup *setup)
{
        const struct settings *settings = &setup->settings;
        int fd;

        if (!settings_use_redis(settings))
                return data_dir_open(settings->data_dir, settings->uid_base + UID_SERVER, setup->data_dir,
                        sizeof setup->data_dir, setup_fd(setup, BRIEF_DATA_FD), setup->error,
                        sizeof setup->error);
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        *setup_fd(setup, BRIEF_DATA_FD) = fd;
        return fd < 0 ? fail(setup, -errno, "/dev/null: %s", strerror(errno)) : 0;
}

static int start_janitor(struct setup *setup)
{
        struct brief *brief = &setup->brief;
        pid_t pid = 0;
        int r = brief_add(brief->janitor, sizeof brief->janitor, "mayfly-janitor");

        if (r == 0)
                r = brief_add(brief->janitor, sizeof brief->janitor, brief->root);
        for (uint32_t i = 0; r == 0 && i < brief->cgroups.n_trees; i++)
                r = brief_add(brief->janitor, sizeof brief->janitor, brief->cgroups.trees[i]);
        if (r == 0)
                r = janitor_start(*setup_fd(setup, BRIEF_JANITOR_FD), brief->janitor, &pid,
                        setup_fd(setup, BRIEF_PIPE_FD));
        brief->janitor_pid = pid;
        return r < 0 ? fail(setup, r, "cannot start mayfly-janitor: %s", strerror(-r)) : 0;
}

/* From here on there is something to clear away, also if this step fails half way. */
static int prepare_cgroups(struct setup *setup)
{
        const char *parent = setup->settings.cgroup_parent;
        char problem[ERROR_SIZE / 2];
        int r, janitor_r;

        snprintf(setup->brief.root, sizeof setup->brief.root, "/run/mayfly-%d", getpid());
        r = host_cgroups_open(parent, getpid(), &setup->cgroups, problem, sizeof problem);
        setup->brief.cgroups = setup->cgroups.files;
        janitor_r = start_janitor(setup);
        if (r < 0)
                return fail(setup, r, "CGROUP_PARENT=%s: %s", parent ? parent : "", problem);
        if ((setup->cgroups.walls & CGROUP_WALLS) != CGROUP_WALLS)
                log_warn("cgroups.missing", "problem=\"%s\"", problem);
        return janitor_r;
}

static int prepare_walls(struct setup *setup)
{
        const char *bad;
        uint32_t allowed;
        size_t length;

        if (walls_parse(setup->settings.allow_missing_walls, &allowed, &bad, &length) < 0)
                return fail(setup, -EINVAL, "ALLOW_MISSING_WALLS: %.*s is no wall that can be left out",
                        (int)length, bad);
        setup->walls_missing = walls_missing() | (CGROUP_WALLS & ~setup->cgroups.walls);
        for (uint32_t wall = 0; wall < WALL_COUNT; wall++) {
                if (setup->walls_missing & ~allowed & 1u << wall)
                        return fail(setup, -EOPNOTSUPP,
                                "this host cannot raise the wall %s: %s; or start with "
                                "--allow-missing-walls=%s to do without it",
                                wall_name(wall), wall_cure(wall), wall_name(wall));
        }
        return 0;
}

/* A process that ran out of them would lose calls. */
static int prepare_files(struct setup *setup)
{
        const struct settings *settings = &setup->settings;
        uint32_t keeper, server;
        struct rlimit files;

        setup->brief.n_slots = settings->max_containers + 2 * settings->spare_cells + SLOTS_EXTRA;
        keeper = setup->brief.n_slots * FILES_PER_SLOT + FILES_ELSE;
        server = setup->brief.n_slots * FILES_PER_CELL + settings->http_connections_max + FILES_ELSE +
                 FILES_REFUSED;
        if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= MAX(keeper, server))
                return 0;
        return fail(setup, -EMFILE,
                "MAX_CONTAINERS=%u takes %u open files, HTTP_MAX_CONNECTIONS=%u beside it %u, and the limit "
                "is "
                "%llu; raise it (ulimit -n, LimitNOFILE=), or lower these or SPARE_CELLS",
                settings->max_containers, keeper, settings->http_connections_max, server,
                (unsigned long long)files.rlim_cur);
}

static int prepare_server_root(struct setup *setup)
{
        server_files_bind(setup->brief.root, setup->data_dir, setup->brief.server_binds);
        return 0;
}

static int prepare_groups(struct setup *setup)
{
        const struct settings *settings = &setup->settings;
        const uint64_t limits[BRIEF_LIMITS] = {
                [BRIEF_MEMORY] = settings->max_memory_bytes,
                [BRIEF_PROCESSES] = settings->max_processes,
                [BRIEF_CPUS] = settings->max_cpus_milli,
        };
        static const char *const others[] = { "server", "templates", "anchors" };
        char name[32];
        int r = 0;

        host_cgroups_limit(&setup->cgroups, limits);
        setup->brief.cgroups = setup->cgroups.files;
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(others); i++)
                r = host_cgroups_add(&setup->cgroups, others[i], NULL);
        for (uint32_t i = 0; r == 0 && i < setup->brief.n_slots; i++) {
                snprintf(name, sizeof name, "slot-%u", i);
                r = host_cgroups_add(&setup->cgroups, name, limits);
        }
        return r < 0 ? fail(setup, r, "cannot set up cgroups: %s", strerror(-r)) : 0;
}

static int prepare_plan(struct setup *setup)
{
        int r = plan_new(WALLS_ALL & ~setup->walls_missing, setup_fd(setup, BRIEF_PLAN_FD));

        return r < 0 ? fail(setup, r, "cannot make the seccomp filters: %s", strerror(-r)) : 0;
}

static int prepare_templates(struct setup *setup)
{
        const struct settings *settings = &setup->settings;
        struct root_binds binds = { 0 };
        uint32_t runtimes = 0;
        const char *bad;
        int r;

        if (runtimes_parse(settings->runtimes, &runtimes, &bad) < 0)
                return fail(
                        setup, -EINVAL, "RUNTIMES: no runtime is called %s; there are python and node", bad);
        r = interpreters_find(
                settings, setup->library, runtimes, &binds, &setup->brief, setup->error, sizeof setup->error);
        if (r == 0)
                r = root_build(setup->brief.root, &binds, settings->uid_base + UID_CELLS,
                        setup->brief.n_slots, setup->error, sizeof setup->error);
        root_binds_deinit(&binds);
        return r < 0 && !setup->error[0] ? fail(setup, r, "cannot prepare the templates: %s", strerror(-r))
                                         : r;
}

/* What each process of a cell may use, laid on its template and inherited; what the whole cell may use is its
 * cgroup's. The host's own limit may be the lower one. */
static int prepare_limits(struct setup *setup)
{
        const struct settings *settings = &setup->settings;
        const struct {
                int resource;
                rlim_t value, template_value; /* 0: the same */
        } limits[] = {
                { RLIMIT_NOFILE, settings->max_open_files, 0 },
                /* In case the cgroup lets more pass. The kernel asks this first and counts what is being
                 * forked: at most one for each process, so that it is the cgroup that refuses, and tells of
                 * it. */
                { RLIMIT_NPROC, 2 * (rlim_t)settings->max_processes + 1, 0 },
                { RLIMIT_FSIZE, settings->max_tmp_bytes, RLIM_INFINITY },
                { RLIMIT_CORE, 0, 0 },
                { RLIMIT_MSGQUEUE, 0, 0 },
                { RLIMIT_MEMLOCK, 65536, RLIM_INFINITY },
                { RLIMIT_STACK, 8 << 20, 0 },
        };

        for (int i = 0; i < RLIM_NLIMITS; i++) {
                if (getrlimit(i, &setup->brief.rlimits[i]) < 0)
                        return fail(
                                setup, -errno, "cannot read the limits of processes: %s", strerror(errno));
        }
        for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
                struct rlimit *limit = &setup->brief.rlimits[limits[i].resource];

                limit->rlim_cur = MIN(limit->rlim_max, limits[i].value);
                limit->rlim_max = MIN(limit->rlim_max, MAX(limits[i].value, limits[i].template_value));
        }
        setup->brief.tmp_bytes = settings->max_tmp_bytes;
        setup->brief.tmp_files = settings->max_tmp_files;
        return 0;
}

/* For the server, and past the keeper: the secrets among them are no business of a process beside cells. */
static int prepare_settings(struct setup *setup)
{
        struct settings settings = setup->settings;
        struct server_files files = { 0 };
        char missing[256], *text = NULL;
        size_t length = 0;
        char **pairs;
        FILE *file;
        int r = server_files_read(&files, &settings, setup->error, sizeof setup->error);

        if (r < 0)
                return r;
        r = -ENOMEM;
        settings.data_dir = (char *)SERVER_DATA_DIR;
        settings.allow_missing_walls = (char *)walls_format(setup->walls_missing, missing, sizeof missing);
        pairs = settings_environment(&settings);
        file = open_memstream(&text, &length);
        for (char **pair = pairs; file && pair && *pair; pair++)
                fwrite(*pair, 1, strlen(*pair) + 1, file);
        if (file && fclose(file) == 0 && length - files.length > SETTINGS_BYTES_MAX)
                r = -E2BIG;
        else if (file && pairs)
                r = memory_file("mayfly-settings", text, length, setup_fd(setup, BRIEF_SETTINGS_FD));
        settings_environment_free(pairs);
        server_files_deinit(&files);
        free(text);
        return r < 0 ? fail(setup, r, "cannot write the settings down: %s", strerror(-r)) : 0;
}

static int prepare_brief(struct setup *setup)
{
        struct brief *brief = &setup->brief;
        int r;

        brief->log_level = setup->settings.log_level;
        brief->uid_base = setup->settings.uid_base;
        brief->drain_timeout_ms = setup->settings.drain_timeout_ms;
        r = memory_file("mayfly-brief", brief, sizeof *brief, setup_fd(setup, BRIEF_FD));
        return r < 0 ? fail(setup, r, "cannot write the brief: %s", strerror(-r)) : 0;
}

/* Nothing of the operator's environment but what helps to find faults in mayfly itself. */
static int become_keeper(struct setup *setup)
{
        static const char *const kept[] = { "MAYFLY_TRACE", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS" };
        char path[PATH_MAX + 32], *environment[ARRAY_SIZE(kept) + 1] = { NULL };
        char *const arguments[] = { (char *)"mayfly-keeper", NULL };
        size_t n = 0;
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
                const char *value = getenv(kept[i]);

                if (value && asprintf(&environment[n++], "%s=%s", kept[i], value) < 0)
                        return fail(setup, -ENOMEM, "out of memory");
        }
        snprintf(path, sizeof path, "%s/keeper/mayfly-keeper", setup->library);
        r = capabilities_bound(
                capability_keeper_set & ~(BIT(CAP_CHOWN) | BIT(CAP_FOWNER) | BIT(CAP_NET_BIND_SERVICE)));
        if (r == 0)
                r = child_keep_fds(setup->fds, N_FDS);
        if (r == 0) {
                execve(path, arguments, environment);
                r = -errno;
        }
        return fail(setup, r, "cannot start %s: %s", path, strerror(-r));
}

static int setup_run(struct setup *setup)
{
        int r = 0, null;

        do
                null = open("/dev/null", O_RDWR);
        while (null >= 0 && null <= STDERR_FILENO);
        close(null);

        log_set_level(setup->settings.log_level);
        for (size_t i = 0; i < N_FDS; i++)
                setup->fds[i] = -1;
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
                r = steps[i](setup);
        if (r == 0)
                r = become_keeper(setup);
        fprintf(stderr, "mayflyd: %s\n", setup->error[0] ? setup->error : strerror(-r));
        return EXIT_SETTINGS;
}

int main(int argc, char **argv)
{
        static struct setup setup;
        int code = 0;
        int r = settings_load(argc, argv, environ, ".env", &setup.settings, setup.error, sizeof setup.error);

        if (r == SETTINGS_HELP) {
                settings_print_help("mayflyd");
        } else if (r == SETTINGS_VERSION) {
                printf("mayfly %s\n", MAYFLY_VERSION);
        } else if (r == SETTINGS_MARKDOWN) {
                settings_print_markdown();
        } else if (r < 0) {
                fprintf(stderr, "mayflyd: %s\n", setup.error);
                code = EXIT_SETTINGS;
        } else {
                code = setup_run(&setup);
        }
        settings_deinit(&setup.settings);
        return code;
}
