#include "keeper/slot.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "keeper/anchor.h"
#include "sandbox/child.h"
#include "keeper/template.h"
#include "wire/guest_api.h"
#include "wire/packet.h"

enum { FORK_TIMEOUT_US = 5000000, CLEAN_TIMEOUT_US = 15000000, RETRY_US = 200000, FAILURES_MAX = 5 };

static void slot_ask_clean(struct keeper *keeper, struct slot *slot)
{
        fd_closep(&slot->first_pidfd);
        slot->state = SLOT_CLEANING;
        slot->cell = 0;
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
        keeper_dispatch(keeper);
}

static int slot_start_anchor(struct keeper *keeper, struct slot *slot)
{
        _cleanup_(fd_closep) int near = -1, far = -1;
        int fds[2], r;

        r = packet_pair(fds);
        if (r < 0)
                return error_trace(r);
        near = fds[0];
        far = fds[1];
        slot->anchor_pid = child_fork();
        if (slot->anchor_pid < 0)
                return error_trace(-errno);
        if (slot->anchor_pid == 0)
                anchor_main(keeper, &slot->group, far);
        r = keeper_watch(keeper, &slot->anchor, fd_steal(&near), slot_on_anchor);
        if (r < 0)
                return error_trace(r);
        slot_ask_clean(keeper, slot);
        return 0;
}

int slot_init(struct keeper *keeper, struct slot *slot, uint32_t index)
{
        const struct cgroup_limits limits = {
                .memory_bytes = keeper->settings.max_memory_bytes,
                .processes = keeper->settings.max_processes,
                .cpus_milli = keeper->settings.max_cpus_milli,
        };
        char name[32];
        int r;

        *slot = (struct slot){ .index = index, .first_pidfd = -1, .anchor = { .fd = -1 } };
        snprintf(name, sizeof name, "slot-%u", index);
        r = cgroup_new(&keeper->cgroups, name, &limits, &slot->group);
        if (r < 0)
                return error_trace(r);
        return slot_start_anchor(keeper, slot);
}

void slot_deinit(struct keeper *keeper, struct slot *slot)
{
        keeper_unwatch(keeper, &slot->anchor);
        fd_closep(&slot->first_pidfd);
        cgroup_deinit(&slot->group);
}

struct slot *slot_find_free(struct keeper *keeper)
{
        for (size_t i = 0; i < keeper->n_slots; i++) {
                if (keeper->slots[i].state == SLOT_FREE)
                        return &keeper->slots[i];
        }
        return NULL;
}

bool slot_is_busy(const struct slot *slot)
{
        return slot->state == SLOT_STARTING || slot->state == SLOT_RUNNING;
}

struct slot *slot_find_cell(struct keeper *keeper, uint64_t cell, bool selftest)
{
        for (size_t i = 0; i < keeper->n_slots; i++) {
                struct slot *slot = &keeper->slots[i];

                if (slot_is_busy(slot) && slot->cell == cell && slot->selftest == selftest)
                        return slot;
        }
        return NULL;
}

struct slot *slot_find_ticket(struct keeper *keeper, uint64_t ticket)
{
        for (size_t i = 0; i < keeper->n_slots; i++) {
                if (slot_is_busy(&keeper->slots[i]) && keeper->slots[i].ticket == ticket)
                        return &keeper->slots[i];
        }
        return NULL;
}

int slot_start_cell(struct keeper *keeper, struct slot *slot, const struct pending *request)
{
        static uint64_t tickets;
        struct template_fork fork_request = {
                .type = TEMPLATE_FORK,
                .selftest = request->selftest,
                .cell = ++tickets,
                .uid = keeper->settings.uid_base + UID_CELLS + slot->index,
        };
        int fds[PACKET_FDS], n_fds = 0, r;
        struct cgroup_usage ignored;

        for (int i = 0; i < KEEPER_FDS_PER_CELL; i++)
                fds[n_fds++] = request->fds[i];
        fds[n_fds++] = slot->first_pidfd;
        for (size_t i = 0; i < slot->group.n_trees; i++)
                fds[n_fds++] = slot->group.joins[i];

        cgroup_read(&slot->group, &ignored);
        r = packet_send(keeper->templates[request->runtime].control.fd, &fork_request, sizeof fork_request,
                fds, (size_t)n_fds);
        if (r != 0)
                return r > 0 ? -EPIPE : r;
        slot->state = SLOT_STARTING;
        slot->cell = request->cell;
        slot->ticket = tickets;
        slot->runtime = request->runtime;
        slot->selftest = request->selftest;
        slot->killed = false;
        slot->started_us = clock_us();
        slot->deadline_us = slot->started_us + FORK_TIMEOUT_US;
        return 0;
}

void slot_kill_cell(struct slot *slot)
{
        if (!slot_is_busy(slot))
                return;
        slot->killed = true;
        slot->deadline_us = clock_us() + FORK_TIMEOUT_US;
        syscall(SYS_pidfd_send_signal, slot->first_pidfd, SIGKILL, NULL, 0);
}

void slot_end_cell(struct keeper *keeper, struct slot *slot, struct keeper_done done)
{
        struct cgroup_usage usage;

        /* Whatever the cell has started and left behind ends here. */
        syscall(SYS_pidfd_send_signal, slot->first_pidfd, SIGKILL, NULL, 0);
        cgroup_read(&slot->group, &usage);
        slot->state = SLOT_CLEANING; /* what the report leads to must find no cell here */
        done.type = KEEPER_DONE;
        done.cell = slot->cell;
        done.killed = slot->killed;
        done.wall_us = clock_us() - slot->started_us;
        done.peak_memory_bytes = usage.peak_memory_bytes;
        done.limits = (usage.memory_kills ? CELL_LIMIT_MEMORY : 0u) |
                      (usage.process_refusals ? CELL_LIMIT_PROCESSES : 0u);
        keeper_report_done(keeper, slot->selftest, slot->runtime, &done);
        slot_ask_clean(keeper, slot);
}

void slot_anchor_lost(struct keeper *keeper, struct slot *slot)
{
        const struct keeper_done done = { .type = KEEPER_DONE, .outcome = CELL_LOST, .cell = slot->cell };
        bool was_busy = slot_is_busy(slot);

        if (slot->state == SLOT_DOWN)
                return;
        keeper_unwatch(keeper, &slot->anchor);
        fd_closep(&slot->first_pidfd);
        if (slot->anchor_pid > 0)
                kill(slot->anchor_pid, SIGKILL);
        slot->state = SLOT_DOWN;
        slot->cell = 0;
        slot->retry_us = clock_us() + RETRY_US * ++slot->failures;
        if (slot->failures >= FAILURES_MAX) {
                log_error("slot.refused", "slot=%u cannot be made ready; see slot.failed above", slot->index);
                keeper_stop(keeper, 1);
        }
        if (was_busy)
                keeper_report_done(keeper, slot->selftest, slot->runtime, &done);
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
                template_kill(keeper, slot->runtime, "it does not answer");
        }
        return slot->deadline_us;
}
