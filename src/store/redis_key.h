#pragma once

/* Names of keys, and the words that scripts of one function begin with. See docs/decisions/0010-store.md. */

#include "store/redis_args.h"

enum { REDIS_MD5_SIZE = 33, REDIS_NODE_SIZE = 33 };

/* Of the path, in lower-case hexadecimal digits: go-faas' name for it. */
void redis_path_md5(const char *path, char ret_md5[REDIS_MD5_SIZE]);
/* The number of keys, the keys and the first four arguments (redis_lua.c). */
void redis_add_function(
        struct redis_args *args, const char *prefix, const char *path, const char *md5, const char *node);
