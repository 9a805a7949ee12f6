#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static enum log_level log_threshold = LOG_INFO;

const char *const log_level_names[] = {
        [LOG_ERROR] = "error",
        [LOG_WARN] = "warn",
        [LOG_INFO] = "info",
        [LOG_DEBUG] = "debug",
};

void log_set_level(enum log_level level)
{
        log_threshold = level;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
        char line[2048];
        struct timespec now;
        struct tm utc;
        size_t used;
        va_list args;

        if (level > log_threshold)
                return;

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        used = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
        used += (size_t)snprintf(line + used, sizeof line - used, ".%03ldZ %s %s ", now.tv_nsec / 1000000,
                log_level_names[level], event);

        va_start(args, format);
        int n = vsnprintf(line + used, sizeof line - used - 1, format, args);
        va_end(args);
        used = MIN(used + (size_t)MAX(n, 0), sizeof line - 2);
        line[used++] = '\n';

        /* One write a line: lines of several processes on one stderr do not mix. A log that cannot be written
         * has no better place to say so. */
        if (write(STDERR_FILENO, line, used) < 0)
                return;
}
