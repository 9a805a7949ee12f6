/* What a cell may say: one row a case, whole, cut at every byte, and byte by byte. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "server/frame.h"

enum { RESULT_MAX = 8, CODE_MAX = 16, ERROR_MAX = 1 << 20, COMPILED_MAX = 16 * CODE_MAX + (1 << 20) };
enum { NEVER = -1, SAID_MAX = 3 };

struct said {
        uint32_t kind; /* 0: nothing more is said */
        const char *body;
        uint32_t announced; /* its length in the header, 0: as long as it is */
};

#define R                                                                                                    \
        {                                                                                                    \
                .kind = FRAME_READY                                                                          \
        }
#define RESULT1                                                                                              \
        {                                                                                                    \
                .kind = FRAME_RESULT, .body = "1"                                                            \
        }

static const struct frame_case {
        const char *title;
        int call_after; /* so many frames, or NEVER */
        struct said said[SAID_MAX];
        const char *tail; /* bytes behind them */
        enum frames_news news;
        uint32_t kind;    /* FRAMES_FINAL */
        const char *text; /* FRAMES_FINAL: body; FRAMES_FAULT: the fault; FRAMES_MORE: not NULL if torn */
} cases[] = {
        { "nothing at all", 0, { { 0 } }, NULL, FRAMES_MORE, 0, NULL },
        { "half a header", NEVER, { { 0 } }, "1234567", FRAMES_MORE, 0, "torn" },
        { "READY, and it waits", NEVER, { R }, NULL, FRAMES_READY, 0, NULL },
        { "READY, half a header", 1, { R }, "123", FRAMES_READY, 0, "torn" },
        { "READY, half a body", 1, { R, { FRAME_RESULT, "12", 5 } }, NULL, FRAMES_READY, 0, "torn" },
        { "READY, no body yet", 1, { R, { FRAME_ERROR, "", 5 } }, NULL, FRAMES_READY, 0, "torn" },
        /* final */
        { "result", 1, { R, RESULT1 }, NULL, FRAMES_FINAL, FRAME_RESULT, "1" },
        { "call before READY", 0, { R, RESULT1 }, NULL, FRAMES_FINAL, FRAME_RESULT, "1" },
        { "result at its limit", 1, { R, { FRAME_RESULT, "12345678", 0 } }, NULL, FRAMES_FINAL, FRAME_RESULT,
                "12345678" },
        { "nothing", 1, { R, { .kind = FRAME_NOTHING } }, NULL, FRAMES_FINAL, FRAME_NOTHING, "" },
        { "error", 1, { R, { FRAME_ERROR, "{}", 0 } }, NULL, FRAMES_FINAL, FRAME_ERROR, "{}" },
        { "syntax", 1, { R, { FRAME_SYNTAX, "{\"a\":1}", 0 } }, NULL, FRAMES_FINAL, FRAME_SYNTAX,
                "{\"a\":1}" },
        { "compiled", 1, { R, { FRAME_COMPILED, "1234567890123456abc", 0 } }, NULL, FRAMES_FINAL,
                FRAME_COMPILED, "1234567890123456abc" },
        { "wall", NEVER, { { FRAME_WALL, "12345678", 0 } }, NULL, FRAMES_FINAL, FRAME_WALL, "12345678" },
        { "wall, with a call waiting", 0, { { FRAME_WALL, "12345678", 0 } }, NULL, FRAMES_FINAL, FRAME_WALL,
                "12345678" },
        /* what follows is not looked at */
        { "two results", 1, { R, RESULT1, { FRAME_RESULT, "2", 0 } }, NULL, FRAMES_FINAL, FRAME_RESULT, "1" },
        { "READY after the result", 1, { R, RESULT1, R }, NULL, FRAMES_FINAL, FRAME_RESULT, "1" },
        { "an unknown frame after the result", 1, { R, RESULT1, { 999, "x", 0 } }, NULL, FRAMES_FINAL,
                FRAME_RESULT, "1" },
        { "half a frame after the result", 1, { R, RESULT1 }, "abc", FRAMES_FINAL, FRAME_RESULT, "1" },
        { "READY after the wall", NEVER, { { FRAME_WALL, "12345678", 0 }, R }, NULL, FRAMES_FINAL, FRAME_WALL,
                "12345678" },
        { "a good result after a bad frame", 1, { R, R, RESULT1 }, NULL, FRAMES_FAULT, 0,
                "a frame out of turn" },
        { "a good result after a large one", 1, { R, { FRAME_RESULT, "123456789", 0 }, RESULT1 }, NULL,
                FRAMES_LARGE, 0, NULL },
        /* large */
        { "result over its limit", 1, { R, { FRAME_RESULT, "123456789", 0 } }, NULL, FRAMES_LARGE, 0, NULL },
        { "result of 4 GiB", 1, { R, { FRAME_RESULT, "1", UINT32_MAX } }, NULL, FRAMES_LARGE, 0, NULL },
        /* turn */
        { "READY twice", 1, { R, R }, NULL, FRAMES_FAULT, 0, "a frame out of turn" },
        { "result before READY", 0, { RESULT1 }, NULL, FRAMES_FAULT, 0, "a frame out of turn" },
        { "large result before READY", 0, { { FRAME_RESULT, "1", UINT32_MAX } }, NULL, FRAMES_FAULT, 0,
                "a frame out of turn" },
        { "wall after READY", 1, { R, { FRAME_WALL, "12345678", 0 } }, NULL, FRAMES_FAULT, 0,
                "a frame out of turn" },
        { "result without a call", NEVER, { R, RESULT1 }, NULL, FRAMES_FAULT, 0, "an answer without a call" },
        { "large result without a call", NEVER, { R, { FRAME_RESULT, "1", UINT32_MAX } }, NULL, FRAMES_FAULT,
                0, "an answer without a call" },
        { "error before its call", 2, { R, { FRAME_ERROR, "{}", 0 } }, NULL, FRAMES_FAULT, 0,
                "an answer without a call" },
        /* kind */
        { "the server's own kind", 1, { R, { FRAME_CALL, "x", 0 } }, NULL, FRAMES_FAULT, 0,
                "a frame of unknown kind" },
        { "kind beyond the last", 1, { R, { FRAME_WALL + 1, "x", 0 } }, NULL, FRAMES_FAULT, 0,
                "a frame of unknown kind" },
        { "all bits set", NEVER, { { UINT32_MAX, "", UINT32_MAX } }, NULL, FRAMES_FAULT, 0,
                "a frame of unknown kind" },
        { "HTTP", NEVER, { { 0 } }, "GET / HTTP/1.1\r\n\r\n", FRAMES_FAULT, 0, "a frame of unknown kind" },
        /* length */
        { "READY with a body", NEVER, { { FRAME_READY, "x", 0 } }, NULL, FRAMES_FAULT, 0,
                "a frame too long" },
        { "empty result", 1, { R, { .kind = FRAME_RESULT } }, NULL, FRAMES_FAULT, 0, "a frame too short" },
        { "nothing with a body", 1, { R, { FRAME_NOTHING, "x", 0 } }, NULL, FRAMES_FAULT, 0,
                "a frame too long" },
        { "error too short", 1, { R, { FRAME_ERROR, "{", 0 } }, NULL, FRAMES_FAULT, 0, "a frame too short" },
        { "error too long", 1, { R, { FRAME_ERROR, "{}", ERROR_MAX + 1 } }, NULL, FRAMES_FAULT, 0,
                "a frame too long" },
        { "error of 4 GiB", 1, { R, { FRAME_ERROR, "{}", UINT32_MAX } }, NULL, FRAMES_FAULT, 0,
                "a frame too long" },
        { "syntax too long", 1, { R, { FRAME_SYNTAX, "{}", ERROR_MAX + 1 } }, NULL, FRAMES_FAULT, 0,
                "a frame too long" },
        { "compiled too short", 1, { R, { FRAME_COMPILED, "123456789012345", 0 } }, NULL, FRAMES_FAULT, 0,
                "a frame too short" },
        { "compiled too long", 1, { R, { FRAME_COMPILED, "", COMPILED_MAX + 1 } }, NULL, FRAMES_FAULT, 0,
                "a frame too long" },
        { "wall too short", NEVER, { { FRAME_WALL, "1234567", 0 } }, NULL, FRAMES_FAULT, 0,
                "a frame too short" },
        { "wall too long", NEVER, { { FRAME_WALL, "123456789", 0 } }, NULL, FRAMES_FAULT, 0,
                "a frame too long" },
};

struct outcome {
        struct frames frames;
        enum frames_news news; /* the last but FRAMES_MORE */
        struct frames_event event;
};

static void outcome_init(struct outcome *outcome, size_t result_max_bytes)
{
        *outcome = (struct outcome){ .news = FRAMES_MORE };
        frames_init(&outcome->frames, result_max_bytes, CODE_MAX);
}

static void outcome_read(struct outcome *outcome, const char *data, size_t length)
{
        struct frames_event event;
        enum frames_news news;
        size_t used;

        while ((news = frames_read(&outcome->frames, data, length, &used, &event)) != FRAMES_MORE) {
                assert_true(outcome->frames.phase == (news == FRAMES_READY ? CELL_READY : CELL_SPOKEN));
                outcome->news = news;
                outcome->event = event;
                data += used;
                length -= used;
        }
        assert_int_equal(used, outcome->frames.phase == CELL_SPOKEN ? 0 : length);
}

static void channel_say(struct bytes *channel, uint32_t kind, const char *body, uint32_t announced)
{
        size_t length = body ? strlen(body) : 0;
        struct frame_header header = { .length = announced ? announced : (uint32_t)length, .kind = kind };

        assert_int_equal(bytes_append(channel, &header, sizeof header), 0);
        assert_int_equal(bytes_append(channel, body, length), 0);
}

/* Returns where the call is handed over. */
static size_t case_write(const struct frame_case *row, struct bytes *channel)
{
        size_t call_at = row->call_after == 0 ? 0 : SIZE_MAX;

        for (int i = 0; i < SAID_MAX && row->said[i].kind; i++) {
                channel_say(channel, row->said[i].kind, row->said[i].body, row->said[i].announced);
                if (row->call_after == i + 1)
                        call_at = channel->length;
        }
        if (row->tail)
                assert_int_equal(bytes_append_text(channel, row->tail), 0);
        return call_at;
}

static void case_check(const struct frame_case *row, const struct outcome *outcome)
{
        const struct frames_event *event = &outcome->event;

        if (outcome->news != row->news)
                fail_msg("%s: news %d, fault %s", row->title, outcome->news, event->fault);
        if (row->news == FRAMES_FAULT)
                assert_string_equal(event->fault, row->text);
        else
                assert_null(event->fault);
        if (row->news == FRAMES_FINAL) {
                assert_int_equal(event->kind, row->kind);
                assert_int_equal(event->length, strlen(row->text));
                assert_string_equal(event->body, row->text);
        }
        if (outcome->frames.phase != CELL_SPOKEN)
                assert_int_equal(frames_are_torn(&outcome->frames), row->text != NULL);
        else
                assert_false(frames_are_torn(&outcome->frames));
}

/* In pieces that end at every multiple of `step`, at `cut`, and where the call is handed over. */
static void case_read(
        const struct frame_case *row, const struct bytes *channel, size_t call_at, size_t cut, size_t step)
{
        struct outcome outcome;

        outcome_init(&outcome, RESULT_MAX);
        for (size_t at = 0, end; at <= channel->length; at = end) {
                end = MIN(at + step, channel->length);
                end = at < cut ? MIN(end, cut) : end;
                end = at < call_at ? MIN(end, call_at) : end;
                if (at == call_at)
                        outcome.frames.has_call = true;
                if (at == end)
                        break;
                outcome_read(&outcome, channel->data + at, end - at);
        }
        case_check(row, &outcome);
        frames_deinit(&outcome.frames);
}

static void test_every_case_cut_at_every_byte(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct bytes channel = { .limit = SIZE_MAX / 2 };
                size_t call_at = case_write(&cases[i], &channel);

                for (size_t cut = 0; cut <= channel.length; cut++)
                        case_read(&cases[i], &channel, call_at, cut, SIZE_MAX / 2);
                case_read(&cases[i], &channel, call_at, 0, 1);
                bytes_deinit(&channel);
        }
}

static void frame_read(struct outcome *outcome, uint32_t kind, const char *body, uint32_t announced)
{
        struct bytes channel = { .limit = SIZE_MAX / 2 };

        channel_say(&channel, kind, body, announced);
        outcome_read(outcome, channel.data, channel.length);
        bytes_deinit(&channel);
}

static void test_a_call_may_lower_the_limit_of_its_result(void **state)
{
        struct outcome outcome;

        (void)state;
        for (uint32_t length = 2; length <= 4; length++) {
                outcome_init(&outcome, RESULT_MAX);
                frame_read(&outcome, FRAME_READY, NULL, 0);
                outcome.frames.result_max_bytes = 3;
                outcome.frames.has_call = true;
                frame_read(&outcome, FRAME_RESULT, "12", length);
                assert_int_equal(outcome.news, length == 2   ? FRAMES_FINAL
                                               : length == 3 ? FRAMES_READY
                                                             : FRAMES_LARGE);
                frames_deinit(&outcome.frames);
        }
}

static void test_an_announced_length_takes_no_memory(void **state)
{
        static const struct said promises[] = {
                { FRAME_RESULT, "\"12", UINT32_MAX },
                { FRAME_ERROR, "{\"a", ERROR_MAX },
                { FRAME_COMPILED, "12345678", COMPILED_MAX },
        };
        struct outcome outcome;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(promises); i++) {
                outcome_init(&outcome, UINT32_MAX);
                frame_read(&outcome, FRAME_READY, NULL, 0);
                assert_int_equal(outcome.frames.inbox.capacity, 0);
                outcome.frames.has_call = true;
                frame_read(&outcome, promises[i].kind, promises[i].body, promises[i].announced);
                assert_true(frames_are_torn(&outcome.frames));
                assert_in_range(outcome.frames.inbox.capacity, 1, 64);
                frames_deinit(&outcome.frames);
        }
}

/* Whatever comes with it or after it: the inbox holds one body, and no more. */
static void test_the_longest_frame_is_the_ceiling(void **state)
{
        enum { PIECE = 65536 };
        char *piece = malloc(PIECE);
        struct outcome outcome;

        (void)state;
        memset(piece, 'x', PIECE);
        outcome_init(&outcome, RESULT_MAX);
        frame_read(&outcome, FRAME_READY, NULL, 0);
        outcome.frames.has_call = true;
        frame_read(&outcome, FRAME_COMPILED, NULL, COMPILED_MAX);
        for (size_t left = 4 * COMPILED_MAX; left > 0; left -= MIN(left, (size_t)PIECE)) {
                outcome_read(&outcome, piece, PIECE);
                assert_true(outcome.frames.inbox.length <= COMPILED_MAX);
                assert_true(outcome.frames.inbox.capacity <= COMPILED_MAX + 1);
        }
        assert_int_equal(outcome.news, FRAMES_FINAL);
        assert_int_equal(outcome.event.length, COMPILED_MAX);
        frames_deinit(&outcome.frames);
        free(piece);
}

static void test_the_error_of_a_wall_is_an_errno(void **state)
{
        static const int32_t errors[][2] = { { -EPERM, EPERM }, { -4095, 4095 }, { 0, EPROTO }, { 1, EPROTO },
                { -4096, EPROTO }, { INT32_MIN, EPROTO }, { INT32_MAX, EPROTO } };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
                struct frame_wall said = { .wall = 5, .error = errors[i][0] }, read;

                frame_wall_read((const char *)&said, &read);
                assert_int_equal(read.wall, 5);
                assert_int_equal(read.error, errors[i][1]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_case_cut_at_every_byte),
                cmocka_unit_test(test_a_call_may_lower_the_limit_of_its_result),
                cmocka_unit_test(test_an_announced_length_takes_no_memory),
                cmocka_unit_test(test_the_longest_frame_is_the_ceiling),
                cmocka_unit_test(test_the_error_of_a_wall_is_an_errno),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
