/* Packets with descriptors: what arrives, what is refused, and that nothing stays open behind it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "wire/packet.h"

struct wire {
        int fds[2];
        size_t descriptors_before;
};

static size_t descriptors_count(void)
{
        DIR *directory = opendir("/proc/self/fd");
        size_t n = 0;

        assert_non_null(directory);
        while (readdir(directory))
                n++;
        closedir(directory);
        return n;
}

static void wire_begin(struct wire *wire)
{
        wire->descriptors_before = descriptors_count();
        assert_int_equal(packet_pair(wire->fds), 0);
}

/* Every test ends here, and with it the proof that no descriptor leaked. */
static void wire_end(struct wire *wire)
{
        close(wire->fds[0]);
        close(wire->fds[1]);
        assert_int_equal(descriptors_count(), wire->descriptors_before);
}

static void pipes_open(int *fds, size_t n)
{
        for (size_t i = 0; i < n; i += 2)
                assert_return_code(pipe2(fds + i, O_CLOEXEC), errno);
}

static void fds_close(const int *fds, size_t n)
{
        for (size_t i = 0; i < n; i++)
                assert_return_code(close(fds[i]), errno);
}

static void test_bytes_arrive_as_one_packet_each(void **state)
{
        char buffer[PACKET_MAX];
        struct wire wire;
        size_t length;

        (void)state;
        wire_begin(&wire);
        assert_int_equal(packet_send(wire.fds[0], "one", 3, NULL, 0), 0);
        assert_int_equal(packet_send(wire.fds[0], "three", 5, NULL, 0), 0);
        assert_int_equal(packet_receive(wire.fds[1], 0, buffer, sizeof buffer, &length, NULL, 0, NULL), 0);
        assert_int_equal(length, 3);
        assert_memory_equal(buffer, "one", 3);
        assert_int_equal(packet_receive(wire.fds[1], 0, buffer, sizeof buffer, &length, NULL, 0, NULL), 0);
        assert_int_equal(length, 5);
        wire_end(&wire);
}

static void test_descriptors_travel_and_are_born_close_on_exec(void **state)
{
        int pipe_fds[2], received[PACKET_FDS];
        char buffer[16];
        struct wire wire;
        size_t length, n;

        (void)state;
        wire_begin(&wire);
        pipes_open(pipe_fds, 2);
        assert_int_equal(packet_send(wire.fds[0], "x", 1, pipe_fds, 2), 0);
        assert_int_equal(
                packet_receive(wire.fds[1], 0, buffer, sizeof buffer, &length, received, PACKET_FDS, &n), 0);
        assert_int_equal(n, 2);
        assert_true(fcntl(received[0], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(received[1], F_GETFD) & FD_CLOEXEC);
        assert_int_equal(write(received[1], "hello", 5), 5);
        assert_int_equal(read(pipe_fds[0], buffer, sizeof buffer), 5);
        fds_close(pipe_fds, 2);
        fds_close(received, 2);
        wire_end(&wire);
}

static void test_the_largest_packet_passes_and_a_larger_one_is_not_sent(void **state)
{
        static char large[PACKET_MAX + 1], buffer[PACKET_MAX];
        int fds[PACKET_FDS + 2], received[PACKET_FDS];
        struct wire wire;
        size_t length, n;

        (void)state;
        wire_begin(&wire);
        pipes_open(fds, PACKET_FDS + 2);
        memset(large, 'x', sizeof large);
        assert_int_equal(packet_send(wire.fds[0], large, PACKET_MAX + 1, NULL, 0), -EMSGSIZE);
        assert_int_equal(packet_send(wire.fds[0], large, 1, fds, PACKET_FDS + 1), -EMSGSIZE);
        assert_int_equal(packet_send(wire.fds[0], large, PACKET_MAX, fds, PACKET_FDS), 0);
        assert_int_equal(
                packet_receive(wire.fds[1], 0, buffer, sizeof buffer, &length, received, PACKET_FDS, &n), 0);
        assert_int_equal(length, PACKET_MAX);
        assert_int_equal(n, PACKET_FDS);
        fds_close(fds, PACKET_FDS + 2);
        fds_close(received, PACKET_FDS);
        wire_end(&wire);
}

static void test_a_packet_that_does_not_fit_is_refused_and_its_descriptors_are_closed(void **state)
{
        int fds[2], received[PACKET_FDS];
        char buffer[4];
        struct wire wire;
        size_t length = 77, n = 88;

        (void)state;
        wire_begin(&wire);
        pipes_open(fds, 2);
        assert_int_equal(packet_send(wire.fds[0], "too long", 8, fds, 2), 0);
        assert_int_equal(
                packet_receive(wire.fds[1], 0, buffer, sizeof buffer, &length, received, PACKET_FDS, &n),
                -EBADMSG);
        assert_int_equal(length, 77);
        assert_int_equal(n, 88);
        /* The next packet is not disturbed. */
        assert_int_equal(packet_send(wire.fds[0], "next", 4, NULL, 0), 0);
        assert_int_equal(
                packet_receive(wire.fds[1], 0, buffer, sizeof buffer, &length, received, PACKET_FDS, &n), 0);
        assert_memory_equal(buffer, "next", 4);
        assert_int_equal(n, 0);
        fds_close(fds, 2);
        wire_end(&wire);
}

static void test_more_descriptors_than_expected_are_refused_and_closed(void **state)
{
        int fds[4], received[1];
        char buffer[4];
        struct wire wire;
        size_t length, n;

        (void)state;
        wire_begin(&wire);
        pipes_open(fds, 4);
        assert_int_equal(packet_send(wire.fds[0], "x", 1, fds, 3), 0);
        assert_int_equal(
                packet_receive(wire.fds[1], 0, buffer, sizeof buffer, &length, received, 1, &n), -EBADMSG);
        assert_int_equal(packet_send(wire.fds[0], "x", 1, fds, 1), 0);
        assert_int_equal(
                packet_receive(wire.fds[1], 0, buffer, sizeof buffer, &length, NULL, 0, NULL), -EBADMSG);
        fds_close(fds, 4);
        wire_end(&wire);
}

/* A peer that does not use packet_send(): more descriptors than the control buffer holds. */
static void test_a_flood_of_descriptors_is_refused_and_closed(void **state)
{
        enum { FLOOD = 64 };
        union {
                char bytes[CMSG_SPACE(sizeof(int) * FLOOD)];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec iov = { .iov_base = "x", .iov_len = 1 };
        struct msghdr message = { .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof control.bytes };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        int fds[FLOOD], received[PACKET_FDS];
        char buffer[4];
        struct wire wire;
        size_t length, n;

        (void)state;
        wire_begin(&wire);
        pipes_open(fds, FLOOD);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fds);
        memcpy(CMSG_DATA(header), fds, sizeof fds);
        assert_int_equal(sendmsg(wire.fds[0], &message, 0), 1);
        assert_int_equal(
                packet_receive(wire.fds[1], 0, buffer, sizeof buffer, &length, received, PACKET_FDS, &n),
                -EBADMSG);
        fds_close(fds, FLOOD);
        wire_end(&wire);
}

static void test_an_empty_packet_is_not_sent_for_it_would_read_as_the_end(void **state)
{
        int fds[2], received[PACKET_FDS];
        char buffer[4];
        struct wire wire;
        size_t length, n;

        (void)state;
        wire_begin(&wire);
        assert_int_equal(packet_send(wire.fds[0], "", 0, NULL, 0), -EINVAL);

        /* From a peer that sends one all the same, with descriptors: the end, and they are closed. */
        union {
                char bytes[CMSG_SPACE(sizeof fds)];
                struct cmsghdr align;
        } control = { 0 };
        struct msghdr message = { .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        pipes_open(fds, 2);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fds);
        memcpy(CMSG_DATA(header), fds, sizeof fds);
        assert_int_equal(sendmsg(wire.fds[0], &message, 0), 0);
        assert_int_equal(
                packet_receive(wire.fds[1], 0, buffer, sizeof buffer, &length, received, PACKET_FDS, &n),
                PACKET_EOF);
        fds_close(fds, 2);
        wire_end(&wire);
}

static void test_the_end_is_told_to_both_sides(void **state)
{
        char buffer[4];
        struct wire wire;
        size_t length;

        (void)state;
        wire_begin(&wire);
        assert_int_equal(packet_send(wire.fds[0], "last", 4, NULL, 0), 0);
        close(wire.fds[0]);
        assert_int_equal(packet_receive(wire.fds[1], 0, buffer, sizeof buffer, &length, NULL, 0, NULL), 0);
        assert_int_equal(
                packet_receive(wire.fds[1], 0, buffer, sizeof buffer, &length, NULL, 0, NULL), PACKET_EOF);
        /* No SIGPIPE ends this program. */
        assert_int_equal(packet_send(wire.fds[1], "x", 1, NULL, 0), PACKET_EOF);
        wire.fds[0] = dup(wire.fds[1]);
        wire_end(&wire);
}

static void test_nothing_there_is_told_without_waiting(void **state)
{
        static char packet[PACKET_MAX];
        char buffer[4];
        struct wire wire;
        size_t length;
        int r = 0;

        (void)state;
        wire_begin(&wire);
        assert_int_equal(
                packet_receive(wire.fds[1], MSG_DONTWAIT, buffer, sizeof buffer, &length, NULL, 0, NULL),
                PACKET_AGAIN);
        assert_return_code(fcntl(wire.fds[0], F_SETFL, O_NONBLOCK), errno);
        for (int i = 0; r == 0 && i < 100000; i++)
                r = packet_send(wire.fds[0], packet, sizeof packet, NULL, 0);
        assert_int_equal(r, PACKET_AGAIN);
        wire_end(&wire);
}

static void test_a_bad_descriptor_is_a_surprise(void **state)
{
        char buffer[4];
        size_t length;
        int bad = -1;
        struct wire wire;

        (void)state;
        wire_begin(&wire);
        assert_int_equal(packet_send(-1, "x", 1, NULL, 0), -EBADF);
        assert_int_equal(packet_send(wire.fds[0], "x", 1, &bad, 1), -EBADF);
        assert_int_equal(packet_receive(-1, 0, buffer, sizeof buffer, &length, NULL, 0, NULL), -EBADF);
        wire_end(&wire);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bytes_arrive_as_one_packet_each),
                cmocka_unit_test(test_descriptors_travel_and_are_born_close_on_exec),
                cmocka_unit_test(test_the_largest_packet_passes_and_a_larger_one_is_not_sent),
                cmocka_unit_test(test_a_packet_that_does_not_fit_is_refused_and_its_descriptors_are_closed),
                cmocka_unit_test(test_more_descriptors_than_expected_are_refused_and_closed),
                cmocka_unit_test(test_a_flood_of_descriptors_is_refused_and_closed),
                cmocka_unit_test(test_an_empty_packet_is_not_sent_for_it_would_read_as_the_end),
                cmocka_unit_test(test_the_end_is_told_to_both_sides),
                cmocka_unit_test(test_nothing_there_is_told_without_waiting),
                cmocka_unit_test(test_a_bad_descriptor_is_a_surprise),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
