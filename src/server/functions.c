/*
 * Four kinds of job go to the store thread: load, upload, keep_cache, check. Each carries copies or
 * references of what it needs, so the thread never touches the cache, and the loop never touches the store.
 * The thread works in order: a load that was asked for before an upload also comes back before it.
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
#include "server/language.h"
#include "server/seal.h"
#include "server/store_thread.h"

enum { CHECK_UP_S = 5, CHECK_DOWN_S = 1 };

struct functions {
        const struct settings *settings;
        struct cache *cache;
        struct store_thread *thread;
        struct event *check_timer;
        bool store_up;
};

struct function_job {
        struct store_job job;
        struct functions *functions;
        functions_done *done;
        void *context;
        struct script *script; /* upload, keep_cache */
        struct bytes limits;   /* upload: the script's, as text */
        char *path;            /* load */
        uint64_t version;      /* load: asked for, 0 is the latest; upload: given */
        uint64_t latest;       /* load: the latest there is */
        struct store_version found;
        int r;
        char reason[256];
};

static bool function_segment_valid(const char *segment, size_t length)
{
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

        for (size_t i = 0; i < length; i++) {
                if (!memchr(allowed, segment[i], sizeof allowed - 1))
                        return false;
        }
        if (length <= 2 && memcmp(segment, "..", length) == 0)
                return false; /* empty, `.` or `..` */
        return true;
}

bool function_path_valid(const char *path, size_t length)
{
        const char *end = path + length;

        if (length < 1 || length > FUNCTION_PATH_MAX)
                return false;
        for (const char *segment = path;;) {
                const char *slash = memchr(segment, '/', (size_t)(end - segment));
                const char *stop = slash ? slash : end;

                if (!function_segment_valid(segment, (size_t)(stop - segment)))
                        return false;
                if (!slash)
                        return true;
                segment = slash + 1;
        }
}

static struct function_job *function_job_free(struct function_job *job)
{
        script_unref(job->script);
        store_version_deinit(&job->found);
        bytes_deinit(&job->limits);
        free(job->path);
        free(job);
        return NULL;
}

/* Logs the store's coming and going, once each. */
static void functions_note_store(struct functions *functions, const struct function_job *job)
{
        bool up = job->r != STORE_UNAVAILABLE;
        char reason[sizeof job->reason];

        if (up == functions->store_up)
                return;
        functions->store_up = up;
        if (up)
                log_info("store.up", "uploads=accepted");
        else
                log_error("store.down", "reason=\"%s\"", log_safe(job->reason, reason, sizeof reason));
}

/* The end of every job: what the store said, in the words of functions.h. */
static void function_job_finish(struct function_job *job, struct script *script)
{
        int r = job->r;

        functions_note_store(job->functions, job);
        if (r == STORE_NOT_FOUND)
                r = FUNCTIONS_NOT_FOUND;
        else if (r == STORE_UNAVAILABLE)
                r = FUNCTIONS_UNAVAILABLE;
        if (job->done)
                job->done(r, r == 0 ? script : NULL, job->context);
        function_job_free(job);
}

static void function_job_give(struct function_job *job, void (*work)(struct store_job *, struct store *),
        void (*done)(struct store_job *))
{
        job->job.work = work;
        job->job.done = done;
        store_thread_give(job->functions->thread, &job->job);
}

static void function_job_keep_reason(struct function_job *job, struct store *store)
{
        if (job->r == STORE_UNAVAILABLE)
                snprintf(job->reason, sizeof job->reason, "%s", store_reason(store));
}

static struct function_job *function_job_new(struct functions *functions, functions_done *done, void *context)
{
        struct function_job *job = calloc(1, sizeof *job);

        if (!job)
                return NULL;
        job->functions = functions;
        job->done = done;
        job->context = context;
        return job;
}

static void load_work(struct store_job *base, struct store *store)
{
        struct function_job *job = container_of(base, struct function_job, job);

        job->r = store_get(store, job->path, job->version, &job->found, &job->latest);
        if (job->r == 0)
                seal_open(&job->found);
        function_job_keep_reason(job, store);
}

/* Nothing is guessed: a function without its limits would be one without limits. */
static int load_damaged(const struct function_job *job, const char *column)
{
        log_error("store.damaged", "path=%s version=%llu column=%s", job->found.path,
                (unsigned long long)job->found.version, column);
        return error_trace(-EBADMSG);
}

static int load_language(const struct function_job *job, enum guest_language *ret_language)
{
        const char *language = job->found.language;
        int r = language_parse(language, strlen(language), ret_language);

        return r == 0 ? 0 : load_damaged(job, "language");
}

static int load_limits(const struct function_job *job, struct limits *ret_limits)
{
        const struct store_bytes *text = &job->found.limits;
        int r = 0;

        *ret_limits = (struct limits){ 0 };
        if (text->data)
                r = limits_read_stored(text->data, text->length, job->functions->settings, ret_limits);
        return r == LIMITS_BAD ? load_damaged(job, "limits") : r;
}

/* Turns what the store found into a script; the strings change hands. */
static struct script *load_script(struct function_job *job)
{
        enum guest_language language;
        struct limits limits;
        struct store_version *found = &job->found;
        struct script *script = NULL;

        job->r = load_language(job, &language);
        if (job->r == 0)
                job->r = load_limits(job, &limits);
        if (job->r == 0) {
                script = script_new(language, found->path, found->code.data, found->code.length);
                job->r = script ? 0 : error_trace(-ENOMEM);
        }
        if (!script)
                return NULL;
        script->version = found->version;
        script->limits = limits;
        script->compiled = found->compiled;
        script->map = found->map;
        script->cache = found->cache;
        script->cache_for = found->cache_for.data;
        job->r = script_set_imports(script, found->imports.data, found->imports.length);
        found->path = NULL;
        found->code = found->compiled = found->map = found->cache = found->cache_for =
                (struct store_bytes){ 0 };
        return job->r == 0 ? script : script_unref(script);
}

static void load_done(struct store_job *base)
{
        struct function_job *job = container_of(base, struct function_job, job);
        _cleanup_(script_unrefp) struct script *script = job->r == 0 ? load_script(job) : NULL;

        if (script)
                cache_put(job->functions->cache, script, script->version == job->latest);
        function_job_finish(job, script);
}

int functions_load(
        struct functions *functions, const char *path, uint64_t version, functions_done *done, void *context)
{
        struct function_job *job = function_job_new(functions, done, context);

        if (!job)
                return error_trace(-ENOMEM);
        job->version = version;
        job->path = strdup(path);
        if (!job->path) {
                function_job_free(job);
                return error_trace(-ENOMEM);
        }
        function_job_give(job, load_work, load_done);
        return 0;
}

static uint64_t clock_date_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* As the store keeps it; its strings stay the script's, and `seal`. */
static struct store_version script_version(const struct script *script, char seal[SEAL_MAX])
{
        struct store_version version = { .path = script->path,
                .version = script->version,
                .language = (char *)language_name(script->language),
                .code = script->code,
                .compiled = script->compiled,
                .map = script->map,
                .cache = script->cache,
                .imports = { .data = script->imports, .length = strlen(script->imports) } };

        if (script->cache_for) {
                seal_write(&version, script->cache_for, seal);
                version.cache_for = (struct store_bytes){ .data = seal, .length = strlen(seal) };
        }
        return version;
}

static void upload_work(struct store_job *base, struct store *store)
{
        struct function_job *job = container_of(base, struct function_job, job);
        char seal[SEAL_MAX];
        struct store_version version = script_version(job->script, seal);

        version.limits = (struct store_bytes){ .data = job->limits.data, .length = job->limits.length };
        job->r = store_put(store, &version, clock_date_ms(), &job->version);
        function_job_keep_reason(job, store);
}

static void upload_done(struct store_job *base)
{
        struct function_job *job = container_of(base, struct function_job, job);

        if (job->r == 0) {
                job->script->version = job->version;
                cache_put(job->functions->cache, job->script, true);
        }
        function_job_finish(job, job->script);
}

int functions_upload(struct functions *functions, struct script *script, functions_done *done, void *context)
{
        struct function_job *job = function_job_new(functions, done, context);

        if (!job)
                return error_trace(-ENOMEM);
        bytes_init(&job->limits, SIZE_MAX / 2);
        if (limits_write(&script->limits, &job->limits) < 0) {
                function_job_free(job);
                return error_trace(-ENOMEM);
        }
        job->script = script_ref(script);
        function_job_give(job, upload_work, upload_done);
        return 0;
}

static void keep_cache_work(struct store_job *base, struct store *store)
{
        struct function_job *job = container_of(base, struct function_job, job);
        char seal[SEAL_MAX];
        const struct store_version version = script_version(job->script, seal);

        job->r = store_put_cache(store, &version);
        function_job_keep_reason(job, store);
}

static void keep_cache_done(struct store_job *base)
{
        struct function_job *job = container_of(base, struct function_job, job);

        cache_weigh(job->functions->cache, job->script);
        function_job_finish(job, job->script);
}

int functions_keep_cache(
        struct functions *functions, struct script *script, functions_done *done, void *context)
{
        struct function_job *job = function_job_new(functions, done, context);

        if (!job)
                return error_trace(-ENOMEM);
        job->script = script_ref(script);
        function_job_give(job, keep_cache_work, keep_cache_done);
        return 0;
}

static void check_work(struct store_job *base, struct store *store)
{
        struct function_job *job = container_of(base, struct function_job, job);

        job->r = store_check(store);
        function_job_keep_reason(job, store);
}

static void functions_schedule_check(struct functions *functions)
{
        struct timeval delay = { .tv_sec = functions->store_up ? CHECK_UP_S : CHECK_DOWN_S };

        evtimer_add(functions->check_timer, &delay);
}

static void check_done(struct store_job *base)
{
        struct function_job *job = container_of(base, struct function_job, job);
        struct functions *functions = job->functions;

        function_job_finish(job, NULL);
        functions_schedule_check(functions);
}

static void functions_check(evutil_socket_t fd, short what, void *context)
{
        struct functions *functions = context;
        struct function_job *job = function_job_new(functions, NULL, NULL);

        (void)fd, (void)what;
        if (job)
                function_job_give(job, check_work, check_done);
        else
                functions_schedule_check(functions);
}

int functions_new(struct event_base *base, struct store *store, const struct settings *settings,
        struct functions **ret_functions)
{
        struct functions *functions = calloc(1, sizeof *functions);
        int r = -ENOMEM;

        if (!functions)
                return error_trace(-ENOMEM);
        functions->settings = settings;
        functions->store_up = true;
        functions->cache = cache_new(settings->cache_max_bytes);
        functions->check_timer = evtimer_new(base, functions_check, functions);
        if (functions->cache && functions->check_timer)
                r = store_thread_new(base, store, &functions->thread);
        if (r < 0) {
                functions_free(functions);
                return error_trace(r);
        }
        functions_schedule_check(functions);
        *ret_functions = functions;
        return 0;
}

struct functions *functions_free(struct functions *functions)
{
        if (!functions)
                return NULL;
        store_thread_free(functions->thread);
        if (functions->check_timer)
                event_free(functions->check_timer);
        cache_free(functions->cache);
        free(functions);
        return NULL;
}

struct script *functions_find(struct functions *functions, const char *path, uint64_t version)
{
        return cache_find(functions->cache, path, version);
}

struct script *functions_find_compiled(struct functions *functions, const char *code, size_t code_length)
{
        return cache_find_code(functions->cache, code, code_length);
}

void functions_keep_compiled(struct functions *functions, struct script *script)
{
        cache_put(functions->cache, script, false);
}

bool functions_store_up(const struct functions *functions)
{
        return functions->store_up;
}
