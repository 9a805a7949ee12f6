#pragma once

/*
 * One HTTP request and its answer, with whatever was gathered in between. An exchange ends, and is freed, by
 * being answered; the two ways are exchange_answer() and exchange_problem() (and answer.c, which uses them).
 */

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/list.h"
#include "server/call.h"
#include "server/envelope.h"
#include "server/http.h"
#include "server/problem.h"

struct api;

struct exchange {
        struct list link; /* in api->exchanges */
        struct api *api;
        struct http_request *request;
        struct envelope envelope;
        struct script *script;
        struct limits limits; /* of the call: the version's, or what came with /run-now */
        struct call *call;    /* while one is open */
        uint64_t version;     /* /run: asked for; 0: the latest */
        struct call_times times;
};

enum { EXCHANGE_BODY_MAX = 0x7fffffff };

/* NULL: out of memory. */
struct exchange *exchange_new(struct api *api, struct http_request *request);
/* Without an answer: for the end of the server. */
void exchange_free(struct exchange *exchange);

/* Answers with JSON. headers: further lines as of struct http_answer, or NULL. */
void exchange_answer(
        struct exchange *exchange, int status, const char *body, size_t length, const char *headers);
void exchange_problem(struct exchange *exchange, enum problem problem, const char *format, ...)
        _printf_(3, 4);
/* The same with a document already written, and further header lines. */
void exchange_problem_body(
        struct exchange *exchange, enum problem problem, const struct bytes *body, const char *headers);
/* For a surprise: logs it, says 500. */
void exchange_surprise(struct exchange *exchange, int r);

/* Starts a call with the exchange's script and input; `ended` gets the exchange as its context. Answers by
 * itself when the queue is full. */
void exchange_call(struct exchange *exchange, enum guest_mode mode, call_ended *ended);
