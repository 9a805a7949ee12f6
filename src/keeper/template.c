#include "keeper/template.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/macros.h"
#include "keeper/server_process.h"
#include "keeper/slot.h"
#include "sandbox/capability.h"
#include "wire/template_api.h"

enum {
        BOOT_TIMEOUT_US = 30000000,
        TEST_TIMEOUT_US = 30000000,
        RETRY_US = 100000, /* doubled with each failure */
        FAILURES_MAX = 6,  /* then calls for it are refused until it comes up */
        TEMPLATE_TMP_BYTES = 16 << 20,
};

static bool template_is_base(const struct template *template)
{
        return template->place < RUNTIME_COUNT;
}

static const char *template_name(const struct keeper *keeper, const struct template *template)
{
        return keeper->brief->runtimes[template->runtime].name;
}

void template_announce(struct keeper *keeper, const struct template *template)
{
        struct keeper_template message = {
                .type = KEEPER_TEMPLATE,
                .place = template->place,
                .up = template->state == TEMPLATE_UP,
                .generation = template->generation,
                .memory_bytes = template->memory_bytes,
        };

        memcpy(message.version, template->version, sizeof message.version);
        server_tell(keeper, &message, sizeof message);
}

static int template_enter(struct keeper *keeper, const struct template *template, int control)
{
        const struct keeper_place place = {
                .group = &keeper->groups[GROUP_TEMPLATES],
                .tmp_bytes = TEMPLATE_TMP_BYTES,
                .uid = keeper->brief->uid_base + UID_TEMPLATE,
                .capabilities = capability_template_set,
                .n_fds = template->names < 0 ? 1 : 2,
                .fds = { control, template->names },
        };
        int r;

        if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0 ||
                dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
                return -errno;
        r = keeper_enter(keeper, &place);
        /* Last: every slot's first process has this user id too, and who changes to one that has too many
         * processes may not execute (setuid(2), EAGAIN). */
        for (int i = 0; r == 0 && i < RLIM_NLIMITS; i++)
                r = setrlimit(i, &keeper->brief->rlimits[i]) < 0 ? -errno : 0;
        return r;
}

static void __attribute__((noreturn)) template_main(struct keeper *keeper, struct child *child, int control)
{
        const struct template *template = container_of(child, struct template, child);
        const char *arguments[BRIEF_LIST + 1], *environment[BRIEF_LIST];
        size_t n = 1; /* the program is there */
        int r;

        brief_words(keeper->brief->runtimes[template->runtime].arguments, arguments);
        brief_words(keeper->brief->environment, environment);
        while (arguments[n])
                n++;
        if (template->names >= 0)
                arguments[n++] = "4"; /* GUEST_NAMES_FD */
        arguments[n] = NULL;
        r = template_enter(keeper, template, control);
        if (r == 0) {
                execve(arguments[0], (char *const *)arguments, (char *const *)environment);
                r = -errno;
        }
        log_error("template.failed", "runtime=%s cannot start %s: %s", template_name(keeper, template),
                arguments[0], strerror(-r));
        _exit(1);
}

/* --- on the way up --- */

/* The template keeps what its test cells print, and compares. */
static void template_request_test(struct keeper *keeper, const struct template *template)
{
        struct slot_request request = { .place = template->place, .selftest = true };

        for (int i = 0; i < KEEPER_FDS_PER_CELL; i++)
                request.fds[i] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, BRIEF_FDS_END);
        slot_request(keeper, &request);
}

static void template_up(struct keeper *keeper, struct template *template)
{
        template->state = TEMPLATE_UP;
        template->was_up = true;
        template->child.failures = 0;
        template->child.wake_us = 0;
        log_info("template.up",
                "runtime=%s place=%u version=\"%s\" pid=%d generation=%u memory_bytes=%" PRIu64,
                template_name(keeper, template), template->place, template->version, template->child.pid,
                template->generation, template->memory_bytes);
        template_announce(keeper, template);
        slots_dispatch(keeper);
}

void template_test_done(struct keeper *keeper, struct template *template, const struct keeper_done *done)
{
        if (template->state != TEMPLATE_TESTING)
                return;
        if (done->outcome != CELL_EXITED || done->code != 0) {
                log_error("template.selftest", "runtime=%s place=%u outcome=%u code=%d",
                        template_name(keeper, template), template->place, done->outcome, done->code);
                template_kill(keeper, template, "its self-test cell failed, see above");
        } else if (++template->tests_done < TEMPLATE_TESTS) {
                template_request_test(keeper, template);
        } else {
                template_up(keeper, template);
        }
}

static int template_says_ready(
        struct keeper *keeper, struct child *child, const void *message, const int *fds _unused_)
{
        struct template *template = container_of(child, struct template, child);
        const struct template_ready *ready = message;

        if (template->state != TEMPLATE_STARTING)
                return -EBADMSG;
        snprintf(template->version, sizeof template->version, "%.*s", (int)sizeof ready->version - 1,
                ready->version);
        template->memory_bytes = ready->memory_bytes;
        template->state = TEMPLATE_TESTING;
        template->tests_done = 0;
        template->child.wake_us = clock_us() + TEST_TIMEOUT_US;
        template_request_test(keeper, template);
        return 0;
}

/* --- its cells --- */

static int template_says_forked(
        struct keeper *keeper, struct child *child, const void *message, const int *fds _unused_)
{
        const struct template_forked *forked = message;
        struct template *template = container_of(child, struct template, child);
        struct slot *slot = slot_find_ticket(keeper, template->place, forked->cell);

        if (slot && slot->state != SLOT_STARTING)
                return -EBADMSG;
        if (slot && forked->error < 0) {
                log_warn("cell.unborn", "runtime=%s error=\"%s\"", template_name(keeper, template),
                        strerror(-forked->error));
                slot_end_cell(keeper, slot, (struct keeper_done){ .outcome = CELL_LOST });
        } else if (slot) {
                slot_forked(keeper, slot);
        }
        slots_dispatch(keeper); /* its socket may have been full */
        return 0;
}

static int template_says_exited(
        struct keeper *keeper, struct child *child, const void *message, const int *fds _unused_)
{
        const struct template_exited *exited = message;
        struct template *template = container_of(child, struct template, child);
        struct slot *slot = slot_find_ticket(keeper, template->place, exited->cell);
        struct keeper_done done = { .cpu_us = exited->cpu_us };

        done.outcome = WIFEXITED(exited->status) ? CELL_EXITED : CELL_SIGNALED;
        done.code = WIFEXITED(exited->status) ? WEXITSTATUS(exited->status) : WTERMSIG(exited->status);
        if (slot)
                slot_end_cell(keeper, slot, done);
        return 0;
}

enum template_answer template_look(const struct template *template, bool selftest)
{
        if (selftest)
                return template->state == TEMPLATE_TESTING ? TEMPLATE_TAKES : TEMPLATE_REFUSES;
        if (template->state == TEMPLATE_UP)
                return TEMPLATE_TAKES;
        return template->state != TEMPLATE_OFF && template->child.failures < FAILURES_MAX ? TEMPLATE_MAY_TAKE
                                                                                          : TEMPLATE_REFUSES;
}

/* --- up and down --- */

/* Nobody but the server can tell whether an import set is worth another try. */
static void template_retry(struct template *template)
{
        uint32_t failures = template->child.failures++;

        template->state = template_is_base(template) ? TEMPLATE_DOWN : TEMPLATE_OFF;
        template->child.wake_us = 0;
        if (template->state == TEMPLATE_DOWN)
                template->child.wake_us =
                        clock_us() + (failures ? (uint64_t)RETRY_US << MIN(failures, 6u) : 0);
        fd_closep(&template->names);
}

void template_kill(struct keeper *keeper, struct template *template, const char *why)
{
        log_event(template_is_base(template) ? LOG_ERROR : LOG_INFO, "template.down",
                "runtime=%s place=%u pid=%d why=\"%s\"", template_name(keeper, template), template->place,
                template->child.pid, why);
        template_retry(template);
        snprintf(template->version, sizeof template->version, "%s", why);
        child_end(keeper, &template->child);
        slots_lose_cells(keeper, template->place);
        template_announce(keeper, template);
        /* At the first start nobody relies on it yet: say what is wrong, and stop, rather than serve half. */
        if (template_is_base(template) && !template->was_up && template->child.failures >= 2) {
                log_error("template.refused",
                        "runtime=%s could not be made ready; fix what is said above, or leave it out of "
                        "RUNTIMES",
                        template_name(keeper, template));
                keeper_stop(keeper, 1);
        }
        slots_dispatch(keeper);
}

static void template_lost(struct keeper *keeper, struct child *child, const char *why)
{
        struct template *template = container_of(child, struct template, child);

        if (template->state > TEMPLATE_DOWN)
                template_kill(keeper, template, why);
}

int template_warm(struct keeper *keeper, const struct keeper_warm *warm, int names)
{
        const struct template *base = &keeper->templates[MIN(warm->runtime, RUNTIME_COUNT - 1u)];
        struct template *template = &keeper->templates[MIN(warm->place, TEMPLATE_PLACES - 1u)];
        int seals = fcntl(names, F_GET_SEALS); /* only a memory file has any: closing it waits for nobody */

        if (template->place != warm->place || template_is_base(template) || template->state != TEMPLATE_OFF ||
                base->place != warm->runtime || base->state == TEMPLATE_OFF || seals < 0 ||
                !(seals & F_SEAL_WRITE)) {
                fd_closep(&names);
                return -EBADMSG;
        }
        template->runtime = warm->runtime;
        template->names = names;
        template->state = TEMPLATE_DOWN;
        template->child.wake_us = clock_us();
        return 0;
}

void template_cool(struct keeper *keeper, struct template *template)
{
        if (template->state != TEMPLATE_OFF)
                template_kill(keeper, template, "it is not asked for any more");
}

static void template_wake(struct keeper *keeper, struct child *child)
{
        const uint32_t plan = TEMPLATE_PLAN, plan_fd = BRIEF_PLAN_FD;
        struct template *template = container_of(child, struct template, child);

        if (template->state > TEMPLATE_DOWN) {
                template_kill(keeper, template,
                        template->state == TEMPLATE_STARTING ? "it did not get ready in time"
                                                             : "its self-test took too long");
                return;
        }
        if (child->pid > 0) { /* its killed predecessor */
                child->wake_us = clock_us() + RETRY_US;
                return;
        }
        if (child_start(keeper, child) < 0 ||
                child_tell(child, &plan, sizeof plan, (const int *)&plan_fd, 1) != 0) {
                template_kill(keeper, template, "it could not be started");
                return;
        }
        template->state = TEMPLATE_STARTING;
        template->generation++;
        child->wake_us = clock_us() + BOOT_TIMEOUT_US;
}

static const struct child_kind template_kind = {
        .body = template_main,
        .lost = template_lost,
        .wake = template_wake,
        .rules = {
                { TEMPLATE_READY, sizeof(struct template_ready), 0, template_says_ready },
                { TEMPLATE_FORKED, sizeof(struct template_forked), 0, template_says_forked },
                { TEMPLATE_EXITED, sizeof(struct template_exited), 0, template_says_exited },
        },
};

void template_add(struct keeper *keeper, uint32_t place)
{
        struct template *template = &keeper->templates[place];

        template->place = template->runtime = place;
        template->names = -1;
        child_add(keeper, &template->child, &template_kind);
        if (template_is_base(template) && *keeper->brief->runtimes[place].arguments)
                template->state = TEMPLATE_DOWN;
        else
                template->child.wake_us = 0;
}
