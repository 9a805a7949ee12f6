#pragma once

/*
 * Landlock (Documentation/userspace-api/landlock.rst): the second layer behind the read-only mounts. A cell
 * may read below a few directories and write below /tmp alone; it may neither signal nor reach an abstract
 * socket outside itself.
 */

/* The kernel's ABI version, 1 or higher; negative errno where there is no Landlock. */
int landlock_abi(void);

/*
 * Restricts the calling thread for good. Only system calls: the rules are bound to the mounts of the moment,
 * so this is done in the cell, after it has entered its mount namespace. Needs no_new_privs. 0 or negative
 * errno.
 */
int landlock_enter(void);
