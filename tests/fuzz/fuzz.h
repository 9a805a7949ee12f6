#pragma once

#include <stddef.h>
#include <stdint.h>

/* What libFuzzer and replay.c call. The data has exactly its size, so that a sanitizer sees a byte read
 * beyond it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for every input. */
#define must(condition)                                                                                      \
        do {                                                                                                 \
                if (!(condition))                                                                            \
                        __builtin_trap();                                                                    \
        } while (0)
