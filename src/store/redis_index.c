#include "store/redis_index.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"
#include "store/function_name.h"
#include "store/redis_key.h"
#include "store/redis_link.h"
#include "store/redis_reply.h"
#include "store/redis_script.h"
#include "store/redis_timer.h"
#include "store/store.h"

enum {
        INDEX_STEP_KEYS = 1000, /* that Redis looks at in one step */
        INDEX_STEP_MS = 10,     /* between steps */
        INDEX_ROUND_MS = 60000, /* between rounds */
        INDEX_RETRY_MS = 100,   /* where somebody waits for the end of this one */
        INDEX_KEY_SIZE = 5 + REDIS_MD5_SIZE,
        INDEX_MET_MAX = 64,
};

struct index_met {
        struct redis_call call;
        struct redis_index *index;
        char path[];
};

struct redis_index {
        struct redis_link *link;
        const struct store_redis_options *options;
        struct event *timer;
        struct redis_call call;
        size_t n_met; /* under way */

        bool stopped;
        char cursor[24];              /* "0": at the start, or at the end */
        char (*keys)[INDEX_KEY_SIZE]; /* of this step */
        size_t n_keys;
        char **paths; /* of these */
        size_t n_paths;
};

static void index_forget_step(struct redis_index *index)
{
        for (size_t i = 0; i < index->n_paths; i++)
                free(index->paths[i]);
        free(index->paths);
        free(index->keys);
        index->paths = NULL;
        index->keys = NULL;
        index->n_paths = index->n_keys = 0;
}

static void index_set_timer(struct redis_index *index, uint32_t ms)
{
        if (!index->stopped)
                redis_timer_set(index->timer, ms);
}

/* A step that fails ends the round: the next one begins anew. */
static void index_step_done(struct redis_index *index, bool failed)
{
        index_forget_step(index);
        if (failed)
                strcpy(index->cursor, "0");
        if (strcmp(index->cursor, "0") != 0)
                index_set_timer(index, INDEX_STEP_MS);
        else if (!index->options->found)
                index_set_timer(index, INDEX_ROUND_MS);
        else if (failed)
                index_set_timer(index, INDEX_RETRY_MS);
        else
                index->options->found(NULL, index->options->found_context);
}

static void index_build_scan(struct redis_call *call, struct redis_args *args)
{
        struct redis_index *index = container_of(call, struct redis_index, call);

        redis_args_text(args, "SCAN");
        redis_args_text(args, index->cursor);
        redis_args_text(args, "MATCH");
        redis_args_text(args, "meta:*");
        redis_args_text(args, "COUNT");
        redis_args_number(args, INDEX_STEP_KEYS);
}

static void index_build_paths(struct redis_call *call, struct redis_args *args)
{
        struct redis_index *index = container_of(call, struct redis_index, call);

        redis_args_number(args, index->n_keys);
        for (size_t i = 0; i < index->n_keys; i++)
                redis_args_text(args, index->keys[i]);
}

static void index_build_add(struct redis_call *call, struct redis_args *args)
{
        struct redis_index *index = container_of(call, struct redis_index, call);

        redis_args_text(args, "ZADD");
        redis_args_format(args, "%sfunctions", index->options->prefix);
        redis_args_text(args, "NX");
        for (size_t i = 0; i < index->n_paths; i++) {
                redis_args_text(args, "0");
                redis_args_text(args, index->paths[i]);
        }
}

static void index_ask(struct redis_index *index, enum redis_script script,
        void (*build)(struct redis_call *call, struct redis_args *args),
        void (*answered)(struct redis_call *call, const redisReply *reply, const char *why))
{
        index->call = (struct redis_call){ .script = script, .build = build, .answered = answered };
        if (redis_call_start(index->link, &index->call) < 0)
                index_step_done(index, true);
}

static void index_on_added(struct redis_call *call, const redisReply *reply, const char *why)
{
        (void)why;
        index_step_done(
                container_of(call, struct redis_index, call), !reply || reply->type == REDIS_REPLY_ERROR);
}

/* A path that is not the one of its key is not a function of go-faas. */
static int index_take_path(struct redis_index *index, const char *key, const redisReply *path)
{
        char md5[REDIS_MD5_SIZE];

        if (!path || path->type != REDIS_REPLY_STRING || !function_path_valid(path->str, path->len))
                return 0;
        redis_path_md5(path->str, md5);
        if (strcmp(key + 5, md5) != 0)
                return 0;
        index->paths[index->n_paths] = strdup(path->str);
        return index->paths[index->n_paths] ? (index->n_paths++, 0) : -ENOMEM;
}

/* What has no path, or another one's, has its key for a name. */
static void index_tell(struct redis_index *index, const char *key, const redisReply *path)
{
        const char *name = key;
        char md5[REDIS_MD5_SIZE];

        if (path && path->type == REDIS_REPLY_STRING) {
                redis_path_md5(path->str, md5);
                if (strcmp(key + 5, md5) == 0)
                        name = path->str;
        }
        index->options->found(name, index->options->found_context);
}

static void index_on_paths(struct redis_call *call, const redisReply *reply, const char *why)
{
        struct redis_index *index = container_of(call, struct redis_index, call);
        const redisReply *paths = redis_reply_at(reply, 1);

        (void)why;
        index->paths = calloc(index->n_keys, sizeof *index->paths);
        if (!index->paths || !paths || paths->type != REDIS_REPLY_ARRAY || paths->elements != index->n_keys) {
                index_step_done(index, true);
                return;
        }
        for (size_t i = 0; i < index->n_keys; i++) {
                if (index->options->found)
                        index_tell(index, index->keys[i], paths->element[i]);
                else if (index_take_path(index, index->keys[i], paths->element[i]) < 0)
                        break;
        }
        if (index->n_paths == 0)
                index_step_done(index, false);
        else
                index_ask(index, REDIS_SCRIPT_NONE, index_build_add, index_on_added);
}

/* meta:<md5>, and not meta:<md5>:version. */
static void index_take_key(struct redis_index *index, const redisReply *key)
{
        if (!key || key->type != REDIS_REPLY_STRING || key->len != INDEX_KEY_SIZE - 1 ||
                strspn(key->str + 5, "0123456789abcdef") != key->len - 5)
                return;
        memcpy(index->keys[index->n_keys++], key->str, INDEX_KEY_SIZE);
}

static void index_on_scan(struct redis_call *call, const redisReply *reply, const char *why)
{
        struct redis_index *index = container_of(call, struct redis_index, call);
        const redisReply *cursor = redis_reply_at(reply, 0), *keys = redis_reply_at(reply, 1);

        (void)why;
        if (!cursor || cursor->type != REDIS_REPLY_STRING || cursor->len < 1 ||
                cursor->len >= sizeof index->cursor || !keys || keys->type != REDIS_REPLY_ARRAY) {
                index_step_done(index, true);
                return;
        }
        memcpy(index->cursor, cursor->str, cursor->len + 1);
        index->keys = calloc(keys->elements + 1, sizeof *index->keys);
        for (size_t i = 0; index->keys && i < keys->elements; i++)
                index_take_key(index, keys->element[i]);
        if (index->n_keys == 0)
                index_step_done(index, !index->keys);
        else
                index_ask(index, REDIS_SCRIPT_PATHS, index_build_paths, index_on_paths);
}

static void index_on_timer(evutil_socket_t fd, short what, void *context)
{
        (void)fd;
        (void)what;
        index_ask(context, REDIS_SCRIPT_NONE, index_build_scan, index_on_scan);
}

void redis_index_start(struct redis_index *index)
{
        index->stopped = false;
        strcpy(index->cursor, "0");
        index_set_timer(index, 0);
}

void redis_index_stop(struct redis_index *index)
{
        index->stopped = true;
        event_del(index->timer);
}

static void index_build_met(struct redis_call *call, struct redis_args *args)
{
        struct index_met *met = container_of(call, struct index_met, call);

        redis_args_text(args, "ZADD");
        redis_args_format(args, "%sfunctions", met->index->options->prefix);
        redis_args_text(args, "NX");
        redis_args_text(args, "0");
        redis_args_text(args, met->path);
}

static void index_on_met(struct redis_call *call, const redisReply *reply, const char *why)
{
        struct index_met *met = container_of(call, struct index_met, call);

        (void)reply;
        (void)why;
        met->index->n_met--;
        free(met);
}

/* What is left out here is found by the next round. */
void redis_index_add(struct redis_index *index, const char *path)
{
        size_t size = strlen(path) + 1;
        struct index_met *met;

        if (index->options->found || index->n_met == INDEX_MET_MAX || !function_path_valid(path, size - 1))
                return;
        met = calloc(1, sizeof *met + size);
        if (!met)
                return;
        met->index = index;
        memcpy(met->path, path, size);
        met->call = (struct redis_call){
                .script = REDIS_SCRIPT_NONE, .build = index_build_met, .answered = index_on_met
        };
        index->n_met++;
        if (redis_call_start(index->link, &met->call) < 0) {
                index->n_met--;
                free(met);
        }
}

int redis_index_new(struct event_base *base, struct redis_link *link,
        const struct store_redis_options *options, struct redis_index **ret_index)
{
        struct redis_index *index = calloc(1, sizeof *index);

        if (!index)
                return error_trace(-ENOMEM);
        index->link = link;
        index->options = options;
        index->stopped = true;
        index->timer = evtimer_new(base, index_on_timer, index);
        if (!index->timer) {
                free(index);
                return error_trace(-ENOMEM);
        }
        *ret_index = index;
        return 0;
}

struct redis_index *redis_index_free(struct redis_index *index)
{
        if (!index)
                return NULL;
        index_forget_step(index);
        event_free(index->timer);
        free(index);
        return NULL;
}
