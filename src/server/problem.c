#include "server/problem.h"

#include "server/json_write.h"

static const struct problem_row {
        int status;
        const char *code;
        const char *title;
        unsigned retry_after_s;
} rows[PROBLEM_COUNT] = {
        [PROBLEM_BAD_REQUEST] = { 400, "bad_request", "Bad request", 0 },
        [PROBLEM_UNAUTHORIZED] = { 401, "unauthorized", "Token missing or wrong", 0 },
        [PROBLEM_NOT_FOUND] = { 404, "not_found", "Not found", 0 },
        [PROBLEM_METHOD_NOT_ALLOWED] = { 405, "method_not_allowed", "Method not allowed", 0 },
        [PROBLEM_TOO_LARGE] = { 413, "too_large", "Too large", 0 },
        [PROBLEM_SYNTAX_ERROR] = { 422, "syntax_error", "The script does not parse", 0 },
        [PROBLEM_QUEUE_FULL] = { 429, "queue_full", "Too many calls are waiting", 1 },
        [PROBLEM_SCRIPT_ERROR] = { 500, "script_error", "The script failed", 0 },
        [PROBLEM_MEMORY_LIMIT] = { 500, "memory_limit", "The script used too much memory", 0 },
        [PROBLEM_OUTPUT_LIMIT] = { 500, "output_limit", "The script wrote too much", 0 },
        [PROBLEM_PROCESS_LIMIT] = { 500, "process_limit", "The script started too many processes", 0 },
        [PROBLEM_INTERNAL_ERROR] = { 500, "internal_error", "The server failed", 0 },
        [PROBLEM_CELL_LOST] = { 502, "cell_lost", "The cell was lost", 0 },
        [PROBLEM_STORE_UNAVAILABLE] = { 503, "store_unavailable", "The store is unavailable", 2 },
        [PROBLEM_UNAVAILABLE] = { 503, "unavailable", "The server takes no more requests", 1 },
        [PROBLEM_TIMEOUT] = { 504, "timeout", "The script took too long", 0 },
        [PROBLEM_REQUEST_TIMEOUT] = { 408, "request_timeout", "The request took too long to arrive", 0 },
        [PROBLEM_URI_TOO_LONG] = { 414, "uri_too_long", "The request line is too long", 0 },
        [PROBLEM_EXPECTATION_FAILED] = { 417, "expectation_failed", "Expectation failed", 0 },
        [PROBLEM_HEADER_TOO_LARGE] = { 431, "header_too_large", "The header is too large", 0 },
        [PROBLEM_NOT_IMPLEMENTED] = { 501, "not_implemented", "Not implemented", 0 },
        [PROBLEM_HTTP_VERSION] = { 505, "http_version_not_supported", "HTTP version not supported", 0 },
};

int problem_status(enum problem problem)
{
        return rows[problem].status;
}

unsigned problem_retry_after_s(enum problem problem)
{
        return rows[problem].retry_after_s;
}

enum problem problem_of_status(int status)
{
        if (status == 503)
                return PROBLEM_UNAVAILABLE; /* without a request, the store was not asked */
        for (size_t i = 0; i < PROBLEM_COUNT; i++) {
                if (rows[i].status == status)
                        return (enum problem)i;
        }
        return PROBLEM_BAD_REQUEST;
}

int problem_open(struct bytes *body, enum problem problem, const char *detail_json, size_t detail_length,
        const char *request_id)
{
        const struct problem_row *row = &rows[problem];
        int r;

        r = bytes_format(body,
                "{\"type\":\"urn:mayfly:problem:%s\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\","
                "\"detail\":",
                row->code, row->title, row->status, row->code);
        if (r == 0)
                r = bytes_append(body, detail_json, detail_length);
        if (r == 0)
                r = bytes_append_text(body, ",\"request_id\":");
        return r == 0 ? json_write_text(body, request_id) : r;
}

int problem_write(struct bytes *body, enum problem problem, const char *detail, const char *request_id)
{
        _cleanup_(bytes_deinit) struct bytes text = { .limit = body->limit };
        int r;

        r = json_write_text(&text, detail);
        if (r == 0)
                r = problem_open(body, problem, text.data, text.length, request_id);
        return r == 0 ? bytes_append_text(body, "}") : r;
}
