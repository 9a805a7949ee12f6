#pragma once

/*
 * What a call has written: the bytes of stdout and of stderr, each up to a limit, and the order in which
 * their lines were finished. Lines are found here once, and then walked by as many cursors as there are
 * readers; nothing is copied for a reader.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

enum cell_stream { CELL_STDOUT, CELL_STDERR, CELL_STREAMS };

struct transcript {
        struct bytes text[CELL_STREAMS];
        size_t finished[CELL_STREAMS]; /* up to here it consists of lines that are in `order` */
        struct bytes order;            /* a byte for each line: its enum cell_stream */
        bool is_cut;                   /* a limit was passed: what came after is not here */
};

/* A reader's place. All zero is the beginning. */
struct transcript_cursor {
        size_t line; /* lines passed */
        size_t offset[CELL_STREAMS];
};

struct transcript_line {
        enum cell_stream stream;
        const char *text; /* without line break; valid until the transcript grows */
        size_t length;
};

enum { TRANSCRIPT_FULL = 1 };

/* limit_bytes: of each of the two. */
void transcript_init(struct transcript *transcript, size_t limit_bytes);
void transcript_deinit(struct transcript *transcript);

/* 0; TRANSCRIPT_FULL: as much as fits was taken; -ENOMEM. */
int transcript_append(
        struct transcript *transcript, enum cell_stream stream, const char *data, size_t length);
/* Nothing more will come: what is left of either becomes a line too. 0 or -ENOMEM. */
int transcript_close(struct transcript *transcript);

/* The line at the cursor, and moves it on. False: there is none yet. */
bool transcript_next(const struct transcript *transcript, struct transcript_cursor *cursor,
        struct transcript_line *ret_line);
size_t transcript_lines(const struct transcript *transcript);
/* Bytes of memory that it holds, without the struct. */
size_t transcript_size(const struct transcript *transcript);
