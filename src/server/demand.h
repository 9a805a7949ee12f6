#pragma once

/*
 * How many spare cells a template should have: as many as calls come while one is being replaced. Both are
 * measured: calls in a count that forgets exponentially, with the time of a replacement as its span, and of
 * that count the highest value, which fades within a minute.
 */

#include <stddef.h>
#include <stdint.h>

struct demand {
        double level;      /* of the count */
        double peak;       /* of the level */
        double replace_us; /* from asking for a cell until it is ready, smoothed; 0: none was seen yet */
        uint64_t at_us;    /* when level and peak were that; 0: never */
};

void demand_add_call(struct demand *demand, uint64_t now_us);
void demand_add_replacement(struct demand *demand, uint64_t took_us);
/* 0: nobody has called for a while. */
size_t demand_spares(const struct demand *demand, uint64_t now_us);
