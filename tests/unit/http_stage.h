#pragma once

/*
 * The HTTP server over real sockets. One thread plays both sides: a client waits for its socket by turning
 * the server's loop. Nothing depends on how long anything takes, except that PATIENCE is not exhausted.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "server/http.h"

enum { PATIENCE_TURNS = 20000, BIG = 32 * 1024 * 1024, HELD_MAX = 8 };

struct world {
        struct event_base *base;
        struct http_server *server;
        struct sockaddr_in address;
        struct http_request *held[HELD_MAX]; /* requests to /hold wait here for the test to answer them */
        size_t n_held;
        void (*serve)(struct http_request *request, struct world *world); /* unless NULL: any other request */
        size_t n_requests;
        size_t n_gone;
        size_t n_refusals;
        size_t descriptors_before;
        char *big;
};

struct client {
        struct world *world;
        int fd;
        struct bytes input;
        bool ended;
        bool was_reset; /* it ended with RST */
};

struct response {
        int status;
        char head[2048];
        char body[16384];
        size_t body_length;
};

/* ---- the server's side: /hold, /big, /nothing, and an echo of any other ---- */

void world_begin(struct world *world);
void world_begin_with(struct world *world, const struct http_limits *limits, int receive_buffer_bytes);
/* Asserts that no descriptor is left. */
void world_end(struct world *world);
/* Header, body and idleness may take 40 ms. */
struct http_limits limits_short(void);
void reply_text(struct http_request *request, int status, const char *text);

void turn(struct world *world);
void wait_until(struct world *world, const size_t *number, size_t value);
void wait_for_connections(struct world *world, size_t n);

/* ---- the client's side ---- */

struct client client_open(struct world *world);
void client_close(struct client *client);
void client_reset(struct client *client);
void client_send(struct client *client, const char *text, size_t length);
void client_say(struct client *client, const char *text);
/* Turns the loop and takes what has come, or comes within a millisecond. */
void client_receive(struct client *client);
/* Reads one response, interim or final. false: the connection ended first. */
bool client_hear(struct client *client, bool has_body, struct response *ret);
/* That status, and that body unless NULL. */
void client_expect(struct client *client, int status, const char *body);
/* The server has ended the connection, and sent nothing more before that. */
void client_expect_end(struct client *client);
