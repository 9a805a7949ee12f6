#pragma once

/* A growing run of bytes with a ceiling. Always NUL-terminated behind `length`, so text may be read as a
 * string. */

#include <stddef.h>

#include "base/macros.h"

struct bytes {
        char *data;
        size_t length;
        size_t capacity;
        size_t limit; /* most bytes that it will hold */
};

enum { BYTES_FULL = 1 };

void bytes_init(struct bytes *bytes, size_t limit_bytes);
void bytes_deinit(struct bytes *bytes);
/* Returns 0; BYTES_FULL if the ceiling would be passed (as much as fits has been taken); -ENOMEM. */
int bytes_append(struct bytes *bytes, const void *data, size_t length);
int bytes_append_text(struct bytes *bytes, const char *text);
int bytes_format(struct bytes *bytes, const char *format, ...) _printf_(2, 3);
/* Takes the first `length` bytes away. */
void bytes_drop(struct bytes *bytes, size_t length);
/* Makes room for `length` further bytes, to be filled by the caller who then raises bytes->length. 0,
 * BYTES_FULL, -ENOMEM. */
int bytes_reserve(struct bytes *bytes, size_t length);
