#pragma once

/* Capabilities (capabilities(7)) by capget/capset themselves: four calls do not justify a library in the
 * privileged process. */

#include <stdint.h>

/* What a template keeps so that its children can enter a slot: they drop it before user code. */
extern const uint64_t capability_template_set;

/* What the calling process may have. 0 or negative errno. */
int capabilities_read(uint64_t *ret_permitted);

/*
 * Leaves exactly the capabilities of `set`, permitted and effective; those of `ambient`, a part of it,
 * survive an exec by an unprivileged user. 0 or negative errno.
 */
int capabilities_keep(uint64_t set, uint64_t ambient);

/* Drops everything outside the set from the bounding set: no exec can ever bring it back. Needs CAP_SETPCAP.
 */
int capabilities_bound(uint64_t set);
