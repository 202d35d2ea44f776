/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that are interrupted by a stop go on as if nothing had been, here and in a new thread. */
#include "call_case.h"

enum {
	NEAR_MS = 300,		/* a child may be late to call, once it has told that it begins */
	OTHER_REST_MS = 1000,
};

/* Something else is done by the thread while its call waits. */
static void disturb(struct child *c)
{
	_cleanup_error_ struct error err = { 0 };
	struct agent_site site;
	int64_t result;

	plan_site(c, &site);
	must(agent_call_once(&c->thread.tracee, &site, &result, &err, SYS_getpid,
			     (const uint64_t[6]){ 0 }),
	     &err);
	assert_int_equal(result, c->task.pid);
}

/* A signal with a handler, for calls that do not end by themselves. */
static void end_untimed(struct child all[CALLS])
{
	struct child *c;

	usleep(BETWEEN_MS * 1000);
	for_each(c, all) {
		if (c->call->after != UNTIMED)
			continue;
		c->gone_ns = now_ns();
		kill(c->task.pid, SIGUSR1);
	}
}

static void stop_again(struct child all[CALLS])
{
	struct child *c;

	for_each(c, all)
		let_go(c);
	usleep(BETWEEN_MS * 1000);
	hold_all(all);
}

static void expect_all_ends(const struct child all[CALLS])
{
	const struct child *c;

	for_each(c, all) {
		switch (c->call->after) {
		case REST:
			expect_end(c, c->call->error, c->told->begin_ns, TIMEOUT_MS);
			break;
		case ANEW:
			expect_end(c, c->call->error, c->gone_ns, TIMEOUT_MS);
			break;
		case UNTIMED:
			expect_end(c, EINTR, c->gone_ns, 0);
			break;
		}
	}
}

/* Also when it is stopped again, and calls are made in it meanwhile. */
static void goes_on(void **state)
{
	struct child all[CALLS], *c;

	start_all(all);
	hold_all(all);
	for_each(c, all)
		disturb(c);
	stop_again(all);
	for_each(c, all)
		let_go(c);
	end_untimed(all);
	for_each(c, all)
		finish(c);
	expect_all_ends(all);
	munmap(all->told, CALLS * sizeof(*all->told));
}

/* A signal with a handler that comes while the thread is held ends the call, as it does without
 * us: a program may rely on it. */
static void ends_by_a_signal(void **state)
{
	struct child all[CALLS], *c;

	start_all(all);
	hold_all(all);
	for_each(c, all) {
		kill(c->task.pid, SIGUSR1);
		let_go(c);
	}
	for_each(c, all)
		finish(c);
	for_each(c, all)
		expect_end(c, EINTR, c->gone_ns, 0);
	munmap(all->told, CALLS * sizeof(*all->told));
}

static void expect_rest(const struct child *c)
{
	struct arch_regs regs = c->thread.tracee.saved;
	TimedWait wait;
	bool known = interrupted_take(&c->thread, &regs, &wait);
	int64_t wanted = TIMEOUT_MS - (int64_t)(c->held_ns - c->told->begin_ns) / NS_PER_MS;
	int64_t found = wait.remaining_ns / NS_PER_MS;

	if (known != c->call->has_block)
		fail_msg("%s: the rest is %sknown", c->call->name, known ? "" : "un");
	if (known && labs(found - wanted) > NEAR_MS)
		fail_msg("%s: the rest is %ld ms, not %ld", c->call->name, found, wanted);
	if (!known && arch_interrupted(&regs) == ARCH_RESTART_BLOCK)
		fail_msg("%s would return EINTR", c->call->name);
}

/* In a thread stopped for the second time the registers do not say which call it is. */
static void knows_the_rest(void **state)
{
	struct child all[CALLS], *c;

	if (!feature_works("restart-block"))
		skip();
	start_all(all);
	hold_all(all);
	for_each(c, all)
		expect_rest(c);
	stop_again(all);
	for_each(c, all)
		expect_rest(c);
	for_each(c, all) {
		kill(c->task.pid, SIGUSR1);
		let_go(c);
	}
	finish_all(all);
}

/* Without the reader only what the kernel leaves in the program's memory is known: then that is the
 * rest, and else the thread itself is told what the image would say of its registers. */
static void look_without_reader(struct child *c)
{
	struct tracee *held = &c->thread.tracee;
	bool left = c->call->run == call_sleep_rest || c->call->run == call_clock_sleep_rest;

	if (left) {
		expect_rest(c);
		return;
	}
	assert_false(interrupted_take(&c->thread, &held->saved, &(TimedWait){ 0 }));
	assert_true(arch_interrupted(&held->saved) != ARCH_RESTART_BLOCK);
	held->hijacked = true;
}

static void manages_without_the_reader(void **state)
{
	struct child all[CALLS], *c;

	setenv("CRIU_LITE_WITHOUT", "restart-block", 1);
	start_all(all);
	hold_all(all);
	for_each(c, all) {
		look_without_reader(c);
		let_go(c);
	}
	unsetenv("CRIU_LITE_WITHOUT");
	end_untimed(all);
	for_each(c, all)
		finish(c);
	for_each(c, all) {
		bool lost = c->call->run == call_sleep || c->call->run == call_clock_sleep ||
			    c->call->run == call_poll || c->call->run == call_futex;

		if (lost)
			expect_end(c, c->call->error, c->gone_ns, TIMEOUT_MS);
	}
	munmap(all->told, CALLS * sizeof(*all->told));
}

/* A thread whose kernel knows nothing gets into the call for the rest: here for another rest than
 * its own. */
static void settle(struct child *c)
{
	_cleanup_error_ struct error err = { 0 };
	struct restore_task task = { 0 };
	struct restore_thread thread = { .task = &task, .tracee = c->thread.tracee };
	struct arch_regs regs = c->thread.tracee.saved;
	struct agent_site site;
	TimedWait wait;

	assert_true(interrupted_take(&c->thread, &regs, &wait));
	plan_site(c, &site);
	must(agent_plan(&task.agent, &site, &err) ||
		     agent_install(&task.agent, &thread.tracee, &site, &err),
	     &err);
	wait.remaining_ns = OTHER_REST_MS * (uint64_t)NS_PER_MS;
	c->gone_ns = now_ns();
	must(interrupted_settle(&thread, &wait, &regs, &err) ||
		     tracee_set_sigmask(&thread.tracee, thread.tracee.sigmask, &err) ||
		     tracee_set_regs(&thread.tracee, &regs, &err),
	     &err);
	thread.tracee.hijacked = false;
	must(tracee_detach(&thread.tracee, &err), &err);
	agent_release(&task.agent);
}

static void starts_for_the_rest(void **state)
{
	struct child all[CALLS], *c;

	if (!feature_works("restart-block"))
		skip();
	start_all(all);
	hold_all(all);
	for_each(c, all) {
		if (c->call->has_block) {
			settle(c);
			continue;
		}
		kill(c->task.pid, SIGUSR1);
		let_go(c);
	}
	for_each(c, all)
		finish(c);
	for_each(c, all)
		if (c->call->has_block)
			expect_end(c, c->call->error, c->gone_ns, OTHER_REST_MS);
	munmap(all->told, CALLS * sizeof(*all->told));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_on),
		cmocka_unit_test(ends_by_a_signal),
		cmocka_unit_test(knows_the_rest),
		cmocka_unit_test(manages_without_the_reader),
		cmocka_unit_test(starts_for_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
