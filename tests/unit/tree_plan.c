/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A planned tree, acted out, has the parents, sessions and groups that were saved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "steps/tree_plan.h"

enum { OUTSIDE = 7000, MOST = 32 };

struct actor {
	pid_t pid, sid, pgid;
	size_t parent;
	bool alive;
};

/* Does what the kernel does. */
static void act(const struct plan_task *tasks, size_t count, const struct tree_plan *plan)
{
	struct actor actors[MOST] = { 0 };
	const struct plan_op *op;
	size_t i;

	array_for(op, &plan->ops) {
		struct actor *a = &actors[op->who];

		switch (op->kind) {
		case PLAN_CLONE:
			assert_false(a->alive);
			a->alive = true;
			a->pid = op->who < count ? tasks[op->who].pid :
						   plan->helpers.items[op->who - count];
			a->parent = op->from;
			if (op->from == PLAN_NOBODY) {
				a->sid = tasks[0].sid == tasks[0].pid ? OUTSIDE : tasks[0].sid;
				a->pgid = OUTSIDE;
			} else {
				assert_true(actors[op->from].alive);
				a->sid = actors[op->from].sid;
				a->pgid = actors[op->from].pgid;
			}
			break;
		case PLAN_SETSID:
			assert_int_not_equal(a->pgid, a->pid);
			a->sid = a->pgid = a->pid;
			break;
		case PLAN_SETPGID:
			assert_int_not_equal(a->sid, a->pid);
			a->pgid = op->pgid ? op->pgid : OUTSIDE;
			if (op->pgid && op->pgid != a->pid) {
				bool found = false;

				for (i = 0; i < MOST; i++)
					found |= actors[i].alive && actors[i].pgid == op->pgid &&
						 actors[i].sid == a->sid;
				assert_true(found);
			}
			break;
		case PLAN_EXIT:
			assert_int_equal(actors[op->who].parent, op->parent);
			a->alive = false;
			for (i = 0; i < MOST; i++)
				if (actors[i].alive && actors[i].parent == op->who)
					actors[i].parent = op->from;
			break;
		}
	}
	for (i = 0; i < count; i++) {
		pid_t parent = actors[i].parent == PLAN_NOBODY ? 0 : actors[actors[i].parent].pid;

		assert_true(actors[i].alive);
		assert_int_equal(parent, tasks[i].ppid);
		assert_int_equal(actors[i].sid, tasks[i].sid);
		if (tasks[i].pgid != OUTSIDE)
			assert_int_equal(actors[i].pgid, tasks[i].pgid);
	}
	for (; i < MOST; i++)
		assert_false(actors[i].alive);
}

static void plan_and_act(const struct plan_task *tasks, size_t count)
{
	_cleanup_error_ struct error err = { 0 };
	_cleanup_plan_ struct tree_plan plan = { 0 }, again = { 0 };
	struct plan_task ordered[MOST];
	const struct plan_op *op;
	size_t made = 0, i;

	if (tree_plan(tasks, count, &plan, &err))
		fail_msg("%s", err.message);
	act(tasks, count, &plan);
	/* The image holds the tasks in the order of their births: that order must stay. */
	array_for(op, &plan.ops)
		if (op->kind == PLAN_CLONE && op->who < count)
			ordered[made++] = tasks[op->who];
	assert_int_equal(made, count);
	if (tree_plan(ordered, count, &again, &err))
		fail_msg("%s", err.message);
	act(ordered, count, &again);
	made = 0;
	array_for(op, &again.ops)
		if (op->kind == PLAN_CLONE && op->who < count)
			assert_int_equal(op->who, made++);
	for (i = 1; i < count; i++)
		assert_true(again.birth[i] < i);
}

static void one_daemon(void **state)
{
	const struct plan_task tasks[] = { { 10, 0, 10, 10, false } };

	plan_and_act(tasks, 1);
}

static void a_job_of_an_outer_session(void **state)
{
	const struct plan_task tasks[] = {
		{ 10, 0, 5, 10, false },
		{ 11, 10, 5, 10, false },
		{ 12, 10, 5, 12, false },
	};

	plan_and_act(tasks, 3);
}

static void part_of_an_outer_group(void **state)
{
	const struct plan_task tasks[] = {
		{ 10, 0, 5, OUTSIDE, false },
		{ 11, 10, 5, OUTSIDE, false },
		{ 12, 10, 12, 12, false },
	};

	plan_and_act(tasks, 3);
}

static void shell_with_jobs(void **state)
{
	const struct plan_task tasks[] = {
		{ 10, 0, 10, 10, false }, { 11, 10, 11, 11, false }, { 12, 11, 11, 12, false },
		{ 13, 11, 11, 12, false }, { 14, 11, 11, 14, true },
	};

	plan_and_act(tasks, 5);
}

static void child_older_than_the_parents_session(void **state)
{
	const struct plan_task tasks[] = {
		{ 10, 0, 10, 10, false }, { 11, 10, 11, 11, false }, { 12, 11, 10, 10, false },
		{ 13, 11, 11, 11, false }, { 14, 12, 14, 14, false }, { 15, 14, 10, 10, false },
	};

	plan_and_act(tasks, 6);
}

static void orphan_of_a_session_whose_leader_lives_elsewhere(void **state)
{
	const struct plan_task tasks[] = {
		{ 10, 0, 10, 10, false },
		{ 11, 10, 11, 11, false },
		{ 12, 10, 11, 11, false },
		{ 13, 12, 11, 11, false },
	};

	plan_and_act(tasks, 4);
}

static void daemon_of_a_dead_session_leader(void **state)
{
	const struct plan_task tasks[] = {
		{ 10, 0, 10, 10, false },
		{ 12, 10, 11, 11, false },
		{ 13, 10, 11, 13, false },
		{ 14, 13, 11, 13, false },
	};

	plan_and_act(tasks, 4);
}

static void group_of_a_dead_leader(void **state)
{
	const struct plan_task tasks[] = {
		{ 10, 0, 10, 10, false },
		{ 12, 10, 10, 11, false },
		{ 13, 10, 10, 11, false },
	};

	plan_and_act(tasks, 3);
}

static void zombie_leads_a_group(void **state)
{
	const struct plan_task tasks[] = {
		{ 10, 0, 10, 10, false },
		{ 11, 10, 10, 11, true },
		{ 12, 10, 10, 11, false },
	};

	plan_and_act(tasks, 3);
}

static void refuses_forged_trees(void **state)
{
	const struct plan_task twice[] = { { 10, 0, 10, 10, false }, { 10, 10, 10, 10, false } };
	const struct plan_task lost[] = { { 10, 0, 10, 10, false }, { 11, 12, 10, 10, false } };
	const struct plan_task rootless[] = { { 10, 3, 10, 10, false } };
	struct tree_plan plan;
	struct error err = { 0 };

	assert_int_equal(tree_plan(twice, 2, &plan, &err), -1);
	error_clear(&err);
	assert_int_equal(tree_plan(lost, 2, &plan, &err), -1);
	error_clear(&err);
	assert_int_equal(tree_plan(rootless, 1, &plan, &err), -1);
	assert_int_equal(err.kind, ERROR_IMAGE);
	error_clear(&err);
}

/* As deep, and as odd, as an image may say. */
static void large_trees_take_no_time(void **state)
{
	enum { LARGE = 1 << 18, BATCH = 1000 };
	struct plan_task *tasks = calloc(LARGE, sizeof(*tasks));
	int way;

	assert_non_null(tasks);
	for (way = 0; way < 4; way++) {
		_cleanup_error_ struct error err = { 0 };
		_cleanup_plan_ struct tree_plan plan = { 0 };
		pid_t i;

		for (i = 0; i < LARGE; i++) {
			struct plan_task *t = &tasks[i];

			*t = (struct plan_task){ i + 1, way == 2 ? 1 : i, 1, 1, false };
			if (way == 1)
				t->sid = t->pgid = t->pid;
			if (way == 2 && i)
				t->sid = LARGE + i / BATCH;
			if (way == 3 && i)
				t->pgid = LARGE + i / BATCH;
		}
		tasks[0].ppid = 0;
		assert_int_equal(tree_plan(tasks, LARGE, &plan, &err), 0);
		assert_true(plan.ops.count >= LARGE);
	}
	free(tasks);
}

static void refuses_countless_helpers(void **state)
{
	enum { LARGE = 1 << 18 };
	struct plan_task *tasks = calloc(LARGE, sizeof(*tasks));
	struct tree_plan plan;
	struct error err = { 0 };

	assert_non_null(tasks);
	for (pid_t i = 0; i < LARGE; i++)
		tasks[i] = (struct plan_task){ i + 1, i != 0, i ? LARGE + i : 1, 1, false };
	assert_int_equal(tree_plan(tasks, LARGE, &plan, &err), -1);
	assert_int_equal(err.kind, ERROR_BLOCKED);
	error_clear(&err);
	free(tasks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_daemon),
		cmocka_unit_test(a_job_of_an_outer_session),
		cmocka_unit_test(part_of_an_outer_group),
		cmocka_unit_test(shell_with_jobs),
		cmocka_unit_test(child_older_than_the_parents_session),
		cmocka_unit_test(orphan_of_a_session_whose_leader_lives_elsewhere),
		cmocka_unit_test(daemon_of_a_dead_session_leader),
		cmocka_unit_test(group_of_a_dead_leader),
		cmocka_unit_test(zombie_leads_a_group),
		cmocka_unit_test(refuses_forged_trees),
		cmocka_unit_test(large_trees_take_no_time),
		cmocka_unit_test(refuses_countless_helpers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
