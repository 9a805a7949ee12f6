#pragma once

/*
 * Copies what one store holds into another: every version with its number and its time, and every alias. What
 * the other one has already stays as it is, so a copy that was interrupted is continued by a further one.
 */

#include <stddef.h>

struct event_base;
struct store;

/* A store does not answer any more; copy.reason says why. (Beside the outcomes of store.h.) */
enum { COPY_FROM_FAILED = 101, COPY_TO_FAILED = 102 };

/* Zero what is not named here. */
struct copy {
        struct event_base *base;
        struct store *from;
        struct store *to; /* NULL: everything is read, nothing written */
        /* Told of what cannot be copied: `what` of which function ("version 5"), and why. */
        void (*refused)(const char *path, const char *what, const char *why);
        void (*progress)(size_t n_done, size_t n_all); /* of functions, now and then; or NULL */

        char **paths; /* of functions, found so far */
        size_t n_paths, paths_size;

        size_t n_functions, n_versions, n_aliases; /* that there are */
        size_t n_new_versions, n_new_aliases;      /* of these, written; without `to`: that could be */
        size_t n_refused;
        char reason[256]; /* what the store said last */
};

/* One that the first store may not list. 0 or -ENOMEM. */
int copy_add_path(struct copy *copy, const char *path);
/* 0, also if something was refused; COPY_FROM_FAILED, COPY_TO_FAILED, or negative errno. */
int copy_run(struct copy *copy);
void copy_deinit(struct copy *copy);
