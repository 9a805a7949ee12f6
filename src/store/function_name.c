#include "store/function_name.h"

#include <string.h>

#include "store/store.h"

static bool function_segment_valid(const char *segment, size_t length)
{
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

        for (size_t i = 0; i < length; i++) {
                if (!memchr(allowed, segment[i], sizeof allowed - 1))
                        return false;
        }
        if (length <= 2 && memcmp(segment, "..", length) == 0)
                return false; /* empty, `.` or `..` */
        return true;
}

bool function_path_valid(const char *path, size_t length)
{
        const char *end = path + length;

        if (length < 1 || length > STORE_PATH_MAX)
                return false;
        for (const char *segment = path;;) {
                const char *slash = memchr(segment, '/', (size_t)(end - segment));
                const char *stop = slash ? slash : end;

                if (!function_segment_valid(segment, (size_t)(stop - segment)))
                        return false;
                if (!slash)
                        return true;
                segment = slash + 1;
        }
}

const char *function_path_alias(const char *path, size_t *ret_length)
{
        static const char parent[] = "aliases";
        const char *last = strrchr(path, '/'), *begin = last;

        while (begin && begin > path && begin[-1] != '/')
                begin--;
        if (!last || (size_t)(last - begin) != sizeof parent - 1 ||
                memcmp(begin, parent, sizeof parent - 1) != 0)
                return NULL;
        if (ret_length)
                *ret_length = begin > path ? (size_t)(begin - 1 - path) : 0;
        return last + 1;
}

bool function_alias_valid(const char *alias)
{
        size_t length = strlen(alias);
        bool begins = (*alias >= 'a' && *alias <= 'z') || (*alias >= 'A' && *alias <= 'Z');

        return begins && length <= STORE_ALIAS_MAX && function_segment_valid(alias, length) &&
               strcmp(alias, "latest") != 0;
}
