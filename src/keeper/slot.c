#include "keeper/slot.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/macros.h"
#include "keeper/anchor.h"
#include "keeper/template.h"
#include "sandbox/child.h"
#include "wire/packet.h"
#include "wire/template_api.h"

enum { FORK_TIMEOUT_US = 5000000, CLEAN_TIMEOUT_US = 15000000, RETRY_US = 200000, FAILURES_MAX = 5 };

static void slot_ask_clean(struct keeper *keeper, struct slot *slot)
{
        fd_closep(&slot->first_pidfd);
        slot->state = SLOT_CLEANING;
        slot->killed = false;
        slot->deadline_us = clock_us() + CLEAN_TIMEOUT_US;
        if (packet_send(slot->anchor.fd, "c", 1, NULL, 0) != 0)
                slot_anchor_lost(keeper, slot);
}

/* The anchor has a clean slot, or failed to make one. */
static void slot_on_anchor(struct keeper *keeper, struct watch *watch)
{
        struct slot *slot = container_of(watch, struct slot, anchor);
        struct anchor_ready ready = { 0 };
        size_t length = 0, n_fds = 0;
        int pidfd = -1, r;

        r = packet_receive(watch->fd, MSG_DONTWAIT, &ready, sizeof ready, &length, &pidfd, 1, &n_fds);
        if (r == PACKET_AGAIN)
                return;
        if (r != 0 || length != sizeof ready || ready.error < 0 || n_fds != 1) {
                ready.step[sizeof ready.step - 1] = 0;
                log_error("slot.failed", "slot=%u step=\"%s\" error=\"%s\"", slot->index, ready.step,
                        strerror(r < 0 ? -r : -ready.error));
                fd_closep(&pidfd);
                slot_anchor_lost(keeper, slot);
                return;
        }
        slot->first_pidfd = pidfd;
        slot->failures = 0;
        slot->state = SLOT_FREE;
        slot->deadline_us = 0;
        slots_dispatch(keeper);
}

static void slot_run_anchor(struct keeper *keeper, struct watch *watch, int socket)
{
        anchor_main(keeper, &container_of(watch, struct slot, anchor)->group, socket);
}

static int slot_start_anchor(struct keeper *keeper, struct slot *slot)
{
        pid_t pid = keeper_spawn(keeper, &slot->anchor, slot_on_anchor, slot_run_anchor);

        if (pid < 0)
                return (int)pid;
        slot->anchor_pid = pid;
        slot_ask_clean(keeper, slot);
        return 0;
}

void slot_init(struct slot *slot, uint32_t index)
{
        *slot = (struct slot){ .index = index, .first_pidfd = -1, .anchor = { .fd = -1 } };
}

int slot_make(struct keeper *keeper, struct slot *slot)
{
        char name[32];
        int r;

        snprintf(name, sizeof name, "slot-%u", slot->index);
        r = group_open(&keeper->brief->cgroups, name, &slot->group);
        return r < 0 ? r : slot_start_anchor(keeper, slot);
}

static bool slot_is_busy(const struct slot *slot)
{
        return slot->state == SLOT_STARTING || slot->state == SLOT_RUNNING;
}

struct slot *slot_find_ticket(struct keeper *keeper, uint64_t ticket)
{
        for (uint32_t i = 0; i < keeper->brief->n_slots; i++) {
                if (slot_is_busy(&keeper->slots[i]) && keeper->slots[i].ticket == ticket)
                        return &keeper->slots[i];
        }
        return NULL;
}

static bool request_is(const struct slot_request *request, uint64_t cell)
{
        return request->cell == cell && !request->selftest;
}

struct slot *slot_find_cell(struct keeper *keeper, uint64_t cell)
{
        for (uint32_t i = 0; i < keeper->brief->n_slots; i++) {
                struct slot *slot = &keeper->slots[i];

                if ((slot_is_busy(slot) && request_is(&slot->now, cell)) ||
                        (slot->is_wanted && request_is(&slot->next, cell)))
                        return slot;
        }
        return NULL;
}

/* --- who comes next --- */

/* A slot that is free, will be, or will be made. */
static struct slot *slot_find(struct keeper *keeper)
{
        struct slot *found = NULL;

        for (uint32_t i = 0; i < keeper->brief->n_slots; i++) {
                struct slot *slot = &keeper->slots[i];

                if (slot->is_wanted || (slot_is_busy(slot) && !slot->killed))
                        continue;
                if (slot->state == SLOT_FREE)
                        return slot;
                if (!found || slot->state == SLOT_CLEANING)
                        found = slot;
        }
        return found;
}

int slot_request(struct keeper *keeper, struct slot_request *request)
{
        struct slot *slot = slot_find(keeper);

        if (!slot) {
                fds_close(request->fds, KEEPER_FDS_PER_CELL);
                return -ENOSPC;
        }
        slot->next = *request;
        slot->is_wanted = true;
        keeper->n_wanted++;
        slots_dispatch(keeper);
        return 0;
}

static void slot_drop_request(struct keeper *keeper, struct slot *slot)
{
        keeper->n_wanted--;
        slot->is_wanted = false;
        fds_close(slot->next.fds, KEEPER_FDS_PER_CELL);
}

static void slot_refuse(struct keeper *keeper, struct slot *slot)
{
        const struct slot_request *next = &slot->next;
        const struct keeper_done done = { .type = KEEPER_DONE, .outcome = CELL_REFUSED, .cell = next->cell };

        slot_drop_request(keeper, slot);
        keeper_report_done(keeper, next->selftest, next->runtime, &done);
}

/* Asks the template to fork. 0 or negative errno: the request stays, the slot stays free. */
static int slot_start_cell(struct keeper *keeper, struct slot *slot)
{
        static uint64_t tickets;
        const struct slot_request *next = &slot->next;
        const struct template_fork fork_request = {
                .type = TEMPLATE_FORK,
                .selftest = next->selftest,
                .cell = ++tickets,
                .uid = keeper->brief->uid_base + UID_CELLS + slot->index,
        };
        int fds[PACKET_FDS], n_fds = 0, r;
        uint64_t ignored[BRIEF_COUNTERS];

        for (int i = 0; i < KEEPER_FDS_PER_CELL; i++)
                fds[n_fds++] = next->fds[i];
        fds[n_fds++] = slot->first_pidfd;
        for (uint32_t i = 0; i < keeper->brief->cgroups.n_trees; i++)
                fds[n_fds++] = slot->group.joins[i];

        group_read(&slot->group, ignored);
        r = packet_send(keeper->templates[next->runtime].control.fd, &fork_request, sizeof fork_request, fds,
                (size_t)n_fds);
        if (r != 0)
                return r > 0 ? -EPIPE : r;
        slot->state = SLOT_STARTING;
        slot->ticket = tickets;
        slot->killed = false;
        slot->started_us = clock_us();
        slot->deadline_us = slot->started_us + FORK_TIMEOUT_US;
        slot_drop_request(keeper, slot);
        slot->now = slot->next;
        return 0;
}

/* A free slot that nobody waits for takes over what waits at one that is not free. */
static struct slot *slot_make_way(struct keeper *keeper, struct slot *slot)
{
        struct slot *other = slot->state == SLOT_FREE ? NULL : slot_find(keeper);

        if (!other || other->state != SLOT_FREE)
                return slot;
        other->next = slot->next;
        other->is_wanted = true;
        slot->is_wanted = false;
        return other;
}

/* A send that fails means a template that dies, which is noticed on its own, or one that is slow, whose next
 * word leads here again. */
static void slot_look(struct keeper *keeper, struct slot *slot)
{
        enum template_answer answer =
                template_look(&keeper->templates[slot->next.runtime], slot->next.selftest);

        if (answer == TEMPLATE_REFUSES)
                slot_refuse(keeper, slot);
        if (answer != TEMPLATE_TAKES)
                return;
        slot = slot_make_way(keeper, slot);
        if (slot->state == SLOT_FREE)
                slot_start_cell(keeper, slot);
}

void slots_dispatch(struct keeper *keeper)
{
        for (uint32_t i = 0; keeper->n_wanted > 0 && i < keeper->brief->n_slots; i++) {
                if (keeper->slots[i].is_wanted)
                        slot_look(keeper, &keeper->slots[i]);
        }
}

/* --- the cell --- */

static void slot_kill(struct slot *slot)
{
        slot->killed = true;
        slot->deadline_us = clock_us() + FORK_TIMEOUT_US;
        syscall(SYS_pidfd_send_signal, slot->first_pidfd, SIGKILL, NULL, 0);
}

void slot_kill_cell(struct keeper *keeper, uint64_t cell)
{
        struct slot *slot = slot_find_cell(keeper, cell);

        if (slot && slot->is_wanted && request_is(&slot->next, cell))
                slot_refuse(keeper, slot);
        else if (slot)
                slot_kill(slot);
}

void slots_forget_server(struct keeper *keeper)
{
        for (uint32_t i = 0; i < keeper->brief->n_slots; i++) {
                struct slot *slot = &keeper->slots[i];

                if (slot->is_wanted && !slot->next.selftest)
                        slot_drop_request(keeper, slot);
                if (slot_is_busy(slot) && !slot->now.selftest) {
                        slot_kill(slot);
                        slot->now.cell = 0; /* the next server counts from 1 again */
                }
        }
}

void slot_forked(struct slot *slot)
{
        slot->state = SLOT_RUNNING;
        if (!slot->killed)
                slot->deadline_us = 0;
}

void slots_lose_cells(struct keeper *keeper, enum runtime runtime)
{
        for (uint32_t i = 0; i < keeper->brief->n_slots; i++) {
                struct slot *slot = &keeper->slots[i];

                if (slot_is_busy(slot) && slot->now.runtime == runtime)
                        slot_end_cell(keeper, slot, (struct keeper_done){ .outcome = CELL_LOST });
        }
}

void slot_end_cell(struct keeper *keeper, struct slot *slot, struct keeper_done done)
{
        uint64_t counts[BRIEF_COUNTERS];

        /* Whatever the cell has started and left behind ends here. */
        syscall(SYS_pidfd_send_signal, slot->first_pidfd, SIGKILL, NULL, 0);
        group_read(&slot->group, counts);
        slot->state = SLOT_CLEANING; /* what the report leads to must find no cell here */
        done.type = KEEPER_DONE;
        done.cell = slot->now.cell;
        done.killed = slot->killed;
        done.wall_us = clock_us() - slot->started_us;
        /* The group knows of children that nobody has waited for; wait(2) does not. */
        done.cpu_us = MAX(done.cpu_us, counts[BRIEF_CPU]);
        done.peak_memory_bytes = counts[BRIEF_PEAK];
        done.limits = (counts[BRIEF_KILLS] ? CELL_LIMIT_MEMORY : 0u) |
                      (counts[BRIEF_REFUSALS] ? CELL_LIMIT_PROCESSES : 0u);
        keeper_report_done(keeper, slot->now.selftest, slot->now.runtime, &done);
        slot_ask_clean(keeper, slot);
}

void slot_anchor_lost(struct keeper *keeper, struct slot *slot)
{
        const struct keeper_done done = { .type = KEEPER_DONE, .outcome = CELL_LOST, .cell = slot->now.cell };
        bool was_busy = slot_is_busy(slot);

        if (slot->state == SLOT_DOWN)
                return;
        keeper_unwatch(keeper, &slot->anchor);
        fd_closep(&slot->first_pidfd);
        if (slot->anchor_pid > 0)
                kill(slot->anchor_pid, SIGKILL);
        slot->state = SLOT_DOWN;
        slot->retry_us = clock_us() + RETRY_US * ++slot->failures;
        if (slot->failures >= FAILURES_MAX) {
                log_error("slot.refused", "slot=%u cannot be made ready; see slot.failed above", slot->index);
                keeper_stop(keeper, 1);
        }
        if (was_busy)
                keeper_report_done(keeper, slot->now.selftest, slot->now.runtime, &done);
}

uint64_t slot_tick(struct keeper *keeper, struct slot *slot, uint64_t now_us)
{
        if (slot->state == SLOT_DOWN) {
                if (now_us < slot->retry_us)
                        return slot->retry_us;
                if (slot_start_anchor(keeper, slot) < 0)
                        slot->retry_us = now_us + RETRY_US;
                return now_us + RETRY_US;
        }
        if (slot->state == SLOT_CLEANING && now_us >= slot->deadline_us) {
                log_error("slot.failed", "slot=%u error=\"its anchor does not answer\"", slot->index);
                slot_anchor_lost(keeper, slot);
                return slot->retry_us;
        }
        /* A template that neither forks nor reaps is no use to anybody. */
        if (slot->deadline_us && now_us >= slot->deadline_us) {
                slot->deadline_us = now_us + FORK_TIMEOUT_US;
                template_kill(keeper, slot->now.runtime, "it does not answer");
        }
        return slot->deadline_us;
}
