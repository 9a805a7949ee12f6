#pragma once

/* One request on its way: which scripts ask Redis for it, and how their answers are read. */

#include "store/redis_key.h"
#include "store/redis_script.h"
#include "store/store.h"

struct redis_ask_needs {
        struct redis_link *link;
        const char *prefix;
        const char *node;
        bool tells_lost; /* DESCRIBE: go-faas' versions that have no code too */
        void *context;
};

struct redis_ask {
        struct redis_call call;
        struct store_request *request;
        const struct redis_ask_needs *needs;
        /* The request's r and reason are set; the rest of the answer too, if it is 0. Frees nothing. */
        void (*done)(struct redis_ask *ask);
        struct list link; /* the asker's, after done() */

        int step;
        char md5[REDIS_MD5_SIZE]; /* of request's path, if it has one */
        uint64_t old_latest;      /* GET: of go-faas */
        uint64_t top;             /* REMOVE of all versions: the highest that goes */
        char **paths;             /* LIST: of this step */
        size_t n_paths;
        size_t n_wanted; /* how many were asked for */
};

/* 0: done() will be called, never from within. Negative errno: not. */
int redis_ask_start(struct redis_ask *ask);
/* What it holds, not the request's answer. */
void redis_ask_deinit(struct redis_ask *ask);
