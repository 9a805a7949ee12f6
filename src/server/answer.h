#pragma once

/* How the end of a call becomes an answer: what it returned as `data` and `type`, or which problem it was. */

#include <stdbool.h>

#include "server/call.h"

struct exchange;

/* The script ran to its end and has something to say; otherwise the ending is a problem. */
bool answer_is_data(enum call_ending ending);
/* 200 {data, type}; ends the exchange. */
void answer_data(struct exchange *exchange, const struct call_end *end);
/* The problem of this ending, with error, stdout and stderr where they belong to it; ends the exchange. A
 * script that was stored has parsed once: CALL_SYNTAX is then its failure, not the client's (is_stored). */
void answer_problem(struct exchange *exchange, const struct call_end *end, bool is_stored);
