/*
 * The shared store: functions in Redis or Valkey, where several nodes of mayfly, and go-faas beside them,
 * find them. Everything happens on the loop: the link keeps a connection, each request is an ask on it, and
 * what cannot be asked is answered from the next turn of the loop.
 */

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/macros.h"
#include "store/redis_ask.h"
#include "store/redis_confirm.h"
#include "store/redis_index.h"
#include "store/redis_link.h"
#include "store/redis_timer.h"
#include "store/redis_watch.h"
#include "store/store.h"

struct redis {
        struct store store;
        struct event_base *base;
        struct store_redis_options options; /* the texts are ours */
        char node[REDIS_NODE_SIZE];
        struct redis_link *link;
        struct redis_watch *watch;
        struct redis_index *index;
        struct redis_confirm *confirm; /* NULL: replicas need not have it */
        struct redis_ask_needs ask_needs;

        struct list answered; /* requests whose done() is due */
        struct event *answer;
        struct list waiting; /* requests for the first connection */
        struct event *patience;
        bool patient; /* Redis may still be starting too */
};

struct redis_work {
        struct redis_ask ask;
        struct redis_confirm_wait wait;
        struct redis *redis;
};

/* The options that are text, all of which are copied. */
static const size_t redis_texts[] = {
        offsetof(struct store_redis_options, host),
        offsetof(struct store_redis_options, username),
        offsetof(struct store_redis_options, password),
        offsetof(struct store_redis_options, sentinels),
        offsetof(struct store_redis_options, sentinel_master),
        offsetof(struct store_redis_options, sentinel_password),
        offsetof(struct store_redis_options, tls_ca),
        offsetof(struct store_redis_options, tls_certificate),
        offsetof(struct store_redis_options, tls_key),
        offsetof(struct store_redis_options, prefix),
};

static const char **redis_text(struct store_redis_options *options, size_t at)
{
        return (const char **)((char *)options + redis_texts[at]);
}

static struct redis *redis_from(struct store *store)
{
        return container_of(store, struct redis, store);
}

static void redis_answer_later(struct redis *redis, struct store_request *request, int r, const char *reason)
{
        request->r = r;
        snprintf(request->reason, sizeof request->reason, "%s", reason);
        list_append(&redis->answered, &request->link);
        event_active(redis->answer, EV_TIMEOUT, 0);
}

static void redis_on_answer(evutil_socket_t fd, short what, void *context)
{
        struct redis *redis = context;
        struct list answered;

        (void)fd;
        (void)what;
        /* What is asked meanwhile is answered in the next turn. */
        list_init(&answered);
        while (!list_empty(&redis->answered)) {
                struct list *link = redis->answered.next;

                list_remove(link);
                list_append(&answered, link);
        }
        while (!list_empty(&answered)) {
                struct store_request *request = container_of(answered.next, struct store_request, link);

                list_remove(&request->link);
                request->done(request);
        }
}

static void redis_work_end(struct redis_work *work)
{
        struct store_request *request = work->ask.request;

        redis_ask_deinit(&work->ask);
        free(work);
        request->done(request);
}

static void redis_on_confirmed(struct redis_confirm_wait *wait, const char *failed)
{
        struct redis_work *work = container_of(wait, struct redis_work, wait);
        struct store_request *request = work->ask.request;

        if (failed) {
                store_request_deinit(request);
                request->r = STORE_UNAVAILABLE;
                snprintf(request->reason, sizeof request->reason, "%s", failed);
        }
        redis_work_end(work);
}

/* Where go-faas' version is the latest, go-faas may put another one there. */
static void redis_note_old(struct redis *redis, const struct redis_ask *ask)
{
        struct store_request *request = ask->request;
        int r;

        if (request->operation != STORE_GET || !ask->old_latest)
                return;
        r = redis_watch_remember(redis->watch, request->path, ask->md5, ask->old_latest);
        if (r == REDIS_WATCH_NEW)
                redis_index_add(redis->index, request->path);
        request->may_change |= r < 0;
}

/* What was compiled and got lost is compiled again. */
static bool redis_wants_replicas(const struct redis *redis, enum store_operation operation)
{
        return redis->confirm && operation != STORE_KEEP_COMPILED && store_operation_writes(operation);
}

static void redis_on_asked(struct redis_ask *ask)
{
        struct redis_work *work = container_of(ask, struct redis_work, ask);
        struct redis *redis = work->redis;

        if (ask->request->r == 0) {
                redis_note_old(redis, ask);
                if (redis_wants_replicas(redis, ask->request->operation)) {
                        redis_confirm_add(redis->confirm, &work->wait);
                        return;
                }
        }
        redis_work_end(work);
}

static void redis_ask(struct redis *redis, struct store_request *request)
{
        struct redis_work *work = calloc(1, sizeof *work);
        int r = -ENOMEM;

        if (work) {
                work->redis = redis;
                work->ask.request = request;
                work->ask.needs = &redis->ask_needs;
                work->ask.done = redis_on_asked;
                work->wait.done = redis_on_confirmed;
                r = redis_ask_start(&work->ask);
        }
        if (r == 0)
                return;
        free(work);
        if (r == -ENOTCONN)
                redis_answer_later(redis, request, STORE_UNAVAILABLE, redis_link_reason(redis->link));
        else
                redis_answer_later(redis, request, r, "");
}

static void redis_start(struct store *store, struct store_request *request)
{
        struct redis *redis = redis_from(store);

        if (redis_link_is_ready(redis->link))
                redis_ask(redis, request);
        else if (redis->patient)
                list_append(&redis->waiting, &request->link);
        else
                redis_answer_later(redis, request, STORE_UNAVAILABLE, redis_link_reason(redis->link));
}

/* The first connection is there, or will not be soon. */
static void redis_end_patience(struct redis *redis)
{
        redis->patient = false;
        event_del(redis->patience);
        while (!list_empty(&redis->waiting)) {
                struct store_request *request = container_of(redis->waiting.next, struct store_request, link);

                list_remove(&request->link);
                redis_start(&redis->store, request);
        }
}

static void redis_on_patience(evutil_socket_t fd, short what, void *context)
{
        (void)fd;
        (void)what;
        redis_end_patience(context);
}

static void redis_on_ready(void *context)
{
        struct redis *redis = context;

        redis_watch_start(redis->watch);
        redis_index_start(redis->index);
        redis_end_patience(redis);
}

static void redis_on_lost(void *context)
{
        struct redis *redis = context;

        redis_watch_stop(redis->watch);
        redis_index_stop(redis->index);
}

static void redis_on_changed(const char *path, void *context)
{
        struct redis *redis = context;

        if (redis->store.changed)
                redis->store.changed(path, redis->store.changed_context);
}

/* The link goes first: its commands are answered, and nothing begins any more. */
static void redis_free(struct store *store)
{
        struct redis *redis = redis_from(store);

        redis->patient = false;
        redis->store.changed = NULL;
        if (redis->link)
                redis_link_stop(redis->link);
        if (redis->patience) {
                redis_end_patience(redis);
                event_free(redis->patience);
        }
        while (!list_empty(&redis->answered))
                redis_on_answer(-1, 0, redis);
        if (redis->answer)
                event_free(redis->answer);
        redis_watch_free(redis->watch);
        redis_index_free(redis->index);
        redis_confirm_free(redis->confirm);
        redis_link_free(redis->link);
        for (size_t i = 0; i < ARRAY_SIZE(redis_texts); i++)
                free((char *)*redis_text(&redis->options, i));
        free(redis);
}

static const struct store_ops redis_ops = { .start = redis_start, .free = redis_free };

static int redis_check_options(const struct store_redis_options *options, char *error, size_t error_size)
{
        const bool sentinels = options->sentinels && *options->sentinels;
        const char *wrong = NULL;

        if (!sentinels && (!options->host || !*options->host))
                wrong = "REDIS_HOST is missing";
        else if (!sentinels && (options->port < 1 || options->port > 65535))
                wrong = "REDIS_PORT is not a port";
        else if (sentinels && (!options->sentinel_master || !*options->sentinel_master))
                wrong = "REDIS_SENTINEL_MASTER is missing";
        else if (!options->prefix || strncmp(options->prefix, "meta:", 5) == 0 ||
                 strncmp(options->prefix, "code:", 5) == 0)
                wrong = "REDIS_PREFIX is one of go-faas' own";
        else if (options->timeout_ms < 1)
                wrong = "REDIS_TIMEOUT is too short";
        if (!wrong)
                return 0;
        snprintf(error, error_size, "%s", wrong);
        return error_trace(-EINVAL);
}

static int redis_copy_options(struct redis *redis, const struct store_redis_options *options)
{
        bool failed = false;

        redis->options = *options;
        for (size_t i = 0; i < ARRAY_SIZE(redis_texts); i++) {
                const char **text = redis_text(&redis->options, i);

                if (!*text)
                        continue;
                *text = strdup(*text);
                failed |= !*text;
        }
        return failed ? error_trace(-ENOMEM) : 0;
}

static int redis_name_node(struct redis *redis)
{
        unsigned char random[(REDIS_NODE_SIZE - 1) / 2];

        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
                return error_trace(-EIO);
        for (size_t i = 0; i < sizeof random; i++)
                snprintf(redis->node + 2 * i, 3, "%02x", random[i]);
        return 0;
}

static int redis_make_parts(struct redis *redis)
{
        const struct store_redis_options *options = &redis->options;
        const struct redis_watch_needs watch_needs = {
                .base = redis->base,
                .link = redis->link,
                .prefix = options->prefix,
                .node = redis->node,
                .changed = redis_on_changed,
                .context = redis,
        };
        int r;

        redis->ask_needs = (struct redis_ask_needs){
                .link = redis->link,
                .prefix = options->prefix,
                .node = redis->node,
                .tells_lost = options->found,
                .context = redis,
        };
        redis->answer = evtimer_new(redis->base, redis_on_answer, redis);
        redis->patience = evtimer_new(redis->base, redis_on_patience, redis);
        if (!redis->answer || !redis->patience)
                return error_trace(-ENOMEM);
        r = redis_watch_new(&watch_needs, &redis->watch);
        if (r == 0)
                r = redis_index_new(redis->base, redis->link, options, &redis->index);
        if (r == 0 && options->replicas)
                r = redis_confirm_new(redis->link, options->replicas, options->timeout_ms, &redis->confirm);
        return r;
}

static int redis_open(
        struct redis *redis, const struct store_redis_options *options, char *error, size_t error_size)
{
        const struct redis_link_hooks hooks = {
                .ready = redis_on_ready, .lost = redis_on_lost, .context = redis
        };
        int r = redis_copy_options(redis, options);

        if (r == 0)
                r = redis_name_node(redis);
        if (r == 0)
                r = redis_link_new(redis->base, &redis->options, &hooks, &redis->link, error, error_size);
        if (r == 0)
                r = redis_make_parts(redis);
        if (r < 0)
                return r;
        redis->patient = true;
        redis_timer_set(redis->patience, options->timeout_ms);
        return 0;
}

int store_open_redis(struct event_base *base, const struct store_redis_options *options,
        struct store **ret_store, char *error, size_t error_size)
{
        struct redis *redis;
        int r = redis_check_options(options, error, error_size);

        if (r < 0)
                return r;
        redis = calloc(1, sizeof *redis);
        if (!redis)
                return error_trace(-ENOMEM);
        redis->store.ops = &redis_ops;
        redis->base = base;
        list_init(&redis->answered);
        list_init(&redis->waiting);
        /* hiredis writes with write(2), which cannot be told not to raise it. */
        signal(SIGPIPE, SIG_IGN);
        r = redis_open(redis, options, error, error_size);
        if (r < 0) {
                redis_free(&redis->store);
                return r;
        }
        *ret_store = &redis->store;
        return 0;
}
