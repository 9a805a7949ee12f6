#include "server/function_job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/macros.h"
#include "server/script.h"

static uint32_t *function_jobs_epoch(struct function_jobs *jobs, const char *path)
{
        return &jobs->epochs[hash_add(HASH_START, path, strlen(path)) % FUNCTION_EPOCHS];
}

void function_jobs_move_on(struct function_jobs *jobs, const char *path)
{
        if (path) {
                (*function_jobs_epoch(jobs, path))++;
                return;
        }
        for (size_t i = 0; i < FUNCTION_EPOCHS; i++)
                jobs->epochs[i]++;
}

bool function_job_is_current(const struct function_job *job, const char *path)
{
        return *function_jobs_epoch(job->jobs, path) == job->epoch;
}

struct function_job *function_job_new(struct function_jobs *jobs, struct functions *functions,
        const struct function_job_kind *kind, void *context)
{
        struct function_job *job = calloc(1, sizeof *job);

        if (!job)
                return NULL;
        job->jobs = jobs;
        job->functions = functions;
        job->kind = kind;
        job->context = context;
        return job;
}

struct function_job *function_job_free(struct function_job *job)
{
        store_request_deinit(&job->request);
        script_unref(job->script);
        bytes_deinit(&job->limits);
        free(job->path);
        free(job->alias);
        free(job->after);
        free(job);
        return NULL;
}

static void function_job_work(struct function_job *job, void (*work)(struct worker_job *, void *),
        void (*done)(struct worker_job *))
{
        job->work.work = work;
        job->work.done = done;
        if (job->jobs->worker) {
                worker_give(job->jobs->worker, &job->work);
        } else {
                work(&job->work, NULL);
                done(&job->work);
        }
}

static void function_job_after(struct worker_job *work, void *context)
{
        struct function_job *job = container_of(work, struct function_job, work);

        (void)context;
        job->kind->after(job);
}

static void function_job_after_done(struct worker_job *work)
{
        struct function_job *job = container_of(work, struct function_job, work);

        job->jobs->finished(job);
}

static void function_job_answered(struct store_request *request)
{
        struct function_job *job = container_of(request, struct function_job, request);

        if (request->r == 0 && job->kind->after)
                function_job_work(job, function_job_after, function_job_after_done);
        else
                job->jobs->finished(job);
}

static void function_job_before(struct worker_job *work, void *context)
{
        struct function_job *job = container_of(work, struct function_job, work);

        (void)context;
        job->kind->before(job);
}

static void function_job_before_done(struct worker_job *work)
{
        struct function_job *job = container_of(work, struct function_job, work);

        store_start(job->jobs->store, &job->request);
}

void function_job_start(struct function_job *job)
{
        const char *path = job->request.given ? job->request.given->path : job->request.path;

        job->request.done = function_job_answered;
        job->epoch = path ? *function_jobs_epoch(job->jobs, path) : 0;
        if (job->kind->before)
                function_job_work(job, function_job_before, function_job_before_done);
        else
                store_start(job->jobs->store, &job->request);
}

int function_job_ask(struct function_job *job, const struct store_request *question)
{
        struct store_request *request = &job->request;

        request->operation = question->operation;
        request->version = question->version;
        request->before = question->before;
        request->limit = question->limit;
        job->path = strdup(question->path);
        job->alias = question->alias ? strdup(question->alias) : NULL;
        job->after = question->after ? strdup(question->after) : NULL;
        if (!job->path || (question->alias && !job->alias) || (question->after && !job->after)) {
                function_job_free(job);
                return error_trace(-ENOMEM);
        }
        request->path = job->path;
        request->alias = job->alias;
        request->after = job->after;
        function_job_start(job);
        return 0;
}
