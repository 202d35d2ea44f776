/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that only wait in the queues of sockets come out working: pipe, epoll, the socket
 * itself. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "testing.h"

static void send_fd(int socket, int fd, char byte)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&m);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
	test_must(sendmsg(socket, &m, 0) == 1);
}

static int receive_fd(int socket, char wanted)
{
	char control[CMSG_SPACE(sizeof(int))], byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	int fd;

	test_must(recvmsg(socket, &m, MSG_DONTWAIT) == 1);
	test_check(byte == wanted, "message '%c'", byte);
	test_check(m.msg_controllen && CMSG_FIRSTHDR(&m)->cmsg_len == CMSG_LEN(sizeof(int)),
		   "message '%c' has no descriptor", byte);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

static void add(int epoll, int fd, uint64_t data)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = data };

	test_must(!epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

int main(int argc, char **argv)
{
	int outer[2], inner[2], ends[2], epoll, counter, kept_counter, fd, position;
	struct epoll_event event;
	char text[16];

	test_init(argc, argv);
	test_must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, outer));
	test_must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, inner));

	/* The only reading end; the writing end stays. */
	test_must(!pipe(ends) && write(ends[1], "data", 4) == 4);
	send_fd(outer[0], ends[0], 'p');
	close(ends[0]);
	/* An epoll in the queue of a socket that it watches, and a counter that only it knows. */
	test_must((epoll = epoll_create1(0)) >= 0 && (counter = eventfd(1, 0)) >= 0);
	add(epoll, outer[1], 1);
	add(epoll, counter, 2);
	send_fd(outer[0], epoll, 'e');
	close(epoll);
	send_fd(outer[0], counter, 'c');
	close(counter);
	/* A file whose offset is shared by what is in flight twice and what is open. */
	test_must((position = open(test_path("file"), O_RDWR | O_CREAT, 0600)) >= 0);
	test_must(write(position, "0123456789", 10) == 10 && lseek(position, 3, SEEK_SET) == 3);
	send_fd(outer[0], position, 'f');
	send_fd(outer[0], position, 'g');
	/* A socket with a queue of its own, both ends in flight. */
	test_must((kept_counter = eventfd(5, 0)) >= 0);
	send_fd(inner[0], kept_counter, 'k');
	send_fd(outer[0], inner[0], 'i');
	send_fd(outer[0], inner[1], 'j');
	close(inner[0]);
	close(inner[1]);

	test_checkpoint_here();

	fd = receive_fd(outer[1], 'p');
	test_check(read(fd, text, sizeof(text)) == 4 && !memcmp(text, "data", 4), "pipe in flight");
	test_must(write(ends[1], "more", 4) == 4);
	test_check(read(fd, text, sizeof(text)) == 4, "the ends have come apart");

	epoll = receive_fd(outer[1], 'e');
	counter = receive_fd(outer[1], 'c');
	test_check(epoll_wait(epoll, (struct epoll_event[4]){ 0 }, 4, 0) == 2, "epoll in flight");
	fd = receive_fd(outer[1], 'f');
	test_check(read(fd, text, 1) == 1 && *text == '3', "offset");
	fd = receive_fd(outer[1], 'g');
	test_check(read(fd, text, 1) == 1 && *text == '4', "the offset is not shared in flight");
	test_check(read(position, text, 1) == 1 && *text == '5', "the offset is not shared");
	inner[0] = receive_fd(outer[1], 'i');
	inner[1] = receive_fd(outer[1], 'j');
	test_check(epoll_wait(epoll, &event, 1, 0) == 1 && event.data.u64 == 2, "epoll: item %d",
		   (int)event.data.u64);
	fd = receive_fd(inner[1], 'k');
	test_must(write(fd, &(uint64_t){ 2 }, 8) == 8);
	test_check(read(kept_counter, &event.data.u64, 8) == 8 && event.data.u64 == 7,
		   "the inner counter has %d", (int)event.data.u64);
	send_fd(inner[1], fd, 'r');
	close(receive_fd(inner[0], 'r'));
	test_pass();
}
