#pragma once

/* What may go wrong for a client: RFC 9457 documents, one row each in problem.c. */

#include <stddef.h>

#include "base/bytes.h"

enum problem {
        PROBLEM_BAD_REQUEST,
        PROBLEM_UNAUTHORIZED,
        PROBLEM_NOT_FOUND,
        PROBLEM_METHOD_NOT_ALLOWED,
        PROBLEM_TOO_LARGE,
        PROBLEM_SYNTAX_ERROR,
        PROBLEM_QUEUE_FULL,
        PROBLEM_SCRIPT_ERROR,
        PROBLEM_MEMORY_LIMIT,
        PROBLEM_OUTPUT_LIMIT,
        PROBLEM_PROCESS_LIMIT,
        PROBLEM_TMP_LIMIT,
        PROBLEM_OPEN_FILES_LIMIT,
        PROBLEM_INTERNAL_ERROR,
        PROBLEM_CELL_LOST,
        PROBLEM_STORE_UNAVAILABLE,
        PROBLEM_UNAVAILABLE,
        PROBLEM_TIMEOUT,
        PROBLEM_CANCELLED,
        PROBLEM_IDEMPOTENCY,
        PROBLEM_VERSION_IN_USE,
        PROBLEM_ALIASES_FULL,
        /* said by http.c before there is a request */
        PROBLEM_REQUEST_TIMEOUT,
        PROBLEM_URI_TOO_LONG,
        PROBLEM_EXPECTATION_FAILED,
        PROBLEM_HEADER_TOO_LARGE,
        PROBLEM_NOT_IMPLEMENTED,
        PROBLEM_HTTP_VERSION,
        PROBLEM_COUNT,
};

int problem_status(enum problem problem);
/* Its `code`. */
const char *problem_code(enum problem problem);
/* Seconds for Retry-After; 0: none. */
unsigned problem_retry_after_s(enum problem problem);
/* The row that http.c's status belongs to; PROBLEM_BAD_REQUEST for one that it should not say. */
enum problem problem_of_status(int status);

/* Writes the object up to, not including, its closing brace, so that members can follow. `detail` is a JSON
 * string, quotes included. Results as of bytes_append(). */
int problem_open(struct bytes *body, enum problem problem, const char *detail_json, size_t detail_length,
        const char *request_id);
/* The whole document, `detail` being plain text. */
int problem_write(struct bytes *body, enum problem problem, const char *detail, const char *request_id);
