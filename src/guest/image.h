#pragma once

/*
 * The memory that a template's forks start from, arranged so that a fork costs little: image.c tells how. All
 * of it is done once, in the template, single-threaded, after it has warmed up and before its filter is laid.
 */

/* What is learnt from two probes, forks that do what every cell does; in memory that all share. */
struct image;

/* Raises the process's own limits of files and locked memory to the hard ones, until image_free(). NULL: no
 * memory. */
struct image *image_new(void);
/* Before the first cell, which must share no memory with anybody. Takes NULL, returns NULL. */
struct image *image_free(struct image *image);
/*
 * Moves the process's own memory out of its page tables. 0 or negative errno: what had been moved by then
 * stays so, and nothing is lost. No other thread may run.
 */
int image_freeze(struct image *image);
/* In a probe, at its beginning and at its end. */
void image_begin(struct image *image);
void image_learn(struct image *image);
/*
 * In the template, after the probe has ended: every fork from now on gets the pages that the probe has
 * written as its own at once. 0 or negative errno: -ENOSYS, -EPERM and -ENOMEM are a host that does not allow
 * it (io_uring switched off, RLIMIT_MEMLOCK); forks are then merely dearer.
 */
int image_hand_over(struct image *image);
/* In the template, after the second probe: forks get no entries for pages that it has not used. */
void image_settle(struct image *image);
