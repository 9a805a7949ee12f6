/* The walls one by one, each raised in a child of its own. Needs root, as the keeper does. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/seccomp.h>
#include <netinet/in.h>

#include "base/fd.h"
#include "keeper/group.h"
#include "sandbox/capability.h"
#include "sandbox/child.h"
#include "sandbox/landlock.h"
#include "sandbox/loopback.h"
#include "sandbox/plan.h"
#include "sandbox/wall.h"
#include "setup/brief_write.h"
#include "setup/host_cgroup.h"
#include "setup/janitor_start.h"

/* Runs the body in a child; a check that fails ends it. */
#define CHECK(condition)                                                                                     \
        do {                                                                                                 \
                if (!(condition)) {                                                                          \
                        fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #condition, errno);            \
                        _exit(1);                                                                            \
                }                                                                                            \
        } while (0)

static void in_child(void (*body)(void))
{
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                body();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void test_optional_walls_may_be_named(void **state)
{
        const char *bad = NULL;
        uint32_t set = 0;
        size_t length = 0;

        (void)state;
        assert_int_equal(walls_parse("landlock,cgroup_cpu", &set, &bad, &length), 0);
        assert_int_equal(set, 1u << WALL_LANDLOCK | 1u << WALL_CGROUP_CPU);
        assert_int_equal(walls_parse(NULL, &set, &bad, &length), 0);
        assert_int_equal(set, 0);
}

static void test_structural_and_unknown_walls_are_refused_by_name(void **state)
{
        const char *bad = NULL;
        uint32_t set = 0;
        size_t length = 0;

        (void)state;
        assert_int_equal(walls_parse("landlock,uid", &set, &bad, &length), -EINVAL);
        assert_int_equal(length, 3);
        assert_memory_equal(bad, "uid", 3);
        assert_int_equal(walls_parse("moat", &set, &bad, &length), -EINVAL);
        assert_memory_equal(bad, "moat", 4);
}

static void test_every_wall_has_a_name_and_a_cure(void **state)
{
        char names[512];

        (void)state;
        for (uint32_t wall = 0; wall < WALL_COUNT; wall++) {
                assert_true(strlen(wall_name(wall)) > 2);
                assert_true(strlen(wall_cure(wall)) > 10);
        }
        assert_string_equal(wall_name(WALL_COUNT), "?");
        assert_string_equal(walls_format(1u << WALL_SECCOMP | 1u << WALL_LANDLOCK, names, sizeof names),
                "landlock,seccomp");
}

static void test_a_plan_cannot_be_changed_once_made(void **state)
{
        _cleanup_(fd_closep) int fd = -1;
        const struct plan *plan = NULL;

        (void)state;
        assert_int_equal(plan_new(WALLS_ALL, &fd), 0);
        assert_int_equal(plan_map(fd, &plan), 0);
        assert_int_equal(plan->walls, WALLS_ALL);
        assert_true(plan->template_length > 50 && plan->cell_length > 5);
        assert_int_equal(write(fd, "x", 1), -1);
        assert_int_equal(ftruncate(fd, 0), -1);
}

static void test_a_cut_plan_is_refused(void **state)
{
        _cleanup_(fd_closep) int fd = memfd_create("plan", MFD_CLOEXEC);
        const struct plan header = { .template_length = 1000000 };
        const struct plan *plan = NULL;

        (void)state;
        assert_int_equal(plan_map(fd, &plan), -EBADMSG);
        assert_int_equal(write(fd, &header, sizeof header), sizeof header);
        assert_int_equal(plan_map(fd, &plan), -EBADMSG);
}

static void install(const struct sock_filter *filter, size_t length)
{
        struct sock_fprog program = { .len = (unsigned short)length, .filter = (struct sock_filter *)filter };

        CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

static const struct plan *any_plan(void)
{
        const struct plan *plan = NULL;
        int fd = -1;

        CHECK(plan_new(WALLS_ALL, &fd) == 0);
        CHECK(plan_map(fd, &plan) == 0);
        return plan;
}

static bool refused(long result)
{
        return result == -1 && errno == EPERM;
}

static void body_filter_refuses(void)
{
        const struct plan *plan = any_plan();

        install(plan_template_filter(plan), plan->template_length);
        CHECK(refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)));
        CHECK(refused(syscall(SYS_mount, 0, 0, 0, 0, 0)));
        CHECK(refused(syscall(SYS_bpf, 0, 0, 0)));
        CHECK(refused(syscall(SYS_unshare, CLONE_NEWUSER)));
        CHECK(refused(syscall(SYS_execve, "/bin/true", NULL, NULL)));
        CHECK(refused(syscall(SYS_keyctl, 0, 0, 0, 0, 0)));
        CHECK(refused(syscall(SYS_io_uring_setup, 1, NULL)));
        CHECK(refused(syscall(SYS_pidfd_open, 1, 0)));
        CHECK(refused(syscall(1000)));
}

static void body_filter_looks_at_arguments(void)
{
        const struct plan *plan = any_plan();

        install(plan_template_filter(plan), plan->template_length);
        CHECK(refused(socket(AF_NETLINK, SOCK_RAW, 0)));
        CHECK(refused(socket(AF_PACKET, SOCK_RAW, 0)));
        CHECK(refused(socket(AF_INET, SOCK_RAW, 1)));
        CHECK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
        CHECK(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0) >= 0);
        CHECK(refused(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)));
        CHECK(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
        CHECK(refused(syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x")));
        CHECK(refused(syscall(
                SYS_ioctl, 0, 0x100005412ul, "x"))); /* CVE-2019-10063: the kernel drops the upper half */
        CHECK(refused(prctl(PR_SET_PTRACER, 1, 0, 0, 0)));
        CHECK(getpid() > 0 && getuid() == 0);
}

static void body_cell_filter_shuts_the_door(void)
{
        const struct plan *plan = any_plan();

        install(plan_template_filter(plan), plan->template_length);
        CHECK(syscall(SYS_setns, -1, 0) == -1 && errno == EBADF); /* still open to the template */
        install(plan_cell_filter(plan), plan->cell_length);
        CHECK(refused(syscall(SYS_setns, -1, 0)));
        CHECK(refused(syscall(SYS_setresuid, 0, 0, 0)));
        CHECK(refused(syscall(SYS_capset, NULL, NULL)));
        CHECK(refused(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL)));
        CHECK(refused(prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)));
        CHECK(getpid() > 0);
}

static void test_filter_refuses_what_interpreters_do_not_need(void **state)
{
        (void)state;
        in_child(body_filter_refuses);
}

static void test_filter_looks_at_arguments(void **state)
{
        (void)state;
        in_child(body_filter_looks_at_arguments);
}

static void test_cell_filter_shuts_the_door_behind_itself(void **state)
{
        (void)state;
        in_child(body_cell_filter_shuts_the_door);
}

static void body_x32_call(void)
{
        const struct plan *plan = any_plan();

        install(plan_template_filter(plan), plan->template_length);
        syscall(0x40000000 | SYS_getpid);
}

static void test_calls_of_another_abi_end_the_process(void **state)
{
        int status = -1;
        pid_t pid;

        (void)state;
        pid = fork();
        if (pid == 0) {
                body_x32_call();
                _exit(0);
        }
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static void body_landlock(void)
{
        CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        CHECK(landlock_enter() == 0);
        CHECK(open("/mayfly-landlock-test", O_CREAT | O_WRONLY, 0600) == -1 && errno == EACCES);
        CHECK(open("/tmp/mayfly-landlock-test", O_CREAT | O_WRONLY, 0600) >= 0);
        CHECK(unlink("/tmp/mayfly-landlock-test") == 0);
        CHECK(open("/etc/passwd", O_RDONLY) >= 0);
        CHECK(execl("/bin/true", "true", NULL) == -1 && errno == EACCES);
}

static void test_landlock_leaves_tmp_alone_writable_and_nothing_executable(void **state)
{
        (void)state;
        if (landlock_abi() < 1)
                fail_msg("this kernel has no Landlock: the wall cannot be tested here");
        in_child(body_landlock);
}

static void body_become(void)
{
        uint64_t permitted = 1;

        CHECK(child_become(70001, 0) == 0);
        CHECK(getuid() == 70001 && getgid() == 70001);
        CHECK(capabilities_read(&permitted) == 0 && permitted == 0);
        CHECK(prctl(PR_CAPBSET_READ, 21, 0, 0, 0) == 0);
        CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
        CHECK(setuid(0) == -1);
}

static void body_become_template(void)
{
        uint64_t permitted = 0;

        CHECK(child_become(70001, capability_template_set) == 0);
        CHECK(capabilities_read(&permitted) == 0 && permitted == capability_template_set);
        CHECK(prctl(PR_CAPBSET_READ, 21, 0, 0, 0) == 0);
        CHECK(chown("/tmp", 70001, 70001) == -1);
}

static void test_becoming_somebody_leaves_no_right_behind(void **state)
{
        (void)state;
        in_child(body_become);
        in_child(body_become_template);
}

static void body_loopback(void)
{
        uint64_t packets = 1;
        char byte = 'x';
        int net_dev;

        CHECK(unshare(CLONE_NEWNET) == 0);
        CHECK(loopback_up() == 0);
        net_dev = open("/proc/self/net/dev", O_RDONLY);
        CHECK(loopback_packets(net_dev, &packets) == 0 && packets == 0);

        struct sockaddr_in6 address = {
                .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = IN6ADDR_LOOPBACK_INIT
        };
        int fd = socket(AF_INET6, SOCK_DGRAM, 0);

        CHECK(sendto(fd, &byte, 1, 0, (struct sockaddr *)&address, sizeof address) == 1);
        CHECK(loopback_packets(net_dev, &packets) == 0 && packets > 0);
        CHECK(loopback_packets(-1, &packets) == -EBADF);
}

static void test_a_used_network_shows_it(void **state)
{
        (void)state;
        in_child(body_loopback);
}

static void body_cgroup(void)
{
        const uint64_t limits[BRIEF_LIMITS] = {
                [BRIEF_MEMORY] = 64 << 20, [BRIEF_PROCESSES] = 5, [BRIEF_CPUS] = 500
        };
        uint64_t counts[BRIEF_COUNTERS] = { 0 };
        struct host_cgroups cgroups;
        const struct brief_cgroups *files = &cgroups.files;
        struct group group;
        char problem[256];
        int forked = 0;
        clock_t burnt;

        CHECK(host_cgroups_open(NULL, getpid(), &cgroups, problem, sizeof problem) == 0);
        CHECK(cgroups.walls & 1u << WALL_CGROUP_PIDS);
        CHECK(host_cgroups_add(&cgroups, "cell", limits) == 0);
        CHECK(group_open(files, "cell", &group) == 0);
        group_read(&group, counts);
        if (fork() == 0) {
                CHECK(group_join(&group) == 0);
                for (; forked < 20; forked++) {
                        pid_t pid = fork();

                        if (pid == 0) {
                                burnt = clock();
                                while (clock() - burnt < CLOCKS_PER_SEC / 20) /* each burns 50 ms of CPU */
                                        ;
                                for (;;)
                                        pause();
                        }
                        if (pid < 0)
                                break;
                }
                CHECK(forked == 4 && errno == EAGAIN);
                for (;;)
                        pause();
        }
        uint64_t refusals = 0, cpu_us = 0;

        for (int i = 0; i < 500 && (!refusals || cpu_us < 200000); i++) {
                group_read(&group, counts);
                refusals += counts[BRIEF_REFUSALS];
                cpu_us += counts[BRIEF_CPU];
                usleep(10000);
        }
        CHECK(refusals == 1);
        CHECK(cpu_us >= 200000 && cpu_us < 2000000);           /* of children that nobody waits for */
        CHECK(counts[BRIEF_PEAK] > 0 || cgroups.version == 2); /* v2 starts it anew since 6.12 */

        /* Five processes are still in there: the janitor ends them. */
        char list[(BRIEF_TREES + 2) * BRIEF_PATH] = "";
        int program = open(getenv("MAYFLY_JANITOR"), O_RDONLY | O_CLOEXEC), pipe_fd = -1, status = -1;
        pid_t janitor = 0;

        CHECK(brief_add(list, sizeof list, "mayfly-janitor") == 0);
        CHECK(brief_add(list, sizeof list, "/run/mayfly-no-such") == 0);
        for (uint32_t i = 0; i < files->n_trees; i++)
                CHECK(brief_add(list, sizeof list, files->trees[i]) == 0);
        CHECK(janitor_start(program, list, &janitor, &pipe_fd) == 0);
        CHECK(access(files->trees[0], F_OK) == 0);
        close(pipe_fd);
        CHECK(waitpid(janitor, &status, 0) == janitor && status == 0);
        for (uint32_t i = 0; i < files->n_trees; i++)
                CHECK(access(files->trees[i], F_OK) == -1);
}

/* --- limits of a group --- */

static const uint64_t settings_limits[BRIEF_LIMITS] = {
        [BRIEF_MEMORY] = 64 << 20, [BRIEF_PROCESSES] = 20, [BRIEF_CPUS] = 500
};

static void read_file(const struct brief_cgroups *files, uint32_t tree, const char *file, char text[64])
{
        char path[BRIEF_PATH + 80];
        FILE *stream;

        snprintf(path, sizeof path, "%s/cell/%s", files->trees[tree], file);
        stream = fopen(path, "r");
        CHECK(stream && fgets(text, 64, stream));
        text[strcspn(text, "\n")] = 0;
        fclose(stream);
}

/* The number in every file that holds this limit; there is one at least. */
static void check_limit(
        const struct brief_cgroups *files, enum brief_limit_name name, unsigned long long number)
{
        bool found = false;

        for (uint32_t i = 0; i < files->n_limits; i++) {
                char text[64];

                if (files->limits[i].name != name)
                        continue;
                found = true;
                read_file(files, files->limits[i].tree, files->limits[i].file, text);
                CHECK(strtoull(text, NULL, 10) == number);
        }
        CHECK(found);
}

static void check_limits(const struct brief_cgroups *files, unsigned long long memory,
        unsigned long long processes, unsigned long long cpu_us)
{
        check_limit(files, BRIEF_MEMORY, memory);
        check_limit(files, BRIEF_PROCESSES, processes);
        check_limit(files, BRIEF_CPUS, cpu_us);
}

static int lower(const struct group *group, uint64_t memory, uint64_t processes, uint64_t cpus_milli)
{
        const uint64_t limits[BRIEF_LIMITS] = {
                [BRIEF_MEMORY] = memory, [BRIEF_PROCESSES] = processes, [BRIEF_CPUS] = cpus_milli
        };

        return group_lower(group, limits);
}

/* A program of this many bytes in the group: its status as of wait(2). */
static int run_in(const struct group *group, size_t bytes)
{
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                CHECK(group_join(group) == 0);
                char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                CHECK(memory != MAP_FAILED);
                memset(memory, 1, bytes);
                _exit(0);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        return status;
}

static void remove_groups(const struct brief_cgroups *files)
{
        for (uint32_t i = 0; i < files->n_trees; i++) {
                char path[BRIEF_PATH + 8];

                snprintf(path, sizeof path, "%s/cell", files->trees[i]);
                for (int n = 0; rmdir(path) < 0 && errno == EBUSY && n < 500; n++)
                        usleep(10000); /* the dead leave a little later */
                CHECK(rmdir(files->trees[i]) == 0);
        }
}

static void body_limits(void)
{
        struct host_cgroups cgroups;
        const struct brief_cgroups *files = &cgroups.files;
        struct group group;
        char problem[256];

        CHECK(host_cgroups_open(NULL, getpid(), &cgroups, problem, sizeof problem) == 0);
        host_cgroups_limit(&cgroups, settings_limits);
        CHECK(host_cgroups_add(&cgroups, "cell", settings_limits) == 0);
        CHECK(group_open(files, "cell", &group) == 0);
        check_limits(files, 64 << 20, 20, 50000);
        CHECK(run_in(&group, 40 << 20) == 0);

        CHECK(lower(&group, 32 << 20, 7, 250) == 0);
        check_limits(files, 32 << 20, 7, 25000);
        CHECK(WTERMSIG(run_in(&group, 40 << 20)) == SIGKILL);
        CHECK(group_restore(&group) == 0);
        check_limits(files, 64 << 20, 20, 50000);
        CHECK(run_in(&group, 40 << 20) == 0);

        CHECK(lower(&group, 0, 3, 0) == 0);
        check_limits(files, 64 << 20, 3, 50000);
        CHECK(group_restore(&group) == 0);
        CHECK(lower(&group, (64 << 20) + 4096, 21, 501) == 0);
        check_limits(files, 64 << 20, 20, 50000);
        CHECK(lower(&group, 0, 0, 1) == 0);
        check_limits(files, 64 << 20, 20, 1000); /* the kernel takes no less */
        CHECK(group_restore(&group) == 0);
        check_limits(files, 64 << 20, 20, 50000);
        remove_groups(files);
}

static void test_limits_of_a_group_are_lowered_never_raised_and_restored(void **state)
{
        (void)state;
        in_child(body_limits);
}

/* What is in use cannot be forbidden on v1; on v2 it would be killed for it. */
static void body_limit_below_use(void)
{
        struct host_cgroups cgroups;
        struct group group;
        char problem[256], byte;
        int fds[2], status;
        pid_t pid;

        CHECK(host_cgroups_open(NULL, getpid(), &cgroups, problem, sizeof problem) == 0);
        host_cgroups_limit(&cgroups, settings_limits);
        CHECK(host_cgroups_add(&cgroups, "cell", settings_limits) == 0);
        CHECK(group_open(&cgroups.files, "cell", &group) == 0 && pipe2(fds, O_CLOEXEC) == 0);
        pid = fork();
        if (pid == 0) {
                CHECK(group_join(&group) == 0);
                char *memory =
                        mmap(NULL, 40 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                CHECK(memory != MAP_FAILED);
                memset(memory, 1, 40 << 20);
                CHECK(write(fds[1], "x", 1) == 1);
                for (;;)
                        pause();
        }
        CHECK(read(fds[0], &byte, 1) == 1);
        if (cgroups.version == 1) {
                CHECK(lower(&group, 16 << 20, 0, 0) == -EBUSY);
                check_limits(&cgroups.files, 64 << 20, 20, 50000);
                CHECK(kill(pid, SIGKILL) == 0);
        } else {
                CHECK(lower(&group, 16 << 20, 0, 0) == 0);
        }
        CHECK(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
        CHECK(group_restore(&group) == 0);
        check_limits(&cgroups.files, 64 << 20, 20, 50000);
        remove_groups(&cgroups.files);
}

static void test_a_limit_below_what_is_used_is_told(void **state)
{
        (void)state;
        in_child(body_limit_below_use);
}

/* Plain files in the place of the kernel's: which are written, and how, on v2. */
static void body_v2_files(void)
{
        static const char *const names[] = { "memory.max", "memory.swap.max", "memory.oom.group", "pids.max",
                "cpu.max", "cgroup.procs" };
        struct host_cgroups cgroups = { .version = 2, .files = { .n_trees = 1, .join = "cgroup.procs" } };
        char *tree = cgroups.files.trees[0], path[BRIEF_PATH + 80], text[64];
        struct group group;

        strcpy(tree, "/tmp/mayfly-v2-XXXXXX");
        CHECK(mkdtemp(tree));
        snprintf(path, sizeof path, "%s/cell", tree);
        CHECK(mkdir(path, 0700) == 0);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
                snprintf(path, sizeof path, "%s/cell/%s", tree, names[i]);
                CHECK(close(creat(path, 0600)) == 0);
        }
        host_cgroups_limit(&cgroups, settings_limits);
        CHECK(cgroups.files.n_limits == 3);
        CHECK(host_cgroups_add(&cgroups, "cell", settings_limits) == 0);
        CHECK(group_open(&cgroups.files, "cell", &group) == 0);
        check_limits(&cgroups.files, 64 << 20, 20, 50000);
        read_file(&cgroups.files, 0, "memory.swap.max", text);
        CHECK(strcmp(text, "0") == 0);
        read_file(&cgroups.files, 0, "memory.oom.group", text);
        CHECK(strcmp(text, "1") == 0);

        CHECK(lower(&group, 32 << 20, 15, 250) == 0);
        check_limits(&cgroups.files, 32 << 20, 15, 25000);
        read_file(&cgroups.files, 0, "cpu.max", text);
        CHECK(strcmp(text, "25000 100000") == 0);
        CHECK(group_restore(&group) == 0);
        check_limits(&cgroups.files, 64 << 20, 20, 50000);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
                snprintf(path, sizeof path, "%s/cell/%s", tree, names[i]);
                CHECK(unlink(path) == 0);
        }
        remove_groups(&cgroups.files);
}

static void test_limits_are_written_as_v2_wants_them(void **state)
{
        (void)state;
        in_child(body_v2_files);
}

static void test_a_list_holds_its_words_and_no_more(void **state)
{
        char list[BRIEF_WORDS] = "", big[BRIEF_WORDS];
        const char *words[BRIEF_LIST];
        int added = 0;

        (void)state;
        memset(big, 'x', sizeof big - 1);
        big[sizeof big - 1] = 0;
        assert_int_equal(brief_add(list, sizeof list, big), -E2BIG);
        brief_words(list, words);
        assert_null(words[0]);
        while (brief_add(list, sizeof list, "word") == 0)
                added++;
        assert_int_equal(added, BRIEF_LIST - 1);
        brief_words(list, words);
        for (int i = 0; i < added; i++)
                assert_string_equal(words[i], "word");
        assert_null(words[added]);
}

static void test_cgroup_counts_refuses_and_goes_with_its_members(void **state)
{
        (void)state;
        in_child(body_cgroup);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_optional_walls_may_be_named),
                cmocka_unit_test(test_structural_and_unknown_walls_are_refused_by_name),
                cmocka_unit_test(test_every_wall_has_a_name_and_a_cure),
                cmocka_unit_test(test_a_plan_cannot_be_changed_once_made),
                cmocka_unit_test(test_a_cut_plan_is_refused),
                cmocka_unit_test(test_filter_refuses_what_interpreters_do_not_need),
                cmocka_unit_test(test_filter_looks_at_arguments),
                cmocka_unit_test(test_cell_filter_shuts_the_door_behind_itself),
                cmocka_unit_test(test_calls_of_another_abi_end_the_process),
                cmocka_unit_test(test_landlock_leaves_tmp_alone_writable_and_nothing_executable),
                cmocka_unit_test(test_becoming_somebody_leaves_no_right_behind),
                cmocka_unit_test(test_a_used_network_shows_it),
                cmocka_unit_test(test_a_list_holds_its_words_and_no_more),
                cmocka_unit_test(test_cgroup_counts_refuses_and_goes_with_its_members),
                cmocka_unit_test(test_limits_of_a_group_are_lowered_never_raised_and_restored),
                cmocka_unit_test(test_a_limit_below_what_is_used_is_told),
                cmocka_unit_test(test_limits_are_written_as_v2_wants_them),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
