#pragma once

/* The runtimes by name: what the setting RUNTIMES lists and /readyz shows. */

#include <stdint.h>

#include "wire/keeper_api.h"

/* "python" for RUNTIME_PYTHON. */
const char *runtime_name(enum runtime runtime);

/*
 * Reads a comma separated list into a set of bits, 1 << enum runtime. node and typescript come together: what
 * one compiles the other runs. 0, or -EINVAL with *ret_bad at the first word that names no runtime. NULL is
 * the empty list.
 */
int runtimes_parse(const char *list, uint32_t *ret_set, const char **ret_bad);
