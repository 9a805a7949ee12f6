#pragma once

/* Reads scripts' answers (redis_lua.c says what they are) into requests. 0, an outcome, -EPROTO, -EBADMSG or
 * -ENOMEM; what was written before a failure goes with store_request_deinit(). */

#include <stdint.h>

#include <hiredis/hiredis.h>

#include "store/store.h"

/* The word that every answer begins with. */
int redis_answer_outcome(struct store_request *request, const redisReply *reply);
int redis_answer_put(struct store_request *request, const redisReply *reply);
/* `old_latest`: the latest is go-faas', this one; or 0. */
int redis_answer_get(
        struct store_request *request, const redisReply *reply, uint64_t now_s, uint64_t *ret_old_latest);
int redis_answer_describe(struct store_request *request, const redisReply *reply);
/* Of `n` paths; adds to the summaries that are there, up to the limit. */
int redis_answer_list(struct store_request *request, const redisReply *reply, size_t n);
