#include "keeper/slot.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/macros.h"
#include "keeper/anchor.h"
#include "keeper/server_process.h"
#include "keeper/template.h"
#include "wire/packet.h"
#include "wire/template_api.h"

enum { FORK_TIMEOUT_US = 5000000, ANCHOR_TIMEOUT_US = 15000000, RETRY_US = 200000, FAILURES_MAX = 5 };
enum { FORK_FDS = KEEPER_FDS_PER_CELL + 1 }; /* with TEMPLATE_FORK, before those of the cgroups */

static bool slot_is_busy(const struct slot *slot)
{
        return slot->state >= SLOT_STARTING;
}

struct slot *slot_find_ticket(struct keeper *keeper, uint32_t place, uint64_t ticket)
{
        struct slot *slot = &keeper->slots[ticket % keeper->brief->n_slots];

        return slot_is_busy(slot) && slot->now.place == place && slot->ticket == ticket ? slot : NULL;
}

struct slot *slot_find_cell(struct keeper *keeper, uint64_t cell)
{
        for (struct slot *slot = keeper->slots; slot < keeper->slots_end; slot++) {
                if (cell && ((slot_is_busy(slot) && slot->now.cell == cell) ||
                                    (slot->is_wanted && slot->next.cell == cell)))
                        return slot;
        }
        return NULL;
}

/* --- who comes next --- */

/* A slot that is free, will be, or will be made. */
static struct slot *slot_find(struct keeper *keeper)
{
        struct slot *found = NULL;

        for (struct slot *slot = keeper->slots; slot < keeper->slots_end; slot++) {
                if (slot->is_wanted || (slot_is_busy(slot) && !slot->killed))
                        continue;
                if (slot->state == SLOT_FREE)
                        return slot;
                if (!found || slot->state == SLOT_CLEANING)
                        found = slot;
        }
        return found;
}

static void slot_report(struct keeper *keeper, const struct slot_request *request, struct keeper_done done)
{
        done.type = KEEPER_DONE;
        done.cell = request->cell;
        if (request->selftest)
                template_test_done(keeper, &keeper->templates[request->place], &done);
        else if (request->cell)
                server_tell(keeper, &done, sizeof done);
}

static void request_refuse(struct keeper *keeper, struct slot_request request)
{
        fds_close(request.fds, KEEPER_FDS_PER_CELL);
        slot_report(keeper, &request, (struct keeper_done){ .outcome = CELL_REFUSED });
}

void slot_request(struct keeper *keeper, const struct slot_request *request)
{
        struct slot *slot = slot_find(keeper);

        if (!slot) {
                request_refuse(keeper, *request);
                return;
        }
        slot->next = *request;
        slot->is_wanted = true;
        slots_dispatch(keeper);
}

static void slot_refuse(struct keeper *keeper, struct slot *slot)
{
        slot->is_wanted = false;
        request_refuse(keeper, slot->next);
}

/* Asks the template to fork. Where that fails the template dies, which is noticed on its own, or is slow, and
 * its next word leads here again: until then the slot stays free. */
static void slot_start_cell(struct keeper *keeper, struct slot *slot)
{
        const struct slot_request *next = &slot->next;
        const struct template_fork fork_request = {
                .type = TEMPLATE_FORK,
                .selftest = next->selftest,
                .cell = slot->ticket + keeper->brief->n_slots,
                .uid = keeper->brief->uid_base + UID_CELLS + slot->index,
        };
        int fds[PACKET_FDS] = { next->fds[0], next->fds[1], next->fds[2], slot->first_pidfd };

        memcpy(fds + FORK_FDS, slot->group.joins, sizeof slot->group.joins);
        if (!slot->is_deserted) /* else nothing has been used since the last reading */
                group_read(&slot->group, slot->used);
        if (child_tell(&keeper->templates[next->place].child, &fork_request, sizeof fork_request, fds,
                    FORK_FDS + keeper->brief->cgroups.n_trees) != 0)
                return;
        slot->state = SLOT_STARTING;
        slot->now = *next;
        slot->ticket = fork_request.cell;
        slot->killed = false;
        slot->started_us = clock_us();
        slot->anchor.wake_us = slot->started_us + FORK_TIMEOUT_US;
        slot->is_wanted = false;
        fds_close(slot->next.fds, KEEPER_FDS_PER_CELL);
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

static void slot_look(struct keeper *keeper, struct slot *slot)
{
        enum template_answer answer =
                template_look(&keeper->templates[slot->next.place], slot->next.selftest);

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
        for (struct slot *slot = keeper->slots; slot < keeper->slots_end; slot++) {
                if (slot->is_wanted)
                        slot_look(keeper, slot);
        }
}

static void slot_ask_anchor(struct slot *slot, enum slot_state state, struct anchor_request request)
{
        slot->state = state;
        slot->anchor.wake_us = clock_us() + ANCHOR_TIMEOUT_US;
        /* If it is not there, it is lost, too. */
        child_tell(&slot->anchor, &request, sizeof request, NULL, 0);
}

/* --- the cell --- */

static void slot_kill(struct slot *slot)
{
        if (!slot->killed)
                slot->anchor.wake_us = clock_us() + FORK_TIMEOUT_US;
        slot->killed = true;
        syscall(SYS_pidfd_send_signal, slot->first_pidfd, SIGKILL, NULL, 0);
}

void slot_kill_cell(struct keeper *keeper, uint64_t cell)
{
        struct slot *slot = slot_find_cell(keeper, cell);

        if (slot && slot->is_wanted && slot->next.cell == cell)
                slot_refuse(keeper, slot);
        else if (slot)
                slot_kill(slot);
}

void slots_forget_server(struct keeper *keeper)
{
        for (struct slot *slot = keeper->slots; slot < keeper->slots_end; slot++) {
                if (slot->is_wanted && !slot->next.selftest)
                        slot_refuse(keeper, slot);
                if (slot_is_busy(slot) && !slot->now.selftest) {
                        slot_kill(slot);
                        /* Nobody waits for its end, and the next server counts from 1 again. */
                        slot->now.cell = 0;
                }
        }
}

static void slot_run(struct slot *slot)
{
        slot->state = SLOT_RUNNING;
        if (!slot->killed)
                slot->anchor.wake_us = 0;
}

static void slot_limited(struct keeper *keeper, struct slot *slot, int error)
{
        const struct keeper_limited message = {
                .type = KEEPER_LIMITED, .error = error, .cell = slot->now.cell
        };

        slot_run(slot);
        if (message.cell)
                server_tell(keeper, &message, sizeof message);
}

/* Its usage starts anew first, so that what the limits do to it counts. */
static void slot_limit(struct keeper *keeper, struct slot *slot)
{
        const struct keeper_limit *limit = &slot->now.limit;
        /* By enum brief_limit_name. */
        const uint64_t limits[BRIEF_LIMITS] = { limit->memory_bytes, limit->processes, limit->cpus_milli };
        const struct anchor_request request = { .type = ANCHOR_LIMIT, .tmp_bytes = limit->tmp_bytes };
        int r;

        group_read(&slot->group, slot->used);
        r = group_lower(&slot->group, limits);
        if (r == 0 && limit->tmp_bytes > 0 && limit->tmp_bytes < keeper->brief->tmp_bytes)
                slot_ask_anchor(slot, SLOT_LIMITING, request);
        else
                slot_limited(keeper, slot, r);
}

int slot_limit_cell(struct keeper *keeper, const struct keeper_limit *limit)
{
        struct slot *slot = slot_find_cell(keeper, limit->cell);
        struct slot_request *request;

        if (!slot)
                return 0;
        request = slot->is_wanted && slot->next.cell == limit->cell ? &slot->next : &slot->now;
        if (request->limit.type)
                return -EBADMSG;
        request->limit = *limit;
        if (request == &slot->now && slot->state == SLOT_RUNNING)
                slot_limit(keeper, slot);
        return 0;
}

void slot_forked(struct keeper *keeper, struct slot *slot)
{
        slot_run(slot);
        if (slot->now.limit.type)
                slot_limit(keeper, slot);
}

void slots_lose_cells(struct keeper *keeper, uint32_t place)
{
        for (struct slot *slot = keeper->slots; slot < keeper->slots_end; slot++) {
                if (slot_is_busy(slot) && slot->now.place == place)
                        slot_end_cell(keeper, slot, (struct keeper_done){ .outcome = CELL_LOST });
        }
}

static void slot_ask_clean(struct slot *slot, bool is_deserted)
{
        if (!is_deserted)
                fd_closep(&slot->first_pidfd);
        slot->killed = false;
        slot->is_deserted = is_deserted;
        slot_ask_anchor(slot, SLOT_CLEANING,
                (struct anchor_request){ .type = ANCHOR_CLEAN, .is_deserted = is_deserted });
}

void slot_end_cell(struct keeper *keeper, struct slot *slot, struct keeper_done done)
{
        const uint64_t *used = slot->used;
        bool is_deserted;

        group_read(&slot->group, slot->used);
        /* A template that died, rather than having seen the cell's end, may have left one that is on its way
         * into the group. */
        is_deserted = slot->group.counters[BRIEF_ALIVE] >= 0 && used[BRIEF_ALIVE] == 0 && !slot->killed &&
                      done.outcome != CELL_LOST;
        /* Whatever the cell has started and left behind ends here. */
        if (!is_deserted)
                syscall(SYS_pidfd_send_signal, slot->first_pidfd, SIGKILL, NULL, 0);
        slot->state = SLOT_CLEANING; /* what the report leads to must find no cell here */
        done.killed = slot->killed;
        done.wall_us = clock_us() - slot->started_us;
        /* The group knows of children that nobody has waited for, and since when to count; wait(2) does not.
         */
        if (slot->group.counters[BRIEF_CPU] >= 0)
                done.cpu_us = used[BRIEF_CPU];
        done.peak_memory_bytes = used[BRIEF_PEAK];
        done.limits = (used[BRIEF_KILLS] ? CELL_LIMIT_MEMORY : 0u) |
                      (used[BRIEF_REFUSALS] ? CELL_LIMIT_PROCESSES : 0u);
        slot_report(keeper, &slot->now, done);
        slot_ask_clean(slot, is_deserted);
}

/* --- the anchor --- */

static int slot_fail(const struct slot *slot, const char *step, int error)
{
        log_error("slot.failed", "slot=%u step=\"%.55s\" error=\"%s\"", slot->index, step, strerror(-error));
        return -EIO;
}

static int slot_is_clean(struct keeper *keeper, struct child *anchor, const void *message, const int *fds)
{
        struct slot *slot = container_of(anchor, struct slot, anchor);
        int r;

        if (((const struct anchor_answer *)message)->type == ANCHOR_READY) {
                fd_closep(&slot->first_pidfd);
                slot->first_pidfd = fds[0];
        }
        if (slot->state != SLOT_CLEANING || slot->first_pidfd < 0)
                return -EBADMSG;
        /* The last cell is gone, the next one not there yet. */
        r = slot->now.limit.type ? group_restore(&slot->group) : 0;
        if (r < 0)
                return slot_fail(slot, "the limits of the settings", r);
        slot->state = SLOT_FREE;
        anchor->failures = 0;
        anchor->wake_us = 0;
        slots_dispatch(keeper);
        return 0;
}

static int slot_is_not_clean(
        struct keeper *keeper _unused_, struct child *anchor, const void *message, const int *fds _unused_)
{
        const struct anchor_answer *failed = message;

        return slot_fail(container_of(anchor, struct slot, anchor), failed->step, failed->error);
}

static int slot_tmp_is_limited(
        struct keeper *keeper, struct child *anchor, const void *message, const int *fds _unused_)
{
        struct slot *slot = container_of(anchor, struct slot, anchor);

        if (slot->state == SLOT_LIMITING) /* else the cell has ended meanwhile */
                slot_limited(keeper, slot, ((const struct anchor_answer *)message)->error);
        return 0;
}

static void slot_lost(struct keeper *keeper, struct child *anchor, const char *why)
{
        struct slot *slot = container_of(anchor, struct slot, anchor);
        bool was_busy = slot_is_busy(slot);

        if (slot->state == SLOT_DOWN)
                return;
        log_error("slot.lost", "slot=%u why=\"%s\"", slot->index, why);
        child_end(keeper, anchor);
        fd_closep(&slot->first_pidfd);
        slot->state = SLOT_DOWN;
        anchor->wake_us = clock_us() + RETRY_US * ++anchor->failures;
        if (anchor->failures >= FAILURES_MAX) {
                log_error("slot.refused", "slot=%u cannot be made ready; see slot.failed above", slot->index);
                keeper_stop(keeper, 1);
        }
        if (was_busy)
                slot_report(keeper, &slot->now, (struct keeper_done){ .outcome = CELL_LOST });
}

static void slot_wake(struct keeper *keeper, struct child *anchor)
{
        struct slot *slot = container_of(anchor, struct slot, anchor);

        if (slot->state == SLOT_CLEANING || slot->state == SLOT_LIMITING) {
                slot_lost(keeper, anchor, "it does not answer");
        } else if (slot->state != SLOT_DOWN) {
                /* A template that neither forks nor reaps is no use to anybody. */
                template_kill(keeper, &keeper->templates[slot->now.place], "it does not answer");
        } else if (anchor->pid > 0 || child_start(keeper, anchor) < 0) {
                anchor->wake_us = clock_us() + RETRY_US;
        } else {
                slot_ask_clean(slot, false);
        }
}

static void slot_run_anchor(struct keeper *keeper, struct child *anchor, int socket)
{
        anchor_main(keeper, &container_of(anchor, struct slot, anchor)->group, socket);
}

static const struct child_kind anchor_kind = {
        .body = slot_run_anchor,
        .lost = slot_lost,
        .wake = slot_wake,
        .rules = {
                { ANCHOR_READY, sizeof(struct anchor_answer), 1, slot_is_clean },
                { ANCHOR_KEPT, sizeof(struct anchor_answer), 0, slot_is_clean },
                { ANCHOR_FAILED, sizeof(struct anchor_answer), 0, slot_is_not_clean },
                { ANCHOR_LIMITED, sizeof(struct anchor_answer), 0, slot_tmp_is_limited },
        },
};

int slot_add(struct keeper *keeper, uint32_t index)
{
        struct slot *slot = &keeper->slots[index];
        char name[32];

        slot->index = index;
        slot->ticket = index;
        slot->first_pidfd = -1;
        child_add(keeper, &slot->anchor, &anchor_kind);
        snprintf(name, sizeof name, "slot-%u", index);
        return group_open(&keeper->brief->cgroups, name, &slot->group);
}
