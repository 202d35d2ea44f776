/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SO_PEERCRED tells who made a connection, also when that process has gone or has other ids now. */
#include "testing.h"

#include <grp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { SERVER_UID = 1111, CLIENT_UID = 2222, NOW_UID = 3333 };

static struct ucred peer_of(int fd)
{
	struct ucred who = { 0 };
	socklen_t size = sizeof(who);

	test_must(!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size));
	return who;
}

static void expect_peer(int fd, pid_t pid, uid_t uid, const char *what)
{
	struct ucred who = peer_of(fd);

	test_check(who.pid == pid && who.uid == uid && who.gid == uid,
		   "%s: peer is process %d, %d:%d, not %d, %d", what, who.pid, who.uid, who.gid,
		   pid, uid);
}

static void expect_groups(int fd, const gid_t *groups, int count, const char *what)
{
	gid_t now[16];
	socklen_t size = sizeof(now);

	test_must(!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, now, &size));
	test_check(size == count * sizeof(gid_t) && !memcmp(now, groups, size),
		   "%s: %u bytes of groups", what, size);
}

static void become(uid_t uid, const gid_t *groups, int count)
{
	test_must(!setgroups(count, groups));
	test_must(!setresgid(-1, uid, -1) && !setresuid(-1, uid, -1));
}

static void become_root(void)
{
	test_must(!setresuid(-1, 0, -1) && !setresgid(-1, 0, -1));
}

static struct sockaddr_un name;
static const gid_t server_groups[] = { 5, 6, 7 }, client_groups[] = { 8 };

/* The server: listens under one uid and then takes another one. */
static void server(void)
{
	int listener, accepted[2], pair[2];
	pid_t client;

	become(SERVER_UID, server_groups, 3);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	test_must(!bind(listener, (void *)&name, sizeof(name)) && !listen(listener, 5));
	test_must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	become_root();
	test_must(!chmod(name.sun_path, 0777));
	test_reach("listening");
	for (int i = 0; i < 2; i++)
		test_must((accepted[i] = accept(listener, NULL, NULL)) >= 0);
	client = peer_of(accepted[0]).pid;
	expect_peer(accepted[0], client, CLIENT_UID, "accepted");
	expect_peer(listener, getpid(), SERVER_UID, "listener");
	test_must(!setgroups(0, NULL) && !setresgid(NOW_UID, NOW_UID, NOW_UID) &&
		  !setresuid(NOW_UID, NOW_UID, NOW_UID));
	prctl(PR_SET_DUMPABLE, 1);
	test_reach("server.ready");
	test_await("go");
	expect_peer(accepted[0], client, CLIENT_UID, "accepted");
	expect_groups(accepted[0], client_groups, 1, "accepted");
	expect_peer(accepted[1], client, 0, "accepted from root");
	expect_peer(listener, getpid(), SERVER_UID, "listener");
	expect_groups(listener, server_groups, 3, "listener");
	expect_peer(pair[0], getpid(), SERVER_UID, "pair");
	expect_peer(pair[1], getpid(), SERVER_UID, "pair");
	test_check(getuid() == NOW_UID && geteuid() == NOW_UID, "uid %d", getuid());
	test_reach("server.done");
	_exit(0);
}

static void client(pid_t server_pid)
{
	int by_user = socket(AF_UNIX, SOCK_STREAM, 0), by_root = socket(AF_UNIX, SOCK_STREAM, 0);

	test_await("listening");
	become(CLIENT_UID, client_groups, 1);
	test_must(!connect(by_user, (void *)&name, sizeof(name)));
	become_root();
	test_must(!connect(by_root, (void *)&name, sizeof(name)));
	test_reach("client.ready");
	test_await("go");
	expect_peer(by_user, server_pid, SERVER_UID, "client");
	expect_groups(by_user, server_groups, 3, "client");
	expect_peer(by_root, server_pid, SERVER_UID, "client");
	test_reach("client.done");
	_exit(0);
}

/* Children that make something and are gone when it is saved; what they made comes by a queue. */
static void from_dead(pid_t *ret_pid, int type, int ret[2])
{
	char control[CMSG_SPACE(2 * sizeof(int))] = { 0 };
	struct iovec part = { "x", 1 };
	struct msghdr h = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	int carrier[2], status;
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	char byte;

	test_must(!socketpair(AF_UNIX, SOCK_STREAM, 0, carrier));
	*ret_pid = fork();
	test_must(*ret_pid >= 0);
	if (*ret_pid == 0) {
		int pair[2];

		become(4444, NULL, 0);
		if (socketpair(AF_UNIX, type, 0, pair))
			_exit(1);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(2 * sizeof(int));
		memcpy(CMSG_DATA(c), pair, 2 * sizeof(int));
		_exit(sendmsg(carrier[0], &h, 0) == 1 ? 0 : 1);
	}
	test_must(waitpid(*ret_pid, &status, 0) == *ret_pid && status == 0);
	part.iov_base = &byte;
	test_must(recvmsg(carrier[1], &h, 0) == 1);
	memcpy(ret, CMSG_DATA(CMSG_FIRSTHDR(&h)), 2 * sizeof(int));
	close(carrier[0]);
	close(carrier[1]);
}

int main(int argc, char **argv)
{
	int stream[2], datagram[2], unconnected;
	pid_t server_pid, stream_maker, datagram_maker;
	struct ucred none;

	test_init(argc, argv);
	name.sun_family = AF_UNIX;
	snprintf(name.sun_path, sizeof(name.sun_path), "%.90s", test_path("name"));
	from_dead(&stream_maker, SOCK_STREAM, stream);
	from_dead(&datagram_maker, SOCK_DGRAM, datagram);
	unconnected = socket(AF_UNIX, SOCK_STREAM, 0);
	server_pid = fork();
	test_must(server_pid >= 0);
	if (server_pid == 0)
		server();
	switch (fork()) {
	case -1:
		test_fail("fork");
	case 0:
		client(server_pid);
	}
	test_await("server.ready");
	test_await("client.ready");

	test_checkpoint_here();

	expect_peer(stream[0], stream_maker, 4444, "pair of a dead process");
	expect_peer(stream[1], stream_maker, 4444, "pair of a dead process");
	expect_peer(datagram[0], datagram_maker, 4444, "datagram pair of a dead process");
	test_check(write(datagram[0], "abc", 3) == 3 && read(datagram[1], &none, 12) == 3,
		   "datagram");
	none = peer_of(unconnected);
	test_check(none.pid == 0 && none.uid == (uid_t)-1, "an unconnected socket has a peer");
	test_await("server.done");
	test_await("client.done");
	while (wait(NULL) > 0)
		;
	test_pass();
}
