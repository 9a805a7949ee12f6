#include "server/envelope.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/settings.h"
#include "server/json_scan.h"
#include "server/language.h"
#include "store/function_name.h"
#include "store/store.h"

/* What a reader needs, and where it says what is wrong. */
struct envelope_reader {
        const struct envelope_rules *rules;
        enum envelope_kind kind;
        struct envelope *envelope;
        char *fault;
        size_t fault_size;
};

typedef int envelope_step(struct envelope_reader *reader, const char *name, struct json_span value);

static envelope_step read_path, read_language, read_code, read_input, read_stream, read_detail, read_limits,
        read_version;

/* Bits of enum envelope_kind: where the member must be, and where it may be. Elsewhere it is passed over. */
static const struct member {
        const char *name;
        unsigned required, allowed;
        envelope_step *read;
} members[] = {
        { "path", ENVELOPE_UPLOAD, ENVELOPE_UPLOAD, read_path },
        { "language", ENVELOPE_UPLOAD | ENVELOPE_RUN_NOW, ENVELOPE_UPLOAD | ENVELOPE_RUN_NOW, read_language },
        { "code", ENVELOPE_UPLOAD | ENVELOPE_RUN_NOW, ENVELOPE_UPLOAD | ENVELOPE_RUN_NOW, read_code },
        { "input", 0, ENVELOPE_RUN | ENVELOPE_RUN_NOW, read_input },
        { "stream", 0, ENVELOPE_RUN | ENVELOPE_RUN_NOW, read_stream },
        { "detail", 0, ENVELOPE_RUN | ENVELOPE_RUN_NOW, read_detail },
        { "limits", 0, ENVELOPE_UPLOAD | ENVELOPE_RUN | ENVELOPE_RUN_NOW, read_limits },
        { "version", ENVELOPE_ALIAS, ENVELOPE_ALIAS, read_version },
};

static int envelope_fault(struct envelope_reader *reader, int outcome, const char *format, ...)
        _printf_(3, 4);

static int envelope_fault(struct envelope_reader *reader, int outcome, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(reader->fault, reader->fault_size, format, args);
        va_end(args);
        return outcome;
}

/* The decoded string is the caller's. */
static int read_string(struct envelope_reader *reader, const char *name, struct json_span value,
        char **ret_text, size_t *ret_length)
{
        int r;

        if (json_type(value) != JSON_STRING)
                return envelope_fault(reader, ENVELOPE_BAD, "`%s` must be a string.", name);
        r = json_string(value, ret_text, ret_length);
        if (r == JSON_BAD)
                return envelope_fault(
                        reader, ENVELOPE_BAD, "`%s` holds half of a surrogate pair, which is no text.", name);
        return r;
}

static int read_path(struct envelope_reader *reader, const char *name, struct json_span value)
{
        size_t length = 0;
        int r;

        r = read_string(reader, name, value, &reader->envelope->path, &length);
        if (r != 0)
                return r;
        if (!function_path_valid(reader->envelope->path, length))
                return envelope_fault(reader, ENVELOPE_BAD,
                        "`path` must be 1 to %d bytes: segments of letters, digits, `.`, `_` and `-` with "
                        "one `/` between them, and none of them `.` or `..`.",
                        STORE_PATH_MAX);
        if (function_path_alias(reader->envelope->path, NULL))
                return envelope_fault(reader, ENVELOPE_BAD,
                        "`path` must not have `aliases` as its last segment but one: there are the aliases "
                        "of the function before it.");
        return 0;
}

static int read_language(struct envelope_reader *reader, const char *name, struct json_span value)
{
        struct envelope *envelope = reader->envelope;
        char *text = NULL;
        size_t length = 0;
        int r;

        r = read_string(reader, name, value, &text, &length);
        if (r != 0)
                return r;
        r = language_parse(text, length, &envelope->language);
        free(text);
        if (r != 0)
                return envelope_fault(
                        reader, ENVELOPE_BAD, "`language` must be `javascript`, `typescript` or `python`.");
        if (!language_served(reader->rules->languages, envelope->language))
                return envelope_fault(reader, ENVELOPE_BAD,
                        "`%s` is not served here: its runtime is not in RUNTIMES.",
                        language_name(envelope->language));
        return 0;
}

static int read_code(struct envelope_reader *reader, const char *name, struct json_span value)
{
        struct envelope *envelope = reader->envelope;
        uint64_t most = reader->rules->settings->code_max_bytes;
        int r;

        r = read_string(reader, name, value, &envelope->code, &envelope->code_length);
        if (r != 0)
                return r;
        if (envelope->code_length > most)
                return envelope_fault(reader, ENVELOPE_LARGE,
                        "`code` has %zu bytes; CODE_MAX_SIZE allows %llu.", envelope->code_length,
                        (unsigned long long)most);
        return 0;
}

/* A string that holds JSON is that JSON: go-faas clients encode their input twice. Any other value, and any
 * other string, goes on as it was written. */
static int read_input(struct envelope_reader *reader, const char *name, struct json_span value)
{
        struct envelope *envelope = reader->envelope;
        struct json_span inner;
        size_t length;
        int r;

        (void)name;
        envelope->input = value.text;
        envelope->input_length = value.length;
        if (json_type(value) != JSON_STRING)
                return 0;
        r = json_string(value, &envelope->input_text, &length);
        if (r != 0)
                return r < 0 ? r : 0;
        if (json_check(envelope->input_text, length, &inner, NULL) == 0) {
                envelope->input = inner.text;
                envelope->input_length = inner.length;
        }
        return 0;
}

/* null is as good as absent. */
static int read_switch(
        struct envelope_reader *reader, const char *name, struct json_span value, bool *ret_switch)
{
        enum json_type type = json_type(value);

        if (type != JSON_TRUE && type != JSON_FALSE && type != JSON_NULL)
                return envelope_fault(reader, ENVELOPE_BAD, "`%s` must be true or false.", name);
        *ret_switch = type == JSON_TRUE;
        return 0;
}

static int read_stream(struct envelope_reader *reader, const char *name, struct json_span value)
{
        return read_switch(reader, name, value, &reader->envelope->stream);
}

static int read_detail(struct envelope_reader *reader, const char *name, struct json_span value)
{
        return read_switch(reader, name, value, &reader->envelope->detail);
}

/* To pass over those of a caller would mean to run without them. */
enum { VERSION_DIGITS_MAX = 18 };

static int read_version(struct envelope_reader *reader, const char *name, struct json_span value)
{
        static const char digits[] = "0123456789";

        reader->envelope->version = 0;
        for (size_t i = 0; i < value.length && value.length <= VERSION_DIGITS_MAX; i++) {
                const char *digit = memchr(digits, value.text[i], sizeof digits - 1);

                if (!digit)
                        return envelope_fault(
                                reader, ENVELOPE_BAD, "`%s` must be the number of a version.", name);
                reader->envelope->version = reader->envelope->version * 10 + (uint64_t)(digit - digits);
        }
        if (reader->envelope->version == 0)
                return envelope_fault(reader, ENVELOPE_BAD, "`%s` must be the number of a version.", name);
        return 0;
}

static int read_limits(struct envelope_reader *reader, const char *name, struct json_span value)
{
        int r;

        if (reader->kind == ENVELOPE_RUN && json_type(value) != JSON_NULL)
                return envelope_fault(reader, ENVELOPE_BAD,
                        "`%s` belongs to /upload and /run-now: a stored function has the limits that it was "
                        "uploaded with.",
                        name);
        r = limits_read(
                value, reader->rules->settings, &reader->envelope->limits, reader->fault, reader->fault_size);
        return r == LIMITS_BAD ? ENVELOPE_BAD : r;
}

static int envelope_read_members(struct envelope_reader *reader, const struct json_span *values)
{
        for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
                const struct member *member = &members[i];
                int r;

                if (!values[i].text && (member->required & reader->kind))
                        return envelope_fault(reader, ENVELOPE_BAD, "`%s` is missing.", member->name);
                if (!values[i].text || !(member->allowed & reader->kind))
                        continue;
                r = member->read(reader, member->name, values[i]);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int envelope_scan(
        struct envelope_reader *reader, const char *body, size_t length, struct json_span *ret_values)
{
        const char *names[ARRAY_SIZE(members)];
        size_t offset = 0;

        for (size_t i = 0; i < ARRAY_SIZE(members); i++)
                names[i] = members[i].name;
        switch (json_members(body, length, names, ARRAY_SIZE(members), ret_values)) {
        case 0:
                return 0;
        case JSON_NOT_OBJECT:
                return envelope_fault(reader, ENVELOPE_BAD, "The body must be a JSON object.");
        case JSON_DUPLICATE:
                return envelope_fault(reader, ENVELOPE_BAD, "The body has the same member twice.");
        case JSON_DEEP:
                return envelope_fault(
                        reader, ENVELOPE_BAD, "The body is nested deeper than %d levels.", JSON_DEPTH_MAX);
        }
        json_check(body, length, NULL, &offset);
        return envelope_fault(
                reader, ENVELOPE_BAD, "The body is not JSON; it goes wrong at byte %zu.", offset);
}

int envelope_read(const char *body, size_t length, enum envelope_kind kind,
        const struct envelope_rules *rules, struct envelope *ret_envelope, char *fault, size_t fault_size)
{
        struct envelope_reader reader = { .rules = rules,
                .kind = kind,
                .envelope = ret_envelope,
                .fault = fault,
                .fault_size = fault_size };
        struct json_span values[ARRAY_SIZE(members)] = { 0 };
        int r = 0;

        *ret_envelope = (struct envelope){ .input = "{}", .input_length = 2 };
        if (length > 0 || kind != ENVELOPE_RUN)
                r = envelope_scan(&reader, body, length, values);
        if (r == 0)
                r = envelope_read_members(&reader, values);
        return r < 0 ? error_trace(r) : r;
}

void envelope_deinit(struct envelope *envelope)
{
        free(envelope->path);
        free(envelope->code);
        free(envelope->input_text);
        *envelope = (struct envelope){ 0 };
}
