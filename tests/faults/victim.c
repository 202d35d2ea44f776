/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program with much going on that notices everything: lost or changed signals, calls that were
 * interrupted although no signal came, registers, red zone, masks, dispositions, bytes of a TCP
 * stream. It runs until "stop" appears in the scratch directory; tests/faults/kill.t harms it.
 */
/* build: -mavx */
#include <arpa/inet.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "testing.h"

enum {
	WAIT_MS = 3,
	COOKIE = 0x5eed,
	CHUNK = 1500,
	TRIES = 20000,
	PROCESSORS = 1024,
	RED_WORDS = 16,
};

static volatile bool stop;
static volatile long alarms, ticks, jumps, spins;
static long queued, handled;

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

static void block_all(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
}

static void block_none(void)
{
	sigset_t none;

	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/* ---- signals ---- */

static void on_alarm(int signal)
{
	alarms++;
}

static void on_tick(int signal, siginfo_t *info, void *context)
{
	test_check(info->si_code == SI_TIMER && info->si_value.sival_int == COOKIE,
		   "a timer's signal came with code %d, value %#x", info->si_code,
		   info->si_value.sival_int);
	ticks++;
}

static void on_queued(int signal, siginfo_t *info, void *context)
{
	test_check(info->si_code == SI_QUEUE && info->si_value.sival_int == (int)handled,
		   "queued signal %d came as %d, code %d", (int)handled, info->si_value.sival_int,
		   info->si_code);
	handled++;
}

static sigjmp_buf jump_back;

static void on_jump(int signal)
{
	siglongjmp(jump_back, 1);
}

static void set_handler(int signal, void *handler, int flags)
{
	struct sigaction action = { .sa_flags = flags };

	action.sa_sigaction = handler;
	sigfillset(&action.sa_mask);
	test_must(!sigaction(signal, &action, NULL));
}

static void start_timer(int signal, pid_t thread, long ns)
{
	struct sigevent event = {
		.sigev_notify = thread ? SIGEV_THREAD_ID : SIGEV_SIGNAL,
		.sigev_signo = signal,
		.sigev_value.sival_int = COOKIE,
	};
	struct itimerspec period = { { 0, ns }, { 0, ns } };
	timer_t timer;

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
	event.sigev_notify_thread_id = thread;
	test_must(!timer_create(CLOCK_MONOTONIC, &event, &timer));
	test_must(!timer_settime(timer, 0, &period, NULL));
}

/* Sends itself queued signals, by number; each must come once and in order. */
static void *queue_thread(void *context)
{
	block_none();
	while (!stop) {
		union sigval value = { .sival_int = queued };

		queued++;
		test_must(!pthread_sigqueue(pthread_self(), SIGRTMIN + 1, value));
		test_check(handled == queued, "%ld signals sent, %ld came", queued, handled);
		usleep(200);
	}
	return NULL;
}

/* Handlers that do not return. */
static void *jump_thread(void *context)
{
	struct timespec nap = { .tv_nsec = 200000 };
	volatile long before;

	block_none();
	set_handler(SIGRTMIN + 2, on_jump, 0);
	before = jumps;
	if (sigsetjmp(jump_back, 1)) {
		test_check(jumps == before, "%ld jumps, %ld before", jumps, before);
		before = ++jumps;
	} else {
		start_timer(SIGRTMIN + 2, syscall(SYS_gettid), 3000000);
	}
	while (!stop)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
	/* A late jump shall find its frame. */
	set_handler(SIGRTMIN + 2, on_alarm, 0);
	return NULL;
}

/* ---- calls that wait: nothing may end them early ---- */

static void check_wait(const char *what, long r, int error, long wanted, int wanted_error,
		       int64_t begin)
{
	int64_t us = now_us() - begin;

	test_check(r == wanted && (r >= 0 || error == wanted_error), "%s: %ld, %s", what, r,
		   strerror(error));
	test_check(us >= WAIT_MS * 1000 - 50, "%s ended after %d us", what, (int)us);
}

static void *nanosleep_thread(void *context)
{
	const struct timespec nap = { .tv_nsec = WAIT_MS * 1000000 };

	block_all();
	while (!stop) {
		int64_t begin = now_us();
		long r = nanosleep(&nap, NULL);

		check_wait("nanosleep", r, errno, 0, 0, begin);
	}
	return NULL;
}

static void *futex_thread(void *context)
{
	const struct timespec nap = { .tv_nsec = WAIT_MS * 1000000 };
	int word = 7;

	block_all();
	while (!stop) {
		int64_t begin = now_us();
		long r = syscall(SYS_futex, &word, FUTEX_WAIT, 7, &nap, NULL, 0);

		check_wait("futex", r, errno, -1, ETIMEDOUT, begin);
	}
	return NULL;
}

static void *poll_thread(void *context)
{
	block_all();
	while (!stop) {
		int64_t begin = now_us();
		int r = poll(NULL, 0, WAIT_MS);

		check_wait("poll", r, errno, 0, 0, begin);
	}
	return NULL;
}

/* The kernel ends this one when the thread is stopped, whoever stops it; it is counted apart. */
static long epoll_interrupted;

static void *epoll_thread(void *context)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event;

	block_all();
	while (!stop) {
		int64_t begin = now_us();
		int r = epoll_wait(fd, &event, 1, WAIT_MS);

		if (r < 0 && errno == EINTR)
			epoll_interrupted++;
		else
			check_wait("epoll_wait", r, errno, 0, 0, begin);
	}
	return NULL;
}

/* ---- registers and stacks ---- */

/* Values in vector registers and below the stack pointer, with signals coming. */
static void *register_thread(void *context)
{
	double in[4] = { 1.5, -2.25, 3.125, 1e300 }, out[4];
	uint64_t red[2];

	block_none();
	while (!stop) {
		__asm__ volatile("vmovupd %[in], %%ymm13\n\t"
				 "mov $0x1122334455667788, %%rax\n\t"
				 "mov %%rax, -120(%%rsp)\n\t"
				 "mov %%rax, -8(%%rsp)\n\t"
				 "mov $200000, %%ecx\n\t"
				 "1: dec %%ecx\n\t"
				 "jnz 1b\n\t"
				 "mov -120(%%rsp), %%rdx\n\t"
				 "mov -8(%%rsp), %%rax\n\t"
				 "vmovupd %%ymm13, %[out]\n\t"
				 "mov %%rdx, %[a]\n\t"
				 "mov %%rax, %[b]\n\t"
				 : [out] "=m"(out), [a] "=m"(red[0]), [b] "=m"(red[1])
				 : [in] "m"(in)
				 : "rax", "rcx", "rdx", "ymm13", "memory");
		test_check(!memcmp(in, out, sizeof(in)), "vector registers changed");
		test_check(red[0] == 0x1122334455667788 && red[0] == red[1],
			   "the red zone changed: %#lx, %#lx", red[0], red[1]);
		spins++;
		usleep(100);
	}
	return NULL;
}

static struct {
	long count;
	char padding[56];
} counters[PROCESSORS];

/* Adds one to the counter of the processor that it is on, in a restartable sequence. Returns
 * whether it was not restarted. */
static bool count_here(struct rseq *area)
{
	int cpu = area->cpu_id_start;
	long *place = &counters[cpu].count;
	bool done = false;

	__asm__ volatile goto(".pushsection __rseq_cs, \"aw\"\n\t"
			      ".balign 32\n\t"
			      "3: .long 0, 0\n\t"
			      ".quad 1f, (2f - 1f), 4f\n\t"
			      ".popsection\n\t"
			      "lea 3b(%%rip), %%rax\n\t"
			      "mov %%rax, %[cs]\n\t"
			      "1: cmp %[cpu], %[now]\n\t"
			      "jnz %l[restarted]\n\t"
			      "mov %[place], %%rax\n\t"
			      "mov $30, %%ecx\n\t"
			      "5: dec %%ecx\n\t"
			      "jnz 5b\n\t"
			      "inc %%rax\n\t"
			      "mov %%rax, %[place]\n\t"
			      "2:\n\t"
			      ".pushsection __rseq_failure, \"ax\"\n\t"
			      ".byte 0x0f, 0xb9, 0x3d\n\t"
			      ".long 0x53053053\n\t"
			      "4: jmp %l[restarted]\n\t"
			      ".popsection\n\t"
			      :
			      : [cs] "m"(area->rseq_cs), [now] "m"(area->cpu_id), [cpu] "r"(cpu),
				[place] "m"(*place)
			      : "rax", "rcx", "memory", "cc"
			      : restarted);
	done = true;
restarted:
	return done;
}

static long counted[2];

static void *rseq_thread(void *context)
{
	struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	long *mine = context;
	int i;

	block_none();
	while (!stop && __rseq_size) {
		for (i = 0; i < 5000; i++)
			*mine += count_here(area);
		usleep(100);
	}
	return NULL;
}

/* ---- masks and dispositions ---- */

static void *settings_thread(void *context)
{
	struct sigaction before[65], now;
	sigset_t mask, current;
	int i;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGRTMIN + 5);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	for (i = 1; i <= 64; i++)
		if (i != SIGRTMIN + 2)
			sigaction(i, NULL, &before[i]);
	while (!stop) {
		pthread_sigmask(SIG_SETMASK, NULL, &current);
		test_check(!memcmp(&mask, &current, 8), "the signal mask changed");
		for (i = 1; i <= 64; i++) {
			if (i == 32 || i == 33 || i == SIGRTMIN + 2 || sigaction(i, NULL, &now))
				continue;
			test_check(now.sa_handler == before[i].sa_handler &&
					   now.sa_flags == before[i].sa_flags,
				   "the disposition of signal %d changed", i);
		}
		usleep(300);
	}
	return NULL;
}

/* ---- a stream ---- */

static uint8_t byte_at(uint64_t i)
{
	return (i * 0x9e3779b97f4a7c15ull) >> 56;
}

static long *refused;	/* shared by both ends */

/* Whether a call has met a socket in repair mode, tcp(7), which is over in a moment. */
static bool is_refused(void)
{
	static int tries;

	if (errno != EINVAL && errno != EPERM)
		return false;
	__atomic_add_fetch(refused, 1, __ATOMIC_RELAXED);
	usleep(1000);
	return ++tries < TRIES;
}

static void send_bytes(int fd, uint64_t *at, size_t size)
{
	uint8_t bytes[CHUNK];
	size_t done;
	ssize_t n;

	for (done = 0; done < size; done++)
		bytes[done] = byte_at(*at + done);
	for (done = 0; done < size; done += n) {
		do {
			n = send(fd, bytes + done, size - done, MSG_NOSIGNAL);
		} while (n < 0 && is_refused());
		test_check(n > 0, "send at byte %llu", (unsigned long long)(*at + done));
	}
	*at += size;
}

static bool receive_bytes(int fd, uint64_t *at, size_t size)
{
	uint8_t bytes[CHUNK];
	size_t done;
	ssize_t n, i;

	for (done = 0; done < size; done += n) {
		do {
			n = recv(fd, bytes, size - done, 0);
		} while (n < 0 && is_refused());
		if (n == 0)
			return false;
		test_check(n > 0, "receive at byte %llu", (unsigned long long)*at);
		for (i = 0; i < n; i++, ++*at)
			test_check(bytes[i] == byte_at(*at), "byte %llu of the stream is wrong",
				   (unsigned long long)*at);
	}
	return true;
}

/* Another process at the other end sends everything back. */
__attribute__((noreturn)) static void echo(int fd)
{
	uint64_t got = 0, sent = 0;

	block_all();
	prctl(PR_SET_NAME, "victim-echo");
	while (receive_bytes(fd, &got, CHUNK))
		send_bytes(fd, &sent, CHUNK);
	_exit(0);
}

static int connect_echo(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), end;

	refused = mmap(NULL, sizeof(*refused), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	test_must(refused != MAP_FAILED);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	test_must(!bind(listener, (struct sockaddr *)&address, size) && !listen(listener, 1) &&
		  !getsockname(listener, (struct sockaddr *)&address, &size));
	test_must(!connect(fd, (struct sockaddr *)&address, size));
	end = accept(listener, NULL, NULL);
	test_must(end >= 0);
	close(listener);
	if (fork() == 0) {
		close(fd);
		echo(end);
	}
	close(end);
	return fd;
}

static void *stream_thread(void *context)
{
	int fd = *(int *)context;
	uint64_t sent = 0, got = 0;

	block_all();
	while (!stop) {
		send_bytes(fd, &sent, CHUNK);
		send_bytes(fd, &sent, CHUNK);
		test_check(receive_bytes(fd, &got, CHUNK) && receive_bytes(fd, &got, CHUNK),
			   "the stream has ended");
		usleep(100);
	}
	shutdown(fd, SHUT_WR);
	test_check(!receive_bytes(fd, &got, 1), "bytes that nobody sent");
	return NULL;
}

static void check_counters(void)
{
	long sum = 0;
	int i;

	for (i = 0; i < PROCESSORS; i++)
		sum += counters[i].count;
	test_check(sum == counted[0] + counted[1], "counted %ld, but the counters say %ld",
		   counted[0] + counted[1], sum);
}

int main(int argc, char **argv)
{
	static void *(*const bodies[])(void *) = {
		queue_thread, jump_thread, nanosleep_thread, futex_thread, poll_thread,
		epoll_thread, register_thread, settings_thread,
	};
	const struct itimerval period = { { 0, 1500 }, { 0, 1500 } };
	pthread_t threads[12];
	size_t count = 0, i;
	int fd;

	test_init(argc, argv);
	block_all();
	fd = connect_echo();
	set_handler(SIGALRM, on_alarm, SA_RESTART);
	set_handler(SIGRTMIN, on_tick, SA_RESTART | SA_SIGINFO);
	set_handler(SIGRTMIN + 1, on_queued, SA_RESTART | SA_SIGINFO);
	set_handler(SIGRTMIN + 2, on_jump, 0);
	for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		test_must(!pthread_create(&threads[count++], NULL, bodies[i], NULL));
	test_must(!pthread_create(&threads[count++], NULL, rseq_thread, &counted[0]));
	test_must(!pthread_create(&threads[count++], NULL, rseq_thread, &counted[1]));
	test_must(!pthread_create(&threads[count++], NULL, stream_thread, &fd));
	test_must(!setitimer(ITIMER_REAL, &period, NULL));
	start_timer(SIGRTMIN, 0, 700000);
	test_sleep_ms(200);
	test_must(!mkdir(test_path("ready"), 0777));
	while (access(test_path("stop"), F_OK))
		test_sleep_ms(20);
	stop = true;
	for (i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	test_must(wait(NULL) > 0);
	check_counters();
	test_check(alarms > 50 && ticks > 50 && queued > 50 && jumps > 5 && spins > 50,
		   "too little has happened");
	printf("alarms %ld ticks %ld queued %ld jumps %ld spins %ld counted %ld refused %ld "
	       "interrupted %ld\n",
	       alarms, ticks, queued, jumps, spins, counted[0] + counted[1], *refused,
	       epoll_interrupted);
	test_pass();
}
