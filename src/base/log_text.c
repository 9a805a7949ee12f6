#include <errno.h>
#include <string.h>

#include "base/log.h"

int log_level_parse(const char *name, enum log_level *ret_level)
{
        for (enum log_level level = LOG_ERROR; level <= LOG_DEBUG; level++) {
                if (strcmp(name, log_level_names[level]) == 0) {
                        *ret_level = level;
                        return 0;
                }
        }
        return -EINVAL;
}

const char *log_safe(const char *text, char *buffer, unsigned long size)
{
        unsigned long n = 0;

        for (; text[n] && n + 1 < size; n++)
                buffer[n] = text[n] > 0x1f && text[n] < 0x7f && text[n] != '"' ? text[n] : '?';
        buffer[n] = 0;
        return buffer;
}
