#include "server/demand.h"

#include "base/macros.h"

enum { REPLACE_DEFAULT_US = 10000, SMOOTHING = 8, FADE_US = 10000000 };

/* What is left of a value after this time: close enough to exp(-elapsed / span), and needs no libm. */
static double faded(double value, double elapsed_us, double span_us)
{
        double share = span_us / (span_us + elapsed_us / 4);

        return value * share * share * share * share;
}

static double demand_peak(const struct demand *demand, uint64_t now_us)
{
        return demand->at_us ? faded(demand->peak, (double)(now_us - demand->at_us), FADE_US) : 0;
}

void demand_add_call(struct demand *demand, uint64_t now_us)
{
        double span_us = demand->replace_us > 0 ? demand->replace_us : REPLACE_DEFAULT_US;

        demand->peak = demand_peak(demand, now_us);
        demand->level = demand->at_us ? faded(demand->level, (double)(now_us - demand->at_us), span_us) : 0;
        demand->level += 1;
        demand->peak = MAX(demand->peak, demand->level);
        demand->at_us = now_us;
}

void demand_add_replacement(struct demand *demand, uint64_t took_us)
{
        if (demand->replace_us > 0)
                demand->replace_us += ((double)took_us - demand->replace_us) / SMOOTHING;
        else
                demand->replace_us = (double)took_us;
}

/* Rounded: somebody who calls now and then counts as one, who calls again at once as more. */
size_t demand_spares(const struct demand *demand, uint64_t now_us)
{
        return (size_t)(demand_peak(demand, now_us) + 0.5);
}
