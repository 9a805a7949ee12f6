#include "wire/packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macros.h"

union control {
        char bytes[CMSG_SPACE(sizeof(int) * PACKET_FDS)];
        struct cmsghdr align;
};

static int packet_problem(void)
{
        if (errno == EAGAIN)
                return PACKET_AGAIN;
        return errno == EPIPE || errno == ECONNRESET ? PACKET_EOF : -errno;
}

int packet_pair(int ret_fds[2])
{
        return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
}

int packet_send(int fd, const void *data, size_t length, const int *fds, size_t n_fds)
{
        union control control = { 0 };
        struct iovec iov = { .iov_base = (void *)data, .iov_len = length };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (length > PACKET_MAX || n_fds > PACKET_FDS)
                return -EMSGSIZE;
        if (length == 0)
                return -EINVAL; /* the other end could not tell it from the end */
        if (n_fds > 0) {
                struct cmsghdr *header;

                message.msg_control = control.bytes;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                header = CMSG_FIRSTHDR(&message);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(header), fds, sizeof(int) * n_fds);
        }

        return TEMP_FAILURE_RETRY(sendmsg(fd, &message, MSG_NOSIGNAL)) < 0 ? packet_problem() : 0;
}

/* Copies the descriptors of a message out: one control message holds them all, at most PACKET_FDS of them. */
static size_t packet_take_fds(struct msghdr *message, int fds[PACKET_FDS])
{
        struct cmsghdr *header = CMSG_FIRSTHDR(message);
        size_t length;

        if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                return 0;
        length = MIN(header->cmsg_len - CMSG_LEN(0), sizeof(int) * PACKET_FDS);
        memcpy(fds, CMSG_DATA(header), length);
        return length / sizeof(int);
}

int packet_receive(int fd, int flags, void *data, size_t size, size_t *ret_length, int *ret_fds,
        size_t max_fds, size_t *ret_n_fds)
{
        union control control = { 0 };
        struct iovec iov = { .iov_base = data, .iov_len = size };
        struct msghdr message = { .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof control };
        int fds[PACKET_FDS];
        size_t n_fds;
        ssize_t n;

        n = TEMP_FAILURE_RETRY(recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC));
        if (n < 0)
                return packet_problem();
        n_fds = packet_take_fds(&message, fds);
        if (n == 0 || n_fds > max_fds || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
                fds_close(fds, n_fds);
                return n == 0 ? PACKET_EOF : -EBADMSG;
        }
        if (n_fds > 0)
                memcpy(ret_fds, fds, sizeof *fds * n_fds);
        *ret_length = (size_t)n;
        if (ret_n_fds)
                *ret_n_fds = n_fds;
        return 0;
}
