#include "store/redis_confirm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/macros.h"
#include "store/redis_link.h"
#include "store/redis_reply.h"
#include "store/redis_script.h"

/* How often what was written while one question was open may wait its turn, and be answered in time. */
enum { CONFIRM_SHARE = 4 };

struct redis_confirm {
        struct redis_link *link;
        uint32_t replicas;
        uint32_t timeout_ms;
        struct redis_call call;
        struct list asked;   /* the open question speaks for these */
        struct list waiting; /* the next one will */
};

static void confirm_ask(struct redis_confirm *confirm);

static void confirm_move(struct list *from, struct list *to)
{
        while (!list_empty(from)) {
                struct list *link = from->next;

                list_remove(link);
                list_append(to, link);
        }
}

static void confirm_finish(struct list *waits, const char *failed)
{
        while (!list_empty(waits)) {
                struct redis_confirm_wait *wait = container_of(waits->next, struct redis_confirm_wait, link);

                list_remove(&wait->link);
                wait->done(wait, failed);
        }
}

static void confirm_build(struct redis_call *call, struct redis_args *args)
{
        struct redis_confirm *confirm = container_of(call, struct redis_confirm, call);

        redis_args_text(args, "WAIT");
        redis_args_number(args, confirm->replicas);
        redis_args_number(args, MAX(confirm->timeout_ms / CONFIRM_SHARE, 1));
}

static void confirm_on_answer(struct redis_call *call, const redisReply *reply, const char *why)
{
        struct redis_confirm *confirm = container_of(call, struct redis_confirm, call);
        const char *failed = NULL;
        char reason[256], text[256];
        struct list asked;
        uint64_t n = 0;

        if (!reply || reply->type == REDIS_REPLY_ERROR || redis_reply_number(reply, &n) < 0) {
                if (reply && reply->type == REDIS_REPLY_ERROR)
                        redis_reply_explain(reply, reason, sizeof reason);
                snprintf(text, sizeof text, "stored, but not known to be with its replicas: %.180s",
                        !reply                             ? why
                        : reply->type == REDIS_REPLY_ERROR ? reason
                                                           : "Redis does not say");
                failed = text;
        } else if (n < confirm->replicas) {
                snprintf(text, sizeof text,
                        "stored, but with %u of %u replicas (REDIS_REPLICAS) in %u ms: it is lost if Redis "
                        "is now",
                        (unsigned)n, confirm->replicas, confirm->timeout_ms / CONFIRM_SHARE);
                failed = text;
        }
        list_init(&asked);
        confirm_move(&confirm->asked, &asked);
        confirm_ask(confirm);
        confirm_finish(&asked, failed);
}

static void confirm_ask(struct redis_confirm *confirm)
{
        struct list waiting;

        if (list_empty(&confirm->waiting) || !list_empty(&confirm->asked))
                return;
        confirm_move(&confirm->waiting, &confirm->asked);
        confirm->call = (struct redis_call){
                .script = REDIS_SCRIPT_NONE, .build = confirm_build, .answered = confirm_on_answer
        };
        if (redis_call_start(confirm->link, &confirm->call) == 0)
                return;
        list_init(&waiting);
        confirm_move(&confirm->asked, &waiting);
        confirm_finish(&waiting, "stored, but not known to be with its replicas: the connection is lost");
}

void redis_confirm_add(struct redis_confirm *confirm, struct redis_confirm_wait *wait)
{
        list_append(&confirm->waiting, &wait->link);
        confirm_ask(confirm);
}

int redis_confirm_new(
        struct redis_link *link, uint32_t replicas, uint32_t timeout_ms, struct redis_confirm **ret_confirm)
{
        struct redis_confirm *confirm = calloc(1, sizeof *confirm);

        if (!confirm)
                return error_trace(-ENOMEM);
        confirm->link = link;
        confirm->replicas = replicas;
        confirm->timeout_ms = timeout_ms;
        list_init(&confirm->asked);
        list_init(&confirm->waiting);
        *ret_confirm = confirm;
        return 0;
}

struct redis_confirm *redis_confirm_free(struct redis_confirm *confirm)
{
        free(confirm);
        return NULL;
}
