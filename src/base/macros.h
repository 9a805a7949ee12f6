#pragma once

/* The few words that C lacks: scope-bound cleanup, handing ownership over, the object around a member. */

#include <stddef.h>
#include <stdlib.h>

#define _cleanup_(f)      __attribute__((cleanup(f)))
#define _unused_          __attribute__((unused))
#define _printf_(a, b)    __attribute__((format(printf, a, b)))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* Hands a pointer over: the variable keeps NULL, so its cleanup has nothing to do. */
#define steal(pointer)                                                                                       \
        ({                                                                                                   \
                __typeof__(pointer) steal_from = (pointer);                                                  \
                __typeof__(*steal_from) steal_value = *steal_from;                                           \
                *steal_from = NULL;                                                                          \
                steal_value;                                                                                 \
        })

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* For _cleanup_: frees what a pointer variable holds. */
static inline void freep(void *pointer)
{
        free(*(void **)pointer);
}
