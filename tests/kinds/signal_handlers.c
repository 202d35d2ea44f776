/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The action of every signal is the same, down to flags, restorer and mask, and handlers run. */
#include <signal.h>

#include "testing.h"

enum { SIGNALS = 64 };

/* struct sigaction of the kernel */
struct action {
	void *handler;
	uint64_t flags;
	void *restorer;
	uint64_t mask;
};

static volatile sig_atomic_t handled, sender, blocked_inside;

static void handler(int signal, siginfo_t *info, void *context)
{
	sigset_t now;

	sigprocmask(SIG_BLOCK, NULL, &now);
	blocked_inside = sigismember(&now, SIGRTMAX) && !sigismember(&now, SIGUSR1);
	sender = info->si_pid;
	handled++;
}

static void read_actions(struct action actions[SIGNALS])
{
	for (int i = 0; i < SIGNALS; i++)
		test_must(!syscall(SYS_rt_sigaction, i + 1, NULL, &actions[i], sizeof(uint64_t)));
}

static void make_actions(void)
{
	struct sigaction action = { .sa_sigaction = handler };

	/* Each with other flags and another mask. */
	for (int i = SIGRTMIN; i <= SIGRTMAX; i++) {
		sigemptyset(&action.sa_mask);
		sigaddset(&action.sa_mask, i ^ 1);
		action.sa_flags = SA_SIGINFO | (i & 1 ? SA_RESTART : 0) |
				  (i & 2 ? SA_NODEFER : 0) | (i & 4 ? SA_ONSTACK : 0) |
				  (i & 8 ? SA_RESETHAND : 0);
		test_must(!sigaction(i, &action, NULL));
	}
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGRTMAX);
	action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
	test_must(!sigaction(SIGUSR1, &action, NULL));
	action = (struct sigaction){ .sa_handler = SIG_IGN, .sa_flags = SA_NOCLDWAIT };
	test_must(!sigaction(SIGCHLD, &action, NULL));
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_DFL);
}

int main(int argc, char **argv)
{
	struct action before[SIGNALS], after[SIGNALS];

	test_init(argc, argv);
	make_actions();
	read_actions(before);

	test_checkpoint_here();

	read_actions(after);
	for (int i = 0; i < SIGNALS; i++)
		test_check(!memcmp(&before[i], &after[i], sizeof(before[0])),
			   "signal %d: handler %p flags %#lx restorer %p mask %#lx, was %p %#lx %p %#lx",
			   i + 1, after[i].handler, after[i].flags, after[i].restorer,
			   after[i].mask, before[i].handler, before[i].flags, before[i].restorer,
			   before[i].mask);
	test_check(!handled, "a handler has run unasked");
	test_must(!kill(getpid(), SIGUSR1));
	test_check(handled == 1 && sender == getpid(), "handled %d times, sender %d", handled, sender);
	test_check(blocked_inside, "the handler runs under another mask");
	test_must(!kill(getpid(), SIGHUP));
	test_pass();
}
