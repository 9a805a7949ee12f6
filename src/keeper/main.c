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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/macros.h"
#include "keeper/keeper.h"
#include "keeper/slot.h"
#include "keeper/template.h"

static int keeper_read_brief(struct keeper *keeper)
{
        struct stat st;
        const struct brief *brief;

        for (int fd = BRIEF_FD; fd < BRIEF_FDS_END; fd++) {
                if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                        return -errno;
        }
        if (fstat(BRIEF_FD, &st) < 0 || (size_t)st.st_size != sizeof *brief)
                return -EBADMSG;
        brief = mmap(NULL, sizeof *brief, PROT_READ, MAP_PRIVATE, BRIEF_FD, 0);
        if (brief == MAP_FAILED)
                return -errno;
        keeper->brief = brief;
        keeper->janitor_pid = brief->janitor_pid;
        keeper->janitor_fd = BRIEF_PIPE_FD;
        log_set_level(brief->log_level);
        return brief->size == sizeof *brief ? 0 : -EBADMSG;
}

static int keeper_open_groups(struct keeper *keeper)
{
        const struct brief_cgroups *cgroups = &keeper->brief->cgroups;
        int r = group_open(cgroups, "server", &keeper->server_group);

        if (r == 0)
                r = group_open(cgroups, "templates", &keeper->template_group);
        return r == 0 ? group_open(cgroups, "anchors", &keeper->anchor_group) : r;
}

static int keeper_open_loop(struct keeper *keeper)
{
        signal(SIGPIPE, SIG_IGN);
        keeper->epoll = epoll_create1(EPOLL_CLOEXEC);
        return keeper->epoll < 0 ? -errno : 0;
}

static int keeper_make_slots(struct keeper *keeper)
{
        int r = 0;

        keeper->templates = calloc(RUNTIME_COUNT, sizeof *keeper->templates);
        keeper->slots = calloc(keeper->brief->n_slots, sizeof *keeper->slots);
        if (!keeper->templates || !keeper->slots)
                return -ENOMEM;
        for (int i = 0; i < RUNTIME_COUNT; i++)
                template_init(keeper, &keeper->templates[i], i);
        for (uint32_t i = 0; i < keeper->brief->n_slots; i++)
                slot_init(&keeper->slots[i], i);
        for (uint32_t i = 0; r == 0 && i < keeper->brief->n_slots; i++)
                r = slot_make(keeper, &keeper->slots[i]);
        return r;
}

static const struct {
        const char *name;
        int (*open)(struct keeper *keeper);
} steps[] = {
        { "brief", keeper_read_brief },
        { "cgroups", keeper_open_groups },
        { "loop", keeper_open_loop },
        { "slots", keeper_make_slots },
};

/* Ends every child and waits for it; the janitor last, since it clears up behind the others. */
static void keeper_end_children(struct keeper *keeper)
{
        if (keeper->server_pid > 0)
                kill(keeper->server_pid, SIGKILL);
        for (int i = 0; keeper->templates && i < RUNTIME_COUNT; i++) {
                if (keeper->templates[i].pid > 0)
                        kill(keeper->templates[i].pid, SIGKILL);
        }
        for (uint32_t i = 0; keeper->slots && i < keeper->brief->n_slots; i++) {
                if (keeper->slots[i].anchor_pid > 0)
                        kill(keeper->slots[i].anchor_pid, SIGKILL);
        }
        fd_closep(&keeper->janitor_fd);
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
                ;
}

int main(void)
{
        static struct keeper keeper = { .janitor_fd = -1, .signals.fd = -1, .server.fd = -1 };
        int r = 0, code = 2;

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++) {
                r = steps[i].open(&keeper);
                if (r < 0)
                        log_error("keeper.failed", "step=%s error=\"%s\" (it is started by mayflyd)",
                                steps[i].name, strerror(-r));
        }
        if (r == 0) {
                log_info("keeper.up", "slots=%u pid=%d", keeper.brief->n_slots, getpid());
                code = keeper_run(&keeper);
        }
        keeper_end_children(&keeper);
        return code;
}
