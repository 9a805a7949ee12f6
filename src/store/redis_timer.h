#pragma once

#include <event2/event.h>
#include <stdint.h>

/* Due so much later; set anew if it was set. */
static inline int redis_timer_set_us(struct event *timer, uint64_t us)
{
        const struct timeval after = { .tv_sec = (time_t)(us / 1000000),
                .tv_usec = (suseconds_t)(us % 1000000) };

        return event_add(timer, &after);
}

static inline int redis_timer_set(struct event *timer, uint32_t ms)
{
        return redis_timer_set_us(timer, (uint64_t)ms * 1000);
}
