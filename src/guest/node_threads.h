#pragma once

/*
 * The helper threads of Node.js (V8's workers, the scheduler of delayed tasks), carried over a fork. See the
 * theory of operation in node_threads.c. All of it runs in the main thread.
 */

#include <sys/types.h>

enum { NODE_THREADS_UNFIT = 1 };

/*
 * In the template, while it has nothing to do: halts all helper threads where they wait for work. 0,
 * NODE_THREADS_UNFIT if that cannot be done on this machine or with this libc (nothing is halted then), or
 * negative errno. *ret_why says more, in words.
 */
int node_threads_park(const char **ret_why);

/* In the template: they go on. */
void node_threads_release(void);

/* In the template, helpers parked: fork() without what glibc's does to the stacks of other threads. */
pid_t node_threads_fork(void);

/* In the child, walls raised, before anything else runs in it. 0 or negative errno. */
int node_threads_after_fork(void);

/*
 * In the child: looks every `tick_us` (0: no more) whether the helpers are to come back: the main thread
 * waits for something, or has used `busy_us` of CPU from now on and has work for them. Cheap, and nothing at
 * all once they are back.
 */
void node_threads_watch(unsigned tick_us, unsigned busy_us);
