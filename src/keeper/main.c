/*
 * mayfly-keeper: the one privileged process. Run by the operator as root; trusts its settings and its own
 * children's packets no further than the tables that check them. Reads the settings, raises what can be
 * raised before anybody calls, and starts the others. See ARCHITECTURE.md.
 */
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/macros.h"
#include "keeper/keeper.h"
#include "keeper/server_process.h"
#include "keeper/slot.h"
#include "keeper/template.h"
#include "sandbox/capability.h"
#include "sandbox/interpreter.h"
#include "sandbox/plan.h"
#include "wire/runtime.h"

enum { EXIT_SETTINGS = 2, ERROR_SIZE = 512 };

static int prepare_privileges(struct keeper *keeper, char *error, size_t size);
static int prepare_library(struct keeper *keeper, char *error, size_t size);
static int prepare_cgroups(struct keeper *keeper, char *error, size_t size);
static int prepare_walls(struct keeper *keeper, char *error, size_t size);
static int prepare_templates(struct keeper *keeper, char *error, size_t size);
static int prepare_slots(struct keeper *keeper, char *error, size_t size);
static int prepare_plan(struct keeper *keeper, char *error, size_t size);

/* The start, in order. Each step leaves a message when it fails; the end undoes whatever was done. */
static int (*const steps[])(struct keeper *keeper, char *error, size_t size) = {
        prepare_privileges,
        prepare_library,
        server_open_socket,
        server_open_data,
        prepare_cgroups,
        prepare_walls,
        prepare_plan,
        prepare_templates,
        prepare_slots,
};

static int prepare_privileges(struct keeper *keeper, char *error, size_t size)
{
        uint64_t permitted = 0;
        struct rlimit files;
        int r;

        (void)keeper;
        if (geteuid() != 0) {
                snprintf(error, size,
                        "must be started as root: it raises walls around each call and gives up all rights "
                        "before any of your functions run");
                return -EPERM;
        }
        r = capabilities_read(&permitted);
        if (r == 0 && (permitted & capability_template_set) != capability_template_set) {
                snprintf(error, size,
                        "root lacks CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_SETUID or CAP_SETGID here; in a "
                        "container, add these capabilities");
                return -EPERM;
        }
        if (r == 0)
                r = capabilities_bound(capability_keeper_set);
        if (r == 0)
                r = capabilities_keep(permitted & capability_keeper_set, 0);
        /* A slot takes some ten descriptors. */
        if (r == 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                setrlimit(RLIMIT_NOFILE, &files);
        }
        /* Orphans of a dead template come to us, to be reaped. */
        if (r == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
                r = -errno;
        if (r < 0)
                snprintf(error, size, "cannot set up privileges: %s", strerror(-r));
        return r;
}

/* The others lie where this program lies: <library>/keeper/mayfly-keeper. */
static int prepare_library(struct keeper *keeper, char *error, size_t size)
{
        ssize_t n = readlink("/proc/self/exe", keeper->library, sizeof keeper->library - 1);

        if (n < 0) {
                snprintf(error, size, "/proc is not mounted");
                return -errno;
        }
        keeper->library[n] = 0;
        dirname(dirname(keeper->library));
        return 0;
}

static int prepare_cgroups(struct keeper *keeper, char *error, size_t size)
{
        const char *parent = keeper->settings.cgroup_parent;
        char problem[ERROR_SIZE];
        int r = cgroups_open(parent, getpid(), &keeper->cgroups, problem, sizeof problem);

        if (r < 0) {
                snprintf(error, size, "CGROUP_PARENT=%s: %s", parent ? parent : "", problem);
                return r;
        }
        r = keeper_start_janitor(keeper);
        if (r == 0)
                r = cgroup_new(&keeper->cgroups, "server", NULL, &keeper->server_group);
        if (r == 0)
                r = cgroup_new(&keeper->cgroups, "templates", NULL, &keeper->template_group);
        if (r == 0)
                r = cgroup_new(&keeper->cgroups, "anchors", NULL, &keeper->anchor_group);
        if (r < 0)
                snprintf(error, size, "cannot set up cgroups: %s", strerror(-r));
        else if (keeper->cgroups.walls != CGROUP_WALLS)
                log_warn("cgroups.missing", "problem=\"%s\"", problem);
        return r;
}

static int prepare_walls(struct keeper *keeper, char *error, size_t size)
{
        const char *bad;
        uint32_t allowed;
        size_t length;

        if (walls_parse(keeper->settings.allow_missing_walls, &allowed, &bad, &length) < 0) {
                snprintf(error, size, "ALLOW_MISSING_WALLS: %.*s is no wall that can be left out",
                        (int)length, bad);
                return -EINVAL;
        }
        keeper->walls_missing = walls_missing() | (CGROUP_WALLS & ~keeper->cgroups.walls);
        for (uint32_t wall = 0; wall < WALL_COUNT; wall++) {
                if (!(keeper->walls_missing & ~allowed & 1u << wall))
                        continue;
                snprintf(error, size,
                        "this host cannot raise the wall %s: %s; or start with --allow-missing-walls=%s to "
                        "do without it",
                        wall_name(wall), wall_cure(wall), wall_name(wall));
                return -EOPNOTSUPP;
        }
        return 0;
}

static int prepare_plan(struct keeper *keeper, char *error, size_t size)
{
        int r = plan_new(WALLS_ALL & ~keeper->walls_missing, &keeper->plan_fd);

        if (r < 0)
                snprintf(error, size, "cannot make the seccomp filters: %s", strerror(-r));
        return r;
}

/* Says which runtimes there are, and finds what they need inside. */
static int find_runtimes(struct keeper *keeper, struct rootfs_binds *binds, char *error, size_t size)
{
        struct settings *settings = &keeper->settings;
        uint32_t runtimes = 0;
        const char *bad;
        int r;

        if (runtimes_parse(settings->runtimes, &runtimes, &bad) < 0) {
                snprintf(error, size, "RUNTIMES: no runtime is called %s; there are python and node", bad);
                return -EINVAL;
        }
        for (int i = 0; i < RUNTIME_COUNT; i++) {
                if (runtimes & 1u << i)
                        template_init(&keeper->templates[i], i);
        }
        r = interpreter_guest(keeper->library, binds);
        if (r == 0 && runtimes & 1u << RUNTIME_PYTHON)
                r = interpreter_python(settings->python, binds, &keeper->python, error, size);
        if (r == 0 && runtimes & 1u << RUNTIME_NODE)
                r = interpreter_node(settings->node, keeper->library, binds, error, size);
        return r;
}

static int prepare_templates(struct keeper *keeper, char *error, size_t size)
{
        struct rootfs_binds binds = { 0 };
        int r = find_runtimes(keeper, &binds, error, size);

        if (r == 0)
                r = rootfs_build(&binds, keeper->settings.uid_base + UID_CELLS, (uint32_t)keeper->n_slots,
                        &keeper->rootfs, error, size);
        rootfs_binds_deinit(&binds);
        return r;
}

static int prepare_slots(struct keeper *keeper, char *error, size_t size)
{
        for (size_t i = 0; i < keeper->n_slots; i++) {
                int r = slot_init(keeper, &keeper->slots[i], (uint32_t)i);

                if (r < 0) {
                        snprintf(error, size, "cannot make slot %zu of %zu: %s", i, keeper->n_slots,
                                strerror(-r));
                        return r;
                }
        }
        return 0;
}

static int keeper_init(struct keeper *keeper)
{
        keeper->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (keeper->epoll < 0)
                return -errno;
        keeper->plan_fd = keeper->listen_fd = keeper->data_fd = keeper->janitor_fd = -1;
        keeper->signals.fd = keeper->server.fd = -1;
        keeper->n_slots = keeper->settings.max_containers + 2 * keeper->settings.spare_cells + SLOTS_EXTRA;
        keeper->templates = calloc(RUNTIME_COUNT, sizeof *keeper->templates);
        keeper->slots = calloc(keeper->n_slots, sizeof *keeper->slots);
        keeper->pending = calloc(keeper->n_slots + RUNTIME_COUNT, sizeof *keeper->pending);
        if (!keeper->templates || !keeper->slots || !keeper->pending)
                return -ENOMEM;
        for (int i = 0; i < RUNTIME_COUNT; i++) {
                template_init(&keeper->templates[i], i);
                keeper->templates[i].state = TEMPLATE_OFF;
        }
        for (size_t i = 0; i < keeper->n_slots; i++)
                keeper->slots[i] = (struct slot){ .anchor = { .fd = -1 }, .first_pidfd = -1 };
        return 0;
}

/* Ends every child and waits for it; the janitor last, since it clears up behind the others. */
static void keeper_deinit(struct keeper *keeper)
{
        if (keeper->server_pid > 0)
                kill(keeper->server_pid, SIGKILL);
        for (int i = 0; i < RUNTIME_COUNT; i++) {
                if (keeper->templates[i].pid > 0)
                        kill(keeper->templates[i].pid, SIGKILL);
                keeper_unwatch(keeper, &keeper->templates[i].control);
                fd_closep(&keeper->templates[i].test_output);
        }
        for (size_t i = 0; i < keeper->n_slots; i++) {
                if (keeper->slots[i].anchor_pid > 0)
                        kill(keeper->slots[i].anchor_pid, SIGKILL);
                slot_deinit(keeper, &keeper->slots[i]);
        }
        keeper_unwatch(keeper, &keeper->server);
        keeper_unwatch(keeper, &keeper->signals);
        cgroup_deinit(&keeper->server_group);
        cgroup_deinit(&keeper->template_group);
        cgroup_deinit(&keeper->anchor_group);
        fd_closep(&keeper->janitor_fd);
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
                ;
        fd_closep(&keeper->plan_fd);
        fd_closep(&keeper->listen_fd);
        fd_closep(&keeper->data_fd);
        fd_closep(&keeper->epoll);
        cgroups_deinit(&keeper->cgroups);
        free(keeper->rootfs.path);
        free(keeper->python);
        free(keeper->templates);
        free(keeper->slots);
        free(keeper->pending);
}

static int keeper_main(struct keeper *keeper)
{
        char error[ERROR_SIZE] = "";
        int r = keeper_init(keeper);

        log_set_level(keeper->settings.log_level);
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
                r = steps[i](keeper, error, sizeof error);
        if (r < 0) {
                fprintf(stderr, "mayfly-keeper: %s\n", error[0] ? error : strerror(-r));
                return EXIT_SETTINGS;
        }
        log_info("keeper.up", "slots=%zu cgroup=v%d pid=%d", keeper->n_slots, keeper->cgroups.version,
                getpid());
        return keeper_run(keeper);
}

int main(int argc, char **argv)
{
        struct keeper keeper = { 0 };
        char error[ERROR_SIZE] = "";
        int r = settings_load(argc, argv, environ, ".env", &keeper.settings, error, sizeof error), code = 0;

        signal(SIGPIPE, SIG_IGN);
        if (r == SETTINGS_HELP) {
                settings_print_help("mayfly-keeper");
        } else if (r == SETTINGS_VERSION) {
                printf("mayfly %s\n", MAYFLY_VERSION);
        } else if (r == SETTINGS_MARKDOWN) {
                settings_print_markdown();
        } else if (r < 0) {
                fprintf(stderr, "mayfly-keeper: %s\n", error);
                code = EXIT_SETTINGS;
        } else {
                code = keeper_main(&keeper);
                keeper_deinit(&keeper);
        }
        settings_deinit(&keeper.settings);
        return code;
}
