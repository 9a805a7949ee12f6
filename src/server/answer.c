/*
 * What scripts return is spliced as it came. What is theirs in a problem (error objects, output) comes from
 * cells, so it is hostile: error_object.c takes known members only, and output is made valid UTF-8.
 */

#include "server/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/error_object.h"
#include "server/exchange.h"
#include "server/json_scan.h"
#include "server/json_write.h"

enum { DETAIL_TEXT_MAX = 500 };

enum answer_flag {
        DATA = 1,   /* no problem at all */
        OUTPUT = 2, /* stdout and stderr are told */
        CODE = 4,   /* the message ends with the code */
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
        [CALL_MEMORY] = { OUTPUT, PROBLEM_MEMORY_LIMIT, "MemoryLimit",
                "the script used more memory than MAX_MEMORY_PER_CONTAINER allows" },
        [CALL_PROCESSES] = { OUTPUT, PROBLEM_PROCESS_LIMIT, "ProcessLimit",
                "the script started more processes and threads than MAX_PROCESSES_PER_CONTAINER allows" },
        [CALL_TMP] = { OUTPUT, PROBLEM_TMP_LIMIT, "TmpLimit",
                "the script wrote more to /tmp than MAX_TMP_PER_CONTAINER or MAX_TMP_FILES_PER_CONTAINER "
                "allows" },
        [CALL_FILES] = { OUTPUT, PROBLEM_OPEN_FILES_LIMIT, "OpenFilesLimit",
                "the script opened more descriptors than MAX_OPEN_FILES_PER_CONTAINER allows" },
        [CALL_OUTPUT] = { OUTPUT, PROBLEM_OUTPUT_LIMIT, "OutputLimit",
                "the result, stdout or stderr has more bytes than OUTPUT_MAX_SIZE allows" },
        [CALL_TIMED_OUT] = { OUTPUT, PROBLEM_TIMEOUT, "Timeout",
                "the script ran longer than TIMEOUT_SCRIPT allows" },
        [CALL_LOST] = { 0, PROBLEM_CELL_LOST, NULL,
                "the cell was lost before it could answer, not by the script's fault; it is safe to try "
                "again" },
        [CALL_UNSERVED] = { 0, PROBLEM_QUEUE_FULL, NULL, "no place became free within QUEUE_TIMEOUT" },
};

bool answer_is_data(enum call_ending ending)
{
        return rows[ending].flags & DATA;
}

/* --- data --- */

static const char *answer_type(struct json_span value)
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

        r = bytes_append_text(body, "{\"data\":");
        if (r == 0)
                r = bytes_append(body, value.text, value.length);
        return r == 0 ? bytes_format(body, ",\"type\":\"%s\"}", answer_type(value)) : r;
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
static bool answer_find_json_line(struct cell_text text, struct json_span *ret_value)
{
        size_t end = text.length;

        for (;;) {
                const char *newline = end ? memrchr(text.data, '\n', end) : NULL;
                size_t begin = newline ? (size_t)(newline - text.data) + 1 : 0;

                if (end > begin && json_check(text.data + begin, end - begin, ret_value, NULL) == 0)
                        return true;
                if (!newline)
                        return false;
                end = begin - 1;
        }
}

/* Nothing was returned: stdout speaks. As text it loses its final line break, which print() has added. */
static int answer_write_output(struct bytes *body, struct cell_text text)
{
        struct json_span value = { .text = "null", .length = 4 };
        int r;

        if (text.length == 0 || answer_find_json_line(text, &value))
                return answer_write_value(body, value);
        if (text.data[text.length - 1] == '\n')
                text.length--;
        if (text.length && text.data[text.length - 1] == '\r')
                text.length--;
        r = bytes_append_text(body, "{\"data\":");
        if (r == 0)
                r = json_write_string(body, text.data, text.length);
        return r == 0 ? bytes_append_text(body, ",\"type\":\"text\"}") : r;
}

void answer_data(struct exchange *exchange, const struct call_end *end)
{
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        int r;

        if (end->ending == CALL_RETURNED)
                r = answer_write_returned(
                        &body, (struct json_span){ .text = end->body, .length = end->body_length });
        else
                r = answer_write_output(&body, end->output[CELL_STDOUT]);
        if (r == 0)
                exchange_answer(exchange, 200, body.data, body.length, NULL);
        else
                exchange_surprise(exchange, r);
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

static int answer_write_streams(struct bytes *body, const struct call_end *end)
{
        static const char *const names[] = { [CELL_STDOUT] = "stdout", [CELL_STDERR] = "stderr" };
        int r = 0;

        for (size_t i = 0; r == 0 && i < CELL_STREAMS; i++) {
                r = bytes_format(body, ",\"%s\":", names[i]);
                if (r == 0)
                        r = json_write_string(body, end->output[i].data, end->output[i].length);
        }
        return r;
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
        _cleanup_(bytes_deinit) struct bytes name = { .limit = EXCHANGE_BODY_MAX };
        _cleanup_(bytes_deinit) struct bytes message = { .limit = EXCHANGE_BODY_MAX };
        int r;

        r = answer_complete_error(row, words, &name, &message, values);
        return r == 0 ? error_object_write(body, values) : r;
}

static int answer_write_problem(struct bytes *body, const struct exchange *exchange,
        const struct call_end *end, const struct answer_row *row, enum problem problem)
{
        _cleanup_(bytes_deinit) struct bytes detail = { .limit = EXCHANGE_BODY_MAX };
        struct json_span values[ERROR_MEMBERS] = { 0 };
        char words[256];
        int r;

        if (row->flags & CODE)
                snprintf(words, sizeof words, "%s %d", row->message, end->code);
        else
                snprintf(words, sizeof words, "%s", row->message);
        error_object_read(end->body, end->ending == CALL_TOO_DEEP ? 0 : end->body_length, values);
        r = answer_write_detail(&detail, values, words);
        if (r == 0)
                r = problem_open(body, problem, detail.data, detail.length, http_id(exchange->request));
        if (r == 0 && row->name)
                r = answer_write_error(body, row, words, values);
        if (r == 0 && (row->flags & OUTPUT))
                r = answer_write_streams(body, end);
        return r == 0 ? bytes_append_text(body, "}") : r;
}

void answer_problem(struct exchange *exchange, const struct call_end *end, bool is_stored)
{
        _cleanup_(bytes_deinit) struct bytes body = { .limit = EXCHANGE_BODY_MAX };
        const struct answer_row *row = &rows[end->ending];
        enum problem problem = row->problem;
        int r;

        if (is_stored && problem == PROBLEM_SYNTAX_ERROR)
                problem = PROBLEM_SCRIPT_ERROR;
        r = answer_write_problem(&body, exchange, end, row, problem);
        if (r == 0)
                exchange_problem_body(exchange, problem, &body, NULL);
        else
                exchange_surprise(exchange, r);
}
