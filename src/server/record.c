#include "server/record.h"

#include <errno.h>
#include <event2/event.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/settings.h"
#include "server/functions.h"
#include "server/script.h"

struct records {
        struct calls *calls;
        struct functions *functions;
        const struct settings *settings;
        struct list all;
        struct list kept; /* the oldest first */
        size_t kept_bytes;
        void *by_id, *by_key; /* trees of struct record, as of tsearch(3) */
        struct event *expiry;
};

/* --- finding --- */

static int record_compare_id(const void *a, const void *b)
{
        return strcmp(((const struct record *)a)->id, ((const struct record *)b)->id);
}

static int record_compare_key(const void *a, const void *b)
{
        const struct record *one = a, *other = b;

        if (one->owner != other->owner)
                return one->owner < other->owner ? -1 : 1;
        return strcmp(one->key, other->key);
}

struct record *records_find(struct records *records, unsigned owner, const char *id)
{
        struct record wanted, **found;

        snprintf(wanted.id, sizeof wanted.id, "%s", id);
        found = strlen(id) == RECORD_ID_LENGTH ? tfind(&wanted, &records->by_id, record_compare_id) : NULL;
        return found && (*found)->owner == owner ? *found : NULL;
}

struct record *records_find_key(struct records *records, unsigned owner, const char *key)
{
        const struct record wanted = { .owner = owner, .key = (char *)key };
        struct record **found = tfind(&wanted, &records->by_key, record_compare_key);

        return found ? *found : NULL;
}

static void record_forget_key(struct record *record)
{
        if (record->key)
                tdelete(record, &record->records->by_key, record_compare_key);
        free(steal(&record->key));
}

static void record_forget_id(struct record *record)
{
        if (record->is_for_later)
                tdelete(record, &record->records->by_id, record_compare_id);
        record->is_for_later = false;
}

static int record_choose_id(struct record *record)
{
        unsigned char random[RECORD_ID_LENGTH / 2];

        if (getrandom(random, sizeof random, 0) != sizeof random)
                return -errno;
        for (size_t i = 0; i < sizeof random; i++)
                snprintf(record->id + 2 * i, 3, "%02x", random[i]);
        return 0;
}

static int record_set_key(struct record *record, const char *key)
{
        record->key = strdup(key);
        if (!record->key || !tsearch(record, &record->records->by_key, record_compare_key)) {
                free(steal(&record->key));
                return -ENOMEM;
        }
        return 0;
}

/* --- life --- */

static void record_free(struct record *record)
{
        record_forget_id(record);
        record_forget_key(record);
        list_remove(&record->link);
        list_remove(&record->kept);
        script_unref(record->script);
        transcript_deinit(&record->transcript);
        bytes_deinit(&record->body);
        free(record->input);
        free(record);
}

bool record_has_ended(const struct record *record)
{
        return record->state == RECORD_DONE || record->state == RECORD_CANCELLED;
}

struct answer record_answer(const struct record *record)
{
        return (struct answer){ .end = &record->end,
                .transcript = &record->transcript,
                .request_id = record->request_id,
                .is_stored = record->is_stored };
}

/* Nobody may need it any more. */
static void record_free_if_idle(struct record *record)
{
        if (!record->is_held && !record->call && list_empty(&record->watchers) && list_empty(&record->kept))
                record_free(record);
}

static void record_progress(struct record *record)
{
        bool was_held = record->is_held;

        record->is_held = true;
        list_foreach(link, &record->watchers) {
                struct watcher *watcher = container_of(link, struct watcher, link);

                if (watcher->on_progress)
                        watcher->on_progress(watcher);
        }
        record->is_held = was_held;
        record_free_if_idle(record);
}

static void record_on_started(void *context)
{
        struct record *record = context;

        record->state = RECORD_RUNNING;
        record->has_begun = true;
        record_progress(record);
}

static void record_on_written(void *context)
{
        record_progress(context);
}

/* --- keeping --- */

static void record_drop(struct record *record)
{
        /* The analyzer does not see that what was freed has left its lists.
         * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        record->records->kept_bytes -= record->size;
        list_remove(&record->kept);
        record_forget_id(record);
        record_forget_key(record);
        record_free_if_idle(record);
}

static void records_schedule(struct records *records)
{
        uint64_t now = clock_us(), due;
        struct timeval delay;

        if (list_empty(&records->kept))
                return;
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): likewise */
        due = container_of(records->kept.next, struct record, kept)->ended_us +
              (uint64_t)records->settings->calls_keep_ms * 1000;
        due = due > now ? due - now : 0;
        delay = (struct timeval){ .tv_sec = (time_t)(due / 1000000),
                .tv_usec = (suseconds_t)(due % 1000000) };
        event_add(records->expiry, &delay);
}

static void records_on_expiry(evutil_socket_t fd, short what, void *context)
{
        struct records *records = context;
        uint64_t now = clock_us(), keep_us = (uint64_t)records->settings->calls_keep_ms * 1000;

        (void)fd, (void)what;
        list_foreach(link, &records->kept) {
                struct record *record = container_of(link, struct record, kept);

                if (record->ended_us + keep_us > now)
                        break;
                record_drop(record);
        }
        records_schedule(records);
}

/* An Idempotency-Key stands for an answer: where there was none that a script gave, the next request may try
 * again. */
static bool record_has_answer(const struct record *record)
{
        return record->state == RECORD_DONE && record->end.ending != CALL_LOST &&
               record->end.ending != CALL_UNSERVED;
}

static void record_keep(struct record *record)
{
        struct records *records = record->records;

        if (!record_has_answer(record))
                record_forget_key(record);
        if (!record->is_for_later && !record->key)
                return;
        record->size = sizeof *record + transcript_size(&record->transcript) + record->body.capacity;
        records->kept_bytes += record->size;
        list_append(&records->kept, &record->kept);
        while (records->kept_bytes > records->settings->calls_keep_bytes)
                record_drop(container_of(records->kept.next, struct record, kept));
        records_schedule(records);
}

/* --- the end --- */

/* TypeScript of /run-now: compiling costs more than a short call, so the same is not compiled twice. */
static void record_remember_code(const struct record *record)
{
        if (!record->is_stored && record->script->compiled.data)
                functions_remember_code(record->records->functions, record->script);
}

static void record_take_end(struct record *record, const struct call_end *end)
{
        record->ended_us = clock_us();
        record->end = *end;
        if (transcript_close(&record->transcript) < 0 ||
                bytes_append(&record->body, end->body, end->body_length) != 0) {
                log_error("call.record", "call=%s error=\"out of memory\"", record->request_id);
                record->end.ending = CALL_LOST;
        }
        record->end.body = record->body.data;
        record->end.body_length = record->body.length;
}

static void record_end(struct record *record, enum record_state state, const struct call_end *end)
{
        bool was_held = record->is_held;

        record->is_held = true;
        record->state = state;
        record->call = NULL;
        record_take_end(record, end);
        record_remember_code(record);
        record->script = script_unref(record->script);
        free(steal(&record->input));
        record_keep(record);
        list_foreach(link, &record->watchers) {
                struct watcher *watcher = container_of(link, struct watcher, link);

                watcher->on_end(watcher);
        }
        record->is_held = was_held;
        record_free_if_idle(record);
}

static void record_on_ended(const struct call_end *end, void *context)
{
        record_end(context, RECORD_DONE, end);
}

static void record_cancel(struct record *record)
{
        const struct call_end end = { .ending = CALL_CANCELLED };

        call_cancel(record->call);
        record_end(record, RECORD_CANCELLED, &end);
}

void record_delete(struct record *record)
{
        if (!record_has_ended(record))
                record_cancel(record);
        else if (!list_empty(&record->kept))
                record_drop(record);
}

/* --- watching --- */

static void record_balance(struct record *record)
{
        bool are_full = !record->is_for_later && !list_empty(&record->watchers);

        if (!record->call)
                return;
        list_foreach(link, &record->watchers) {
                are_full &= container_of(link, struct watcher, link)->is_full;
        }
        call_pause(record->call, are_full);
}

int record_keep_for_later(struct record *record)
{
        int r;

        if (record->is_for_later)
                return 0;
        r = record_choose_id(record);
        if (r == 0 && !tsearch(record, &record->records->by_id, record_compare_id))
                r = -ENOMEM;
        record->is_for_later = r == 0;
        record_balance(record); /* a slow reader holds it back no longer */
        return r;
}

void record_watch(struct record *record, struct watcher *watcher)
{
        watcher->is_full = false;
        list_append(&record->watchers, &watcher->link);
        record_balance(record);
}

void record_leave(struct record *record, struct watcher *watcher)
{
        list_remove(&watcher->link);
        if (record->call && !record->is_for_later && list_empty(&record->watchers)) {
                record_cancel(record);
                return;
        }
        record_balance(record);
        record_free_if_idle(record);
}

void record_set_full(struct record *record, struct watcher *watcher, bool is_full)
{
        if (watcher->is_full == is_full)
                return;
        watcher->is_full = is_full;
        record_balance(record);
}

/* --- the beginning --- */

/* What its request holds goes with the request; for a call that may outlive it, it is copied. */
static int record_copy_input(struct record *record, struct call_task *task)
{
        record->input = malloc(task->input_length + 1);
        if (!record->input)
                return -ENOMEM;
        memcpy(record->input, task->input, task->input_length);
        task->input = record->input;
        return 0;
}

static int record_start(struct record *record, const struct record_wish *wish)
{
        static const struct call_hooks hooks = {
                .started = record_on_started, .written = record_on_written, .ended = record_on_ended
        };
        struct call_task task = wish->task;
        int r = 0;

        if (wish->is_for_later || wish->key)
                r = record_copy_input(record, &task);
        if (r == 0 && wish->is_for_later)
                r = record_keep_for_later(record);
        if (r == 0 && wish->key)
                r = record_set_key(record, wish->key);
        if (r < 0)
                return error_trace(r);
        task.transcript = &record->transcript;
        return call_new(record->records->calls, &task, &hooks, record, &record->call);
}

int record_new(struct records *records, const struct record_wish *wish, struct record **ret_record)
{
        const struct call_task *task = &wish->task;
        struct record *record = calloc(1, sizeof *record);
        int r;

        if (!record)
                return error_trace(-ENOMEM);
        record->records = records;
        record->owner = wish->owner;
        record->is_stored = wish->is_stored;
        record->fingerprint = wish->fingerprint;
        record->script = script_ref(task->script);
        snprintf(record->request_id, sizeof record->request_id, "%s", task->id);
        transcript_init(&record->transcript,
                task->limits.output_bytes ? task->limits.output_bytes : records->settings->output_max_bytes);
        bytes_init(&record->body, SIZE_MAX / 2);
        list_init(&record->kept);
        list_init(&record->watchers);
        list_append(&records->all, &record->link);
        r = record_start(record, wish);
        if (r != 0) {
                record_free(record);
                return r;
        }
        *ret_record = record;
        return 0;
}

int records_new(struct event_base *base, struct calls *calls, struct functions *functions,
        const struct settings *settings, struct records **ret_records)
{
        struct records *records = calloc(1, sizeof *records);

        if (!records)
                return error_trace(-ENOMEM);
        *records = (struct records){ .calls = calls, .functions = functions, .settings = settings };
        list_init(&records->all);
        list_init(&records->kept);
        records->expiry = event_new(base, -1, 0, records_on_expiry, records);
        if (!records->expiry) {
                records_free(records);
                return error_trace(-ENOMEM);
        }
        *ret_records = records;
        return 0;
}

void records_abandon(struct records *records)
{
        list_foreach(link, &records->all) {
                container_of(link, struct record, link)->call = NULL;
        }
}

struct records *records_free(struct records *records)
{
        if (!records)
                return NULL;
        list_foreach(link, &records->all) {
                record_free(container_of(link, struct record, link));
        }
        if (records->expiry)
                event_free(records->expiry);
        free(records);
        return NULL;
}
