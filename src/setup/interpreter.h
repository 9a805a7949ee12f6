#pragma once

/* Where the interpreters lie on the host, which of the host's files they need inside the root, and how their
 * templates are started there. */

#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"
#include "setup/root_build.h"
#include "wire/brief.h"

/*
 * For each of `runtimes` (bits 1 << enum runtime): adds its files to `binds`, and its command to
 * brief->runtimes; brief->environment too. `library` is where mayfly's own files lie. 0, or negative errno
 * with a message.
 */
int interpreters_find(const struct settings *settings, const char *library, uint32_t runtimes,
        struct root_binds *binds, struct brief *brief, char *error, size_t error_size);
