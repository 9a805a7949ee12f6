#include "server/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* Over the length too: what ends one part is not what begins the next. */
static uint64_t seal_add(uint64_t seal, const struct store_bytes *bytes)
{
        return (hash_add(seal, bytes->data, bytes->length) ^ bytes->length) * HASH_PRIME;
}

static uint64_t seal_of(const struct store_version *version)
{
        uint64_t seal = HASH_START;

        seal = seal_add(seal, &version->code);
        seal = seal_add(seal, &version->compiled);
        return seal_add(seal, &version->cache);
}

void seal_write(const struct store_version *version, const char *cache_for, char text[SEAL_MAX])
{
        snprintf(text, SEAL_MAX, "%s %016llx", cache_for, (unsigned long long)seal_of(version));
}

static void bytes_drop(struct store_bytes *bytes)
{
        free(bytes->data);
        *bytes = (struct store_bytes){ 0 };
}

void seal_open(struct store_version *version)
{
        char text[SEAL_MAX], *blank = version->cache_for.data ? strrchr(version->cache_for.data, ' ') : NULL;

        if (blank) {
                *blank = 0;
                version->cache_for.length = (size_t)(blank - version->cache_for.data);
                seal_write(version, "", text);
                if (strcmp(text + 1, blank + 1) == 0)
                        return;
        }
        if (version->cache_for.data) {
                bytes_drop(&version->compiled);
                bytes_drop(&version->map);
        }
        bytes_drop(&version->cache);
        bytes_drop(&version->cache_for);
}
