#include "wire/brief.h"

#include <string.h>

void brief_words(const char *list, const char *words[BRIEF_LIST])
{
        size_t n = 0;

        for (; *list && n + 1 < BRIEF_LIST; list += strlen(list) + 1)
                words[n++] = list;
        words[n] = NULL;
}
