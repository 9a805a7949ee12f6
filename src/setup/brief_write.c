#include "setup/brief_write.h"

#include <errno.h>
#include <string.h>

int brief_add(char *list, size_t size, const char *word)
{
        size_t length = strlen(word) + 1, used = 0, words = 0;

        for (; list[used]; used += strlen(list + used) + 1)
                words++;
        if (used + length >= size || words + 1 >= BRIEF_LIST)
                return -E2BIG;
        memcpy(list + used, word, length);
        return 0;
}
