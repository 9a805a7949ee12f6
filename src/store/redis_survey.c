#include "store/redis_survey.h"

#include <string.h>

#include "base/macros.h"
#include "store/redis_reply.h"

/* Lines of INFO, and the member that each sets. */
static const struct {
        const char *line;
        size_t member;
} survey_lines[] = {
        { "\ncluster_enabled:1", offsetof(struct redis_survey, cluster) },
        { "\nloading:1", offsetof(struct redis_survey, loading) },
        { "\naof_enabled:0", offsetof(struct redis_survey, no_log) },
        { "\nmaxmemory_policy:allkeys", offsetof(struct redis_survey, evicts) },
};

void redis_survey_info(struct redis_survey *survey, const redisReply *reply)
{
        if (!reply || reply->type != REDIS_REPLY_STRING)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(survey_lines); i++) {
                bool *member = (bool *)((char *)survey + survey_lines[i].member);

                *member = memmem(reply->str, reply->len, survey_lines[i].line, strlen(survey_lines[i].line));
        }
}

void redis_survey_config(struct redis_survey *survey, const redisReply *reply)
{
        const redisReply *value = redis_reply_at(reply, 1);

        survey->late_log = value && !redis_reply_is(value, "always");
}

const char *redis_survey_refusal(const struct redis_survey *survey)
{
        if (survey->cluster)
                return "this is a Redis Cluster, which mayfly does not support: use one primary, with or "
                       "without "
                       "Sentinel";
        return survey->loading ? "Redis is still loading its data" : NULL;
}

const char *redis_survey_risk(const struct redis_survey *survey)
{
        if (survey->evicts)
                return "Redis throws functions away when its memory is full; set maxmemory-policy noeviction";
        if (survey->no_log)
                return "Redis keeps no append-only file: uploads are lost when it crashes; set appendonly "
                       "yes "
                       "and appendfsync always";
        if (survey->late_log)
                return "the last second of uploads is lost when Redis' machine crashes; set appendfsync "
                       "always";
        return NULL;
}
