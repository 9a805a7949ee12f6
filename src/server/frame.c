#include "server/frame.h"

#include <errno.h>
#include <string.h>

enum { ERROR_MAX_BYTES = 1024 * 1024, COMPILED_EXTRA_BYTES = 1024 * 1024, ERRNO_MAX = 4095 };

/* What a cell may say, in which phase, and how long it may be. */
static const struct frame_rule {
        enum frame_kind kind;
        enum cell_phase phase;
        size_t shortest;
        size_t longest; /* FRAME_RESULT, FRAME_COMPILED: see frame_longest() */
} rules[] = {
        { FRAME_READY, CELL_STARTING, 0, 0 },
        { FRAME_WALL, CELL_STARTING, sizeof(struct frame_wall), sizeof(struct frame_wall) },
        { FRAME_RESULT, CELL_READY, 1, 0 },
        { FRAME_NOTHING, CELL_READY, 0, 0 },
        { FRAME_ERROR, CELL_READY, 2, ERROR_MAX_BYTES },
        { FRAME_SYNTAX, CELL_READY, 2, ERROR_MAX_BYTES },
        { FRAME_COMPILED, CELL_READY, sizeof(struct frame_compiled), 0 },
};

static const struct frame_rule *frame_rule(uint32_t kind)
{
        for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
                if (rules[i].kind == kind)
                        return &rules[i];
        }
        return NULL;
}

static size_t frame_longest(const struct frames *frames, const struct frame_rule *rule)
{
        if (rule->kind == FRAME_RESULT)
                return frames->result_max_bytes;
        if (rule->kind == FRAME_COMPILED) /* JavaScript, a map, and compiled code */
                return 16 * frames->code_max_bytes + COMPILED_EXTRA_BYTES;
        return rule->longest;
}

/* NULL: the frame may come now. */
static const char *frame_fault(const struct frames *frames, const struct frame_rule *rule)
{
        uint32_t length = frames->header.length;

        if (!rule)
                return "a frame of unknown kind";
        if (rule->phase != frames->phase)
                return "a frame out of turn";
        if (rule->phase == CELL_READY && !frames->has_call)
                return "an answer without a call";
        if (length < rule->shortest)
                return "a frame too short";
        if (length > frame_longest(frames, rule) && rule->kind != FRAME_RESULT)
                return "a frame too long";
        return NULL;
}

static enum frames_news frames_break(struct frames *frames, const char *fault, struct frames_event *ret_event)
{
        frames->phase = CELL_SPOKEN;
        *ret_event = (struct frames_event){ .fault = fault };
        return FRAMES_FAULT;
}

/* The header is there: FRAMES_MORE if the body may follow. */
static enum frames_news frames_accept(struct frames *frames, struct frames_event *ret_event)
{
        const struct frame_rule *rule = frame_rule(frames->header.kind);
        const char *fault = frame_fault(frames, rule);

        if (fault)
                return frames_break(frames, fault, ret_event);
        if (frames->header.length > frame_longest(frames, rule)) {
                frames->phase = CELL_SPOKEN;
                return FRAMES_LARGE;
        }
        bytes_init(&frames->inbox, frames->header.length);
        return FRAMES_MORE;
}

/* The frame is all there. */
static enum frames_news frames_complete(struct frames *frames, struct frames_event *ret_event)
{
        if (frames->header.kind == FRAME_READY) {
                frames->phase = CELL_READY;
                frames->header_length = 0;
                bytes_deinit(&frames->inbox);
                return FRAMES_READY;
        }
        frames->phase = CELL_SPOKEN;
        *ret_event = (struct frames_event){
                .kind = frames->header.kind, .body = frames->inbox.data, .length = frames->inbox.length
        };
        return FRAMES_FINAL;
}

static size_t frames_take_header(struct frames *frames, const char *data, size_t length)
{
        size_t n = MIN(sizeof frames->header - frames->header_length, length);

        if (n)
                memcpy((char *)&frames->header + frames->header_length, data, n);
        frames->header_length += n;
        return n;
}

enum frames_news frames_read(struct frames *frames, const char *data, size_t length, size_t *ret_used,
        struct frames_event *ret_event)
{
        size_t used, rest;

        *ret_used = 0;
        *ret_event = (struct frames_event){ 0 };
        if (frames->phase == CELL_SPOKEN)
                return FRAMES_MORE;

        *ret_used = used = frames_take_header(frames, data, length);
        if (frames->header_length < sizeof frames->header)
                return FRAMES_MORE;
        if (used > 0) {
                enum frames_news news = frames_accept(frames, ret_event);

                if (news != FRAMES_MORE)
                        return news;
        }

        rest = MIN(frames->header.length - frames->inbox.length, length - used);
        if (bytes_append(&frames->inbox, data + used, rest) != 0)
                return frames_break(frames, "no memory for its frame", ret_event);
        *ret_used += rest;
        return frames->inbox.length < frames->header.length ? FRAMES_MORE
                                                            : frames_complete(frames, ret_event);
}

bool frames_are_torn(const struct frames *frames)
{
        return frames->phase != CELL_SPOKEN && frames->header_length > 0;
}

void frames_init(struct frames *frames, size_t result_max_bytes, size_t code_max_bytes)
{
        *frames = (struct frames){ .result_max_bytes = result_max_bytes, .code_max_bytes = code_max_bytes };
}

void frames_deinit(struct frames *frames)
{
        bytes_deinit(&frames->inbox);
}

void frame_wall_read(const char *body, struct frame_wall *ret_wall)
{
        memcpy(ret_wall, body, sizeof *ret_wall);
        ret_wall->error = ret_wall->error < 0 && ret_wall->error >= -ERRNO_MAX ? -ret_wall->error : EPROTO;
}
