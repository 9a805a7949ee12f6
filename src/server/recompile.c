/*
 * One script at a time: noted when it is about to run → (a moment later, once a place is free) checked in a
 * cell → kept in the store → the next. What is noted meanwhile waits in a line; when that is full it is
 * passed over, and its next call notes it again.
 *
 * What the check has found holds for this build and is kept, also if that is no code at all. Had the check no
 * answer (its cell was lost, it took too long), the script is not tried again while it stays in memory.
 */

#include "server/recompile.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/macros.h"
#include "server/call.h"
#include "server/cell.h"
#include "server/functions.h"
#include "server/language.h"

enum { LOOK_AGAIN_MS = 100, WAITING_MAX = 64 };

struct recompiler {
        struct recompiler_needs needs;
        struct event timer;
        struct script *script;               /* NULL: none, and nobody waits */
        struct script *waiting[WAITING_MAX]; /* from next_waiting on, round the end */
        size_t next_waiting, n_waiting;
        struct call *call; /* its check, while it is open */
        bool draining;
};

static const char *recompiler_build(const struct recompiler *recompiler, const struct script *script)
{
        const struct recompiler_needs *needs = &recompiler->needs;

        return cells_runtime_build(
                needs->cells, language_runtime(needs->languages, script->language, GUEST_RUN));
}

static void recompiler_wait(struct recompiler *recompiler)
{
        evtimer_add(&recompiler->timer, &(struct timeval){ .tv_usec = LOOK_AGAIN_MS * 1000 });
}

static struct script *recompiler_take(struct recompiler *recompiler)
{
        struct script *script;

        if (recompiler->n_waiting == 0)
                return NULL;
        script = steal(&recompiler->waiting[recompiler->next_waiting]);
        recompiler->next_waiting = (recompiler->next_waiting + 1) % WAITING_MAX;
        recompiler->n_waiting--;
        return script;
}

static void recompiler_rest(struct recompiler *recompiler, const char *outcome)
{
        log_info("function.recompiled", "path=%s version=%llu outcome=%s bytes=%zu", recompiler->script->path,
                (unsigned long long)recompiler->script->version, outcome, recompiler->script->cache.length);
        script_unref(recompiler->script);
        recompiler->script = recompiler_take(recompiler);
        if (recompiler->script)
                recompiler_wait(recompiler);
}

static void recompiler_on_kept(struct store_request *answer, void *context)
{
        recompiler_rest(context, answer->r == 0 ? "kept" : "not_kept");
}

static void recompiler_on_checked(const struct call_end *end, void *context)
{
        struct recompiler *recompiler = context;
        struct script *script = recompiler->script;
        int r = 0;

        recompiler->call = NULL;
        if (end->ending == CALL_SYNTAX) /* this build does not parse it any more: calls are to say so */
                r = script_set_cache(script, NULL, 0, recompiler_build(recompiler, script));
        else if (end->ending != CALL_CHECKED)
                r = -1;
        if (r == 0)
                r = functions_keep_compiled(
                        recompiler->needs.functions, script, recompiler_on_kept, recompiler);
        if (r < 0)
                recompiler_rest(recompiler, "failed");
}

static void recompiler_on_timer(evutil_socket_t fd, short what, void *context)
{
        static const struct call_hooks hooks = { .ended = recompiler_on_checked };
        struct recompiler *recompiler = context;
        const struct call_task task = { .id = "recompile",
                .client = "/recompile",
                .function = "/recompile",
                .mode = GUEST_COMPILE,
                .script = recompiler->script };

        (void)fd, (void)what;
        if (!calls_have_room(recompiler->needs.calls))
                recompiler_wait(recompiler);
        else if (call_new(recompiler->needs.calls, &task, &hooks, recompiler, &recompiler->call) != 0)
                recompiler_rest(recompiler, "failed");
}

void recompiler_look(struct recompiler *recompiler, struct script *script)
{
        const char *build = recompiler_build(recompiler, script);

        if (!*build || script_cache_fits(script, build) || script->was_recompiled ||
                recompiler->n_waiting == WAITING_MAX || recompiler->draining)
                return;
        script->was_recompiled = true;
        if (recompiler->script) {
                size_t at = (recompiler->next_waiting + recompiler->n_waiting++) % WAITING_MAX;

                recompiler->waiting[at] = script_ref(script);
                return;
        }
        recompiler->script = script_ref(script);
        recompiler_wait(recompiler);
}

static void recompiler_forget_waiting(struct recompiler *recompiler)
{
        while (recompiler->n_waiting > 0)
                script_unref(recompiler_take(recompiler));
}

void recompiler_drain(struct recompiler *recompiler)
{
        recompiler->draining = true;
        recompiler_forget_waiting(recompiler);
        if (evtimer_pending(&recompiler->timer, NULL)) {
                evtimer_del(&recompiler->timer);
                recompiler_rest(recompiler, "left");
        }
}

struct recompiler *recompiler_new(const struct recompiler_needs *needs)
{
        struct recompiler *recompiler = calloc(1, sizeof *recompiler);

        if (!recompiler)
                return NULL;
        recompiler->needs = *needs;
        evtimer_assign(&recompiler->timer, needs->base, recompiler_on_timer, recompiler);
        return recompiler;
}

struct recompiler *recompiler_free(struct recompiler *recompiler)
{
        if (!recompiler)
                return NULL;
        evtimer_del(&recompiler->timer);
        recompiler_forget_waiting(recompiler);
        script_unref(recompiler->script);
        free(recompiler);
        return NULL;
}
