#pragma once

/*
 * Server and cell: frames over the channel, a stream socket, GUEST_CHANNEL_FD in the cell. A frame is a
 * header and its body. The server trusts nothing that comes from a cell.
 */

#include <stdint.h>

enum { GUEST_CHANNEL_FD = 3 }; /* in a cell */

enum frame_kind {
        /* server to cell */
        FRAME_CALL = 1, /* struct frame_call, then code, map, cache and input */
        /* cell to server; the first of RESULT..WALL ends the call, whatever follows is not read */
        FRAME_READY = 64,   /* empty: the cell is walled and waits for its call */
        FRAME_RESULT = 65,  /* one JSON value, UTF-8: what the script returned */
        FRAME_NOTHING = 66, /* empty: the script ended and returned nothing; or: the check found no fault */
        FRAME_ERROR = 67, /* a JSON object {name, message, stack, line, column, code}: the script failed; line
                             and column from 1, or null; code, if the operating system was behind it (or
                             memory ran out: ENOMEM), the symbolic errno */
        FRAME_SYNTAX = 68, /* the same object: the script does not parse */
        FRAME_COMPILED =
                69,      /* struct frame_compiled and its parts: the check found no fault, and made these */
        FRAME_WALL = 70, /* struct frame_wall: the cell could not be walled and has not run */
};

struct frame_header {
        uint32_t length; /* of the body, bytes */
        uint32_t kind;   /* enum frame_kind */
};

enum guest_mode {
        GUEST_RUN = 1,     /* run the script */
        GUEST_CHECK = 2,   /* parse it, TypeScript: compile it; answered by FRAME_COMPILED or FRAME_NOTHING */
        GUEST_COMPILE = 3, /* check what GUEST_RUN would be given; FRAME_COMPILED has no code and no map */
};

enum guest_language { GUEST_JAVASCRIPT = 1, GUEST_TYPESCRIPT = 2, GUEST_PYTHON = 3 };

/* For GUEST_RUN of TypeScript `code` is the compiled JavaScript and `map` its source map; otherwise map is
 * empty. */
struct frame_call {
        uint32_t mode;     /* enum guest_mode */
        uint32_t language; /* enum guest_language */
        uint32_t code_length;
        uint32_t map_length;
        uint32_t input_length; /* JSON text of the event */
        uint32_t cache_length; /* of what a check made of exactly this code; the interpreter judges it */
        uint64_t memory_bytes; /* that this call may use, if less than the settings have it; else 0 */
};

/* What a check has made. No part is needed but the JavaScript of a TypeScript. */
struct frame_compiled {
        uint32_t code_length; /* TypeScript: JavaScript, and its source map (JSON) */
        uint32_t map_length;
        uint32_t cache_length;   /* compiled code, in a form of the interpreter's own */
        uint32_t imports_length; /* Python: modules imported at the top level; their form: server/script.h */
};

struct frame_wall {
        uint32_t wall; /* enum wall of sandbox/wall.h */
        int32_t error; /* negative errno */
};
