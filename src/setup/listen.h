#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * A TCP socket that listens on this address, non-blocking and close-on-exec, owned by the caller; or negative
 * errno with a message that says what to do. `host` is an address or a name; of several addresses the first
 * counts.
 */
int listen_open(const char *host, uint32_t port, char *error, size_t error_size);
