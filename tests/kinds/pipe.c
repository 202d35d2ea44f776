/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pipes and FIFOs keep data, packets, capacity, closed ends and all their descriptions. */
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "testing.h"

enum { BULK = 150000, CAPACITY = 1 << 18, PACKETS = 5 };

static char byte_at(int i)
{
	return i * 7 + i / 256;
}

static short state(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN | POLLOUT };

	test_must(poll(&poller, 1, 0) >= 0);
	return poller.revents;
}

static void expect_state(int fd, short wanted, const char *name)
{
	test_check(state(fd) == wanted, "%s: poll says %#x, said %#x", name, state(fd), wanted);
}

static void make_bulk(int ends[2])
{
	static char data[BULK];

	for (int i = 0; i < BULK; i++)
		data[i] = byte_at(i);
	test_must(!pipe(ends));
	test_must(fcntl(ends[1], F_SETPIPE_SZ, CAPACITY) == CAPACITY);
	test_must(write(ends[1], data, BULK) == BULK);
}

static void check_bulk(int ends[2])
{
	static char data[BULK + 1];
	int got = 0, waiting;

	test_check(fcntl(ends[0], F_GETPIPE_SZ) == CAPACITY, "capacity %d",
		   fcntl(ends[0], F_GETPIPE_SZ));
	test_must(!ioctl(ends[0], FIONREAD, &waiting));
	test_check(waiting == BULK, "%d bytes wait, not %d", waiting, BULK);
	while (got < BULK) {
		ssize_t r = read(ends[0], data + got, sizeof(data) - got);

		test_must(r > 0);
		got += r;
	}
	for (int i = 0; i < BULK; i++)
		test_check(data[i] == byte_at(i), "byte %d is %d", i, data[i]);
	test_must(write(ends[1], "again", 5) == 5 && read(ends[0], data, 5) == 5);
}

static void check_packets(int ends[2])
{
	char packet[4096];

	for (int i = 0; i < PACKETS; i++) {
		ssize_t size = read(ends[0], packet, sizeof(packet));

		test_check(size == 100 + i, "packet %d has %zd bytes", i, size);
		test_check(packet[0] == 'A' + i, "packet %d begins with %d", i, packet[0]);
	}
	test_must(write(ends[1], "one", 3) == 3 && write(ends[1], "two", 3) == 3);
	test_check(read(ends[0], packet, sizeof(packet)) == 3, "packet mode is off");
}

struct flags {
	int fd, value;
};

static void note_flags(struct flags *flags, int fd)
{
	*flags = (struct flags){ fd, fcntl(fd, F_GETFL) };
}

/* Holds the only writing end of a pipe: its end is the end of file for the parent. */
static void child(int writer)
{
	test_reach("child is up");
	test_wait_for_go();
	test_must(write(writer, "from the child", 14) == 14);
	_exit(0);
}

int main(int argc, char **argv)
{
	int bulk[2], packets[2], no_writer[2], no_reader[2], family[2], both, second_reader;
	int fifo_reader, fifo_writer, quiet, fifo_both, status;
	struct flags flags[8];
	short quiet_state, fifo_state;
	struct stat st, st2;
	char text[64], packet[200];
	char path[64];
	pid_t pid;

	test_init(argc, argv);
	make_bulk(bulk);
	test_must(!pipe2(packets, O_DIRECT | O_CLOEXEC));
	for (int i = 0; i < PACKETS; i++) {
		memset(packet, 'A' + i, sizeof(packet));
		test_must(write(packets[1], packet, 100 + i) == 100 + i);
	}
	test_must(!pipe2(no_writer, O_NONBLOCK) && write(no_writer[1], "rest", 4) == 4);
	close(no_writer[1]);
	test_must(!pipe(no_reader));
	close(no_reader[0]);
	/* More descriptions of one pipe. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", no_writer[0]);
	test_must((second_reader = open(path, O_RDONLY | O_NONBLOCK)) >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", packets[0]);
	test_must((both = open(path, O_RDWR | O_CLOEXEC)) >= 0);

	test_must(!mkfifo(test_path("fifo"), 0600) && !mkfifo(test_path("quiet"), 0600) &&
		  !mkfifo(test_path("both"), 0600));
	test_must((fifo_reader = open(test_path("fifo"), O_RDONLY | O_NONBLOCK)) >= 0);
	test_must((fifo_writer = open(test_path("fifo"), O_WRONLY)) >= 0);
	test_must(write(fifo_writer, "fifo data", 9) == 9);
	test_must((quiet = open(test_path("quiet"), O_RDONLY | O_NONBLOCK)) >= 0);
	test_must((fifo_both = open(test_path("both"), O_RDWR)) >= 0);
	test_must(write(fifo_both, "self", 4) == 4);
	quiet_state = state(quiet);
	fifo_state = state(fifo_reader);

	test_must(!pipe(family));
	test_must((pid = fork()) >= 0);
	if (!pid) {
		for (int fd = 3; fd < 64; fd++)
			if (fd != family[1])
				close(fd);
		child(family[1]);
	}
	close(family[1]);
	test_await("child is up");
	note_flags(&flags[0], bulk[0]);
	note_flags(&flags[1], bulk[1]);
	note_flags(&flags[2], packets[0]);
	note_flags(&flags[3], packets[1]);
	note_flags(&flags[4], no_writer[0]);
	note_flags(&flags[5], fifo_reader);
	note_flags(&flags[6], fifo_writer);
	note_flags(&flags[7], both);

	test_checkpoint_here();

	for (int i = 0; i < 8; i++)
		test_check(fcntl(flags[i].fd, F_GETFL) == flags[i].value,
			   "flags of pipe %d are %#o, were %#o", i, fcntl(flags[i].fd, F_GETFL),
			   flags[i].value);
	test_must(!fstat(packets[0], &st) && !fstat(both, &st2));
	test_check(st.st_ino == st2.st_ino, "one pipe has become two");
	test_must(!fstat(bulk[0], &st) && !fstat(bulk[1], &st2));
	test_check(st.st_ino == st2.st_ino, "the ends have come apart");
	check_bulk(bulk);
	check_packets(packets);

	expect_state(no_writer[0], POLLIN | POLLHUP, "pipe without a writer");
	test_check(read(second_reader, text, sizeof(text)) == 4 && !memcmp(text, "rest", 4),
		   "the rest of a pipe without a writer");
	test_check(read(no_writer[0], text, sizeof(text)) == 0, "no end of file");
	expect_state(no_reader[1], POLLOUT | POLLERR, "pipe without a reader");

	expect_state(quiet, quiet_state, "FIFO that nobody has written to");
	expect_state(fifo_reader, fifo_state, "FIFO");
	test_check(read(fifo_reader, text, sizeof(text)) == 9 && !memcmp(text, "fifo data", 9),
		   "data of the FIFO");
	test_check(read(fifo_both, text, sizeof(text)) == 4, "data of the FIFO open for both");
	test_must(!fstat(fifo_reader, &st) && !stat(test_path("fifo"), &st2));
	test_check(st.st_ino == st2.st_ino, "the FIFO has lost its name");

	test_check(read(family[0], text, sizeof(text)) == 14, "the child's pipe");
	test_must(waitpid(pid, &status, 0) == pid);
	test_check(status == 0, "child: %#x", status);
	test_check(read(family[0], text, sizeof(text)) == 0, "somebody else holds the pipe open");
	test_pass();
}
