#include "store/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/macros.h"

struct worker {
        void *context;
        size_t n_jobs; /* given and not done; the loop's thread looks at it, no other */
        pthread_t thread;
        pthread_mutex_t mutex; /* guards the three below */
        pthread_cond_t given;
        struct list todo;
        struct list done;
        bool stopping;
        int wake_fd; /* eventfd: something is in `done` */
        struct event *wake;
};

static struct worker_job *worker_take(struct list *jobs)
{
        struct worker_job *job = container_of(jobs->next, struct worker_job, link);

        list_remove(&job->link);
        return job;
}

static void worker_hand_back(struct worker *worker, struct worker_job *job)
{
        uint64_t one = 1;

        list_append(&worker->done, &job->link);
        /* Fails only when the counter is about to overflow, and then the loop is awake anyway. */
        if (write(worker->wake_fd, &one, sizeof one) < 0)
                return;
}

static void *worker_run(void *context)
{
        struct worker *worker = context;

        pthread_mutex_lock(&worker->mutex);
        for (;;) {
                struct worker_job *job;

                while (list_empty(&worker->todo) && !worker->stopping)
                        pthread_cond_wait(&worker->given, &worker->mutex);
                if (list_empty(&worker->todo))
                        break;
                job = worker_take(&worker->todo);
                pthread_mutex_unlock(&worker->mutex);
                job->work(job, worker->context);
                pthread_mutex_lock(&worker->mutex);
                worker_hand_back(worker, job);
        }
        pthread_mutex_unlock(&worker->mutex);
        return NULL;
}

static void worker_finish(struct worker *worker, struct worker_job *job)
{
        worker->n_jobs--;
        job->done(job);
}

static void worker_finish_jobs(struct worker *worker)
{
        for (;;) {
                struct worker_job *job = NULL;

                pthread_mutex_lock(&worker->mutex);
                if (!list_empty(&worker->done))
                        job = worker_take(&worker->done);
                pthread_mutex_unlock(&worker->mutex);
                if (!job)
                        return;
                worker_finish(worker, job);
        }
}

static void worker_on_wake(evutil_socket_t fd, short what, void *context)
{
        uint64_t count;

        (void)what;
        if (read(fd, &count, sizeof count) < 0)
                return;
        worker_finish_jobs(context);
}

static int worker_spawn(struct worker *worker)
{
        sigset_t all, before;
        int r;

        /* Signals are the main thread's. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&worker->thread, NULL, worker_run, worker);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

static void worker_dispose(struct worker *worker)
{
        if (worker->wake)
                event_free(worker->wake);
        fd_closep(&worker->wake_fd);
        pthread_mutex_destroy(&worker->mutex);
        pthread_cond_destroy(&worker->given);
        free(worker);
}

int worker_new(struct event_base *base, void *context, struct worker **ret_worker)
{
        struct worker *worker = calloc(1, sizeof *worker);
        int r;

        if (!worker)
                return error_trace(-ENOMEM);
        list_init(&worker->todo);
        list_init(&worker->done);
        pthread_mutex_init(&worker->mutex, NULL);
        pthread_cond_init(&worker->given, NULL);
        worker->context = context;
        worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = worker->wake_fd < 0 ? -errno : 0;
        if (r == 0) {
                worker->wake = event_new(base, worker->wake_fd, EV_READ | EV_PERSIST, worker_on_wake, worker);
                r = worker->wake && event_add(worker->wake, NULL) == 0 ? worker_spawn(worker) : -ENOMEM;
        }
        if (r < 0) {
                worker_dispose(worker);
                return error_trace(r);
        }
        *ret_worker = worker;
        return 0;
}

struct worker *worker_free(struct worker *worker)
{
        if (!worker)
                return NULL;
        pthread_mutex_lock(&worker->mutex);
        worker->stopping = true;
        pthread_cond_signal(&worker->given);
        pthread_mutex_unlock(&worker->mutex);
        pthread_join(worker->thread, NULL);

        worker_finish_jobs(worker);
        /* What a done() gave meanwhile has no thread any more. */
        while (!list_empty(&worker->todo)) {
                struct worker_job *job = worker_take(&worker->todo);

                job->work(job, worker->context);
                worker_finish(worker, job);
        }
        worker_dispose(worker);
        return NULL;
}

void worker_give(struct worker *worker, struct worker_job *job)
{
        worker->n_jobs++;
        pthread_mutex_lock(&worker->mutex);
        list_append(&worker->todo, &job->link);
        pthread_cond_signal(&worker->given);
        pthread_mutex_unlock(&worker->mutex);
}

size_t worker_load(const struct worker *worker)
{
        return worker->n_jobs;
}
