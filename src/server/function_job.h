#pragma once

/*
 * A question to the store with what its answer is for: what is done on a worker before it is asked and after
 * it is answered, since hashing takes time that the loop has not, and what then follows on the loop.
 *
 * Answers may come in another order than the changes that they tell of. So every path has an epoch, which
 * moves on when something of it is taken away, moved, or changed by somebody else: an answer of a question
 * that was asked in an earlier epoch is given to whoever asked, and not remembered.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "server/functions.h"
#include "server/seal.h"
#include "store/store.h"
#include "store/worker.h"

struct function_job;

typedef void function_job_step(struct function_job *job);

struct function_job_kind {
        function_job_step *before; /* on the worker; NULL: nothing */
        function_job_step *after; /* on the worker, if the answer is 0; may change request.r; NULL: nothing */
        function_job_step *finish; /* on the loop, whatever the answer is; NULL: nothing */
        bool is_write;
};

enum { FUNCTION_EPOCHS = 1024 };

/* What all jobs share. */
struct function_jobs {
        struct store *store;
        struct worker *worker;       /* NULL: at the end of the server: nobody is there to be kept waiting */
        function_job_step *finished; /* on the loop; frees the job */
        uint32_t epochs[FUNCTION_EPOCHS];
};

struct function_job {
        struct store_request request;
        struct worker_job work;
        struct function_jobs *jobs;
        struct functions *functions;
        const struct function_job_kind *kind;
        uint32_t epoch;
        functions_done *done;
        functions_answered *answered;
        void *context;
        struct script *script;      /* upload, keep; load: what was found */
        struct store_version given; /* upload, keep: as the store keeps it; its strings are others' */
        struct bytes limits;        /* upload: the script's, as text */
        char seal[SEAL_MAX];        /* upload, keep */
        char *path, *alias, *after; /* what the request says */
};

/* NULL: out of memory. */
struct function_job *function_job_new(struct function_jobs *jobs, struct functions *functions,
        const struct function_job_kind *kind, void *context);
struct function_job *function_job_free(struct function_job *job);

/* job->request says what is asked. */
void function_job_start(struct function_job *job);
/* The same with a copy of the question, whose strings are in its asker's hands. 0; -ENOMEM: the job is freed.
 */
int function_job_ask(struct function_job *job, const struct store_request *question);

/* May what was answered of this path be remembered? */
bool function_job_is_current(const struct function_job *job, const char *path);
/* Of the path (NULL: of every one) nothing is remembered that was asked before now. */
void function_jobs_move_on(struct function_jobs *jobs, const char *path);
