#include "store/redis_args.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

/* The number of words stands in front of them and is known last: this much room is kept for it. */
enum { HEADER_ROOM = 24 };

void redis_args_init(struct redis_args *args)
{
        char room[HEADER_ROOM] = { 0 };

        *args = (struct redis_args){ 0 };
        bytes_init(&args->text, SIZE_MAX / 4);
        args->r = bytes_append(&args->text, room, sizeof room);
}

void redis_args_deinit(struct redis_args *args)
{
        bytes_deinit(&args->text);
}

void redis_args_add(struct redis_args *args, const void *data, size_t length)
{
        if (args->r == 0)
                args->r = bytes_format(&args->text, "$%zu\r\n", length);
        if (args->r == 0)
                args->r = bytes_append(&args->text, data, length);
        if (args->r == 0)
                args->r = bytes_append(&args->text, "\r\n", 2);
        args->n++;
}

void redis_args_text(struct redis_args *args, const char *text)
{
        redis_args_add(args, text, strlen(text));
}

void redis_args_number(struct redis_args *args, uint64_t number)
{
        redis_args_format(args, "%" PRIu64, number);
}

void redis_args_format(struct redis_args *args, const char *format, ...)
{
        char *text = NULL;
        va_list list;
        int n;

        va_start(list, format);
        n = vasprintf(&text, format, list);
        va_end(list);
        if (n < 0) {
                args->r = -ENOMEM;
                return;
        }
        redis_args_add(args, text, (size_t)n);
        free(text);
}

int redis_args_finish(struct redis_args *args, const char **ret_data, size_t *ret_length)
{
        char header[HEADER_ROOM];
        size_t length;

        if (args->r != 0)
                return error_trace(-ENOMEM);
        length = (size_t)snprintf(header, sizeof header, "*%zu\r\n", args->n);
        memcpy(args->text.data + HEADER_ROOM - length, header, length);
        *ret_data = args->text.data + HEADER_ROOM - length;
        *ret_length = args->text.length - HEADER_ROOM + length;
        return 0;
}
