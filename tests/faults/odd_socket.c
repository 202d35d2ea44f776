/* SPDX-License-Identifier: GPL-2.0-or-later */
/* odd_socket SCRATCH WHAT: holds a socket that cannot be saved. "ready" in the scratch directory says
 * that it is there; after "go" it checks that nothing has changed and ends with status 0. */
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/mroute.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "testing.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

static int held[2] = { -1, -1 }, extra = -1;

/* A process that holds `fd` and is not in our tree; it echoes until we have ended. */
static void give_outside(int fd, int ours)
{
	int root = getpid();
	pid_t pid = fork();
	char buffer[64];

	test_must(pid >= 0);
	if (pid) {
		test_must(waitpid(pid, NULL, 0) == pid);
		close(fd);
		return;
	}
	if (fork())
		_exit(0);
	close(ours);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (!kill(root, 0)) {
		ssize_t n = read(fd, buffer, sizeof(buffer));

		if (n > 0 && write(fd, buffer, n) != n)
			break;
		test_sleep_ms(5);
	}
	_exit(0);
}

static void expect_echo(void)
{
	char got[8] = { 0 };

	test_check(write(held[0], "echo", 4) == 4, "write");
	test_check(recv(held[0], got, 4, MSG_WAITALL) == 4 && !memcmp(got, "echo", 4), "got '%s'",
		   got);
}

static void make_unix_outside(void)
{
	test_must(!socketpair(AF_UNIX, SOCK_STREAM, 0, held));
	give_outside(held[1], held[0]);
}

/* A listener of TCP on this machine, and its address. */
static int listener(struct sockaddr_in *a, int backlog)
{
	socklen_t size = sizeof(*a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*a = (struct sockaddr_in){ .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	test_must(!bind(fd, (void *)a, sizeof(*a)) && !listen(fd, backlog));
	test_must(!getsockname(fd, (void *)a, &size));
	return fd;
}

static int client(const struct sockaddr_in *a, int flags)
{
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

	test_must(!connect(fd, (void *)a, sizeof(*a)) || (flags && errno == EINPROGRESS));
	return fd;
}

static void make_tcp_outside(void)
{
	struct sockaddr_in a;
	int l = listener(&a, 1);

	held[0] = client(&a, 0);
	held[1] = accept(l, NULL, NULL);
	close(l);
	give_outside(held[1], held[0]);
}

static void make_unix_waiting(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%.90s", test_path("waiting"));
	extra = socket(AF_UNIX, SOCK_STREAM, 0);
	test_must(!bind(extra, (void *)&a, sizeof(a)) && !listen(extra, 5));
	held[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	test_must(!connect(held[0], (void *)&a, sizeof(a)) && write(held[0], "data", 4) == 4);
}

static void make_tcp_waiting(void)
{
	struct sockaddr_in a;

	extra = listener(&a, 5);
	held[0] = client(&a, 0);
	test_must(write(held[0], "data", 4) == 4);
}

static void expect_waiting(void)
{
	char got[8];

	held[1] = accept(extra, NULL, NULL);
	test_check(read(held[1], got, 8) == 4 && !memcmp(got, "data", 4), "what waited");
}

static void make_half_open(void)
{
	struct sockaddr_in a;

	extra = listener(&a, 0);
	for (int i = 0; i < 4; i++)
		held[0] = client(&a, SOCK_NONBLOCK);
}

static void make_urgent(void)
{
	test_must(!socketpair(AF_UNIX, SOCK_STREAM, 0, held));
	test_must(send(held[0], "before", 6, 0) == 6);
	if (send(held[0], "!", 1, MSG_OOB) != 1)
		test_skip("no urgent data in Unix sockets here");
}

static void expect_urgent(void)
{
	char got[8];

	test_check(recv(held[1], got, 8, MSG_OOB) == 1 && *got == '!', "urgent byte");
	test_check(recv(held[1], got, 8, 0) == 6, "what was before");
}

static void make_netlink(void)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} request = { .h = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK,
			     .nlmsg_flags = NLM_F_REQUEST },
		      .i = { .ifi_index = 1 } };

	held[0] = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	test_must(send(held[0], &request, sizeof(request), 0) == sizeof(request));
}

static void expect_netlink(void)
{
	char got[8192];

	test_check(recv(held[0], got, sizeof(got), MSG_DONTWAIT) > 100, "the answer");
}

/* Asks for the packets of a queue that nothing is put into. */
static void make_nfqueue(void)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
		struct nlattr a;
		struct nfqnl_msg_config_cmd command;
	} request = {
		.h = { .nlmsg_len = sizeof(request), .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		       .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG },
		.g = { .res_id = htons(getpid()) },
		.a = { .nla_len = sizeof(request.a) + sizeof(request.command),
		       .nla_type = NFQA_CFG_CMD },
		.command = { .command = NFQNL_CFG_CMD_BIND },
	};
	struct nlmsgerr error;
	char answer[256];

	held[0] = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	if (held[0] < 0)
		test_skip("no nfnetlink here");
	test_must(send(held[0], &request, sizeof(request), 0) == sizeof(request) &&
		  recv(held[0], answer, sizeof(answer), 0) >= (ssize_t)NLMSG_LENGTH(4));
	memcpy(&error, answer + NLMSG_HDRLEN, sizeof(error));
	if (error.error)
		test_skip("no NFQUEUE here");
}

static void make_process_events(void)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = 1 };

	held[0] = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_CONNECTOR);
	if (held[0] < 0 || bind(held[0], (void *)&a, sizeof(a)))
		test_skip("no process events here");
}

/* In a network of its own. */
static void make_multicast_router(void)
{
	struct vifctl interface = { .vifc_flags = VIFF_USE_IFINDEX, .vifc_threshold = 1,
				    .vifc_lcl_ifindex = 1 };
	int one = 1;

	test_must(!unshare(CLONE_NEWNET));
	held[0] = socket(AF_INET, SOCK_RAW, IPPROTO_IGMP);
	if (setsockopt(held[0], SOL_IP, MRT_INIT, &one, sizeof(one)) ||
	    setsockopt(held[0], SOL_IP, MRT_ADD_VIF, &interface, sizeof(interface)))
		test_skip("no multicast routing here");
}

static void make_bpf(void)
{
	struct bpf_insn program[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2,
				.insns = (uintptr_t)program, .license = (uintptr_t) "GPL" };
	int fd = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));

	if (fd < 0)
		test_skip("no bpf here");
	held[0] = socket(AF_INET, SOCK_DGRAM, 0);
	test_must(!setsockopt(held[0], SOL_SOCKET, SO_ATTACH_BPF, &fd, sizeof(fd)));
	close(fd);
}

static void make_packet(void)
{
	struct tpacket_req request = { .tp_block_size = 4096, .tp_block_nr = 2,
				       .tp_frame_size = 2048, .tp_frame_nr = 4 };

	held[0] = socket(AF_PACKET, SOCK_RAW, 0);
	if (held[0] < 0)
		test_skip("no packet sockets here");
	test_must(!setsockopt(held[0], SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)));
	test_must(mmap(NULL, 8192, PROT_READ, MAP_SHARED, held[0], 0) != MAP_FAILED);
}

static void make_mptcp(void)
{
	held[0] = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	if (held[0] < 0)
		test_skip("no Multipath TCP here");
}

static void make_corked(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(a);

	held[1] = socket(AF_INET, SOCK_DGRAM, 0);
	test_must(!bind(held[1], (void *)&a, sizeof(a)) &&
		  !getsockname(held[1], (void *)&a, &size));
	held[0] = socket(AF_INET, SOCK_DGRAM, 0);
	test_must(!connect(held[0], (void *)&a, sizeof(a)));
	test_must(send(held[0], "one ", 4, MSG_MORE) == 4);
}

static void expect_corked(void)
{
	char got[16];

	test_check(send(held[0], "whole", 5, 0) == 5 && recv(held[1], got, 16, 0) == 9,
		   "the datagram");
}

static void expect_nothing(void)
{
}

static const struct {
	const char *name;
	void (*make)(void);
	void (*expect)(void);
} states[] = {
	{ "unix-outside", make_unix_outside, expect_echo },
	{ "tcp-outside", make_tcp_outside, expect_echo },
	{ "unix-waiting", make_unix_waiting, expect_waiting },
	{ "tcp-waiting", make_tcp_waiting, expect_waiting },
	{ "half-open", make_half_open, expect_nothing },
	{ "urgent", make_urgent, expect_urgent },
	{ "netlink", make_netlink, expect_netlink },
	{ "nfqueue", make_nfqueue, expect_nothing },
	{ "process-events", make_process_events, expect_nothing },
	{ "multicast-router", make_multicast_router, expect_nothing },
	{ "bpf", make_bpf, expect_nothing },
	{ "packet", make_packet, expect_nothing },
	{ "mptcp", make_mptcp, expect_nothing },
	{ "corked", make_corked, expect_corked },
};

int main(int argc, char **argv)
{
	test_init(argc, argv);
	for (size_t i = 0; argc > 2 && i < sizeof(states) / sizeof(states[0]); i++) {
		if (strcmp(states[i].name, argv[2]))
			continue;
		states[i].make();
		test_checkpoint_here();
		states[i].expect();
		test_pass();
	}
	return 2;
}
