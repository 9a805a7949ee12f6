#pragma once

/* What functions and their aliases may be called. */

#include <stdbool.h>
#include <stddef.h>

/* 1-255 bytes, segments of letters, digits, `.`, `_`, `-`; no empty segment, no `.` or `..`. */
bool function_path_valid(const char *path, size_t length);
/* The last segment of a path whose last but one is `aliases`; NULL: of others. There are the aliases of the
 * function that is before, ret_length (may be NULL) bytes of the path, so no function is uploaded there. */
const char *function_path_alias(const char *path, size_t *ret_length);
/* A letter, then letters, digits, `.`, `_`, `-`; 64 bytes at most; not `latest`, lest it be taken for
 * the latest version. */
bool function_alias_valid(const char *alias);
