#include "server/http_parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/macros.h"
#include "server/utf8.h"

/* Chunk extensions and trailers say nothing to us. They are read past, up to this much of one body. */
enum { CHUNK_OVERHEAD_MAX = 4096, CHUNK_DIGITS_MAX = 16 };

static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };

static int read_host(struct http_head *head, const char *value, struct http_refusal *refusal);
static int read_content_length(struct http_head *head, const char *value, struct http_refusal *refusal);
static int read_transfer_encoding(struct http_head *head, const char *value, struct http_refusal *refusal);
static int read_content_encoding(struct http_head *head, const char *value, struct http_refusal *refusal);
static int read_connection(struct http_head *head, const char *value, struct http_refusal *refusal);
static int read_expect(struct http_head *head, const char *value, struct http_refusal *refusal);

/* The fields that this server acts on, or that must not be there twice. All others pass to whom they concern.
 */
enum { RULE_HOST, RULE_CONTENT_LENGTH, RULE_TRANSFER_ENCODING };

static const struct {
        const char *name;
        bool once;
        int (*read)(struct http_head *head, const char *value, struct http_refusal *refusal);
} rules[] = {
        [RULE_HOST] = { "host", true, read_host },
        [RULE_CONTENT_LENGTH] = { "content-length", true, read_content_length },
        [RULE_TRANSFER_ENCODING] = { "transfer-encoding", true, read_transfer_encoding },
        { "content-encoding", false, read_content_encoding },
        { "connection", false, read_connection },
        { "expect", true, read_expect },
        { "authorization", true, NULL },
        { "content-type", true, NULL },
        { "x-request-id", true, NULL },
        { "idempotency-key", true, NULL },
        { "last-event-id", true, NULL },
};

enum framing_state {
        FRAMING_LENGTH, /* Content-Length: plain bytes */
        CHUNK_SIZE,
        CHUNK_EXTENSION,
        CHUNK_SIZE_LF,
        CHUNK_DATA,
        CHUNK_DATA_CR,
        CHUNK_DATA_LF,
        TRAILER_START,
        TRAILER,
        TRAILER_LF,
        END_LF,
        FRAMING_DONE,
};

/* The states that allow one byte only, and what follows it. */
static const struct {
        char byte;
        enum framing_state next;
} fixed_steps[FRAMING_DONE + 1] = {
        [CHUNK_SIZE_LF] = { '\n', CHUNK_DATA },
        [CHUNK_DATA_CR] = { '\r', CHUNK_DATA_LF },
        [CHUNK_DATA_LF] = { '\n', CHUNK_SIZE },
        [TRAILER_LF] = { '\n', TRAILER_START },
        [END_LF] = { '\n', FRAMING_DONE },
};

static int refuse(struct http_refusal *refusal, int status, const char *detail)
{
        *refusal = (struct http_refusal){ .status = status, .detail = detail };
        return HTTP_REFUSED;
}

static bool is_token_char(unsigned char c)
{
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
                return true;
        return c && strchr("!#$%&'*+-.^_`|~", c);
}

static bool is_token(const char *text)
{
        const char *at = text;

        while (is_token_char((unsigned char)*at))
                at++;
        return at > text && !*at;
}

static bool is_control(unsigned char c)
{
        return c < 0x20 || c == 0x7f;
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* ---- where the head ends ---- */

static int scan_line_end(
        struct http_scan *scan, size_t at, const struct http_limits *limits, struct http_refusal *refusal)
{
        bool empty = at == scan->line_start + 1;

        scan->line_start = at + 1;
        if (empty && scan->lines > 0) {
                scan->end = at + 1;
                return 0;
        }
        if (empty && scan->start > 0)
                return refuse(refusal, 400, "empty lines where a request should begin");
        if (empty)
                scan->start = at + 1;
        else if (scan->lines++ > limits->header_count)
                return refuse(refusal, 431, "too many header fields");
        return HTTP_MORE;
}

static int scan_byte(struct http_scan *scan, const char *text, size_t at, const struct http_limits *limits,
        struct http_refusal *refusal)
{
        unsigned char byte = (unsigned char)text[at];
        bool after_cr = at > scan->line_start && text[at - 1] == '\r';

        if (byte == '\n')
                return after_cr ? scan_line_end(scan, at, limits, refusal)
                                : refuse(refusal, 400, "a line ends in LF without CR");
        if (after_cr)
                return refuse(refusal, 400, "CR without LF");
        if (is_control(byte) && byte != '\t' && byte != '\r')
                return refuse(refusal, 400, "control character in the header");
        return HTTP_MORE;
}

int http_head_scan(struct http_scan *scan, const char *text, size_t length, const struct http_limits *limits,
        struct http_refusal *ret_refusal)
{
        while (scan->scanned < length) {
                int r;

                if (scan->scanned - scan->start >= limits->header_bytes)
                        return scan->lines == 0 ? refuse(ret_refusal, 414, "the request line is too long")
                                                : refuse(ret_refusal, 431, "the header is too large");
                r = scan_byte(scan, text, scan->scanned++, limits, ret_refusal);
                if (r != HTTP_MORE)
                        return r;
        }
        return HTTP_MORE;
}

/* ---- the request line ---- */

/* Decodes %XX in place, and '+' where a form is decoded. -1: bad encoding, or a NUL that would end the text.
 */
static int percent_decode(char *text, bool is_form)
{
        char *to = text;

        for (const char *from = text; *from; from++) {
                int high, low;

                if (*from != '%') {
                        *to++ = is_form && *from == '+' ? ' ' : *from;
                        continue;
                }
                high = hex_digit(from[1]);
                low = high < 0 ? -1 : hex_digit(from[2]);
                if (low < 0 || high + low == 0)
                        return -1;
                *to++ = (char)(high << 4 | low);
                from += 2;
        }
        *to = 0;
        return 0;
}

static bool is_utf8(const char *text)
{
        const unsigned char *at = (const unsigned char *)text, *end = at + strlen(text);

        while (at < end) {
                size_t n = utf8_sequence(at, end);

                if (n == 0)
                        return false;
                at += n;
        }
        return true;
}

static int path_parse(struct http_head *head, char *path, struct http_refusal *refusal)
{
        if (percent_decode(path, false) < 0)
                return refuse(refusal, 400, "bad percent-encoding in the path");
        if (!is_utf8(path))
                return refuse(refusal, 400, "the path is not UTF-8");
        for (const char *c = path; *c; c++) {
                if (is_control((unsigned char)*c))
                        return refuse(refusal, 400, "control character in the path");
        }
        head->path = path;
        return 0;
}

/*
 * `version=1&x=a%20b` becomes "version\0" "1\0" "x\0" "a b\0" "\0". Decoded once and checked as a whole: a
 * parameter that cannot be read must not look like one that is absent. `to` has room for twice the query + 2.
 */
static int query_parse(struct http_head *head, char *query, char *to, struct http_refusal *refusal)
{
        char *name, *rest = query;

        head->parameters = to;
        while ((name = strsep(&rest, "&"))) {
                char *value = strchr(name, '=');

                if (value)
                        *value++ = 0;
                else
                        value = name + strlen(name);
                if (percent_decode(name, true) < 0 || (*value && percent_decode(value, true) < 0))
                        return refuse(refusal, 400, "bad percent-encoding in the query");
                if (!is_utf8(name) || !is_utf8(value))
                        return refuse(refusal, 400, "the query is not UTF-8");
                if (!*name)
                        continue;
                to = stpcpy(to, name) + 1;
                to = stpcpy(to, value) + 1;
        }
        *to = 0;
        return 0;
}

/* uri-host [":" port], RFC 3986 3.2. User information is no part of it: it only serves to deceive. */
static bool is_authority(const char *text)
{
        size_t length;

        if (*text == '[') {
                length = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
                if (length == 1 || text[length++] != ']')
                        return false;
        } else {
                length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                      "-._~%!$&'()*+,;=");
        }
        if (text[length] == ':')
                length += 1 + strspn(text + length + 1, "0123456789");
        return !text[length];
}

/* http://authority/path: proxies' form, which a server must understand too. Leaves *target at the path. */
static int absolute_form_parse(struct http_head *head, char **target, struct http_refusal *refusal)
{
        char *authority = *target + strlen("http://");
        size_t length = strcspn(authority, "/?");
        static char root[] = "/";

        *target = authority[length] ? authority + length : root;
        if (length == 0 || **target == '?')
                return refuse(refusal, 400, "the target lacks a host or a path");
        /* One byte to the left, over a slash, so that the authority can end in a NUL of its own. */
        memmove(authority - 1, authority, length);
        authority[length - 1] = 0;
        head->authority = authority - 1;
        if (!is_authority(head->authority))
                return refuse(refusal, 400, "malformed host in the target");
        return 0;
}

static int target_parse(struct http_head *head, char *target, char *parameters, struct http_refusal *refusal)
{
        char *query;
        int r;

        for (const char *c = target; *c; c++) {
                if (*c < 0x21 || *c > 0x7e || strchr("\"<>\\#", *c))
                        return refuse(refusal, 400, "the target holds a character that must be encoded");
        }
        if (strncasecmp(target, "http://", 7) == 0) {
                r = absolute_form_parse(head, &target, refusal);
                if (r != 0)
                        return r;
        } else if (strcmp(target, "*") == 0 && strcmp(head->method, "OPTIONS") == 0) {
                head->path = target;
                return 0;
        } else if (*target != '/') {
                return refuse(refusal, 400, "the target must begin with /");
        }

        query = target + strcspn(target, "?");
        if (*query)
                *query++ = 0;
        r = query_parse(head, query, parameters, refusal);
        return r ? r : path_parse(head, target, refusal);
}

static int method_parse(struct http_head *head, const char *method, struct http_refusal *refusal)
{
        if (!is_token(method))
                return refuse(refusal, 400, "malformed request line");
        head->method = method;
        for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
                if (strcmp(method, methods[i]) == 0)
                        return 0;
        }
        return refuse(refusal, 501, "this method is not implemented");
}

/* `PRI * HTTP/2.0`, how a client with prior knowledge opens HTTP/2, ends here too. */
static int version_parse(struct http_head *head, const char *version, struct http_refusal *refusal)
{
        if (strcmp(version, "HTTP/1.1") == 0)
                head->is_1_1 = true;
        else if (strcmp(version, "HTTP/1.0") != 0) {
                if (strncmp(version, "HTTP/", 5) != 0 || strlen(version) != 8 || version[6] != '.' ||
                        hex_digit(version[5]) > 9 || hex_digit(version[5]) < 0 || hex_digit(version[7]) > 9 ||
                        hex_digit(version[7]) < 0)
                        return refuse(refusal, 400, "malformed request line");
                return refuse(refusal, 505, "this server speaks HTTP/1.1");
        }
        head->keeps_alive = head->is_1_1;
        return 0;
}

static int request_line_parse(
        struct http_head *head, char *line, char *parameters, struct http_refusal *refusal)
{
        char *method = strsep(&line, " "), *target = strsep(&line, " ");
        char *version = line;
        int r;

        if (!target || !*target || !version)
                return refuse(refusal, 400, "malformed request line");
        r = version_parse(head, version, refusal);
        if (r == 0)
                r = method_parse(head, method, refusal);
        return r ? r : target_parse(head, target, parameters, refusal);
}

/* ---- header fields ---- */

static int read_host(struct http_head *head, const char *value, struct http_refusal *refusal)
{
        if (!is_authority(value))
                return refuse(refusal, 400, "malformed Host");
        head->host = value;
        return 0;
}

static int read_content_length(struct http_head *head, const char *value, struct http_refusal *refusal)
{
        uint64_t length = 0;

        if (!*value || value[strspn(value, "0123456789")])
                return refuse(refusal, 400, "Content-Length is not a number");
        for (const char *c = value; *c; c++) {
                if (__builtin_mul_overflow(length, 10, &length) ||
                        __builtin_add_overflow(length, (unsigned)(*c - '0'), &length))
                        return refuse(refusal, 400, "Content-Length is out of range");
        }
        head->content_length = length;
        return 0;
}

static int read_transfer_encoding(struct http_head *head, const char *value, struct http_refusal *refusal)
{
        if (!head->is_1_1)
                return refuse(refusal, 400, "Transfer-Encoding does not exist in HTTP/1.0");
        if (strcasecmp(value, "chunked") != 0)
                return refuse(refusal, 501, "chunked is the only Transfer-Encoding understood here");
        head->chunked = true;
        return 0;
}

/* Nothing is unpacked here, so there is no bomb to defuse. */
static int read_content_encoding(struct http_head *head, const char *value, struct http_refusal *refusal)
{
        (void)head;
        if (*value && strcasecmp(value, "identity") != 0)
                return refuse(refusal, 415, "send the body without Content-Encoding");
        return 0;
}

static int read_connection(struct http_head *head, const char *value, struct http_refusal *refusal)
{
        (void)refusal;
        while (*value) {
                size_t length = strcspn(value, ", \t");

                if (length == 5 && strncasecmp(value, "close", 5) == 0)
                        head->keeps_alive = false;
                value += length;
                value += strspn(value, ", \t");
        }
        return 0;
}

static int read_expect(struct http_head *head, const char *value, struct http_refusal *refusal)
{
        if (!head->is_1_1)
                return 0; /* RFC 9110 10.1.1: to be ignored */
        if (strcasecmp(value, "100-continue") != 0)
                return refuse(refusal, 417, "100-continue is the only expectation understood here");
        head->expects_continue = true;
        return 0;
}

static int field_apply(struct http_head *head, const struct http_field *field, struct http_refusal *refusal)
{
        for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
                if (strcasecmp(field->name, rules[i].name) != 0)
                        continue;
                if (rules[i].once && (head->seen & 1U << i))
                        return refuse(refusal, 400, "a header field that must be unique is there twice");
                head->seen |= 1U << i;
                return rules[i].read ? rules[i].read(head, field->value, refusal) : 0;
        }
        return 0;
}

/* A folded line begins with a blank, and a blank before the colon makes a name that is no token. */
static int field_parse(struct http_head *head, char *line, struct http_refusal *refusal)
{
        char *value = strchr(line, ':'), *end;

        if (value)
                *value++ = 0;
        if (!value || !is_token(line))
                return refuse(refusal, 400, "malformed header field");
        value += strspn(value, " \t");
        end = value + strlen(value);
        while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        *end = 0;

        head->fields[head->n_fields] = (struct http_field){ .name = line, .value = value };
        return field_apply(head, &head->fields[head->n_fields++], refusal);
}

/* What is wrong only when all fields are known. */
static int head_check(
        const struct http_head *head, const struct http_limits *limits, struct http_refusal *refusal)
{
        bool has_length = head->seen & 1U << RULE_CONTENT_LENGTH;

        if (head->n_fields > limits->header_count)
                return refuse(refusal, 431, "too many header fields");
        if (head->is_1_1 && !head->host)
                return refuse(refusal, 400, "Host is missing");
        if (head->authority && head->host && strcasecmp(head->authority, head->host) != 0)
                return refuse(refusal, 400, "Host and target disagree");
        if (has_length && head->chunked)
                return refuse(refusal, 400, "both Content-Length and Transfer-Encoding");
        if (head->content_length > limits->body_bytes)
                return refuse(refusal, 413, "the body is too large");
        return 0;
}

/* ---- the head as a whole ---- */

/* Takes the next line off *text; its CRLF becomes its end. NULL: none left, or one that is not a line. */
static char *line_take(char **text, char *end)
{
        char *line = *text, *lf = memchr(line, '\n', (size_t)(end - line));

        if (!lf || lf == line || lf[-1] != '\r' || memchr(line, 0, (size_t)(lf - line)))
                return NULL;
        lf[-1] = 0;
        *text = lf + 1;
        return line;
}

/*
 * One allocation: the fields, a copy of the text in which names and values come to lie NUL-terminated, and
 * room for the decoded query, which may grow (`a&b` has two empty values).
 */
static int head_allocate(
        struct http_head *head, const char *text, size_t length, char **ret_copy, char **ret_parameters)
{
        const char *lf = memchr(text, '\n', length);
        size_t n_lines = 0, line_length = lf ? (size_t)(lf - text) : length;

        for (const char *at = text; (at = memchr(at, '\n', length - (size_t)(at - text))); at++)
                n_lines++;
        head->storage = malloc(n_lines * sizeof *head->fields + length + 1 + 2 * line_length + 2);
        if (!head->storage)
                return -ENOMEM;
        head->fields = head->storage;
        *ret_copy = (char *)(head->fields + n_lines);
        memcpy(*ret_copy, text, length);
        (*ret_copy)[length] = 0;
        *ret_parameters = *ret_copy + length + 1;
        **ret_parameters = 0;
        head->parameters = *ret_parameters;
        return 0;
}

int http_head_parse(struct http_head *ret_head, const char *text, size_t length,
        const struct http_limits *limits, struct http_refusal *ret_refusal)
{
        char *at, *end, *line, *parameters;
        int r;

        *ret_head = (struct http_head){ 0 };
        r = head_allocate(ret_head, text, length, &at, &parameters);
        if (r < 0)
                return error_trace(r);
        end = at + length;

        line = line_take(&at, end);
        if (!line)
                return refuse(ret_refusal, 400, "malformed request line");
        r = request_line_parse(ret_head, line, parameters, ret_refusal);
        while (r == 0 && (line = line_take(&at, end)) && *line)
                r = field_parse(ret_head, line, ret_refusal);
        if (r == 0 && (!line || at != end))
                r = refuse(ret_refusal, 400, "malformed header field");
        return r ? r : head_check(ret_head, limits, ret_refusal);
}

void http_head_deinit(struct http_head *head)
{
        free(head->storage);
        *head = (struct http_head){ 0 };
}

const char *http_head_field(const struct http_head *head, const char *name, size_t nth)
{
        for (size_t i = 0; i < head->n_fields; i++) {
                if (strcasecmp(head->fields[i].name, name) == 0 && nth-- == 0)
                        return head->fields[i].value;
        }
        return NULL;
}

const char *http_head_parameter(const struct http_head *head, const char *name)
{
        const char *at = head->parameters;

        while (at && *at) {
                const char *value = at + strlen(at) + 1;

                if (strcmp(at, name) == 0)
                        return value;
                at = value + strlen(value) + 1;
        }
        return NULL;
}

/* ---- the body ---- */

void http_framing_init(struct http_framing *framing, const struct http_head *head,
        const struct http_limits *limits, struct bytes *body)
{
        *framing = (struct http_framing){
                .state = head->chunked          ? CHUNK_SIZE
                         : head->content_length ? FRAMING_LENGTH
                                                : FRAMING_DONE,
                .left = head->content_length,
        };
        bytes_init(body, head->chunked ? limits->body_bytes : (size_t)head->content_length);
}

static int chunk_size_step(struct http_framing *framing, char byte, struct http_refusal *refusal)
{
        int digit = hex_digit(byte);

        if (digit >= 0 && framing->digits < CHUNK_DIGITS_MAX) {
                framing->left = framing->left << 4 | (unsigned)digit;
                framing->digits++;
                return HTTP_MORE;
        }
        if (digit >= 0 || framing->digits == 0 || (byte != ';' && byte != '\r'))
                return refuse(refusal, 400, "malformed chunk size");
        framing->state = byte == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
        return HTTP_MORE;
}

/* A chunk extension or a trailer line: read past, within bounds. */
static int overhead_step(
        struct http_framing *framing, char byte, enum framing_state at_cr, struct http_refusal *refusal)
{
        if (byte == '\r') {
                framing->state = at_cr;
                return HTTP_MORE;
        }
        if (is_control((unsigned char)byte) && byte != '\t')
                return refuse(refusal, 400, "control character in a chunk extension or trailer");
        if (++framing->overhead > CHUNK_OVERHEAD_MAX)
                return refuse(refusal, 400, "chunk extensions or trailers are too long");
        return HTTP_MORE;
}

static int fixed_step(
        struct http_framing *framing, char byte, const struct bytes *body, struct http_refusal *refusal)
{
        enum framing_state from = (enum framing_state)framing->state;

        if (byte != fixed_steps[from].byte)
                return refuse(refusal, 400, "malformed chunk");
        framing->state = (int)fixed_steps[from].next;
        if (from == CHUNK_SIZE_LF) {
                if (framing->left > body->limit - body->length)
                        return refuse(refusal, 413, "the body is too large");
                framing->digits = 0;
                if (framing->left == 0)
                        framing->state = TRAILER_START;
        }
        return framing->state == FRAMING_DONE ? 0 : HTTP_MORE;
}

/* Everything but data, which comes in runs. */
static int framing_step(
        struct http_framing *framing, char byte, const struct bytes *body, struct http_refusal *refusal)
{
        switch (framing->state) {
        case CHUNK_SIZE:
                return chunk_size_step(framing, byte, refusal);
        case CHUNK_EXTENSION:
                return overhead_step(framing, byte, CHUNK_SIZE_LF, refusal);
        case TRAILER_START:
                framing->state = TRAILER;
                return overhead_step(framing, byte, END_LF, refusal);
        case TRAILER:
                return overhead_step(framing, byte, TRAILER_LF, refusal);
        default:
                return fixed_step(framing, byte, body, refusal);
        }
}

static int data_take(
        struct http_framing *framing, const char *data, size_t length, struct bytes *body, size_t *ret_taken)
{
        size_t n = (size_t)MIN((uint64_t)length, framing->left);
        int r = bytes_append(body, data, n);

        if (r != 0)
                return r < 0 ? error_trace(r) : error_trace(-EOVERFLOW); /* the ceiling was checked before */
        *ret_taken = n;
        framing->left -= n;
        if (framing->left > 0)
                return HTTP_MORE;
        framing->state = framing->state == FRAMING_LENGTH ? FRAMING_DONE : CHUNK_DATA_CR;
        return framing->state == FRAMING_DONE ? 0 : HTTP_MORE;
}

int http_framing_read(struct http_framing *framing, const char *data, size_t length, struct bytes *body,
        size_t *ret_taken, struct http_refusal *ret_refusal)
{
        size_t taken = 0;
        int r = framing->state == FRAMING_DONE ? 0 : HTTP_MORE;

        while (taken < length && r == HTTP_MORE) {
                size_t n = 1;

                if (framing->state == FRAMING_LENGTH || framing->state == CHUNK_DATA)
                        r = data_take(framing, data + taken, length - taken, body, &n);
                else
                        r = framing_step(framing, data[taken], body, ret_refusal);
                taken += n;
        }
        *ret_taken = taken;
        return r;
}
