/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Netlink sockets keep their port, groups and options, and go on asking and hearing; of lost
 * notifications they are told. */
#include "sockets.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>

static int route, uevent, plain, late, lost;
static bool has_events;

static struct sockaddr_nl name_of(int fd)
{
	struct sockaddr_nl a = { 0 };
	socklen_t size = sizeof(a);

	test_must(!getsockname(fd, (void *)&a, &size));
	return a;
}

/* Asks for the loopback interface and gets it. */
static void expect_answer(int fd)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} request = {
		.h = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK,
		       .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = 7 },
		.i = { .ifi_index = if_nametoindex("lo") },
	};
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	char answer[8192];
	struct nlmsghdr *h = (struct nlmsghdr *)answer;

	test_must(sendto(fd, &request, sizeof(request), 0, (void *)&kernel, sizeof(kernel)) > 0);
	test_must(recv(fd, answer, sizeof(answer), 0) > (ssize_t)sizeof(*h));
	test_check(h->nlmsg_type == RTM_NEWLINK && h->nlmsg_seq == 7, "answer of type %u",
		   h->nlmsg_type);
}

/* Makes the kernel notify of a change that is none. */
static bool make_event(void)
{
	int fd = open("/sys/class/net/lo/uevent", O_WRONLY | O_CLOEXEC);
	bool made = fd >= 0 && write(fd, "change", 6) == 6;

	close(fd);
	return made;
}

static int listen_for_events(void)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	test_must(fd >= 0 && !bind(fd, (void *)&a, sizeof(a)));
	return fd;
}

static bool hears_event(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	char text[8192] = "";

	while (poll(&poller, 1, 2000) == 1 && recv(fd, text, sizeof(text) - 1, 0) >= 0)
		if (strstr(text, "change@"))
			return true;
	return false;
}

static void make_late(void)
{
	int least = 0;

	late = listen_for_events();
	lost = listen_for_events();
	test_must(!setsockopt(lost, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)));
	for (int i = 0; i < 20; i++)
		has_events = make_event();
	errno = 0;
}

/* What waited is there, or it is told that it is not; and new ones come. */
static void check_late(int fd, const char *what)
{
	char text[8192] = "";
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	test_check(n < 0 ? errno == ENOBUFS : fd == late && !!strstr(text, "change@"),
		   "%s: %zd bytes '%s'", what, n, text);
	while (recv(fd, text, sizeof(text) - 1, 0) >= 0 || errno == ENOBUFS)
		;
	test_check(errno == EAGAIN, "%s", what);
	test_check(make_event() && hears_event(fd), "%s: it hears nothing more", what);
}

int main(int argc, char **argv)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = 0, .nl_groups = RTMGRP_LINK };
	uint32_t port, groups[8] = { 0 };
	enum { FAR_GROUP = 33 };
	socklen_t size = sizeof(groups);

	test_init(argc, argv);
	route = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE);
	test_must(route >= 0 && !bind(route, (void *)&a, sizeof(a)));
	set_option(route, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, FAR_GROUP);
	set_option(route, SOL_NETLINK, NETLINK_EXT_ACK, 1);
	set_option(route, SOL_NETLINK, NETLINK_NO_ENOBUFS, 1);
	port = name_of(route).nl_pid;
	expect_answer(route);
	uevent = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT);
	plain = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	make_late();

	test_checkpoint_here();

	test_check(name_of(route).nl_pid == port, "port %u, was %u", name_of(route).nl_pid, port);
	test_check(name_of(route).nl_groups == RTMGRP_LINK, "groups %#x", name_of(route).nl_groups);
	test_must(!getsockopt(route, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &size));
	test_check(groups[0] == RTMGRP_LINK, "groups %#x", groups[0]);
	test_check(groups[1] == 1u << (FAR_GROUP - 33), "groups %#x", groups[1]);
	test_check(get_option(route, SOL_NETLINK, NETLINK_EXT_ACK) == 1, "NETLINK_EXT_ACK");
	test_check(get_option(route, SOL_NETLINK, NETLINK_NO_ENOBUFS) == 1, "NETLINK_NO_ENOBUFS");
	test_check(get_option(plain, SOL_NETLINK, NETLINK_EXT_ACK) == 0, "NETLINK_EXT_ACK came");
	test_check(fcntl(route, F_GETFL) & O_NONBLOCK, "O_NONBLOCK");
	expect_answer(route);
	test_check(name_of(plain).nl_pid == 0, "an unbound socket has port %u",
		   name_of(plain).nl_pid);
	expect_answer(plain);
	test_check(name_of(uevent).nl_family == AF_NETLINK, "uevent socket");
	if (has_events) {
		check_late(late, "late");
		check_late(lost, "lost");
	}
	test_pass();
}
