#pragma once

/* The texts of the scripts; what they take and answer is said in redis_lua.c. */

#include "store/redis_script.h"

extern const char *const redis_lua[REDIS_SCRIPTS];
