/*
 * Nearly every request is one script and one answer. Two take several steps: LIST reads a piece of the index
 * and asks what its paths hold, until the page is full; REMOVE of a whole function goes on until nothing is
 * left.
 */

#include "store/redis_ask.h"

#include <errno.h>
#include <sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/macros.h"
#include "store/redis_answer.h"
#include "store/redis_link.h"
#include "store/redis_reply.h"

enum {
        ASK_REMOVE_SLICE = 500, /* versions that go in one script */
        ASK_LIST_SLICE = 250,   /* paths that one script looks at */
};

/* 2^53: from there on, numbers are none that a version could have, and scripts cannot count them. */
static const uint64_t ask_number_end = UINT64_C(1) << 53;

static struct redis_ask *ask_from(struct redis_call *call)
{
        return container_of(call, struct redis_ask, call);
}

/* The parts of a version that may be absent, as names and values. */
static const struct {
        const char *name;
        size_t member;
        bool compiled; /* KEEP_COMPILED replaces it */
} ask_parts[] = {
        { "compiled", offsetof(struct store_version, compiled), true },
        { "map", offsetof(struct store_version, map), true },
        { "limits", offsetof(struct store_version, limits), false },
        { "cache", offsetof(struct store_version, cache), true },
        { "cache_for", offsetof(struct store_version, cache_for), true },
        { "imports", offsetof(struct store_version, imports), true },
};

static void ask_add_number(struct redis_args *args, uint64_t number)
{
        redis_args_number(args, MIN(number, ask_number_end - 1));
}

static void ask_add_parts(struct redis_args *args, const struct store_version *version, bool compiled_only)
{
        for (size_t i = 0; i < ARRAY_SIZE(ask_parts); i++) {
                const struct store_bytes *bytes =
                        (const struct store_bytes *)((const char *)version + ask_parts[i].member);

                if (!bytes->data || (compiled_only && !ask_parts[i].compiled))
                        continue;
                redis_args_text(args, ask_parts[i].name);
                redis_args_add(args, bytes->data, bytes->length);
        }
}

static const char *ask_path(const struct store_request *request)
{
        switch (request->operation) {
        case STORE_PUT:
        case STORE_KEEP_COMPILED:
        case STORE_RESTORE:
                return request->given->path;
        default:
                return request->path;
        }
}

static void ask_add_function(struct redis_ask *ask, struct redis_args *args)
{
        redis_add_function(args, ask->needs->prefix, ask_path(ask->request), ask->md5, ask->needs->node);
}

static void ask_build_check(struct redis_call *call, struct redis_args *args)
{
        const struct redis_ask_needs *needs = ask_from(call)->needs;

        redis_args_number(args, 3);
        redis_args_format(args, "%scheck:%s", needs->prefix, needs->node);
        redis_args_format(args, "%sfunctions", needs->prefix);
        redis_args_format(args, "%schanges", needs->prefix);
        redis_args_text(args, needs->node);
}

static void ask_build_put(struct redis_call *call, struct redis_args *args)
{
        struct redis_ask *ask = ask_from(call);
        const struct store_version *given = ask->request->given;

        ask_add_function(ask, args);
        redis_args_number(args, ask->request->now_ms);
        redis_args_text(args, given->language);
        redis_args_text(args, given->hash);
        redis_args_number(args, given->code.length);
        redis_args_add(args, given->code.data, given->code.length);
        ask_add_parts(args, given, false);
}

static void ask_build_restore(struct redis_call *call, struct redis_args *args)
{
        struct redis_ask *ask = ask_from(call);
        const struct store_version *given = ask->request->given;

        ask_add_function(ask, args);
        ask_add_number(args, given->version);
        ask_add_number(args, given->created_ms);
        redis_args_text(args, given->language);
        redis_args_text(args, given->hash);
        redis_args_number(args, given->code.length);
        redis_args_add(args, given->code.data, given->code.length);
        ask_add_parts(args, given, false);
}

static void ask_build_get(struct redis_call *call, struct redis_args *args)
{
        struct redis_ask *ask = ask_from(call);

        ask_add_function(ask, args);
        ask_add_number(args, ask->request->version);
        redis_args_text(args, ask->request->alias ? ask->request->alias : "");
}

static void ask_build_keep_compiled(struct redis_call *call, struct redis_args *args)
{
        struct redis_ask *ask = ask_from(call);
        const struct store_version *given = ask->request->given;
        char sha1[SHA1_DIGEST_STRING_LENGTH] = "";

        if (given->code.data)
                SHA1Data((const uint8_t *)given->code.data, given->code.length, sha1);
        ask_add_function(ask, args);
        ask_add_number(args, given->version);
        redis_args_text(args, sha1);
        ask_add_parts(args, given, true);
}

static void ask_build_describe(struct redis_call *call, struct redis_args *args)
{
        struct redis_ask *ask = ask_from(call);

        ask_add_function(ask, args);
        ask_add_number(args, ask->request->before);
        redis_args_number(args, ask->request->limit);
        redis_args_text(args, ask->needs->tells_lost ? "all" : "");
}

static void ask_build_remove(struct redis_call *call, struct redis_args *args)
{
        struct redis_ask *ask = ask_from(call);

        ask_add_function(ask, args);
        ask_add_number(args, ask->request->version);
}

static void ask_build_remove_all(struct redis_call *call, struct redis_args *args)
{
        struct redis_ask *ask = ask_from(call);

        ask_add_function(ask, args);
        redis_args_number(args, ask->top);
        redis_args_number(args, ASK_REMOVE_SLICE);
}

static void ask_build_set_alias(struct redis_call *call, struct redis_args *args)
{
        struct redis_ask *ask = ask_from(call);

        ask_add_function(ask, args);
        redis_args_text(args, ask->request->alias);
        ask_add_number(args, ask->request->version);
        redis_args_number(args, ask->request->limit);
}

static void ask_build_remove_alias(struct redis_call *call, struct redis_args *args)
{
        struct redis_ask *ask = ask_from(call);

        ask_add_function(ask, args);
        redis_args_text(args, ask->request->alias);
}

/* A piece of the index: paths that begin with the prefix, behind the last one that was looked at. Paths have
 * no byte 255. */
static void ask_build_index(struct redis_call *call, struct redis_args *args)
{
        struct redis_ask *ask = ask_from(call);
        const char *prefix = ask->request->path ? ask->request->path : "";
        const char *after = ask->n_paths ? ask->paths[ask->n_paths - 1] : ask->request->after;

        redis_args_text(args, "ZRANGEBYLEX");
        redis_args_format(args, "%sfunctions", ask->needs->prefix);
        if (after && strcmp(after, prefix) >= 0)
                redis_args_format(args, "(%s", after);
        else
                redis_args_format(args, "[%s", prefix);
        redis_args_format(args, "(%s\xff", prefix);
        redis_args_text(args, "LIMIT");
        redis_args_text(args, "0");
        redis_args_number(args, ask->n_wanted);
}

static void ask_build_list(struct redis_call *call, struct redis_args *args)
{
        struct redis_ask *ask = ask_from(call);
        char md5[REDIS_MD5_SIZE];

        redis_args_number(args, 1);
        redis_args_format(args, "%sfunctions", ask->needs->prefix);
        redis_args_text(args, ask->needs->prefix);
        for (size_t i = 0; i < ask->n_paths; i++) {
                redis_path_md5(ask->paths[i], md5);
                redis_args_text(args, ask->paths[i]);
                redis_args_text(args, md5);
        }
}

static int ask_read_word(struct redis_ask *ask, const redisReply *reply)
{
        (void)ask;
        (void)reply;
        return 0;
}

static int ask_read_get(struct redis_ask *ask, const redisReply *reply)
{
        return redis_answer_get(ask->request, reply, (uint64_t)time(NULL), &ask->old_latest);
}

static int ask_read_describe(struct redis_ask *ask, const redisReply *reply)
{
        return redis_answer_describe(ask->request, reply);
}

static int ask_read_put(struct redis_ask *ask, const redisReply *reply)
{
        return redis_answer_put(ask->request, reply);
}

static int ask_read_remove_all(struct redis_ask *ask, const redisReply *reply);
static int ask_read_index(struct redis_ask *ask, const redisReply *reply);
static int ask_read_list(struct redis_ask *ask, const redisReply *reply);

enum ask_step {
        STEP_CHECK,
        STEP_PUT,
        STEP_GET,
        STEP_KEEP_COMPILED,
        STEP_INDEX,
        STEP_LIST,
        STEP_DESCRIBE,
        STEP_REMOVE,
        STEP_REMOVE_ALL,
        STEP_SET_ALIAS,
        STEP_REMOVE_ALIAS,
        STEP_RESTORE,
        STEPS
};

/* What a step sends, and how its answer is read. A reader returns 0, an outcome, a negative errno, or
 * ASK_GOES_ON: it has begun another step. */
enum { ASK_GOES_ON = 1000 };

static const struct {
        enum redis_script script;
        void (*build)(struct redis_call *call, struct redis_args *args);
        int (*read)(struct redis_ask *ask, const redisReply *reply);
} steps[STEPS] = {
        [STEP_CHECK] = { REDIS_SCRIPT_CHECK, ask_build_check, ask_read_word },
        [STEP_PUT] = { REDIS_SCRIPT_PUT, ask_build_put, ask_read_put },
        [STEP_GET] = { REDIS_SCRIPT_GET, ask_build_get, ask_read_get },
        [STEP_KEEP_COMPILED] = { REDIS_SCRIPT_KEEP_COMPILED, ask_build_keep_compiled, ask_read_word },
        [STEP_INDEX] = { REDIS_SCRIPT_NONE, ask_build_index, ask_read_index },
        [STEP_LIST] = { REDIS_SCRIPT_LIST, ask_build_list, ask_read_list },
        [STEP_DESCRIBE] = { REDIS_SCRIPT_DESCRIBE, ask_build_describe, ask_read_describe },
        [STEP_REMOVE] = { REDIS_SCRIPT_REMOVE, ask_build_remove, ask_read_word },
        [STEP_REMOVE_ALL] = { REDIS_SCRIPT_REMOVE_ALL, ask_build_remove_all, ask_read_remove_all },
        [STEP_SET_ALIAS] = { REDIS_SCRIPT_SET_ALIAS, ask_build_set_alias, ask_read_word },
        [STEP_REMOVE_ALIAS] = { REDIS_SCRIPT_REMOVE_ALIAS, ask_build_remove_alias, ask_read_word },
        [STEP_RESTORE] = { REDIS_SCRIPT_RESTORE, ask_build_restore, ask_read_put },
};

static const enum ask_step first_steps[STORE_OPERATIONS] = {
        [STORE_CHECK] = STEP_CHECK,
        [STORE_PUT] = STEP_PUT,
        [STORE_GET] = STEP_GET,
        [STORE_KEEP_COMPILED] = STEP_KEEP_COMPILED,
        [STORE_LIST] = STEP_INDEX,
        [STORE_DESCRIBE] = STEP_DESCRIBE,
        [STORE_REMOVE] = STEP_REMOVE,
        [STORE_SET_ALIAS] = STEP_SET_ALIAS,
        [STORE_REMOVE_ALIAS] = STEP_REMOVE_ALIAS,
        [STORE_RESTORE] = STEP_RESTORE,
};

static void ask_on_answer(struct redis_call *call, const redisReply *reply, const char *why);

static int ask_begin(struct redis_ask *ask, enum ask_step step)
{
        ask->step = step;
        ask->call = (struct redis_call){
                .script = steps[step].script, .build = steps[step].build, .answered = ask_on_answer
        };
        return redis_call_start(ask->needs->link, &ask->call);
}

static int ask_go_on(struct redis_ask *ask, enum ask_step step)
{
        int r = ask_begin(ask, step);

        return r < 0 ? r : ASK_GOES_ON;
}

static int ask_read_remove_all(struct redis_ask *ask, const redisReply *reply)
{
        uint64_t more;

        if (redis_reply_number(redis_reply_at(reply, 1), &more) < 0 ||
                redis_reply_number(redis_reply_at(reply, 2), &ask->top) < 0)
                return -EPROTO;
        return more ? ask_go_on(ask, STEP_REMOVE_ALL) : 0;
}

static void ask_free_paths(struct redis_ask *ask)
{
        for (size_t i = 0; i < ask->n_paths; i++)
                free(ask->paths[i]);
        free(ask->paths);
        ask->paths = NULL;
        ask->n_paths = 0;
}

/* How much of the index is wanted next: what the page lacks, and one that says whether there is more. */
static int ask_read_next_index(struct redis_ask *ask)
{
        ask->n_wanted = MIN(ask->request->limit + 1 - ask->request->n_summaries, (size_t)ASK_LIST_SLICE);
        return ask_begin(ask, STEP_INDEX);
}

static int ask_read_index(struct redis_ask *ask, const redisReply *reply)
{
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements > ask->n_wanted)
                return -EPROTO;
        ask_free_paths(ask);
        if (reply->elements == 0)
                return 0;
        ask->paths = calloc(reply->elements, sizeof *ask->paths);
        if (!ask->paths)
                return -ENOMEM;
        for (size_t i = 0; i < reply->elements; i++) {
                int r = redis_reply_text(reply->element[i], &ask->paths[i]);

                if (r < 0)
                        return r;
                ask->n_paths++;
        }
        return ask_go_on(ask, STEP_LIST);
}

/* An index that gave less than was asked for is at its end. */
static int ask_read_list(struct redis_ask *ask, const redisReply *reply)
{
        bool at_end = ask->n_paths < ask->n_wanted;
        int r = redis_answer_list(ask->request, reply, ask->n_paths);

        if (r < 0 || ask->request->has_more || at_end)
                return r;
        r = ask_read_next_index(ask);
        return r < 0 ? r : ASK_GOES_ON;
}

static void ask_finish(struct redis_ask *ask, int r)
{
        if (r != 0)
                store_request_deinit(ask->request);
        ask->request->r = r;
        ask->done(ask);
}

/* No answer, or none that can be: nothing more is to be expected of this connection. */
static void ask_on_answer(struct redis_call *call, const redisReply *reply, const char *why)
{
        struct redis_ask *ask = ask_from(call);
        struct store_request *request = ask->request;
        bool drop = false;
        int r;

        if (!reply) {
                snprintf(request->reason, sizeof request->reason, "Redis: %s", why);
                r = STORE_UNAVAILABLE;
        } else if (reply->type == REDIS_REPLY_ERROR) {
                drop = redis_reply_explain(reply, request->reason, sizeof request->reason);
                r = STORE_UNAVAILABLE;
        } else {
                r = call->script == REDIS_SCRIPT_NONE ? 0 : redis_answer_outcome(request, reply);
        }
        if (r == 0)
                r = steps[ask->step].read(ask, reply);
        if (r == ASK_GOES_ON)
                return;
        if (r == -EPROTO || r == -ENOTCONN) {
                drop = r == -EPROTO;
                snprintf(request->reason, sizeof request->reason, "Redis: %s",
                        drop ? "its answer is not one to the question" : redis_link_reason(ask->needs->link));
                r = STORE_UNAVAILABLE;
        }
        if (r == -EBADMSG && !*request->reason)
                snprintf(request->reason, sizeof request->reason,
                        "what is stored of this function is damaged");
        if (drop)
                redis_link_drop(ask->needs->link, request->reason);
        ask_finish(ask, r);
}

/* Numbers that are to be kept must be such that scripts can count them. */
static bool ask_is_countable(const struct store_request *request)
{
        const struct store_version *given = request->given;

        if (request->operation == STORE_PUT)
                return request->now_ms < ask_number_end;
        return request->operation != STORE_RESTORE ||
               (given->version > 0 && given->version < ask_number_end && given->created_ms < ask_number_end);
}

int redis_ask_start(struct redis_ask *ask)
{
        struct store_request *request = ask->request;
        const char *path;
        enum ask_step first;

        if (!store_request_is_complete(request) || !ask_is_countable(request))
                return error_trace(-EINVAL);
        *request->reason = 0;
        path = ask_path(request);
        if (path)
                redis_path_md5(path, ask->md5);
        if (request->operation == STORE_LIST)
                return ask_read_next_index(ask);
        first = first_steps[request->operation];
        if (first == STEP_REMOVE && request->version == 0)
                first = STEP_REMOVE_ALL;
        return ask_begin(ask, first);
}

void redis_ask_deinit(struct redis_ask *ask)
{
        ask_free_paths(ask);
}
