/*
 * A job is a question to the store with what its answer is for. The table of kinds says what is done before
 * and after on the worker, since hashing takes time that the loop has not, and what then follows on the loop.
 *
 * Answers may come in another order than the changes that they tell of. So every path has an epoch, which
 * moves on when something of it is taken away, moved, or changed by somebody else: an answer of a question
 * that was asked in an earlier epoch is given to whoever asked, and not remembered.
 */

#include "server/functions.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/settings.h"
#include "server/cache.h"
#include "server/language.h"
#include "server/seal.h"
#include "store/worker.h"

enum { CHECK_UP_MS = 5000, CHECK_DOWN_MS = 500, EPOCHS = 1024 };

struct functions {
        const struct settings *settings;
        struct cache *cache;
        struct store *store;
        struct worker *worker;
        struct event *check_timer;
        bool store_up, store_was_asked, is_checking, is_closing;
        uint32_t epochs[EPOCHS];
};

enum job_kind { JOB_LOAD, JOB_SHOW, JOB_UPLOAD, JOB_KEEP, JOB_CHECK, JOB_REMOVE, JOB_ALIAS, JOB_LOOK };

struct function_job {
        struct store_request request;
        struct worker_job work;
        struct functions *functions;
        enum job_kind kind;
        uint32_t epoch;
        functions_done *done;
        functions_answered *answered;
        void *context;
        struct script *script;      /* upload, keep; load: what was found */
        struct store_version given; /* upload, keep: as the store keeps it; its strings are others' */
        struct bytes limits;        /* upload: the script's, as text */
        char seal[SEAL_MAX];        /* upload, keep */
        char *path, *alias, *after; /* what the request says */
};

typedef void job_step(struct function_job *job);
static job_step job_seal, job_open, load_finish, upload_finish, keep_finish, check_finish, remove_finish,
        alias_finish;

/* before, after: on the worker, if the question is asked and answered with 0. finish: on the loop, in any
 * case, before whoever asked is told. */
static const struct job_row {
        job_step *before, *after, *finish;
        bool is_write;
} jobs[] = {
        [JOB_LOAD] = { NULL, job_open, load_finish, false },
        [JOB_SHOW] = { NULL, job_open, NULL, false },
        [JOB_UPLOAD] = { job_seal, NULL, upload_finish, true },
        [JOB_KEEP] = { job_seal, NULL, keep_finish, true },
        [JOB_CHECK] = { NULL, NULL, check_finish, true },
        [JOB_REMOVE] = { NULL, NULL, remove_finish, true },
        [JOB_ALIAS] = { NULL, NULL, alias_finish, true },
        [JOB_LOOK] = { NULL, NULL, NULL, false },
};

static uint32_t *functions_epoch(struct functions *functions, const char *path)
{
        return &functions->epochs[hash_add(HASH_START, path, strlen(path)) % EPOCHS];
}

/* --- a job's way --- */

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
        bool is_up = jobs[job->kind].is_write && job->request.r >= 0 && !is_down;
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
static void function_job_note_damage(const struct function_job *job)
{
        const struct store_request *request = &job->request;
        const char *path = request->given ? request->given->path : request->path;
        char reason[sizeof request->reason];

        if (request->r == -EBADMSG)
                log_error("store.damaged", "path=%s reason=\"%s\"", path ? path : "",
                        log_safe(request->reason, reason, sizeof reason));
}

static struct function_job *function_job_free(struct function_job *job)
{
        store_request_deinit(&job->request);
        script_unref(job->script);
        bytes_deinit(&job->limits);
        free(job->path);
        free(job->alias);
        free(job->after);
        free(job);
        return NULL;
}

static void function_job_finish(struct function_job *job)
{
        static const int outcomes[] = {
                [STORE_NOT_FOUND] = FUNCTIONS_NOT_FOUND, [STORE_UNAVAILABLE] = FUNCTIONS_UNAVAILABLE
        };
        const struct job_row *row = &jobs[job->kind];
        int r;

        functions_note_store(job->functions, job);
        if (row->finish)
                row->finish(job);
        function_job_note_damage(job);
        r = job->request.r;
        if (job->answered)
                job->answered(&job->request, job->context);
        if (job->done)
                job->done(r > 0 ? outcomes[r] : r, r == 0 ? job->script : NULL, job->context);
        function_job_free(job);
}

/* At the end of the server there is no worker any more, and nobody whom it would keep waiting. */
static void function_job_work(struct function_job *job, void (*work)(struct worker_job *, void *),
        void (*done)(struct worker_job *))
{
        job->work = (struct worker_job){ .work = work, .done = done };
        if (job->functions->worker) {
                worker_give(job->functions->worker, &job->work);
        } else {
                work(&job->work, NULL);
                done(&job->work);
        }
}

static void function_job_after(struct worker_job *work, void *context)
{
        struct function_job *job = container_of(work, struct function_job, work);

        (void)context;
        jobs[job->kind].after(job);
}

static void function_job_after_done(struct worker_job *work)
{
        function_job_finish(container_of(work, struct function_job, work));
}

static void function_job_answered(struct store_request *request)
{
        struct function_job *job = container_of(request, struct function_job, request);

        if (request->r == 0 && jobs[job->kind].after)
                function_job_work(job, function_job_after, function_job_after_done);
        else
                function_job_finish(job);
}

static void function_job_before(struct worker_job *work, void *context)
{
        struct function_job *job = container_of(work, struct function_job, work);

        (void)context;
        jobs[job->kind].before(job);
}

static void function_job_before_done(struct worker_job *work)
{
        struct function_job *job = container_of(work, struct function_job, work);

        store_start(job->functions->store, &job->request);
}

/* job->request says what is asked. */
static void function_job_start(struct function_job *job)
{
        struct functions *functions = job->functions;
        const char *path = job->request.given ? job->request.given->path : job->request.path;

        job->request.done = function_job_answered;
        job->epoch = path ? *functions_epoch(functions, path) : 0;
        if (jobs[job->kind].before)
                function_job_work(job, function_job_before, function_job_before_done);
        else
                store_start(functions->store, &job->request);
}

static struct function_job *function_job_new(struct functions *functions, enum job_kind kind, void *context)
{
        struct function_job *job = calloc(1, sizeof *job);

        if (!job)
                return NULL;
        job->functions = functions;
        job->kind = kind;
        job->context = context;
        return job;
}

/* May what was answered be remembered? */
static bool function_job_is_current(const struct function_job *job, const char *path)
{
        return *functions_epoch(job->functions, path) == job->epoch;
}

/* Copies the question's strings, which are in its asker's hands. */
static int function_job_ask(struct function_job *job, const struct store_request *question)
{
        struct store_request *request = &job->request;

        request->operation = question->operation;
        request->version = question->version;
        request->before = question->before;
        request->limit = question->limit;
        job->path = strdup(question->path);
        job->alias = question->alias ? strdup(question->alias) : NULL;
        job->after = question->after ? strdup(question->after) : NULL;
        if (!job->path || (question->alias && !job->alias) || (question->after && !job->after)) {
                function_job_free(job);
                return error_trace(-ENOMEM);
        }
        request->path = job->path;
        request->alias = job->alias;
        request->after = job->after;
        function_job_start(job);
        return 0;
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
        struct store_version *found = &job->request.found;
        char hash[STORE_HASH_SIZE];

        if (found->hash[0]) {
                store_hash(found->code.data, found->code.length, hash);
                if (strcmp(hash, found->hash) != 0) {
                        job->request.r = job_damaged(job, "code is not what its hash says");
                        return;
                }
        }
        seal_open(found);
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
        struct function_job *job = function_job_new(functions, JOB_LOAD, context);
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

        if (job->kind == JOB_UPLOAD)
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
        struct function_job *job = function_job_new(functions, JOB_UPLOAD, context);

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
        struct function_job *job = function_job_new(functions, JOB_KEEP, context);

        if (!job)
                return error_trace(-ENOMEM);
        job->answered = answered;
        function_job_write(job, script, STORE_KEEP_COMPILED);
        return 0;
}

/* --- other questions --- */

static void functions_move_on(struct functions *functions, const char *path)
{
        (*functions_epoch(functions, path))++;
}

/* Also where nobody answered in time: it may have been done. */
static void remove_finish(struct function_job *job)
{
        const struct store_request *request = &job->request;

        functions_move_on(job->functions, request->path);
        if (request->r == 0 || request->r == STORE_NOT_FOUND)
                cache_forget(job->functions->cache, request->path, request->version);
        else
                cache_mark_stale(job->functions->cache, request->path);
}

static void alias_finish(struct function_job *job)
{
        const struct store_request *request = &job->request;
        struct cache *cache = job->functions->cache;

        functions_move_on(job->functions, request->path);
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
        static const enum job_kind kinds[STORE_OPERATIONS] = {
                [STORE_GET] = JOB_SHOW,
                [STORE_LIST] = JOB_LOOK,
                [STORE_DESCRIBE] = JOB_LOOK,
                [STORE_REMOVE] = JOB_REMOVE,
                [STORE_SET_ALIAS] = JOB_ALIAS,
                [STORE_REMOVE_ALIAS] = JOB_ALIAS,
        };
        struct function_job *job = function_job_new(functions, kinds[question->operation], context);

        if (!job)
                return error_trace(-ENOMEM);
        job->answered = answered;
        return function_job_ask(job, question);
}

/* Somebody else changed something. */
static void functions_on_changed(const char *path, void *context)
{
        struct functions *functions = context;

        if (path) {
                functions_move_on(functions, path);
        } else {
                for (size_t i = 0; i < EPOCHS; i++)
                        functions->epochs[i]++;
        }
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
        job = function_job_new(functions, JOB_CHECK, NULL);
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
        functions->cache = cache_new(settings->cache_max_bytes);
        functions->check_timer = evtimer_new(base, functions_check, functions);
        if (functions->cache && functions->check_timer)
                r = worker_new(base, NULL, &functions->worker);
        if (r < 0) {
                functions_free(functions);
                return error_trace(r);
        }
        functions->store = store;
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
        worker_free(steal(&functions->worker));
        store_free(functions->store);
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
