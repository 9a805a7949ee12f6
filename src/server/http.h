#pragma once

/*
 * A small strict HTTP/1.1 server (RFC 9110, RFC 9112) on libevent's bufferevents. It accepts GET, HEAD, POST,
 * PUT, PATCH, DELETE and OPTIONS with Content-Length or chunked bodies, keep-alive and pipelining; it refuses
 * with 4xx/5xx and closes whatever is ambiguous. One thread, the event base's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct http_server;
struct http_request;

struct http_limits {
        uint32_t connections;        /* open at a time; a further one is answered 503 and closed */
        uint32_t header_timeout_ms;  /* from the first byte of a request to the end of its header: absolute,
                                        not renewed by bytes */
        uint32_t body_timeout_ms;    /* from the end of the header to the end of the body: absolute */
        uint32_t idle_timeout_ms;    /* without a request on an open connection; also for a reader that takes
                                        (next to) nothing of its answer */
        uint32_t silence_timeout_ms; /* a client has gone whose kernel acknowledges nothing of an answer in
                                        pieces, nor that it is there, for so long. A living one that is asked
                                        may take two minutes between two signs: more than that, in earnest. */
        uint32_t header_count;       /* fields: 431 beyond */
        size_t header_bytes;         /* request line and header fields together: 431 beyond, 414 if it is the
                                        request line alone */
        size_t body_bytes;           /* 413 beyond, at Content-Length already */
};

struct http_answer {
        int status;
        const char *content_type; /* NULL: no body */
        const void *body;         /* copied */
        size_t body_length;
        const char *extra_headers; /* "Name: value\r\n" lines, or NULL; the caller vouches that no user byte
                                      is in them unchecked */
        const char *probe; /* http_reply_begin() only, or NULL: a piece that means nothing to the reader, such
                              as ":\n\n" in an event stream; not copied. It is sent when a FIN is seen, to
                              learn whether the client has gone; without it that shows at the next piece. */
};

enum { HTTP_DRAINED_BYTES = 16 * 1024, HTTP_READER_BYTES_PER_SECOND = 1024 /* slower ones are cut off */ };

struct http_hooks {
        /* A whole request has arrived. Answer now or later, exactly once: with http_reply(), or in
         * pieces from http_reply_begin() to http_reply_end(). */
        void (*on_request)(struct http_request *request, void *context);
        /* The request was refused before it became one (400, 408, 413, 414, 415, 417, 431, 501, 503, 505):
         * writes the body of the answer, whose status is set already. `id` is its X-Request-Id, `detail` a
         * sentence for its reader in plain ASCII. The body may be static: it is copied at once. */
        void (*on_refusal)(
                int status, const char *detail, const char *id, struct http_answer *answer, void *context);
};

/*
 * Takes the listening, non-blocking socket (on an error it stays the caller's). 0 or negative errno.
 * From then on the process ignores SIGPIPE, since writev() on a socket cannot be told not to raise it.
 */
int http_server_new(struct event_base *base, int listen_fd, const struct http_limits *limits,
        const struct http_hooks *hooks, void *context, struct http_server **ret_server);
/*
 * Closes everything, answered or not: requests still in progress are gone without further notice, so their
 * owners drop them first. Not from within a hook. Takes NULL, returns NULL. The base is to be freed (or
 * looped) afterwards: libevent closes the descriptors from there.
 */
struct http_server *http_server_free(struct http_server *server);
/* Accepts no more; idle connections are closed, answers in progress end with Connection: close. */
void http_server_drain(struct http_server *server);
/* Connections open now. */
size_t http_server_connections(const struct http_server *server);

/* These are valid from on_request until the request ends. */

const char *http_method(const struct http_request *request);
/* Percent-decoded UTF-8 that begins with '/' (or is "*" for `OPTIONS *`); no NUL, no control character: bad
 * encoding was refused. %2F has become a '/' like any other. */
const char *http_path(const struct http_request *request);
/* Decoded value of the first such parameter, or NULL; "" if it has none. Bad encoding was refused. */
const char *http_query(const struct http_request *request, const char *name);
/* Value without surrounding blanks, or NULL; name in any case. Those that must not be there twice are there
 * once at most: a second one was refused (the table in http_parse.c). No control byte but TAB; bytes >= 0x80
 * possible. */
const char *http_header(const struct http_request *request, const char *name);
/* A list may be spread over several fields: the one after `nth` others, or NULL. */
const char *http_header_nth(const struct http_request *request, const char *name, size_t nth);
/* NUL-terminated behind its length, never NULL. */
const char *http_body(const struct http_request *request, size_t *ret_length);
/* X-Request-Id: the client's if it is 1-64 of [A-Za-z0-9._-], else a new one. */
const char *http_id(const struct http_request *request);
/* Address of the client, as text; "" for a socket without one. */
const char *http_peer(const struct http_request *request);
/* clock_us() when the request was complete. */
uint64_t http_received_us(const struct http_request *request);

/*
 * Asks to be told when the client goes before it is answered, or before its answer in pieces ends: at any
 * time until then. `gone` is called at most once, from the loop (never from within http_on_gone() or another
 * function of this file), and not after the request ended. A client that has only finished sending
 * (shutdown(SHUT_WR)) still gets its answer; http.c says how the two are told apart.
 */
void http_on_gone(struct http_request *request, void (*gone)(struct http_request *request, void *context),
        void *context);

/*
 * Answers and ends the request: its pointer is dead afterwards. Adds Date, X-Request-Id, Content-Length and
 * Connection; leaves the body away for HEAD. After on_gone it must still be called: it only frees then.
 */
void http_reply(struct http_request *request, const struct http_answer *answer);

/*
 * An answer in pieces: begin, any number of writes, then end or abort, which end the request. All of them may
 * be called from anywhere in the loop, also from on_request, on_gone and on_drained; none calls back.
 *
 * To HTTP/1.1 it goes chunked; to 1.0, which knows no chunks, its end is the end of the connection. HEAD, 204
 * and 304 get the header alone, but are ended like the others. After on_gone nothing is sent any more: begin
 * and write do nothing, end and abort only free.
 */

/* Sends status line and header. answer->body is ignored; without a content_type that field is left away. */
void http_reply_begin(struct http_request *request, const struct http_answer *answer);
/*
 * A piece of the body; copied, and kept until the client takes it: there is no ceiling, and a slow reader
 * is not cut off before the end. So stop when http_reply_unsent() says that enough waits, and go on from
 * on_drained.
 */
void http_reply_write(struct http_request *request, const void *data, size_t length);
/* Bytes, framing included, that our kernel's side of the connection has not taken yet. */
size_t http_reply_unsent(const struct http_request *request);
/* The same with what our kernel has, and the client's has not acknowledged. */
size_t http_reply_untaken(const struct http_request *request);
/* Asks to be told, from the loop, each time that they have drained to HTTP_DRAINED_BYTES or less after a
 * write had left more. Not after the client has gone. */
void http_on_drained(struct http_request *request,
        void (*drained)(struct http_request *request, void *context), void *context);
void http_reply_end(struct http_request *request);
/* Ends an answer that cannot be finished, so that the client sees that it is cut: what was written is sent,
 * but no last chunk, and the connection ends; for 1.0 it is reset, since there the end of a connection says
 * success. */
void http_reply_abort(struct http_request *request);
