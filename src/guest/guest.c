/*
 * Theory of operation. The keeper executes an interpreter with its boot script; that loads this code as an
 * extension module, warms up, and calls guest_serve(). From then on the template runs nothing but the loop
 * below: take a fork request, fork, say so; reap, say so. Every child raises its walls (sandbox/enter.c)
 * before the interpreter learns that it was forked, and only then returns from guest_serve() into the boot
 * script, which receives one call, runs it, reports, and exits.
 *
 * Before that the template may fork a probe, which goes the way of a call without having one, so that the
 * memory that calls need can be laid out (image.c).
 *
 * Before it serves anybody the keeper has it fork two self-test cells. What they print is compared here, line
 * by line: random sources that a fork has copied would show.
 *
 * The template runs on the keeper's word alone. A cell's word counts for nothing: it owns one stream socket
 * to the server.
 */
#include "guest/guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macros.h"
#include "guest/image.h"
#include "sandbox/enter.h"
#include "sandbox/plan.h"
#include "wire/guest_api.h"
#include "wire/packet.h"
#include "wire/template_api.h"

enum { CHILDREN_MAX = 4096, INHERITED_MAX = 256, FORK_FDS_MIN = 4, EXIT_BROKEN = 125, CHANNEL_LOOK_S = 10 };

static struct template
{
        const struct plan *plan;
        const struct guest_hooks *hooks;
        int children_fd; /* signalfd for SIGCHLD */
        sigset_t old_mask;
        struct {
                pid_t pid;
                uint64_t cell;
        } children[CHILDREN_MAX];
        size_t n_children;
        int inherited[INHERITED_MAX]; /* descriptors 4 and above that the interpreter had open before the
                                         first fork */
        size_t n_inherited;
        /* the self-test: what its cells have printed */
        int test_output; /* reading end of the current one's stdout; -1: none */
        uint64_t test_cell;
        unsigned n_tested;
        char tested[2][4096];
        struct image *image; /* while it is being arranged */
        bool is_probe;
}
template;

static void __attribute__((noreturn)) template_die(const char *what, int r)
{
        dprintf(STDERR_FILENO, "mayfly template: %s: %s\n", what, strerror(-r));
        _exit(EXIT_BROKEN);
}

static void template_say(const void *message, size_t length)
{
        int r = packet_send(GUEST_CONTROL_FD, message, length, NULL, 0);

        if (r != 0)
                template_die("the keeper does not listen", r > 0 ? -EPIPE : r);
}

static void template_take_plan(void)
{
        uint32_t type = 0;
        size_t length = 0, n_fds = 0;
        int fd = -1, r;

        r = packet_receive(GUEST_CONTROL_FD, 0, &type, sizeof type, &length, &fd, 1, &n_fds);
        if (r != 0 || length != sizeof type || type != TEMPLATE_PLAN || n_fds != 1)
                template_die("no plan from the keeper", r < 0 ? r : -EPROTO);
        r = plan_map(fd, &template.plan);
        fd_closep(&fd);
        if (r < 0)
                template_die("bad plan", r);
}

/* Once, before the first fork: the list is the same for every child. */
static void template_list_inherited(void)
{
        DIR *directory = opendir("/proc/self/fd");
        struct dirent *entry;

        if (!directory)
                template_die("/proc/self/fd", -errno);
        while ((entry = readdir(directory))) {
                int fd = atoi(entry->d_name);

                if (fd <= GUEST_CONTROL_FD || fd == dirfd(directory))
                        continue;
                if (template.n_inherited == INHERITED_MAX)
                        template_die("too many open descriptors", -EMFILE);
                template.inherited[template.n_inherited++] = fd;
        }
        closedir(directory);
}

/* No line of one may be the same line of the other. */
static bool outputs_differ(const char *a, const char *b)
{
        if (!*a || !*b)
                return false; /* nothing was drawn at all */
        while (*a && *b) {
                size_t length_a = strcspn(a, "\n"), length_b = strcspn(b, "\n");

                if (length_a == length_b && memcmp(a, b, length_a) == 0)
                        return false;
                a += length_a + (a[length_a] == '\n');
                b += length_b + (b[length_b] == '\n');
        }
        return !*a && !*b;
}

static void selftest_ended(void)
{
        char *text = template.tested[template.n_tested % 2];
        ssize_t n = read(template.test_output, text, sizeof template.tested[0] - 1);

        text[MAX(n, 0)] = 0;
        fd_closep(&template.test_output);
        if (++template.n_tested == 2 && !outputs_differ(template.tested[0], template.tested[1]))
                template_die("two of its cells drew the same random numbers", -ENOTUNIQ);
}

/* Its stdout is a pipe to the template. 0 or negative errno. */
static int selftest_prepare(const struct template_fork *request, struct enter_slot *slot)
{
        int fds[2];

        fd_closep(&template.test_output);
        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0 || dup3(fds[1], slot->output, O_CLOEXEC) < 0)
                return -errno;
        close(fds[1]);
        template.test_output = fds[0];
        template.test_cell = request->cell;
        return 0;
}

static void template_reap(void)
{
        struct signalfd_siginfo info;
        struct rusage usage;
        int status;
        pid_t pid;

        while (read(template.children_fd, &info, sizeof info) == sizeof info)
                ;
        while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
                struct template_exited message = { .type = TEMPLATE_EXITED, .status = status };

                message.cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                                 (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
                for (size_t i = 0; i < template.n_children; i++) {
                        if (template.children[i].pid != pid)
                                continue;
                        message.cell = template.children[i].cell;
                        if (template.test_output >= 0 && message.cell == template.test_cell)
                                selftest_ended();
                        template.children[i] = template.children[--template.n_children];
                        template_say(&message, sizeof message);
                        break;
                }
        }
}

/* What the template had open is no business of a cell. */
static void cell_close_inherited(const struct enter_slot *slot)
{
        if (template.hooks->inherited == GUEST_INHERITED_CLOSE) {
                close_range(GUEST_CHANNEL_FD + 1, ~0u, 0);
                return;
        }
        close(slot->channel);
        close(slot->output);
        close(slot->errors);
        close(slot->pidfd);
        for (size_t i = 0; i < slot->n_cgroups; i++)
                close(slot->cgroups[i]);
        close(template.children_fd);
        for (size_t i = 0; i < template.n_inherited; i++)
                dup3(STDIN_FILENO, template.inherited[i], O_CLOEXEC);
}

/* In the child: from here on it is a cell, or nothing. The channel is at 3 only once descriptors were moved.
 */
static void cell_become(const struct enter_slot *slot, bool is_selftest)
{
        struct frame_wall report = { 0 };
        int r;

        r = enter(template.plan, slot, &report.wall);
        if (r < 0) {
                struct frame_header header = { .length = sizeof report, .kind = FRAME_WALL };
                struct iovec parts[] = { { &header, sizeof header }, { &report, sizeof report } };

                report.error = r;
                dprintf(slot->errors, "wall %u could not be raised: %s\n", report.wall, strerror(-r));
                if (is_selftest)
                        _exit(EXIT_BROKEN);
                _exit(writev(slot->channel, parts, 2) < 0 ? EXIT_BROKEN : EXIT_BROKEN - 1);
        }
        cell_close_inherited(slot);
        sigprocmask(SIG_SETMASK, &template.old_mask, NULL);
        if (template.hooks->after_fork_child)
                template.hooks->after_fork_child();
}

static void slot_take_fds(struct enter_slot *slot, const int *fds, size_t n_fds)
{
        slot->channel = fds[0];
        slot->output = fds[1];
        slot->errors = fds[2];
        slot->pidfd = fds[3];
        slot->n_cgroups = n_fds - FORK_FDS_MIN;
        memcpy(slot->cgroups, fds + FORK_FDS_MIN, slot->n_cgroups * sizeof *fds);
}

static pid_t process_fork(void)
{
        return template.hooks->fork ? template.hooks->fork() : fork();
}

/* 0 in the template; 1 in the new cell. */
static int template_fork(const struct template_fork *request, struct enter_slot *slot)
{
        struct template_forked answer = { .type = TEMPLATE_FORKED, .cell = request->cell };
        pid_t pid = -1;

        if (template.n_children == CHILDREN_MAX)
                answer.error = -EAGAIN;
        else if (request->selftest)
                answer.error = selftest_prepare(request, slot);
        if (answer.error == 0)
                answer.error = enter_before_fork(slot);
        if (answer.error == 0) {
                pid = process_fork();
                if (pid == 0) {
                        cell_become(slot, request->selftest);
                        return 1;
                }
                if (pid < 0)
                        answer.error = -errno;
        }
        if (pid > 0) {
                template.children[template.n_children].pid = pid;
                template.children[template.n_children++].cell = request->cell;
        }
        template_say(&answer, sizeof answer);
        return 0;
}

/* One request of the keeper. 0 in the template; 1 in the new cell, *ret_role set. */
static int template_serve_request(enum guest_role *ret_role)
{
        struct template_fork request = { 0 };
        struct enter_slot slot = { 0 };
        int fds[FORK_FDS_MIN + ENTER_CGROUPS_MAX];
        size_t length = 0, n_fds = 0;
        int r;

        r = packet_receive(GUEST_CONTROL_FD, MSG_DONTWAIT, &request, sizeof request, &length, fds,
                ARRAY_SIZE(fds), &n_fds);
        if (r == PACKET_AGAIN)
                return 0;
        if (r == PACKET_EOF)
                _exit(0);
        if (r < 0 || length != sizeof request || request.type != TEMPLATE_FORK || n_fds < FORK_FDS_MIN)
                template_die("bad request from the keeper", r < 0 ? r : -EPROTO);

        slot.uid = request.uid;
        slot_take_fds(&slot, fds, n_fds);
        *ret_role = request.selftest ? GUEST_ROLE_SELFTEST : GUEST_ROLE_CELL;
        if (template_fork(&request, &slot) == 1)
                return 1;
        fds_close(fds, n_fds);
        return 0;
}

/* The probe's call lies in its channel, which nobody reads. */
static void probe_place_call(const struct guest_call *sample)
{
        const struct frame_call call = { .mode = sample->mode,
                .language = sample->language,
                .code_length = (uint32_t)sample->code_length,
                .cache_length = (uint32_t)sample->cache_length,
                .input_length = (uint32_t)sample->input_length };
        const struct frame_header header = { .kind = FRAME_CALL,
                .length = (uint32_t)(sizeof call + sample->code_length + sample->cache_length +
                                     sample->input_length) };
        const struct iovec parts[] = { { (void *)&header, sizeof header }, { (void *)&call, sizeof call },
                { (void *)sample->code, sample->code_length },
                { (void *)sample->cache, sample->cache_length },
                { (void *)sample->input, sample->input_length } };
        int channel[2], output[2];

        if (socketpair(AF_UNIX, SOCK_STREAM, 0, channel) < 0 || pipe(output) < 0 ||
                writev(channel[0], parts, ARRAY_SIZE(parts)) < 0 || dup2(output[1], STDOUT_FILENO) < 0 ||
                dup2(output[1], STDERR_FILENO) < 0 || dup2(channel[1], GUEST_CHANNEL_FD) < 0)
                _exit(EXIT_BROKEN);
}

/* In the child: 1, and it goes the way of a cell. */
static int probe_begin(void)
{
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        template.is_probe = true;
        probe_place_call(template.hooks->sample);
        image_begin(template.image);
        if (template.hooks->after_fork_child)
                template.hooks->after_fork_child();
        return 1;
}

/* 0 in the template, negative errno; 1 in the probe. */
static int template_probe(void)
{
        int status = 0;
        pid_t pid = process_fork();

        if (pid == 0)
                return probe_begin();
        if (pid < 0)
                return -errno;
        return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -ECHILD;
}

/* 0 in the template; 1 in a probe. A template that cannot do this only forks at a higher price. */
static int template_arrange_memory(void)
{
        int r;

        template.image = image_new();
        r = template.image ? image_freeze(template.image) : -ENOMEM;
        if (r == 0)
                r = template_probe();
        if (r == 0)
                r = image_hand_over(template.image);
        if (r == 0)
                r = template_probe();
        if (r == 1)
                return 1;
        if (r == 0)
                image_settle(template.image);
        else
                dprintf(STDERR_FILENO, "mayfly template: calls will take longer: %s\n",
                        r == -ECHILD ? "a call that was tried has failed" : strerror(-r));
        template.image = image_free(template.image);
        return 0;
}

/* Its share of all that it has mapped (proc_pid_smaps_rollup); 0: the kernel does not tell. */
static uint64_t template_memory(void)
{
        char text[2048] = "";
        int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
        const char *share = fd >= 0 && read(fd, text, sizeof text - 1) > 0 ? strstr(text, "\nPss:") : NULL;

        fd_closep(&fd);
        return share ? strtoull(share + strlen("\nPss:"), NULL, 10) * 1024 : 0;
}

/* 0 in the template; 1 in the probe. */
static int template_prepare(const char *version, const struct guest_hooks *hooks)
{
        struct template_ready ready = { .type = TEMPLATE_READY };
        sigset_t children;
        int r;

        template.hooks = hooks;
        template.test_output = -1;
        template_take_plan();
        ready.memory_bytes = template_memory(); /* before it lies in a file that is hardly mapped */
        if (hooks->before_fork)
                hooks->before_fork();
        if (hooks->sample && template_arrange_memory() == 1)
                return 1;
        template_list_inherited();

        sigemptyset(&children);
        sigaddset(&children, SIGCHLD);
        sigprocmask(SIG_BLOCK, &children, &template.old_mask);
        template.children_fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
        if (template.children_fd < 0)
                template_die("signalfd", -errno);

        r = enter_template(template.plan);
        if (r < 0)
                template_die("walls of the template", r);
        strncpy(ready.version, version, sizeof ready.version - 1);
        template_say(&ready, sizeof ready);
        return 0;
}

enum guest_role guest_serve(const char *version, const struct guest_hooks *hooks)
{
        enum guest_role role = GUEST_ROLE_CELL;

        if (template_prepare(version, hooks) == 1)
                return GUEST_ROLE_CELL;
        for (;;) {
                struct pollfd ready[] = { { GUEST_CONTROL_FD, POLLIN, 0 },
                        { template.children_fd, POLLIN, 0 } };

                if (poll(ready, ARRAY_SIZE(ready), -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        template_die("poll", -errno);
                }
                if (ready[1].revents)
                        template_reap();
                if (ready[0].revents && template_serve_request(&role) == 1)
                        return role;
        }
}

/* 0; GUEST_EOF at a clean end before the first byte; negative errno. */
enum { GUEST_EOF = 1 };

static int read_whole(void *data, size_t length)
{
        for (size_t done = 0; done < length;) {
                ssize_t n = read(GUEST_CHANNEL_FD, (char *)data + done, length - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return done == 0 ? GUEST_EOF : -EPROTO;
                done += (size_t)n;
        }
        return 0;
}

bool guest_has_call(int ms)
{
        struct pollfd channel = { GUEST_CHANNEL_FD, POLLIN, 0 };

        return poll(&channel, 1, ms) > 0;
}

/*
 * Waits for the call by a signal, not in read(): a socket wakes its reader as if the writer was about to
 * sleep, and the kernel then moves the reader to the writer's CPU. What this cell has rehearsed lies in the
 * caches of its own, and fetching it from there takes longer than the call. If the signal does not come, a
 * look is taken all the same.
 */
static void channel_wait(void)
{
        const struct timespec look = { .tv_sec = CHANNEL_LOOK_S };
        int flags = fcntl(GUEST_CHANNEL_FD, F_GETFL);
        sigset_t signals, before;

        sigemptyset(&signals);
        sigaddset(&signals, SIGIO);
        sigprocmask(SIG_BLOCK, &signals, &before);
        if (flags >= 0 && fcntl(GUEST_CHANNEL_FD, F_SETOWN, getpid()) == 0 &&
                fcntl(GUEST_CHANNEL_FD, F_SETFL, flags | O_ASYNC) == 0) {
                while (!guest_has_call(0))
                        sigtimedwait(&signals, NULL, &look);
                fcntl(GUEST_CHANNEL_FD, F_SETFL, flags);
        }
        while (sigtimedwait(&signals, NULL, &(struct timespec){ 0 }) > 0)
                ;
        sigprocmask(SIG_SETMASK, &before, NULL);
}

int guest_receive(struct guest_call *ret_call)
{
        struct frame_header header;
        struct frame_call call;
        char *body;
        int r;

        r = guest_send(FRAME_READY, NULL, 0);
        if (r < 0)
                return r;
        if (!guest_has_call(0))
                channel_wait();
        r = read_whole(&header, sizeof header);
        if (r == GUEST_EOF)
                guest_exit(0);
        if (r < 0)
                return r;
        if (header.kind != FRAME_CALL || header.length < sizeof call)
                return -EPROTO;

        body = malloc(header.length);
        if (!body)
                return -ENOMEM;
        r = read_whole(body, header.length);
        memcpy(&call, body, sizeof call);
        if (r == 0 && (uint64_t)call.code_length + call.map_length + call.cache_length + call.input_length !=
                              header.length - sizeof call)
                r = -EPROTO;
        if (r != 0) {
                free(body);
                return r < 0 ? r : -EPROTO;
        }
        *ret_call = (struct guest_call){
                .mode = call.mode,
                .language = call.language,
                .memory_bytes = call.memory_bytes,
                .code = body + sizeof call,
                .map = body + sizeof call + call.code_length,
                .cache = body + sizeof call + call.code_length + call.map_length,
                .input = body + header.length - call.input_length,
                .code_length = call.code_length,
                .map_length = call.map_length,
                .cache_length = call.cache_length,
                .input_length = call.input_length,
                .allocation = body,
        };
        return 0;
}

void guest_call_deinit(struct guest_call *call)
{
        free(call->allocation);
        *call = (struct guest_call){ 0 };
}

int guest_send(uint32_t kind, const void *data, size_t length)
{
        struct frame_header header = { .length = (uint32_t)length, .kind = kind };
        size_t done = 0, total = sizeof header + length;

        if (length > UINT32_MAX - sizeof header)
                return -EMSGSIZE;
        while (done < total) {
                struct iovec parts[2];
                struct msghdr message = { .msg_iov = parts, .msg_iovlen = 0 };
                size_t body_done = done > sizeof header ? done - sizeof header : 0;
                ssize_t n;

                if (done < sizeof header)
                        parts[message.msg_iovlen++] =
                                (struct iovec){ (char *)&header + done, sizeof header - done };
                if (body_done < length)
                        parts[message.msg_iovlen++] =
                                (struct iovec){ (char *)data + body_done, length - body_done };
                n = sendmsg(GUEST_CHANNEL_FD, &message, MSG_NOSIGNAL);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0)
                        done += (size_t)n;
        }
        return 0;
}

bool guest_is_probe(void)
{
        return template.is_probe;
}

void guest_exit(int code)
{
        if (template.is_probe)
                image_learn(template.image);
        _exit(code);
}
