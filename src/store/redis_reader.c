#include "store/redis_reader.h"

/* hiredis' own, which do the work. They are the same for every reader. */
static const redisReplyObjectFunctions *reader_plain;

static bool reader_allows(const redisReadTask *task)
{
        struct redis_reader *state = task->privdata;

        if (task->parent || state->expected)
                return true;
        state->refused = true;
        return false;
}

static void *reader_string(const redisReadTask *task, char *text, size_t length)
{
        return reader_allows(task) ? reader_plain->createString(task, text, length) : NULL;
}

/* hiredis 0.14 counts in int, later ones in size_t. */
#if HIREDIS_MAJOR >= 1
typedef size_t reader_count;
#else
typedef int reader_count;
#endif

static void *reader_array(const redisReadTask *task, reader_count elements)
{
        struct redis_reader *state = task->privdata;

        if (elements > REDIS_READER_ELEMENTS_MAX) {
                state->refused = true;
                return NULL;
        }
        return reader_allows(task) ? reader_plain->createArray(task, elements) : NULL;
}

static void *reader_integer(const redisReadTask *task, long long number)
{
        return reader_allows(task) ? reader_plain->createInteger(task, number) : NULL;
}

static void *reader_nil(const redisReadTask *task)
{
        return reader_allows(task) ? reader_plain->createNil(task) : NULL;
}

#if HIREDIS_MAJOR >= 1
static void *reader_double(const redisReadTask *task, double number, char *text, size_t length)
{
        return reader_allows(task) ? reader_plain->createDouble(task, number, text, length) : NULL;
}

static void *reader_bool(const redisReadTask *task, int value)
{
        return reader_allows(task) ? reader_plain->createBool(task, value) : NULL;
}
#endif

static void reader_free(void *reply)
{
        reader_plain->freeObject(reply);
}

static redisReplyObjectFunctions reader_guarded = {
        .createString = reader_string,
        .createArray = reader_array,
        .createInteger = reader_integer,
        .createNil = reader_nil,
#if HIREDIS_MAJOR >= 1
        .createDouble = reader_double,
        .createBool = reader_bool,
#endif
        .freeObject = reader_free,
};

void redis_reader_guard(redisReader *reader, struct redis_reader *state)
{
        *state = (struct redis_reader){ 0 };
        reader_plain = reader->fn;
        reader->fn = &reader_guarded;
        reader->privdata = state;
}
