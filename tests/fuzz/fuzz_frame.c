/*
 * What a cell says, out of arbitrary bytes. The first four are the test's: when the call is handed over, how
 * long its result may be, what the cell was asked, and a seed. The rest is the channel: it must read the same
 * however it is cut, and a final frame must be safe to judge, and its error to tell.
 */

#include "fuzz.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/error_object.h"
#include "server/frame.h"
#include "server/verdict.h"

enum { PLAN_BYTES = 4, CALL_NEVER = 255, RESULT_MAX_BYTES = 4096, CODE_MAX_BYTES = 64 };
enum { COMPILED_MAX_BYTES = 16 * CODE_MAX_BYTES + 1024 * 1024, SMALLEST_CAPACITY = 64 };

struct plan {
        size_t call_at; /* byte of the channel before which the call is handed over */
        size_t result_max_bytes;
        enum guest_mode leg;
        enum guest_language language;
        uint32_t seed;
};

enum cut { CUT_NOWHERE, CUT_EVERYWHERE, CUT_SOMEWHERE, CUTS };

struct outcome {
        struct frames frames; /* holds the body of a final frame */
        bool was_ready;
        enum frames_news news; /* the last, FRAMES_MORE if none came */
        struct frames_event event;
        size_t used; /* up to and including what made it known */
};

static struct plan plan_read(const uint8_t bytes[PLAN_BYTES])
{
        return (struct plan){
                .call_at = bytes[0] == CALL_NEVER ? SIZE_MAX : bytes[0],
                .result_max_bytes = bytes[1] * 16u,
                .leg = bytes[2] & 4 ? GUEST_CHECK : GUEST_RUN,
                .language = (enum guest_language)(GUEST_JAVASCRIPT + (bytes[2] & 3) % 3),
                .seed = bytes[3],
        };
}

/* Memory follows what has come, and ends at the longest frame. */
static void memory_check(const struct bytes *inbox, size_t fed)
{
        must(inbox->length <= fed && inbox->length <= inbox->limit && inbox->limit <= COMPILED_MAX_BYTES);
        must(inbox->capacity <= MAX((size_t)SMALLEST_CAPACITY, MIN(2 * fed, inbox->limit) + 1));
}

static void deafness_check(struct frames *frames, const char *data, size_t length)
{
        struct frames before = *frames;
        struct frames_event event;
        size_t used;

        must(frames_read(frames, data, length, &used, &event) == FRAMES_MORE && used == 0);
        must(frames->phase == before.phase && frames->header_length == before.header_length);
        must(frames->inbox.data == before.inbox.data && frames->inbox.length == before.inbox.length);
        must(!frames_are_torn(frames));
}

/* One piece, as cell.c does it. */
static void piece_read(struct outcome *outcome, const char *data, size_t length)
{
        struct frames *frames = &outcome->frames;
        struct frames_event event;
        enum frames_news news;
        size_t used;

        while ((news = frames_read(frames, data, length, &used, &event)) != FRAMES_MORE) {
                must(outcome->news == FRAMES_MORE || (outcome->was_ready && outcome->news == FRAMES_READY));
                must(used <= length);
                data += used;
                length -= used;
                outcome->used += used;
                outcome->news = news;
                outcome->event = event;
                outcome->was_ready = outcome->was_ready || news == FRAMES_READY;
                must((frames->phase == CELL_SPOKEN) == (news != FRAMES_READY));
                memory_check(&frames->inbox, outcome->used);
        }
        if (frames->phase == CELL_SPOKEN) {
                must(used == 0);
                deafness_check(frames, data, length);
                return;
        }
        must(used == length);
        outcome->used += used;
        memory_check(&frames->inbox, outcome->used);
}

static size_t piece_length(enum cut cut, uint32_t *seed, size_t left)
{
        if (cut == CUT_NOWHERE)
                return left;
        if (cut == CUT_EVERYWHERE)
                return 1;
        *seed = *seed * 1664525 + 1013904223;
        return MIN(left, (*seed >> 16) % 24); /* none at all sometimes */
}

static void channel_read(
        const struct plan *plan, enum cut cut, const char *data, size_t length, struct outcome *ret)
{
        uint32_t seed = plan->seed;

        *ret = (struct outcome){ .news = FRAMES_MORE };
        frames_init(&ret->frames, RESULT_MAX_BYTES, CODE_MAX_BYTES);
        for (size_t at = 0;;) {
                size_t until = at < plan->call_at ? MIN(plan->call_at, length) : length, n;
                char *piece;

                if (at == plan->call_at) {
                        ret->frames.result_max_bytes = plan->result_max_bytes;
                        ret->frames.has_call = true;
                }
                if (at == length)
                        return;
                n = piece_length(cut, &seed, until - at);
                piece = malloc(n + (n == 0)); /* so that a sanitizer sees where it ends */
                must(piece);
                memcpy(piece, data + at, n);
                piece_read(ret, piece, n);
                free(piece);
                at += n;
        }
}

static void outcome_check(const struct plan *plan, const struct outcome *outcome, const char *data)
{
        const struct frames_event *event = &outcome->event;

        must((outcome->news == FRAMES_FAULT) == (event->fault != NULL));
        if (outcome->news == FRAMES_LARGE)
                must(outcome->was_ready && outcome->frames.inbox.length == 0);
        if (outcome->news != FRAMES_FINAL)
                return;
        must(outcome->was_ready ? event->kind > FRAME_READY && event->kind < FRAME_WALL
                                : event->kind == FRAME_WALL && event->length == sizeof(struct frame_wall));
        must(!outcome->was_ready || outcome->used >= plan->call_at);
        must(event->kind != FRAME_RESULT || event->length <= plan->result_max_bytes);
        must(event->length <= outcome->used - sizeof(struct frame_header));
        must(memcmp(event->body, data + outcome->used - event->length, event->length) == 0);
        must(event->body[event->length] == 0);
        if (event->kind == FRAME_WALL) {
                struct frame_wall wall;

                frame_wall_read(event->body, &wall);
                must(wall.error > 0);
        }
}

static void same_check(const struct outcome *a, const struct outcome *b)
{
        must(a->news == b->news && a->was_ready == b->was_ready && a->used == b->used);
        must(a->frames.phase == b->frames.phase);
        must(frames_are_torn(&a->frames) == frames_are_torn(&b->frames));
        must(a->event.kind == b->event.kind && a->event.length == b->event.length);
        must(a->event.fault == b->event.fault);
}

/* Whatever the cell wrote, what a script is said to import has the form of script.h. */
static void imports_check(const char *imports)
{
        char copy[IMPORTS_MAX_BYTES + 1], *save = NULL;
        const char *last = "";
        size_t n = 0, length = 0;

        must(strlen(imports) <= IMPORTS_MAX_BYTES);
        strcpy(copy, imports);
        for (char *name = strtok_r(copy, " ", &save); name; name = strtok_r(NULL, " ", &save), n++) {
                must(strcmp(last, name) < 0 && (name[0] == '_' || isalpha((unsigned char)name[0])));
                for (const char *at = name; *at; at++)
                        must(*at == '_' || isalnum((unsigned char)*at) ||
                                (*at == '.' && at[1] && at[1] != '.'));
                length += strlen(name);
                last = name;
        }
        must(n <= IMPORTS_MAX && strlen(imports) == length + (n > 0 ? n - 1 : 0));
}

/* Whatever the cell wrote, what is told is JSON. */
static void error_check(const char *text, size_t length)
{
        struct json_span values[ERROR_MEMBERS];
        struct bytes told = { .limit = SIZE_MAX / 2 };

        error_object_read(text, length, values);
        for (size_t i = 0; i < ERROR_MEMBERS; i++)
                must(!values[i].text ||
                        (values[i].text > text && values[i].text + values[i].length < text + length));
        error_object_has_code(values, "ENOSPC");
        must(bytes_append_text(&told, "{\"a\":1") == 0 && error_object_write(&told, values) == 0 &&
                bytes_append_text(&told, "}") == 0);
        must(json_check(told.data, told.length, NULL, NULL) == 0);
        bytes_deinit(&told);
}

static void verdict_check(const struct plan *plan, const struct frames_event *event)
{
        struct script *script = script_new(plan->language, NULL, calloc(1, 1), 0);
        struct cell_notice notice = {
                .news = CELL_SENT_FRAME, .frame = event->kind, .body = event->body, .length = event->length
        };
        struct verdict verdict = { .ending = CALL_ENDINGS };
        int r;

        must(script && script->code.data);
        r = verdict_of_frame(script, plan->leg, &notice, &verdict);
        must(r == 0 || r == -EBADMSG);
        must(r == 0 || !script->compiled.data);
        imports_check(script->imports);
        if (r == 0) {
                must(verdict.ending < CALL_ENDINGS && verdict_name(verdict.ending));
                must(verdict.length <= event->length);
                must(verdict.length == 0 ||
                        (verdict.body >= event->body &&
                                verdict.body + verdict.length <= event->body + event->length));
                must((verdict.ending == CALL_CHECKED) ==
                        (plan->leg == GUEST_CHECK &&
                                (event->kind == FRAME_NOTHING || event->kind == FRAME_COMPILED)));
                must(verdict.ending != CALL_CHECKED || !script_needs_compiling(script));
                if (verdict.ending == CALL_FAILED || verdict.ending == CALL_SYNTAX)
                        error_check(verdict.body, verdict.length);
        }
        script_unref(script);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *channel = (const char *)data + PLAN_BYTES;
        struct outcome outcomes[CUTS];
        struct plan plan;

        if (size < PLAN_BYTES)
                return 0;
        plan = plan_read(data);
        for (size_t i = 0; i < CUTS; i++) {
                channel_read(&plan, (enum cut)i, channel, size - PLAN_BYTES, &outcomes[i]);
                outcome_check(&plan, &outcomes[i], channel);
                same_check(&outcomes[i], &outcomes[0]);
        }
        if (outcomes[0].news == FRAMES_FINAL) {
                verdict_check(&plan, &outcomes[0].event);
                error_check(outcomes[0].event.body, outcomes[0].event.length);
        }
        for (size_t i = 0; i < CUTS; i++)
                frames_deinit(&outcomes[i].frames);
        return 0;
}
