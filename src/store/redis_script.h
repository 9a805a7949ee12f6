#pragma once

/*
 * The Lua scripts that Redis runs for mayfly: each is one step, all of it or nothing. Sent by their SHA-1; a
 * Redis that does not know one yet is sent its text.
 */

#include <stdbool.h>

#include "store/redis_args.h"
#include "store/redis_pipe.h"

struct redis_link;

enum redis_script {
        REDIS_SCRIPT_CHECK,
        REDIS_SCRIPT_PUT,
        REDIS_SCRIPT_GET,
        REDIS_SCRIPT_KEEP_COMPILED,
        REDIS_SCRIPT_LIST,
        REDIS_SCRIPT_DESCRIBE,
        REDIS_SCRIPT_REMOVE,
        REDIS_SCRIPT_REMOVE_ALL,
        REDIS_SCRIPT_SET_ALIAS,
        REDIS_SCRIPT_REMOVE_ALIAS,
        REDIS_SCRIPT_RESTORE,
        REDIS_SCRIPT_WATCH,
        REDIS_SCRIPT_PATHS,
        REDIS_SCRIPTS,
        REDIS_SCRIPT_NONE = REDIS_SCRIPTS, /* a plain command */
};

/* One question to Redis. Embed it in what the answer needs; it stays in place until answered(). */
struct redis_call {
        struct redis_command command;
        struct redis_link *link;
        enum redis_script script;
        bool by_text;
        /* Adds all words; of a script: the number of keys, the keys, the arguments. May be called twice. */
        void (*build)(struct redis_call *call, struct redis_args *args);
        /* `reply` NULL: there is none, `why` says why. */
        void (*answered)(struct redis_call *call, const redisReply *reply, const char *why);
};

/* 0: answered() will be called, never from within. -ENOMEM, -ENOTCONN. */
int redis_call_start(struct redis_link *link, struct redis_call *call);
