#pragma once

/*
 * Checked readers of what Redis answered. Nothing is taken from a reply but through these: a wrong kind is
 * -EPROTO (that is no answer to what was asked), a wrong or missing value -EBADMSG (what is stored is
 * damaged). Results are written only on success.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "store/store.h"

/* Element `at`, or NULL: no array, or none there. The readers below take that NULL. */
const redisReply *redis_reply_at(const redisReply *reply, size_t at);
bool redis_reply_is(const redisReply *reply, const char *text);
bool redis_reply_absent(const redisReply *reply);
/* Decimal digits, or an integer, from 0 to below 2^53. */
int redis_reply_number(const redisReply *reply, uint64_t *ret_number);
/* Text without NUL, owned by the caller. */
int redis_reply_text(const redisReply *reply, char **ret_text);
/* Absent where the reply is nil. */
int redis_reply_bytes(const redisReply *reply, struct store_bytes *ret_bytes);
int redis_reply_optional_text(const redisReply *reply, char **ret_text);
int redis_reply_hash(const redisReply *reply, char ret_hash[STORE_HASH_SIZE]);

/* Is it the error of this code (`NOSCRIPT`)? */
bool redis_reply_failed_with(const redisReply *reply, const char *code);
/* What an error reply means, without a word of its own; NULL: not known. */
const char *redis_reply_meaning(const redisReply *reply);
/* What an error reply means, in words that are safe to log. Returns whether the connection is of no use any
 * more. */
bool redis_reply_explain(const redisReply *reply, char *reason, size_t size);
