#include "server/verdict.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"
#include "server/error_object.h"
#include "server/json_scan.h"

static const char *const ending_names[CALL_ENDINGS] = {
        [CALL_RETURNED] = "returned",
        [CALL_ENDED] = "ended",
        [CALL_CHECKED] = "checked",
        [CALL_SYNTAX] = "syntax",
        [CALL_FAILED] = "failed",
        [CALL_TOO_DEEP] = "too_deep",
        [CALL_EXITED] = "exited",
        [CALL_SIGNALED] = "signaled",
        [CALL_MEMORY] = "memory",
        [CALL_PROCESSES] = "processes",
        [CALL_TMP] = "tmp",
        [CALL_FILES] = "files",
        [CALL_OUTPUT] = "output",
        [CALL_TIMED_OUT] = "timed_out",
        [CALL_LOST] = "lost",
        [CALL_UNSERVED] = "unserved",
        [CALL_CANCELLED] = "cancelled",
};

/* Limits that only the script meets: its error's `code` tells of them. A file is at most as large as /tmp. */
static const struct {
        const char *code;
        enum call_ending ending;
} limit_codes[] = {
        { "ENOSPC", CALL_TMP }, { "EDQUOT", CALL_TMP }, { "EFBIG", CALL_TMP }, { "EMFILE", CALL_FILES },
        { "ENFILE", CALL_FILES },
        { "ENOMEM", CALL_MEMORY }, /* more than there can be, so the kernel has killed nobody */
};

typedef int frame_step(struct script *script, const struct cell_notice *notice, struct verdict *ret_verdict);

static frame_step frame_result, frame_nothing, frame_checked, frame_error, frame_syntax, frame_compiled;

/* What may be said by a cell that runs, and by one that checks. */
static const struct frame_row {
        enum frame_kind kind;
        bool run, check;
        frame_step *step;
} rows[] = {
        { FRAME_RESULT, true, false, frame_result },
        { FRAME_NOTHING, true, false, frame_nothing },
        { FRAME_NOTHING, false, true, frame_checked },
        { FRAME_ERROR, true, true, frame_error },
        { FRAME_SYNTAX, true, true, frame_syntax },
        { FRAME_COMPILED, false, true, frame_compiled },
};

static int frame_result(struct script *script, const struct cell_notice *notice, struct verdict *ret_verdict)
{
        struct json_span value = { 0 };
        int r = json_check(notice->body, notice->length, &value, NULL);

        (void)script;
        if (r == JSON_BAD)
                return -EBADMSG;
        *ret_verdict = (struct verdict){ .ending = r == JSON_DEEP ? CALL_TOO_DEEP : CALL_RETURNED,
                .body = value.text,
                .length = value.length };
        return 0;
}

static int frame_nothing(struct script *script, const struct cell_notice *notice, struct verdict *ret_verdict)
{
        (void)script, (void)notice;
        *ret_verdict = (struct verdict){ .ending = CALL_ENDED };
        return 0;
}

/* TypeScript without a fault is answered by FRAME_COMPILED. */
static int frame_checked(struct script *script, const struct cell_notice *notice, struct verdict *ret_verdict)
{
        (void)notice;
        if (script_needs_compiling(script))
                return -EBADMSG;
        *ret_verdict = (struct verdict){ .ending = CALL_CHECKED };
        return 0;
}

static int frame_object(
        const struct cell_notice *notice, enum call_ending ending, struct verdict *ret_verdict)
{
        struct json_span value;

        if (json_check(notice->body, notice->length, &value, NULL) != 0 || json_type(value) != JSON_OBJECT)
                return -EBADMSG;
        *ret_verdict = (struct verdict){ .ending = ending, .body = value.text, .length = value.length };
        return 0;
}

static int frame_error(struct script *script, const struct cell_notice *notice, struct verdict *ret_verdict)
{
        (void)script;
        return frame_object(notice, CALL_FAILED, ret_verdict);
}

static int frame_syntax(struct script *script, const struct cell_notice *notice, struct verdict *ret_verdict)
{
        (void)script;
        return frame_object(notice, CALL_SYNTAX, ret_verdict);
}

static int frame_compiled(
        struct script *script, const struct cell_notice *notice, struct verdict *ret_verdict)
{
        bool is_wanted = script_needs_compiling(script);
        struct frame_compiled n;
        const char *code = notice->body + sizeof n, *map, *cache;
        int r = 0;

        memcpy(&n, notice->body, sizeof n);
        if ((uint64_t)n.code_length + n.map_length + n.cache_length + n.imports_length !=
                        notice->length - sizeof n ||
                (!is_wanted && (n.code_length > 0 || n.map_length > 0)) ||
                (script->language != GUEST_PYTHON && n.imports_length > 0))
                return -EBADMSG;
        map = code + n.code_length;
        cache = map + n.map_length;
        if (is_wanted)
                r = script_set_compiled(script, code, n.code_length, map, n.map_length);
        if (r == 0)
                r = script_set_imports(script, cache + n.cache_length, n.imports_length);
        if (r < 0)
                return r;
        *ret_verdict = (struct verdict){ .ending = CALL_CHECKED, .body = cache, .length = n.cache_length };
        return 0;
}

int verdict_of_frame(struct script *script, enum guest_mode leg, const struct cell_notice *notice,
        struct verdict *ret_verdict)
{
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                if (rows[i].kind == notice->frame && (leg == GUEST_RUN ? rows[i].run : rows[i].check))
                        return rows[i].step(script, notice, ret_verdict);
        }
        return -EBADMSG;
}

static enum call_ending verdict_of_error(const struct bytes *error)
{
        struct json_span values[ERROR_MEMBERS];

        error_object_read(error->data, error->length, values);
        for (size_t i = 0; i < ARRAY_SIZE(limit_codes); i++) {
                if (error_object_has_code(values, limit_codes[i].code))
                        return limit_codes[i].ending;
        }
        return CALL_FAILED;
}

enum call_ending verdict_of_exit(
        enum guest_mode leg, const struct bytes *error, const struct keeper_done *done)
{
        bool failing = error->length > 0;
        bool lost = done->outcome == CELL_LOST || done->outcome == CELL_REFUSED;
        bool failed = failing || done->outcome == CELL_SIGNALED || done->code != 0;

        if (lost && !failing)
                return CALL_LOST;
        if (failed && (done->limits & CELL_LIMIT_MEMORY))
                return CALL_MEMORY;
        if (failed && (done->limits & CELL_LIMIT_PROCESSES))
                return CALL_PROCESSES;
        if (failing)
                return verdict_of_error(error);
        if (failed)
                return done->outcome == CELL_SIGNALED ? CALL_SIGNALED : CALL_EXITED;
        return leg == GUEST_RUN ? CALL_ENDED : CALL_LOST; /* a check always says what it found */
}

const char *verdict_name(enum call_ending ending)
{
        return ending_names[ending];
}
