#pragma once

/* Well-formed UTF-8 (Unicode 15, table 3-7): no overlong form, no surrogate, nothing above U+10FFFF. */

#include <stddef.h>

/* The length of the sequence that begins at `at`, 1 to 4; 0 if it is none or if `end` cuts it. */
static inline size_t utf8_sequence(const unsigned char *at, const unsigned char *end)
{
        size_t left = (size_t)(end - at), length;
        unsigned char low = 0x80, high = 0xbf;

        if (left == 0)
                return 0;
        if (at[0] < 0x80)
                return 1;
        length = at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
        if (length == 0 || length > left)
                return 0;

        /* Only the second byte's range depends on the first. */
        if (at[0] == 0xe0)
                low = 0xa0;
        else if (at[0] == 0xed)
                high = 0x9f;
        else if (at[0] == 0xf0)
                low = 0x90;
        else if (at[0] == 0xf4)
                high = 0x8f;
        if (at[1] < low || at[1] > high)
                return 0;
        for (size_t i = 2; i < length; i++) {
                if (at[i] < 0x80 || at[i] > 0xbf)
                        return 0;
        }
        return length;
}
