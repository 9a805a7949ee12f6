#include "server/exchange.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "server/answer.h"
#include "server/api.h"
#include "server/events.h"

struct exchange *exchange_new(struct api *api, struct http_request *request)
{
        struct exchange *exchange = calloc(1, sizeof *exchange);

        if (!exchange)
                return NULL;
        exchange->api = api;
        exchange->request = request;
        list_append(&api->exchanges, &exchange->link);
        return exchange;
}

void exchange_free(struct exchange *exchange)
{
        list_remove(&exchange->link);
        if (exchange->record)
                record_leave(exchange->record, &exchange->watcher);
        events_free(exchange->events);
        envelope_deinit(&exchange->envelope);
        script_unref(exchange->script);
        free(exchange);
}

void exchange_headers(const struct exchange *exchange, unsigned retry_after_s, char *buffer, size_t size)
{
        const struct call_times *times = &exchange->times;
        uint64_t total_us = clock_us() - http_received_us(exchange->request);
        char timing[128] = "", retry[48] = "";

        if (times->queue_us || times->start_us || times->run_us)
                snprintf(timing, sizeof timing, "queue;dur=%.3f, start;dur=%.3f, run;dur=%.3f, ",
                        (double)times->queue_us / 1000, (double)times->start_us / 1000,
                        (double)times->run_us / 1000);
        if (retry_after_s)
                snprintf(retry, sizeof retry, "Retry-After: %u\r\n", retry_after_s);
        snprintf(buffer, size, "Server-Timing: %stotal;dur=%.3f\r\n%s%s", timing, (double)total_us / 1000,
                retry, exchange->headers ? exchange->headers : "");
}

static unsigned exchange_retry_after_s(const struct exchange *exchange, enum problem problem)
{
        return problem == PROBLEM_QUEUE_FULL ? calls_retry_after_s(exchange->api->calls)
                                             : problem_retry_after_s(problem);
}

static void exchange_reply(struct exchange *exchange, int status, const char *type, const char *body,
        size_t length, unsigned retry_after_s)
{
        char lines[512];
        struct http_answer answer = {
                .status = status,
                .content_type = type,
                .body = body,
                .body_length = length,
                .extra_headers = lines,
        };

        exchange_headers(exchange, retry_after_s, lines, sizeof lines);
        http_reply(exchange->request, &answer);
        exchange_free(exchange);
}

void exchange_answer(struct exchange *exchange, int status, const char *body, size_t length)
{
        exchange_reply(exchange, status, status == 204 ? NULL : "application/json", body, length, 0);
}

void exchange_problem_body(struct exchange *exchange, enum problem problem, const struct bytes *body)
{
        exchange_reply(exchange, problem_status(problem), "application/problem+json", body->data,
                body->length, exchange_retry_after_s(exchange, problem));
}

void exchange_problem(struct exchange *exchange, enum problem problem, const char *format, ...)
{
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        char detail[1024];
        va_list args;
        int r;

        va_start(args, format);
        vsnprintf(detail, sizeof detail, format, args);
        va_end(args);
        r = problem_write(&body, problem, detail, http_id(exchange->request));
        if (r == 0)
                exchange_problem_body(exchange, problem, &body);
        else
                exchange_surprise(exchange, r);
}

/* Needs no memory of its own: a lack of it is the likeliest surprise. */
void exchange_surprise(struct exchange *exchange, int r)
{
        char body[512];
        int n;

        log_error("http.surprise", "request=%s error=\"%s\"", http_id(exchange->request),
                r < 0 ? strerror(-r) : "a limit was passed");
        n = snprintf(body, sizeof body,
                "{\"type\":\"urn:mayfly:problem:internal_error\",\"title\":\"The server failed\","
                "\"status\":500,\"code\":\"internal_error\",\"detail\":\"The server failed; its log says "
                "how.\",\"request_id\":\"%s\"}",
                http_id(exchange->request));
        exchange_reply(exchange, 500, "application/problem+json", body, (size_t)n, 0);
}

/* The client has left. A store job that is under way ends by itself, and its end frees the exchange. */
static void exchange_on_gone(struct http_request *request, void *context)
{
        struct exchange *exchange = context;

        (void)request;
        if (exchange->events) {
                events_end(exchange);
                return;
        }
        if (exchange->check)
                call_cancel(steal(&exchange->check));
        else if (!exchange->record)
                return;
        exchange_answer(exchange, 500, "", 0);
}

void exchange_watch_client(struct exchange *exchange)
{
        http_on_gone(exchange->request, exchange_on_gone, exchange);
}

void exchange_watch_record(struct exchange *exchange, struct record *record)
{
        exchange->record = record;
        record_watch(record, &exchange->watcher);
        exchange_watch_client(exchange);
}

void exchange_answer_record(struct exchange *exchange)
{
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        const struct answer answer = record_answer(exchange->record);
        enum problem problem = answer_problem(&answer);
        int r = answer_write(&body, &answer, answer_parts(&answer, exchange->envelope.detail));

        exchange->times = answer.end->times;
        if (r != 0)
                exchange_surprise(exchange, r);
        else if (problem == PROBLEM_COUNT)
                exchange_answer(exchange, 200, body.data, body.length);
        else
                exchange_problem_body(exchange, problem, &body);
}

void exchange_refuse_call(struct exchange *exchange, int r)
{
        if (r == CALL_QUEUE_FULL)
                exchange_problem(exchange, PROBLEM_QUEUE_FULL,
                        "MAX_CONTAINERS calls run, and QUEUE_MAX of them or QUEUE_MAX_SIZE bytes wait; try "
                        "again when "
                        "Retry-After says.");
        else
                exchange_surprise(exchange, r);
}
