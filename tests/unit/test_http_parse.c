/* The HTTP parser alone: every case of http_cases.h, whole and cut at every byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "http_cases.h"
#include "server/http_parse.h"

struct outcome {
        int r; /* 0, HTTP_MORE or HTTP_REFUSED */
        struct http_refusal refusal;
        struct http_head head;
        struct bytes body;
        size_t used;
};

/* Reads one request as a connection does, in two pieces: text[0..cut), then the rest. */
static void request_read(const char *text, size_t length, size_t cut, struct outcome *ret)
{
        const struct http_limits *limits = &http_case_limits;
        struct http_framing framing;
        struct http_scan scan = { 0 };
        size_t at, n;

        *ret = (struct outcome){ 0 };
        ret->r = http_head_scan(&scan, text, cut, limits, &ret->refusal);
        if (ret->r == HTTP_MORE)
                ret->r = http_head_scan(&scan, text, length, limits, &ret->refusal);
        if (ret->r == 0)
                ret->r = http_head_parse(
                        &ret->head, text + scan.start, scan.end - scan.start, limits, &ret->refusal);
        if (ret->r != 0)
                return;

        at = scan.end;
        http_framing_init(&framing, &ret->head, limits, &ret->body);
        n = cut > at ? cut - at : 0;
        ret->r = http_framing_read(&framing, text + at, n, &ret->body, &n, &ret->refusal);
        at += n;
        if (ret->r == HTTP_MORE) {
                ret->r = http_framing_read(&framing, text + at, length - at, &ret->body, &n, &ret->refusal);
                at += n;
        }
        ret->used = at;
}

static void outcome_free(struct outcome *outcome)
{
        http_head_deinit(&outcome->head);
        bytes_deinit(&outcome->body);
}

static void case_check(const struct http_case *row, const struct outcome *outcome, size_t cut)
{
        const char *path = row->path ? row->path : "/", *body = row->body ? row->body : "";
        int status = outcome->r == HTTP_REFUSED ? outcome->refusal.status : outcome->r == 0 ? 200 : 0;

        if (status != row->status)
                fail_msg("%s, cut at %zu: %d instead of %d (%s)", row->title, cut, status, row->status,
                        outcome->refusal.detail ? outcome->refusal.detail : "not refused");
        if (status != 200)
                return;
        if (strcmp(outcome->head.path, path) != 0)
                fail_msg("%s: path %s instead of %s", row->title, outcome->head.path, path);
        if (outcome->body.length != strlen(body) || memcmp(outcome->body.data ?: "", body, strlen(body)) != 0)
                fail_msg("%s: body '%s' instead of '%s'", row->title, outcome->body.data, body);
        if (outcome->used != strlen(row->text))
                fail_msg("%s: %zu bytes used", row->title, outcome->used);
}

static void test_every_case_wherever_it_is_cut(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(http_cases); i++) {
                size_t length = strlen(http_cases[i].text);
                /* Of an exact size, so that a sanitizer sees the first byte read beyond it. */
                char *text = malloc(length);

                memcpy(text, http_cases[i].text, length);
                for (size_t cut = 0; cut <= length; cut += cut < 600 ? 1 : 997) {
                        struct outcome outcome;

                        request_read(text, length, cut, &outcome);
                        case_check(&http_cases[i], &outcome, cut);
                        outcome_free(&outcome);
                }
                free(text);
        }
}

static void test_an_unfinished_request_waits_for_more(void **state)
{
        static const char text[] = R("POST /a HTTP/1.1") HOST R("Transfer-Encoding: chunked") END R("3")
                R("abc") R("0") R("T: x") END;

        (void)state;
        for (size_t length = 0; length + 1 < sizeof text; length++) {
                struct outcome outcome;

                request_read(text, length, length / 2, &outcome);
                assert_int_equal(outcome.r, HTTP_MORE);
                outcome_free(&outcome);
        }
}

static void test_a_nul_byte_is_refused_wherever_it_stands(void **state)
{
        static const char text[] = R("GET /abc HTTP/1.1") HOST R("Accept: x") END;

        (void)state;
        for (size_t i = 0; i + 1 < sizeof text; i++) {
                char copy[sizeof text];
                struct outcome outcome;

                memcpy(copy, text, sizeof text);
                copy[i] = 0;
                request_read(copy, sizeof text - 1, 0, &outcome);
                assert_int_equal(outcome.r, HTTP_REFUSED);
                assert_int_equal(outcome.refusal.status, 400);
                outcome_free(&outcome);
        }
}

static void test_what_follows_a_request_is_left_alone(void **state)
{
        static const char first[] = R("POST /1 HTTP/1.1") HOST R("Content-Length: 3") END "abc";
        static const char both[] =
                R("POST /1 HTTP/1.1") HOST R("Content-Length: 3") END "abcGET /2 HTTP/1.1\r\n";
        struct outcome outcome;

        (void)state;
        request_read(both, sizeof both - 1, 0, &outcome);
        assert_int_equal(outcome.r, 0);
        assert_int_equal(outcome.used, sizeof first - 1);
        outcome_free(&outcome);
}

static void test_parameters_are_decoded_as_a_form(void **state)
{
        static const char text[] =
                R("GET /?a=1&b=x+y%26z&a=2&empty=&bare&%6eame=caf%C3%A9&=lost&&c=%2B=d HTTP/1.1") HOST END;
        struct outcome outcome;

        (void)state;
        request_read(text, sizeof text - 1, 0, &outcome);
        assert_int_equal(outcome.r, 0);
        assert_string_equal(http_head_parameter(&outcome.head, "a"), "1");
        assert_string_equal(http_head_parameter(&outcome.head, "b"), "x y&z");
        assert_string_equal(http_head_parameter(&outcome.head, "empty"), "");
        assert_string_equal(http_head_parameter(&outcome.head, "bare"), "");
        assert_string_equal(http_head_parameter(&outcome.head, "name"), "caf\xc3\xa9");
        assert_string_equal(http_head_parameter(&outcome.head, "c"), "+=d");
        assert_null(http_head_parameter(&outcome.head, "lost"));
        assert_null(http_head_parameter(&outcome.head, ""));
        assert_null(http_head_parameter(&outcome.head, "absent"));
        outcome_free(&outcome);
}

static void test_a_query_of_nothing_but_names_fits(void **state)
{
        static const char text[] = "GET /?a" HUNDRED("&a") HUNDRED("&a") "&b=c HTTP/1.1\r\n" HOST END;
        struct outcome outcome;

        (void)state;
        request_read(text, sizeof text - 1, 0, &outcome);
        assert_int_equal(outcome.r, 0);
        assert_string_equal(http_head_parameter(&outcome.head, "b"), "c");
        outcome_free(&outcome);
}

static void test_fields_are_found_in_any_case(void **state)
{
        static const char text[] = R("GET / HTTP/1.1") HOST R("ACCEPT:  a, b\t") R("accept: c") END;
        struct outcome outcome;

        (void)state;
        request_read(text, sizeof text - 1, 0, &outcome);
        assert_string_equal(http_head_field(&outcome.head, "Accept", 0), "a, b");
        assert_string_equal(http_head_field(&outcome.head, "Accept", 1), "c");
        assert_null(http_head_field(&outcome.head, "Accept", 2));
        assert_string_equal(http_head_field(&outcome.head, "host", 0), "mayfly.test");
        assert_null(http_head_field(&outcome.head, "Acc", 0));
        outcome_free(&outcome);
}

static void test_who_keeps_the_connection(void **state)
{
        static const struct {
                const char *text;
                bool keeps_alive;
        } rows[] = {
                { R("GET / HTTP/1.1") HOST END, true },
                { R("GET / HTTP/1.1") HOST R("Connection: close") END, false },
                { R("GET / HTTP/1.1") HOST R("Connection: Upgrade,\t CLOSE") END, false },
                { R("GET / HTTP/1.1") HOST R("Connection: closed, enclose") END, true },
                { R("GET / HTTP/1.1") HOST R("Connection: close") R("Connection: keep-alive") END, false },
                { R("GET / HTTP/1.0") HOST END, false },
                { R("GET / HTTP/1.0") HOST R("Connection: keep-alive") END, false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct outcome outcome;

                request_read(rows[i].text, strlen(rows[i].text), 0, &outcome);
                assert_int_equal(outcome.r, 0);
                assert_int_equal(outcome.head.keeps_alive, rows[i].keeps_alive);
                outcome_free(&outcome);
        }
}

static void test_a_refused_request_still_tells_its_method_and_id(void **state)
{
        static const char text[] =
                R("HEAD / HTTP/1.1") HOST R("X-Request-Id: abc") R("Content-Length: 99999") END;
        struct outcome outcome;

        (void)state;
        request_read(text, sizeof text - 1, 0, &outcome);
        assert_int_equal(outcome.r, HTTP_REFUSED);
        assert_int_equal(outcome.refusal.status, 413);
        assert_string_equal(outcome.head.method, "HEAD");
        assert_string_equal(http_head_field(&outcome.head, "x-request-id", 0), "abc");
        outcome_free(&outcome);
}

static void test_garbage_given_to_the_head_parser_is_refused(void **state)
{
        static const char *const rows[] = { "", "\n", "\r\n", "\r\n\r\n", "GET / HTTP/1.1",
                "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\n\r\nmore", "GET / HTTP/1.1\nHost: a\n\n" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct http_refusal refusal;
                struct http_head head;

                assert_int_equal(
                        http_head_parse(&head, rows[i], strlen(rows[i]), &http_case_limits, &refusal),
                        HTTP_REFUSED);
                http_head_deinit(&head);
        }
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_case_wherever_it_is_cut),
                cmocka_unit_test(test_an_unfinished_request_waits_for_more),
                cmocka_unit_test(test_a_nul_byte_is_refused_wherever_it_stands),
                cmocka_unit_test(test_what_follows_a_request_is_left_alone),
                cmocka_unit_test(test_parameters_are_decoded_as_a_form),
                cmocka_unit_test(test_a_query_of_nothing_but_names_fits),
                cmocka_unit_test(test_fields_are_found_in_any_case),
                cmocka_unit_test(test_who_keeps_the_connection),
                cmocka_unit_test(test_a_refused_request_still_tells_its_method_and_id),
                cmocka_unit_test(test_garbage_given_to_the_head_parser_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
