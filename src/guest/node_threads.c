/*
 * Theory of operation. Only the thread that forks is there in the child, and Node.js misses the others: V8
 * compiles hot functions and collects garbage in helper threads, and waits for ever for what it gave them to
 * do. `node --single-threaded` does without, and is up to twice as slow. Here they are carried over.
 *
 * Parking. A thread is its memory, which a fork copies, and its registers. Those are put into memory as well
 * by a signal: the kernel saves them on the thread's own stack for the handler to return to, and the handler
 * never returns in the template. A helper may be halted only where it waits for work, holding no lock and
 * owing no answer. So park() waits until the kernel sees all of them in futex() or epoll_wait() for a while,
 * halts them, and looks at the registers once more: each must have been interrupted in such a call. Else it
 * lets them go and begins anew.
 *
 * Forking is _Fork(): fork() would hand the other threads' stacks to whoever starts a thread next, and reset
 * libuv's thread pool, whose threads are carried like any other.
 *
 * Restoring, in the child. clone() makes a thread on the old one's stack, with its thread pointer; what the
 * kernel keeps for each thread is registered anew (thread id, robust list, rseq, name), and sigreturn() goes
 * back to where it was interrupted. A wait that was interrupted begins anew: its condition is in memory. The
 * child's walls stand by then, and the threads inherit every one.
 *
 * A helper that waits in epoll_wait() has a set and event descriptors that belong to the template, or in a
 * cell to nobody any more (GUEST_INHERITED_BLANK). They are made anew under the same numbers, with an event
 * in them: what was sent before they were there is looked for.
 *
 * When. Threads cost CPU, and a memory that two processors share; most calls are over before helpers could
 * have been of use. So a timer ticks while a call runs, and at each tick its handler looks around. The
 * helpers come back when the main thread waits in a system call (for one of them, as far as anybody knows),
 * or when it has woken one, whose futex word then is not what it waits on any more, and has been busy for a
 * while: V8 has functions compiled that a short script does not call again. The time that it was kept from
 * running does not count: on a busy machine a short script should not become a long one for having been slow.
 * The signal is one that neither libc, Node.js nor JavaScript has a name for, sent to the main thread alone;
 * whatever it interrupts goes on, as with any signal that Node.js handles.
 *
 * A helper that blocks the signal cannot be parked (the one that waits for SIGUSR1 to start the inspector in
 * old versions) and is left behind.
 */
#include "guest/node_threads.h"

#include <errno.h>

#if defined(__x86_64__) && defined(__GLIBC__)

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/macros.h"

enum {
        HELPERS_MAX = 64,
        SOURCES_MAX = 8,   /* of one epoll set: an event descriptor and a pipe are usual */
        SETS_MAX = 8,      /* one is usual */
        ATTEMPTS = 20,     /* at parking */
        QUIET_MS = 3,      /* that all have to be idle */
        IDLE_MAX_MS = 500, /* to wait for that, in each attempt */
        ANSWER_MAX_MS = 1000,
        DESCRIPTORS_MAX = 1024, /* a template has some twenty */
        THREAD_ID_MAX = 1024,   /* glibc has it at 720 of struct pthread */
        RSEQ_LENGTH = 32,       /* what every kernel takes and glibc reserves */
};

#define RSEQ_SIGNATURE 0x53053053 /* sysdeps/unix/sysv/linux/x86/bits/rseq.h */

struct helper {
        pid_t tid; /* in the template */
        char name[16];
        ucontext_t *context; /* on its own stack */
        char *self;          /* its struct pthread, which the thread pointer points at */
        void *robust_list;
        size_t robust_length;
        uint32_t parked; /* futex: 1 once it is */
        int set;         /* index of what it waits in, or -1 */
};

/* What wakes a loop: an event descriptor, or both ends of a pipe. */
struct source {
        int fds[2], flags[2];
        bool is_pipe;
        struct epoll_event event;
};

struct epoll_set {
        int fd;
        struct source sources[SOURCES_MAX];
        size_t n_sources;
};

static struct {
        struct helper helpers[HELPERS_MAX];
        size_t n_helpers;
        struct epoll_set sets[SETS_MAX];
        size_t n_sets;
        struct source lock;  /* libuv's lock around signal handlers: a pipe with one byte */
        uint32_t round;      /* futex: those parked wait for the next one */
        ptrdiff_t thread_id; /* of the id in struct pthread */
        ptrdiff_t rseq;      /* of the rseq area from the thread pointer; 0: not in use */
        pid_t (*fork)(void);
        /* in the child */
        bool is_timed, is_restored;
        timer_t timer;
        int64_t busy_us; /* CPU of the main thread from which on it is busy */
} threads;

static int park_signal(void)
{
        return SIGRTMAX - 1;
}

static void futex_wait(uint32_t *futex, uint32_t value, const struct timespec *timeout)
{
        syscall(SYS_futex, futex, FUTEX_WAIT, value, timeout, NULL, 0);
}

static void futex_wake(uint32_t *futex)
{
        syscall(SYS_futex, futex, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void pause_ms(unsigned ms)
{
        nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 }, NULL);
}

/* --- registers --- */

static bool is_system_call(const unsigned char *code)
{
        return code[0] == 0x0f && code[1] == 0x05;
}

/* Was it interrupted while it waited in a system call, which is to begin anew or says EINTR? */
static bool context_waits(const ucontext_t *context)
{
        const greg_t *registers = context->uc_mcontext.gregs;
        const unsigned char *next = (const unsigned char *)registers[REG_RIP];

        return is_system_call(next) || (is_system_call(next - 2) && registers[REG_RAX] == -EINTR);
}

static bool context_waits_for_work(const ucontext_t *context)
{
        const greg_t *registers = context->uc_mcontext.gregs;

        return context_waits(context) && (registers[REG_RAX] == SYS_futex || registers[REG_RAX] == -EINTR);
}

/* Would futex() not wait any more, for its word has changed: has somebody woken this thread? */
static bool context_is_woken(const ucontext_t *context)
{
        const greg_t *registers = context->uc_mcontext.gregs;
        long operation = registers[REG_RSI] & FUTEX_CMD_MASK;

        return registers[REG_RAX] == SYS_futex &&
               (operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET) &&
               __atomic_load_n((uint32_t *)registers[REG_RDI], __ATOMIC_SEQ_CST) !=
                       (uint32_t)registers[REG_RDX];
}

/* The epoll set that it waits in; -1: in none. The call's arguments are still there. */
static int context_epoll(const ucontext_t *context)
{
        const greg_t *registers = context->uc_mcontext.gregs;
        char path[64], target[64] = "";

        if (registers[REG_RAX] != -EINTR)
                return -1;
        snprintf(path, sizeof path, "/proc/self/fd/%d", (int)registers[REG_RDI]);
        if (readlink(path, target, sizeof target - 1) < 0 || strcmp(target, "anon_inode:[eventpoll]") != 0)
                return -1;
        return (int)registers[REG_RDI];
}

/* --- parking --- */

static void helper_stay(struct helper *helper, ucontext_t *context)
{
        uint32_t round = __atomic_load_n(&threads.round, __ATOMIC_SEQ_CST);

        helper->context = context;
        helper->self = (char *)pthread_self();
        syscall(SYS_get_robust_list, 0, &helper->robust_list, &helper->robust_length);
        prctl(PR_GET_NAME, helper->name);
        __atomic_store_n(&helper->parked, 1, __ATOMIC_SEQ_CST);
        futex_wake(&helper->parked);
        while (__atomic_load_n(&threads.round, __ATOMIC_SEQ_CST) == round)
                futex_wait(&threads.round, round, NULL);
}

static void on_park(int number, siginfo_t *info, void *context)
{
        pid_t tid = gettid();
        int error = errno;

        (void)number, (void)info;
        for (size_t i = 0; i < threads.n_helpers; i++) {
                if (threads.helpers[i].tid == tid)
                        helper_stay(&threads.helpers[i], context);
        }
        errno = error;
}

static int task_read(pid_t tid, const char *file, char *text, size_t size)
{
        char path[64];
        ssize_t n;
        int fd;

        snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, file);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, text, size - 1);
        close(fd);
        text[MAX(n, 0)] = 0;
        return n > 0 ? 0 : -EIO;
}

static bool task_blocks_signal(pid_t tid)
{
        char text[4096];
        const char *line;

        if (task_read(tid, "status", text, sizeof text) < 0)
                return false; /* it is gone */
        line = strstr(text, "\nSigBlk:");
        return line && strtoull(line + strlen("\nSigBlk:"), NULL, 16) >> (park_signal() - 1) & 1;
}

/* The number of the call comes first; a thread that runs has none. */
static bool task_is_idle(pid_t tid)
{
        char text[256] = "";
        long call;

        if (task_read(tid, "syscall", text, sizeof text) < 0 || text[0] < '0' || text[0] > '9')
                return false;
        call = strtol(text, NULL, 10);
        return call == SYS_futex || call == SYS_epoll_wait || call == SYS_epoll_pwait;
}

static int helpers_list(void)
{
        DIR *directory = opendir("/proc/self/task");
        struct dirent *entry;
        int r = 0;

        if (!directory)
                return -errno;
        threads.n_helpers = 0;
        while (r == 0 && (entry = readdir(directory))) {
                pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

                if (tid <= 0 || tid == gettid() || task_blocks_signal(tid))
                        continue;
                if (threads.n_helpers == HELPERS_MAX)
                        r = -E2BIG;
                else
                        threads.helpers[threads.n_helpers++] = (struct helper){ .tid = tid, .set = -1 };
        }
        closedir(directory);
        return r;
}

static bool helpers_fall_idle(void)
{
        unsigned quiet_ms = 0;

        for (unsigned ms = 0; ms < IDLE_MAX_MS && quiet_ms < QUIET_MS; ms++) {
                bool all = true;

                for (size_t i = 0; i < threads.n_helpers; i++)
                        all = all && task_is_idle(threads.helpers[i].tid);
                quiet_ms = all ? quiet_ms + 1 : 0;
                pause_ms(1);
        }
        return quiet_ms == QUIET_MS;
}

/* Did it come, and out of a wait for work? */
static bool helper_park(struct helper *helper)
{
        if (syscall(SYS_tgkill, getpid(), helper->tid, park_signal()) < 0)
                return false;
        for (unsigned ms = 0; ms < ANSWER_MAX_MS; ms++) {
                if (__atomic_load_n(&helper->parked, __ATOMIC_SEQ_CST))
                        return context_waits_for_work(helper->context);
                futex_wait(&helper->parked, 0, &(struct timespec){ .tv_nsec = 1000000 });
        }
        return false;
}

static bool helpers_park(void)
{
        bool all = true;

        if (helpers_list() < 0 || !helpers_fall_idle())
                return false;
        for (size_t i = 0; i < threads.n_helpers; i++)
                all = helper_park(&threads.helpers[i]) && all;
        return all;
}

/* Until the last has returned from its handler: before that it blocks the signal, and would be taken for one
 * that cannot be parked. */
void node_threads_release(void)
{
        __atomic_add_fetch(&threads.round, 1, __ATOMIC_SEQ_CST);
        futex_wake(&threads.round);
        for (size_t i = 0; i < threads.n_helpers; i++) {
                for (unsigned ms = 0; ms < ANSWER_MAX_MS && task_blocks_signal(threads.helpers[i].tid); ms++)
                        pause_ms(1);
        }
}

/* --- what they wait in --- */

static int descriptor_target(int fd, char *target, size_t size)
{
        char path[64];
        ssize_t n;

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        n = readlink(path, target, size - 1);
        target[MAX(n, 0)] = 0;
        return n > 0 ? 0 : -errno;
}

/* Both ends of the pipe that `fd` is one of; false if this process has not both. */
static bool pipe_find(int fd, struct source *ret_source)
{
        char target[64], other[64];

        ret_source->is_pipe = true;
        ret_source->fds[0] = ret_source->fds[1] = -1;
        if (descriptor_target(fd, target, sizeof target) < 0 || strncmp(target, "pipe:", 5) != 0)
                return false;
        for (int i = STDERR_FILENO + 1; i < DESCRIPTORS_MAX; i++) {
                int flags = fcntl(i, F_GETFL), end = (flags & O_ACCMODE) == O_WRONLY;

                if (flags < 0 || descriptor_target(i, other, sizeof other) < 0 || strcmp(target, other) != 0)
                        continue;
                ret_source->fds[end] = i;
                ret_source->flags[end] = flags & O_NONBLOCK;
        }
        return ret_source->fds[0] >= 0 && ret_source->fds[1] >= 0;
}

static bool source_find(int fd, struct source *ret_source)
{
        char target[64];

        if (pipe_find(fd, ret_source))
                return true;
        *ret_source = (struct source){ .fds = { fd, -1 } };
        ret_source->flags[0] = fcntl(fd, F_GETFL) & O_NONBLOCK;
        return descriptor_target(fd, target, sizeof target) == 0 &&
               strcmp(target, "anon_inode:[eventfd]") == 0;
}

/* The kernel tells what a set has in it: `tfd: 15 events: 19 data: f`. False if any of it is none of ours. */
static bool set_read(struct epoll_set *set)
{
        char path[64], line[256];
        bool is_known = true;
        FILE *info;

        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", set->fd);
        info = fopen(path, "re");
        if (!info)
                return false;
        while (is_known && fgets(line, sizeof line, info)) {
                struct source *source = &set->sources[set->n_sources];
                unsigned long long data;
                unsigned events;
                int fd;

                if (sscanf(line, "tfd: %d events: %x data: %llx", &fd, &events, &data) != 3)
                        continue;
                is_known = set->n_sources < SOURCES_MAX && source_find(fd, source);
                if (is_known) {
                        source->event = (struct epoll_event){ .events = events, .data.u64 = data };
                        set->n_sources++;
                }
        }
        fclose(info);
        return is_known;
}

static bool sets_find(void)
{
        threads.n_sets = 0;
        for (size_t i = 0; i < threads.n_helpers; i++) {
                struct helper *helper = &threads.helpers[i];
                int fd = context_epoll(helper->context);

                if (fd < 0)
                        continue;
                if (threads.n_sets == SETS_MAX)
                        return false;
                helper->set = (int)threads.n_sets;
                threads.sets[threads.n_sets] = (struct epoll_set){ .fd = fd };
                if (!set_read(&threads.sets[threads.n_sets++]))
                        return false;
        }
        return true;
}

/* Not finding it does no harm but to threads that start processes, or handle signals, at the same time. */
static void lock_find(void)
{
        threads.lock.fds[0] = -1;
        for (int fd = STDERR_FILENO + 1; fd < DESCRIPTORS_MAX; fd++) {
                struct source source;
                int length = 0;

                if (fcntl(fd, F_GETFL) != O_RDONLY || ioctl(fd, FIONREAD, &length) < 0 || length != 1)
                        continue;
                if (pipe_find(fd, &source) && source.flags[1] == 0)
                        threads.lock = source;
        }
}

/* --- what libc keeps for each thread --- */

static bool thread_id_is_at(ptrdiff_t offset)
{
        if (*(pid_t *)((char *)pthread_self() + offset) != gettid())
                return false;
        for (size_t i = 0; i < threads.n_helpers; i++) {
                if (*(pid_t *)(threads.helpers[i].self + offset) != threads.helpers[i].tid)
                        return false;
        }
        return true;
}

static bool libc_find(void)
{
        const ptrdiff_t *rseq_offset = dlsym(RTLD_DEFAULT, "__rseq_offset");
        const unsigned *rseq_size = dlsym(RTLD_DEFAULT, "__rseq_size");

        threads.fork = (pid_t(*)(void))dlsym(RTLD_DEFAULT, "_Fork");
        threads.rseq = rseq_offset && rseq_size && *rseq_size > 0 ? *rseq_offset : 0;
        for (threads.thread_id = 0; threads.thread_id < THREAD_ID_MAX; threads.thread_id += sizeof(pid_t)) {
                if (thread_id_is_at(threads.thread_id))
                        return threads.fork != NULL;
        }
        return false;
}

int node_threads_park(const char **ret_why)
{
        struct sigaction action = { .sa_sigaction = on_park, .sa_flags = SA_SIGINFO | SA_RESTART };
        bool are_parked = false;

        sigfillset(&action.sa_mask);
        if (sigaction(park_signal(), &action, NULL) < 0)
                return -errno;
        for (int i = 0; i < ATTEMPTS && !are_parked; i++) {
                are_parked = helpers_park();
                if (!are_parked)
                        node_threads_release();
        }
        *ret_why = !are_parked    ? "they never fall idle"
                   : !libc_find() ? "this libc is not known"
                   : !sets_find() ? "what they wait for is not known"
                                  : NULL;
        if (are_parked && *ret_why)
                node_threads_release();
        lock_find();
        return *ret_why ? NODE_THREADS_UNFIT : 0;
}

/* --- in the child --- */

/* `fresh` takes the number `fd`. */
static int descriptor_move(int fresh, int fd)
{
        int r = dup3(fresh, fd, O_CLOEXEC) < 0 ? -errno : 0;

        close(fresh);
        return r;
}

static int pipe_remake(const struct source *source)
{
        int fresh[2], r;

        if (pipe2(fresh, O_CLOEXEC) < 0)
                return -errno;
        for (int i = 0; i < 2; i++) {
                if (source->flags[i])
                        fcntl(fresh[i], F_SETFL, source->flags[i]);
        }
        r = descriptor_move(fresh[0], source->fds[0]);
        return r < 0 ? r : descriptor_move(fresh[1], source->fds[1]);
}

static int source_remake(const struct source *source)
{
        int fresh;

        if (source->is_pipe)
                return pipe_remake(source);
        fresh = eventfd(1, EFD_CLOEXEC | (source->flags[0] ? EFD_NONBLOCK : 0));
        return fresh < 0 ? -errno : descriptor_move(fresh, source->fds[0]);
}

static int set_remake(const struct epoll_set *set)
{
        int fresh = epoll_create1(EPOLL_CLOEXEC), r = fresh < 0 ? -errno : descriptor_move(fresh, set->fd);

        for (size_t i = 0; r == 0 && i < set->n_sources; i++) {
                const struct source *source = &set->sources[i];
                struct epoll_event event = source->event;

                r = source_remake(source);
                if (r == 0 && epoll_ctl(set->fd, EPOLL_CTL_ADD, source->fds[0], &event) < 0)
                        r = -errno;
        }
        return r;
}

static void rseq_register(char *self)
{
        struct rseq *area = (struct rseq *)(self + threads.rseq);

        area->cpu_id_start = 0;
        area->cpu_id = (uint32_t)RSEQ_CPU_ID_UNINITIALIZED;
        memset(&area->rseq_cs, 0, sizeof area->rseq_cs);
        if (syscall(SYS_rseq, area, RSEQ_LENGTH, 0, RSEQ_SIGNATURE) < 0)
                area->cpu_id = (uint32_t)RSEQ_CPU_ID_REGISTRATION_FAILED;
}

/* The first that runs in the new thread, called by helper_clone(). Below what sigreturn() will take. */
static void __attribute__((used)) helper_begin(struct helper *helper)
{
        int error = errno;

        syscall(SYS_set_robust_list, helper->robust_list, helper->robust_length);
        if (threads.rseq)
                rseq_register(helper->self);
        prctl(PR_SET_NAME, helper->name);
        errno = error;
}

/*
 * clone(), after which the new thread calls helper_begin() and returns from the signal that has parked it:
 * the stack pointer that sigreturn() wants is that of the context. It is aligned as a call has to find it.
 */
long helper_clone(unsigned long flags, ucontext_t *stack, pid_t *parent_tid, pid_t *child_tid, char *self,
        struct helper *helper);
__asm__(".text\n"
        ".local helper_clone\n"
        ".type helper_clone, @function\n"
        "helper_clone:\n"
        "  mov %rcx, %r10\n"
        "  mov $56, %eax\n" /* clone */
        "  syscall\n"
        "  test %rax, %rax\n"
        "  jnz 1f\n"
        "  xor %ebp, %ebp\n"
        "  mov %r9, %rdi\n"
        "  call helper_begin\n"
        "  mov $15, %eax\n" /* rt_sigreturn */
        "  syscall\n"
        "  hlt\n"
        "1: ret\n"
        ".size helper_clone, .-helper_clone\n");

/* As pthread_create() has it. */
static void helper_restore(struct helper *helper)
{
        pid_t *tid = (pid_t *)(helper->self + threads.thread_id);

        if (helper->set >= 0 && set_remake(&threads.sets[helper->set]) < 0)
                return;
        helper_clone(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                             CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
                helper->context, tid, tid, helper->self, helper);
}

/* All signals blocked: the new threads take theirs from what was saved. One that the cell has no room for is
 * missing; V8 makes do with fewer. */
static void helpers_restore(void)
{
        threads.is_restored = true;
        if (threads.is_timed)
                timer_delete(threads.timer);
        signal(park_signal(), SIG_IGN); /* this takes a tick back that is pending */
        signal(park_signal(), SIG_DFL);
        for (size_t i = 0; i < threads.n_helpers; i++)
                helper_restore(&threads.helpers[i]);
}

static int64_t thread_used_us(void)
{
        struct timespec used;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
        return used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

static bool helper_is_woken(void)
{
        for (size_t i = 0; i < threads.n_helpers; i++) {
                if (context_is_woken(threads.helpers[i].context))
                        return true;
        }
        return false;
}

static void on_tick(int number, siginfo_t *info, void *context)
{
        int error = errno;

        (void)number, (void)info;
        if (context_waits(context) || (helper_is_woken() && thread_used_us() >= threads.busy_us))
                helpers_restore();
        errno = error;
}

pid_t node_threads_fork(void)
{
        return threads.fork();
}

int node_threads_after_fork(void)
{
        struct sigaction action = { .sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART };
        struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = park_signal() };
        int r = threads.lock.fds[0] >= 0 ? pipe_remake(&threads.lock) : 0;

        if (r == 0 && threads.lock.fds[0] >= 0 && write(threads.lock.fds[1], "*", 1) != 1)
                r = -errno;
        sigfillset(&action.sa_mask);
        if (r == 0 && sigaction(park_signal(), &action, NULL) < 0)
                r = -errno;
        event._sigev_un._tid = gettid();
        threads.is_timed = timer_create(CLOCK_MONOTONIC, &event, &threads.timer) == 0;
        return r;
}

static void helpers_restore_now(void)
{
        sigset_t all, before;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        helpers_restore();
        pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void node_threads_watch(unsigned tick_us, unsigned busy_us)
{
        const struct timespec tick = { .tv_sec = tick_us / 1000000,
                .tv_nsec = (long)(tick_us % 1000000) * 1000 };
        const struct itimerspec ticks = { .it_interval = tick, .it_value = tick };

        if (threads.is_restored)
                return;
        threads.busy_us = thread_used_us() + busy_us;
        if (!threads.is_timed || timer_settime(threads.timer, 0, &ticks, NULL) < 0)
                helpers_restore_now();
}

#else /* registers and system calls have other names there, and nobody has tried */

int node_threads_park(const char **ret_why)
{
        *ret_why = "this machine or libc is not known";
        return NODE_THREADS_UNFIT;
}

void node_threads_release(void)
{
}

pid_t node_threads_fork(void)
{
        errno = ENOSYS;
        return -1;
}

int node_threads_after_fork(void)
{
        return -ENOSYS;
}

void node_threads_watch(unsigned tick_us, unsigned busy_us)
{
        (void)tick_us, (void)busy_us;
}

#endif
