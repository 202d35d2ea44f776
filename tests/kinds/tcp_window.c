/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A receiver that does not read gets no more than its buffer holds, as before. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "testing.h"

static char block[65536];

static int waiting(int fd)
{
	int bytes;

	test_must(!ioctl(fd, FIONREAD, &bytes));
	return bytes;
}

/* Sends until nothing more goes, and all has settled. */
static long send_all_that_goes(int fd)
{
	long sent = 0;
	ssize_t n;
	int i;

	for (i = 0; i < 10; i++) {
		while ((n = send(fd, block, sizeof(block), MSG_DONTWAIT)) > 0)
			sent += n;
		test_check(errno == EAGAIN, "send");
		test_sleep_ms(5);
	}
	return sent;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int listener = socket(AF_INET, SOCK_STREAM, 0), sender = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t size = sizeof(address);
	int receiver, before;
	long sent, got = 0;
	ssize_t n;

	test_init(argc, argv);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	test_must(!bind(listener, (struct sockaddr *)&address, size) && !listen(listener, 1));
	test_must(!getsockname(listener, (struct sockaddr *)&address, &size));
	test_must(!connect(sender, (struct sockaddr *)&address, size));
	receiver = accept(listener, NULL, NULL);
	test_must(receiver >= 0 && !close(listener));
	sent = send_all_that_goes(sender);
	before = waiting(receiver);

	test_checkpoint_here();

	sent += send_all_that_goes(sender);
	test_check(waiting(receiver) < 2 * before + 262144, "%d bytes wait, it was %d",
		   waiting(receiver), before);
	test_must(!shutdown(sender, SHUT_WR));
	while ((n = recv(receiver, block, sizeof(block), 0)) > 0)
		got += n;
	test_check(n == 0 && got == sent, "%ld bytes of %ld", got, sent);
	test_pass();
}
