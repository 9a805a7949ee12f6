#pragma once

/*
 * The limits of one function, which its author may set below those of the settings: the member `limits` of
 * /upload and /run-now. Stored with the version as JSON text.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "server/json_scan.h"

struct settings;

/* 0: as the settings have it. */
struct limits {
        uint32_t timeout_ms;
        uint32_t cpus_milli;
        uint32_t processes;
        uint64_t memory_bytes;
        uint64_t tmp_bytes;
        uint64_t output_bytes; /* of the result, of stdout and of stderr, each */
};

enum { LIMITS_BAD = 1 };

/*
 * Reads a JSON value that json_check() accepted: an object of `timeout_ms`, `memory_bytes`, `cpus` (fractions
 * allowed), `processes`, `tmp_bytes`, `output_bytes`, each a number within what a setting of its kind may be
 * and at most what this server's settings say; null stands for an absent one. 0; LIMITS_BAD with a sentence
 * for the client in `fault` that names the member, the value and the setting; -ENOMEM.
 */
int limits_read(struct json_span value, const struct settings *settings, struct limits *ret_limits,
        char *fault, size_t fault_size);

/* The same from the store: what is above the settings by now is cut to them. 0, LIMITS_BAD or -ENOMEM. */
int limits_read_stored(
        const char *text, size_t length, const struct settings *settings, struct limits *ret_limits);

/* Writes those that are set as a JSON object; "" if none is. Results as of bytes_append(). */
int limits_write(const struct limits *limits, struct bytes *bytes);
