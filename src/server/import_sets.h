#pragma once

/*
 * Import sets: the modules that scripts import at their top. A set that is called for again and again gets a
 * template of its own, warm with these modules, at one of the places beyond the base templates'; it is shared
 * by all functions with exactly this set. It is made in the background, and given up when others need the
 * room or nobody calls for it. TEMPLATE_MEMORY_MAX bounds them all.
 */

#include <stdint.h>

#include "base/bytes.h"
#include "wire/keeper_api.h"

struct cells;
struct event_base;
struct import_sets;
struct keeper_link;
struct settings;

/* 0 or -ENOMEM. */
int import_sets_new(struct event_base *base, struct cells *cells, struct keeper_link *link,
        const struct settings *settings, struct import_sets **ret_sets);
/* Takes NULL, returns NULL. */
struct import_sets *import_sets_free(struct import_sets *sets);

/* Where a script with these imports (struct script) runs now: the place of its set's template if that is up,
 * else the base template's. Counts as a use of the set. */
uint32_t import_sets_place(struct import_sets *sets, enum runtime runtime, const char *names);
/* News of a place beyond the base templates'. */
void import_sets_on_template(struct import_sets *sets, const struct keeper_template *template);
/* No further templates: the server is about to leave. */
void import_sets_drain(struct import_sets *sets);

/* For GET /templates: the sets known as members of a JSON array, each after a comma. As bytes_append(). */
int import_sets_write(const struct import_sets *sets, struct bytes *body);
