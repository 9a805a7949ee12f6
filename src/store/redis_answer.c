#include "store/redis_answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/macros.h"
#include "store/redis_reply.h"

/* go-faas counts seconds: it may write over what it wrote in the same one. */
enum { ANSWER_SETTLED_S = 2 };

static const struct {
        const char *word;
        int r;
} outcomes[] = {
        { "ok", 0 },
        { "missing", STORE_NOT_FOUND },
        { "used", STORE_IN_USE },
        { "full", STORE_FULL },
        { "damaged", -EBADMSG },
};

int redis_answer_outcome(struct store_request *request, const redisReply *reply)
{
        const redisReply *word = redis_reply_at(reply, 0), *more = redis_reply_at(reply, 1);

        for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++) {
                if (!redis_reply_is(word, outcomes[i].word))
                        continue;
                if (outcomes[i].r == 0 || !more)
                        return outcomes[i].r;
                if (more->type != REDIS_REPLY_STRING)
                        return -EPROTO;
                log_safe(more->str, request->reason, sizeof request->reason);
                return outcomes[i].r;
        }
        return -EPROTO;
}

int redis_answer_put(struct store_request *request, const redisReply *reply)
{
        const redisReply *created = redis_reply_at(reply, 2);
        int r = redis_reply_number(redis_reply_at(reply, 1), &request->latest);

        if (r < 0)
                return r;
        if (!created || created->type != REDIS_REPLY_INTEGER)
                return -EPROTO;
        request->created = created->integer == 1;
        return 0;
}

/* What a version consists of, in the order of GET's answer. */
static int answer_read_parts(const redisReply *parts, struct store_version *version)
{
        struct store_bytes *const optional[] = { &version->compiled, &version->map, &version->limits,
                &version->cache, &version->cache_for, &version->imports };
        size_t at = 0;
        int r;

        r = redis_reply_text(redis_reply_at(parts, at++), &version->language);
        if (r == 0)
                r = redis_reply_number(redis_reply_at(parts, at++), &version->created_ms);
        if (r == 0)
                r = redis_reply_hash(redis_reply_at(parts, at++), version->hash);
        if (r == 0)
                r = redis_reply_bytes(redis_reply_at(parts, at++), &version->code);
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(optional); i++)
                r = redis_reply_bytes(redis_reply_at(parts, at++), optional[i]);
        return r == 0 && !version->code.data ? -EPROTO : r;
}

static int answer_check_hash(struct store_request *request)
{
        struct store_version *found = &request->found;
        char hash[STORE_HASH_SIZE];

        if (!*found->hash)
                return 0;
        store_hash(found->code.data, found->code.length, hash);
        if (strcmp(hash, found->hash) == 0)
                return 0;
        snprintf(request->reason, sizeof request->reason, "the code of version %llu is not what was uploaded",
                (unsigned long long)found->version);
        return error_trace(-EBADMSG);
}

int redis_answer_get(
        struct store_request *request, const redisReply *reply, uint64_t now_s, uint64_t *ret_old_latest)
{
        struct store_version *found = &request->found;
        const redisReply *theirs = redis_reply_at(reply, 4);
        uint64_t old_latest = 0;
        int r;

        r = redis_reply_number(redis_reply_at(reply, 1), &request->latest);
        if (r == 0)
                r = redis_reply_number(redis_reply_at(reply, 2), &old_latest);
        if (r == 0)
                r = redis_reply_number(redis_reply_at(reply, 3), &found->version);
        if (r == 0 && (!theirs || theirs->type != REDIS_REPLY_INTEGER))
                r = -EPROTO;
        if (r == 0)
                r = answer_read_parts(redis_reply_at(reply, 5), found);
        if (r < 0)
                return r;
        found->path = strdup(request->path);
        if (!found->path)
                return error_trace(-ENOMEM);
        request->may_change = theirs->integer == 1 && found->version + ANSWER_SETTLED_S > now_s;
        *ret_old_latest = old_latest == request->latest ? old_latest : 0;
        return answer_check_hash(request);
}

/* Number, language, size, hash, time, limits: from element `at` on. */
static int answer_read_summary(const redisReply *row, size_t at, struct store_summary *summary)
{
        int r = redis_reply_number(redis_reply_at(row, at), &summary->version);

        if (r == 0)
                r = redis_reply_text(redis_reply_at(row, at + 1), &summary->language);
        if (r == 0)
                r = redis_reply_number(redis_reply_at(row, at + 2), &summary->size);
        if (r == 0)
                r = redis_reply_hash(redis_reply_at(row, at + 3), summary->hash);
        if (r == 0)
                r = redis_reply_number(redis_reply_at(row, at + 4), &summary->created_ms);
        if (r == 0)
                r = redis_reply_optional_text(redis_reply_at(row, at + 5), &summary->limits);
        return r;
}

static int answer_make_room(struct store_request *request, size_t n)
{
        if (request->summaries || n == 0)
                return 0;
        request->summaries = calloc(n, sizeof *request->summaries);
        return request->summaries ? 0 : error_trace(-ENOMEM);
}

static int answer_compare_aliases(const void *a, const void *b)
{
        return strcmp(((const struct store_alias *)a)->name, ((const struct store_alias *)b)->name);
}

static int answer_read_aliases(struct store_request *request, const redisReply *pairs)
{
        int r = 0;

        if (!pairs || pairs->type != REDIS_REPLY_ARRAY || pairs->elements % 2)
                return -EPROTO;
        if (pairs->elements == 0)
                return 0;
        request->aliases = calloc(pairs->elements / 2, sizeof *request->aliases);
        if (!request->aliases)
                return error_trace(-ENOMEM);
        for (size_t i = 0; r == 0 && i < pairs->elements; i += 2) {
                struct store_alias *alias = &request->aliases[request->n_aliases++];

                r = redis_reply_text(pairs->element[i], &alias->name);
                if (r == 0)
                        r = redis_reply_number(pairs->element[i + 1], &alias->version);
        }
        if (r == 0)
                qsort(request->aliases, request->n_aliases, sizeof *request->aliases, answer_compare_aliases);
        return r;
}

int redis_answer_describe(struct store_request *request, const redisReply *reply)
{
        const redisReply *more = redis_reply_at(reply, 2), *rows = redis_reply_at(reply, 4);
        int r = redis_reply_number(redis_reply_at(reply, 1), &request->latest);

        if (r == 0 && (!more || more->type != REDIS_REPLY_INTEGER || !rows ||
                              rows->type != REDIS_REPLY_ARRAY || rows->elements > request->limit))
                r = -EPROTO;
        if (r == 0)
                r = redis_reply_text(redis_reply_at(reply, 5), &request->language);
        if (r == 0)
                r = answer_read_aliases(request, redis_reply_at(reply, 3));
        if (r == 0)
                r = answer_make_room(request, rows->elements);
        for (size_t i = 0; r == 0 && i < rows->elements; i++) {
                struct store_summary *summary = &request->summaries[request->n_summaries++];

                r = answer_read_summary(rows->element[i], 0, summary);
                summary->path = strdup(request->path);
                if (!summary->path)
                        r = -ENOMEM;
        }
        if (r < 0)
                return r;
        request->has_more = more->integer == 1;
        return 0;
}

int redis_answer_list(struct store_request *request, const redisReply *reply, size_t n)
{
        const redisReply *rows = redis_reply_at(reply, 1);
        int r;

        if (!rows || rows->type != REDIS_REPLY_ARRAY || rows->elements != n)
                return -EPROTO;
        r = answer_make_room(request, request->limit);
        for (size_t i = 0; r == 0 && i < n && !request->has_more; i++) {
                struct store_summary *summary;

                if (redis_reply_absent(rows->element[i]))
                        continue;
                if (request->n_summaries == request->limit) {
                        request->has_more = true;
                        break;
                }
                summary = &request->summaries[request->n_summaries++];
                r = redis_reply_text(redis_reply_at(rows->element[i], 0), &summary->path);
                if (r == 0)
                        r = answer_read_summary(rows->element[i], 1, summary);
                if (r == 0)
                        r = redis_reply_number(redis_reply_at(rows->element[i], 7), &summary->n_versions);
        }
        return r;
}
