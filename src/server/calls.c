#include "server/calls.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "server/answer.h"
#include "server/api.h"
#include "server/events.h"
#include "server/exchange.h"
#include "server/record.h"

static const char *const state_names[] = {
        [RECORD_QUEUED] = "queued",
        [RECORD_RUNNING] = "running",
        [RECORD_DONE] = "done",
        [RECORD_CANCELLED] = "cancelled",
};

static int calls_write_answer(struct bytes *body, const struct record *record)
{
        const struct answer answer = record_answer(record);
        int r;

        r = bytes_format(body, ",\"status\":%d,\"answer\":", answer_status(&answer));
        if (r == 0)
                r = answer_write(body, &answer, 0);
        return r == 0 ? answer_write_usage(body, &answer) : r;
}

static int calls_write(struct bytes *body, const struct record *record)
{
        int r;

        r = bytes_format(
                body, "{\"id\":\"%s\",\"state\":\"%s\",\"logs\":{", record->id, state_names[record->state]);
        if (r == 0)
                r = answer_write_transcript(body, &record->transcript, ANSWER_OUTPUT);
        if (r == 0)
                r = bytes_append_text(body, "}");
        if (r == 0 && record->state == RECORD_DONE)
                r = calls_write_answer(body, record);
        return r == 0 ? bytes_append_text(body, "}") : r;
}

static void calls_answer(struct exchange *exchange, int status, const struct record *record)
{
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        int r = calls_write(&body, record);

        if (r == 0)
                exchange_answer(exchange, status, body.data, body.length);
        else
                exchange_surprise(exchange, r);
}

void calls_accept(struct exchange *exchange, const struct record *record)
{
        char headers[192];

        snprintf(headers, sizeof headers, "Location: /calls/%s\r\nPreference-Applied: respond-async\r\n%s",
                record->id, exchange->headers ? exchange->headers : "");
        exchange->headers = headers;
        calls_answer(exchange, 202, record);
}

/* NULL: there is none, and the exchange is answered. */
static struct record *calls_find(struct exchange *exchange, const char *id)
{
        struct record *record = records_find(exchange->api->records, exchange->owner, id);

        if (!record)
                exchange_problem(exchange, PROBLEM_NOT_FOUND,
                        "No such call: it never was, was forgotten (CALLS_KEEP, CALLS_KEEP_SIZE), or is "
                        "another token's.");
        return record;
}

/* A browser's EventSource says so, and a HEAD wants no stream. */
static bool calls_wants_events(const struct exchange *exchange)
{
        const char *accept;

        if (strcmp(http_method(exchange->request), "HEAD") == 0)
                return false;
        for (size_t i = 0; (accept = http_header_nth(exchange->request, "Accept", i)); i++) {
                if (strcasestr(accept, "text/event-stream"))
                        return true;
        }
        return false;
}

static bool calls_parse_last_id(const char *text, uint64_t *ret_id)
{
        size_t length = strlen(text);

        if (length > 18 || strspn(text, "0123456789") != length)
                return false;
        *ret_id = strtoull(text, NULL, 10);
        return true;
}

static void calls_stream(struct exchange *exchange, struct record *record)
{
        const char *last = http_header(exchange->request, "Last-Event-ID");
        uint64_t skip = 0;

        if (last && !calls_parse_last_id(last, &skip))
                exchange_problem(exchange, PROBLEM_BAD_REQUEST,
                        "`Last-Event-ID` must be the number of a message of this stream.");
        else if (record_has_ended(record) && skip > transcript_lines(&record->transcript))
                exchange_answer(exchange, 204, NULL, 0); /* an EventSource that is told so comes no more */
        else
                events_open(exchange, record, skip, true);
}

void calls_get(struct exchange *exchange, const char *rest)
{
        struct record *record = calls_find(exchange, rest);

        if (!record)
                return;
        if (calls_wants_events(exchange))
                calls_stream(exchange, record);
        else
                calls_answer(exchange, 200, record);
}

void calls_delete(struct exchange *exchange, const char *rest)
{
        struct record *record = calls_find(exchange, rest);

        if (!record)
                return;
        record_delete(record);
        exchange_answer(exchange, 204, NULL, 0);
}
