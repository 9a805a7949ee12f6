#pragma once

/* The HTTP API: which route leads where, and who may use it. */

#include <stdbool.h>

#include "base/list.h"
#include "server/envelope.h"
#include "server/http.h"

struct calls;
struct cells;
struct event_base;
struct exchange;
struct functions;
struct import_sets;
struct languages;
struct recompiler;
struct records;
struct settings;

struct api {
        struct event_base *base;
        const struct settings *settings;
        const struct languages *languages;
        struct functions *functions;
        struct calls *calls;
        struct records *records;
        struct recompiler *recompiler;
        struct cells *cells;
        struct import_sets *sets;
        struct list exchanges; /* not answered yet */
        bool draining;
};

void api_init(struct api *api);
/* Forgets the exchanges that are left, unanswered. */
void api_deinit(struct api *api);

/* For http_server_new(), with the api as its context. */
extern const struct http_hooks api_hooks;

/* No further request is worked on: 503. */
void api_drain(struct api *api);
bool api_idle(const struct api *api);

/* Reads the request's body into exchange->envelope; false: it was no good, and the exchange is answered. */
bool api_read_envelope(struct exchange *exchange, enum envelope_kind kind);
