#include "server/upload.h"

#include <errno.h>

#include "server/answer.h"
#include "server/api.h"
#include "server/call.h"
#include "server/exchange.h"
#include "server/functions.h"
#include "server/json_write.h"
#include "server/language.h"

static int upload_write(struct bytes *body, const struct script *script, bool created)
{
        _cleanup_(bytes_deinit) struct bytes limits = { .limit = EXCHANGE_BODY_MAX };
        int r;

        r = bytes_append_text(body, "{\"path\":");
        if (r == 0)
                r = json_write_text(body, script->path);
        if (r == 0)
                r = bytes_format(body,
                        ",\"language\":\"%s\",\"version\":%llu,\"created\":%s,\"size\":%zu,\"hash\":\"%s\"",
                        language_name(script->language), (unsigned long long)script->version,
                        created ? "true" : "false", script->code.length, script->hash);
        if (r == 0)
                r = limits_write(&script->limits, &limits);
        if (r == 0 && limits.length)
                r = bytes_format(body, ",\"limits\":%s", limits.data);
        return r == 0 ? bytes_append_text(body, "}") : r;
}

static void upload_stored(struct store_request *answer, void *context)
{
        struct exchange *exchange = context;
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        int r = answer->r;

        if (r == STORE_UNAVAILABLE) {
                exchange_problem(exchange, PROBLEM_STORE_UNAVAILABLE,
                        "The store does not answer. Upload it again: what is stored already is not stored "
                        "twice.");
                return;
        }
        if (r == 0)
                r = upload_write(&body, exchange->script, answer->created);
        if (r == 0)
                exchange_answer(exchange, 200, body.data, body.length);
        else
                exchange_surprise(exchange, r);
}

static void upload_refuse(struct exchange *exchange, const struct call_end *end)
{
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        const struct answer answer = { .end = end, .request_id = http_id(exchange->request) };
        int r = answer_write(&body, &answer, answer_parts(&answer, false));

        if (r == 0)
                exchange_problem_body(exchange, answer_problem(&answer), &body);
        else
                exchange_surprise(exchange, r);
}

static void upload_checked(const struct call_end *end, void *context)
{
        struct exchange *exchange = context;
        int r;

        exchange->check = NULL;
        exchange->times = end->times;
        if (end->ending != CALL_CHECKED) {
                upload_refuse(exchange, end);
                return;
        }
        r = functions_upload(exchange->api->functions, exchange->script, upload_stored, exchange);
        if (r < 0)
                exchange_surprise(exchange, r);
}

/* A script is parsed, in a cell, before it is stored. */
static void upload_check(struct exchange *exchange)
{
        static const struct call_hooks hooks = { .ended = upload_checked };
        const struct call_task task = {
                .id = http_id(exchange->request),
                .client = exchange->client,
                .function = "/upload",
                .mode = GUEST_CHECK,
                .script = exchange->script,
        };
        int r = call_new(exchange->api->calls, &task, &hooks, exchange, &exchange->check);

        if (r == 0)
                exchange_watch_client(exchange);
        else
                exchange_refuse_call(exchange, r);
}

void upload_start(struct exchange *exchange, const char *rest)
{
        struct envelope *envelope = &exchange->envelope;

        (void)rest;
        if (!api_read_envelope(exchange, ENVELOPE_UPLOAD))
                return;
        exchange->script =
                script_new(envelope->language, envelope->path, envelope->code, envelope->code_length);
        if (!exchange->script) {
                exchange_surprise(exchange, -ENOMEM);
                return;
        }
        envelope->path = envelope->code = NULL;
        exchange->script->limits = envelope->limits;
        upload_check(exchange);
}
