#pragma once

/* What kind of Redis this is, by its INFO: whether mayfly can use it, and whether it keeps what it is given.
 */

#include <stdbool.h>

#include <hiredis/hiredis.h>

struct redis_survey {
        bool cluster;
        bool loading;
        bool no_log;   /* no append-only file */
        bool late_log; /* one that is not written through at every change */
        bool evicts;   /* throws keys away when its memory is full */
};

/* The replies to INFO and to CONFIG GET appendfsync. Redis may refuse either: nothing is known then. */
void redis_survey_info(struct redis_survey *survey, const redisReply *reply);
void redis_survey_config(struct redis_survey *survey, const redisReply *reply);
/* Why mayfly cannot use it, or not yet; or NULL. */
const char *redis_survey_refusal(const struct redis_survey *survey);
/* What may be lost, for the log; NULL: nothing that is known. */
const char *redis_survey_risk(const struct redis_survey *survey);
