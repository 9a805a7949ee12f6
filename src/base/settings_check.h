#pragma once

#include <stddef.h>

struct settings;

/* What is wrong only in combination, or within a text. 0, or -EINVAL with a message in `error`. */
int settings_check(const struct settings *settings, char *error, size_t size);
