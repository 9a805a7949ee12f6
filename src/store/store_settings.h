#pragma once

#include "store/store.h"

struct settings;

/* The Redis that the settings name. It points into them. */
struct store_redis_options store_redis_options(const struct settings *settings);
