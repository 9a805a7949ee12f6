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
#include "server/record.h"

struct api;
struct events;

struct exchange {
        struct list link; /* in api->exchanges */
        struct api *api;
        struct http_request *request;
        struct envelope envelope;
        struct script *script;
        struct limits limits;   /* of the run */
        unsigned owner;         /* whose token came with it, from 1; 0: there are no tokens */
        char client[64];        /* whose turn it takes: its token, where there are several, or its address */
        struct call *check;     /* of /upload, while it is open */
        struct record *record;  /* of the call that it waits for */
        struct watcher watcher; /* of record */
        struct events *events;  /* its answer, if that is an event stream */
        const char *headers;    /* further lines of its answer, or NULL */
        uint64_t version;       /* asked for; 0: the latest, or */
        const char *alias;      /* an alias, in the request */
        struct call_times times;
};

enum { EXCHANGE_BODY_MAX = 0x7fffffff };

/* NULL: out of memory. */
struct exchange *exchange_new(struct api *api, struct http_request *request);
/* Without an answer: for the end of the server. */
void exchange_free(struct exchange *exchange);

/* Answers with JSON. */
void exchange_answer(struct exchange *exchange, int status, const char *body, size_t length);
void exchange_problem(struct exchange *exchange, enum problem problem, const char *format, ...)
        _printf_(3, 4);
/* The same with a document already written. */
void exchange_problem_body(struct exchange *exchange, enum problem problem, const struct bytes *body);
/* For a surprise: logs it, says 500. */
void exchange_surprise(struct exchange *exchange, int r);

/* Asks to be told when the client leaves: then it stops waiting for its call, and ends. */
void exchange_watch_client(struct exchange *exchange);
/* Waits for this record; watcher's functions are set already. */
void exchange_watch_record(struct exchange *exchange, struct record *record);
/* Answers with what became of the record it waits for. */
void exchange_answer_record(struct exchange *exchange);
/* Header lines of its answer, with what is known by now. */
void exchange_headers(const struct exchange *exchange, unsigned retry_after_s, char *buffer, size_t size);
/* For a call that was not made: CALL_QUEUE_FULL or negative errno. */
void exchange_refuse_call(struct exchange *exchange, int r);
