#pragma once

/* The brief's lists. */

#include <stddef.h>

#include "wire/brief.h"

/* Adds a word to a list of `size` bytes, all 0 at first. 0, or -E2BIG. */
int brief_add(char *list, size_t size, const char *word);
