#pragma once

/* "host:port,host:port", as REDIS_SENTINELS has it. */

#include <stddef.h>
#include <stdint.h>

struct redis_host {
        char name[256];
        uint32_t port;
};

struct redis_hosts {
        struct redis_host *items;
        size_t n;
};

/* IPv6 addresses with a port wear brackets. 0, -ENOMEM, or -EINVAL with `error`. */
int redis_hosts_parse(const char *text, uint32_t default_port, struct redis_hosts *ret_hosts, char *error,
        size_t error_size);
void redis_hosts_deinit(struct redis_hosts *hosts);
