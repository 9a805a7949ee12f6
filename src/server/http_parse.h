#pragma once

/*
 * The parser behind http.c: HTTP/1.1 messages (RFC 9112) from pointer and length, no sockets and no clock.
 * Everything that it is given was written by a stranger. What two readers could understand in two ways is
 * refused, since a proxy in front of us may be the other reader (request smuggling).
 *
 * A request is read in three steps: http_head_scan() finds the end of the header while bytes arrive,
 * http_head_parse() understands it, http_framing_read() takes the body out of its framing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "server/http.h"

enum { HTTP_MORE = 1, HTTP_REFUSED = 2 };

/* Why a request is refused: the status of the answer and a sentence for its reader. */
struct http_refusal {
        int status;
        const char *detail; /* a constant */
};

/* Zero at the start of a request. */
struct http_scan {
        size_t start; /* the head is text[start..end): one empty line before it is passed over */
        size_t end;
        size_t scanned;
        size_t line_start;
        uint32_t lines;
};

/*
 * Looks for the end of a head in text, which begins at the same place on every call and grows between them.
 * Refuses control bytes, a CR or LF alone, and whatever passes the limits, as soon as it is seen.
 * 0 (start and end are set), HTTP_MORE, HTTP_REFUSED.
 */
int http_head_scan(struct http_scan *scan, const char *text, size_t length, const struct http_limits *limits,
        struct http_refusal *ret_refusal);

struct http_field {
        const char *name;
        const char *value; /* without surrounding blanks; no control byte but TAB, bytes >= 0x80 possible */
};

struct http_head {
        const char *method;     /* NULL: the request line was not understood */
        const char *path;       /* decoded UTF-8, begins with '/' or is "*"; no control character */
        const char *host;       /* NULL: none, HTTP/1.0 */
        const char *parameters; /* of the query, decoded: name NUL value NUL ...; an empty name ends them */
        struct http_field *fields;
        size_t n_fields;
        uint64_t content_length;
        bool chunked;
        bool is_1_1;           /* else 1.0: no interim answers, no chunked ones */
        bool keeps_alive;      /* the client allows a further request on this connection */
        bool expects_continue; /* Expect: 100-continue */
        const char *authority; /* of an absolute-form target, else NULL */
        unsigned seen;         /* fields of the rules table in http_parse.c, a bit each */
        void *storage;         /* everything above lives here */
};

/*
 * Reads one whole head as http_head_scan() delimits it. 0, HTTP_REFUSED, -ENOMEM. The caller calls
 * http_head_deinit() in every case; after HTTP_REFUSED the head holds what had been understood by then.
 */
int http_head_parse(struct http_head *ret_head, const char *text, size_t length,
        const struct http_limits *limits, struct http_refusal *ret_refusal);
void http_head_deinit(struct http_head *head);
/* The value of the field of that name (in any case) that comes after `nth` others of it, or NULL. */
const char *http_head_field(const struct http_head *head, const char *name, size_t nth);
/* The value of the first parameter of that name, or NULL. */
const char *http_head_parameter(const struct http_head *head, const char *name);

/* How far a body has been read. */
struct http_framing {
        int state;
        uint64_t left;     /* bytes to come of the body, or of the current chunk */
        uint32_t digits;   /* of the chunk size so far */
        uint32_t overhead; /* bytes of chunk extensions and trailers so far */
};

/* Ready for the body that head announces; `body` becomes the place for it, with its ceiling. */
void http_framing_init(struct http_framing *framing, const struct http_head *head,
        const struct http_limits *limits, struct bytes *body);
/*
 * Moves a body out of its framing. *ret_taken bytes of data were used, all of them unless the body ended or
 * was refused. 0: the body is whole; HTTP_MORE, HTTP_REFUSED, -ENOMEM.
 */
int http_framing_read(struct http_framing *framing, const char *data, size_t length, struct bytes *body,
        size_t *ret_taken, struct http_refusal *ret_refusal);
