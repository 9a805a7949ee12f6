/* Answers in pieces, over real sockets. The test itself owns the requests to /hold, and answers them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <ctype.h>
#include <errno.h>
#include <event2/event.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "http_cases.h"
#include "http_stage.h"

enum { PIECE = 8 * 1024, ENOUGH = 4 * HTTP_DRAINED_BYTES, FLOOD = 24 * 1024 * 1024 };

static const struct http_answer text_answer = { .status = 200, .content_type = "text/plain" };
static const struct http_answer event_answer = {
        .status = 200, .content_type = "text/event-stream", .probe = ":\n\n"
};

/* ---- the server's side ---- */

/* What a test waits for must not come of an idle timeout. */
static void world_begin_patient(struct world *world)
{
        struct http_limits limits = http_case_limits;

        limits.idle_timeout_ms = 3600 * 1000;
        world_begin_with(world, &limits, 0);
}

static void write_text(struct http_request *request, const char *text)
{
        http_reply_write(request, text, strlen(text));
}

/* The request that a client has just sent: "METHOD /hold VERSION". */
static struct http_request *hold(struct client *client, const char *line)
{
        struct world *world = client->world;
        size_t n = world->n_held;
        char text[256];

        snprintf(text, sizeof text, R("%s") HOST END, line);
        client_say(client, text);
        wait_until(world, &world->n_held, n + 1);
        return world->held[n];
}

static void on_gone_count(struct http_request *request, void *context)
{
        struct world *world = context;

        (void)request;
        world->n_gone++;
}

/* Held, begun, and what the client has seen of it read. Its owner ends it also when the client has gone. */
static struct http_request *stream_begin(
        struct client *client, const char *line, const struct http_answer *answer)
{
        struct http_request *request = hold(client, line);
        struct response response;

        http_on_gone(request, on_gone_count, client->world);
        http_reply_begin(request, answer);
        assert_true(client_hear(client, false, &response));
        assert_int_equal(response.status, answer->status);
        return request;
}

static void some_turns(struct client *client)
{
        for (int i = 0; i < 20; i++)
                client_receive(client);
}

/* Each byte tells its place in the flood. */
static char flood_byte(size_t place)
{
        return (char)((place * 2654435761U) >> 13);
}

static void flood_write(struct http_request *request, size_t from, size_t length)
{
        char piece[PIECE];

        for (size_t i = 0; i < length; i++)
                piece[i] = flood_byte(from + i);
        http_reply_write(request, piece, length);
}

/* ---- the client's side ---- */

/* Takes a whole chunk from the front of what came: its data, and true. */
static bool chunk_take(struct bytes *input, char *data, size_t size, size_t *ret_length)
{
        char *line_end = input->length ? memmem(input->data, input->length, "\r\n", 2) : NULL;
        size_t head, length;
        char *end;

        if (!line_end)
                return false;
        assert_true(isxdigit((unsigned char)input->data[0]));
        length = strtoul(input->data, &end, 16);
        assert_ptr_equal(end, line_end);
        assert_true(length < size);
        head = (size_t)(line_end + 2 - input->data);
        if (input->length < head + length + 2)
                return false;
        memcpy(data, input->data + head, length);
        data[length] = 0;
        assert_memory_equal(input->data + head + length, "\r\n", 2);
        bytes_drop(input, head + length + 2);
        *ret_length = length;
        return true;
}

static size_t chunk_hear(struct client *client, char *data, size_t size)
{
        size_t length;

        for (int turns = 0; turns < PATIENCE_TURNS; turns++) {
                if (chunk_take(&client->input, data, size, &length))
                        return length;
                assert_false(client->ended);
                client_receive(client);
        }
        fail_msg("no chunk came");
        return 0;
}

static void chunk_expect(struct client *client, const char *text)
{
        char data[1024];

        chunk_hear(client, data, sizeof data);
        assert_string_equal(data, text);
}

static void last_chunk_expect(struct client *client)
{
        chunk_expect(client, "");
}

/* What a 1.0 client gets: everything up to the end. */
static void rest_expect(struct client *client, const char *text)
{
        for (int turns = 0; !client->ended && turns < PATIENCE_TURNS; turns++)
                client_receive(client);
        assert_true(client->ended);
        assert_int_equal(client->input.length, strlen(text));
        assert_memory_equal(client->input.data, text, strlen(text));
}

/* ---- framing ---- */

static void test_many_pieces_arrive_byte_for_byte(void **state)
{
        static char body[512 * 1024], heard[sizeof body + 1];
        size_t length = 0, n_heard = 0, n;
        struct http_request *request;
        struct response response;
        struct client client;
        struct world world;

        (void)state;
        for (size_t i = 0; i < sizeof body; i++)
                body[i] = flood_byte(i);
        memcpy(body, "0\r\n\r\nHTTP/1.1 200", 17);
        world_begin_patient(&world);
        client = client_open(&world);
        request = hold(&client, "GET /hold HTTP/1.1");
        http_reply_begin(request, &text_answer);
        for (size_t size = 0; length < sizeof body; size = (size + 7) % 2000) {
                size_t piece = MIN(size, sizeof body - length);

                http_reply_write(request, body + length, piece);
                length += piece;
        }
        http_reply_end(request);

        assert_true(client_hear(&client, false, &response));
        assert_non_null(strstr(response.head, "\r\nTransfer-Encoding: chunked\r\n"));
        assert_non_null(strstr(response.head, "\r\nContent-Type: text/plain\r\n"));
        assert_non_null(strstr(response.head, "\r\nConnection: keep-alive\r\n"));
        assert_non_null(strstr(response.head, "\r\nX-Request-Id: "));
        assert_non_null(strstr(response.head, "\r\nDate: "));
        assert_null(strcasestr(response.head, "Content-Length"));
        while ((n = chunk_hear(&client, heard + n_heard, sizeof heard - n_heard)) > 0)
                n_heard += n;
        assert_int_equal(n_heard, sizeof body);
        assert_memory_equal(heard, body, sizeof body);

        client_say(&client, R("GET /next HTTP/1.1") HOST END);
        client_expect(&client, 200, "GET /next - ");
        client_close(&client);
        world_end(&world);
}

static void test_a_piece_arrives_before_the_next_is_written(void **state)
{
        struct http_request *request;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        request = stream_begin(&client, "GET /hold HTTP/1.1", &text_answer);
        for (int i = 0; i < 3; i++) {
                write_text(request, "piece");
                chunk_expect(&client, "piece");
                assert_int_equal(http_reply_unsent(request), 0);
        }
        http_reply_end(request);
        last_chunk_expect(&client);
        client_close(&client);
        world_end(&world);
}

static void test_head_gets_the_header_alone(void **state)
{
        struct http_request *request;
        struct response response;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        /* Ended at once, then when everything has long drained. */
        for (int i = 0; i < 2; i++) {
                request = hold(&client, "HEAD /hold HTTP/1.1");
                http_reply_begin(request, &event_answer);
                write_text(request, "not for you");
                if (i == 0)
                        http_reply_end(request);
                assert_true(client_hear(&client, false, &response));
                assert_non_null(strstr(response.head, "\r\nTransfer-Encoding: chunked\r\n"));
                some_turns(&client);
                assert_int_equal(client.input.length, 0);
                if (i == 1)
                        http_reply_end(request);
                client_say(&client, R("GET /next HTTP/1.1") HOST END);
                client_expect(&client, 200, "GET /next - ");
        }
        client_close(&client);
        world_end(&world);
}

static void test_no_content_has_no_framing(void **state)
{
        struct http_answer answers[] = { { .status = 204 }, { .status = 304 } };
        struct http_request *request;
        struct response response;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
                request = hold(&client, "GET /hold HTTP/1.1");
                http_reply_begin(request, &answers[i]);
                write_text(request, "nothing");
                http_reply_end(request);
                assert_true(client_hear(&client, false, &response));
                assert_int_equal(response.status, answers[i].status);
                assert_null(strcasestr(response.head, "Transfer-"));
                assert_null(strcasestr(response.head, "Content-"));
                client_say(&client, R("GET /next HTTP/1.1") HOST END);
                client_expect(&client, 200, "GET /next - ");
        }
        client_close(&client);
        world_end(&world);
}

static void test_http_1_0_gets_plain_bytes_and_the_end(void **state)
{
        struct http_request *request;
        struct response response;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        /* The last piece drains before the end, then after it. */
        for (int i = 0; i < 2; i++) {
                client = client_open(&world);
                request = hold(&client, "GET /hold HTTP/1.0");
                http_reply_begin(request, &text_answer);
                assert_true(client_hear(&client, false, &response));
                assert_non_null(strstr(response.head, "\r\nConnection: close\r\n"));
                assert_null(strcasestr(response.head, "Transfer-"));
                assert_null(strcasestr(response.head, "Content-Length"));
                write_text(request, "as it ");
                write_text(request, "");
                write_text(request, "is");
                if (i == 0)
                        some_turns(&client);
                http_reply_end(request);
                rest_expect(&client, "as it is");
                assert_false(client.was_reset);
                client_close(&client);
        }
        wait_for_connections(&world, 0);
        world_end(&world);
}

static void test_an_answer_that_cannot_be_finished_is_seen_to_be_cut(void **state)
{
        struct http_request *request;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        request = stream_begin(&client, "GET /hold HTTP/1.1", &text_answer);
        write_text(request, "half a");
        http_reply_abort(request);
        chunk_expect(&client, "half a");
        client_expect_end(&client);
        client_close(&client);

        client = client_open(&world);
        request = stream_begin(&client, "GET /hold HTTP/1.0", &text_answer);
        http_reply_abort(request);
        client_expect_end(&client);
        assert_true(client.was_reset);
        client_close(&client);
        wait_for_connections(&world, 0);
        world_end(&world);
}

/* ---- one at a time ---- */

static void test_requests_behind_a_stream_wait_for_its_end(void **state)
{
        struct http_request *request;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        request = stream_begin(&client, "GET /hold HTTP/1.1", &text_answer);
        client_say(&client, R("GET /2 HTTP/1.1") HOST END R("GET /3 HTTP/1.1") HOST END);
        write_text(request, "first");
        some_turns(&client);
        assert_int_equal(world.n_requests, 1);
        http_reply_end(request);
        chunk_expect(&client, "first");
        last_chunk_expect(&client);
        client_expect(&client, 200, "GET /2 - ");
        client_expect(&client, 200, "GET /3 - ");
        client_close(&client);
        world_end(&world);
}

static void serve_in_pieces(struct http_request *request, struct world *world)
{
        (void)world;
        http_reply_begin(request, &text_answer);
        write_text(request, http_path(request));
        http_reply_end(request);
}

static void test_a_thousand_pipelined_streams_are_answered_in_order(void **state)
{
        struct response response;
        struct bytes text;
        struct client client;
        struct world world;
        char path[16];

        (void)state;
        bytes_init(&text, 1024 * 1024);
        for (int i = 0; i < 1000; i++)
                bytes_format(&text, R("%s /%d HTTP/1.1") HOST END, i % 7 ? "GET" : "HEAD", i);
        world_begin_patient(&world);
        world.serve = serve_in_pieces;
        client = client_open(&world);
        client_send(&client, text.data, text.length);
        for (int i = 0; i < 1000; i++) {
                assert_true(client_hear(&client, false, &response));
                assert_int_equal(response.status, 200);
                snprintf(path, sizeof path, "/%d", i);
                if (i % 7) {
                        chunk_expect(&client, path);
                        last_chunk_expect(&client);
                }
        }
        bytes_deinit(&text);
        client_close(&client);
        world_end(&world);
}

/* ---- departures ---- */

static void gone_expect(struct world *world, struct http_request *request)
{
        wait_until(world, &world->n_gone, 1);
        assert_int_equal(http_server_connections(world->server), 1);
        /* Nothing that the owner may still do calls back, or does anything. */
        write_text(request, "nobody reads this");
        assert_int_equal(http_reply_unsent(request), 0);
        for (int i = 0; i < 20; i++)
                turn(world);
        http_reply_end(request);
        assert_int_equal(world->n_gone, 1);
        assert_int_equal(http_server_connections(world->server), 0);
}

static void test_a_client_that_resets_in_mid_stream_is_gone(void **state)
{
        struct http_request *request;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        request = stream_begin(&client, "GET /hold HTTP/1.1", &text_answer);
        client_reset(&client);
        gone_expect(&world, request);
        world_end(&world);
}

static void test_a_client_that_closes_in_mid_stream_is_gone(void **state)
{
        static const char *const lines[] = { "GET /hold HTTP/1.1", "GET /hold HTTP/1.0" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                struct http_request *request;
                struct client client;
                struct world world;

                world_begin_patient(&world);
                client = client_open(&world);
                request = stream_begin(&client, lines[i], &event_answer);
                write_text(request, "data: 1\n\n");
                some_turns(&client);
                client_close(&client);
                gone_expect(&world, request);
                world_end(&world);
        }
}

static void test_a_client_that_closes_with_the_window_shut_is_gone(void **state)
{
        struct http_request *request;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        request = stream_begin(&client, "GET /hold HTTP/1.1", &event_answer);
        for (size_t sent = 0; sent < FLOOD; sent += PIECE)
                flood_write(request, sent, PIECE);
        for (int i = 0; i < 5000; i++)
                turn(&world);
        assert_true(http_reply_unsent(request) > FLOOD / 4);
        client_close(&client);
        gone_expect(&world, request);
        world_end(&world);
}

static void test_without_a_probe_the_next_piece_shows_the_departure(void **state)
{
        struct http_request *request;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        request = stream_begin(&client, "GET /hold HTTP/1.1", &text_answer);
        client_close(&client);
        for (int i = 0; i < 20; i++)
                turn(&world);
        assert_int_equal(world.n_gone, 0);
        write_text(request, "anybody there?");
        assert_int_equal(world.n_gone, 0);
        gone_expect(&world, request);
        world_end(&world);
}

static void test_a_client_that_has_only_finished_sending_gets_the_whole_stream(void **state)
{
        struct http_request *request;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        request = stream_begin(&client, "GET /hold HTTP/1.1", &event_answer);
        write_text(request, "data: 1\n\n");
        shutdown(client.fd, SHUT_WR);
        chunk_expect(&client, "data: 1\n\n");
        chunk_expect(&client, ":\n\n");
        for (int i = 0; i < 3; i++) {
                write_text(request, "data: 2\n\n");
                chunk_expect(&client, "data: 2\n\n");
                some_turns(&client);
        }
        assert_int_equal(world.n_gone, 0);
        http_reply_end(request);
        last_chunk_expect(&client);
        client_expect_end(&client);
        assert_false(client.was_reset);
        client_close(&client);
        wait_for_connections(&world, 0);
        world_end(&world);
}

/* 102 has asked before the stream began; no probe comes in its middle, and none is needed. */
static void test_half_closed_before_the_stream_is_asked_once(void **state)
{
        struct http_request *request;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        request = hold(&client, "GET /hold HTTP/1.1");
        shutdown(client.fd, SHUT_WR);
        client_expect(&client, 102, NULL);
        http_on_gone(request, on_gone_count, &world);
        http_reply_begin(request, &event_answer);
        client_expect(&client, 200, NULL);
        some_turns(&client);
        write_text(request, "data: 1\n\n");
        chunk_expect(&client, "data: 1\n\n");
        client_close(&client);
        write_text(request, "data: 2\n\n");
        gone_expect(&world, request);
        world_end(&world);
}

static void test_departure_may_be_asked_for_in_mid_stream(void **state)
{
        struct http_request *request;
        struct response response;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        request = hold(&client, "GET /hold HTTP/1.1");
        http_on_gone(request, NULL, NULL);
        http_reply_begin(request, &event_answer);
        assert_true(client_hear(&client, false, &response));
        client_close(&client);
        /* Nobody asks: noticed, and told to nobody. */
        for (int i = 0; i < 20; i++)
                turn(&world);
        write_text(request, "data: 1\n\n");
        for (int i = 0; i < 20; i++)
                turn(&world);
        http_on_gone(request, on_gone_count, &world);
        assert_int_equal(world.n_gone, 0);
        gone_expect(&world, request);
        world_end(&world);
}

/* ---- slow readers ---- */

struct flood {
        struct http_request *request;
        size_t written;
        size_t most_unsent;
        size_t n_drained;
};

/* An owner who is careful: writes until enough waits, and goes on when told. */
static void flood_go_on(struct flood *flood)
{
        while (flood->written < FLOOD && http_reply_unsent(flood->request) < ENOUGH) {
                flood_write(flood->request, flood->written, PIECE);
                flood->written += PIECE;
        }
        flood->most_unsent = MAX(flood->most_unsent, http_reply_unsent(flood->request));
        if (flood->written == FLOOD)
                http_reply_end(steal(&flood->request));
}

static void on_drained(struct http_request *request, void *context)
{
        struct flood *flood = context;

        assert_ptr_equal(request, flood->request);
        assert_true(http_reply_unsent(request) <= HTTP_DRAINED_BYTES);
        flood->n_drained++;
        flood_go_on(flood);
}

static void flood_read(struct client *client)
{
        static char data[2 * PIECE];
        size_t place = 0, length;

        while ((length = chunk_hear(client, data, sizeof data)) > 0) {
                for (size_t i = 0; i < length; i++) {
                        if (data[i] != flood_byte(place + i))
                                fail_msg("byte %zu is wrong", place + i);
                }
                place += length;
        }
        assert_int_equal(place, FLOOD);
}

static void test_a_reader_that_stops_and_goes_on_gets_everything(void **state)
{
        struct http_limits limits = limits_short();
        struct flood flood = { 0 };
        struct client client;
        struct world world;
        size_t written;

        (void)state;
        world_begin_with(&world, &limits, 0);
        client = client_open(&world);
        flood.request = stream_begin(&client, "GET /hold HTTP/1.1", &text_answer);
        http_on_drained(flood.request, on_drained, &flood);
        flood_go_on(&flood);
        /* Until its socket is full, and then three idle timeouts more: in mid-stream nobody is cut off. */
        do {
                written = flood.written;
                for (int i = 0; i < 120; i++) {
                        turn(&world);
                        usleep(1000);
                }
        } while (flood.written != written);
        assert_true(flood.written < FLOOD);
        assert_int_equal(http_server_connections(world.server), 1);
        flood_read(&client);
        assert_null(flood.request);
        assert_true(flood.n_drained > 1);
        assert_true(flood.most_unsent < ENOUGH + 2 * PIECE);
        assert_int_equal(world.n_gone, 0);
        client_close(&client);
        world_end(&world);
}

static void test_no_word_of_draining_when_little_was_written(void **state)
{
        struct flood flood = { .written = FLOOD };
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        flood.request = stream_begin(&client, "GET /hold HTTP/1.1", &text_answer);
        http_on_drained(flood.request, on_drained, &flood);
        for (int i = 0; i < 10; i++) {
                write_text(flood.request, "little");
                chunk_expect(&client, "little");
        }
        assert_int_equal(flood.n_drained, 0);
        http_reply_end(flood.request);
        last_chunk_expect(&client);
        client_close(&client);
        world_end(&world);
}

static void on_drained_abort(struct http_request *request, void *context)
{
        struct world *world = context;

        /* In time to write more before the socket has nothing left to do. */
        assert_true(http_reply_unsent(request) > 0);
        world->n_gone++;
        http_reply_abort(request);
}

static void test_a_stream_may_be_aborted_from_the_word_of_draining(void **state)
{
        struct http_request *request;
        struct client client;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        client = client_open(&world);
        request = stream_begin(&client, "GET /hold HTTP/1.0", &text_answer);
        http_on_drained(request, on_drained_abort, &world);
        flood_write(request, 0, PIECE);
        flood_write(request, PIECE, PIECE);
        flood_write(request, 2 * PIECE, PIECE);
        wait_until(&world, &world.n_gone, 1);
        wait_for_connections(&world, 0);
        client_close(&client);
        world_end(&world);
}

static void test_a_reader_that_takes_nothing_after_the_end_is_cut_off(void **state)
{
        struct http_limits limits = limits_short();
        struct http_request *request;
        struct client client;
        struct world world;

        (void)state;
        world_begin_with(&world, &limits, 0);
        client = client_open(&world);
        request = stream_begin(&client, "GET /hold HTTP/1.1", &text_answer);
        for (size_t sent = 0; sent < FLOOD; sent += PIECE)
                flood_write(request, sent, PIECE);
        http_reply_end(request);
        wait_for_connections(&world, 0);
        assert_int_equal(world.n_gone, 0);
        client_close(&client);
        world_end(&world);
}

/* From here on the client's machine hears nothing, and says nothing: as if its cable had been pulled. */
static void client_die(struct client *client)
{
        struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
        struct sock_fprog program = { .len = 1, .filter = &nothing };

        assert_return_code(
                setsockopt(client->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), errno);
}

/* Whether something was written to it or not. Another that is as silent has a kernel that answers when asked.
 */
static void test_a_client_whose_machine_has_died_is_gone(void **state)
{
        struct http_limits limits = http_case_limits;
        struct http_request *request, *silent_request, *written_request;
        struct client living, silent, written;
        struct world world;

        (void)state;
        limits.silence_timeout_ms = 1500;
        world_begin_with(&world, &limits, 0);
        living = client_open(&world);
        silent = client_open(&world);
        written = client_open(&world);
        request = stream_begin(&living, "GET /hold HTTP/1.1", &text_answer);
        silent_request = stream_begin(&silent, "GET /hold HTTP/1.1", &text_answer);
        written_request = stream_begin(&written, "GET /hold HTTP/1.1", &text_answer);
        client_die(&silent);
        client_die(&written);
        write_text(written_request, "unheard");
        wait_until(&world, &world.n_gone, 2);
        http_reply_end(silent_request);
        http_reply_end(written_request);
        /* The living one is looked at once more. */
        for (int i = 0; i < 2000; i++)
                client_receive(&living);
        assert_int_equal(http_server_connections(world.server), 1);
        write_text(request, "heard");
        chunk_expect(&living, "heard");
        http_reply_end(request);
        client_close(&written);
        client_close(&silent);
        client_close(&living);
        world_end(&world);
}

/* ---- end ---- */

static void test_draining_lets_a_stream_end_and_then_closes(void **state)
{
        struct http_request *early, *late;
        struct client first, second;
        struct response response;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        first = client_open(&world);
        second = client_open(&world);
        early = stream_begin(&first, "GET /hold HTTP/1.1", &text_answer);
        late = hold(&second, "GET /hold HTTP/1.1");
        http_server_drain(world.server);
        write_text(early, "still");
        chunk_expect(&first, "still");
        http_reply_end(early);
        last_chunk_expect(&first);
        client_expect_end(&first);
        assert_false(first.was_reset);

        http_reply_begin(late, &text_answer);
        http_reply_end(late);
        assert_true(client_hear(&second, false, &response));
        assert_non_null(strstr(response.head, "\r\nConnection: close\r\n"));
        last_chunk_expect(&second);
        client_expect_end(&second);
        client_close(&first);
        client_close(&second);
        wait_for_connections(&world, 0);
        world_end(&world);
}

static void test_a_server_may_be_freed_in_the_middle_of_streams(void **state)
{
        struct client idle, old, full, gone, draining, head;
        struct http_request *request;
        struct world world;

        (void)state;
        world_begin_patient(&world);
        idle = client_open(&world);
        old = client_open(&world);
        full = client_open(&world);
        gone = client_open(&world);
        draining = client_open(&world);
        head = client_open(&world);
        stream_begin(&idle, "GET /hold HTTP/1.1", &text_answer);
        stream_begin(&old, "GET /hold HTTP/1.0", &text_answer);
        request = stream_begin(&full, "GET /hold HTTP/1.1", &text_answer);
        for (size_t sent = 0; sent < FLOOD; sent += PIECE)
                flood_write(request, sent, PIECE);
        stream_begin(&gone, "GET /hold HTTP/1.1", &text_answer);
        client_reset(&gone);
        wait_until(&world, &world.n_gone, 1);
        request = stream_begin(&draining, "GET /hold HTTP/1.0", &text_answer);
        for (size_t sent = 0; sent < FLOOD; sent += PIECE)
                flood_write(request, sent, PIECE);
        http_reply_end(request);
        request = stream_begin(&head, "HEAD /hold HTTP/1.1", &text_answer);
        http_reply_end(request);
        world.server = http_server_free(world.server);
        assert_int_equal(world.n_gone, 1);
        event_base_loop(world.base, EVLOOP_NONBLOCK);
        /* For 1.0 the end of the connection would say that this was all. */
        client_expect_end(&old);
        assert_true(old.was_reset);
        client_close(&idle);
        client_close(&old);
        client_close(&full);
        client_close(&draining);
        client_close(&head);
        world_end(&world);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_many_pieces_arrive_byte_for_byte),
                cmocka_unit_test(test_a_piece_arrives_before_the_next_is_written),
                cmocka_unit_test(test_head_gets_the_header_alone),
                cmocka_unit_test(test_no_content_has_no_framing),
                cmocka_unit_test(test_http_1_0_gets_plain_bytes_and_the_end),
                cmocka_unit_test(test_an_answer_that_cannot_be_finished_is_seen_to_be_cut),
                cmocka_unit_test(test_requests_behind_a_stream_wait_for_its_end),
                cmocka_unit_test(test_a_thousand_pipelined_streams_are_answered_in_order),
                cmocka_unit_test(test_a_client_that_resets_in_mid_stream_is_gone),
                cmocka_unit_test(test_a_client_that_closes_in_mid_stream_is_gone),
                cmocka_unit_test(test_a_client_that_closes_with_the_window_shut_is_gone),
                cmocka_unit_test(test_without_a_probe_the_next_piece_shows_the_departure),
                cmocka_unit_test(test_a_client_that_has_only_finished_sending_gets_the_whole_stream),
                cmocka_unit_test(test_half_closed_before_the_stream_is_asked_once),
                cmocka_unit_test(test_departure_may_be_asked_for_in_mid_stream),
                cmocka_unit_test(test_a_reader_that_stops_and_goes_on_gets_everything),
                cmocka_unit_test(test_no_word_of_draining_when_little_was_written),
                cmocka_unit_test(test_a_stream_may_be_aborted_from_the_word_of_draining),
                cmocka_unit_test(test_a_reader_that_takes_nothing_after_the_end_is_cut_off),
                cmocka_unit_test(test_a_client_whose_machine_has_died_is_gone),
                cmocka_unit_test(test_draining_lets_a_stream_end_and_then_closes),
                cmocka_unit_test(test_a_server_may_be_freed_in_the_middle_of_streams),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
