/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What waits in Unix sockets stays: bytes, boundaries, senders, credentials, descriptors. */
#include "sockets.h"

#include <stddef.h>
#include <sys/un.h>
#include <sys/wait.h>

static void give(int socket, const char *data, size_t size, const int *fds, int count)
{
	char control[CMSG_SPACE(16 * sizeof(int))] = { 0 };
	struct iovec part = { (void *)data, size };
	struct msghdr h = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (count) {
		h.msg_control = control;
		h.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	test_check(sendmsg(socket, &h, 0) == (ssize_t)size, "send %zu bytes", size);
}

struct got {
	char data[4096];
	ssize_t size;
	int fds[16], count;
	struct ucred who;
	bool has_who;
	struct sockaddr_un from;
	socklen_t from_size;
};

static struct got take(int socket, size_t size)
{
	static struct got got;
	char control[CMSG_SPACE(16 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	struct iovec part = { got.data, size ? size : sizeof(got.data) };
	struct msghdr h = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control), .msg_name = &got.from,
			    .msg_namelen = sizeof(got.from) };

	memset(&got, 0, sizeof(got));
	got.size = recvmsg(socket, &h, MSG_DONTWAIT);
	test_check(got.size >= 0, "nothing waits in %d", socket);
	got.from_size = h.msg_namelen;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_type == SCM_RIGHTS) {
			got.count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(got.fds, CMSG_DATA(c), got.count * sizeof(int));
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&got.who, CMSG_DATA(c), sizeof(got.who));
			got.has_who = true;
		}
	}
	return got;
}

static void expect(const struct got *got, const char *text, int fds)
{
	test_check(got->size == (ssize_t)strlen(text) && !memcmp(got->data, text, got->size),
		   "got %zd bytes '%.*s', expected '%s'", got->size, (int)got->size, got->data,
		   text);
	test_check(got->count == fds, "%d descriptors came with '%s', expected %d", got->count,
		   text, fds);
}

static void expect_empty(int socket)
{
	char byte;

	test_check(recv(socket, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN,
		   "more waits in %d than was sent", socket);
}

/* ---- bytes and messages ---- */

enum { LARGE = 190000 };
static int stream[2], packets[2], datagrams[2], large[2];

static void make_plain(void)
{
	static uint32_t words[LARGE / 4];

	test_must(!socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
	give(stream[0], "first ", 6, NULL, 0);
	give(stream[0], "second", 6, NULL, 0);
	give(stream[1], "back", 4, NULL, 0);
	test_must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets));
	give(packets[0], "one", 3, NULL, 0);
	give(packets[0], "", 0, NULL, 0);
	give(packets[0], "three", 5, NULL, 0);
	test_must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams));
	/* More than the queue takes from strangers. */
	for (int i = 0; i < 40; i++)
		give(datagrams[0], "0123456789012345678901234567890123456789", i, NULL, 0);
	test_must(!socketpair(AF_UNIX, SOCK_STREAM, 0, large));
	for (size_t i = 0; i < LARGE / 4; i++)
		words[i] = i * 2654435761u;
	set_option(large[0], SOL_SOCKET, SO_SNDBUFFORCE, 1000000);
	give(large[0], (char *)words, LARGE, NULL, 0);
}

static void check_plain(void)
{
	struct got got = take(stream[1], 8);

	expect(&got, "first se", 0);
	got = take(stream[1], 0);
	expect(&got, "cond", 0);
	expect_empty(stream[1]);
	got = take(stream[0], 0);
	expect(&got, "back", 0);
	got = take(packets[1], 0);
	expect(&got, "one", 0);
	got = take(packets[1], 0);
	expect(&got, "", 0);
	got = take(packets[1], 0);
	expect(&got, "three", 0);
	expect_empty(packets[1]);
	for (int i = 0; i < 40; i++) {
		got = take(datagrams[1], 0);
		test_check(got.size == i, "datagram %d has %zd bytes", i, got.size);
	}
	expect_empty(datagrams[1]);
	for (size_t i = 0; i < LARGE / 4; i++) {
		uint32_t word;

		test_check(read(large[1], &word, 4) == 4 && word == (uint32_t)(i * 2654435761u),
			   "word %zu is %#x", i, word);
	}
	expect_empty(large[1]);
	test_check(get_option(large[0], SOL_SOCKET, SO_SNDBUF) == 2000000, "send buffer");
}

/* ---- senders ---- */

static char receiver_name[200], sender_name[200], gone_name[200];
static int receiver, sender, stranger, connected_receiver[2];

static int bound(const char *path, struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, path, strlen(path));
	test_must(fd >= 0 && !bind(fd, (void *)a, sizeof(*a)));
	return fd;
}

static void make_senders(void)
{
	struct sockaddr_un to, a;
	int gone;

	snprintf(receiver_name, sizeof(receiver_name), "%s", test_path("receiver"));
	snprintf(sender_name, sizeof(sender_name), "%s", test_path("sender"));
	snprintf(gone_name, sizeof(gone_name), "%s", test_path("gone"));
	receiver = bound(receiver_name, &to);
	sender = bound(sender_name, &a);
	gone = bound(gone_name, &a);
	stranger = socket(AF_UNIX, SOCK_DGRAM, 0);
	test_must(sendto(sender, "named", 5, 0, (void *)&to, sizeof(to)) == 5);
	test_must(sendto(gone, "gone", 4, 0, (void *)&to, sizeof(to)) == 4);
	test_must(!connect(stranger, (void *)&to, sizeof(to)));
	test_must(write(stranger, "nameless", 8) == 8);
	test_must(sendto(sender, "again", 5, 0, (void *)&to, sizeof(to)) == 5);
	close(gone);
	unlink(gone_name);
	/* One that connected to its sender after it got a stranger's message. */
	connected_receiver[0] = bound(test_path("third"), &to);
	test_must(sendto(stranger, "early", 5, 0, (void *)&to, sizeof(to)) == 5);
	connected_receiver[1] = bound(test_path("fourth"), &a);
	test_must(!connect(connected_receiver[1], (void *)&to, sizeof(to)));
	test_must(!connect(connected_receiver[0], (void *)&a, sizeof(a)));
	test_must(write(connected_receiver[1], "late", 4) == 4);
}

static void expect_from(const struct got *got, const char *name)
{
	size_t size = *name ? offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1 : 0;

	test_check(got->from_size == size && (!size || !strcmp(got->from.sun_path, name)),
		   "sender is '%s' (%u bytes), expected '%s'", got->from.sun_path, got->from_size,
		   name);
}

static void check_senders(void)
{
	struct got got = take(receiver, 0);

	expect(&got, "named", 0);
	expect_from(&got, sender_name);
	test_must(sendto(receiver, "reply", 5, 0, (void *)&got.from, got.from_size) == 5);
	got = take(sender, 0);
	expect(&got, "reply", 0);
	got = take(receiver, 0);
	expect(&got, "gone", 0);
	expect_from(&got, gone_name);
	test_check(access(gone_name, F_OK), "%s is there again", gone_name);
	got = take(receiver, 0);
	expect(&got, "nameless", 0);
	expect_from(&got, "");
	got = take(receiver, 0);
	expect(&got, "again", 0);
	expect_from(&got, sender_name);
	expect_empty(receiver);
	test_check(write(stranger, "x", 1) == 1 && take(receiver, 0).size == 1,
		   "one-way connection");
	got = take(connected_receiver[0], 0);
	expect(&got, "early", 0);
	got = take(connected_receiver[0], 0);
	expect(&got, "late", 0);
	expect_from(&got, test_path("fourth"));
	test_check(write(connected_receiver[0], "y", 1) == 1 &&
			   take(connected_receiver[1], 0).size == 1,
		   "mutual connection");
}

/* ---- credentials ---- */

static int with_ids[2], ids_stream[2];
static pid_t datagram_child, stream_child;

static pid_t say_and_die(int socket, uid_t uid)
{
	pid_t dead = fork();
	int status;

	test_must(dead >= 0);
	if (dead == 0) {
		if (setgid(uid + 1) || setuid(uid) || write(socket, "child", 5) != 5)
			_exit(1);
		_exit(0);
	}
	test_must(waitpid(dead, &status, 0) == dead && status == 0);
	return dead;
}

static void make_ids(void)
{
	test_must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, with_ids));
	give(with_ids[0], "before", 6, NULL, 0);
	set_option(with_ids[1], SOL_SOCKET, SO_PASSCRED, 1);
	give(with_ids[0], "self", 4, NULL, 0);
	datagram_child = say_and_die(with_ids[0], 1234);
	test_must(!socketpair(AF_UNIX, SOCK_STREAM, 0, ids_stream));
	set_option(ids_stream[1], SOL_SOCKET, SO_PASSCRED, 1);
	give(ids_stream[0], "from ", 5, NULL, 0);
	give(ids_stream[0], "self", 4, NULL, 0);
	stream_child = say_and_die(ids_stream[0], 4321);
}

static void expect_who(const struct got *got, pid_t pid, uid_t uid, gid_t gid)
{
	test_check(got->has_who, "no credentials came with %s", got->data);
	test_check(got->who.pid == pid && got->who.uid == uid && got->who.gid == gid,
		   "'%s' came from process %d, %u:%u, not %d, %u:%u", got->data, got->who.pid,
		   got->who.uid, got->who.gid, pid, uid, gid);
}

static void check_ids(void)
{
	struct got got = take(with_ids[1], 0);

	expect(&got, "before", 0);
	expect_who(&got, 0, 65534, 65534);
	got = take(with_ids[1], 0);
	expect(&got, "self", 0);
	expect_who(&got, getpid(), getuid(), getgid());
	got = take(with_ids[1], 0);
	expect(&got, "child", 0);
	expect_who(&got, datagram_child, 1234, 1235);
	got = take(ids_stream[1], 0);
	expect(&got, "from self", 0);
	expect_who(&got, getpid(), getuid(), getgid());
	got = take(ids_stream[1], 0);
	expect(&got, "child", 0);
	expect_who(&got, stream_child, 4321, 4322);
}

/* ---- descriptors in flight ---- */

static int carrier[2], packet_carrier[2], cycle[2], kept_end;

static int file_with(const char *name, const char *text)
{
	int fd = open(test_path(name), O_RDWR | O_CREAT, 0644);

	test_must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	return fd;
}

static void make_flight(void)
{
	int a = file_with("a", "text of a"), b = file_with("b", "text of b"), ends[2], pair[2];

	test_must(!pipe(ends) && write(ends[1], "in the pipe", 11) == 11);
	test_must(!socketpair(AF_UNIX, SOCK_STREAM, 0, carrier));
	give(carrier[0], "before", 6, NULL, 0);
	give(carrier[0], "AB", 2, (int[]){ a, b }, 2);
	give(carrier[0], "after", 5, NULL, 0);
	give(carrier[0], "P", 1, ends, 2);
	give(carrier[0], "", 0, NULL, 0);
	give(carrier[0], "end", 3, NULL, 0);
	close(a);
	close(ends[0]);
	close(ends[1]);
	test_must(lseek(b, 5, SEEK_SET) == 5);
	/* A socket whose other end is known to nobody but a queue, with a queue of its own. */
	test_must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packet_carrier));
	test_must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	give(pair[0], "deep", 4, &b, 1);
	give(packet_carrier[0], "S", 1, &pair[1], 1);
	close(pair[1]);
	close(b);
	kept_end = pair[0];
	/* Sockets in each other's queues. */
	test_must(!socketpair(AF_UNIX, SOCK_STREAM, 0, cycle));
	give(cycle[0], "to 1", 4, &cycle[0], 1);
	give(cycle[1], "to 0", 4, &cycle[1], 1);
}

static void expect_file(int fd, const char *text, off_t offset)
{
	char got[32] = { 0 };

	test_check(lseek(fd, 0, SEEK_CUR) == offset, "offset is %ld", (long)lseek(fd, 0, SEEK_CUR));
	test_check(pread(fd, got, 31, 0) == (ssize_t)strlen(text) && !strcmp(got, text), "'%s'",
		   got);
}

static void check_flight(void)
{
	char got_text[16] = { 0 };
	struct got got = take(carrier[1], 6), inner;

	expect(&got, "before", 0);
	got = take(carrier[1], 1);
	expect(&got, "A", 2);
	expect_file(got.fds[0], "text of a", 9);
	expect_file(got.fds[1], "text of b", 5);
	got = take(carrier[1], 0);
	expect(&got, "BafterP", 2);
	test_check(read(got.fds[0], got_text, 16) == 11 && !strcmp(got_text, "in the pipe"), "'%s'",
		   got_text);
	close(got.fds[1]);
	test_check(read(got.fds[0], got_text, 16) == 0, "the pipe has another writer");
	got = take(carrier[1], 0);
	expect(&got, "end", 0);

	got = take(packet_carrier[1], 0);
	expect(&got, "S", 1);
	inner = take(got.fds[0], 0);
	expect(&inner, "deep", 1);
	expect_file(inner.fds[0], "text of b", 5);
	test_check(write(kept_end, "hello", 5) == 5, "writing to a socket that was in flight");
	inner = take(got.fds[0], 0);
	expect(&inner, "hello", 0);

	got = take(cycle[0], 0);
	expect(&got, "to 0", 1);
	test_check(write(got.fds[0], "round", 5) == 5, "own end");
	close(got.fds[0]);
	got = take(cycle[0], 0);
	expect(&got, "round", 0);
	got = take(cycle[1], 0);
	expect(&got, "to 1", 1);
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	make_plain();
	make_senders();
	make_ids();
	make_flight();

	test_checkpoint_here();

	check_plain();
	check_senders();
	check_ids();
	check_flight();
	test_pass();
}
