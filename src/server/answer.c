/*
 * What scripts return is spliced as it came. What is theirs in a problem (error objects, output) comes from
 * cells, so it is hostile: error_object.c takes known members only, and output is made valid UTF-8.
 */

#include "server/answer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "server/error_object.h"
#include "server/json_scan.h"
#include "server/json_write.h"

enum { DETAIL_TEXT_MAX = 500 };

enum answer_flag {
        DATA = 1,   /* no problem at all */
        OUTPUT = 2, /* stdout and stderr are told */
        CODE = 4,   /* the message ends with the code */
        LIMIT = 8,  /* a limit ended it: the problem's code names it */
};

static const struct answer_row {
        unsigned flags; /* enum answer_flag */
        enum problem problem;
        const char *name;    /* of the error, where the script gave none; NULL: no error object */
        const char *message; /* its message, also the detail of the problem */
} rows[CALL_ENDINGS] = {
        [CALL_RETURNED] = { DATA, PROBLEM_COUNT, NULL, NULL },
        [CALL_ENDED] = { DATA, PROBLEM_COUNT, NULL, NULL },
        [CALL_CHECKED] = { DATA, PROBLEM_COUNT, NULL, NULL },
        [CALL_SYNTAX] = { 0, PROBLEM_SYNTAX_ERROR, "SyntaxError", "the script does not parse" },
        [CALL_FAILED] = { OUTPUT, PROBLEM_SCRIPT_ERROR, "Error", "the script failed" },
        [CALL_TOO_DEEP] = { OUTPUT, PROBLEM_SCRIPT_ERROR, "ResultError",
                "the returned value is nested too deep" },
        [CALL_EXITED] = { OUTPUT | CODE, PROBLEM_SCRIPT_ERROR, "ExitError", "the script exited with status" },
        [CALL_SIGNALED] = { OUTPUT | CODE, PROBLEM_SCRIPT_ERROR, "SignalError",
                "the script was ended by signal" },
        [CALL_MEMORY] = { OUTPUT | LIMIT, PROBLEM_MEMORY_LIMIT, "MemoryLimit",
                "the script used more memory than MAX_MEMORY_PER_CONTAINER, or its own memory_bytes, "
                "allows" },
        [CALL_PROCESSES] = { OUTPUT | LIMIT, PROBLEM_PROCESS_LIMIT, "ProcessLimit",
                "the script started more processes and threads than MAX_PROCESSES_PER_CONTAINER, or its own "
                "limit, allows" },
        [CALL_TMP] = { OUTPUT | LIMIT, PROBLEM_TMP_LIMIT, "TmpLimit",
                "the script wrote more to /tmp than MAX_TMP_PER_CONTAINER, MAX_TMP_FILES_PER_CONTAINER, or "
                "its own tmp_bytes, allows" },
        [CALL_FILES] = { OUTPUT | LIMIT, PROBLEM_OPEN_FILES_LIMIT, "OpenFilesLimit",
                "the script opened more descriptors than MAX_OPEN_FILES_PER_CONTAINER allows" },
        [CALL_OUTPUT] = { OUTPUT | LIMIT, PROBLEM_OUTPUT_LIMIT, "OutputLimit",
                "the result, stdout or stderr has more bytes than OUTPUT_MAX_SIZE, or its own output_bytes, "
                "allows" },
        [CALL_TIMED_OUT] = { OUTPUT | LIMIT, PROBLEM_TIMEOUT, "Timeout",
                "the script ran longer than TIMEOUT_SCRIPT, or its own timeout_ms, allows" },
        [CALL_LOST] = { 0, PROBLEM_CELL_LOST, NULL,
                "the cell was lost before it could answer, not by the script's fault; it is safe to try "
                "again" },
        [CALL_UNSERVED] = { 0, PROBLEM_QUEUE_FULL, NULL,
                "no place became free within QUEUE_TIMEOUT, or the queue was full and others had fewer calls "
                "in it" },
        [CALL_CANCELLED] = { OUTPUT, PROBLEM_CANCELLED, NULL, "the call was cancelled" },
};

static const struct answer_row *answer_row(const struct answer *answer)
{
        return &rows[answer->end->ending];
}

enum problem answer_problem(const struct answer *answer)
{
        enum problem problem = answer_row(answer)->problem;

        return answer->is_stored && problem == PROBLEM_SYNTAX_ERROR ? PROBLEM_SCRIPT_ERROR : problem;
}

int answer_status(const struct answer *answer)
{
        enum problem problem = answer_problem(answer);

        return problem == PROBLEM_COUNT ? 200 : problem_status(problem);
}

unsigned answer_parts(const struct answer *answer, bool detail)
{
        unsigned flags = answer_row(answer)->flags;

        return (detail || flags & OUTPUT ? ANSWER_OUTPUT : 0u) | (detail ? ANSWER_USAGE : 0u);
}

/* --- what stands beside data, and beside problems --- */

/* What goes before a further member. */
static const char *answer_comma(const struct bytes *body)
{
        return body->data[body->length - 1] == '{' ? "" : ",";
}

int answer_write_transcript(struct bytes *body, const struct transcript *transcript, unsigned parts)
{
        static const char *const names[] = { [CELL_STDOUT] = "stdout", [CELL_STDERR] = "stderr" };
        int r = 0;

        if (!transcript || !parts)
                return 0;
        for (size_t i = 0; r == 0 && (parts & ANSWER_OUTPUT) && i < CELL_STREAMS; i++) {
                const struct bytes *text = &transcript->text[i];

                r = bytes_format(body, "%s\"%s\":", answer_comma(body), names[i]);
                if (r == 0)
                        r = json_write_string(body, text->data ? text->data : "", text->length);
        }
        return r == 0 ? bytes_format(body, ",\"truncated\":%s", transcript->is_cut ? "true" : "false") : r;
}

static int answer_write_exit(struct bytes *body, const struct answer *answer)
{
        const struct keeper_done *done = &answer->end->usage;
        const struct answer_row *row = answer_row(answer);
        int r;

        r = done->outcome == CELL_EXITED ? bytes_format(body, ",\"exit\":{\"code\":%d", done->code)
                                         : bytes_append_text(body, ",\"exit\":{\"code\":null");
        if (r == 0 && done->outcome == CELL_SIGNALED && sigabbrev_np(done->code))
                r = bytes_format(body, ",\"signal\":\"SIG%s\"", sigabbrev_np(done->code));
        else if (r == 0 && done->outcome == CELL_SIGNALED) /* those of real time have no names */
                r = bytes_format(body, ",\"signal\":\"SIG%d\"", done->code);
        else if (r == 0)
                r = bytes_append_text(body, ",\"signal\":null");
        if (r == 0 && row->flags & LIMIT)
                return bytes_format(body, ",\"limit\":\"%s\"}", problem_code(row->problem));
        return r == 0 ? bytes_append_text(body, ",\"limit\":null}") : r;
}

static double milliseconds(uint64_t us)
{
        return (double)us / 1000;
}

int answer_write_usage(struct bytes *body, const struct answer *answer)
{
        const struct call_end *end = answer->end;
        char peak[32] = "null"; /* where the host does not tell */
        int r;

        if (!end->has_usage)
                return 0;
        if (end->usage.peak_memory_bytes)
                snprintf(peak, sizeof peak, "%llu", (unsigned long long)end->usage.peak_memory_bytes);
        r = answer_write_exit(body, answer);
        return r == 0 ? bytes_format(body,
                                ",\"usage\":{\"cpu_ms\":%.3f,\"wall_ms\":%.3f,\"peak_memory_bytes\":%s,"
                                "\"queue_ms\":%.3f,\"start_ms\":%.3f}",
                                milliseconds(end->usage.cpu_us), milliseconds(end->times.run_us), peak,
                                milliseconds(end->times.queue_us), milliseconds(end->times.start_us))
                      : r;
}

static int answer_write_parts(struct bytes *body, const struct answer *answer, unsigned parts)
{
        int r = answer_write_transcript(body, answer->transcript, parts);

        return r == 0 && parts & ANSWER_USAGE ? answer_write_usage(body, answer) : r;
}

/* --- data --- */

const char *answer_type(struct json_span value)
{
        switch (json_type(value)) {
        case JSON_STRING:
                return "string";
        case JSON_NUMBER:
                return "number";
        default:
                return "json";
        }
}

static int answer_write_value(struct bytes *body, struct json_span value)
{
        int r;

        r = bytes_append_text(body, "\"data\":");
        if (r == 0)
                r = bytes_append(body, value.text, value.length);
        return r == 0 ? bytes_format(body, ",\"type\":\"%s\"", answer_type(value)) : r;
}

/* A returned string that holds JSON is handed over as that JSON (go-faas scripts return json.dumps(...)). */
static int answer_write_returned(struct bytes *body, struct json_span value)
{
        struct json_span inner;
        size_t length;
        char *text;
        int r;

        if (json_type(value) != JSON_STRING)
                return answer_write_value(body, value);
        r = json_string(value, &text, &length);
        if (r < 0)
                return r;
        if (r == JSON_BAD)
                return answer_write_value(body, value);
        r = answer_write_value(body, json_check(text, length, &inner, NULL) == 0 ? inner : value);
        free(text);
        return r;
}

/* The last line that is JSON, looking upwards. */
static bool answer_find_json_line(const struct bytes *text, struct json_span *ret_value)
{
        size_t end = text->length;

        for (;;) {
                const char *newline = end ? memrchr(text->data, '\n', end) : NULL;
                size_t begin = newline ? (size_t)(newline - text->data) + 1 : 0;

                if (end > begin && json_check(text->data + begin, end - begin, ret_value, NULL) == 0)
                        return true;
                if (!newline)
                        return false;
                end = begin - 1;
        }
}

/* Nothing was returned: stdout speaks. As text it loses its final line break, which print() has added. */
static int answer_write_output(struct bytes *body, const struct bytes *text)
{
        struct json_span value = { .text = "null", .length = 4 };
        size_t length = text->length;
        int r;

        if (length == 0 || answer_find_json_line(text, &value))
                return answer_write_value(body, value);
        if (text->data[length - 1] == '\n')
                length--;
        if (length && text->data[length - 1] == '\r')
                length--;
        r = bytes_append_text(body, "\"data\":");
        if (r == 0)
                r = json_write_string(body, text->data, length);
        return r == 0 ? bytes_append_text(body, ",\"type\":\"text\"") : r;
}

/* Without the brace before it. */
static int answer_write_data(struct bytes *body, const struct answer *answer, unsigned parts)
{
        static const struct bytes nothing;
        const struct call_end *end = answer->end;
        const struct json_span value = { .text = end->body, .length = end->body_length };
        int r;

        if (end->ending == CALL_RETURNED)
                r = answer_write_returned(body, value);
        else
                r = answer_write_output(
                        body, answer->transcript ? &answer->transcript->text[CELL_STDOUT] : &nothing);
        if (r == 0)
                r = answer_write_parts(body, answer, parts);
        return r == 0 ? bytes_append_text(body, "}") : r;
}

/* --- problems --- */

/* `name: message` of the script's own error, if it is short; otherwise the row's words. Both spans are JSON
 * strings, so they are joined without being decoded. */
static int answer_write_detail(
        struct bytes *detail, const struct json_span values[ERROR_MEMBERS], const char *fallback)
{
        struct json_span name = values[ERROR_NAME], message = values[ERROR_MESSAGE];

        if (!name.text || !message.text || name.length + message.length > DETAIL_TEXT_MAX)
                return json_write_text(detail, fallback);
        return bytes_format(detail, "%.*s: %.*s", (int)name.length - 1, name.text, (int)message.length - 1,
                message.text + 1);
}

/* What the script gave no name or message for gets the row's. `name` and `message` hold them, as JSON. */
static int answer_complete_error(const struct answer_row *row, const char *words, struct bytes *name,
        struct bytes *message, struct json_span values[ERROR_MEMBERS])
{
        int r;

        r = json_write_text(name, row->name);
        if (r == 0)
                r = json_write_text(message, words);
        if (r == 0 && !values[ERROR_MESSAGE].text)
                values[ERROR_MESSAGE] =
                        (struct json_span){ .text = message->data, .length = message->length };
        if (r == 0 && !values[ERROR_NAME].text)
                values[ERROR_NAME] = (struct json_span){ .text = name->data, .length = name->length };
        return r;
}

static int answer_write_error(struct bytes *body, const struct answer_row *row, const char *words,
        struct json_span values[ERROR_MEMBERS])
{
        _cleanup_(bytes_deinit) struct bytes name = { .limit = SIZE_MAX / 2 };
        _cleanup_(bytes_deinit) struct bytes message = { .limit = SIZE_MAX / 2 };
        int r;

        r = answer_complete_error(row, words, &name, &message, values);
        return r == 0 ? error_object_write(body, values) : r;
}

/* What is known of a problem before it is written. */
struct problem_words {
        struct json_span values[ERROR_MEMBERS];
        char text[256];
        struct bytes detail;
};

static void problem_words_deinit(struct problem_words *words)
{
        bytes_deinit(&words->detail);
}

static int problem_words_find(struct problem_words *words, const struct answer *answer)
{
        const struct answer_row *row = answer_row(answer);
        const struct call_end *end = answer->end;

        bytes_init(&words->detail, SIZE_MAX / 2);
        if (row->flags & CODE)
                snprintf(words->text, sizeof words->text, "%s %d", row->message, end->code);
        else
                snprintf(words->text, sizeof words->text, "%s", row->message);
        error_object_read(end->body, end->ending == CALL_TOO_DEEP ? 0 : end->body_length, words->values);
        return answer_write_detail(&words->detail, words->values, words->text);
}

static int answer_write_document(
        struct bytes *body, const struct answer *answer, unsigned parts, struct problem_words *words)
{
        const struct answer_row *row = answer_row(answer);
        int r;

        r = problem_open(
                body, answer_problem(answer), words->detail.data, words->detail.length, answer->request_id);
        if (r == 0 && row->name)
                r = answer_write_error(body, row, words->text, words->values);
        if (r == 0)
                r = answer_write_parts(body, answer, parts);
        return r == 0 ? bytes_append_text(body, "}") : r;
}

int answer_write(struct bytes *body, const struct answer *answer, unsigned parts)
{
        _cleanup_(problem_words_deinit) struct problem_words words = { 0 };
        int r;

        if (answer_problem(answer) == PROBLEM_COUNT) {
                r = bytes_append_text(body, "{");
                return r == 0 ? answer_write_data(body, answer, parts) : r;
        }
        r = problem_words_find(&words, answer);
        return r == 0 ? answer_write_document(body, answer, parts, &words) : r;
}

int answer_write_event(struct bytes *body, const struct answer *answer, unsigned parts)
{
        _cleanup_(problem_words_deinit) struct problem_words words = { 0 };
        int r;

        if (answer_problem(answer) == PROBLEM_COUNT) {
                r = bytes_append_text(body, "{\"event\":\"result\",");
                return r == 0 ? answer_write_data(body, answer, parts) : r;
        }
        r = problem_words_find(&words, answer);
        if (r == 0)
                r = bytes_format(body,
                        "{\"event\":\"error\",\"data\":%s,\"type\":\"text\",\"problem\":", words.detail.data);
        if (r == 0)
                r = answer_write_document(body, answer, parts, &words);
        return r == 0 ? bytes_append_text(body, "}") : r;
}
