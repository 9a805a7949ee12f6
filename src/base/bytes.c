#include "base/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bytes_init(struct bytes *bytes, size_t limit_bytes)
{
        *bytes = (struct bytes){ .limit = limit_bytes };
}

void bytes_deinit(struct bytes *bytes)
{
        free(bytes->data);
        *bytes = (struct bytes){ .limit = bytes->limit };
}

int bytes_reserve(struct bytes *bytes, size_t length)
{
        size_t wanted, capacity;
        char *data;

        if (length > bytes->limit - bytes->length)
                return BYTES_FULL;
        wanted = bytes->length + length + 1;
        if (wanted <= bytes->capacity)
                return 0;

        capacity = MAX(wanted, MIN(bytes->capacity * 2, bytes->limit + 1));
        capacity = MAX(capacity, (size_t)64);
        data = realloc(bytes->data, capacity);
        if (!data)
                return -ENOMEM;
        bytes->data = data;
        bytes->capacity = capacity;
        return 0;
}

int bytes_append(struct bytes *bytes, const void *data, size_t length)
{
        size_t fits = MIN(length, bytes->limit - bytes->length);
        int r;

        r = bytes_reserve(bytes, fits);
        if (r < 0)
                return r;
        if (fits)
                memcpy(bytes->data + bytes->length, data, fits);
        bytes->length += fits;
        bytes->data[bytes->length] = 0;
        return fits < length ? BYTES_FULL : 0;
}

int bytes_append_text(struct bytes *bytes, const char *text)
{
        return bytes_append(bytes, text, strlen(text));
}

int bytes_format(struct bytes *bytes, const char *format, ...)
{
        va_list args;
        int n, r;

        va_start(args, format);
        n = vsnprintf(NULL, 0, format, args);
        va_end(args);
        if (n < 0)
                return -EINVAL;
        r = bytes_reserve(bytes, (size_t)n);
        if (r != 0)
                return r;

        va_start(args, format);
        vsnprintf(bytes->data + bytes->length, (size_t)n + 1, format, args);
        va_end(args);
        bytes->length += (size_t)n;
        return 0;
}

void bytes_drop(struct bytes *bytes, size_t length)
{
        if (length == 0)
                return;
        bytes->length -= length;
        memmove(bytes->data, bytes->data + length, bytes->length + 1);
}
