/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A call that a dead tracer has interrupted is made again, also when it was not the first time. */
#include "call_case.h"

static void let_tracers_die(struct child all[CALLS], int signal)
{
	pid_t tracers[CALLS];
	int status;

	for (int i = 0; i < CALLS; i++) {
		tracers[i] = fork();
		if (!tracers[i])
			die_with(&all[i], signal);
	}
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(waitpid(tracers[i], &status, 0), tracers[i]);
		assert_true(WIFSIGNALED(status));
	}
}

/* Some wait anew, but none ends early, and none otherwise than without us. */
static void expect_all_to_end(struct child all[CALLS])
{
	struct child *c;

	usleep(BETWEEN_MS * 1000);
	for_each(c, all)
		if (c->call->after == UNTIMED)
			kill(c->task.pid, SIGUSR1);
	for_each(c, all) {
		int error = c->call->after == UNTIMED ? EINTR : c->call->error;

		finish(c);
		if (c->told->error != error)
			fail_msg("%s ends with %s", c->call->name, strerror(c->told->error));
		if (c->call->after != UNTIMED &&
		    c->told->end_ns - c->told->begin_ns < TIMEOUT_MS * (uint64_t)NS_PER_MS)
			fail_msg("%s ends early", c->call->name);
	}
	munmap(all->told, CALLS * sizeof(*all->told));
}

static void makes_the_call_again(void **state)
{
	struct child all[CALLS];

	start_all(all);
	let_tracers_die(all, 0);
	expect_all_to_end(all);
}

static void makes_it_again_the_second_time(void **state)
{
	struct child all[CALLS], *c;

	if (!feature_works("restart-block"))
		skip();
	start_all(all);
	hold_all(all);
	for_each(c, all)
		let_go(c);
	usleep(BETWEEN_MS * 1000);
	let_tracers_die(all, 0);
	expect_all_to_end(all);
}

/* The program's handler may have set what the call was waiting for. */
static void a_signal_that_came_meanwhile_ends_it(void **state)
{
	struct child all[CALLS], *c;

	start_all(all);
	let_tracers_die(all, SIGUSR1);
	for_each(c, all) {
		finish(c);
		if (c->told->error != EINTR)
			fail_msg("%s ends with %s", c->call->name, strerror(c->told->error));
	}
	munmap(all->told, CALLS * sizeof(*all->told));
}

/* One that nobody handles does not. */
static void a_signal_without_a_handler_does_not(void **state)
{
	struct child all[CALLS];

	start_all(all);
	let_tracers_die(all, SIGCHLD);
	expect_all_to_end(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_the_call_again),
		cmocka_unit_test(makes_it_again_the_second_time),
		cmocka_unit_test(a_signal_that_came_meanwhile_ends_it),
		cmocka_unit_test(a_signal_without_a_handler_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
