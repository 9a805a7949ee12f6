#pragma once

#include <stdint.h>
#include <time.h>

/* Monotonic time in microseconds: for deadlines and durations, never for dates. */
static inline uint64_t clock_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
