/* SPDX-License-Identifier: GPL-2.0-or-later */
/* epoll items go on watching what they watched: also nested ones, and numbers closed since. */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "testing.h"

enum { MANY = 1500 };

static void add(int epoll, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	test_check(!epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "adding %d", fd);
}

static int counter(int value)
{
	int fd = eventfd(value, EFD_NONBLOCK);

	test_must(fd >= 0);
	return fd;
}

static void bump(int fd)
{
	static const uint64_t one = 1;

	test_must(write(fd, &one, sizeof(one)) == sizeof(one));
}

static void drain(int fd)
{
	uint64_t count;

	test_must(read(fd, &count, sizeof(count)) == sizeof(count));
}

/* The events of the only item that is ready; 0 when none is. */
static uint32_t ready(int epoll, uint64_t data)
{
	struct epoll_event events[4];
	int count = epoll_wait(epoll, events, 4, 0);

	test_check(count == 0 || count == 1, "%d items are ready", count);
	test_check(!count || events[0].data.u64 == data, "data %llx, not %llx",
		   (unsigned long long)events[0].data.u64, (unsigned long long)data);
	return count ? events[0].events : 0;
}

static void level(int epoll, int fd)
{
	test_check(ready(epoll, 0x1111222233334444) == EPOLLIN, "level: not ready");
	test_check(ready(epoll, 0x1111222233334444) == EPOLLIN, "level: not ready any more");
	drain(fd);
	test_check(!ready(epoll, 0), "level: ready without a reason");
}

static void edge(int epoll, int fd)
{
	ready(epoll, 2);	/* an edge may be reported once more */
	test_check(!ready(epoll, 2), "edge: reported again");
	bump(fd);
	test_check(ready(epoll, 2) == EPOLLIN, "edge: lost");
	test_check(!ready(epoll, 2), "edge: reported twice");
}

static void one_shot(int epoll, int fd, int fresh_epoll)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = 33 };

	test_check(!ready(epoll, 3), "one-shot: fires again");
	bump(fd);
	test_check(!ready(epoll, 3), "one-shot: fires again after a write");
	test_must(!epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
	test_check(ready(epoll, 33) == EPOLLIN, "one-shot: does not fire when armed again");
	test_check(ready(fresh_epoll, 4) == EPOLLIN, "fresh one-shot: does not fire");
	test_check(!ready(fresh_epoll, 4), "fresh one-shot: fires twice");
}

/* A one-shot item that fired, was emptied since, and whose file is then hung up. */
static void empty_one_shot(int epoll, int reader)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = 5 };

	test_check(!ready(epoll, 5), "empty one-shot: fires");
	test_must(!epoll_ctl(epoll, EPOLL_CTL_MOD, reader, &event));
	test_check(!ready(epoll, 5), "empty one-shot: fires when armed");
}

static void many(int epoll, const int *fds)
{
	static struct epoll_event events[MANY];
	char seen[MANY] = { 0 };
	int count;

	for (int i = 0; i < MANY; i += 3)
		bump(fds[i]);
	count = epoll_wait(epoll, events, MANY, 0);
	test_check(count == MANY / 3, "many: %d are ready", count);
	for (int i = 0; i < count; i++) {
		unsigned index = events[i].data.u64;

		test_check(index < MANY && index % 3 == 0 && !seen[index], "many: item %u", index);
		seen[index] = 1;
	}
}

int main(int argc, char **argv)
{
	int epolls[8], fds[8], pipe_ends[2], inner, outer, nested, closed, kept, reused, family;
	static int lots[MANY];
	struct epoll_event event;
	struct rlimit limit;
	int crowd, status;
	char byte;
	pid_t pid;

	test_init(argc, argv);
	test_must(!getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = limit.rlim_max;
	test_must(!setrlimit(RLIMIT_NOFILE, &limit));
	for (int i = 0; i < 8; i++) {
		test_must((epolls[i] = epoll_create1(i % 2 ? EPOLL_CLOEXEC : 0)) >= 0);
		fds[i] = counter(1);
	}
	add(epolls[0], fds[0], EPOLLIN, 0x1111222233334444);
	add(epolls[1], fds[1], EPOLLIN | EPOLLET, 2);
	test_must(ready(epolls[1], 2) == EPOLLIN);
	add(epolls[2], fds[2], EPOLLIN | EPOLLONESHOT, 3);
	test_must(ready(epolls[2], 3) == EPOLLIN);
	add(epolls[3], fds[3], EPOLLIN | EPOLLONESHOT, 4);
	test_must(!pipe(pipe_ends) && write(pipe_ends[1], "x", 1) == 1);
	add(epolls[4], pipe_ends[0], EPOLLIN | EPOLLONESHOT, 5);
	test_must(ready(epolls[4], 5) == EPOLLIN && read(pipe_ends[0], &byte, 1) == 1);
	add(epolls[5], fds[5], EPOLLIN | EPOLLEXCLUSIVE, 6);

	test_must((inner = epoll_create1(0)) >= 0 && (outer = epoll_create1(0)) >= 0);
	nested = counter(0);
	add(outer, inner, EPOLLIN, 7);
	add(inner, nested, EPOLLIN, 8);

	/* The number is closed, the file lives under another one; then the number is reused. */
	closed = counter(0);
	test_must((kept = dup(closed)) >= 0);
	add(epolls[6], closed, EPOLLIN, 9);
	close(closed);
	test_must((reused = counter(0)) == closed);
	add(epolls[6], reused, EPOLLIN, 10);

	test_must((crowd = epoll_create1(0)) >= 0);
	for (int i = 0; i < MANY; i++) {
		lots[i] = i < 800 ? counter(0) : -1;
		if (lots[i] < 0)
			test_must((lots[i] = eventfd(0, EFD_NONBLOCK)) >= 0);
		add(crowd, lots[i], EPOLLIN, i);
	}

	/* Shared with a child that has the watched file under another number. */
	family = counter(0);
	add(epolls[7], family, EPOLLIN, 11);
	test_must((pid = fork()) >= 0);
	if (!pid) {
		int moved = dup(family);

		close(family);
		test_reach("child is up");
		test_wait_for_go();
		test_wait_until(ready(epolls[7], 11) == EPOLLIN, "child: not ready");
		drain(moved);
		_exit(0);
	}
	test_await("child is up");

	test_checkpoint_here();

	level(epolls[0], fds[0]);
	edge(epolls[1], fds[1]);
	one_shot(epolls[2], fds[2], epolls[3]);
	empty_one_shot(epolls[4], pipe_ends[0]);
	test_check(ready(epolls[5], 6) == EPOLLIN, "exclusive");
	event = (struct epoll_event){ .events = EPOLLIN };
	test_check(epoll_ctl(epolls[5], EPOLL_CTL_MOD, fds[5], &event) < 0 && errno == EINVAL,
		   "the exclusive item is an ordinary one");
	test_check(fcntl(epolls[1], F_GETFD) == FD_CLOEXEC, "close-on-exec was lost");

	test_check(!ready(outer, 7), "nested: ready without a reason");
	bump(nested);
	test_check(ready(outer, 7) == EPOLLIN, "nested: outer is not ready");
	test_check(ready(inner, 8) == EPOLLIN, "nested: inner is not ready");

	test_check(!ready(epolls[6], 9), "closed: ready without a reason");
	bump(kept);
	test_check(ready(epolls[6], 9) == EPOLLIN, "closed: not ready");
	drain(kept);
	bump(reused);
	test_check(ready(epolls[6], 10) == EPOLLIN, "reused: not ready");
	test_must(!epoll_ctl(epolls[6], EPOLL_CTL_DEL, reused, NULL));
	test_check(!ready(epolls[6], 0), "reused: still there");
	test_check(epoll_ctl(epolls[6], EPOLL_CTL_DEL, kept, NULL) < 0 && errno == ENOENT,
		   "the item has moved to a number at which it was not added");

	many(crowd, lots);

	bump(family);
	test_must(waitpid(pid, &status, 0) == pid);
	test_check(status == 0, "child: %#x", status);
	test_check(!ready(epolls[7], 11), "the child's read is not seen");
	test_pass();
}
