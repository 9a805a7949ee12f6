#pragma once

/*
 * Compiled code in the store bears a seal: to an interpreter a damaged byte of it is a crash, and that of
 * another script is another script. It tells damage and mix-ups, not forgery: whoever can write the store can
 * write functions. Made and read on a thread
 * beside the loop.
 */

#include "store/store.h"

/* What the store keeps as cache_for: the runtime's version and the seal over code, compiled and cache. */
enum { SEAL_MAX = 320 };
void seal_write(const struct store_version *version, const char *cache_for, char text[SEAL_MAX]);

/* Of a version as the store gave it: cache_for becomes the runtime's version, or, if its seal is broken,
 * absent like all that was compiled. */
void seal_open(struct store_version *version);
