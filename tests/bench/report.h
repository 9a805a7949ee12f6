/* What the bench's client has seen, and how it is told. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define FAILURE_SHOWN 400

/* What Server-Timing tells of a call, and then what only the client knows. */
enum { QUEUE, START, RUN, TOTAL, SEEN, PARTS };
extern const char *const part_names[PARTS];

struct sample {
        double ms[PARTS];
};

/* All zeros at first. */
struct report {
        struct sample *samples;
        size_t count, space, failed;
        long clients;
        double seconds, client_share;
        bool shows_samples;
        char first_failure[FAILURE_SHOWN + 1];
};

/* 0, or -1 without memory. */
int report_keep(struct report *report, const struct sample *sample);

/* `answer`: what came instead of a good one; the first is told. */
void report_failure(struct report *report, const char *answer);

/* One JSON object on stdout. Sorts the samples. */
void report_print(struct report *report);
