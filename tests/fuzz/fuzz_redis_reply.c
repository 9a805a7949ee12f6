/*
 * What something at Redis' port may say, as received bytes: the first byte chooses the question, the rest is
 * its answer. No answer may be read beyond its end, and what is believed must be whole.
 */

#include "fuzz.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <string.h>

#include "store/redis_answer.h"
#include "store/redis_reader.h"
#include "store/redis_reply.h"

enum { LIMIT = 4, PATHS = 3 };

static int ask_outcome(struct store_request *request, const redisReply *reply)
{
        return redis_answer_outcome(request, reply);
}

static int ask_get(struct store_request *request, const redisReply *reply)
{
        uint64_t old_latest = 0;
        int r = redis_answer_get(request, reply, 1700000000, &old_latest);

        if (r == 0)
                must(request->found.path && request->found.language && request->found.code.data &&
                        strlen(request->found.hash) % 64 == 0 && request->found.version < UINT64_C(1) << 53);
        return r;
}

static void summaries_check(const struct store_request *request)
{
        must(request->n_summaries <= LIMIT);
        for (size_t i = 0; i < request->n_summaries; i++)
                must(request->summaries[i].path && request->summaries[i].language);
}

static int ask_describe(struct store_request *request, const redisReply *reply)
{
        int r = redis_answer_describe(request, reply);

        if (r == 0) {
                summaries_check(request);
                for (size_t i = 0; i < request->n_aliases; i++)
                        must(request->aliases[i].name && (i == 0 || strcmp(request->aliases[i - 1].name,
                                                                            request->aliases[i].name) <= 0));
        }
        return r;
}

static int ask_list(struct store_request *request, const redisReply *reply)
{
        int r = redis_answer_list(request, reply, PATHS);

        if (r == 0)
                r = redis_answer_list(request, reply, PATHS);
        if (r == 0)
                summaries_check(request);
        return r;
}

static int (*const questions[])(struct store_request *request, const redisReply *reply) = { ask_outcome,
        redis_answer_put, ask_get, ask_describe, ask_list };

static void reply_check(uint8_t question, const redisReply *reply)
{
        struct store_request request = { .path = "a", .limit = LIMIT };
        char reason[256] = "";
        int r;

        if (reply->type == REDIS_REPLY_ERROR) {
                redis_reply_explain(reply, reason, sizeof reason);
                must(*reason);
                for (const char *at = reason; *at; at++)
                        must(*at >= ' ' && *at <= '~');
        }
        r = questions[question % (sizeof questions / sizeof *questions)](&request, reply);
        must(r == 0 || r == -EPROTO || r == -EBADMSG ||
                (question % (sizeof questions / sizeof *questions) == 0 && r > 0));
        store_request_deinit(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        redisReader *reader = redisReaderCreate();
        struct redis_reader state;
        void *reply = NULL;

        if (size == 0) {
                redisReaderFree(reader);
                return 0;
        }
        redis_reader_guard(reader, &state);
        state.expected = 2;
        redisReaderFeed(reader, (const char *)data + 1, size - 1);
        while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
                must(state.expected > 0);
                state.expected--;
                reply_check(*data, reply);
                reader->fn->freeObject(reply);
                reply = NULL;
        }
        redisReaderFree(reader);
        return 0;
}
