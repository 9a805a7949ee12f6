#pragma once

/*
 * V8 seeds Math.random once and then keeps its state in ordinary memory, which a fork copies: every child of
 * a template would draw the same numbers, in the main context and in each context it creates. This finds the
 * states while the template is alone and overwrites them in the child.
 *
 * Nothing here trusts a layout: a place counts as found only after writing it has been seen to decide what is
 * drawn.
 */

enum { NODE_RANDOM_NOT_FOUND = 1 };

/* How to draw one number in [0, 1), and how to look at memory in between. */
struct node_random_source {
        double (*draw)(void *closure);       /* Math.random of the main context */
        double (*draw_fresh)(void *closure); /* the first Math.random of a new context */
        void (*hold)(void *closure);         /* no other thread may unmap anything until */
        void (*release)(void *closure);
        void *closure;
};

/*
 * In the template, after everything that may run JavaScript: a garbage collection may move what was found.
 * 0, NODE_RANDOM_NOT_FOUND (another V8 than those known), or negative errno.
 */
int node_random_find(const struct node_random_source *source);

/* In the child, before any JavaScript: what was found, if only a part. 0 or negative errno. */
int node_random_reseed(void);
