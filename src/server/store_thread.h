#pragma once

/*
 * One thread beside the loop that does what blocks: it takes jobs in order, and hands each back to the loop's
 * thread when it is done. The store belongs to it.
 */

#include <stdbool.h>

#include "base/list.h"

struct event_base;
struct store;

/* Embed it in what the job needs. */
struct store_job {
        struct list link;
        void (*work)(struct store_job *job, struct store *store); /* on the thread */
        void (*done)(struct store_job *job);                      /* on the loop's thread */
};

struct store_thread;

/* Takes the store over when it succeeds. 0 or negative errno. */
int store_thread_new(struct event_base *base, struct store *store, struct store_thread **ret_thread);
/* Waits for the jobs already given, calls their done(), and frees the store. Takes NULL, returns NULL. */
struct store_thread *store_thread_free(struct store_thread *thread);

void store_thread_give(struct store_thread *thread, struct store_job *job);
