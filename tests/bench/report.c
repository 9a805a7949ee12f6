/* See report.h: samples become percentiles, and JSON. */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>

const char *const part_names[PARTS] = { "queue", "start", "run", "total", "seen" };

int report_keep(struct report *report, const struct sample *sample)
{
        if (report->count == report->space) {
                size_t space = report->space ? report->space * 2 : 4096;
                struct sample *samples = realloc(report->samples, space * sizeof *samples);

                if (!samples)
                        return -1;
                report->samples = samples;
                report->space = space;
        }
        report->samples[report->count++] = *sample;
        return 0;
}

void report_failure(struct report *report, const char *answer)
{
        if (report->failed++ == 0)
                snprintf(report->first_failure, sizeof report->first_failure, "%.*s", FAILURE_SHOWN, answer);
}

static int by_seen(const void *a, const void *b)
{
        double x = ((const struct sample *)a)->ms[SEEN], y = ((const struct sample *)b)->ms[SEEN];

        return (x > y) - (x < y);
}

/* The smallest sample that at least p % are not above, as load.py has it. The samples are sorted. */
static double percentile(const struct report *report, double p)
{
        double wanted = p / 100 * (double)report->count;
        size_t rank = (size_t)wanted;

        rank += (double)rank < wanted || rank == 0;
        return rank <= report->count ? report->samples[rank - 1].ms[SEEN] : 0;
}

/* How the calls around the median (p40 to p60) spent their time: means, so that the parts add up. */
static void print_middle(const struct report *report)
{
        size_t from = report->count * 2 / 5, to = report->count * 3 / 5;

        to += to == from && to < report->count;
        for (int part = 0; part < PARTS; part++) {
                double sum = 0;

                for (size_t i = from; i < to; i++)
                        sum += report->samples[i].ms[part];
                printf("%s\"%s\":%.4f", part ? "," : "", part_names[part],
                        to > from ? sum / (double)(to - from) : 0);
        }
}

static void print_latency(const struct report *report)
{
        static const double wanted[] = { 10, 50, 90, 99, 99.9 };
        double mean = 0;

        for (size_t i = 0; i < report->count; i++)
                mean += report->samples[i].ms[SEEN] / (double)report->count;
        printf("{\"min\":%.4f", percentile(report, 0));
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
                printf(",\"p%g\":%.4f", wanted[i], percentile(report, wanted[i]));
        printf(",\"max\":%.4f,\"mean\":%.4f}", percentile(report, 100), mean);
}

static void print_string(const char *text)
{
        putchar('"');
        for (; *text; text++) {
                if (*text == '"' || *text == '\\' || *text < ' ' || *text > '~')
                        printf("\\u%04x", (unsigned char)*text);
                else
                        putchar(*text);
        }
        putchar('"');
}

void report_print(struct report *report)
{
        double per_second = report->seconds > 0 ? (double)report->count / report->seconds : 0;

        if (report->count > 0)
                qsort(report->samples, report->count, sizeof *report->samples, by_seen);
        printf("{\"clients\":%ld,\"calls\":%zu,\"failed\":%zu,\"seconds\":%.3f,\"per_second\":%.1f,\"ms\":",
                report->clients, report->count, report->failed, report->seconds, per_second);
        print_latency(report);
        printf(",\"middle\":{");
        print_middle(report);
        printf("},\"client_cpu_share\":%.3f,\"first_failure\":", report->client_share);
        print_string(report->first_failure);
        printf(",\"samples\":[");
        for (size_t i = 0; report->shows_samples && i < report->count; i++)
                printf("%s%.4f", i ? "," : "", report->samples[i].ms[SEEN]);
        puts("]}");
}
