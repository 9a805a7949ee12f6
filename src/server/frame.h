#pragma once

/*
 * What a cell says on its channel (wire/guest_api.h), frame by frame. The bytes are hostile: a table says
 * what may come when and how long it may be. Pure: no socket, no clock, no settings. How the bytes were cut
 * on their way makes no difference.
 *
 * Memory follows the bytes that have really come, never a length that was merely announced, and ends with the
 * longest frame that the table permits.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "wire/guest_api.h"

/* Also the life of the cell, see cell.c. */
enum cell_phase {
        CELL_STARTING,
        CELL_READY,
        CELL_SPOKEN, /* whatever comes now is not looked at */
};

struct frames {
        enum cell_phase phase;
        bool has_call;           /* a call was handed over: it may be answered */
        size_t result_max_bytes; /* of FRAME_RESULT; may be changed until has_call is set */
        size_t code_max_bytes;   /* of what a cell compiles */
        struct frame_header header;
        size_t header_length; /* bytes of the header that have come */
        struct bytes inbox;   /* of the body; its limit is the length that the header, once accepted, says */
};

enum frames_news {
        FRAMES_MORE,  /* all bytes are used up (or the cell has SPOKEN); nothing to tell yet */
        FRAMES_READY, /* FRAME_READY */
        FRAMES_FINAL, /* the frame that ends the call, or FRAME_WALL: kind, body and length */
        FRAMES_LARGE, /* a FRAME_RESULT over its limit was announced; its body is not read */
        FRAMES_FAULT, /* the cell broke the protocol; after this and the two above it has SPOKEN */
};

struct frames_event {
        uint32_t kind;    /* enum frame_kind, of FRAMES_FINAL */
        const char *body; /* NUL-terminated, valid until frames_deinit() */
        size_t length;
        const char *fault; /* of FRAMES_FAULT, a fixed text */
};

void frames_init(struct frames *frames, size_t result_max_bytes, size_t code_max_bytes);
/* Also for a final frame that is done with; what comes later is still not looked at. */
void frames_deinit(struct frames *frames);

/*
 * Takes *ret_used of the bytes and tells the first thing that they make known; the rest is for the next call.
 * To be called until it says FRAMES_MORE.
 */
enum frames_news frames_read(struct frames *frames, const char *data, size_t length, size_t *ret_used,
        struct frames_event *ret_event);

/* The bytes so far end within a frame. */
bool frames_are_torn(const struct frames *frames);

/* The body of FRAME_WALL, which has its length; its error becomes a positive errno, EPROTO if it is none. */
void frame_wall_read(const char *body, struct frame_wall *ret_wall);
