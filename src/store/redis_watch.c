#include "store/redis_watch.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/macros.h"
#include "store/function_name.h"
#include "store/redis_link.h"
#include "store/redis_reply.h"
#include "store/redis_script.h"
#include "store/redis_timer.h"

enum {
        WATCH_PERIOD_MS = 200,
        WATCH_SLICES = 4,     /* of the paths: each is looked at every so many periods */
        WATCH_ENTRIES = 1000, /* read at a time */
        WATCH_BUCKETS = 4096,
        WATCH_ID_SIZE = 48,
};

struct watch_path {
        struct list in_order; /* the one looked at longest ago first: it also goes first */
        struct list in_bucket;
        uint64_t latest;
        size_t asked_at; /* its place in the open question + 1, or 0 */
        char md5[REDIS_MD5_SIZE];
        char path[];
};

struct watch_question {
        struct watch_path *item; /* NULL: was forgotten meanwhile */
        char md5[REDIS_MD5_SIZE];
};

struct redis_watch {
        struct redis_watch_needs needs;
        struct event *timer;
        struct redis_call call;
        bool asking;
        char last[WATCH_ID_SIZE]; /* the entry seen last; "": the stream's end is to be found first */

        struct list order;
        struct list buckets[WATCH_BUCKETS];
        size_t n_paths;
        struct watch_question asked[REDIS_WATCH_PATHS_MAX / WATCH_SLICES + 1];
        size_t n_asked;
};

static struct list *watch_bucket(struct redis_watch *watch, const char *path)
{
        return &watch->buckets[hash_add(HASH_START, path, strlen(path)) % WATCH_BUCKETS];
}

static struct watch_path *watch_find(struct redis_watch *watch, const char *path)
{
        list_foreach(link, watch_bucket(watch, path)) {
                struct watch_path *item = container_of(link, struct watch_path, in_bucket);

                if (strcmp(item->path, path) == 0)
                        return item;
        }
        return NULL;
}

static void watch_forget(struct redis_watch *watch, struct watch_path *item)
{
        if (item->asked_at)
                watch->asked[item->asked_at - 1].item = NULL;
        list_remove(&item->in_order);
        list_remove(&item->in_bucket);
        watch->n_paths--;
        free(item);
}

static void watch_forget_all(struct redis_watch *watch)
{
        list_foreach(link, &watch->order)
                watch_forget(watch, container_of(link, struct watch_path, in_order));
}

static void watch_tell(struct redis_watch *watch, const char *path)
{
        watch->needs.changed(path, watch->needs.context);
}

/* Forgets it and says that it may have changed; who still wants it asks again. */
static void watch_give_up(struct redis_watch *watch, struct watch_path *item)
{
        char path[STORE_PATH_MAX + 1];

        snprintf(path, sizeof path, "%s", item->path);
        watch_forget(watch, item);
        watch_tell(watch, path);
}

int redis_watch_remember(
        struct redis_watch *watch, const char *path, const char md5[REDIS_MD5_SIZE], uint64_t latest)
{
        struct watch_path *item = watch_find(watch, path);
        size_t size = strlen(path) + 1;

        if (item) {
                item->latest = latest;
                return 0;
        }
        item = size <= STORE_PATH_MAX + 1 ? calloc(1, sizeof *item + size) : NULL;
        if (!item)
                return error_trace(-ENOMEM);
        item->latest = latest;
        memcpy(item->md5, md5, REDIS_MD5_SIZE);
        memcpy(item->path, path, size);
        list_append(&watch->order, &item->in_order);
        list_append(watch_bucket(watch, path), &item->in_bucket);
        if (++watch->n_paths > REDIS_WATCH_PATHS_MAX)
                watch_give_up(watch, container_of(watch->order.next, struct watch_path, in_order));
        return REDIS_WATCH_NEW;
}

/* Where the stream ends now: what was before that is over. */
static void watch_build_end(struct redis_call *call, struct redis_args *args)
{
        struct redis_watch *watch = container_of(call, struct redis_watch, call);

        redis_args_text(args, "XREVRANGE");
        redis_args_format(args, "%schanges", watch->needs.prefix);
        redis_args_text(args, "+");
        redis_args_text(args, "-");
        redis_args_text(args, "COUNT");
        redis_args_text(args, "1");
}

static void watch_build(struct redis_call *call, struct redis_args *args)
{
        struct redis_watch *watch = container_of(call, struct redis_watch, call);

        redis_args_number(args, 1 + watch->n_asked);
        redis_args_format(args, "%schanges", watch->needs.prefix);
        for (size_t i = 0; i < watch->n_asked; i++)
                redis_args_format(args, "meta:%s", watch->asked[i].md5);
        redis_args_text(args, watch->last);
        redis_args_number(args, WATCH_ENTRIES);
}

static void watch_end_question(struct redis_watch *watch)
{
        for (size_t i = 0; i < watch->n_asked; i++) {
                if (watch->asked[i].item)
                        watch->asked[i].item->asked_at = 0;
        }
        watch->n_asked = 0;
        watch->asking = false;
}

/* The next slice of the paths goes to the end of the line. */
static void watch_choose_paths(struct redis_watch *watch)
{
        size_t n = (watch->n_paths + WATCH_SLICES - 1) / WATCH_SLICES;

        for (watch->n_asked = 0; watch->n_asked < n;) {
                struct watch_path *item = container_of(watch->order.next, struct watch_path, in_order);

                list_remove(&item->in_order);
                list_append(&watch->order, &item->in_order);
                watch->asked[watch->n_asked].item = item;
                memcpy(watch->asked[watch->n_asked].md5, item->md5, REDIS_MD5_SIZE);
                item->asked_at = ++watch->n_asked;
        }
}

static int watch_copy_id(struct redis_watch *watch, const redisReply *entry)
{
        const redisReply *id = redis_reply_at(entry, 0);

        if (!id || id->type != REDIS_REPLY_STRING || id->len < 3 || id->len >= WATCH_ID_SIZE ||
                strspn(id->str, "0123456789-") != id->len)
                return -EPROTO;
        memcpy(watch->last, id->str, id->len + 1);
        return 0;
}

static int watch_read_end(struct redis_watch *watch, const redisReply *reply)
{
        if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements > 1)
                return -EPROTO;
        if (reply->elements == 0)
                strcpy(watch->last, "0-0");
        else if (watch_copy_id(watch, reply->element[0]) < 0)
                return -EPROTO;
        watch_tell(watch, NULL);
        return 0;
}

/* Fields in any order; one without a path that could be is of a later mayfly: anything may have changed. */
static void watch_tell_entry(struct redis_watch *watch, const redisReply *fields)
{
        const redisReply *path = NULL, *node = NULL, *name;

        for (size_t i = 0; (name = redis_reply_at(fields, i)); i += 2) {
                if (redis_reply_is(name, "path"))
                        path = redis_reply_at(fields, i + 1);
                else if (redis_reply_is(name, "node"))
                        node = redis_reply_at(fields, i + 1);
        }
        if (node && redis_reply_is(node, watch->needs.node))
                return;
        if (path && path->type == REDIS_REPLY_STRING && function_path_valid(path->str, path->len))
                watch_tell(watch, path->str);
        else
                watch_tell(watch, NULL);
}

/* The entry seen last comes again, first of all. If it does not, the stream was cut past it. */
static int watch_read_entries(struct redis_watch *watch, const redisReply *entries)
{
        size_t at = 0;

        if (!entries || entries->type != REDIS_REPLY_ARRAY)
                return -EPROTO;
        if (strcmp(watch->last, "0-0") != 0) {
                if (!redis_reply_is(redis_reply_at(redis_reply_at(entries, 0), 0), watch->last)) {
                        *watch->last = 0;
                        return 0;
                }
                at = 1;
        }
        for (; at < entries->elements; at++) {
                if (watch_copy_id(watch, entries->element[at]) < 0)
                        return -EPROTO;
                watch_tell_entry(watch, redis_reply_at(entries->element[at], 1));
        }
        return 0;
}

static int watch_read_paths(struct redis_watch *watch, const redisReply *latest)
{
        uint64_t number;

        if (!latest || latest->type != REDIS_REPLY_ARRAY || latest->elements != watch->n_asked)
                return -EPROTO;
        for (size_t i = 0; i < watch->n_asked; i++) {
                struct watch_path *item = watch->asked[i].item;

                if (item && (redis_reply_number(latest->element[i], &number) < 0 || number != item->latest))
                        watch_give_up(watch, item);
        }
        return 0;
}

static void watch_on_answer(struct redis_call *call, const redisReply *reply, const char *why)
{
        struct redis_watch *watch = container_of(call, struct redis_watch, call);
        bool drop = false;
        char reason[256];
        int r = 0;

        (void)why;
        if (!reply) {
                watch_end_question(watch);
                return;
        }
        if (reply->type == REDIS_REPLY_ERROR) {
                drop = redis_reply_explain(reply, reason, sizeof reason);
                *watch->last = 0;
        } else if (call->script == REDIS_SCRIPT_NONE) {
                r = watch_read_end(watch, reply);
        } else if (!redis_reply_is(redis_reply_at(reply, 0), "ok")) {
                r = -EPROTO;
        } else {
                r = watch_read_paths(watch, redis_reply_at(reply, 2));
                if (r == 0)
                        r = watch_read_entries(watch, redis_reply_at(reply, 1));
        }
        watch_end_question(watch);
        redis_timer_set(watch->timer, *watch->last || reply->type == REDIS_REPLY_ERROR ? WATCH_PERIOD_MS : 0);
        if (r < 0 || drop)
                redis_link_drop(watch->needs.link, drop ? reason : "what answers there is no Redis");
}

static void watch_on_timer(evutil_socket_t fd, short what, void *context)
{
        struct redis_watch *watch = context;

        (void)fd;
        (void)what;
        if (watch->asking)
                return;
        watch->call.answered = watch_on_answer;
        watch->call.script = *watch->last ? REDIS_SCRIPT_WATCH : REDIS_SCRIPT_NONE;
        watch->call.build = *watch->last ? watch_build : watch_build_end;
        if (*watch->last)
                watch_choose_paths(watch);
        watch->asking = true;
        if (redis_call_start(watch->needs.link, &watch->call) < 0) {
                watch_end_question(watch);
                redis_timer_set(watch->timer, WATCH_PERIOD_MS);
        }
}

void redis_watch_start(struct redis_watch *watch)
{
        *watch->last = 0;
        redis_timer_set(watch->timer, 0);
}

void redis_watch_stop(struct redis_watch *watch)
{
        event_del(watch->timer);
        watch_forget_all(watch);
}

int redis_watch_new(const struct redis_watch_needs *needs, struct redis_watch **ret_watch)
{
        struct redis_watch *watch = calloc(1, sizeof *watch);

        if (!watch)
                return error_trace(-ENOMEM);
        watch->needs = *needs;
        list_init(&watch->order);
        for (size_t i = 0; i < WATCH_BUCKETS; i++)
                list_init(&watch->buckets[i]);
        watch->timer = evtimer_new(needs->base, watch_on_timer, watch);
        if (!watch->timer) {
                free(watch);
                return error_trace(-ENOMEM);
        }
        *ret_watch = watch;
        return 0;
}

struct redis_watch *redis_watch_free(struct redis_watch *watch)
{
        if (!watch)
                return NULL;
        watch_forget_all(watch);
        event_free(watch->timer);
        free(watch);
        return NULL;
}
