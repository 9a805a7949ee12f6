#include "sandbox/loopback.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macros.h"

int loopback_up(void)
{
        _cleanup_(fd_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };

        return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

int loopback_packets(uint64_t *ret_packets)
{
        _cleanup_(fd_closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        struct {
                struct nlmsghdr header;
                struct ifinfomsg link;
        } request = {
                { .nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST },
                { .ifi_index = 1 }
        };
        char answer[16384] __attribute__((aligned(8)));
        struct nlmsghdr *header = (struct nlmsghdr *)answer;
        ssize_t n;

        if (fd < 0 || send(fd, &request, sizeof request, 0) < 0 ||
                (n = recv(fd, answer, sizeof answer, 0)) < 0)
                return -errno;
        if (!NLMSG_OK(header, n) || header->nlmsg_type != RTM_NEWLINK)
                return -EPROTO;

        int length = (int)IFLA_PAYLOAD(header);

        for (struct rtattr *attribute = IFLA_RTA(NLMSG_DATA(header)); RTA_OK(attribute, length);
                attribute = RTA_NEXT(attribute, length)) {
                struct rtnl_link_stats64 stats;

                if (attribute->rta_type != IFLA_STATS64)
                        continue;
                memcpy(&stats, RTA_DATA(attribute), MIN(sizeof stats, RTA_PAYLOAD(attribute)));
                *ret_packets = stats.rx_packets + stats.tx_packets;
                return 0;
        }
        return -EPROTO;
}
