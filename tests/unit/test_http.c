/* Requests, refusals, departures and limits, over real sockets. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "http_cases.h"
#include "http_stage.h"

/* ---- framing ---- */

static void case_run(struct world *world, const struct http_case *row, bool bytewise)
{
        struct client client = client_open(world);
        struct response response;
        bool is_head = strncmp(row->text, "HEAD", 4) == 0;

        if (bytewise) {
                for (const char *c = row->text; *c; c++)
                        client_send(&client, c, 1);
        } else {
                client_say(&client, row->text);
        }
        if (!client_hear(&client, !is_head, &response))
                fail_msg("%s: closed without an answer", row->title);
        if (response.status != row->status)
                fail_msg(
                        "%s: %d instead of %d (%s)", row->title, response.status, row->status, response.body);
        if (row->status != 200)
                client_expect_end(&client);
        else if (!is_head && !strstr(response.body, row->path ? row->path : "/"))
                fail_msg("%s: '%s' lacks the path", row->title, response.body);
        else if (row->body && !strstr(response.body, row->body))
                fail_msg("%s: '%s' lacks the body", row->title, response.body);
        client_close(&client);
}

static void test_every_case_over_a_socket(void **state)
{
        struct world world;

        (void)state;
        world_begin(&world);
        for (size_t i = 0; i < ARRAY_SIZE(http_cases); i++)
                case_run(&world, &http_cases[i], false);
        wait_for_connections(&world, 0);
        world_end(&world);
}

static void test_every_case_byte_by_byte(void **state)
{
        struct world world;

        (void)state;
        world_begin(&world);
        for (size_t i = 0; i < ARRAY_SIZE(http_cases); i++) {
                /* Each byte waits for a turn: the long ones would take long and show nothing new. */
                if (strlen(http_cases[i].text) < 200)
                        case_run(&world, &http_cases[i], true);
        }
        wait_for_connections(&world, 0);
        world_end(&world);
}

static void test_an_answer_has_its_headers(void **state)
{
        struct response response;
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("GET /x?q=a+b HTTP/1.1") HOST R("X-Request-Id: my.id-7") END);
        assert_true(client_hear(&client, true, &response));
        assert_string_equal(response.body, "GET /x a b ");
        assert_non_null(strstr(response.head, "\r\nDate: "));
        assert_non_null(strstr(response.head, " GMT\r\n"));
        assert_non_null(strstr(response.head, "\r\nX-Request-Id: my.id-7\r\n"));
        assert_non_null(strstr(response.head, "\r\nContent-Type: text/plain\r\n"));
        assert_non_null(strstr(response.head, "\r\nContent-Length: 11\r\n"));
        assert_non_null(strstr(response.head, "\r\nConnection: keep-alive\r\n"));
        client_close(&client);
        world_end(&world);
}

static void test_a_strange_request_id_is_replaced(void **state)
{
        static const char *const rows[] = { "a b", "a\"b", "a/b", "caf\xe9", "",
                "0123456789012345678901234567890123456789012345678901234567890123456789" };
        struct response response;
        struct client client;
        struct world world;
        char text[256], wrong[128];

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                snprintf(text, sizeof text, R("GET / HTTP/1.1") HOST R("X-Request-Id: %s") END, rows[i]);
                snprintf(wrong, sizeof wrong, "X-Request-Id: %s\r\n", rows[i]);
                client_say(&client, text);
                assert_true(client_hear(&client, true, &response));
                assert_non_null(strstr(response.head, "X-Request-Id: "));
                assert_null(strstr(response.head, wrong));
        }
        client_close(&client);
        world_end(&world);
}

static void test_head_gets_the_length_but_no_body(void **state)
{
        struct response response;
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("HEAD /a HTTP/1.1") HOST END R("GET /b HTTP/1.1") HOST END);
        assert_true(client_hear(&client, false, &response));
        assert_non_null(strstr(response.head, "\r\nContent-Length: 10\r\n"));
        client_expect(&client, 200, "GET /b - ");
        client_say(&client, R("HEAD /a HTTP/1.1") HOST R("Content-Length: 99999") END);
        assert_true(client_hear(&client, false, &response));
        assert_int_equal(response.status, 413);
        client_expect_end(&client);
        client_close(&client);
        world_end(&world);
}

static void test_no_content_has_no_length(void **state)
{
        struct response response;
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("GET /nothing HTTP/1.1") HOST END R("GET /b HTTP/1.1") HOST END);
        assert_true(client_hear(&client, true, &response));
        assert_int_equal(response.status, 204);
        assert_null(strcasestr(response.head, "Content-"));
        assert_non_null(strstr(response.head, "\r\nX-Extra: 1\r\n"));
        client_expect(&client, 200, "GET /b - ");
        client_close(&client);
        world_end(&world);
}

static void test_http_1_0_gets_its_answer_and_the_end(void **state)
{
        struct response response;
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("GET /a HTTP/1.0") R("Connection: keep-alive") END);
        assert_true(client_hear(&client, true, &response));
        assert_int_equal(response.status, 200);
        assert_non_null(strstr(response.head, "\r\nConnection: close\r\n"));
        client_expect_end(&client);
        client_close(&client);
        wait_for_connections(&world, 0);
        world_end(&world);
}

/* ---- expectations and refusals ---- */

static void test_continue_is_said_once_the_size_fits(void **state)
{
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("POST /a HTTP/1.1") HOST R("Expect: 100-continue") R("Content-Length: 2") END);
        client_expect(&client, 100, NULL);
        assert_int_equal(world.n_requests, 0);
        client_say(&client, "hi");
        client_expect(&client, 200, "POST /a - hi");
        /* Nobody waits for it when the body is there already, or is not coming. */
        client_say(&client,
                R("POST /b HTTP/1.1") HOST R("Expect: 100-continue") R("Content-Length: 2") END "hi");
        client_expect(&client, 200, "POST /b - hi");
        client_say(&client, R("POST /c HTTP/1.1") HOST R("Expect: 100-continue") END);
        client_expect(&client, 200, "POST /c - ");
        client_close(&client);
        world_end(&world);
}

static void test_a_body_that_is_too_large_reads_its_answer(void **state)
{
        static char megabyte[1024 * 1024];
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("POST /a HTTP/1.1") HOST R("Content-Length: 8388608") END);
        /* It sends everything before it looks: without a lingering close it would meet an RST instead. */
        for (int i = 0; i < 8; i++)
                client_send(&client, megabyte, sizeof megabyte);
        client_expect(&client, 413, "refused: the body is too large");
        client_expect_end(&client);
        client_close(&client);
        wait_for_connections(&world, 0);
        world_end(&world);
}

static void test_what_follows_a_refused_request_is_not_served(void **state)
{
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("GET / HTTP/1.1") END R("GET /smuggled HTTP/1.1") HOST END);
        client_expect(&client, 400, "refused: Host is missing");
        client_expect_end(&client);
        assert_int_equal(world.n_requests, 0);
        client_close(&client);
        world_end(&world);
}

static void test_a_request_cut_short_is_told_so(void **state)
{
        static const char *const rows[] = { "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n",
                R("POST / HTTP/1.1") HOST R("Content-Length: 5") END "hell",
                R("POST / HTTP/1.1") HOST R("Transfer-Encoding: chunked") END R("5") "hel" };
        struct world world;

        (void)state;
        world_begin(&world);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct client client = client_open(&world);

                client_say(&client, rows[i]);
                shutdown(client.fd, SHUT_WR);
                client_expect(&client, 400, "refused: the request ends too early");
                client_expect_end(&client);
                client_close(&client);
        }
        assert_int_equal(world.n_requests, 0);
        wait_for_connections(&world, 0);
        world_end(&world);
}

/* ---- deadlines ---- */

static void client_drip(struct client *client, bool has_more)
{
        client_send(client, "x", has_more ? 1 : 0);
        client_receive(client);
}

static void test_a_dripping_header_is_cut_off(void **state)
{
        struct http_limits limits = limits_short();
        struct client client;
        struct world world;

        (void)state;
        limits.idle_timeout_ms = 10000;
        world_begin_with(&world, &limits, 0);
        client = client_open(&world);
        client_say(&client, "GET / HTTP/1.1\r\nX: ");
        for (int i = 0; world.n_refusals == 0 && i < PATIENCE_TURNS; i++)
                client_drip(&client, i < 1500);
        client_expect(&client, 408, "refused: the header took too long to arrive");
        client_expect_end(&client);
        client_close(&client);
        world_end(&world);
}

static void test_a_dripping_body_is_cut_off(void **state)
{
        struct http_limits limits = limits_short();
        struct client client;
        struct world world;

        (void)state;
        limits.idle_timeout_ms = 10000;
        world_begin_with(&world, &limits, 0);
        client = client_open(&world);
        client_say(&client, R("POST / HTTP/1.1") HOST R("Content-Length: 4096") END);
        for (int i = 0; world.n_refusals == 0 && i < PATIENCE_TURNS; i++)
                client_drip(&client, i < 4000);
        client_expect(&client, 408, "refused: the body took too long to arrive");
        client_expect_end(&client);
        client_close(&client);
        world_end(&world);
}

static void test_an_idle_connection_is_closed_without_a_word(void **state)
{
        struct http_limits limits = limits_short();
        struct client fresh, used;
        struct world world;

        (void)state;
        world_begin_with(&world, &limits, 0);
        fresh = client_open(&world);
        used = client_open(&world);
        client_say(&used, R("GET / HTTP/1.1") HOST END);
        client_expect(&used, 200, NULL);
        client_expect_end(&used);
        client_expect_end(&fresh);
        client_close(&used);
        client_close(&fresh);
        wait_for_connections(&world, 0);
        world_end(&world);
}

static void test_a_request_in_progress_has_no_deadline_here(void **state)
{
        struct http_limits limits = limits_short();
        struct client client;
        struct world world;

        (void)state;
        world_begin_with(&world, &limits, 0);
        client = client_open(&world);
        client_say(&client, R("GET /hold HTTP/1.1") HOST END);
        wait_until(&world, &world.n_held, 1);
        for (int i = 0; i < 100; i++)
                client_receive(&client);
        reply_text(world.held[0], 200, "at last");
        client_expect(&client, 200, "at last");
        client_close(&client);
        world_end(&world);
}

static void test_a_reader_that_takes_nothing_is_closed(void **state)
{
        struct http_limits limits = limits_short();
        struct client client;
        struct world world;
        static const char request[] = R("GET /big HTTP/1.1") HOST END;
        int small = 4096;

        (void)state;
        world_begin_with(&world, &limits, 0);
        client = client_open(&world);
        setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        /* Not client_say(): that reads. */
        assert_int_equal(send(client.fd, request, strlen(request), 0), strlen(request));
        wait_until(&world, &world.n_requests, 1);
        wait_for_connections(&world, 0);
        client_close(&client);
        world_end(&world);
}

static void test_a_reader_that_is_merely_slow_gets_everything(void **state)
{
        enum { PIECE = 1024 * 1024, PAUSE_US = 40000 };
        struct http_limits limits = limits_short();
        struct response response;
        struct client client;
        struct world world;

        (void)state;
        /* Less than the whole takes. Between two looks of the server there is always a piece taken. */
        limits.idle_timeout_ms = 400;
        world_begin_with(&world, &limits, 0);
        client = client_open(&world);
        client_say(&client, R("GET /big HTTP/1.1") HOST END);
        for (size_t wanted = PIECE; wanted <= BIG && !client.ended; wanted += PIECE) {
                for (int i = 0; client.input.length < wanted && i < PATIENCE_TURNS; i++)
                        client_receive(&client);
                usleep(PAUSE_US);
        }
        assert_true(client_hear(&client, true, &response));
        assert_int_equal(response.status, 200);
        assert_int_equal(response.body_length, BIG);
        client_close(&client);
        world_end(&world);
}

/* ---- one at a time ---- */

static void test_a_thousand_pipelined_requests_are_answered_in_order(void **state)
{
        struct bytes text;
        struct client client;
        struct world world;
        char expected[64];

        (void)state;
        bytes_init(&text, 1024 * 1024);
        for (int i = 0; i < 1000; i++)
                bytes_format(&text, R("POST /%d HTTP/1.1") HOST R("Content-Length: %d") END "%d", i,
                        i < 10    ? 1
                        : i < 100 ? 2
                                  : 3,
                        i);
        world_begin(&world);
        client = client_open(&world);
        client_send(&client, text.data, text.length);
        for (int i = 0; i < 1000; i++) {
                snprintf(expected, sizeof expected, "POST /%d - %d", i, i);
                client_expect(&client, 200, expected);
        }
        assert_int_equal(world.n_requests, 1000);
        bytes_deinit(&text);
        client_close(&client);
        world_end(&world);
}

static void test_a_request_waits_for_the_one_before_it(void **state)
{
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("GET /hold HTTP/1.1") HOST END R("GET /second HTTP/1.1") HOST END);
        for (int i = 0; i < 20; i++)
                client_receive(&client);
        assert_int_equal(world.n_requests, 1);
        assert_int_equal(client.input.length, 0);
        reply_text(world.held[0], 200, "first");
        client_expect(&client, 200, "first");
        client_expect(&client, 200, "GET /second - ");
        client_close(&client);
        world_end(&world);
}

static void test_input_behind_a_request_in_progress_is_not_read(void **state)
{
        static char megabyte[1024 * 1024];
        size_t sent = 0;
        int stalls = 0, small = 65536;
        struct client client;
        struct world world;

        (void)state;
        world_begin_with(&world, &http_case_limits, small);
        client = client_open(&world);
        setsockopt(client.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        client_say(&client, R("GET /hold HTTP/1.1") HOST END);
        wait_until(&world, &world.n_held, 1);
        while (sent < 16 * sizeof megabyte && stalls < 50) {
                ssize_t n = send(client.fd, megabyte, sizeof megabyte, MSG_DONTWAIT | MSG_NOSIGNAL);

                sent += n > 0 ? (size_t)n : 0;
                stalls = n > 0 ? 0 : stalls + 1;
                client_receive(&client);
        }
        assert_true(sent < 4 * sizeof megabyte);
        client_close(&client);
        world_end(&world);
}

/* ---- departures ---- */

static void test_a_closed_client_is_gone(void **state)
{
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("GET /hold HTTP/1.1") HOST END);
        wait_until(&world, &world.n_held, 1);
        client_close(&client);
        wait_until(&world, &world.n_gone, 1);
        wait_for_connections(&world, 0);
        world_end(&world);
}

static void test_a_reset_client_is_gone(void **state)
{
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("GET /hold HTTP/1.0") END);
        wait_until(&world, &world.n_held, 1);
        client_reset(&client);
        wait_until(&world, &world.n_gone, 1);
        wait_for_connections(&world, 0);
        world_end(&world);
}

static void test_a_client_gone_with_a_pipelined_request_is_gone(void **state)
{
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("GET /hold HTTP/1.1") HOST END R("GET /never HTTP/1.1") HOST END);
        wait_until(&world, &world.n_held, 1);
        client_close(&client);
        wait_until(&world, &world.n_gone, 1);
        wait_for_connections(&world, 0);
        assert_int_equal(world.n_requests, 1);
        world_end(&world);
}

static void test_a_client_that_has_only_finished_sending_gets_its_answer(void **state)
{
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("GET /hold HTTP/1.1") HOST END);
        wait_until(&world, &world.n_held, 1);
        shutdown(client.fd, SHUT_WR);
        client_expect(&client, 102, NULL);
        for (int i = 0; i < 20; i++)
                client_receive(&client);
        assert_int_equal(world.n_gone, 0);
        reply_text(world.held[0], 200, "still here");
        client_expect(&client, 200, "still here");
        client_expect_end(&client);
        client_close(&client);
        wait_for_connections(&world, 0);
        world_end(&world);
}

static void test_a_half_closed_client_that_closes_later_costs_one_answer(void **state)
{
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("GET /hold HTTP/1.1") HOST END);
        wait_until(&world, &world.n_held, 1);
        shutdown(client.fd, SHUT_WR);
        client_expect(&client, 102, NULL);
        /* Nothing tells the server now, until it writes once more: the departure shows in the answer. */
        client_close(&client);
        reply_text(world.held[0], 200, "into the void");
        wait_for_connections(&world, 0);
        assert_int_equal(world.n_gone, 0);
        world_end(&world);
}

static void test_a_half_closed_1_0_client_is_not_probed(void **state)
{
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("GET /hold HTTP/1.0") END);
        wait_until(&world, &world.n_held, 1);
        shutdown(client.fd, SHUT_WR);
        for (int i = 0; i < 20; i++)
                client_receive(&client);
        assert_int_equal(world.n_gone, 0);
        reply_text(world.held[0], 200, "old but here");
        client_expect(&client, 200, "old but here");
        client_expect_end(&client);
        client_close(&client);
        world_end(&world);
}

static void test_pipelined_requests_of_a_half_closed_client_are_all_answered(void **state)
{
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client,
                R("GET /1 HTTP/1.1") HOST END R("GET /2 HTTP/1.1") HOST END R("GET /3 HTTP/1.1") HOST END);
        shutdown(client.fd, SHUT_WR);
        client_expect(&client, 200, "GET /1 - ");
        client_expect(&client, 200, "GET /2 - ");
        client_expect(&client, 200, "GET /3 - ");
        client_expect_end(&client);
        client_close(&client);
        wait_for_connections(&world, 0);
        world_end(&world);
}

static void test_a_reset_in_mid_answer_harms_nobody(void **state)
{
        struct client client, other;
        struct world world;

        (void)state;
        world_begin(&world);
        other = client_open(&world);
        for (int i = 0; i < 5; i++) {
                client = client_open(&world);
                client_say(&client, R("GET /big HTTP/1.1") HOST END R("GET /big HTTP/1.1") HOST END);
                client_receive(&client);
                client_reset(&client);
        }
        wait_for_connections(&world, 1);
        client_say(&other, R("GET /fine HTTP/1.1") HOST END);
        client_expect(&other, 200, "GET /fine - ");
        client_close(&other);
        world_end(&world);
}

/* ---- limits, end ---- */

static void test_one_connection_too_many_is_told_so(void **state)
{
        struct http_limits limits = http_case_limits;
        struct client first, second, third;
        struct world world;

        (void)state;
        limits.connections = 2;
        world_begin_with(&world, &limits, 0);
        first = client_open(&world);
        second = client_open(&world);
        wait_for_connections(&world, 2);
        third = client_open(&world);
        client_expect(&third, 503, "refused: too many open connections");
        client_expect_end(&third);
        client_close(&third);
        client_close(&second);
        wait_for_connections(&world, 1);

        second = client_open(&world);
        client_say(&second, R("GET /room HTTP/1.1") HOST END);
        client_expect(&second, 200, "GET /room - ");
        client_close(&second);
        client_close(&first);
        world_end(&world);
}

static void test_a_crowd_at_the_door_does_not_keep_those_inside_waiting(void **state)
{
        enum { CROWD = 400 };
        static struct client crowd[CROWD];
        struct http_limits limits = http_case_limits;
        struct response response;
        struct client inside;
        struct world world;

        (void)state;
        limits.connections = 1;
        world_begin_with(&world, &limits, 0);
        inside = client_open(&world);
        wait_for_connections(&world, 1);
        for (size_t i = 0; i < CROWD; i++) {
                crowd[i] = client_open(&world);
                turn(&world);
        }
        for (size_t i = 0; i < CROWD; i++) {
                assert_true(client_hear(&crowd[i], true, &response));
                assert_int_equal(response.status, 503);
        }
        assert_true(http_server_connections(world.server) < 300);
        client_say(&inside, R("GET /inside HTTP/1.1") HOST END);
        client_expect(&inside, 200, "GET /inside - ");
        for (size_t i = 0; i < CROWD; i++)
                client_close(&crowd[i]);
        client_close(&inside);
        wait_for_connections(&world, 0);
        world_end(&world);
}

static void test_running_out_of_descriptors_passes(void **state)
{
        struct rlimit before, none_left;
        struct client client, later;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        getrlimit(RLIMIT_NOFILE, &before);
        none_left = (struct rlimit){ .rlim_cur = (rlim_t)client.fd + 1, .rlim_max = before.rlim_max };
        assert_return_code(setrlimit(RLIMIT_NOFILE, &none_left), errno);
        for (int i = 0; i < 20; i++)
                client_receive(&client);
        assert_int_equal(http_server_connections(world.server), 0);
        assert_return_code(setrlimit(RLIMIT_NOFILE, &before), errno);
        /* The first one waited in the backlog, or was lost there (valgrind drops it): the next one is served.
         */
        later = client_open(&world);
        client_say(&later, R("GET /later HTTP/1.1") HOST END);
        client_expect(&later, 200, "GET /later - ");
        client_close(&later);
        client_close(&client);
        world_end(&world);
}

static void test_draining_ends_idle_connections_and_finishes_answers(void **state)
{
        struct response response;
        struct client idle, busy;
        struct world world;

        (void)state;
        world_begin(&world);
        idle = client_open(&world);
        busy = client_open(&world);
        client_say(&busy, R("GET /hold HTTP/1.1") HOST END);
        wait_until(&world, &world.n_held, 1);
        wait_for_connections(&world, 2);
        http_server_drain(world.server);
        client_expect_end(&idle);
        assert_int_equal(http_server_connections(world.server), 1);
        reply_text(world.held[0], 200, "the last");
        assert_true(client_hear(&busy, true, &response));
        assert_string_equal(response.body, "the last");
        assert_non_null(strstr(response.head, "\r\nConnection: close\r\n"));
        client_expect_end(&busy);
        client_close(&busy);
        client_close(&idle);
        wait_for_connections(&world, 0);
        world_end(&world);
}

static void test_a_server_may_be_freed_in_the_middle_of_everything(void **state)
{
        struct client idle, head, body, busy, answer;
        struct world world;

        (void)state;
        world_begin(&world);
        idle = client_open(&world);
        head = client_open(&world);
        body = client_open(&world);
        busy = client_open(&world);
        answer = client_open(&world);
        client_say(&head, "GET / HTTP");
        client_say(&body, R("POST / HTTP/1.1") HOST R("Content-Length: 5") END "he");
        client_say(&busy, R("GET /hold HTTP/1.1") HOST END);
        client_say(&answer, R("GET /big HTTP/1.1") HOST END);
        wait_until(&world, &world.n_held, 1);
        wait_for_connections(&world, 5);
        world.server = http_server_free(world.server);
        client_close(&idle);
        client_close(&head);
        client_close(&body);
        client_close(&busy);
        client_close(&answer);
        world_end(&world);
}

static void test_a_request_may_be_answered_after_its_client_has_gone(void **state)
{
        struct client client;
        struct world world;

        (void)state;
        world_begin(&world);
        client = client_open(&world);
        client_say(&client, R("GET /hold HTTP/1.1") HOST END);
        wait_until(&world, &world.n_held, 1);
        /* Nobody wants to know about it: then the connection waits for the answer. */
        http_on_gone(world.held[0], NULL, NULL);
        client_reset(&client);
        for (int i = 0; i < 20; i++) {
                turn(&world);
                usleep(1000);
        }
        assert_int_equal(http_server_connections(world.server), 1);
        reply_text(world.held[0], 200, "");
        wait_for_connections(&world, 0);
        world_end(&world);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_case_over_a_socket),
                cmocka_unit_test(test_every_case_byte_by_byte),
                cmocka_unit_test(test_an_answer_has_its_headers),
                cmocka_unit_test(test_a_strange_request_id_is_replaced),
                cmocka_unit_test(test_head_gets_the_length_but_no_body),
                cmocka_unit_test(test_no_content_has_no_length),
                cmocka_unit_test(test_http_1_0_gets_its_answer_and_the_end),
                cmocka_unit_test(test_continue_is_said_once_the_size_fits),
                cmocka_unit_test(test_a_body_that_is_too_large_reads_its_answer),
                cmocka_unit_test(test_what_follows_a_refused_request_is_not_served),
                cmocka_unit_test(test_a_request_cut_short_is_told_so),
                cmocka_unit_test(test_a_dripping_header_is_cut_off),
                cmocka_unit_test(test_a_dripping_body_is_cut_off),
                cmocka_unit_test(test_an_idle_connection_is_closed_without_a_word),
                cmocka_unit_test(test_a_request_in_progress_has_no_deadline_here),
                cmocka_unit_test(test_a_reader_that_takes_nothing_is_closed),
                cmocka_unit_test(test_a_reader_that_is_merely_slow_gets_everything),
                cmocka_unit_test(test_a_thousand_pipelined_requests_are_answered_in_order),
                cmocka_unit_test(test_a_request_waits_for_the_one_before_it),
                cmocka_unit_test(test_input_behind_a_request_in_progress_is_not_read),
                cmocka_unit_test(test_a_closed_client_is_gone),
                cmocka_unit_test(test_a_reset_client_is_gone),
                cmocka_unit_test(test_a_client_gone_with_a_pipelined_request_is_gone),
                cmocka_unit_test(test_a_client_that_has_only_finished_sending_gets_its_answer),
                cmocka_unit_test(test_a_half_closed_client_that_closes_later_costs_one_answer),
                cmocka_unit_test(test_a_half_closed_1_0_client_is_not_probed),
                cmocka_unit_test(test_pipelined_requests_of_a_half_closed_client_are_all_answered),
                cmocka_unit_test(test_a_reset_in_mid_answer_harms_nobody),
                cmocka_unit_test(test_one_connection_too_many_is_told_so),
                cmocka_unit_test(test_a_crowd_at_the_door_does_not_keep_those_inside_waiting),
                cmocka_unit_test(test_running_out_of_descriptors_passes),
                cmocka_unit_test(test_draining_ends_idle_connections_and_finishes_answers),
                cmocka_unit_test(test_a_server_may_be_freed_in_the_middle_of_everything),
                cmocka_unit_test(test_a_request_may_be_answered_after_its_client_has_gone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
