/* The table of what is said to a Redis or a sentinel before it is used. */

#include "store/redis_greeting.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "store/redis_reply.h"

enum { TO_SENTINEL = 1, TO_PRIMARY = 2 };

enum { ROW_AUTH, ROW_SELECT, ROW_NAME, ROW_INFO, ROW_CONFIG, ROW_ROLE, ROW_PRIMARY };

static_assert(ROW_PRIMARY + 1 == REDIS_GREETING_ROWS, "a row for each");

static const char *greeting_password(const struct redis_greeting *greeting)
{
        return greeting->to_sentinel ? greeting->options->sentinel_password : greeting->options->password;
}

static bool greeting_has_password(const struct redis_greeting *greeting)
{
        return greeting_password(greeting) && *greeting_password(greeting);
}

static bool greeting_selects(const struct redis_greeting *greeting)
{
        return greeting->options->database != 0;
}

static bool greeting_has_sentinels(const struct redis_greeting *greeting)
{
        return greeting->has_sentinels;
}

static void greeting_add_auth(const struct redis_greeting *greeting, struct redis_args *args)
{
        const char *username = greeting->options->username;

        if (!greeting->to_sentinel && username && *username)
                redis_args_text(args, username);
        redis_args_text(args, greeting_password(greeting));
}

static void greeting_add_database(const struct redis_greeting *greeting, struct redis_args *args)
{
        redis_args_number(args, greeting->options->database);
}

static void greeting_add_master(const struct redis_greeting *greeting, struct redis_args *args)
{
        redis_args_text(args, greeting->options->sentinel_master);
}

/* What an answer is read by: returns NULL, or why this is not the Redis that was looked for. */
static const char *greeting_read_auth(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size);
static const char *greeting_read_needed(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size);
static const char *greeting_read_any(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size);
static const char *greeting_read_info(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size);
static const char *greeting_read_config(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size);
static const char *greeting_read_role(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size);
static const char *greeting_read_primary(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size);

/* The greeting, in order. Sent at once; welcome is who answered all of it well. */
static const struct {
        int to;
        bool (*wanted)(const struct redis_greeting *greeting);
        const char *words[3];
        void (*add)(const struct redis_greeting *greeting, struct redis_args *args);
        const char *(*read)(struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size);
} rows[REDIS_GREETING_ROWS] = {
        [ROW_AUTH] = { TO_SENTINEL | TO_PRIMARY, greeting_has_password, { "AUTH" }, greeting_add_auth,
                greeting_read_auth },
        [ROW_SELECT] = { TO_PRIMARY, greeting_selects, { "SELECT" }, greeting_add_database,
                greeting_read_needed },
        [ROW_NAME] = { TO_SENTINEL | TO_PRIMARY, NULL, { "CLIENT", "SETNAME", "mayfly" }, NULL,
                greeting_read_any },
        [ROW_INFO] = { TO_PRIMARY, NULL, { "INFO" }, NULL, greeting_read_info },
        [ROW_CONFIG] = { TO_PRIMARY, NULL, { "CONFIG", "GET", "appendfsync" }, NULL, greeting_read_config },
        [ROW_ROLE] = { TO_PRIMARY, greeting_has_sentinels, { "ROLE" }, NULL, greeting_read_role },
        [ROW_PRIMARY] = { TO_SENTINEL, NULL, { "SENTINEL", "get-master-addr-by-name" }, greeting_add_master,
                greeting_read_primary },
};

/* Of the answer nothing is repeated: what does not know AUTH may name its arguments. */
static const char *greeting_read_auth(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size)
{
        const char *meaning = reply->type == REDIS_REPLY_ERROR ? redis_reply_meaning(reply) : NULL;

        (void)greeting;
        (void)why;
        (void)size;
        if (redis_reply_is(reply, "OK"))
                return NULL;
        return meaning ? meaning : "it refused AUTH";
}

static const char *greeting_read_needed(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size)
{
        (void)greeting;
        if (redis_reply_is(reply, "OK"))
                return NULL;
        if (reply->type != REDIS_REPLY_ERROR)
                return "what answers there is no Redis";
        redis_reply_explain(reply, why, size);
        return why;
}

/* A user may be kept from this command. But who wants a password says so at the first one. */
static const char *greeting_read_any(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size)
{
        if (redis_reply_failed_with(reply, "NOAUTH") || redis_reply_failed_with(reply, "LOADING") ||
                reply->type != REDIS_REPLY_ERROR)
                return greeting_read_needed(greeting, reply, why, size);
        return NULL;
}

static const char *greeting_read_info(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size)
{
        if (reply->type != REDIS_REPLY_ERROR && reply->type != REDIS_REPLY_STRING)
                return "what answers there is no Redis";
        if (reply->type == REDIS_REPLY_ERROR)
                return redis_reply_failed_with(reply, "LOADING")
                               ? greeting_read_needed(greeting, reply, why, size)
                               : NULL;
        redis_survey_info(&greeting->survey, reply);
        return redis_survey_refusal(&greeting->survey);
}

static const char *greeting_read_config(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size)
{
        (void)why;
        (void)size;
        redis_survey_config(&greeting->survey, reply);
        return NULL;
}

static const char *greeting_read_role(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size)
{
        (void)greeting;
        (void)why;
        (void)size;
        if (reply->type == REDIS_REPLY_ERROR || redis_reply_is(redis_reply_at(reply, 0), "master"))
                return NULL;
        return "the sentinels call it the primary, but it is not (a failover is going on?)";
}

static const char *greeting_read_primary(
        struct redis_greeting *greeting, const redisReply *reply, char *why, size_t size)
{
        const redisReply *name = redis_reply_at(reply, 0);
        uint64_t port;

        if (redis_reply_absent(reply)) {
                snprintf(why, size, "it knows no primary of the name '%.60s'",
                        greeting->options->sentinel_master);
                return why;
        }
        if (reply->type == REDIS_REPLY_ERROR)
                return greeting_read_needed(greeting, reply, why, size);
        if (!name || name->type != REDIS_REPLY_STRING || name->len < 1 ||
                name->len >= sizeof greeting->primary.name || memchr(name->str, 0, name->len) ||
                redis_reply_number(redis_reply_at(reply, 1), &port) < 0 || port < 1 || port > 65535)
                return "what answers there is no Sentinel";
        memcpy(greeting->primary.name, name->str, name->len + 1);
        greeting->primary.port = (uint32_t)port;
        return NULL;
}

bool redis_greeting_build(const struct redis_greeting *greeting, size_t row, struct redis_args *args)
{
        if (!(rows[row].to & (greeting->to_sentinel ? TO_SENTINEL : TO_PRIMARY)))
                return false;
        if (rows[row].wanted && !rows[row].wanted(greeting))
                return false;
        for (size_t i = 0; i < ARRAY_SIZE(rows[row].words) && rows[row].words[i]; i++)
                redis_args_text(args, rows[row].words[i]);
        if (rows[row].add)
                rows[row].add(greeting, args);
        return true;
}

const char *redis_greeting_read(
        struct redis_greeting *greeting, size_t row, const redisReply *reply, char *why, size_t size)
{
        return rows[row].read(greeting, reply, why, size);
}
