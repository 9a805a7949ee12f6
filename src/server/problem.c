#include "server/problem.h"

#include "server/json_write.h"

static const struct problem_row {
        int status;
        unsigned retry_after_s; /* 0: no such field */
        const char *code;
        const char *title;
} rows[PROBLEM_COUNT] = {
        [PROBLEM_BAD_REQUEST] = { 400, 0, "bad_request", "Bad request" },
        [PROBLEM_UNAUTHORIZED] = { 401, 0, "unauthorized", "Token missing or wrong" },
        [PROBLEM_NOT_FOUND] = { 404, 0, "not_found", "Not found" },
        [PROBLEM_METHOD_NOT_ALLOWED] = { 405, 0, "method_not_allowed", "Method not allowed" },
        [PROBLEM_TOO_LARGE] = { 413, 0, "too_large", "Too large" },
        [PROBLEM_SYNTAX_ERROR] = { 422, 0, "syntax_error", "The script does not parse" },
        [PROBLEM_QUEUE_FULL] = { 429, 1, "queue_full", "Too many calls are waiting" },
        [PROBLEM_SCRIPT_ERROR] = { 500, 0, "script_error", "The script failed" },
        [PROBLEM_MEMORY_LIMIT] = { 500, 0, "memory_limit", "The script used too much memory" },
        [PROBLEM_OUTPUT_LIMIT] = { 500, 0, "output_limit", "The script wrote too much" },
        [PROBLEM_PROCESS_LIMIT] = { 500, 0, "process_limit", "The script started too many processes" },
        [PROBLEM_TMP_LIMIT] = { 500, 0, "tmp_limit", "The script filled /tmp" },
        [PROBLEM_OPEN_FILES_LIMIT] = { 500, 0, "open_files_limit", "The script opened too many files" },
        [PROBLEM_INTERNAL_ERROR] = { 500, 0, "internal_error", "The server failed" },
        [PROBLEM_CELL_LOST] = { 502, 0, "cell_lost", "The cell was lost" },
        [PROBLEM_STORE_UNAVAILABLE] = { 503, 2, "store_unavailable", "The store is unavailable" },
        [PROBLEM_UNAVAILABLE] = { 503, 1, "unavailable", "The server takes no more requests" },
        [PROBLEM_TIMEOUT] = { 504, 0, "timeout", "The script took too long" },
        [PROBLEM_CANCELLED] = { 409, 0, "cancelled", "The call was cancelled" },
        [PROBLEM_IDEMPOTENCY] = { 422, 0, "idempotency_mismatch", "The Idempotency-Key is taken" },
        [PROBLEM_VERSION_IN_USE] = { 409, 0, "version_in_use", "An alias names this version" },
        [PROBLEM_ALIASES_FULL] = { 409, 0, "aliases_full", "The function has too many aliases" },
        [PROBLEM_REQUEST_TIMEOUT] = { 408, 0, "request_timeout", "The request took too long to arrive" },
        [PROBLEM_URI_TOO_LONG] = { 414, 0, "uri_too_long", "The request line is too long" },
        [PROBLEM_EXPECTATION_FAILED] = { 417, 0, "expectation_failed", "Expectation failed" },
        [PROBLEM_HEADER_TOO_LARGE] = { 431, 0, "header_too_large", "The header is too large" },
        [PROBLEM_NOT_IMPLEMENTED] = { 501, 0, "not_implemented", "Not implemented" },
        [PROBLEM_HTTP_VERSION] = { 505, 0, "http_version_not_supported", "HTTP version not supported" },
};

int problem_status(enum problem problem)
{
        return rows[problem].status;
}

const char *problem_code(enum problem problem)
{
        return rows[problem].code;
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
