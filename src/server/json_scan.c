#include "server/json_scan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "server/utf8.h"

/* One pass, no recursion: what is open at any time is a stack of closing brackets. */
struct scan {
        const char *at;
        const char *end;
        size_t base; /* levels open around the value that is read: 1 for a member of the outermost object */
        size_t depth;
        char closers[JSON_DEPTH_MAX];
};

/* A key of the outermost object, without its quotes. */
struct keys {
        struct json_span *list;
        size_t n;
        size_t room;
};

static void keys_deinit(struct keys *keys)
{
        free(keys->list);
}

/* The stack needs no clearing, and at 512 bytes it is not worth it. */
static void scan_init(struct scan *scan, const char *text, size_t length)
{
        scan->at = text;
        scan->end = text + length;
        scan->base = scan->depth = 0;
}

/* The byte at hand; -1 at the end. */
static int peek(const struct scan *scan)
{
        return scan->at < scan->end ? (unsigned char)*scan->at : -1;
}

static int pass(struct scan *scan, char expected)
{
        if (peek(scan) != expected)
                return JSON_BAD;
        scan->at++;
        return 0;
}

static void pass_blanks(struct scan *scan)
{
        while (scan->at < scan->end &&
                (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
                scan->at++;
}

static int pass_word(struct scan *scan, const char *word)
{
        for (; *word; word++) {
                if (pass(scan, *word) != 0)
                        return JSON_BAD;
        }
        return 0;
}

static int pass_digits(struct scan *scan)
{
        const char *start = scan->at;

        while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
                scan->at++;
        return scan->at > start ? 0 : JSON_BAD;
}

static int pass_number(struct scan *scan)
{
        if (peek(scan) == '-')
                scan->at++;
        if (peek(scan) == '0')
                scan->at++;
        else if (pass_digits(scan) != 0)
                return JSON_BAD;

        if (peek(scan) == '.') {
                scan->at++;
                if (pass_digits(scan) != 0)
                        return JSON_BAD;
        }
        if (peek(scan) == 'e' || peek(scan) == 'E') {
                scan->at++;
                if (peek(scan) == '+' || peek(scan) == '-')
                        scan->at++;
                return pass_digits(scan);
        }
        return 0;
}

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int pass_escape(struct scan *scan)
{
        scan->at++;
        switch (peek(scan)) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
                scan->at++;
                return 0;
        case 'u':
                scan->at++;
                for (int i = 0; i < 4; i++, scan->at++) {
                        if (peek(scan) < 0 || hex_value(*scan->at) < 0)
                                return JSON_BAD;
                }
                return 0;
        default:
                return JSON_BAD;
        }
}

/*
 * Passes over bytes that stand for themselves, eight at a time: strings are most of what is read here. Each
 * term sets the top bit of a byte below 0x20, equal to '"', equal to '\\', or above 0x7f; a borrow can mark a
 * byte too many, never one too few, and the loop that follows looks at single bytes anyway.
 */
static void pass_plain(struct scan *scan)
{
        const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;

        while (scan->end - scan->at >= 8) {
                uint64_t word, quotes, escapes;

                memcpy(&word, scan->at, sizeof word);
                quotes = word ^ ones * '"';
                escapes = word ^ ones * '\\';
                if (((word - ones * 0x20) | (quotes - ones) | (escapes - ones) | word) & tops)
                        break;
                scan->at += 8;
        }
        while (scan->at < scan->end && (unsigned char)*scan->at - 0x20U < 0x60 && *scan->at != '"' &&
                *scan->at != '\\')
                scan->at++;
}

static int pass_string(struct scan *scan)
{
        if (pass(scan, '"') != 0)
                return JSON_BAD;
        for (;;) {
                size_t n;

                pass_plain(scan);
                if (peek(scan) == '"') {
                        scan->at++;
                        return 0;
                }
                if (peek(scan) == '\\') {
                        if (pass_escape(scan) != 0)
                                return JSON_BAD;
                        continue;
                }
                /* The end, a control character, or the first byte of a longer sequence. */
                if (peek(scan) < 0x80)
                        return JSON_BAD;
                n = utf8_sequence((const unsigned char *)scan->at, (const unsigned char *)scan->end);
                if (n == 0)
                        return JSON_BAD;
                scan->at += n;
        }
}

static int pass_scalar(struct scan *scan)
{
        switch (peek(scan)) {
        case '"':
                return pass_string(scan);
        case 't':
                return pass_word(scan, "true");
        case 'f':
                return pass_word(scan, "false");
        case 'n':
                return pass_word(scan, "null");
        default:
                return pass_number(scan);
        }
}

/* A key and its colon, if an object is open. */
static int pass_key(struct scan *scan)
{
        if (scan->closers[scan->depth - 1] != '}')
                return 0;
        pass_blanks(scan);
        if (pass_string(scan) != 0)
                return JSON_BAD;
        pass_blanks(scan);
        return pass(scan, ':');
}

enum { VALUE_NEXT = 16, VALUE_ENDED = 17 };

/* A value begins here. VALUE_NEXT: a container was opened and its first value follows. VALUE_ENDED, or wrong.
 */
static int value_begin(struct scan *scan)
{
        int opener, r;

        pass_blanks(scan);
        opener = peek(scan);
        if (opener != '{' && opener != '[') {
                r = pass_scalar(scan);
                return r ? r : VALUE_ENDED;
        }
        if (scan->depth == JSON_DEPTH_MAX)
                return JSON_DEEP;
        scan->closers[scan->depth++] = opener == '{' ? '}' : ']';
        scan->at++;
        pass_blanks(scan);
        if (peek(scan) == scan->closers[scan->depth - 1]) {
                scan->at++;
                scan->depth--;
                return VALUE_ENDED;
        }
        r = pass_key(scan);
        return r ? r : VALUE_NEXT;
}

/* A value ended here: closes what closes. 0: the outermost one is whole; VALUE_NEXT: another follows; or
 * wrong. */
static int value_end(struct scan *scan)
{
        while (scan->depth > scan->base) {
                int r;

                pass_blanks(scan);
                if (peek(scan) == ',') {
                        scan->at++;
                        r = pass_key(scan);
                        return r ? r : VALUE_NEXT;
                }
                if (pass(scan, scan->closers[scan->depth - 1]) != 0)
                        return JSON_BAD;
                scan->depth--;
        }
        return 0;
}

/* Passes over one value, however deep within JSON_DEPTH_MAX. */
static int pass_value(struct scan *scan)
{
        int r = VALUE_NEXT;

        while (r == VALUE_NEXT) {
                r = value_begin(scan);
                if (r == VALUE_ENDED)
                        r = value_end(scan);
        }
        return r;
}

int json_check(const char *text, size_t length, struct json_span *ret_value, size_t *ret_offset)
{
        struct scan scan;
        const char *start;
        int r;

        scan_init(&scan, text, length);
        pass_blanks(&scan);
        start = scan.at;
        r = pass_value(&scan);
        if (r == 0 && ret_value)
                *ret_value = (struct json_span){ .text = start, .length = (size_t)(scan.at - start) };
        if (r == 0) {
                pass_blanks(&scan);
                r = scan.at < scan.end ? JSON_BAD : 0;
        }
        if (r != 0 && ret_offset)
                *ret_offset = (size_t)(scan.at - text);
        return r;
}

enum json_type json_type(struct json_span value)
{
        switch (*value.text) {
        case 'n':
                return JSON_NULL;
        case 'f':
                return JSON_FALSE;
        case 't':
                return JSON_TRUE;
        case '"':
                return JSON_STRING;
        case '[':
                return JSON_ARRAY;
        case '{':
                return JSON_OBJECT;
        default:
                return JSON_NUMBER;
        }
}

/* ---- decoding; only what has been checked comes here ---- */

static uint32_t decode_hex(const char *at)
{
        uint32_t value = 0;

        for (int i = 0; i < 4; i++)
                value = value << 4 | (uint32_t)hex_value(at[i]);
        return value;
}

/* \uXXXX, and the \uXXXX after it if the two are a surrogate pair. *at is behind the first 'u'. */
static uint32_t decode_unicode_escape(const char **at, const char *end)
{
        uint32_t high = decode_hex(*at), low;

        *at += 4;
        if (high < 0xd800 || high > 0xdbff || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
                return high;
        low = decode_hex(*at + 2);
        if (low < 0xdc00 || low > 0xdfff)
                return high;
        *at += 6;
        return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static uint32_t decode_escape(const char **at, const char *end)
{
        static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
        char c = *(*at)++;

        return c == 'u' ? decode_unicode_escape(at, end)
                        : (uint32_t)(unsigned char)values[strchr(names, c) - names];
}

/* The next code point of the inside of a JSON string; a lone surrogate is one too. */
static uint32_t decode_point(const char **at, const char *end)
{
        unsigned char first = (unsigned char)*(*at)++;
        uint32_t point;
        int more;

        if (first == '\\')
                return decode_escape(at, end);
        if (first < 0x80)
                return first;
        more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        point = first & (0x3fU >> more);
        while (more-- > 0)
                point = point << 6 | ((unsigned char)*(*at)++ & 0x3fU);
        return point;
}

static size_t encode_point(uint32_t point, char *to)
{
        static const unsigned char marks[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
        size_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

        for (size_t i = n - 1; i > 0; i--) {
                to[i] = (char)(0x80 | (point & 0x3f));
                point >>= 6;
        }
        to[0] = (char)(marks[n == 1 ? 0 : n] | point);
        return n;
}

int json_string(struct json_span value, char **ret_text, size_t *ret_length)
{
        const char *at, *end;
        size_t length = 0;
        char *text;

        if (!value.text || value.length < 2 || *value.text != '"')
                return JSON_BAD;
        at = value.text + 1;
        end = value.text + value.length - 1;
        text = malloc(value.length); /* an escape is never shorter than what it stands for */
        if (!text)
                return -ENOMEM;
        while (at < end) {
                uint32_t point = decode_point(&at, end);

                if (point >= 0xd800 && point <= 0xdfff) {
                        free(text);
                        return JSON_BAD;
                }
                length += encode_point(point, text + length);
        }
        text[length] = 0;
        *ret_text = text;
        *ret_length = length;
        return 0;
}

/* ---- the members of an object ---- */

static int key_compare(const void *left, const void *right)
{
        const struct json_span *a = left, *b = right;
        const char *a_at = a->text, *a_end = a_at + a->length, *b_at = b->text, *b_end = b_at + b->length;

        while (a_at < a_end && b_at < b_end) {
                uint32_t a_point = decode_point(&a_at, a_end), b_point = decode_point(&b_at, b_end);

                if (a_point != b_point)
                        return a_point < b_point ? -1 : 1;
        }
        return (a_at < a_end) - (b_at < b_end);
}

static bool key_is(struct json_span key, const char *name)
{
        const char *at = key.text, *end = at + key.length, *name_end = name + strlen(name);

        while (at < end && name < name_end) {
                /* A name is no JSON: its backslashes are backslashes. */
                uint32_t point = *name == '\\' ? (unsigned char)*name++ : decode_point(&name, name_end);

                if (decode_point(&at, end) != point)
                        return false;
        }
        return at == end && name == name_end;
}

static int keys_append(struct keys *keys, struct json_span key)
{
        if (keys->n == keys->room) {
                size_t room = MAX(keys->room * 2, (size_t)16);
                struct json_span *list = reallocarray(keys->list, room, sizeof *list);

                if (!list)
                        return -ENOMEM;
                keys->list = list;
                keys->room = room;
        }
        keys->list[keys->n++] = key;
        return 0;
}

/* Sorted, equal ones lie side by side: n log n whatever an adversary chooses for names. */
static int keys_check(struct keys *keys)
{
        if (keys->n < 2)
                return 0;
        qsort(keys->list, keys->n, sizeof *keys->list, key_compare);
        for (size_t i = 1; i < keys->n; i++) {
                if (key_compare(&keys->list[i - 1], &keys->list[i]) == 0)
                        return JSON_DUPLICATE;
        }
        return 0;
}

/* One `"key": value` of the outermost object, kept if it is asked for. */
static int member_pass(struct scan *scan, struct keys *keys, const char *const *names, size_t n,
        struct json_span *ret_values)
{
        struct json_span key, value;
        int r;

        pass_blanks(scan);
        key.text = scan->at + 1;
        if (pass_string(scan) != 0)
                return JSON_BAD;
        key.length = (size_t)(scan->at - 1 - key.text);
        pass_blanks(scan);
        if (pass(scan, ':') != 0)
                return JSON_BAD;
        pass_blanks(scan);
        value.text = scan->at;
        r = pass_value(scan);
        if (r != 0)
                return r;
        value.length = (size_t)(scan->at - value.text);

        for (size_t i = 0; i < n; i++) {
                if (!ret_values[i].text && key_is(key, names[i]))
                        ret_values[i] = value;
        }
        pass_blanks(scan);
        return keys_append(keys, key);
}

/* Behind the opening bracket, to the closing one. */
static int members_pass(struct scan *scan, struct keys *keys, const char *const *names, size_t n,
        struct json_span *ret_values)
{
        pass_blanks(scan);
        if (pass(scan, '}') == 0)
                return 0;
        for (;;) {
                int r = member_pass(scan, keys, names, n, ret_values);

                if (r != 0)
                        return r;
                if (pass(scan, ',') != 0)
                        return pass(scan, '}');
        }
}

/* The whole object; all its keys are kept, as they come. */
static int object_pass(const char *text, size_t length, struct keys *keys, const char *const *names, size_t n,
        struct json_span *ret_values)
{
        struct scan scan;
        int r;

        scan_init(&scan, text, length);
        pass_blanks(&scan);
        if (pass(&scan, '{') != 0) {
                r = json_check(text, length, NULL, NULL);
                return r ? r : JSON_NOT_OBJECT;
        }
        scan.closers[0] = '}';
        scan.base = scan.depth = 1;
        r = members_pass(&scan, keys, names, n, ret_values);
        if (r != 0)
                return r;
        pass_blanks(&scan);
        return scan.at < scan.end ? JSON_BAD : 0;
}

int json_members(
        const char *text, size_t length, const char *const *names, size_t n, struct json_span *ret_values)
{
        _cleanup_(keys_deinit) struct keys keys = { 0 };
        int r;

        for (size_t i = 0; i < n; i++)
                ret_values[i] = (struct json_span){ 0 };
        r = object_pass(text, length, &keys, names, n, ret_values);
        return r ? r : keys_check(&keys);
}

static bool key_is_one_of(struct json_span key, const char *const *names, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (key_is(key, names[i]))
                        return true;
        }
        return false;
}

int json_stranger(
        const char *text, size_t length, const char *const *names, size_t n, struct json_span *ret_name)
{
        _cleanup_(keys_deinit) struct keys keys = { 0 };
        int r = object_pass(text, length, &keys, NULL, 0, NULL);

        *ret_name = (struct json_span){ 0 };
        for (size_t i = 0; r == 0 && i < keys.n; i++) {
                struct json_span key = keys.list[i];

                if (!key_is_one_of(key, names, n)) {
                        *ret_name = (struct json_span){ .text = key.text - 1, .length = key.length + 2 };
                        break;
                }
        }
        return r;
}
