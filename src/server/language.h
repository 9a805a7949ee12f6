#pragma once

/* The languages that scripts are written in, and the runtime that each of them needs. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/guest_api.h"
#include "wire/keeper_api.h"

enum { LANGUAGE_UNKNOWN = 1 };

/* The languages that settings.runtimes serves. `fake` stands in for whatever is not listed (tests). */
struct languages {
        uint32_t runtimes; /* bits, 1 << enum runtime */
};

/* 0, or -EINVAL with the name that is none of ours in `error`. */
int languages_init(struct languages *languages, const char *runtimes, char *error, size_t error_size);

bool languages_use(const struct languages *languages, enum runtime runtime);

/* 0 or LANGUAGE_UNKNOWN. */
int language_parse(const char *name, size_t length, enum guest_language *ret_language);
/* Is its runtime among settings.runtimes? */
bool language_served(const struct languages *languages, enum guest_language language);
const char *language_name(enum guest_language language);
/* Where a script of this language runs, or is checked. */
enum runtime language_runtime(
        const struct languages *languages, enum guest_language language, enum guest_mode mode);
