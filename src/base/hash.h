#pragma once

/* FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv): quick, and no secret. Who must not choose what
 * collides gets another start. */

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

static inline uint64_t hash_add(uint64_t hash, const char *data, size_t length)
{
        for (size_t i = 0; i < length; i++)
                hash = (hash ^ (unsigned char)data[i]) * HASH_PRIME;
        return hash;
}
