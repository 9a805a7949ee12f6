#include "server/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/settings.h"
#include "server/calls.h"
#include "server/catalog.h"
#include "server/exchange.h"
#include "server/functions.h"
#include "server/language.h"
#include "server/run.h"
#include "server/status.h"
#include "server/upload.h"

/* A path that ends in `/` stands for all that begin with it; `rest` is what follows. A path with two methods
 * has two rows. */
static const struct route {
        const char *method;
        const char *path;
        bool open; /* needs no token */
        void (*start)(struct exchange *exchange, const char *rest);
} routes[] = {
        { "POST", "/upload", false, upload_start },
        { "POST", "/run/", false, run_stored },
        { "POST", "/run-now", false, run_now },
        { "GET", "/functions", false, catalog_list },
        { "GET", "/functions/", false, catalog_get },
        { "PUT", "/functions/", false, catalog_put },
        { "DELETE", "/functions/", false, catalog_delete },
        { "GET", "/calls/", false, calls_get },
        { "DELETE", "/calls/", false, calls_delete },
        { "GET", "/templates", false, status_templates },
        { "GET", "/healthz", true, status_health },
        { "GET", "/readyz", true, status_ready },
};

/* What follows the route's path; NULL: it is not this route's. */
static const char *route_match(const struct route *route, const char *path)
{
        size_t length = strlen(route->path);

        if (strncmp(path, route->path, length) != 0)
                return NULL;
        return route->path[length - 1] == '/' || path[length] == 0 ? path + length : NULL;
}

static bool route_takes(const struct route *route, const char *method)
{
        if (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0)
                return true;
        return strcmp(route->method, method) == 0;
}

/* Takes as long for a wrong token as for a right one of the same length. */
static bool token_equal(const char *given, size_t given_length, const char *token, size_t length)
{
        volatile unsigned char difference = given_length != length;

        for (size_t i = 0; i < length && given_length > 0; i++)
                difference |= (unsigned char)(given[i % given_length] ^ token[i]);
        return difference == 0 && length > 0;
}

/* Which one it is, from 1; 0: none. Compares with every token, so the time tells nothing of which one was
 * near. */
static unsigned api_find_token(const char *tokens, const char *given)
{
        size_t given_length = strlen(given);
        unsigned found = 0, n = 0;

        for (const char *token = tokens; *token;) {
                size_t length = strcspn(token, ",");

                n++;
                if (token_equal(given, given_length, token, length))
                        found = n;
                token += length;
                token += *token == ',';
        }
        return found;
}

/* Who asks: the token, and whose turn among the clients it takes. False: it needs a token, and has none. */
static bool api_identify(struct exchange *exchange)
{
        static const char scheme[] = "Bearer ";
        const char *tokens = exchange->api->settings->auth_token;
        const char *given = http_header(exchange->request, "Authorization");

        snprintf(exchange->client, sizeof exchange->client, "%s", http_peer(exchange->request));
        if (!tokens)
                return true;
        if (!given || strncasecmp(given, scheme, sizeof scheme - 1) != 0)
                return false;
        given += sizeof scheme - 1;
        exchange->owner = api_find_token(tokens, given + strspn(given, " "));
        if (strchr(tokens, ','))
                snprintf(exchange->client, sizeof exchange->client, "token %u", exchange->owner);
        return exchange->owner > 0;
}

/* The Allow line for a path that some route has, under whatever method; "" if there is none. */
static void route_allow(const char *path, char *buffer, size_t size)
{
        size_t length = 0;

        buffer[0] = 0;
        for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
                const char *head = strcmp(routes[i].method, "GET") == 0 ? ", HEAD" : "";

                if (route_match(&routes[i], path))
                        length += (size_t)snprintf(buffer + length, size - length, "%s%s%s",
                                length ? ", " : "Allow: ", routes[i].method, head);
        }
        if (length)
                snprintf(buffer + length, size - length, "\r\n");
}

static void api_refuse_route(struct exchange *exchange, const char *path)
{
        char allow[128];

        route_allow(path, allow, sizeof allow);
        exchange->headers = allow;
        if (allow[0])
                exchange_problem(
                        exchange, PROBLEM_METHOD_NOT_ALLOWED, "This route takes another method; see Allow.");
        else
                exchange_problem(exchange, PROBLEM_NOT_FOUND, "No such route.");
}

static void api_refuse_token(struct exchange *exchange)
{
        exchange->headers = "WWW-Authenticate: Bearer\r\n";
        exchange_problem(
                exchange, PROBLEM_UNAUTHORIZED, "Send `Authorization: Bearer` with a token of AUTH_TOKEN.");
}

static void api_dispatch(struct exchange *exchange)
{
        struct http_request *request = exchange->request;
        const struct route *route = NULL;
        const char *rest = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(routes) && !route; i++) {
                rest = route_match(&routes[i], http_path(request));
                if (rest && route_takes(&routes[i], http_method(request)))
                        route = &routes[i];
        }
        if (!api_identify(exchange) && !(route && route->open))
                api_refuse_token(exchange);
        else if (!route)
                api_refuse_route(exchange, http_path(request));
        else if (exchange->api->draining && !route->open)
                exchange_problem(exchange, PROBLEM_UNAVAILABLE, "The server is shutting down.");
        else
                route->start(exchange, rest);
}

static void api_on_request(struct http_request *request, void *context)
{
        struct exchange *exchange = exchange_new(context, request);

        if (exchange)
                api_dispatch(exchange);
        else
                http_reply(request, &(struct http_answer){ .status = 500 });
}

/* http.c copies the body before the next refusal. */
static void api_on_refusal(
        int status, const char *detail, const char *id, struct http_answer *answer, void *context)
{
        static struct bytes body = { .limit = 4096 };
        enum problem problem = problem_of_status(status);

        (void)context;
        bytes_deinit(&body);
        if (problem_write(&body, problem, detail, id) != 0)
                return;
        answer->content_type = "application/problem+json";
        answer->body = body.data;
        answer->body_length = body.length;
        answer->extra_headers = problem_retry_after_s(problem)
                                        ? "Server-Timing: refused\r\nRetry-After: 1\r\n"
                                        : "Server-Timing: refused\r\n";
}

const struct http_hooks api_hooks = { .on_request = api_on_request, .on_refusal = api_on_refusal };

bool api_read_envelope(struct exchange *exchange, enum envelope_kind kind)
{
        const struct envelope_rules rules = {
                .languages = exchange->api->languages,
                .settings = exchange->api->settings,
        };
        char fault[512];
        size_t length;
        const char *body = http_body(exchange->request, &length);
        int r = envelope_read(body, length, kind, &rules, &exchange->envelope, fault, sizeof fault);

        if (r == 0)
                return true;
        if (r < 0)
                exchange_surprise(exchange, r);
        else
                exchange_problem(
                        exchange, r == ENVELOPE_LARGE ? PROBLEM_TOO_LARGE : PROBLEM_BAD_REQUEST, "%s", fault);
        return false;
}

void api_init(struct api *api)
{
        list_init(&api->exchanges);
}

void api_deinit(struct api *api)
{
        list_foreach(link, &api->exchanges) {
                exchange_free(container_of(link, struct exchange, link));
        }
}

void api_drain(struct api *api)
{
        api->draining = true;
}

bool api_idle(const struct api *api)
{
        return list_empty(&api->exchanges);
}
