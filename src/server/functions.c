/*
 * The table of kinds says what is done for each question to the store: see function_job.h. What is remembered
 * of the answers is in the cache.
 */

#include "server/functions.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/settings.h"
#include "server/cache.h"
#include "server/function_job.h"
#include "server/language.h"
#include "server/seal.h"
#include "store/worker.h"

enum { CHECK_UP_MS = 1000, CHECK_DOWN_MS = 500 };

struct functions {
        const struct settings *settings;
        struct cache *cache;
        struct function_jobs jobs;
        struct event *check_timer;
        bool store_up, store_was_asked, is_checking, is_closing;
};

static function_job_step job_seal, job_open, load_finish, upload_finish, keep_finish, check_finish,
        remove_finish, alias_finish;

enum job { JOB_LOAD, JOB_SHOW, JOB_UPLOAD, JOB_KEEP, JOB_CHECK, JOB_REMOVE, JOB_ALIAS, JOB_LOOK };

static const struct function_job_kind kinds[] = {
        [JOB_LOAD] = { NULL, job_open, load_finish, false },
        [JOB_SHOW] = { NULL, job_open, NULL, false },
        [JOB_UPLOAD] = { job_seal, NULL, upload_finish, true },
        [JOB_KEEP] = { job_seal, NULL, keep_finish, true },
        [JOB_CHECK] = { NULL, NULL, check_finish, true },
        [JOB_REMOVE] = { NULL, NULL, remove_finish, true },
        [JOB_ALIAS] = { NULL, NULL, alias_finish, true },
        [JOB_LOOK] = { NULL, NULL, NULL, false },
};

static void functions_schedule_check(struct functions *functions)
{
        unsigned delay_ms = functions->store_up ? CHECK_UP_MS : CHECK_DOWN_MS;
        struct timeval delay = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };

        evtimer_add(functions->check_timer, &delay);
}

/* Logs the store's coming and going, once each. It is up again when something could be written: a store that
 * can be read alone is of no use to uploads. */
static void functions_note_store(struct functions *functions, const struct function_job *job)
{
        bool is_down = job->request.r == STORE_UNAVAILABLE, was_asked = functions->store_was_asked;
        bool is_up = job->kind->is_write && job->request.r >= 0 && !is_down;
        char reason[sizeof job->request.reason];

        if (functions->is_closing || (!is_down && !is_up))
                return;
        functions->store_was_asked = true;
        if (was_asked && functions->store_up == is_up)
                return;
        functions->store_up = is_up;
        if (is_down)
                log_error(
                        "store.down", "reason=\"%s\"", log_safe(job->request.reason, reason, sizeof reason));
        else
                log_info("store.up", "uploads=accepted");
        if (!functions->is_checking)
                functions_schedule_check(functions);
}

/* What is damaged stays so: whoever looks after the store learns of it at every try. */
static void functions_note_damage(const struct function_job *job)
{
        const struct store_request *request = &job->request;
        const char *path = request->given ? request->given->path : request->path;
        char reason[sizeof request->reason];

        if (request->r == -EBADMSG)
                log_error("store.damaged", "path=%s reason=\"%s\"", path ? path : "",
                        log_safe(request->reason, reason, sizeof reason));
}

/* The end of every job. */
static void functions_finish(struct function_job *job)
{
        static const int outcomes[] = {
                [STORE_NOT_FOUND] = FUNCTIONS_NOT_FOUND, [STORE_UNAVAILABLE] = FUNCTIONS_UNAVAILABLE
        };
        int r;

        functions_note_store(job->functions, job);
        if (job->kind->finish)
                job->kind->finish(job);
        functions_note_damage(job);
        r = job->request.r;
        if (job->answered)
                job->answered(&job->request, job->context);
        if (job->done)
                job->done(r > 0 ? outcomes[r] : r, r == 0 ? job->script : NULL, job->context);
        function_job_free(job);
}

static struct function_job *functions_begin(struct functions *functions, enum job job, void *context)
{
        return function_job_new(&functions->jobs, functions, &kinds[job], context);
}

/* --- load --- */

static int job_damaged(struct function_job *job, const char *what)
{
        struct store_request *request = &job->request;

        snprintf(request->reason, sizeof request->reason, "version %llu: its %s",
                (unsigned long long)request->found.version, what);
        return error_trace(-EBADMSG);
}

/* On the worker: is it what was uploaded? Versions of go-faas have no hash. */
static void job_open(struct function_job *job)
{
        if (store_version_is_whole(&job->request.found))
                seal_open(&job->request.found);
        else
                job->request.r = job_damaged(job, "code is not what its hash says");
}

/* Nothing is guessed: a function without its limits would be one without limits. */
static int load_limits(struct function_job *job, struct limits *ret_limits)
{
        const struct store_bytes *text = &job->request.found.limits;
        int r = 0;

        *ret_limits = (struct limits){ 0 };
        if (text->data)
                r = limits_read_stored(text->data, text->length, job->functions->settings, ret_limits);
        return r == LIMITS_BAD ? job_damaged(job, "limits are none") : r;
}

/* Turns what the store found into a script; the strings change hands. */
static int load_script(struct function_job *job, struct script **ret_script)
{
        _cleanup_(script_unrefp) struct script *script = NULL;
        struct store_version *found = &job->request.found;
        enum guest_language language;
        struct limits limits;
        int r;

        if (language_parse(found->language, strlen(found->language), &language) != 0)
                return job_damaged(job, "language is none");
        r = load_limits(job, &limits);
        if (r < 0)
                return r;
        script = script_new(language, found->path, found->code.data, found->code.length);
        if (!script)
                return error_trace(-ENOMEM);
        script->version = found->version;
        memcpy(script->hash, found->hash, sizeof script->hash);
        script->limits = limits;
        script->compiled = found->compiled;
        script->map = found->map;
        script->cache = found->cache;
        script->cache_for = found->cache_for.data;
        found->path = NULL;
        found->code = found->compiled = found->map = found->cache = found->cache_for =
                (struct store_bytes){ 0 };
        r = script_set_imports(script, found->imports.data, found->imports.length);
        if (r == 0)
                *ret_script = steal(&script);
        return r;
}

static const char *load_name(const struct store_request *request)
{
        if (request->alias)
                return request->alias;
        return request->version ? NULL : CACHE_LATEST;
}

static void load_remember(struct function_job *job)
{
        struct cache *cache = job->functions->cache;
        const char *path = job->request.path, *name = load_name(&job->request);
        uint64_t version = job->script->version;
        bool is_stale;

        if (job->request.may_change || !function_job_is_current(job, path))
                return;
        cache_put(cache, job->script);
        if (name)
                cache_put_name(cache, path, name, version);
        if (job->request.latest == version)
                cache_put_name(cache, path, CACHE_LATEST, version);
        /* One of a version is enough, and the other may have learnt more. */
        script_unref(job->script);
        job->script = NULL;
        job->script = cache_find(cache, path, NULL, version, &is_stale);
        if (job->script)
                script_ref(job->script);
}

static void load_forget(struct function_job *job)
{
        const char *path = job->request.path, *name = load_name(&job->request);

        if (!function_job_is_current(job, path))
                return;
        if (name)
                cache_forget_name(job->functions->cache, path, name);
        else
                cache_forget(job->functions->cache, path, job->request.version);
}

static void load_finish(struct function_job *job)
{
        struct store_request *request = &job->request;
        struct script *known;
        bool is_stale;

        if (request->r == 0)
                request->r = load_script(job, &job->script);
        if (request->r == 0) {
                load_remember(job);
        } else if (request->r == STORE_NOT_FOUND) {
                load_forget(job);
        } else if (request->r == STORE_UNAVAILABLE) {
                known = cache_find(job->functions->cache, request->path, load_name(request), request->version,
                        &is_stale);
                job->script = known ? script_ref(known) : NULL;
                request->r = known ? 0 : request->r;
        }
}

struct script *functions_find(
        struct functions *functions, const char *path, const char *alias, uint64_t version)
{
        const char *name = alias ? alias : version ? NULL : CACHE_LATEST;
        bool is_stale = false;
        struct script *script = cache_find(functions->cache, path, name, version, &is_stale);

        return is_stale ? NULL : script;
}

int functions_load(struct functions *functions, const char *path, const char *alias, uint64_t version,
        functions_done *done, void *context)
{
        struct function_job *job = functions_begin(functions, JOB_LOAD, context);
        const struct store_request question = {
                .operation = STORE_GET, .path = path, .alias = alias, .version = version
        };

        if (!job)
                return error_trace(-ENOMEM);
        job->done = done;
        return function_job_ask(job, &question);
}

/* --- upload, keep --- */

static uint64_t clock_date_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* As the store keeps it; its strings stay the script's. */
static struct store_version script_version(const struct script *script)
{
        return (struct store_version){ .path = script->path,
                .version = script->version,
                .language = (char *)language_name(script->language),
                .code = script->code,
                .compiled = script->compiled,
                .map = script->map,
                .cache = script->cache,
                .imports = { .data = script->imports, .length = strlen(script->imports) } };
}

static void job_seal(struct function_job *job)
{
        struct store_version *given = &job->given;

        if (job->kind == &kinds[JOB_UPLOAD])
                store_hash(given->code.data, given->code.length, given->hash);
        if (job->script->cache_for) {
                seal_write(given, job->script->cache_for, job->seal);
                given->cache_for = (struct store_bytes){ .data = job->seal, .length = strlen(job->seal) };
        }
}

static void upload_finish(struct function_job *job)
{
        struct script *script = job->script;
        struct cache *cache = job->functions->cache;

        if (job->request.r != 0)
                return;
        script->version = job->request.latest;
        memcpy(script->hash, job->given.hash, sizeof script->hash);
        cache_put(cache, script);
        if (function_job_is_current(job, script->path))
                cache_put_name(cache, script->path, CACHE_LATEST, script->version);
}

static void function_job_write(
        struct function_job *job, struct script *script, enum store_operation operation)
{
        job->script = script_ref(script);
        job->given = script_version(script);
        job->given.limits = (struct store_bytes){ .data = job->limits.data, .length = job->limits.length };
        job->request.operation = operation;
        job->request.given = &job->given;
        job->request.now_ms = clock_date_ms();
        function_job_start(job);
}

int functions_upload(
        struct functions *functions, struct script *script, functions_answered *answered, void *context)
{
        struct function_job *job = functions_begin(functions, JOB_UPLOAD, context);

        if (!job)
                return error_trace(-ENOMEM);
        bytes_init(&job->limits, SIZE_MAX / 2);
        if (limits_write(&script->limits, &job->limits) < 0) {
                function_job_free(job);
                return error_trace(-ENOMEM);
        }
        job->answered = answered;
        function_job_write(job, script, STORE_PUT);
        return 0;
}

static void keep_finish(struct function_job *job)
{
        cache_weigh(job->functions->cache, job->script);
}

int functions_keep_compiled(
        struct functions *functions, struct script *script, functions_answered *answered, void *context)
{
        struct function_job *job = functions_begin(functions, JOB_KEEP, context);

        if (!job)
                return error_trace(-ENOMEM);
        job->answered = answered;
        function_job_write(job, script, STORE_KEEP_COMPILED);
        return 0;
}

/* --- other questions --- */

/* Also where nobody answered in time: it may have been done. */
static void remove_finish(struct function_job *job)
{
        const struct store_request *request = &job->request;

        function_jobs_move_on(job->jobs, request->path);
        if (request->r == 0 || request->r == STORE_NOT_FOUND)
                cache_forget(job->functions->cache, request->path, request->version);
        else
                cache_mark_stale(job->functions->cache, request->path);
}

static void alias_finish(struct function_job *job)
{
        const struct store_request *request = &job->request;
        struct cache *cache = job->functions->cache;

        function_jobs_move_on(job->jobs, request->path);
        if (request->r != 0)
                cache_mark_stale(cache, request->path);
        else if (request->operation == STORE_SET_ALIAS)
                cache_put_name(cache, request->path, request->alias, request->version);
        else
                cache_forget_name(cache, request->path, request->alias);
}

int functions_ask(struct functions *functions, const struct store_request *question,
        functions_answered *answered, void *context)
{
        static const enum job of[STORE_OPERATIONS] = {
                [STORE_GET] = JOB_SHOW,
                [STORE_LIST] = JOB_LOOK,
                [STORE_DESCRIBE] = JOB_LOOK,
                [STORE_REMOVE] = JOB_REMOVE,
                [STORE_SET_ALIAS] = JOB_ALIAS,
                [STORE_REMOVE_ALIAS] = JOB_ALIAS,
        };
        struct function_job *job = functions_begin(functions, of[question->operation], context);

        if (!job)
                return error_trace(-ENOMEM);
        job->answered = answered;
        return function_job_ask(job, question);
}

/* Somebody else changed something. */
static void functions_on_changed(const char *path, void *context)
{
        struct functions *functions = context;

        function_jobs_move_on(&functions->jobs, path);
        cache_mark_stale(functions->cache, path);
}

/* --- is the store there? --- */

static void check_finish(struct function_job *job)
{
        job->functions->is_checking = false;
        functions_schedule_check(job->functions);
}

static void functions_check(evutil_socket_t fd, short what, void *context)
{
        struct functions *functions = context;
        struct function_job *job;

        (void)fd, (void)what;
        if (functions->is_checking)
                return;
        job = functions_begin(functions, JOB_CHECK, NULL);
        if (!job) {
                functions_schedule_check(functions);
                return;
        }
        functions->is_checking = true;
        job->request.operation = STORE_CHECK;
        function_job_start(job);
}

int functions_new(struct event_base *base, struct store *store, const struct settings *settings,
        struct functions **ret_functions)
{
        struct functions *functions = calloc(1, sizeof *functions);
        int r = -ENOMEM;

        if (!functions)
                return error_trace(-ENOMEM);
        functions->settings = settings;
        functions->jobs.finished = functions_finish;
        functions->cache = cache_new(settings->cache_max_bytes);
        functions->check_timer = evtimer_new(base, functions_check, functions);
        if (functions->cache && functions->check_timer)
                r = worker_new(base, NULL, &functions->jobs.worker);
        if (r < 0) {
                functions_free(functions);
                return error_trace(r);
        }
        functions->jobs.store = store;
        store_watch(store, functions_on_changed, functions);
        functions_check(-1, 0, functions);
        *ret_functions = functions;
        return 0;
}

struct functions *functions_free(struct functions *functions)
{
        if (!functions)
                return NULL;
        functions->is_closing = true;
        worker_free(steal(&functions->jobs.worker));
        store_free(functions->jobs.store);
        if (functions->check_timer)
                event_free(functions->check_timer);
        cache_free(functions->cache);
        free(functions);
        return NULL;
}

struct script *functions_find_code(struct functions *functions, const char *code, size_t code_length)
{
        return cache_find_code(functions->cache, code, code_length);
}

void functions_remember_code(struct functions *functions, struct script *script)
{
        cache_put(functions->cache, script);
}

bool functions_store_up(const struct functions *functions)
{
        return functions->store_up;
}
