/* See http_stage.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "http_cases.h"
#include "http_stage.h"

/* ---- the server's side ---- */

void reply_text(struct http_request *request, int status, const char *text)
{
        http_reply(request, &(struct http_answer){ .status = status,
                                    .content_type = "text/plain",
                                    .body = text,
                                    .body_length = strlen(text) });
}

static void on_gone(struct http_request *request, void *context)
{
        struct world *world = context;

        world->n_gone++;
        for (size_t i = 0; i < world->n_held; i++) {
                if (world->held[i] == request)
                        world->held[i] = world->held[--world->n_held];
        }
        reply_text(request, 500, "nobody reads this");
}

static void reply_echo(struct http_request *request)
{
        char text[12000];
        const char *query = http_query(request, "q");
        size_t length;
        const char *body = http_body(request, &length);

        snprintf(text, sizeof text, "%s %s %s %s", http_method(request), http_path(request),
                query ? query : "-", body);
        assert_int_equal(strlen(body), length);
        assert_string_equal(http_peer(request), "127.0.0.1");
        assert_true(http_received_us(request) > 0);
        reply_text(request, 200, text);
}

static void on_request(struct http_request *request, void *context)
{
        struct world *world = context;

        world->n_requests++;
        if (strcmp(http_path(request), "/hold") == 0) {
                assert_true(world->n_held < HELD_MAX);
                world->held[world->n_held++] = request;
                http_on_gone(request, on_gone, world);
        } else if (strcmp(http_path(request), "/big") == 0) {
                http_reply(request, &(struct http_answer){ .status = 200,
                                            .content_type = "a/b",
                                            .body = world->big,
                                            .body_length = BIG });
        } else if (strcmp(http_path(request), "/nothing") == 0) {
                http_reply(
                        request, &(struct http_answer){ .status = 204, .extra_headers = "X-Extra: 1\r\n" });
        } else if (world->serve) {
                world->serve(request, world);
        } else {
                reply_echo(request);
        }
}

static void on_refusal(
        int status, const char *detail, const char *id, struct http_answer *answer, void *context)
{
        static char text[256];
        struct world *world = context;

        world->n_refusals++;
        assert_int_equal(answer->status, status);
        assert_true(strlen(id) > 0);
        answer->content_type = "text/plain";
        answer->body_length = (size_t)snprintf(text, sizeof text, "refused: %s", detail);
        answer->body = text;
}

static size_t descriptors_count(void)
{
        DIR *directory = opendir("/proc/self/fd");
        size_t n = 0;

        assert_non_null(directory);
        while (readdir(directory))
                n++;
        closedir(directory);
        return n;
}

void turn(struct world *world)
{
        event_base_loop(world->base, EVLOOP_NONBLOCK);
}

static int listen_on_loopback(struct sockaddr_in *address, int receive_buffer_bytes)
{
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        socklen_t size = sizeof *address;

        *address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        if (receive_buffer_bytes)
                setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
        assert_return_code(bind(fd, (struct sockaddr *)address, size), errno);
        assert_return_code(listen(fd, 1024), errno);
        assert_return_code(getsockname(fd, (struct sockaddr *)address, &size), errno);
        return fd;
}

void world_begin_with(struct world *world, const struct http_limits *limits, int receive_buffer_bytes)
{
        struct http_hooks hooks = { .on_request = on_request, .on_refusal = on_refusal };

        *world = (struct world){ .descriptors_before = descriptors_count() };
        world->big = calloc(1, BIG);
        world->base = event_base_new();
        assert_int_equal(
                http_server_new(world->base, listen_on_loopback(&world->address, receive_buffer_bytes),
                        limits, &hooks, world, &world->server),
                0);
}

void world_begin(struct world *world)
{
        world_begin_with(world, &http_case_limits, 0);
}

/* Whatever happened, no descriptor is left. */
void world_end(struct world *world)
{
        world->server = http_server_free(world->server);
        event_base_free(world->base);
        free(world->big);
        assert_int_equal(descriptors_count(), world->descriptors_before);
}

/* ---- the client's side ---- */

struct client client_open(struct world *world)
{
        struct client client = { .world = world };

        client.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_return_code(
                connect(client.fd, (struct sockaddr *)&world->address, sizeof world->address), errno);
        bytes_init(&client.input, 64 * 1024 * 1024);
        return client;
}

void client_close(struct client *client)
{
        close(client->fd);
        bytes_deinit(&client->input);
}

void client_reset(struct client *client)
{
        struct linger now = { .l_onoff = 1 };

        setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        client_close(client);
}

/* Turns the loop and takes what has come, or comes within wait_ms. */
static void client_take(struct client *client, int wait_ms)
{
        struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };
        char buffer[65536];
        ssize_t n;

        turn(client->world);
        if (client->ended || poll(&poll_fd, 1, wait_ms) == 0)
                return;
        n = recv(client->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n > 0)
                assert_int_equal(bytes_append(&client->input, buffer, (size_t)n), 0);
        else if (n == 0 || errno != EAGAIN)
                client->ended = true;
        client->was_reset = n < 0 && errno == ECONNRESET;
}

void client_receive(struct client *client)
{
        client_take(client, 1);
}

void client_send(struct client *client, const char *text, size_t length)
{
        for (int turns = 0; length > 0 && turns < PATIENCE_TURNS; turns++) {
                ssize_t n = send(client->fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno != EAGAIN)
                        return; /* the server closed: the answer tells why */
                if (n > 0) {
                        text += n;
                        length -= (size_t)n;
                }
                client_take(client, n > 0 ? 0 : 1);
        }
}

void client_say(struct client *client, const char *text)
{
        client_send(client, text, strlen(text));
}

static size_t response_body_length(const char *head)
{
        const char *field = strcasestr(head, "\r\nContent-Length: ");

        return field ? strtoul(field + 18, NULL, 10) : 0;
}

/* Reads one response, interim or final. false: the connection ended first. */
bool client_hear(struct client *client, bool has_body, struct response *ret)
{
        for (int turns = 0; turns < PATIENCE_TURNS; turns++) {
                char *end = client->input.length ? strstr(client->input.data, "\r\n\r\n") : NULL;
                size_t head_length = end ? (size_t)(end - client->input.data) + 4 : 0;

                if (end) {
                        assert_true(head_length < sizeof ret->head);
                        memcpy(ret->head, client->input.data, head_length);
                        ret->head[head_length] = 0;
                        ret->body_length = has_body ? response_body_length(ret->head) : 0;
                }
                if (end && client->input.length - head_length >= ret->body_length) {
                        assert_int_equal(sscanf(ret->head, "HTTP/1.1 %d ", &ret->status), 1);
                        snprintf(ret->body, sizeof ret->body, "%.*s",
                                (int)MIN(ret->body_length, sizeof ret->body),
                                client->input.data + head_length);
                        bytes_drop(&client->input, head_length + ret->body_length);
                        return true;
                }
                if (client->ended)
                        return false;
                client_receive(client);
        }
        fail_msg("no response came, but: %s", client->input.length ? client->input.data : "nothing");
        return false;
}

/* The server has ended the connection, and sent nothing more before that. */
void client_expect_end(struct client *client)
{
        for (int turns = 0; !client->ended && turns < PATIENCE_TURNS; turns++)
                client_receive(client);
        assert_true(client->ended);
        assert_int_equal(client->input.length, 0);
}

void client_expect(struct client *client, int status, const char *body)
{
        struct response response;

        assert_true(client_hear(client, true, &response));
        if (response.status != status || (body && strcmp(response.body, body) != 0))
                fail_msg("%d '%s' instead of %d '%s'", response.status, response.body, status,
                        body ? body : "");
}

void wait_until(struct world *world, const size_t *number, size_t value)
{
        for (int turns = 0; *number != value && turns < PATIENCE_TURNS; turns++) {
                turn(world);
                if (*number != value)
                        usleep(1000);
        }
        assert_int_equal(*number, value);
}

void wait_for_connections(struct world *world, size_t n)
{
        for (int turns = 0; http_server_connections(world->server) != n && turns < PATIENCE_TURNS; turns++) {
                turn(world);
                usleep(500);
        }
        assert_int_equal(http_server_connections(world->server), n);
}

struct http_limits limits_short(void)
{
        struct http_limits limits = http_case_limits;

        limits.header_timeout_ms = limits.body_timeout_ms = limits.idle_timeout_ms = 40;
        return limits;
}
