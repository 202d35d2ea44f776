/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Handlers, masks, alternate stacks and queued signals with their data survive, in each thread. */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "testing.h"

enum { THREADS = 4, QUEUED = 7, STACK = 64 << 10 };

static struct worker {
	pthread_t thread;
	pid_t tid;
	char *stack;
	bool ready;
} workers[THREADS];
static volatile sig_atomic_t handled, nested_on_stack;
static bool root_ready;

static void plain(int signal)
{
	handled++;
}

static void with_info(int signal, siginfo_t *info, void *context)
{
	handled++;
}

/* One row for each way to set a handler. */
static const struct setting {
	int signal, flags;
	void (*handler)(int);
	void (*action)(int, siginfo_t *, void *);
	int also_blocked;
} settings[] = {
	{ SIGHUP, 0, plain, NULL, 0 },
	{ SIGINT, SA_RESTART, plain, NULL, SIGTERM },
	{ SIGQUIT, SA_SIGINFO | SA_RESTART, NULL, with_info, 62 },
	{ SIGUSR2, SA_NODEFER, plain, NULL, SIGUSR1 },
	{ SIGWINCH, SA_SIGINFO | SA_ONSTACK, NULL, with_info, 0 },
	{ SIGTERM, SA_RESETHAND, plain, NULL, 0 },
	{ SIGPIPE, 0, SIG_IGN, NULL, 0 },
	{ SIGTRAP, 0, SIG_IGN, NULL, 0 },
	{ SIGURG, SA_RESTART, plain, NULL, SIGWINCH },
	{ SIGCHLD, SA_NOCLDSTOP | SA_NOCLDWAIT, plain, NULL, 0 },
	{ 50, SA_SIGINFO, NULL, with_info, 51 },
	{ 64, SA_RESTART, plain, NULL, 63 },
};
enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };

static void make_handlers(void)
{
	for (int i = 0; i < SETTINGS; i++) {
		const struct setting *s = &settings[i];
		struct sigaction action = { .sa_flags = s->flags };

		if (s->action)
			action.sa_sigaction = s->action;
		else
			action.sa_handler = s->handler;
		if (s->also_blocked)
			sigaddset(&action.sa_mask, s->also_blocked);
		test_must(!sigaction(s->signal, &action, NULL));
	}
}

/* The kernel's view of every signal: handler, flags, restorer, mask. */
struct kernel_action {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

static void read_handlers(struct kernel_action actions[65])
{
	for (int signal = 1; signal <= 64; signal++)
		test_must(!syscall(SYS_rt_sigaction, signal, NULL, &actions[signal], 8));
}

/* Signals queued for the process (to 0) or for one thread. */
static void queue(pid_t tid, int signal, int value)
{
	siginfo_t info = { .si_signo = signal, .si_code = SI_QUEUE };

	info.si_pid = 4711 + value;
	info.si_uid = 99;
	info.si_value.sival_ptr = (void *)(0x1234500000000 + value);
	if (tid)
		test_must(!syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, signal, &info));
	else
		test_must(!syscall(SYS_rt_sigqueueinfo, getpid(), signal, &info));
}

/* Takes the next pending one of exactly this signal and compares. */
static void expect(int signal, int code, int value, const char *where)
{
	static const struct timespec now;
	siginfo_t info;
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, signal);
	got = syscall(SYS_rt_sigtimedwait, &set, &info, &now, 8); /* the C library changes codes */
	test_check(got == signal, "%s: signal %d is not pending", where, signal);
	test_check(info.si_code == code, "%s: signal %d has code %d, not %d", where, signal,
		   info.si_code, code);
	if (code != SI_QUEUE) {
		test_check(info.si_pid == getpid(), "%s: signal %d comes from %d", where, signal,
			   info.si_pid);
		return;
	}
	test_check(info.si_pid == 4711 + value && info.si_uid == 99,
		   "%s: signal %d comes from pid %d uid %u, not %d", where, signal, info.si_pid,
		   info.si_uid, 4711 + value);
	test_check(info.si_value.sival_ptr == (void *)(0x1234500000000 + value),
		   "%s: signal %d carries %p", where, signal, info.si_value.sival_ptr);
}

static void expect_nothing_more(const char *where)
{
	sigset_t pending, none;

	sigemptyset(&none);
	sigpending(&pending);
	test_check(!memcmp(&pending, &none, 8), "%s: more signals are pending: %#lx", where,
		   *(unsigned long *)&pending);
}

/* What a thread blocks: all threads SIGUSR1 and real-time ones, and one of their own. */
static sigset_t mask_of(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGALRM);
	for (int signal = 34; signal <= 45; signal++)
		sigaddset(&set, signal);
	sigaddset(&set, 52 + number);
	return set;
}

static void check_mask(int number)
{
	sigset_t wanted = mask_of(number), is;

	pthread_sigmask(SIG_SETMASK, NULL, &is);
	test_check(!memcmp(&wanted, &is, 8), "thread %d blocks %#lx, not %#lx", number,
		   *(unsigned long *)&is, *(unsigned long *)&wanted);
}

static void check_stack(int number, const char *stack, int flags)
{
	stack_t is;

	test_must(!sigaltstack(NULL, &is));
	test_check(is.ss_sp == stack && is.ss_size == STACK && is.ss_flags == flags,
		   "thread %d: alternate stack %p of %zu, flags %#x; was %p", number, is.ss_sp,
		   is.ss_size, is.ss_flags, stack);
}

static void use_stack(char *stack)
{
	stack_t s = { .ss_sp = stack, .ss_size = STACK };

	test_must(!sigaltstack(&s, NULL));
}

/* Thread 0 sits in a handler on its alternate stack all the while, and returns from it. */
static void linger(int signal, siginfo_t *info, void *context)
{
	volatile char local = 7;

	__atomic_store_n(&workers[0].ready, true, __ATOMIC_SEQ_CST);
	test_wait_for_go();
	test_check(&local >= workers[0].stack && &local < workers[0].stack + STACK && local == 7,
		   "the handler is not on its stack");
	check_stack(0, workers[0].stack, SS_ONSTACK);
	test_check(info->si_value.sival_ptr == (void *)(0x1234500000000 + 5),
		   "siginfo of the handler");
	nested_on_stack = 1;
}

static void *worker_main(void *argument)
{
	int number = (struct worker *)argument - workers;
	struct worker *w = argument;
	sigset_t mask = mask_of(number);

	w->tid = syscall(SYS_gettid);
	w->stack = malloc(STACK);
	use_stack(w->stack);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	queue(w->tid, 36, number);
	queue(w->tid, 52 + number, 100 + number);
	test_must(!syscall(SYS_tgkill, getpid(), w->tid, SIGALRM));
	if (number == 0) {
		queue(w->tid, 60, 5);
		test_check(nested_on_stack, "the handler did not run");
	} else {
		__atomic_store_n(&w->ready, true, __ATOMIC_SEQ_CST);
		test_wait_for_go();
	}
	check_mask(number);
	check_stack(number, w->stack, 0);
	/* After the root has taken the shared ones, only our own are left. */
	test_wait_until(__atomic_load_n(&root_ready, __ATOMIC_SEQ_CST), "the root does not come");
	expect(36, SI_QUEUE, number, "worker");
	expect(52 + number, SI_QUEUE, 100 + number, "worker");
	expect(SIGALRM, SI_TKILL, 0, "worker");
	expect_nothing_more("worker");
	return NULL;
}

static void start_workers(void)
{
	struct sigaction action = { .sa_sigaction = linger, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	test_must(!sigaction(60, &action, NULL));
	for (int i = 0; i < THREADS; i++)
		test_must(!pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]));
	for (int i = 0; i < THREADS; i++)
		test_wait_until(__atomic_load_n(&workers[i].ready, __ATOMIC_SEQ_CST), "worker %d",
				i);
}

/* Each signal that has a plain or informed handler still reaches it. */
static void deliver(void)
{
	int before = handled;

	test_must(!raise(SIGUSR2) && !raise(SIGWINCH) && !raise(SIGTERM) && !raise(SIGPIPE));
	test_check(handled == before + 3, "%d of 3 handlers ran", handled - before);
	test_check(signal(SIGTERM, SIG_DFL) == SIG_DFL, "SA_RESETHAND does not work");
}

int main(int argc, char **argv)
{
	static struct kernel_action before[65], after[65];
	char *stack = malloc(STACK);
	sigset_t mask = mask_of(THREADS);

	test_init(argc, argv);
	make_handlers();
	test_must(!sigprocmask(SIG_SETMASK, &mask, NULL));
	use_stack(stack);
	start_workers();
	read_handlers(before);
	for (int i = 0; i < QUEUED; i++)
		queue(0, 40, i);
	queue(0, 41, 77);
	test_must(!kill(getpid(), SIGUSR1));
	queue(syscall(SYS_gettid), 37, 3);

	test_checkpoint_here();

	read_handlers(after);
	for (int signal = 1; signal <= 64; signal++)
		test_check(!memcmp(&before[signal], &after[signal], sizeof(before[0])),
			   "signal %d: handler %p flags %#lx restorer %p mask %#lx", signal,
			   after[signal].handler, after[signal].flags, after[signal].restorer,
			   after[signal].mask);
	test_check(!handled, "%d handlers ran meanwhile", handled);
	check_mask(THREADS);
	check_stack(THREADS, stack, 0);
	for (int i = 0; i < QUEUED; i++)
		expect(40, SI_QUEUE, i, "process");
	expect(41, SI_QUEUE, 77, "process");
	expect(SIGUSR1, SI_USER, 0, "process");
	expect(37, SI_QUEUE, 3, "root");
	expect_nothing_more("root");
	__atomic_store_n(&root_ready, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	deliver();
	test_pass();
}
