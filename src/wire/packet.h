#pragma once

/*
 * One packet: up to PACKET_MAX bytes with up to PACKET_FDS descriptors over a SOCK_SEQPACKET socket (unix(7),
 * SCM_RIGHTS). Both ends are processes of one machine and one build: integers travel in host order.
 */

#include <stddef.h>

enum { PACKET_MAX = 4096, PACKET_FDS = 8 };
enum { PACKET_EOF = 1, PACKET_AGAIN = 2 };

/* A connected pair, close-on-exec; blocking. 0 or negative errno. */
int packet_pair(int ret_fds[2]);

/* Sends one packet, of one byte at least; the descriptors stay the caller's. 0, PACKET_AGAIN, PACKET_EOF (the
 * peer is gone) or negative errno. */
int packet_send(int fd, const void *data, size_t length, const int *fds, size_t n_fds);

/*
 * Receives one packet. More descriptors than max_fds, a cut packet: -EBADMSG, and what came is closed.
 * The caller owns ret_fds[0..*ret_n_fds). Does not block if flags holds MSG_DONTWAIT.
 * 0, PACKET_AGAIN, PACKET_EOF or negative errno.
 */
int packet_receive(int fd, int flags, void *data, size_t size, size_t *ret_length, int *ret_fds,
        size_t max_fds, size_t *ret_n_fds);
