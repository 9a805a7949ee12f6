#include "setup/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

enum { BACKLOG = 512 };

static int bind_first(const struct addrinfo *address)
{
        _cleanup_(fd_closep) int fd =
                socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const int on = 1;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
                return -errno;
        if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
                return -errno;
        return fd_steal(&fd);
}

int listen_open(const char *host, uint32_t port, char *error, size_t error_size)
{
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
        struct addrinfo *addresses;
        char service[16];
        int r;

        snprintf(service, sizeof service, "%u", port);
        r = getaddrinfo(host, service, &hints, &addresses);
        if (r != 0) {
                snprintf(error, error_size, "HTTP_HOST=%s: %s", host, gai_strerror(r));
                return -EINVAL;
        }
        r = bind_first(addresses);
        freeaddrinfo(addresses);
        if (r < 0)
                snprintf(error, error_size,
                        "cannot listen on %s port %s: %s; set HTTP_HOST or HTTP_PORT to a free one", host,
                        service, strerror(-r));
        return r;
}
