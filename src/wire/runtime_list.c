#include <errno.h>
#include <string.h>

#include "wire/runtime.h"

int runtimes_parse(const char *list, uint32_t *ret_set, const char **ret_bad)
{
        const uint32_t node = 1u << RUNTIME_NODE | 1u << RUNTIME_TYPESCRIPT;
        uint32_t set = 0;

        for (const char *name = list; name && *name;) {
                size_t length = strcspn(name, ",");
                enum runtime i = 0;

                while (i < RUNTIME_COUNT &&
                        (strncmp(runtime_name(i), name, length) != 0 || runtime_name(i)[length]))
                        i++;
                if (i == RUNTIME_COUNT) {
                        *ret_bad = name;
                        return -EINVAL;
                }
                set |= 1u << i;
                name += length + (name[length] == ',');
        }
        *ret_set = set & node ? set | node : set;
        return 0;
}
