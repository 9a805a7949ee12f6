/*
 * getaddrinfo() may take as long as name servers let it, and cannot be called off. So each name has a thread
 * of its own that nobody waits for: the thread and the asker each hold the question, and whoever lets go last
 * frees it.
 */

#include "store/redis_resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

enum { RESOLVE_THREADS_MAX = 8 };

struct resolve_question {
        atomic_int holders;
        char host[256];
        int wake_fd; /* eventfd: what is below is there */
        struct redis_addresses addresses;
        int failure; /* of getaddrinfo() */
};

struct redis_resolve {
        struct resolve_question *question;
        struct event *wake;
        redis_resolved *resolved;
        void *context;
};

static atomic_int resolve_threads;

static void question_release(struct resolve_question *question)
{
        if (!question || atomic_fetch_sub(&question->holders, 1) != 1)
                return;
        fd_closep(&question->wake_fd);
        free(question);
}

static void question_add(struct redis_addresses *addresses, const struct addrinfo *found)
{
        char *text = addresses->text[addresses->n];

        if (addresses->n == REDIS_ADDRESSES_MAX)
                return;
        if (getnameinfo(found->ai_addr, found->ai_addrlen, text, REDIS_ADDRESS_SIZE, NULL, 0,
                    NI_NUMERICHOST) == 0)
                addresses->n++;
}

static void *question_work(void *data)
{
        struct resolve_question *question = data;
        struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found = NULL;
        uint64_t one = 1;

        question->failure = getaddrinfo(question->host, NULL, &hints, &found);
        if (question->failure == 0) {
                for (struct addrinfo *at = found; at; at = at->ai_next)
                        question_add(&question->addresses, at);
                freeaddrinfo(found);
        }
        atomic_fetch_sub(&resolve_threads, 1);
        /* Fails only when the counter would overflow, and it counts to one. */
        if (write(question->wake_fd, &one, sizeof one) < 0)
                question->failure = EAI_SYSTEM;
        question_release(question);
        return NULL;
}

static int question_start(struct resolve_question *question)
{
        pthread_attr_t attributes;
        sigset_t all, before;
        pthread_t thread;
        int r;

        if (atomic_fetch_add(&resolve_threads, 1) >= RESOLVE_THREADS_MAX) {
                atomic_fetch_sub(&resolve_threads, 1);
                return -EAGAIN;
        }
        atomic_fetch_add(&question->holders, 1);
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        /* Signals are the main thread's. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&thread, &attributes, question_work, question);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
        if (r != 0) {
                atomic_fetch_sub(&resolve_threads, 1);
                question_release(question);
        }
        return -r;
}

static void resolve_on_wake(evutil_socket_t fd, short what, void *data)
{
        struct redis_resolve *resolve = data;
        struct resolve_question *question = resolve->question;
        const char *failed = NULL;

        (void)fd;
        (void)what;
        if (question->failure != 0)
                failed = gai_strerror(question->failure);
        else if (question->addresses.n == 0)
                failed = "it has no address";
        resolve->resolved(resolve, &question->addresses, failed, resolve->context);
}

/* An address is its own answer: no thread, and nobody to ask. */
static bool question_answers_itself(struct resolve_question *question)
{
        unsigned char address[sizeof(struct in6_addr)];

        if (inet_pton(AF_INET, question->host, address) != 1 &&
                inet_pton(AF_INET6, question->host, address) != 1)
                return false;
        snprintf(question->addresses.text[0], REDIS_ADDRESS_SIZE, "%.63s", question->host);
        question->addresses.n = 1;
        return true;
}

static int resolve_begin(struct redis_resolve *resolve, struct event_base *base, const char *host)
{
        struct resolve_question *question = calloc(1, sizeof *question);

        if (!question)
                return -ENOMEM;
        resolve->question = question;
        atomic_init(&question->holders, 1);
        snprintf(question->host, sizeof question->host, "%s", host);
        question->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (question->wake_fd < 0)
                return -errno;
        resolve->wake = event_new(base, question->wake_fd, EV_READ, resolve_on_wake, resolve);
        if (!resolve->wake || event_add(resolve->wake, NULL) < 0)
                return -ENOMEM;
        if (question_answers_itself(question)) {
                event_active(resolve->wake, EV_READ, 0);
                return 0;
        }
        return question_start(question);
}

int redis_resolve_new(struct event_base *base, const char *host, redis_resolved *resolved, void *context,
        struct redis_resolve **ret_resolve)
{
        struct redis_resolve *resolve = calloc(1, sizeof *resolve);
        int r;

        if (!resolve)
                return error_trace(-ENOMEM);
        resolve->resolved = resolved;
        resolve->context = context;
        r = resolve_begin(resolve, base, host);
        if (r < 0) {
                redis_resolve_free(resolve);
                return error_trace(r);
        }
        *ret_resolve = resolve;
        return 0;
}

struct redis_resolve *redis_resolve_free(struct redis_resolve *resolve)
{
        if (!resolve)
                return NULL;
        if (resolve->wake)
                event_free(resolve->wake);
        question_release(resolve->question);
        free(resolve);
        return NULL;
}
