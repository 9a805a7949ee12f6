#include "server/transcript.h"

#include <stdint.h>
#include <string.h>

void transcript_init(struct transcript *transcript, size_t limit_bytes)
{
        *transcript = (struct transcript){ 0 };
        for (size_t i = 0; i < CELL_STREAMS; i++)
                bytes_init(&transcript->text[i], limit_bytes);
        bytes_init(&transcript->order, SIZE_MAX / 2); /* there are fewer lines than bytes */
}

void transcript_deinit(struct transcript *transcript)
{
        for (size_t i = 0; i < CELL_STREAMS; i++)
                bytes_deinit(&transcript->text[i]);
        bytes_deinit(&transcript->order);
}

/* Ends a line at `end`. */
static int transcript_finish_line(struct transcript *transcript, enum cell_stream stream, size_t end)
{
        char mark = (char)stream;

        transcript->finished[stream] = end;
        return bytes_append(&transcript->order, &mark, sizeof mark);
}

static int transcript_find_lines(struct transcript *transcript, enum cell_stream stream, size_t from)
{
        const struct bytes *text = &transcript->text[stream];
        int r = 0;

        while (r == 0 && from < text->length) {
                const char *newline = memchr(text->data + from, '\n', text->length - from);

                if (!newline)
                        break;
                from = (size_t)(newline - text->data) + 1;
                r = transcript_finish_line(transcript, stream, from);
        }
        return r;
}

int transcript_append(struct transcript *transcript, enum cell_stream stream, const char *data, size_t length)
{
        size_t from = transcript->text[stream].length;
        int r, lines_r;

        r = bytes_append(&transcript->text[stream], data, length);
        if (r < 0)
                return r;
        transcript->is_cut |= r == BYTES_FULL;
        lines_r = transcript_find_lines(transcript, stream, from);
        if (lines_r < 0)
                return lines_r;
        return r == BYTES_FULL ? TRANSCRIPT_FULL : 0;
}

int transcript_close(struct transcript *transcript)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < CELL_STREAMS; i++) {
                if (transcript->finished[i] < transcript->text[i].length)
                        r = transcript_finish_line(
                                transcript, (enum cell_stream)i, transcript->text[i].length);
        }
        return r;
}

bool transcript_next(const struct transcript *transcript, struct transcript_cursor *cursor,
        struct transcript_line *ret_line)
{
        enum cell_stream stream;
        const char *begin, *end;
        size_t length;

        if (cursor->line >= transcript->order.length)
                return false;
        stream = (enum cell_stream)transcript->order.data[cursor->line];
        begin = transcript->text[stream].data + cursor->offset[stream];
        length = transcript->finished[stream] - cursor->offset[stream];
        end = memchr(begin, '\n', length);
        if (end)
                length = (size_t)(end - begin);
        cursor->line++;
        cursor->offset[stream] += length + (end ? 1 : 0);

        if (length > 0 && end && begin[length - 1] == '\r')
                length--;
        *ret_line = (struct transcript_line){ .stream = stream, .text = begin, .length = length };
        return true;
}

size_t transcript_lines(const struct transcript *transcript)
{
        return transcript->order.length;
}

size_t transcript_size(const struct transcript *transcript)
{
        size_t size = transcript->order.capacity;

        for (size_t i = 0; i < CELL_STREAMS; i++)
                size += transcript->text[i].capacity;
        return size;
}
