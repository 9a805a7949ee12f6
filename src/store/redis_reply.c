#include "store/redis_reply.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"

#define REPLY_NOT_ALLOWED                                                                                    \
        "the Redis user may not use a command or key that mayfly needs: see docs/decisions/0010-store.md"

/* Codes by which Redis says why not, what that means for whoever runs mayfly, and whether another connection
 * may do better. A script's error carries its code in the middle of the text. */
static const struct {
        const char *code;
        const char *meaning;
        bool drop;
} failures[] = {
        { "LOADING", "Redis is still loading its data", false },
        { "BUSY", "a script keeps Redis busy; SCRIPT KILL ends it", false },
        { "OOM", "Redis has reached its maxmemory: raise it or make room; nothing can be kept until then",
                false },
        { "MISCONF", "Redis cannot save to its disk and takes no writes: look at its log and its disk",
                false },
        { "NOREPLICAS", "Redis has fewer replicas than its min-replicas-to-write wants", false },
        { "NOGOODSLAVE", "Redis has fewer replicas than it wants", false },
        { "READONLY", "this Redis is a read-only replica: REDIS_HOST must be the primary", true },
        { "MASTERDOWN", "this Redis is a replica that has lost its primary", true },
        { "NOAUTH", "Redis asks for a password: set REDIS_PASSWORD", true },
        { "WRONGPASS", "REDIS_USERNAME or REDIS_PASSWORD is wrong", true },
        { "invalid password", "REDIS_PASSWORD is wrong", true },
        { "without any password", "REDIS_PASSWORD is set, but this Redis has none", true },
        { "no password is set", "REDIS_PASSWORD is set, but this Redis has none", true }, /* before Redis 6 */
        { "max number of clients", "Redis has as many clients as its maxclients allows", true },
        { "NOPERM", REPLY_NOT_ALLOWED, false },
        { "user executing the script", REPLY_NOT_ALLOWED, false }, /* the same, of a script */
        { "WRONGTYPE", "another program's data is under a key of mayfly's: set another REDIS_PREFIX", false },
        { "MOVED",
                "this is a Redis Cluster, which mayfly does not support: use one primary, with or without "
                "Sentinel",
                true },
        { "CROSSSLOT", "this is a Redis Cluster, which mayfly does not support", true },
        { "CLUSTERDOWN", "this is a Redis Cluster, which mayfly does not support", true },
        { "EXECABORT", "Redis gave up a transaction", false },
};

/* 2^53: beyond it scripts cannot count. */
static const uint64_t number_end = UINT64_C(1) << 53;

const redisReply *redis_reply_at(const redisReply *reply, size_t at)
{
        if (!reply || reply->type != REDIS_REPLY_ARRAY || at >= reply->elements)
                return NULL;
        return reply->element[at];
}

static bool reply_is_text(const redisReply *reply)
{
        return reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS);
}

bool redis_reply_is(const redisReply *reply, const char *text)
{
        return reply_is_text(reply) && reply->len == strlen(text) &&
               memcmp(reply->str, text, reply->len) == 0;
}

bool redis_reply_absent(const redisReply *reply)
{
        return reply && reply->type == REDIS_REPLY_NIL;
}

int redis_reply_number(const redisReply *reply, uint64_t *ret_number)
{
        uint64_t number = 0;

        if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0) {
                number = (uint64_t)reply->integer;
        } else {
                if (redis_reply_absent(reply))
                        return -EBADMSG;
                if (!reply_is_text(reply))
                        return -EPROTO;
                if (reply->len < 1 || reply->len > 16)
                        return -EBADMSG;
                for (size_t i = 0; i < reply->len; i++) {
                        if (reply->str[i] < '0' || reply->str[i] > '9')
                                return -EBADMSG;
                        number = number * 10 + (uint64_t)(reply->str[i] - '0');
                }
        }
        if (number >= number_end)
                return -EBADMSG;
        *ret_number = number;
        return 0;
}

int redis_reply_bytes(const redisReply *reply, struct store_bytes *ret_bytes)
{
        char *data;

        if (redis_reply_absent(reply)) {
                *ret_bytes = (struct store_bytes){ 0 };
                return 0;
        }
        if (!reply_is_text(reply))
                return -EPROTO;
        data = malloc(reply->len + 1);
        if (!data)
                return -ENOMEM;
        memcpy(data, reply->str, reply->len);
        data[reply->len] = 0;
        *ret_bytes = (struct store_bytes){ .data = data, .length = reply->len };
        return 0;
}

int redis_reply_optional_text(const redisReply *reply, char **ret_text)
{
        struct store_bytes bytes;
        int r;

        if (reply_is_text(reply) && memchr(reply->str, 0, reply->len))
                return -EBADMSG;
        r = redis_reply_bytes(reply, &bytes);
        if (r == 0)
                *ret_text = bytes.data;
        return r;
}

int redis_reply_text(const redisReply *reply, char **ret_text)
{
        return redis_reply_absent(reply) ? -EBADMSG : redis_reply_optional_text(reply, ret_text);
}

int redis_reply_hash(const redisReply *reply, char ret_hash[STORE_HASH_SIZE])
{
        if (redis_reply_absent(reply))
                return -EBADMSG;
        if (!reply_is_text(reply))
                return -EPROTO;
        if (reply->len != 0 && reply->len != STORE_HASH_SIZE - 1)
                return -EBADMSG;
        if (strspn(reply->str, "0123456789abcdef") != reply->len)
                return -EBADMSG;
        memcpy(ret_hash, reply->str, reply->len + 1);
        return 0;
}

/* A code is a word of its own: at the start, or after something that is no letter or digit. */
static bool reply_has_code(const char *text, const char *code)
{
        size_t length = strlen(code);

        for (const char *at = text; (at = strstr(at, code)); at += length) {
                bool starts = at == text || (!isalnum((unsigned char)at[-1]) && at[-1] != '_');

                if (starts && !isalnum((unsigned char)at[length]) && at[length] != '_')
                        return true;
        }
        return false;
}

bool redis_reply_failed_with(const redisReply *reply, const char *code)
{
        return reply && reply->type == REDIS_REPLY_ERROR && reply_has_code(reply->str, code);
}

static size_t reply_find_failure(const redisReply *reply)
{
        size_t at = 0;

        while (at < ARRAY_SIZE(failures) && !reply_has_code(reply->str, failures[at].code))
                at++;
        return at;
}

const char *redis_reply_meaning(const redisReply *reply)
{
        size_t at = reply_find_failure(reply);

        return at < ARRAY_SIZE(failures) ? failures[at].meaning : NULL;
}

bool redis_reply_explain(const redisReply *reply, char *reason, size_t size)
{
        size_t at = reply_find_failure(reply);
        char safe[160];

        log_safe(reply->str, safe, sizeof safe);
        if (at == ARRAY_SIZE(failures)) {
                snprintf(reason, size, "Redis refused: %s", safe);
                return false;
        }
        snprintf(reason, size, "%s (%s)", failures[at].meaning, safe);
        return failures[at].drop;
}
