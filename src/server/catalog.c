/*
 * Each request becomes one question to the store, and its answer JSON. What stands behind /functions/ is a
 * function's path, or, if it ends in /aliases/<name>, an alias of the function before.
 */

#include "server/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/settings.h"
#include "server/api.h"
#include "server/exchange.h"
#include "server/functions.h"
#include "server/json_scan.h"
#include "server/json_write.h"
#include "store/function_name.h"

enum { PAGE_DEFAULT = 100, NUMBER_DIGITS_MAX = 18 };

/* --- what is asked --- */

static bool parse_number(const char *text, uint64_t *ret_number)
{
        size_t length = strlen(text);

        if (length < 1 || length > NUMBER_DIGITS_MAX || strspn(text, "0123456789") != length)
                return false;
        *ret_number = strtoull(text, NULL, 10);
        return true;
}

bool catalog_read_which(struct exchange *exchange)
{
        const char *text = http_query(exchange->request, "version");

        if (!text)
                return true;
        if (parse_number(text, &exchange->version)) {
                if (exchange->version > 0)
                        return true;
                exchange_problem(exchange, PROBLEM_NOT_FOUND, "No such version.");
        } else if (function_alias_valid(text)) {
                exchange->alias = text;
                return true;
        } else {
                exchange_problem(exchange, PROBLEM_BAD_REQUEST,
                        "`version` must be a number or an alias; leave it out for the latest version.");
        }
        return false;
}

/* A parameter that is a number up to a maximum, and at least 1. */
static bool catalog_read_number(
        struct exchange *exchange, const char *name, uint64_t maximum, uint64_t *ret_number)
{
        const char *text = http_query(exchange->request, name);

        if (!text || (parse_number(text, ret_number) && *ret_number >= 1 && *ret_number <= maximum))
                return true;
        exchange_problem(exchange, PROBLEM_BAD_REQUEST, "`%s` must be a number from 1 to %llu.", name,
                (unsigned long long)maximum);
        return false;
}

static bool catalog_check_path(struct exchange *exchange, const char *path, size_t length)
{
        if (function_path_valid(path, length))
                return true;
        exchange_problem(
                exchange, PROBLEM_BAD_REQUEST, "What follows /functions/ is not a valid path of a function.");
        return false;
}

/* Cuts what ends in /aliases/<name>: `path` becomes the function that is before, *ret_name what is behind. */
static bool catalog_read_alias(
        struct exchange *exchange, const char *rest, char path[STORE_PATH_MAX + 1], const char **ret_name)
{
        size_t length = 0;
        const char *name = function_path_alias(rest, &length);

        if (!function_alias_valid(name)) {
                exchange_problem(exchange, PROBLEM_BAD_REQUEST,
                        "An alias is a letter, then letters, digits, `.`, `_` and `-`, at most %d bytes, and "
                        "not `latest`.",
                        STORE_ALIAS_MAX);
                return false;
        }
        if (!catalog_check_path(exchange, rest, length))
                return false;
        memcpy(path, rest, length);
        path[length] = 0;
        *ret_name = name;
        return true;
}

static void catalog_ask(
        struct exchange *exchange, const struct store_request *question, functions_answered *answered)
{
        int r = functions_ask(exchange->api->functions, question, answered, exchange);

        if (r < 0)
                exchange_surprise(exchange, r);
}

/* --- what is answered --- */

/* True: the answer was none, and the exchange is taken care of. */
static bool catalog_refuse(struct exchange *exchange, const struct store_request *answer)
{
        switch (answer->r) {
        case 0:
                return false;
        case STORE_NOT_FOUND:
                exchange_problem(exchange, PROBLEM_NOT_FOUND, "No such function, or version or alias of it.");
                break;
        case STORE_UNAVAILABLE:
                exchange_problem(exchange, PROBLEM_STORE_UNAVAILABLE, "The store does not answer.");
                break;
        case STORE_IN_USE:
                exchange_problem(exchange, PROBLEM_VERSION_IN_USE,
                        "The alias `%s` names this version; move or remove it first.", answer->reason);
                break;
        case STORE_FULL:
                exchange_problem(exchange, PROBLEM_ALIASES_FULL,
                        "The function has ALIASES_MAX = %u aliases already; remove one first.",
                        exchange->api->settings->aliases_max);
                break;
        case -EBADMSG:
                exchange_problem(exchange, PROBLEM_INTERNAL_ERROR,
                        "What is stored of this function is damaged; the server's log says what.");
                break;
        default:
                exchange_surprise(exchange, answer->r);
        }
        return true;
}

static void catalog_send(struct exchange *exchange, int r, const struct bytes *body)
{
        if (r == 0)
                exchange_answer(exchange, 200, body->data, body->length);
        else
                exchange_surprise(exchange, r);
}

static int write_member(struct bytes *body, const char *before, const char *text)
{
        int r = bytes_append_text(body, before);

        return r == 0 ? json_write_text(body, text) : r;
}

/* `,"size":…,"hash":…,"created_at":…`, the time as RFC 3339 has it. */
static int write_facts(struct bytes *body, uint64_t size, const char *hash, uint64_t created_ms)
{
        time_t seconds = (time_t)(created_ms / 1000);
        struct tm date = { 0 };
        char day[32] = "";
        int r;

        gmtime_r(&seconds, &date);
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &date);
        r = bytes_format(body, ",\"size\":%llu", (unsigned long long)size);
        if (r == 0)
                r = write_member(body, ",\"hash\":", *hash ? hash : NULL);
        return r == 0 ? bytes_format(body, ",\"created_at\":\"%s.%03uZ\"", day, (unsigned)(created_ms % 1000))
                      : r;
}

/* As they are stored, which is spliced only if it is JSON. */
static int write_limits(struct bytes *body, const char *limits)
{
        int r;

        if (!limits)
                return 0;
        if (json_check(limits, strlen(limits), NULL, NULL) != 0)
                return -EBADMSG;
        r = bytes_append_text(body, ",\"limits\":");
        return r == 0 ? bytes_append_text(body, limits) : r;
}

static int write_function(struct bytes *body, const struct store_summary *function)
{
        int r = write_member(body, "{\"path\":", function->path);

        if (r == 0)
                r = write_member(body, ",\"language\":", function->language);
        if (r == 0)
                r = bytes_format(body, ",\"latest\":%llu,\"versions\":%llu",
                        (unsigned long long)function->version, (unsigned long long)function->n_versions);
        if (r == 0)
                r = write_facts(body, function->size, function->hash, function->created_ms);
        return r == 0 ? bytes_append_text(body, "}") : r;
}

static void catalog_listed(struct store_request *answer, void *context)
{
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        struct exchange *exchange = context;
        bool has_more = answer->has_more && answer->n_summaries > 0;
        int r;

        if (catalog_refuse(exchange, answer))
                return;
        r = bytes_append_text(&body, "{\"functions\":[");
        for (size_t i = 0; i < answer->n_summaries && r == 0; i++) {
                if (i > 0)
                        r = bytes_append_text(&body, ",");
                if (r == 0)
                        r = write_function(&body, &answer->summaries[i]);
        }
        if (r == 0)
                r = write_member(&body,
                        "],\"next\":", has_more ? answer->summaries[answer->n_summaries - 1].path : NULL);
        if (r == 0)
                r = bytes_append_text(&body, "}");
        catalog_send(exchange, r, &body);
}

void catalog_list(struct exchange *exchange, const char *rest)
{
        const char *prefix = http_query(exchange->request, "prefix");
        const char *after = http_query(exchange->request, "after");
        uint64_t limit = PAGE_DEFAULT;
        struct store_request question = {
                .operation = STORE_LIST, .path = prefix ? prefix : "", .after = after
        };

        (void)rest;
        if (!catalog_read_number(exchange, "limit", STORE_PAGE_MAX, &limit))
                return;
        question.limit = (uint32_t)limit;
        if (strlen(question.path) > STORE_PATH_MAX || (after && strlen(after) > STORE_PATH_MAX))
                exchange_problem(exchange, PROBLEM_BAD_REQUEST,
                        "`prefix` and `after` are at most %d bytes long, as paths are.", STORE_PATH_MAX);
        else
                catalog_ask(exchange, &question, catalog_listed);
}

static int write_aliases(struct bytes *body, const struct store_request *answer)
{
        int r = bytes_append_text(body, ",\"aliases\":{");

        for (size_t i = 0; i < answer->n_aliases && r == 0; i++) {
                r = write_member(body, i ? "," : "", answer->aliases[i].name);
                if (r == 0)
                        r = bytes_format(body, ":%llu", (unsigned long long)answer->aliases[i].version);
        }
        return r == 0 ? bytes_append_text(body, "}") : r;
}

static int write_versions(struct bytes *body, const struct store_request *answer)
{
        int r = bytes_append_text(body, ",\"versions\":[");

        for (size_t i = 0; i < answer->n_summaries && r == 0; i++) {
                const struct store_summary *version = &answer->summaries[i];

                r = bytes_format(
                        body, "%s{\"version\":%llu", i ? "," : "", (unsigned long long)version->version);
                if (r == 0)
                        r = write_member(body, ",\"language\":", version->language);
                if (r == 0)
                        r = write_facts(body, version->size, version->hash, version->created_ms);
                if (r == 0)
                        r = write_limits(body, version->limits);
                if (r == 0)
                        r = bytes_append_text(body, "}");
        }
        return r == 0 ? bytes_append_text(body, "]") : r;
}

static void catalog_described(struct store_request *answer, void *context)
{
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        struct exchange *exchange = context;
        int r;

        if (catalog_refuse(exchange, answer))
                return;
        r = write_member(&body, "{\"path\":", answer->path);
        if (r == 0)
                r = write_member(&body, ",\"language\":", answer->language);
        if (r == 0)
                r = bytes_format(&body, ",\"latest\":%llu", (unsigned long long)answer->latest);
        if (r == 0)
                r = write_aliases(&body, answer);
        if (r == 0)
                r = write_versions(&body, answer);
        if (r == 0 && answer->has_more && answer->n_summaries > 0)
                r = bytes_format(&body, ",\"next\":%llu}",
                        (unsigned long long)answer->summaries[answer->n_summaries - 1].version);
        else if (r == 0)
                r = bytes_append_text(&body, ",\"next\":null}");
        catalog_send(exchange, r, &body);
}

static void catalog_describe(struct exchange *exchange, const char *path)
{
        struct store_request question = { .operation = STORE_DESCRIBE, .path = path };
        uint64_t limit = PAGE_DEFAULT;

        if (!catalog_read_number(exchange, "limit", STORE_PAGE_MAX, &limit) ||
                !catalog_read_number(exchange, "before", INT64_MAX, &question.before))
                return;
        question.limit = (uint32_t)limit;
        catalog_ask(exchange, &question, catalog_described);
}

static void catalog_shown(struct store_request *answer, void *context)
{
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        const struct store_version *found = &answer->found;
        struct exchange *exchange = context;
        int r;

        if (catalog_refuse(exchange, answer))
                return;
        r = write_member(&body, "{\"path\":", found->path);
        if (r == 0)
                r = bytes_format(&body, ",\"version\":%llu,\"latest\":%llu",
                        (unsigned long long)found->version, (unsigned long long)answer->latest);
        if (r == 0)
                r = write_member(&body, ",\"language\":", found->language);
        if (r == 0)
                r = write_facts(&body, found->code.length, found->hash, found->created_ms);
        if (r == 0)
                r = write_limits(&body, found->limits.data);
        if (r == 0)
                r = bytes_append_text(&body, ",\"code\":");
        if (r == 0)
                r = json_write_string(&body, found->code.data, found->code.length);
        if (r == 0)
                r = bytes_append_text(&body, "}");
        catalog_send(exchange, r, &body);
}

static void catalog_show(struct exchange *exchange, const char *path)
{
        if (catalog_read_which(exchange))
                catalog_ask(exchange,
                        &(struct store_request){ .operation = STORE_GET,
                                .path = path,
                                .alias = exchange->alias,
                                .version = exchange->version },
                        catalog_shown);
}

/* --- aliases --- */

static void catalog_answer_alias(
        struct exchange *exchange, const struct store_request *answer, uint64_t version)
{
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        int r;

        if (catalog_refuse(exchange, answer))
                return;
        r = write_member(&body, "{\"path\":", answer->path);
        if (r == 0)
                r = write_member(&body, ",\"alias\":", answer->alias);
        if (r == 0)
                r = bytes_format(&body, ",\"version\":%llu}", (unsigned long long)version);
        catalog_send(exchange, r, &body);
}

static void catalog_alias_set(struct store_request *answer, void *context)
{
        catalog_answer_alias(context, answer, answer->version);
}

static void catalog_alias_found(struct store_request *answer, void *context)
{
        catalog_answer_alias(context, answer, answer->found.version);
}

static void catalog_removed(struct store_request *answer, void *context)
{
        if (!catalog_refuse(context, answer))
                exchange_answer(context, 204, NULL, 0);
}

/* Asks something of the alias that the path ends in. */
static void catalog_ask_alias(struct exchange *exchange, const char *rest, enum store_operation operation,
        functions_answered *answered)
{
        struct store_request question = { .operation = operation,
                .limit = exchange->api->settings->aliases_max };
        char path[STORE_PATH_MAX + 1];

        if (!catalog_read_alias(exchange, rest, path, &question.alias))
                return;
        if (operation == STORE_SET_ALIAS) {
                if (!api_read_envelope(exchange, ENVELOPE_ALIAS))
                        return;
                question.version = exchange->envelope.version;
        }
        question.path = path;
        catalog_ask(exchange, &question, answered);
}

/* --- routes --- */

void catalog_get(struct exchange *exchange, const char *rest)
{
        if (function_path_alias(rest, NULL))
                catalog_ask_alias(exchange, rest, STORE_GET, catalog_alias_found);
        else if (!catalog_check_path(exchange, rest, strlen(rest)))
                return;
        else if (http_query(exchange->request, "version"))
                catalog_show(exchange, rest);
        else
                catalog_describe(exchange, rest);
}

static void catalog_refuse_put(struct exchange *exchange)
{
        exchange->headers = "Allow: GET, HEAD, DELETE\r\n";
        exchange_problem(exchange, PROBLEM_METHOD_NOT_ALLOWED,
                "Only aliases are put, at /functions/{path}/aliases/{name}; functions are posted to "
                "/upload.");
}

void catalog_put(struct exchange *exchange, const char *rest)
{
        if (function_path_alias(rest, NULL))
                catalog_ask_alias(exchange, rest, STORE_SET_ALIAS, catalog_alias_set);
        else
                catalog_refuse_put(exchange);
}

void catalog_delete(struct exchange *exchange, const char *rest)
{
        const char *version = http_query(exchange->request, "version");
        struct store_request question = { .operation = STORE_REMOVE, .path = rest };

        if (function_path_alias(rest, NULL))
                catalog_ask_alias(exchange, rest, STORE_REMOVE_ALIAS, catalog_removed);
        else if (!catalog_check_path(exchange, rest, strlen(rest)))
                return;
        else if (version && !parse_number(version, &question.version))
                exchange_problem(exchange, PROBLEM_BAD_REQUEST,
                        "`version` must be a number: which one is removed must not depend on an alias.");
        else if (version && question.version == 0)
                exchange_problem(exchange, PROBLEM_NOT_FOUND, "No such version.");
        else
                catalog_ask(exchange, &question, catalog_removed);
}
