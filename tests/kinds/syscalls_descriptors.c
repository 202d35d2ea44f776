/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that wait for a descriptor or for IPC go on waiting, and none returns EINTR. */
/* test: own=ipc */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "testing.h"

enum { TIMEOUT_MS = 1500, BEFORE_MS = 300 };

static const struct timespec timeout = { TIMEOUT_MS / 1000, TIMEOUT_MS % 1000 * 1000000l };
static int empty_pipe[2], full_pipe[2], pair[2], timed_pair[2], epoll, event, lock_fd, semaphores;

static long call_read(void)
{
	char byte;

	return read(empty_pipe[0], &byte, 1) == 1 ? byte : -1;
}

static long call_write(void)
{
	return write(full_pipe[1], "more", 4);
}

static long call_poll(void)
{
	struct pollfd wanted = { .fd = event, .events = POLLIN };

	return poll(&wanted, 1, -1);
}

static long call_epoll_wait(void)
{
	struct epoll_event got;

	return epoll_wait(epoll, &got, 1, -1) == 1 ? (long)got.data.u32 : -1;
}

static long call_epoll_wait_timed(void)
{
	struct epoll_event got;
	int empty = epoll_create1(EPOLL_CLOEXEC);

	return epoll_wait(empty, &got, 1, TIMEOUT_MS);
}

static long call_recv(void)
{
	char text[8];

	return recv(pair[0], text, sizeof(text), 0);
}

static long call_recv_timed(void)
{
	char text[8];

	return recv(timed_pair[0], text, sizeof(text), 0);
}

static long call_lock(void)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(test_path("locked"), O_RDWR | O_CLOEXEC);

	return fcntl(fd, F_OFD_SETLKW, &whole);
}

static long call_semop(void)
{
	struct sembuf take = { .sem_num = 0, .sem_op = -1 };

	return semop(semaphores, &take, 1);
}

static long call_semtimedop(void)
{
	struct sembuf take = { .sem_num = 1, .sem_op = -1 };

	return semtimedop(semaphores, &take, 1, &timeout);
}

/* What each returns in the end; `timed` ones end by themselves, not before their time. */
static struct call {
	const char *name;
	long (*run)(void);
	bool timed;
	long result;
	int error;
} calls[] = {
	{ "read", call_read, false, 'r', 0 },
	{ "write", call_write, false, 4, 0 },
	{ "poll", call_poll, false, 1, 0 },
	{ "epoll_wait", call_epoll_wait, false, 77, 0 },
	{ "epoll_wait with a timeout", call_epoll_wait_timed, true, 0, 0 },
	{ "recv", call_recv, false, 5, 0 },
	{ "recv with SO_RCVTIMEO", call_recv_timed, true, -1, EAGAIN },
	{ "fcntl F_OFD_SETLKW", call_lock, false, 0, 0 },
	{ "semop", call_semop, false, 0, 0 },
	{ "semtimedop", call_semtimedop, true, -1, EAGAIN },
};
enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static struct run {
	pthread_t thread;
	long result;
	int error;
	int64_t elapsed_ms;
	bool started, done;
} runs[CALLS];

static void *run_call(void *argument)
{
	struct run *run = argument;
	int64_t begin = test_now_ms();

	__atomic_store_n(&run->started, true, __ATOMIC_SEQ_CST);
	errno = 0;
	run->result = calls[run - runs].run();
	run->error = run->result == -1 ? errno : 0;
	run->elapsed_ms = test_now_ms() - begin;
	__atomic_store_n(&run->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Everything that a call will wait for. */
static void make_objects(void)
{
	struct timeval wait = { timeout.tv_sec, timeout.tv_nsec / 1000 };
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct epoll_event in = { .events = EPOLLIN, .data.u32 = 77 };
	char block[4096] = { 0 };

	test_must(!pipe2(empty_pipe, O_CLOEXEC) && !pipe2(full_pipe, O_CLOEXEC));
	test_must(fcntl(full_pipe[1], F_SETPIPE_SZ, 4096) == 4096);
	test_must(write(full_pipe[1], block, 4096) == 4096);
	test_must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	test_must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, timed_pair));
	test_must(!setsockopt(timed_pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)));
	test_must((event = eventfd(0, EFD_CLOEXEC)) >= 0);
	test_must((epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0);
	test_must(!epoll_ctl(epoll, EPOLL_CTL_ADD, event, &in));
	test_must((lock_fd = open(test_path("locked"), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) >= 0);
	test_must(!fcntl(lock_fd, F_OFD_SETLK, &whole));
	test_must((semaphores = semget(IPC_PRIVATE, 2, 0600)) >= 0);
}

static void wake_all(void)
{
	struct flock none = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
	struct sembuf give = { .sem_num = 0, .sem_op = 1 };
	char block[4096];

	test_must(write(empty_pipe[1], "r", 1) == 1);
	test_must(read(full_pipe[0], block, sizeof(block)) == sizeof(block));
	test_must(!eventfd_write(event, 1));
	test_must(send(pair[1], "hello", 5, 0) == 5);
	test_must(!fcntl(lock_fd, F_OFD_SETLK, &none));
	test_must(!semop(semaphores, &give, 1));
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	make_objects();
	for (int i = 0; i < CALLS; i++)
		test_must(!pthread_create(&runs[i].thread, NULL, run_call, &runs[i]));
	test_sleep_ms(BEFORE_MS);
	for (int i = 0; i < CALLS; i++)
		test_check(runs[i].started && !runs[i].done, "%s ends before the checkpoint",
			   calls[i].name);

	test_checkpoint_here();

	for (int i = 0; i < CALLS; i++)
		test_check(calls[i].timed || !runs[i].done, "%s ends by itself: %ld, %s",
			   calls[i].name, runs[i].result, strerror(runs[i].error));
	wake_all();
	for (int i = 0; i < CALLS; i++) {
		pthread_join(runs[i].thread, NULL);
		test_check(runs[i].result == calls[i].result && runs[i].error == calls[i].error,
			   "%s returns %ld, %s; wanted %ld, %s", calls[i].name, runs[i].result,
			   strerror(runs[i].error), calls[i].result, strerror(calls[i].error));
		test_check(!calls[i].timed || runs[i].elapsed_ms >= TIMEOUT_MS - 10,
			   "%s ends early, after %ld ms", calls[i].name, runs[i].elapsed_ms);
	}
	test_must(!semctl(semaphores, 0, IPC_RMID));
	test_pass();
}
