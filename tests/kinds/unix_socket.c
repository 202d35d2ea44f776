/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix sockets keep their names, connections, options, half-closed ends and waiting clients. */
#include "sockets.h"

#include <poll.h>
#include <stddef.h>
#include <sys/un.h>

static struct sockaddr_un address_of(const char *text, size_t size)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	memcpy(a.sun_path, text, size);
	return a;
}

static socklen_t length_of(size_t size)
{
	return offsetof(struct sockaddr_un, sun_path) + size;
}

static int bound(int type, const char *text, size_t size)
{
	struct sockaddr_un a = address_of(text, size);
	int fd = socket(AF_UNIX, type, 0);

	test_check(fd >= 0 && !bind(fd, (void *)&a, length_of(size)), "bind %s", text);
	return fd;
}

static int connected(int type, const char *text, size_t size)
{
	struct sockaddr_un a = address_of(text, size);
	int fd = socket(AF_UNIX, type, 0);

	test_check(fd >= 0 && !connect(fd, (void *)&a, length_of(size)), "connect to %s", text);
	return fd;
}

/* The name of one side, without the family; "" for none. */
static const char *name_of(int fd, bool peer, socklen_t *ret_size)
{
	static struct sockaddr_un a;

	memset(&a, 0, sizeof(a));
	*ret_size = sizeof(a);
	test_must(!(peer ? getpeername : getsockname)(fd, (void *)&a, ret_size));
	*ret_size -= offsetof(struct sockaddr_un, sun_path);
	return a.sun_path;
}

static void expect_name(int fd, bool peer, const char *text, size_t size, const char *what)
{
	socklen_t now;
	const char *name = name_of(fd, peer, &now);

	test_check(now == size && !memcmp(name, text, size), "%s: name '%s' of %u bytes", what,
		   name[0] ? name : name + 1, now);
}

/* Bytes pass both ways. */
static void expect_talk(int a, int b, const char *what)
{
	char got[16] = { 0 };

	test_check(write(a, "ping", 4) == 4, "%s: write", what);
	test_check(read(b, got, sizeof(got)) == 4 && !memcmp(got, "ping", 4), "%s: got '%s'", what,
		   got);
	test_check(write(b, "echo", 4) == 4, "%s: write back", what);
	test_check(read(a, got, sizeof(got)) == 4 && !memcmp(got, "echo", 4), "%s: got '%s'", what,
		   got);
}

/* ---- pairs ---- */

static int pairs[3][2];
static const int types[3] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

static void make_pairs(void)
{
	for (int i = 0; i < 3; i++)
		test_must(!socketpair(AF_UNIX, types[i], 0, pairs[i]));
	test_must(!fcntl(pairs[1][1], F_SETFL, O_RDWR | O_NONBLOCK));
	test_must(fcntl(pairs[2][0], F_SETFD, FD_CLOEXEC) == 0);
}

static void check_pairs(void)
{
	socklen_t size;

	for (int i = 0; i < 3; i++) {
		expect_talk(pairs[i][0], pairs[i][1], "pair");
		test_check(get_option(pairs[i][0], SOL_SOCKET, SO_TYPE) == types[i],
			   "type of pair %d", i);
		name_of(pairs[i][0], false, &size);
		test_check(size == 0, "a pair has a name now");
		name_of(pairs[i][0], true, &size);
		test_check(size == 0, "the other end has a name now");
	}
	test_check(fcntl(pairs[1][1], F_GETFL) == (O_RDWR | O_NONBLOCK), "flags");
	test_check(fcntl(pairs[1][0], F_GETFL) == O_RDWR, "flags");
	test_check(fcntl(pairs[2][0], F_GETFD) == FD_CLOEXEC, "close on exec");
}

/* ---- names ---- */

static char path_name[200], moved_name[200], replaced_name[200], deleted_name[200];
static char abstract_name[] = "\0criu-lite test 00000000";
enum { ABSTRACT_SIZE = sizeof(abstract_name) - 1 };
static int at_path, at_relative, at_moved, at_deleted, at_replaced, at_new, at_abstract, at_any;
static char any_name[16];

static void make_names(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t size;

	snprintf(path_name, sizeof(path_name), "%s", test_path("path"));
	snprintf(moved_name, sizeof(moved_name), "%s", test_path("moved"));
	snprintf(replaced_name, sizeof(replaced_name), "%s", test_path("replaced"));
	snprintf(deleted_name, sizeof(deleted_name), "%s", test_path("deleted"));
	snprintf(abstract_name + 1, sizeof(abstract_name) - 1, "criu-lite test %08x", getpid());

	at_path = bound(SOCK_STREAM, path_name, strlen(path_name) + 1);
	test_must(!listen(at_path, 7));
	test_must(!chmod(path_name, 0617) && !chown(path_name, 12, 34));
	test_must(!mkdir(test_path("dir"), 0755) && !chdir(test_path("dir")));
	at_relative = bound(SOCK_STREAM, "../dir/./relative", 17);
	test_must(!listen(at_relative, 3) && !chdir("/"));
	at_moved = bound(SOCK_STREAM, moved_name, strlen(moved_name));
	test_must(!listen(at_moved, 1) && !rename(moved_name, test_path("dir/moved.now")));
	at_replaced = bound(SOCK_DGRAM, replaced_name, strlen(replaced_name));
	test_must(!unlink(replaced_name));
	at_new = bound(SOCK_DGRAM, replaced_name, strlen(replaced_name));
	at_deleted = bound(SOCK_SEQPACKET, deleted_name, strlen(deleted_name));
	test_must(!listen(at_deleted, 5) && !unlink(deleted_name));
	at_abstract = bound(SOCK_STREAM, abstract_name, ABSTRACT_SIZE);
	test_must(!listen(at_abstract, 2));
	at_any = socket(AF_UNIX, SOCK_DGRAM, 0);
	test_must(!bind(at_any, (void *)&a, sizeof(a.sun_family)));
	memcpy(any_name, name_of(at_any, false, &size), 6);
	test_must(size == 6);
}

static void expect_reached(int listener, int type, const char *path, size_t size)
{
	int client = connected(type, path, size), server = accept(listener, NULL, NULL);

	test_check(server >= 0, "accept from %s", path);
	expect_talk(client, server, path);
	close(client);
	close(server);
}

static void check_names(void)
{
	struct stat st;

	expect_name(at_path, false, path_name, strlen(path_name) + 1, "path");
	test_check(!stat(path_name, &st) && S_ISSOCK(st.st_mode), "no socket at %s", path_name);
	test_check((st.st_mode & 07777) == 0617 && st.st_uid == 12 && st.st_gid == 34,
		   "mode %o, owner %u:%u", st.st_mode, st.st_uid, st.st_gid);
	expect_reached(at_path, SOCK_STREAM, path_name, strlen(path_name));
	expect_name(at_relative, false, "../dir/./relative", 18, "relative");
	expect_reached(at_relative, SOCK_STREAM, test_path("dir/relative"),
		       strlen(test_path("dir/relative")));
	expect_name(at_moved, false, moved_name, strlen(moved_name) + 1, "moved");
	test_check(access(moved_name, F_OK), "%s is there again", moved_name);
	expect_reached(at_moved, SOCK_STREAM, test_path("dir/moved.now"),
		       strlen(test_path("dir/moved.now")));
	expect_name(at_deleted, false, deleted_name, strlen(deleted_name) + 1, "deleted");
	test_check(access(deleted_name, F_OK), "%s is there again", deleted_name);
	expect_name(at_replaced, false, replaced_name, strlen(replaced_name) + 1, "replaced");
	expect_name(at_new, false, replaced_name, strlen(replaced_name) + 1, "replacing");
	expect_reached(at_abstract, SOCK_STREAM, abstract_name, ABSTRACT_SIZE);
	expect_name(at_any, false, any_name, 6, "autobind");
}

/* The name leads to the newer one of two sockets that were bound to it. */
static void check_replaced(void)
{
	int client = connected(SOCK_DGRAM, replaced_name, strlen(replaced_name));
	struct pollfd readers[2] = { { .fd = at_replaced, .events = POLLIN },
				     { .fd = at_new, .events = POLLIN } };

	test_must(write(client, "x", 1) == 1);
	test_must(poll(readers, 2, 0) == 1);
	test_check(readers[1].revents == POLLIN, "the wrong one of two has the name");
	close(client);
}

/* ---- connections ---- */

static int client_of_path, server_of_path;
static int client_bound, server_of_bound, client_of_gone, server_of_gone;
static char gone_name[200], client_name[200];

static void make_connections(void)
{
	struct sockaddr_un a;
	int listener;

	client_of_path = connected(SOCK_STREAM, path_name, strlen(path_name));
	server_of_path = accept(at_path, NULL, NULL);
	/* Through a listener that is gone since, with its file. */
	snprintf(gone_name, sizeof(gone_name), "%s", test_path("gone"));
	listener = bound(SOCK_SEQPACKET, gone_name, strlen(gone_name));
	test_must(!listen(listener, 1));
	client_of_gone = connected(SOCK_SEQPACKET, gone_name, strlen(gone_name));
	server_of_gone = accept(listener, NULL, NULL);
	close(listener);
	test_must(!unlink(gone_name));
	/* A client that has a name of its own. */
	snprintf(client_name, sizeof(client_name), "%s", test_path("client"));
	client_bound = bound(SOCK_STREAM, client_name, strlen(client_name));
	a = address_of(abstract_name, ABSTRACT_SIZE);
	test_must(!connect(client_bound, (void *)&a, length_of(ABSTRACT_SIZE)));
	server_of_bound = accept(at_abstract, NULL, NULL);
	test_must(server_of_path >= 0 && server_of_gone >= 0 && server_of_bound >= 0);
}

static void check_connections(void)
{
	expect_name(client_of_path, true, path_name, strlen(path_name) + 1, "peer of the client");
	expect_name(server_of_path, false, path_name, strlen(path_name) + 1, "accepted socket");
	expect_talk(client_of_path, server_of_path, "accepted");
	expect_name(client_of_gone, true, gone_name, strlen(gone_name) + 1, "peer of the client");
	expect_name(server_of_gone, false, gone_name, strlen(gone_name) + 1, "accepted socket");
	expect_talk(server_of_gone, client_of_gone, "accepted from a listener that is gone");
	test_check(access(gone_name, F_OK), "%s is there again", gone_name);
	expect_name(client_bound, false, client_name, strlen(client_name) + 1, "bound client");
	expect_name(client_bound, true, abstract_name, ABSTRACT_SIZE, "peer of the bound client");
	expect_name(server_of_bound, true, client_name, strlen(client_name) + 1, "bound client");
	expect_talk(server_of_bound, client_bound, "bound client");
}

/* ---- waiting clients ---- */

static int waiting[3], waiting_listener;
static char waiting_name[200];

static void make_waiting(void)
{
	snprintf(waiting_name, sizeof(waiting_name), "%s", test_path("waiting"));
	waiting_listener = bound(SOCK_STREAM, waiting_name, strlen(waiting_name));
	test_must(!listen(waiting_listener, 2));
	for (int i = 0; i < 3; i++)
		waiting[i] = connected(SOCK_STREAM, waiting_name, strlen(waiting_name));
	test_must(!shutdown(waiting[1], SHUT_WR));
}

static void check_waiting(void)
{
	struct sockaddr_un a = address_of(waiting_name, strlen(waiting_name));
	int extra = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), server[3];
	char byte;

	test_check(connect(extra, (void *)&a, length_of(strlen(waiting_name))) < 0 &&
			   errno == EAGAIN,
		   "the backlog has more room than before");
	close(extra);
	for (int i = 0; i < 3; i++) {
		server[i] = accept(waiting_listener, NULL, NULL);
		test_check(server[i] >= 0, "client %d does not wait any more", i);
		if (i == 1)
			test_check(read(server[i], &byte, 1) == 0, "shutdown of a waiting client");
		else
			expect_talk(waiting[i], server[i], "waiting client");
	}
}

/* ---- ends that are closed ---- */

static int half[2], orphan[2], reset[2], orphan_of_server, dgram_orphan[2];

static void make_closed(void)
{
	test_must(!socketpair(AF_UNIX, SOCK_STREAM, 0, half) && !shutdown(half[0], SHUT_WR));
	test_must(!socketpair(AF_UNIX, SOCK_STREAM, 0, orphan));
	test_must(write(orphan[1], "last words", 10) == 10 && !close(orphan[1]));
	test_must(!socketpair(AF_UNIX, SOCK_STREAM, 0, reset));
	test_must(write(reset[0], "unread", 6) == 6 && !close(reset[1]));
	orphan_of_server = connected(SOCK_STREAM, path_name, strlen(path_name));
	test_must(!close(accept(at_path, NULL, NULL)));
	test_must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram_orphan));
	test_must(write(dgram_orphan[1], "bye", 3) == 3 && !close(dgram_orphan[1]));
}

static void check_closed(void)
{
	char got[16];

	test_check(write(half[1], "abc", 3) == 3 && read(half[0], got, 16) == 3, "open half");
	test_check(read(half[1], got, 16) == 0, "closed half");
	test_check(send(half[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "closed half");
	test_check(read(orphan[0], got, 16) == 10 && !memcmp(got, "last words", 10), "last words");
	test_check(read(orphan[0], got, 16) == 0, "end of an orphan");
	test_check(send(orphan[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "orphan writes");
	test_check(read(reset[0], got, 16) < 0 && errno == ECONNRESET, "reset connection");
	test_check(read(reset[0], got, 16) == 0, "after the reset");
	expect_name(orphan_of_server, true, path_name, strlen(path_name) + 1, "closed server");
	test_check(read(orphan_of_server, got, 16) == 0, "closed server");
	test_check(read(dgram_orphan[0], got, 16) == 3 && !memcmp(got, "bye", 3), "last datagram");
	test_check(write(dgram_orphan[0], "x", 1) < 0 && errno == ECONNREFUSED, "peer is gone");
}

/* ---- options ---- */

static int optioned;
static int send_buffer, receive_buffer;

static void make_options(void)
{
	struct timeval timeout = { .tv_sec = 3, .tv_usec = 500000 };
	struct linger linger = { .l_onoff = 1, .l_linger = 9 };

	optioned = socket(AF_UNIX, SOCK_DGRAM, 0);
	set_option(optioned, SOL_SOCKET, SO_SNDBUF, 30000);
	set_option(optioned, SOL_SOCKET, SO_RCVBUFFORCE, 3000000);
	set_option(optioned, SOL_SOCKET, SO_PASSCRED, 1);
	set_option(optioned, SOL_SOCKET, SO_PEEK_OFF, 5);
	set_option(optioned, SOL_SOCKET, SO_PRIORITY, 3);
	test_must(!setsockopt(optioned, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)));
	test_must(!setsockopt(optioned, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	test_must(!fchown(optioned, 1000, 1001));
	send_buffer = get_option(optioned, SOL_SOCKET, SO_SNDBUF);
	receive_buffer = get_option(optioned, SOL_SOCKET, SO_RCVBUF);
}

static void check_options(void)
{
	struct timeval timeout = { 0 };
	struct linger linger = { 0 };
	socklen_t size = sizeof(timeout);
	struct stat st;

	test_check(get_option(optioned, SOL_SOCKET, SO_SNDBUF) == send_buffer, "SO_SNDBUF");
	test_check(get_option(optioned, SOL_SOCKET, SO_RCVBUF) == receive_buffer, "SO_RCVBUF");
	test_check(get_option(optioned, SOL_SOCKET, SO_PASSCRED) == 1, "SO_PASSCRED");
	test_check(get_option(optioned, SOL_SOCKET, SO_PEEK_OFF) == 5, "SO_PEEK_OFF");
	test_check(get_option(optioned, SOL_SOCKET, SO_PRIORITY) == 3, "SO_PRIORITY");
	test_must(!getsockopt(optioned, SOL_SOCKET, SO_RCVTIMEO, &timeout, &size));
	test_check(timeout.tv_sec == 3 && timeout.tv_usec == 500000, "SO_RCVTIMEO");
	size = sizeof(linger);
	test_must(!getsockopt(optioned, SOL_SOCKET, SO_LINGER, &linger, &size));
	test_check(linger.l_onoff == 1 && linger.l_linger == 9, "SO_LINGER");
	test_check(!fstat(optioned, &st) && st.st_uid == 1000 && st.st_gid == 1001, "owner");
	test_check(get_option(pairs[0][0], SOL_SOCKET, SO_PEEK_OFF) == -1, "SO_PEEK_OFF of others");
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	make_pairs();
	make_names();
	make_connections();
	make_waiting();
	make_closed();
	make_options();

	test_checkpoint_here();

	check_pairs();
	check_names();
	check_replaced();
	check_connections();
	check_waiting();
	check_closed();
	check_options();
	test_pass();
}
