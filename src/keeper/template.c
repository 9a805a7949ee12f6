#include "keeper/template.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/macros.h"
#include "keeper/slot.h"
#include "sandbox/capability.h"
#include "wire/packet.h"
#include "wire/template_api.h"

enum {
        BOOT_TIMEOUT_US = 30000000,
        TEST_TIMEOUT_US = 30000000,
        RETRY_US = 100000, /* doubled with each failure */
        FAILURES_MAX = 6,  /* then calls for it are refused until it comes up */
        TEMPLATE_TMP_BYTES = 16 << 20,
};

static const char *template_name(const struct keeper *keeper, enum runtime runtime)
{
        return keeper->brief->runtimes[runtime].name;
}

void template_init(struct keeper *keeper, struct template *template, enum runtime runtime)
{
        *template = (struct template){
                .runtime = runtime,
                .state = keeper->brief->runtimes[runtime].served ? TEMPLATE_DOWN : TEMPLATE_OFF,
                .control = { .fd = -1 },
        };
}

void template_announce(struct keeper *keeper, const struct template *template)
{
        struct keeper_runtime message = {
                .type = KEEPER_RUNTIME,
                .runtime = template->runtime,
                .up = template->state == TEMPLATE_UP,
                .generation = template->generation,
        };

        memcpy(message.version, template->version, sizeof message.version);
        if (template->state != TEMPLATE_OFF)
                keeper_tell_server(keeper, &message, sizeof message);
}

/* Lowering is always allowed; the host's own limit may be the lower one. */
static int template_limit(const struct brief *brief)
{
        for (uint32_t i = 0; i < brief->n_rlimits; i++) {
                struct rlimit limit;

                if (getrlimit(brief->rlimits[i].resource, &limit) < 0)
                        return -errno;
                limit.rlim_max = MIN(limit.rlim_max, brief->rlimits[i].value);
                limit.rlim_cur = limit.rlim_max;
                if (setrlimit(brief->rlimits[i].resource, &limit) < 0)
                        return -errno;
        }
        return 0;
}

static int template_enter(struct keeper *keeper, int control)
{
        const struct keeper_place place = {
                .group = &keeper->template_group,
                .tmp_bytes = TEMPLATE_TMP_BYTES,
                .uid = keeper->brief->uid_base + UID_TEMPLATE,
                .capabilities = capability_template_set,
                .n_fds = 1,
                .fds = { control },
        };
        int r;

        if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0 ||
                dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
                return -errno;
        r = keeper_enter(keeper, &place);
        /* Last: every slot's first process has this user id too, and who changes to one that has too many
         * processes may not execute (setuid(2), EAGAIN). */
        return r == 0 ? template_limit(keeper->brief) : r;
}

static void __attribute__((noreturn)) template_main(struct keeper *keeper, struct watch *watch, int control)
{
        const struct template *template = container_of(watch, struct template, control);
        const char *arguments[BRIEF_LIST], *environment[BRIEF_LIST];
        int r;

        brief_words(keeper->brief->runtimes[template->runtime].arguments, arguments);
        brief_words(keeper->brief->environment, environment);
        r = template_enter(keeper, control);
        if (r == 0) {
                execve(arguments[0], (char *const *)arguments, (char *const *)environment);
                r = -errno;
        }
        log_error("template.failed", "runtime=%s cannot start %s: %s",
                template_name(keeper, template->runtime), arguments[0], strerror(-r));
        _exit(1);
}

/* The template keeps what its test cells print, and compares. */
static void template_request_test(struct keeper *keeper, struct template *template)
{
        struct slot_request request = {
                .cell = template->runtime, .runtime = template->runtime, .selftest = true
        };

        for (int i = 0; i < KEEPER_FDS_PER_CELL; i++)
                request.fds[i] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, BRIEF_FDS_END);
        if (slot_request(keeper, &request) < 0)
                template_kill(keeper, template->runtime, "there is no slot for its self-test cell");
}

static void template_up(struct keeper *keeper, struct template *template)
{
        template->state = TEMPLATE_UP;
        template->failures = 0;
        template->was_up = true;
        template->deadline_us = 0;
        log_info("template.up", "runtime=%s version=\"%s\" pid=%d generation=%u",
                template_name(keeper, template->runtime), template->version, template->pid,
                template->generation);
        template_announce(keeper, template);
        slots_dispatch(keeper);
}

void template_test_done(struct keeper *keeper, struct template *template, const struct keeper_done *done)
{
        if (template->state != TEMPLATE_TESTING)
                return;
        if (done->outcome != CELL_EXITED || done->code != 0) {
                log_error("template.selftest", "runtime=%s outcome=%u code=%d",
                        template_name(keeper, template->runtime), done->outcome, done->code);
                template_kill(keeper, template->runtime, "its self-test cell failed, see above");
        } else if (++template->tests_done < TEMPLATE_TESTS) {
                template_request_test(keeper, template);
        } else {
                template_up(keeper, template);
        }
}

static void template_on_ready(
        struct keeper *keeper, struct template *template, const struct template_ready *ready)
{
        if (template->state != TEMPLATE_STARTING)
                return;
        snprintf(template->version, sizeof template->version, "%.*s", (int)sizeof ready->version - 1,
                ready->version);
        template->state = TEMPLATE_TESTING;
        template->tests_done = 0;
        template->deadline_us = clock_us() + TEST_TIMEOUT_US;
        template_request_test(keeper, template);
}

static void template_on_forked(struct keeper *keeper, const struct template_forked *forked)
{
        struct slot *slot = slot_find_ticket(keeper, forked->cell);

        if (!slot)
                return;
        slot_forked(slot);
        if (forked->error < 0) {
                log_warn("cell.unborn", "runtime=%s error=\"%s\"", template_name(keeper, slot->now.runtime),
                        strerror(-forked->error));
                slot_end_cell(keeper, slot, (struct keeper_done){ .outcome = CELL_LOST });
        }
        slots_dispatch(keeper); /* its socket may have been full */
}

static void template_on_exited(struct keeper *keeper, const struct template_exited *exited)
{
        struct slot *slot = slot_find_ticket(keeper, exited->cell);
        struct keeper_done done = { .cpu_us = exited->cpu_us };

        if (!slot)
                return;
        done.outcome = WIFEXITED(exited->status) ? CELL_EXITED : CELL_SIGNALED;
        done.code = WIFEXITED(exited->status) ? WEXITSTATUS(exited->status) : WTERMSIG(exited->status);
        slot_end_cell(keeper, slot, done);
}

static void template_on_message(struct keeper *keeper, struct watch *watch)
{
        struct template *template = container_of(watch, struct template, control);
        union {
                uint32_t type;
                struct template_ready ready;
                struct template_forked forked;
                struct template_exited exited;
        } message = { 0 };
        size_t length = 0;
        int r = packet_receive(watch->fd, MSG_DONTWAIT, &message, sizeof message, &length, NULL, 0, NULL);

        if (r == PACKET_AGAIN)
                return;
        if (r == 0 && message.type == TEMPLATE_READY && length == sizeof message.ready)
                template_on_ready(keeper, template, &message.ready);
        else if (r == 0 && message.type == TEMPLATE_FORKED && length == sizeof message.forked)
                template_on_forked(keeper, &message.forked);
        else if (r == 0 && message.type == TEMPLATE_EXITED && length == sizeof message.exited)
                template_on_exited(keeper, &message.exited);
        else
                template_kill(keeper, template->runtime,
                        r == PACKET_EOF ? "it closed its socket" : "it broke the protocol");
}

static int template_start(struct keeper *keeper, struct template *template)
{
        const uint32_t plan = TEMPLATE_PLAN;
        pid_t pid = keeper_spawn(keeper, &template->control, template_on_message, template_main);

        if (pid < 0)
                return (int)pid;
        template->pid = pid;
        template->state = TEMPLATE_STARTING;
        template->generation++;
        template->deadline_us = clock_us() + BOOT_TIMEOUT_US;
        return packet_send(template->control.fd, &plan, sizeof plan, (const int[]){ BRIEF_PLAN_FD }, 1)
                       ? -EPIPE
                       : 0;
}

void template_kill(struct keeper *keeper, enum runtime runtime, const char *why)
{
        struct template *template = &keeper->templates[runtime];

        if (template->state == TEMPLATE_DOWN || template->state == TEMPLATE_OFF)
                return;
        log_error("template.down", "runtime=%s pid=%d why=\"%s\"", template_name(keeper, runtime),
                template->pid, why);
        template->state = TEMPLATE_DOWN;
        keeper_unwatch(keeper, &template->control);
        if (template->pid > 0)
                kill(template->pid, SIGKILL);
        slots_lose_cells(keeper, runtime);
        template->retry_us =
                clock_us() + (template->failures ? (uint64_t)RETRY_US << MIN(template->failures, 6u) : 0);
        template->failures++;
        snprintf(template->version, sizeof template->version, "%s", why);
        template_announce(keeper, template);
        /* At the first start nobody relies on it yet: say what is wrong, and stop, rather than serve half. */
        if (!template->was_up && template->failures >= 2) {
                log_error("template.refused",
                        "runtime=%s could not be made ready; fix what is said above, or leave it out of "
                        "RUNTIMES",
                        template_name(keeper, runtime));
                keeper_stop(keeper, 1);
        }
        slots_dispatch(keeper);
}

void template_died(struct keeper *keeper, struct template *template)
{
        template->pid = 0;
        template_kill(keeper, template->runtime, "its process ended");
}

enum template_answer template_look(const struct template *template, bool selftest)
{
        if (selftest)
                return template->state == TEMPLATE_TESTING ? TEMPLATE_TAKES : TEMPLATE_REFUSES;
        if (template->state == TEMPLATE_UP)
                return TEMPLATE_TAKES;
        return template->state != TEMPLATE_OFF && template->failures < FAILURES_MAX ? TEMPLATE_MAY_TAKE
                                                                                    : TEMPLATE_REFUSES;
}

uint64_t template_tick(struct keeper *keeper, struct template *template, uint64_t now_us)
{
        if (template->state == TEMPLATE_DOWN) {
                if (now_us < template->retry_us)
                        return template->retry_us;
                if (template_start(keeper, template) < 0)
                        template_kill(keeper, template->runtime, "it could not be started");
                return now_us + RETRY_US;
        }
        if (template->deadline_us && now_us >= template->deadline_us)
                template_kill(keeper, template->runtime,
                        template->state == TEMPLATE_STARTING ? "it did not get ready in time"
                                                             : "its self-test took too long");
        return template->deadline_us;
}
