#pragma once

/* The one network device of a cell, in the network namespace of the calling process. */

#include <stdint.h>

/* Brings it up. Needs CAP_NET_ADMIN there. 0 or negative errno. */
int loopback_up(void);

/* Packets that ever passed it: rtnetlink(7), RTM_GETLINK, IFLA_STATS64. 0 or negative errno. */
int loopback_packets(uint64_t *ret_packets);
