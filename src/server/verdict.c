#include "server/verdict.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"
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
        [CALL_OUTPUT] = "output",
        [CALL_TIMED_OUT] = "timed_out",
        [CALL_LOST] = "lost",
        [CALL_UNSERVED] = "unserved",
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
        struct frame_compiled lengths;
        const char *code = notice->body + sizeof lengths;
        int r;

        memcpy(&lengths, notice->body, sizeof lengths);
        if (!script_needs_compiling(script) ||
                (uint64_t)lengths.code_length + lengths.map_length != notice->length - sizeof lengths)
                return -EBADMSG;
        r = script_set_compiled(
                script, code, lengths.code_length, code + lengths.code_length, lengths.map_length);
        if (r < 0)
                return r;
        *ret_verdict = (struct verdict){ .ending = CALL_CHECKED };
        return 0;
}

int verdict_of_frame(struct script *script, enum guest_mode leg, const struct cell_notice *notice,
        struct verdict *ret_verdict)
{
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                if (rows[i].kind == notice->frame && (leg == GUEST_CHECK ? rows[i].check : rows[i].run))
                        return rows[i].step(script, notice, ret_verdict);
        }
        return -EBADMSG;
}

enum call_ending verdict_of_exit(enum guest_mode leg, bool failing, const struct keeper_done *done)
{
        bool lost = done->outcome == CELL_LOST || done->outcome == CELL_REFUSED;
        bool failed = failing || done->outcome == CELL_SIGNALED || done->code != 0;

        if (lost && !failing)
                return CALL_LOST;
        if (failed && (done->limits & CELL_LIMIT_MEMORY))
                return CALL_MEMORY;
        if (failed && (done->limits & CELL_LIMIT_PROCESSES))
                return CALL_PROCESSES;
        if (failing)
                return CALL_FAILED;
        if (failed)
                return done->outcome == CELL_SIGNALED ? CALL_SIGNALED : CALL_EXITED;
        return leg == GUEST_RUN ? CALL_ENDED : CALL_LOST; /* a check always says what it found */
}

const char *verdict_name(enum call_ending ending)
{
        return ending_names[ending];
}
