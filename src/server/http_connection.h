#pragma once

/*
 * What the files of the HTTP server share, and nobody else includes: http.c (connections, reading, the table
 * of states and its theory of operation), http_answer.c (writing), http_watch.c (who has left?).
 */

#include <arpa/inet.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/list.h"
#include "server/http_parse.h"

struct bufferevent;
struct evconnlistener;

enum { HTTP_ID_MAX = 64 };

/* The table of states is in http.c. */
enum http_state { IDLE, HEAD, BODY, BUSY, STREAM, ANSWER, LINGER };

/* How the client learns where the body of an answer ends. */
enum http_coding { CODING_NO_BODY, CODING_LENGTH, CODING_CHUNKED, CODING_TO_END };

struct http_server {
        struct event_base *base;
        struct http_limits limits;
        struct http_hooks hooks;
        void *context;
        struct evconnlistener *listener; /* NULL: draining */
        struct event accept_again;
        struct list connections;
        size_t n_connections;
        size_t n_over_limit; /* of them: open only to be told 503 */
        int watch_fd;        /* epoll: sockets whose departure matters */
        struct event watch;
};

struct http_request {
        struct http_head head;
        struct http_framing framing;
        struct bytes body;
        char id[HTTP_ID_MAX + 1];
        uint64_t received_us;
        void (*gone)(struct http_request *request, void *context);
        void *gone_context;
        bool watched;
        bool probed;             /* a FIN was seen, and put to the test */
        enum http_coding coding; /* STREAM */
        const char *probe;       /* STREAM: a piece for that test, or NULL */
        bool full;               /* STREAM: a write left more than HTTP_DRAINED_BYTES */
        void (*drained)(struct http_request *request, void *context);
        void *drained_context;
};

struct connection {
        struct list link;
        struct http_server *server;
        struct bufferevent *socket; /* NULL: the client has gone, the end of its request is to come */
        struct event timer;
        enum http_state state;
        bool closes; /* after this answer */
        bool over_limit;
        size_t unsent;    /* ANSWER: bytes not acknowledged when last measured */
        size_t discarded; /* LINGER */
        struct http_scan scan;
        struct http_request request;
        char peer[INET6_ADDRSTRLEN];
};

/* ---- http.c ---- */

/* Sets the deadline of the state, and reads or does not, as its row says. */
void connection_enter(struct connection *connection, enum http_state state);
/* The deadline of the state anew. */
void connection_set_timer(struct connection *connection);
/* The socket is closed; a request in progress lives on until it is answered. */
void connection_disconnect(struct connection *connection);
/* The same with RST: what waits in the kernel is thrown away as well, and the client sees that it is cut. */
void connection_reset(struct connection *connection);
void connection_close(struct connection *connection);
/* Resets and closes. */
void connection_abort(struct connection *connection);
void http_request_deinit(struct http_request *request);
/* The whole answer has left our buffer: on to the next request, or to the end. From the loop only, so that
 * answers never nest on the stack. */
void connection_answered(struct connection *connection);

/* ---- http_answer.c ---- */

/* Writes the whole answer, ends the request and enters ANSWER. */
void http_answer_send(struct connection *connection, const struct http_answer *answer);
/* Cuts off a reader that took too little since ANSWER began, or since the last look. */
void http_answer_measure(struct connection *connection);
/* Some of ANSWER's bytes have left our buffer; some of STREAM's. */
void http_answer_output(struct connection *connection);
void http_answer_stream_output(struct connection *connection);
/* Is the client of STREAM alive? If not, it is gone. */
void http_answer_stream_look(struct connection *connection);

/* ---- http_watch.c ---- */

/* 0 or negative errno; http_watch_deinit() in either case. */
int http_watch_init(struct http_server *server);
void http_watch_deinit(struct http_server *server);
void http_watch_remove(struct connection *connection);
/* The client left while its request was worked on. The request lives on until its owner ends it. */
void http_watch_gone(struct connection *connection);
