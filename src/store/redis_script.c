#include "store/redis_script.h"

#include <sha1.h>
#include <string.h>

#include "store/redis_link.h"
#include "store/redis_lua.h"
#include "store/redis_reply.h"

static const char *script_sha(enum redis_script script)
{
        static char shas[REDIS_SCRIPTS][SHA1_DIGEST_STRING_LENGTH];
        const char *text = redis_lua[script];

        if (!*shas[script])
                SHA1Data((const uint8_t *)text, strlen(text), shas[script]);
        return shas[script];
}

static int call_send(struct redis_link *link, struct redis_call *call)
{
        struct redis_args args;
        int r;

        redis_args_init(&args);
        if (call->script != REDIS_SCRIPT_NONE) {
                redis_args_text(&args, call->by_text ? "EVAL" : "EVALSHA");
                redis_args_text(&args, call->by_text ? redis_lua[call->script] : script_sha(call->script));
        }
        call->build(call, &args);
        r = redis_link_send(link, &call->command, &args);
        redis_args_deinit(&args);
        return r;
}

static void call_on_answer(struct redis_command *command, const redisReply *reply, const char *why)
{
        struct redis_call *call = container_of(command, struct redis_call, command);

        if (call->script != REDIS_SCRIPT_NONE && !call->by_text &&
                redis_reply_failed_with(reply, "NOSCRIPT")) {
                call->by_text = true;
                if (call_send(call->link, call) == 0)
                        return;
                reply = NULL;
                why = "the script could not be sent";
        }
        call->answered(call, reply, why);
}

int redis_call_start(struct redis_link *link, struct redis_call *call)
{
        call->link = link;
        call->by_text = false;
        call->command.answered = call_on_answer;
        return call_send(link, call);
}
