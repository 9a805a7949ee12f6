#pragma once

/* How the end of a call becomes text: what it returned as `data` and `type`, or which problem it was. */

#include <stdbool.h>

#include "base/bytes.h"
#include "server/call.h"
#include "server/json_scan.h"
#include "server/problem.h"

struct answer {
        const struct call_end *end;
        const struct transcript *transcript; /* NULL: nobody has written it down */
        const char *request_id;
        bool is_stored; /* the script has parsed once: CALL_SYNTAX is its failure, not the client's */
};

/* What there is beside data and type, or the problem. */
enum answer_part {
        ANSWER_OUTPUT = 1, /* stdout, stderr, truncated */
        ANSWER_USAGE = 2,  /* truncated, exit, usage; if the end has them */
};

/* PROBLEM_COUNT: none, it is data. */
enum problem answer_problem(const struct answer *answer);
/* The HTTP status. */
int answer_status(const struct answer *answer);
/* What a plain request is told: ANSWER_OUTPUT for what went wrong, and all if it asked for detail. */
unsigned answer_parts(const struct answer *answer, bool detail);

/* {data, type} or the problem document. Results as of bytes_append(). */
int answer_write(struct bytes *body, const struct answer *answer, unsigned parts);
/* The same as the last message of an event stream. */
int answer_write_event(struct bytes *body, const struct answer *answer, unsigned parts);
/* Appends the members stdout and stderr, if asked for, and truncated, if there are parts at all. */
int answer_write_transcript(struct bytes *body, const struct transcript *transcript, unsigned parts);
/* Appends `,"exit":…,"usage":…`, if the end has them. */
int answer_write_usage(struct bytes *body, const struct answer *answer);
/* `type` of a JSON value: string, number or json. */
const char *answer_type(struct json_span value);
