#pragma once

/* One command on its way to Redis, written down as the protocol wants it. What goes wrong meanwhile is kept
 * and said at the end, so that a command can be put together without asking after each word. */

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct redis_args {
        struct bytes text;
        size_t n;
        int r;
};

void redis_args_init(struct redis_args *args);
void redis_args_deinit(struct redis_args *args);
void redis_args_add(struct redis_args *args, const void *data, size_t length);
void redis_args_text(struct redis_args *args, const char *text);
void redis_args_number(struct redis_args *args, uint64_t number);
void redis_args_format(struct redis_args *args, const char *format, ...) _printf_(2, 3);
/* 0 or -ENOMEM; what it returns is valid until redis_args_deinit(). */
int redis_args_finish(struct redis_args *args, const char **ret_data, size_t *ret_length);
