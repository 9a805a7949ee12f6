#pragma once

/* The one network device of a cell, in the network namespace of the calling process. */

#include <stdint.h>

/* Brings it up. Needs CAP_NET_ADMIN there. 0 or negative errno. */
int loopback_up(void);

/* Packets that it ever received, which are those that it sent; `proc` is the calling process's directory of
 * /proc (proc(5), /proc/[pid]/net/dev). 0 or negative errno. */
int loopback_packets(int proc, uint64_t *ret_packets);
