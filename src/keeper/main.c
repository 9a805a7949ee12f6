/*
 * mayfly-keeper: the one privileged process while functions run. mayflyd prepares the host and then executes
 * it in its own place; it trusts the brief that it gets from there, and its own children's packets no further
 * than the tables that check them. See ARCHITECTURE.md.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "keeper/keeper.h"
#include "keeper/server_process.h"
#include "keeper/slot.h"
#include "keeper/template.h"
#include "wire/janitor.h"

enum { JANITOR_RETRY_US = 200000 };

/* NULL: it is not what mayflyd of this build has written. */
static const struct brief *brief_read(void)
{
        const struct brief *brief;
        struct stat st;

        if (close_range(BRIEF_FD, ~0u, CLOSE_RANGE_CLOEXEC) < 0 || fstat(BRIEF_FD, &st) < 0 ||
                (size_t)st.st_size != sizeof *brief)
                return NULL;
        brief = mmap(NULL, sizeof *brief, PROT_READ, MAP_PRIVATE, BRIEF_FD, 0);
        return brief != MAP_FAILED ? brief : NULL;
}

static int keeper_open_loop(struct keeper *keeper)
{
        struct epoll_event event = { .events = EPOLLIN };
        sigset_t signals;

        signal(SIGPIPE, SIG_IGN);
        signal(SIGCHLD, SIG_DFL);
        sigemptyset(&signals);
        sigaddset(&signals, SIGCHLD);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGTERM);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        keeper->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        keeper->epoll = epoll_create1(EPOLL_CLOEXEC);
        return epoll_ctl(keeper->epoll, EPOLL_CTL_ADD, keeper->signals, &event) < 0 ? -errno : 0;
}

static int keeper_open_groups(struct keeper *keeper)
{
        static const char *const names[GROUPS] = { "server", "templates", "anchors" };
        int r = 0;

        for (size_t i = 0; r == 0 && i < GROUPS; i++)
                r = group_open(&keeper->brief->cgroups, names[i], &keeper->groups[i]);
        return r;
}

/* Not to die with the keeper is what it is for. */
static void __attribute__((noreturn))
janitor_main(struct keeper *keeper, struct child *janitor _unused_, int socket)
{
        const char *arguments[BRIEF_LIST];
        char *const environment[] = { NULL };

        brief_words(keeper->brief->janitor, arguments);
        if (prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) == 0 && dup2(socket, JANITOR_HOLD_FD) >= 0)
                fexecve(BRIEF_JANITOR_FD, (char *const *)arguments, environment);
        _exit(1);
}

static void janitor_lost(struct keeper *keeper, struct child *janitor, const char *why)
{
        log_warn("janitor.down", "why=\"%s\"", why);
        child_hang_up(keeper, janitor);
        janitor->wake_us = clock_us() + JANITOR_RETRY_US;
}

static void janitor_wake(struct keeper *keeper, struct child *janitor)
{
        if (janitor->pid == 0 && child_start(keeper, janitor) < 0)
                janitor->wake_us = clock_us() + JANITOR_RETRY_US;
}

static const struct child_kind janitor_kind = {
        .body = janitor_main, .lost = janitor_lost, .wake = janitor_wake
};

/* They wake in the opposite order: the slots, of which there are many, do not keep the others waiting. */
static int keeper_add_children(struct keeper *keeper)
{
        uint32_t n_slots = keeper->brief->n_slots;
        int r = 0;

        keeper->templates = calloc(TEMPLATE_PLACES, sizeof *keeper->templates);
        keeper->slots = calloc(n_slots, sizeof *keeper->slots);
        if (!keeper->templates || !keeper->slots)
                return -ENOMEM;
        keeper->slots_end = keeper->slots + n_slots;
        for (uint32_t i = 0; r == 0 && i < n_slots; i++)
                r = slot_add(keeper, i);
        for (uint32_t i = 0; i < TEMPLATE_PLACES; i++)
                template_add(keeper, i);
        child_add(keeper, &keeper->server, &server_kind);
        child_add(keeper, &keeper->janitor, &janitor_kind);
        keeper->janitor.pid = keeper->brief->janitor_pid;
        keeper->janitor.fd = BRIEF_PIPE_FD;
        return r;
}

/* Ends every child and waits for it; the janitor is let go last, since it clears up behind the others. */
static void keeper_end(struct keeper *keeper)
{
        for (struct child *child = keeper->children; child; child = child->next) {
                if (child != &keeper->janitor)
                        child_end(keeper, child);
        }
        child_hang_up(keeper, &keeper->janitor);
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
                ;
}

int main(void)
{
        static struct keeper keeper;
        const struct brief *brief = brief_read();
        int r, code = 2;

        if (!brief) {
                log_error("keeper.failed", "it is started by mayflyd alone");
                return code;
        }
        keeper.brief = brief;
        log_set_level(brief->log_level);
        r = keeper_open_loop(&keeper);
        if (r == 0)
                r = keeper_add_children(&keeper);
        if (r == 0)
                r = keeper_open_groups(&keeper);
        if (r == 0) {
                log_info("keeper.up", "slots=%u pid=%d", brief->n_slots, getpid());
                code = keeper_run(&keeper);
        } else {
                log_error("keeper.failed", "error=\"%s\"", strerror(-r));
        }
        keeper_end(&keeper);
        return code;
}
