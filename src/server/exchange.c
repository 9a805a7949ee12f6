#include "server/exchange.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "server/api.h"

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
        envelope_deinit(&exchange->envelope);
        script_unref(exchange->script);
        free(exchange);
}

/* Retry-After is the problem's; Server-Timing tells what is known so far. */
static void exchange_headers(const struct exchange *exchange, unsigned retry_after_s, const char *headers,
        char *buffer, size_t size)
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
                retry, headers ? headers : "");
}

static void exchange_reply(struct exchange *exchange, int status, const char *type, const char *body,
        size_t length, unsigned retry_after_s, const char *headers)
{
        char lines[512];
        struct http_answer answer = {
                .status = status,
                .content_type = type,
                .body = body,
                .body_length = length,
                .extra_headers = lines,
        };

        exchange_headers(exchange, retry_after_s, headers, lines, sizeof lines);
        http_reply(exchange->request, &answer);
        exchange_free(exchange);
}

void exchange_answer(
        struct exchange *exchange, int status, const char *body, size_t length, const char *headers)
{
        exchange_reply(exchange, status, "application/json", body, length, 0, headers);
}

void exchange_problem_body(
        struct exchange *exchange, enum problem problem, const struct bytes *body, const char *headers)
{
        exchange_reply(exchange, problem_status(problem), "application/problem+json", body->data,
                body->length, problem_retry_after_s(problem), headers);
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
                exchange_problem_body(exchange, problem, &body, NULL);
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
        exchange_reply(exchange, 500, "application/problem+json", body, (size_t)n, 0, NULL);
}

/* The client has left: nobody waits for the call. A store job that is under way ends by itself, and its end
 * frees the exchange. */
static void exchange_on_gone(struct http_request *request, void *context)
{
        struct exchange *exchange = context;

        (void)request;
        if (!exchange->call)
                return;
        call_cancel(steal(&exchange->call));
        exchange_answer(exchange, 500, "", 0, NULL);
}

void exchange_call(struct exchange *exchange, enum guest_mode mode, call_ended *ended)
{
        struct call_task task = {
                .id = http_id(exchange->request),
                .mode = mode,
                .script = exchange->script,
                .input = exchange->envelope.input,
                .input_length = exchange->envelope.input_length,
                .limits = exchange->limits,
        };
        int r;

        r = call_new(exchange->api->calls, &task, ended, exchange, &exchange->call);
        if (r == CALL_QUEUE_FULL)
                exchange_problem(exchange, PROBLEM_QUEUE_FULL,
                        "MAX_CONTAINERS calls run and QUEUE_MAX wait; try again in a moment.");
        else if (r < 0)
                exchange_surprise(exchange, r);
        else
                http_on_gone(exchange->request, exchange_on_gone, exchange);
}
