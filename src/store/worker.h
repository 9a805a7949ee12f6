#pragma once

/*
 * One thread beside the loop that does what blocks: it takes jobs in order, and hands each back to the loop's
 * thread when it is done.
 */

#include <stddef.h>

#include "base/list.h"

struct event_base;

/* Embed it in what the job needs. */
struct worker_job {
        struct list link;
        void (*work)(struct worker_job *job, void *context); /* on the thread */
        void (*done)(struct worker_job *job);                /* on the loop's thread */
};

struct worker;

/* `context` is what work() is called with. 0 or negative errno. */
int worker_new(struct event_base *base, void *context, struct worker **ret_worker);
/* Waits for the jobs given, also for those that a done() gives meanwhile, and calls their done(). Not from
 * within a done(). Takes NULL, returns NULL. */
struct worker *worker_free(struct worker *worker);

void worker_give(struct worker *worker, struct worker_job *job);
/* The jobs given whose done() has not been called. */
size_t worker_load(const struct worker *worker);
