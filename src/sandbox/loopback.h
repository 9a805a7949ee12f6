#pragma once

/* The one network device of a cell, in the network namespace of the calling process. */

#include <stdint.h>

/* Brings it up. Needs CAP_NET_ADMIN there. 0 or negative errno. */
int loopback_up(void);

/* Packets that it ever received, which are those that it sent; `net_dev` is /proc/[pid]/net/dev (proc(5)),
 * which stays that of the network in which it was opened. 0 or negative errno. */
int loopback_packets(int net_dev, uint64_t *ret_packets);
