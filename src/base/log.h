#pragma once

/*
 * One event a line on stderr, as logfmt: `2026-01-31T12:00:00.123Z info call.done call=7f3a ms=4`.
 * Values that come from outside go through %s only after log_safe(), which leaves no line break or control
 * byte. Processes log, tools return results.
 */

#include "base/macros.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
/* "warn" for LOG_WARN. */
extern const char *const log_level_names[];
/* Returns 0, or -EINVAL for a name that is none of error, warn, info, debug. */
int log_level_parse(const char *name, enum log_level *ret_level);
void log_event(enum log_level level, const char *event, const char *format, ...) _printf_(3, 4);

/* Copies text into buffer, bytes outside printable ASCII and quotes replaced by '?'. Returns buffer. */
const char *log_safe(const char *text, char *buffer, unsigned long size);

#define log_error(event, ...) log_event(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_event(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_event(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_event(LOG_DEBUG, event, __VA_ARGS__)
