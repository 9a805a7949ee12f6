/*
 * Theory of operation. A call is always in one state, and something happens to it: its turn came, its timer
 * fired, its cell said something, its cell is gone, its client left. The table below is the whole life: for
 * each state what to do about each event. A blank means that the event is of no interest there.
 *
 * There is one timer, and the state says what it means. The place in the queue is held until the keeper has
 * reported the cell gone, also when the answer is out: so there are never more cells than places and spares.
 *
 * Endings: the first final frame ends the call at once. Only a failure (FRAME_ERROR) waits for the cell's
 * exit, a moment later, because the keeper then tells whether a limit was behind it; and whatever ended a
 * call waits so, if its maker wants to know what it used. Without a frame, the exit is the answer.
 *
 * A cell is handed its call at once, ready or not, and reads it when it is. Where the keeper must lower
 * limits first, or start the usage anew, the call is handed over when it says that this was done.
 */

#include "server/call.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "base/log.h"
#include "base/settings.h"
#include "server/frame.h"
#include "server/import_sets.h"
#include "server/language.h"
#include "server/queue.h"
#include "server/verdict.h"

enum {
        START_TIMEOUT_MS = 30000, /* a template that is rebuilt takes seconds; beyond, the keeper is ill */
        GRACE_MS = 100,           /* for a cell to exit by itself once it has spoken */
};

enum call_state {
        CALL_ACCEPTED, /* while call_new() makes it: nothing happens to it yet */
        CALL_QUEUED,
        CALL_STARTING, /* it has a place and a cell that is not ready, or not limited, yet */
        CALL_RUNNING,  /* its deadline runs */
        CALL_COMPILED, /* the JavaScript is here; the next cell starts when this one is gone */
        CALL_SPOKEN,   /* how it ended is known, but for what the keeper has to add */
        CALL_LEAVING,  /* it has ended; the cell is on its way out */
        CALL_DONE,     /* to be freed */
        CALL_STATES,
};

enum call_event {
        EVENT_PLACE,
        EVENT_DROP, /* the queue needs the room for another */
        EVENT_TIMER,
        EVENT_LIMITED,
        EVENT_READY,
        EVENT_OUTPUT,
        EVENT_FRAME,
        EVENT_LARGE, /* result or output over the limit */
        EVENT_MISBEHAVED,
        EVENT_GONE,
        EVENT_CANCEL,
        CALL_EVENTS,
};

typedef void call_step(struct call *call, const struct cell_notice *notice);

static call_step call_start, call_proceed, call_on_ready, call_pass_output, call_hear_wall, call_hear;
static call_step call_burst, call_burst_late, call_break, call_conclude, call_conclude_spoken;
static call_step call_lose_start, call_give_up, call_give_up_start, call_time_out, call_hurry, call_leave,
        call_withdraw;
static call_step call_abandon;

/* clang-format off */
static call_step *const life[CALL_STATES][CALL_EVENTS] = {
        [CALL_QUEUED] = {
                [EVENT_PLACE]      = call_start,
                [EVENT_DROP]       = call_give_up,
                [EVENT_TIMER]      = call_give_up,
                [EVENT_CANCEL]     = call_withdraw,
        },
        [CALL_STARTING] = {
                [EVENT_LIMITED]    = call_proceed,
                [EVENT_READY]      = call_on_ready,
                [EVENT_OUTPUT]     = call_pass_output,
                [EVENT_TIMER]      = call_give_up_start,
                [EVENT_FRAME]      = call_hear_wall,
                [EVENT_MISBEHAVED] = call_break,
                [EVENT_GONE]       = call_lose_start,
                [EVENT_CANCEL]     = call_abandon,
        },
        [CALL_RUNNING] = {
                [EVENT_OUTPUT]     = call_pass_output,
                [EVENT_TIMER]      = call_time_out,
                [EVENT_FRAME]      = call_hear,
                [EVENT_LARGE]      = call_burst,
                [EVENT_MISBEHAVED] = call_break,
                [EVENT_GONE]       = call_conclude,
                [EVENT_CANCEL]     = call_abandon,
        },
        [CALL_COMPILED] = {
                [EVENT_TIMER]      = call_hurry,
                [EVENT_GONE]       = call_start,
                [EVENT_CANCEL]     = call_abandon,
        },
        [CALL_SPOKEN] = {
                [EVENT_OUTPUT]     = call_pass_output,
                [EVENT_TIMER]      = call_hurry,
                [EVENT_LARGE]      = call_burst_late,
                [EVENT_GONE]       = call_conclude_spoken,
                [EVENT_CANCEL]     = call_abandon,
        },
        [CALL_LEAVING] = {
                [EVENT_TIMER]      = call_hurry,
                [EVENT_GONE]       = call_leave,
        },
};
/* clang-format on */

struct calls {
        struct event_base *base;
        struct cells *cells;
        struct import_sets *sets;
        struct queue *queue;
        const struct settings *settings;
        const struct languages *languages;
        struct list all;
        size_t open;
};

struct call {
        struct list link;
        struct calls *calls;
        enum call_state state;
        struct queue_entry place;
        struct event timer;
        struct cell *cell; /* NULL: none, or gone */
        bool may_go;       /* this cell may have it */
        bool handed_over;  /* to this cell */
        bool at_set;       /* this cell's template is one for an import set */
        bool set_failed;   /* so the base one serves it */
        bool paused;
        struct call_task task;
        char id[65];
        uint32_t timeout_ms; /* of the run */
        uint64_t result_max;
        enum call_ending ending;
        struct bytes body;              /* CALL_SPOKEN: of the end to be told */
        const struct call_hooks *hooks; /* NULL once the end was told */
        void *context;
        uint64_t queued_us, placed_us, begun_us, ended_us; /* clock_us(); 0: not yet */
};

static void call_free(struct call *call)
{
        evtimer_del(&call->timer);
        list_remove(&call->link);
        script_unref(call->task.script);
        bytes_deinit(&call->body);
        free(call);
}

/* The only door: looks the step up, takes it, and frees a call that has come to its end. */
static void call_handle(struct call *call, enum call_event event, const struct cell_notice *notice)
{
        call_step *step = life[call->state][event];

        if (step)
                step(call, notice);
        if (call->state == CALL_DONE)
                call_free(call);
}

static void call_enter(struct call *call, enum call_state state, uint32_t timer_ms)
{
        struct timeval delay = { .tv_sec = timer_ms / 1000, .tv_usec = timer_ms % 1000 * 1000 };

        call->state = state;
        evtimer_add(&call->timer, &delay);
}

static void call_on_timer(evutil_socket_t fd, short what, void *context)
{
        (void)fd, (void)what;
        call_handle(context, EVENT_TIMER, NULL);
}

static void call_on_place(struct queue_entry *entry)
{
        call_handle(container_of(entry, struct call, place), EVENT_PLACE, NULL);
}

static void call_on_drop(struct queue_entry *entry)
{
        call_handle(container_of(entry, struct call, place), EVENT_DROP, NULL);
}

static void call_on_cell(struct cell *cell, const struct cell_notice *notice, void *context)
{
        static const enum call_event events[] = {
                [CELL_IS_READY] = EVENT_READY,
                [CELL_IS_LIMITED] = EVENT_LIMITED,
                [CELL_HAS_OUTPUT] = EVENT_OUTPUT,
                [CELL_SENT_FRAME] = EVENT_FRAME,
                [CELL_SENT_LARGE] = EVENT_LARGE,
                [CELL_OUTPUT_FULL] = EVENT_LARGE,
                [CELL_MISBEHAVED] = EVENT_MISBEHAVED,
                [CELL_IS_GONE] = EVENT_GONE,
        };

        (void)cell;
        call_handle(context, events[notice->news], notice);
}

/* --- the ways to an end --- */

static uint64_t call_between(uint64_t from_us, uint64_t to_us)
{
        return from_us && to_us > from_us ? to_us - from_us : 0;
}

struct call_times call_times(const struct call *call)
{
        uint64_t placed_us = call->placed_us ? call->placed_us : call->ended_us;
        uint64_t begun_us = call->begun_us ? call->begun_us : call->ended_us;

        return (struct call_times){
                .queue_us = call_between(call->queued_us, placed_us),
                .start_us = call_between(call->placed_us, begun_us),
                .run_us = call_between(call->begun_us, call->ended_us),
        };
}

static void call_log(const struct call *call, const struct keeper_done *done)
{
        struct call_times times = call_times(call);

        log_info("call.done",
                "call=%s ending=%s language=%s queue_us=%llu start_us=%llu run_us=%llu cpu_us=%llu "
                "peak_bytes=%llu",
                call->id, verdict_name(call->ending), language_name(call->task.script->language),
                (unsigned long long)times.queue_us, (unsigned long long)times.start_us,
                (unsigned long long)times.run_us, (unsigned long long)(done ? done->cpu_us : 0),
                (unsigned long long)(done ? done->peak_memory_bytes : 0));
}

/* The call is over for whoever made it; the object lives on until its cell is gone. */
static void call_close(struct call *call, enum call_ending ending)
{
        call->ending = ending;
        if (!call->ended_us)
                call->ended_us = clock_us();
        call->hooks = NULL;
        call->calls->open--;
        if (call->cell)
                cell_mute(call->cell);
}

/* Tells how it ended. The next state is the caller's to set. */
static void call_tell(struct call *call, struct call_end end, const char *body, size_t length)
{
        const struct call_hooks *hooks = call->hooks;

        end.body = body;
        end.body_length = length;
        call_close(call, end.ending);
        end.times = call_times(call);
        hooks->ended(&end, call->context);
}

/* Keeps the end to be told until the cell is gone. It has `grace_ms` for that; 0: it is killed. */
static void call_speak(
        struct call *call, enum call_ending ending, const char *body, size_t length, uint32_t grace_ms)
{
        if (bytes_append(&call->body, body, length) != 0)
                ending = CALL_LOST;
        call->ending = ending;
        call->ended_us = clock_us();
        if (grace_ms == 0)
                cell_kill(call->cell);
        call_enter(call, CALL_SPOKEN, MAX(grace_ms, 1u));
}

/* The cell has nothing more to do: it may exit by itself, for a moment. What never began has used nothing
 * that is worth waiting for, all the less if it is the keeper that is ill. */
static void call_end(
        struct call *call, enum call_ending ending, const char *body, size_t length, uint32_t grace_ms)
{
        if (call->task.wants_usage && call->state != CALL_STARTING) {
                call_speak(call, ending, body, length, grace_ms);
                return;
        }
        if (grace_ms == 0)
                cell_kill(call->cell);
        call_tell(call, (struct call_end){ .ending = ending }, body, length);
        call_enter(call, CALL_LEAVING, MAX(grace_ms, 1u));
}

/* Who waits comes before spares: whenever one has left the line, or had its turn. */
static void calls_tell_crowd(struct calls *calls)
{
        cells_set_crowded(calls->cells, queue_waiting(calls->queue) > 0);
}

/* The cell and the place are gone, or never were. */
static void call_finish(struct call *call, const struct keeper_done *done)
{
        call_log(call, done);
        queue_leave(call->calls->queue, &call->place);
        calls_tell_crowd(call->calls);
        call->state = CALL_DONE;
}

static void call_give_up(struct call *call, const struct cell_notice *notice)
{
        (void)notice;
        call_tell(call, (struct call_end){ .ending = CALL_UNSERVED }, NULL, 0);
        call_finish(call, NULL);
}

static void call_withdraw(struct call *call, const struct cell_notice *notice)
{
        (void)notice;
        call_close(call, CALL_CANCELLED);
        call_finish(call, NULL);
}

static void call_abandon(struct call *call, const struct cell_notice *notice)
{
        (void)notice;
        call_close(call, CALL_CANCELLED);
        cell_kill(call->cell);
        call_enter(call, CALL_LEAVING, GRACE_MS);
}

static void call_give_up_start(struct call *call, const struct cell_notice *notice)
{
        (void)notice;
        log_error("call.start", "call=%s error=\"no cell within %d ms\"", call->id, START_TIMEOUT_MS);
        call_end(call, CALL_LOST, NULL, 0, 0);
}

static void call_time_out(struct call *call, const struct cell_notice *notice)
{
        (void)notice;
        cell_drain(call->cell);
        call_end(call, CALL_TIMED_OUT, NULL, 0, 0);
}

static void call_burst(struct call *call, const struct cell_notice *notice)
{
        (void)notice;
        cell_drain(call->cell);
        call_end(call, CALL_OUTPUT, NULL, 0, 0);
}

/* An ending that was no more than an answer is none after all; what ended it by force stays. */
static void call_burst_late(struct call *call, const struct cell_notice *notice)
{
        (void)notice;
        if (call->ending != CALL_TIMED_OUT && call->ending != CALL_LOST)
                call->ending = CALL_OUTPUT;
        cell_kill(call->cell);
}

static void call_break(struct call *call, const struct cell_notice *notice)
{
        log_warn("call.misbehaved", "call=%s fault=\"%s\"", call->id, notice->fault);
        cell_drain(call->cell);
        call_end(call, CALL_LOST, NULL, 0, 0);
}

static void call_hurry(struct call *call, const struct cell_notice *notice)
{
        (void)notice;
        cell_kill(call->cell);
}

static void call_leave(struct call *call, const struct cell_notice *notice)
{
        call_finish(call, notice->done);
}

/* --- the start --- */

/* The mode of the cell that comes next. */
static enum guest_mode call_leg(const struct call *call)
{
        return script_needs_compiling(call->task.script) ? GUEST_CHECK : call->task.mode;
}

/* Of the cells that run the script. */
static const char *call_build(const struct call *call)
{
        const struct calls *calls = call->calls;

        return cells_runtime_build(
                calls->cells, language_runtime(calls->languages, call->task.script->language, GUEST_RUN));
}

/* What the run may use, if less than the interpreters were started for; else 0. */
static uint64_t call_memory(const struct call *call)
{
        uint64_t bytes = call->task.limits.memory_bytes;

        return bytes < call->calls->settings->max_memory_bytes ? bytes : 0;
}

static int call_hand_over(struct call *call)
{
        const struct script *script = call->task.script;
        enum guest_mode leg = call_leg(call);
        bool runs = leg == GUEST_RUN, is_ready = leg != GUEST_CHECK;
        const struct store_bytes *code =
                is_ready && script->compiled.data ? &script->compiled : &script->code;
        bool has_cache = runs && script_cache_fits(script, call_build(call));
        struct frame_call frame = {
                .mode = leg,
                .language = script->language,
                .code_length = (uint32_t)code->length,
                .map_length = is_ready ? (uint32_t)script->map.length : 0,
                .cache_length = has_cache ? (uint32_t)script->cache.length : 0,
                .input_length = runs ? (uint32_t)call->task.input_length : 0,
                .memory_bytes = runs ? call_memory(call) : 0,
        };

        call->handed_over = true;
        return cell_call(call->cell, &frame,
                &(struct cell_parts){ code->data, script->map.data, script->cache.data, call->task.input },
                runs ? call->task.transcript : NULL, call->result_max);
}

/* Must the keeper do something before this cell may have the call? */
static bool call_wants_limits(const struct call *call)
{
        const struct limits *limits = &call->task.limits;

        return call_leg(call) == GUEST_RUN &&
               (call->task.wants_usage || limits->memory_bytes || limits->processes || limits->cpus_milli ||
                       limits->tmp_bytes);
}

static int call_limit(struct call *call)
{
        const struct limits *limits = &call->task.limits;

        return cell_limit(call->cell, &(struct keeper_limit){ .memory_bytes = limits->memory_bytes,
                                              .processes = limits->processes,
                                              .cpus_milli = limits->cpus_milli,
                                              .tmp_bytes = limits->tmp_bytes });
}

static void call_fail_start(struct call *call, int r)
{
        log_error("call.start", "call=%s error=\"%s\"", call->id, strerror(-r));
        call_end(call, CALL_LOST, NULL, 0, 0);
}

/* The template that the next cell comes from. */
static uint32_t call_place(const struct call *call)
{
        struct calls *calls = call->calls;
        enum guest_mode leg = call_leg(call);
        enum runtime runtime = language_runtime(calls->languages, call->task.script->language, leg);

        if (leg != GUEST_RUN || call->set_failed)
                return runtime;
        return import_sets_place(calls->sets, runtime, call->task.script->imports);
}

/* The first cell of the call, or the one that runs what the compiler's cell, now gone, has made. */
static void call_start(struct call *call, const struct cell_notice *notice)
{
        struct calls *calls = call->calls;
        uint32_t place = call_place(call);
        int r;

        (void)notice;
        if (!call->placed_us)
                call->placed_us = clock_us();
        call->cell = NULL;
        call->may_go = call->handed_over = false;
        call->at_set = place >= RUNTIME_COUNT;
        calls_tell_crowd(calls);
        r = cell_take(calls->cells, place, call_on_cell, call, &call->cell);
        if (r < 0) {
                log_error("call.start", "call=%s error=\"%s\"", call->id, strerror(-r));
                call_tell(call, (struct call_end){ .ending = CALL_LOST }, NULL, 0);
                call_finish(call, NULL);
                return;
        }
        cell_pause(call->cell, call->paused);
        call_enter(call, CALL_STARTING, START_TIMEOUT_MS);
        if (!call_wants_limits(call)) {
                call_proceed(call, NULL);
                return;
        }
        r = call_limit(call);
        if (r < 0)
                call_fail_start(call, r);
}

static void call_begin(struct call *call)
{
        bool runs = call_leg(call) == call->task.mode;

        if (runs)
                call->begun_us = clock_us();
        call_enter(call, CALL_RUNNING, runs ? call->timeout_ms : call->calls->settings->timeout_script_ms);
        if (call->hooks->started)
                call->hooks->started(call->context);
}

static void call_give(struct call *call)
{
        int r = call_hand_over(call);

        if (r < 0)
                call_fail_start(call, r);
        else if (cell_is_ready(call->cell))
                call_begin(call);
}

/* The cell's limits hold: it may have the call. Who wants to know how long it ran has it handed over when it
 * is ready, and not before: a cell that is quick would have begun before it is seen to be ready. */
static void call_proceed(struct call *call, const struct cell_notice *notice)
{
        call->may_go = true;
        if (notice && notice->error < 0)
                call_fail_start(call, notice->error);
        else if (!call->task.wants_usage || cell_is_ready(call->cell))
                call_give(call);
}

static void call_on_ready(struct call *call, const struct cell_notice *notice)
{
        (void)notice;
        if (call->handed_over)
                call_begin(call);
        else if (call->may_go)
                call_give(call);
}

/* The template of an import set may go down at any time. As its cell was never ready nothing has run yet, and
 * the base template can serve, too. */
static void call_lose_start(struct call *call, const struct cell_notice *notice)
{
        enum cell_outcome outcome = notice->done->outcome;

        if (!call->at_set || (outcome != CELL_LOST && outcome != CELL_REFUSED)) {
                call_conclude(call, notice);
                return;
        }
        call->set_failed = true;
        call_start(call, notice);
}

/* --- what a cell says --- */

static void call_hear_wall(struct call *call, const struct cell_notice *notice)
{
        struct frame_wall wall;

        frame_wall_read(notice->body, &wall);
        log_error("cell.wall", "call=%s wall=%u error=\"%s\"", call->id, wall.wall, strerror(wall.error));
        call_end(call, CALL_LOST, NULL, 0, 0);
}

static void call_pass_output(struct call *call, const struct cell_notice *notice)
{
        (void)notice;
        if (call->hooks->written)
                call->hooks->written(call->context);
}

/* An answer, with the output that the cell has flushed before it. */
static void call_answer(struct call *call, enum call_ending ending, const char *body, size_t length)
{
        if (cell_drain(call->cell) == CELL_FULL)
                call_end(call, CALL_OUTPUT, NULL, 0, 0);
        else
                call_end(call, ending, body, length, GRACE_MS);
}

/* The place is kept; the first cell must be gone before the second comes. */
static void call_compiled(struct call *call)
{
        cell_mute(call->cell);
        call_enter(call, CALL_COMPILED, GRACE_MS);
}

/* The compiled code is that of a stored version alone; without memory for it, the script runs from source. */
static void call_keep_cache(struct call *call, const struct verdict *verdict)
{
        struct script *script = call->task.script;

        if (script->path)
                script_set_cache(script, verdict->body, verdict->length, call_build(call));
}

static void call_hear(struct call *call, const struct cell_notice *notice)
{
        struct verdict verdict;
        int r;

        r = verdict_of_frame(call->task.script, call_leg(call), notice, &verdict);
        if (r == 0 && verdict.ending == CALL_CHECKED)
                call_keep_cache(call, &verdict);
        if (r < 0)
                call_break(call, &(struct cell_notice){ .fault = strerror(-r) });
        else if (verdict.ending == CALL_FAILED) /* the keeper's report, a moment later, may name the cause */
                call_speak(call, verdict.ending, verdict.body, verdict.length, GRACE_MS);
        else if (verdict.ending == CALL_CHECKED && call->task.mode == GUEST_RUN)
                call_compiled(call);
        else
                call_answer(call, verdict.ending, verdict.body, verdict.length);
}

/* --- the cell is gone, and its exit is the answer --- */

static void call_conclude_as(struct call *call, enum call_ending ending, const struct keeper_done *done)
{
        struct call_end end = { .ending = ending, .code = done->code };

        if (call->task.wants_usage) {
                end.has_usage = true;
                end.usage = *done;
        }
        call_tell(call, end, call->body.data, call->body.length);
        call_finish(call, done);
}

static void call_conclude(struct call *call, const struct cell_notice *notice)
{
        enum call_ending ending = CALL_LOST; /* of a cell that was never ready, always */

        if (call->state != CALL_STARTING)
                ending = verdict_of_exit(call_leg(call), &call->body, notice->done);
        call_conclude_as(call, ending, notice->done);
}

static void call_conclude_spoken(struct call *call, const struct cell_notice *notice)
{
        enum call_ending ending = call->ending;

        if (ending == CALL_FAILED)
                ending = verdict_of_exit(call_leg(call), &call->body, notice->done);
        call_conclude_as(call, ending, notice->done);
}

/* --- for whoever makes calls --- */

static int call_line_up(struct call *call, const struct call_task *task)
{
        const struct queue_wish wish = {
                .client = task->client,
                .function = task->function,
                .bytes = script_size(task->script) + task->input_length,
                .on_place = call_on_place,
                .on_drop = call_on_drop,
        };

        return queue_enter(call->calls->queue, &call->place, &wish);
}

int call_new(struct calls *calls, const struct call_task *task, const struct call_hooks *hooks, void *context,
        struct call **ret_call)
{
        struct call *call = calloc(1, sizeof *call);
        int r;

        if (!call)
                return error_trace(-ENOMEM);
        *call = (struct call){ .calls = calls,
                .task = *task,
                .timeout_ms = calls->settings->timeout_script_ms,
                .result_max = calls->settings->output_max_bytes,
                .hooks = hooks,
                .context = context };
        if (task->limits.timeout_ms)
                call->timeout_ms = task->limits.timeout_ms;
        if (task->limits.output_bytes)
                call->result_max = task->limits.output_bytes;
        r = call_line_up(call, task);
        if (r != 0) {
                free(call);
                return r == QUEUE_FULL ? CALL_QUEUE_FULL : r;
        }
        snprintf(call->id, sizeof call->id, "%s", task->id);
        script_ref(task->script);
        call->queued_us = clock_us();
        bytes_init(&call->body, SIZE_MAX / 2);
        evtimer_assign(&call->timer, calls->base, call_on_timer, call);
        list_append(&calls->all, &call->link);
        calls->open++;
        call_enter(call, CALL_QUEUED, calls->settings->queue_timeout_ms);
        *ret_call = call;
        return 0;
}

void call_pause(struct call *call, bool paused)
{
        call->paused = paused;
        if (call->cell)
                cell_pause(call->cell, paused);
}

void call_cancel(struct call *call)
{
        call_handle(call, EVENT_CANCEL, NULL);
}

struct calls *calls_new(struct event_base *base, struct cells *cells, struct import_sets *sets,
        const struct settings *settings, const struct languages *languages)
{
        struct calls *calls = calloc(1, sizeof *calls);

        if (!calls)
                return NULL;
        *calls = (struct calls){
                .base = base, .cells = cells, .sets = sets, .settings = settings, .languages = languages
        };
        list_init(&calls->all);
        calls->queue =
                queue_new(base, settings->max_containers, settings->queue_max, settings->queue_max_bytes);
        if (!calls->queue)
                return calls_free(calls);
        return calls;
}

struct calls *calls_free(struct calls *calls)
{
        if (!calls)
                return NULL;
        list_foreach(link, &calls->all) {
                call_free(container_of(link, struct call, link));
        }
        queue_free(calls->queue);
        free(calls);
        return NULL;
}

unsigned calls_retry_after_s(const struct calls *calls)
{
        return queue_retry_after_s(calls->queue);
}

bool calls_have_room(const struct calls *calls)
{
        return queue_waiting(calls->queue) == 0 &&
               queue_running(calls->queue) < calls->settings->max_containers;
}

size_t calls_open(const struct calls *calls)
{
        return calls->open;
}
