#pragma once

/*
 * What is decided before the fork: the walls to raise and the two seccomp filters, in one sealed memory file
 * that the keeper makes once and hands to every template. After the fork enter.c only follows it.
 */

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

/* The file's layout: this header, then the instructions of both filters. */
struct plan {
        uint32_t walls;           /* bits of enum wall: those to raise */
        uint32_t template_length; /* instructions */
        uint32_t cell_length;
        struct sock_filter filters[];
};

/* The filter that a template lays on itself and its children inherit: what interpreters need, and what
 * entering needs. */
static inline const struct sock_filter *plan_template_filter(const struct plan *plan)
{
        return plan->filters;
}

/* The small one that a cell adds as its last wall: what entering needed is refused from then on. */
static inline const struct sock_filter *plan_cell_filter(const struct plan *plan)
{
        return plan->filters + plan->template_length;
}

/* Makes the file. The caller owns *ret_fd. 0 or negative errno. */
int plan_new(uint32_t walls, int *ret_fd);

/* Maps a plan for reading, for good. 0; -EBADMSG if it is not well-formed; negative errno. */
int plan_map(int fd, const struct plan **ret_plan);
