/*
 * mayfly-keeper: the one privileged process while functions run. mayflyd prepares the host and then executes
 * it in its own place; it trusts the brief that it gets from there, and its own children's packets no further
 * than the tables that check them. See ARCHITECTURE.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "keeper/keeper.h"
#include "keeper/server_process.h"
#include "keeper/slot.h"
#include "keeper/template.h"

/* NULL: it is not what mayflyd of this build has written. */
static const struct brief *brief_read(void)
{
        const struct brief *brief;
        struct stat st;

        for (int fd = BRIEF_FD; fd < BRIEF_FDS_END; fd++) {
                if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                        return NULL;
        }
        if (fstat(BRIEF_FD, &st) < 0 || (size_t)st.st_size != sizeof *brief)
                return NULL;
        brief = mmap(NULL, sizeof *brief, PROT_READ, MAP_PRIVATE, BRIEF_FD, 0);
        return brief != MAP_FAILED && brief->size == sizeof *brief ? brief : NULL;
}

static int keeper_open_loop(struct keeper *keeper)
{
        struct epoll_event event = { .events = EPOLLIN };
        sigset_t signals;

        signal(SIGPIPE, SIG_IGN);
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

static int keeper_add_children(struct keeper *keeper)
{
        uint32_t n_slots = keeper->brief->n_slots;
        int r = 0;

        keeper->templates = calloc(RUNTIME_COUNT, sizeof *keeper->templates);
        keeper->slots = calloc(n_slots, sizeof *keeper->slots);
        /* NOLINTNEXTLINE(bugprone-sizeof-expression): pointers it is */
        keeper->children = calloc(1 + RUNTIME_COUNT + n_slots, sizeof *keeper->children);
        if (!keeper->templates || !keeper->slots || !keeper->children)
                return -ENOMEM;
        child_add(keeper, &keeper->server, &server_kind);
        for (int i = 0; i < RUNTIME_COUNT; i++)
                template_add(keeper, i);
        for (uint32_t i = 0; r == 0 && i < n_slots; i++)
                r = slot_add(keeper, i);
        return r;
}

/* Ends every child and waits for it; the janitor last, since it clears up behind the others. */
static void keeper_end(struct keeper *keeper)
{
        for (size_t i = 0; i < keeper->n_children; i++)
                child_end(keeper, keeper->children[i]);
        fd_closep(&keeper->janitor_fd);
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
                ;
}

int main(void)
{
        static struct keeper keeper = { .janitor_fd = BRIEF_PIPE_FD };
        const struct brief *brief = brief_read();
        int r, code = 2;

        if (!brief) {
                log_error("keeper.failed", "it is started by mayflyd alone");
                return code;
        }
        keeper.brief = brief;
        keeper.janitor_pid = brief->janitor_pid;
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
