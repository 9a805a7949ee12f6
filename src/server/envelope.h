#pragma once

/* The JSON object that a client posts around a script or its input. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/limits.h"
#include "wire/guest_api.h"

struct languages;
struct settings;

/* Which route it was sent to: that decides which members it must and may have. */
enum envelope_kind { ENVELOPE_UPLOAD = 1, ENVELOPE_RUN = 2, ENVELOPE_RUN_NOW = 4, ENVELOPE_ALIAS = 8 };

enum { ENVELOPE_BAD = 1, ENVELOPE_LARGE = 2 };

/* What a route has no use for stays NULL or 0. */
struct envelope {
        char *path; /* valid, NUL-terminated */
        enum guest_language language;
        char *code;
        size_t code_length;
        const char *input; /* JSON text: points into the body, into input_text, or is "{}" */
        size_t input_length;
        char *input_text; /* a string that held JSON, decoded */
        struct limits limits;
        bool stream, detail;
        uint64_t version; /* at least 1 */
};

/* What decides whether a value is good. */
struct envelope_rules {
        const struct languages *languages;
        const struct settings *settings;
};

/*
 * Reads the body, which must outlive the envelope. 0; ENVELOPE_BAD or ENVELOPE_LARGE with the reason, for the
 * client, in `fault`; -ENOMEM. Members of other names are passed over. An empty body is an empty object for
 * ENVELOPE_RUN.
 */
int envelope_read(const char *body, size_t length, enum envelope_kind kind,
        const struct envelope_rules *rules, struct envelope *ret_envelope, char *fault, size_t fault_size);
/* Frees what it still owns; whoever takes path or code sets them to NULL. */
void envelope_deinit(struct envelope *envelope);
