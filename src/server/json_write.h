#pragma once

/* The little JSON that the server writes itself: strings. Values of users are spliced as they came. */

#include <stddef.h>

#include "base/bytes.h"

/* Appends text as a JSON string, quotes included. Each byte that is no part of UTF-8 becomes U+FFFD.
 * Results as of bytes_append(). */
int json_write_string(struct bytes *bytes, const char *text, size_t length);
int json_write_text(struct bytes *bytes, const char *text); /* NUL-terminated; NULL: null */
