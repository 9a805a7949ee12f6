/*
 * Limits out of arbitrary bytes. What is accepted must be within the settings, must read the same when it was
 * written and comes back from the store, and what is refused must be refused with words.
 */

#include "fuzz.h"

#include <string.h>

#include "base/settings.h"
#include "server/limits.h"

static const struct settings settings = {
        .timeout_script_ms = 30000,
        .max_memory_bytes = 128 << 20,
        .max_cpus_milli = 1500,
        .max_processes = 64,
        .max_tmp_bytes = 64 << 20,
        .output_max_bytes = 4 << 20,
};

static void within(uint64_t value, uint64_t least, uint64_t most)
{
        must(value == 0 || (value >= least && value <= most));
}

static void limits_check(const struct limits *limits)
{
        within(limits->timeout_ms, 10, settings.timeout_script_ms);
        within(limits->memory_bytes, 16 << 20, settings.max_memory_bytes);
        within(limits->cpus_milli, 10, settings.max_cpus_milli);
        within(limits->processes, 4, settings.max_processes);
        within(limits->tmp_bytes, 65536, settings.max_tmp_bytes);
        within(limits->output_bytes, 1024, settings.output_max_bytes);
}

static void same_check(const struct limits *a, const struct limits *b)
{
        must(a->timeout_ms == b->timeout_ms && a->memory_bytes == b->memory_bytes);
        must(a->cpus_milli == b->cpus_milli && a->processes == b->processes);
        must(a->tmp_bytes == b->tmp_bytes && a->output_bytes == b->output_bytes);
}

static void written_check(const struct limits *limits)
{
        struct bytes text = { .limit = 1024 };
        struct limits again;

        must(limits_write(limits, &text) == 0);
        if (text.length > 0) {
                must(limits_read_stored(text.data, text.length, &settings, &again) == 0);
                same_check(limits, &again);
        }
        bytes_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *text = (const char *)data;
        struct limits limits, stored;
        struct json_span value;
        char fault[512] = "";
        int r, stored_r = limits_read_stored(text, size, &settings, &stored);

        must(stored_r == 0 || stored_r == LIMITS_BAD);
        if (stored_r == 0)
                limits_check(&stored);
        if (json_check(text, size, &value, NULL) != 0) {
                must(stored_r == LIMITS_BAD);
                return 0;
        }
        r = limits_read(value, &settings, &limits, fault, sizeof fault);
        must(r == 0 || r == LIMITS_BAD);
        must(r == 0 || strlen(fault) > 0);
        if (r != 0)
                return 0;
        limits_check(&limits);
        written_check(&limits);
        if (json_type(value) == JSON_OBJECT) {
                must(stored_r == 0);
                same_check(&limits, &stored);
        }
        return 0;
}
