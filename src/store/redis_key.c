#include "store/redis_key.h"

#include <md5.h>
#include <string.h>

#include "base/macros.h"

static const char *const function_keys[] = { "function", "versions", "aliases" };
static const char *const common_keys[] = { "functions", "changes" };

void redis_path_md5(const char *path, char ret_md5[REDIS_MD5_SIZE])
{
        MD5Data((const uint8_t *)path, strlen(path), ret_md5);
}

void redis_add_function(
        struct redis_args *args, const char *prefix, const char *path, const char *md5, const char *node)
{
        redis_args_number(args, ARRAY_SIZE(function_keys) + ARRAY_SIZE(common_keys) + 2);
        for (size_t i = 0; i < ARRAY_SIZE(function_keys); i++)
                redis_args_format(args, "%s%s:%s", prefix, function_keys[i], path);
        for (size_t i = 0; i < ARRAY_SIZE(common_keys); i++)
                redis_args_format(args, "%s%s", prefix, common_keys[i]);
        redis_args_format(args, "meta:%s", md5);
        redis_args_format(args, "meta:%s:version", md5);

        redis_args_format(args, "%sversion:%s:", prefix, path);
        redis_args_format(args, "code:%s:", md5);
        redis_args_text(args, path);
        redis_args_text(args, node);
}
