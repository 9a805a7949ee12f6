/*
 * One table says what a function's author may lower, and how far; everything else walks it. Numbers are read
 * digit by digit: no double stands between what was written and what is kept, and no locale has a say.
 */

#include "server/limits.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/settings.h"

enum limit_kind {
        LIMIT_COUNT, /* uint32_t */
        LIMIT_MILLI, /* uint32_t thousandths, fractions allowed */
        LIMIT_SIZE,  /* uint64_t */
};

#define AT(member)  offsetof(struct limits, member)
#define CAP(member) offsetof(struct settings, member)

/* A limit may be as low as its setting may. */
static const struct limit_rule {
        const char *name;
        enum limit_kind kind; /* of both */
        size_t at, cap;       /* in struct limits, in struct settings */
        uint64_t least;
        const char *setting;
        const char *expected;
} rules[] = {
        { "timeout_ms", LIMIT_COUNT, AT(timeout_ms), CAP(timeout_script_ms), 10, "TIMEOUT_SCRIPT",
                "a whole number of milliseconds, such as 1000" },
        { "memory_bytes", LIMIT_SIZE, AT(memory_bytes), CAP(max_memory_bytes), 16 << 20,
                "MAX_MEMORY_PER_CONTAINER", "a whole number of bytes, such as 67108864" },
        { "cpus", LIMIT_MILLI, AT(cpus_milli), CAP(max_cpus_milli), 10, "MAX_CPUS_PER_CONTAINER",
                "a number of cores without an exponent, such as 0.5" },
        { "processes", LIMIT_COUNT, AT(processes), CAP(max_processes), 4, "MAX_PROCESSES_PER_CONTAINER",
                "a whole number, such as 16" },
        { "tmp_bytes", LIMIT_SIZE, AT(tmp_bytes), CAP(max_tmp_bytes), 65536, "MAX_TMP_PER_CONTAINER",
                "a whole number of bytes, such as 1048576" },
        { "output_bytes", LIMIT_SIZE, AT(output_bytes), CAP(output_max_bytes), 1024, "OUTPUT_MAX_SIZE",
                "a whole number of bytes, such as 65536" },
};

enum { TOLD_MAX = 40 }; /* bytes of the client's own text in a sentence */

/* Where the limits come from and go to. */
struct limits_reader {
        const struct settings *settings;
        struct limits *limits;
        bool cut; /* what is above a setting is cut to it; otherwise it is bad */
        char *fault;
        size_t fault_size;
};

static int limits_fault(struct limits_reader *reader, const char *format, ...) _printf_(2, 3);

static int limits_fault(struct limits_reader *reader, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(reader->fault, reader->fault_size, format, args);
        va_end(args);
        return LIMITS_BAD;
}

/* How many bytes of it are told: not a character's half. */
static int limits_told(struct json_span span)
{
        size_t length = MIN(span.length, (size_t)TOLD_MAX);

        while (length > 0 && length < span.length && ((unsigned char)span.text[length] & 0xc0) == 0x80)
                length--;
        return (int)length;
}

static uint64_t limit_load(enum limit_kind kind, const void *base, size_t offset)
{
        const char *at = (const char *)base + offset;

        return kind == LIMIT_SIZE ? *(const uint64_t *)at : *(const uint32_t *)at;
}

static void limit_store(enum limit_kind kind, void *base, size_t offset, uint64_t value)
{
        char *at = (char *)base + offset;

        if (kind == LIMIT_SIZE)
                *(uint64_t *)at = value;
        else
                *(uint32_t *)at = (uint32_t)value;
}

/* The number as JSON: 500 thousandths are 0.5. */
static const char *limit_format(enum limit_kind kind, uint64_t value, char *buffer, size_t size)
{
        int n;

        if (kind != LIMIT_MILLI || value % 1000 == 0) {
                snprintf(buffer, size, "%" PRIu64, kind == LIMIT_MILLI ? value / 1000 : value);
                return buffer;
        }
        n = snprintf(buffer, size, "%" PRIu64 ".%03" PRIu64, value / 1000, value % 1000);
        while (buffer[n - 1] == '0')
                buffer[--n] = 0;
        return buffer;
}

/* A JSON number without an exponent, in units or in thousandths. */
struct number {
        bool is_negative;
        uint64_t value;
        bool more; /* it is a little more than `value`: 0.0005 in thousandths */
};

/* What uint64_t cannot hold becomes its greatest number, which is above every setting. */
static uint64_t number_push(uint64_t value, unsigned digit)
{
        return value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
}

/* Digits at *at, at most `most` of them, onto the value. Returns how many there were. */
static int number_read_digits(const char **at, const char *end, int most, uint64_t *value)
{
        int n = 0;

        for (; n < most && *at < end && **at >= '0' && **at <= '9'; n++, (*at)++)
                *value = number_push(*value, (unsigned)(**at - '0'));
        return n;
}

static bool number_read(struct json_span text, enum limit_kind kind, struct number *ret_number)
{
        const char *at = text.text, *end = at + text.length;
        struct number number = { .is_negative = *at == '-' };
        uint64_t rest = 0;

        at += number.is_negative;
        number_read_digits(&at, end, INT_MAX, &number.value);
        if (kind == LIMIT_MILLI) {
                at += at < end && *at == '.';
                for (int n = number_read_digits(&at, end, 3, &number.value); n < 3; n++)
                        number.value = number_push(number.value, 0);
                number_read_digits(&at, end, INT_MAX, &rest);
                number.more = rest > 0;
        }
        *ret_number = number;
        return at == end;
}

/* --- one member --- */

static int limit_too_high(struct limits_reader *reader, const struct limit_rule *rule, struct json_span text)
{
        uint64_t cap = limit_load(rule->kind, reader->settings, rule->cap);
        char most[32];

        return limits_fault(reader, "`limits.%s` is %.*s; this server allows at most %s (%s).", rule->name,
                limits_told(text), text.text, limit_format(rule->kind, cap, most, sizeof most),
                rule->setting);
}

static int limit_too_low(struct limits_reader *reader, const struct limit_rule *rule, struct json_span text)
{
        char least[32];

        return limits_fault(reader, "`limits.%s` is %.*s; it must be at least %s.", rule->name,
                limits_told(text), text.text, limit_format(rule->kind, rule->least, least, sizeof least));
}

static int limit_read(struct limits_reader *reader, const struct limit_rule *rule, struct json_span text)
{
        uint64_t cap = limit_load(rule->kind, reader->settings, rule->cap);
        struct number number;

        if (json_type(text) == JSON_NULL)
                return 0;
        if (json_type(text) != JSON_NUMBER || !number_read(text, rule->kind, &number))
                return limits_fault(reader, "`limits.%s` must be %s.", rule->name, rule->expected);
        if (number.is_negative || number.value < rule->least)
                return limit_too_low(reader, rule, text);
        if (number.value > cap || (number.value == cap && number.more)) {
                if (!reader->cut)
                        return limit_too_high(reader, rule, text);
                number.value = cap;
        }
        limit_store(rule->kind, reader->limits, rule->at, number.value);
        return 0;
}

/* --- the object --- */

static int limits_unknown(struct limits_reader *reader, struct json_span name)
{
        char names[256] = "";

        for (size_t i = 0, length = 0; i < ARRAY_SIZE(rules); i++)
                length += (size_t)snprintf(
                        names + length, sizeof names - length, "%s`%s`", i ? ", " : "", rules[i].name);
        return limits_fault(
                reader, "`limits` has no member %.*s; there are %s.", limits_told(name), name.text, names);
}

/* The members, in the order of the rules. Those that a typing error would leave unlimited are told. */
static int limits_find(struct limits_reader *reader, struct json_span object, struct json_span *ret_values)
{
        const char *names[ARRAY_SIZE(rules)];
        struct json_span stranger;
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
                names[i] = rules[i].name;
        r = json_members(object.text, object.length, names, ARRAY_SIZE(rules), ret_values);
        if (r == JSON_DUPLICATE)
                return limits_fault(reader, "`limits` has the same member twice.");
        if (r != 0)
                return r < 0 ? r : limits_fault(reader, "`limits` must be an object.");
        r = json_stranger(object.text, object.length, names, ARRAY_SIZE(rules), &stranger);
        if (r == 0 && stranger.text)
                return limits_unknown(reader, stranger);
        return r;
}

static int limits_walk(struct limits_reader *reader, struct json_span object)
{
        struct json_span values[ARRAY_SIZE(rules)];
        int r;

        r = limits_find(reader, object, values);
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rules); i++) {
                if (values[i].text)
                        r = limit_read(reader, &rules[i], values[i]);
        }
        return r < 0 ? error_trace(r) : r;
}

int limits_read(struct json_span value, const struct settings *settings, struct limits *ret_limits,
        char *fault, size_t fault_size)
{
        struct limits limits = { 0 };
        struct limits_reader reader = {
                .settings = settings, .limits = &limits, .fault = fault, .fault_size = fault_size
        };
        int r = 0;

        if (json_type(value) != JSON_NULL)
                r = limits_walk(&reader, value);
        if (r == 0)
                *ret_limits = limits;
        return r;
}

int limits_read_stored(
        const char *text, size_t length, const struct settings *settings, struct limits *ret_limits)
{
        struct limits limits = { 0 };
        struct limits_reader reader = { .settings = settings, .limits = &limits, .cut = true };
        struct json_span value;
        int r;

        if (json_check(text, length, &value, NULL) != 0)
                return LIMITS_BAD;
        r = limits_walk(&reader, value);
        if (r == 0)
                *ret_limits = limits;
        return r;
}

int limits_write(const struct limits *limits, struct bytes *bytes)
{
        const char *before = "{";
        int r = 0;

        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rules); i++) {
                uint64_t value = limit_load(rules[i].kind, limits, rules[i].at);
                char text[32];

                if (value == 0)
                        continue;
                r = bytes_format(bytes, "%s\"%s\":%s", before, rules[i].name,
                        limit_format(rules[i].kind, value, text, sizeof text));
                before = ",";
        }
        return r == 0 && *before == ',' ? bytes_append_text(bytes, "}") : r;
}
