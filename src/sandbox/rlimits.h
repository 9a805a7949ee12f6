#pragma once

/*
 * rlimits (getrlimit(2)): what each process of a cell may use, laid on its template and inherited. What the
 * whole cell may use is its cgroup's (sandbox/cgroup.h).
 */

#include "base/settings.h"

/* Applies them to the calling process for good. 0 or negative errno. */
int rlimits_apply(const struct settings *settings);
