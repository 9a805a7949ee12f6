#include "server/store_thread.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/macros.h"
#include "store/store.h"

struct store_thread {
        struct store *store;
        pthread_t thread;
        pthread_mutex_t mutex; /* guards the three below */
        pthread_cond_t given;
        struct list todo;
        struct list done;
        bool stopping;
        int wake_fd; /* eventfd: something is in `done` */
        struct event *wake;
};

static struct store_job *store_thread_take(struct list *jobs)
{
        struct store_job *job = container_of(jobs->next, struct store_job, link);

        list_remove(&job->link);
        return job;
}

static void store_thread_hand_back(struct store_thread *thread, struct store_job *job)
{
        uint64_t one = 1;

        list_append(&thread->done, &job->link);
        /* Fails only when the counter is about to overflow, and then the loop is awake anyway. */
        if (write(thread->wake_fd, &one, sizeof one) < 0)
                return;
}

static void *store_thread_run(void *context)
{
        struct store_thread *thread = context;

        pthread_mutex_lock(&thread->mutex);
        for (;;) {
                struct store_job *job;

                while (list_empty(&thread->todo) && !thread->stopping)
                        pthread_cond_wait(&thread->given, &thread->mutex);
                if (list_empty(&thread->todo))
                        break;
                job = store_thread_take(&thread->todo);
                pthread_mutex_unlock(&thread->mutex);
                job->work(job, thread->store);
                pthread_mutex_lock(&thread->mutex);
                store_thread_hand_back(thread, job);
        }
        pthread_mutex_unlock(&thread->mutex);
        return NULL;
}

static void store_thread_finish_jobs(struct store_thread *thread)
{
        for (;;) {
                struct store_job *job = NULL;

                pthread_mutex_lock(&thread->mutex);
                if (!list_empty(&thread->done))
                        job = store_thread_take(&thread->done);
                pthread_mutex_unlock(&thread->mutex);
                if (!job)
                        return;
                job->done(job);
        }
}

static void store_thread_on_wake(evutil_socket_t fd, short what, void *context)
{
        uint64_t count;

        (void)what;
        if (read(fd, &count, sizeof count) < 0)
                return;
        store_thread_finish_jobs(context);
}

static int store_thread_spawn(struct store_thread *thread)
{
        sigset_t all, before;
        int r;

        /* Signals are the main thread's. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&thread->thread, NULL, store_thread_run, thread);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

static void store_thread_dispose(struct store_thread *thread)
{
        if (thread->wake)
                event_free(thread->wake);
        fd_closep(&thread->wake_fd);
        pthread_mutex_destroy(&thread->mutex);
        pthread_cond_destroy(&thread->given);
        free(thread);
}

int store_thread_new(struct event_base *base, struct store *store, struct store_thread **ret_thread)
{
        struct store_thread *thread = calloc(1, sizeof *thread);
        int r;

        if (!thread)
                return error_trace(-ENOMEM);
        list_init(&thread->todo);
        list_init(&thread->done);
        pthread_mutex_init(&thread->mutex, NULL);
        pthread_cond_init(&thread->given, NULL);
        thread->store = store;
        thread->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = thread->wake_fd < 0 ? -errno : 0;
        if (r == 0) {
                thread->wake =
                        event_new(base, thread->wake_fd, EV_READ | EV_PERSIST, store_thread_on_wake, thread);
                r = thread->wake && event_add(thread->wake, NULL) == 0 ? store_thread_spawn(thread) : -ENOMEM;
        }
        if (r < 0) {
                store_thread_dispose(thread);
                return error_trace(r);
        }
        *ret_thread = thread;
        return 0;
}

struct store_thread *store_thread_free(struct store_thread *thread)
{
        if (!thread)
                return NULL;
        pthread_mutex_lock(&thread->mutex);
        thread->stopping = true;
        pthread_cond_signal(&thread->given);
        pthread_mutex_unlock(&thread->mutex);
        pthread_join(thread->thread, NULL);
        store_thread_finish_jobs(thread);
        store_free(thread->store);
        store_thread_dispose(thread);
        return NULL;
}

void store_thread_give(struct store_thread *thread, struct store_job *job)
{
        pthread_mutex_lock(&thread->mutex);
        list_append(&thread->todo, &job->link);
        pthread_cond_signal(&thread->given);
        pthread_mutex_unlock(&thread->mutex);
}
