/*
 * Pipelined requests out of arbitrary bytes. The first byte says where the input is cut in two: a request
 * must read the same whether it comes in one piece or in two, and what is accepted must be what http_parse.h
 * promises.
 */

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "server/http_parse.h"
#include "server/utf8.h"

static const struct http_limits limits = { .header_bytes = 1024, .header_count = 16, .body_bytes = 2048 };

struct outcome {
        int r;
        struct http_refusal refusal;
        struct http_head head;
        struct bytes body;
        size_t used;
};

static void body_read(const char *text, size_t cut, size_t length, struct outcome *outcome)
{
        const size_t ends[] = { cut, length };
        struct http_framing framing;

        http_framing_init(&framing, &outcome->head, &limits, &outcome->body);
        for (size_t i = 0; i < 2; i++) {
                size_t n = ends[i] > outcome->used ? ends[i] - outcome->used : 0;

                outcome->r = http_framing_read(
                        &framing, text + outcome->used, n, &outcome->body, &n, &outcome->refusal);
                must(outcome->r >= 0);
                must(outcome->used + n <= length);
                outcome->used += n;
                if (outcome->r != HTTP_MORE)
                        return;
                must(i == 0 || outcome->used == length);
        }
}

static void request_read(const char *text, size_t cut, size_t length, struct outcome *ret)
{
        struct http_scan scan = { 0 };

        *ret = (struct outcome){ 0 };
        ret->r = http_head_scan(&scan, text, cut, &limits, &ret->refusal);
        if (ret->r == HTTP_MORE)
                ret->r = http_head_scan(&scan, text, length, &limits, &ret->refusal);
        if (ret->r != 0)
                return;
        must(scan.start < scan.end && scan.end <= length && scan.end - scan.start <= limits.header_bytes);
        ret->r =
                http_head_parse(&ret->head, text + scan.start, scan.end - scan.start, &limits, &ret->refusal);
        ret->used = scan.end;
        if (ret->r == 0)
                body_read(text, cut, length, ret);
}

static void outcome_free(struct outcome *outcome)
{
        http_head_deinit(&outcome->head);
        bytes_deinit(&outcome->body);
}

static void text_check(const char *text)
{
        const unsigned char *at = (const unsigned char *)text, *end = at + strlen(text);

        for (size_t n; at < end; at += n) {
                n = utf8_sequence(at, end);
                must(n > 0);
        }
}

static void accepted_check(const struct outcome *outcome)
{
        const struct http_head *head = &outcome->head;

        must(head->path[0] == '/' || strcmp(head->path, "*") == 0);
        text_check(head->path);
        for (const char *c = head->path; *c; c++)
                must((unsigned char)*c >= 0x20 && *c != 0x7f);
        for (const char *at = head->parameters; *at; at += strlen(at) + 1) {
                text_check(at);
                at += strlen(at) + 1;
                text_check(at);
        }
        must(!head->is_1_1 || http_head_field(head, "HOST", 0));
        must(head->n_fields <= limits.header_count);
        for (size_t i = 0; i < head->n_fields; i++) {
                must(head->fields[i].name[0] && !strpbrk(head->fields[i].name, " \t\r\n:"));
                must(!strpbrk(head->fields[i].value, "\r\n"));
        }
        must(!head->chunked || !http_head_field(head, "content-length", 0));
        must(outcome->body.length <= limits.body_bytes);
        must(head->chunked || outcome->r != 0 || outcome->body.length == head->content_length);
}

static void same_check(const struct outcome *a, const struct outcome *b)
{
        must(a->r == b->r);
        must(a->r != HTTP_REFUSED || (a->refusal.status == b->refusal.status && a->refusal.status >= 400));
        must(a->r != 0 || (a->used == b->used && a->body.length == b->body.length));
        must(a->r != 0 || a->body.length == 0 || memcmp(a->body.data, b->body.data, a->body.length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data + 1;
        size_t length = size - 1;

        if (size == 0)
                return 0;
        /* Anything must be safe to give to the head parser, scanned or not. */
        struct http_head head;
        struct http_refusal refusal;

        http_head_parse(&head, text, length, &limits, &refusal);
        http_head_deinit(&head);

        for (int i = 0; i < 8 && length > 0; i++) {
                struct outcome whole, cut;
                size_t used;
                bool is_accepted;

                request_read(text, length, length, &whole);
                request_read(text, length * data[0] / 256, length, &cut);
                same_check(&whole, &cut);
                is_accepted = whole.r == 0;
                used = whole.used;
                if (is_accepted)
                        accepted_check(&whole);
                outcome_free(&whole);
                outcome_free(&cut);
                if (!is_accepted)
                        break;
                text += used;
                length -= used;
        }
        return 0;
}
