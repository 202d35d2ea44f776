/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/tree_plan.h"

#include <errno.h>
#include <stdlib.h>

/* A session that needs no particular one. */
enum { ANY_SESSION = -1 };

struct maker {
	const struct plan_task *tasks;
	size_t count;
	struct tree_plan *plan;
	bool *made;
	pid_t *session;		/* current session of each task that is made */
	size_t *leaders;	/* by helper: its parent */
	struct error *err;
};

static struct plan_op *add_op(struct maker *m, enum plan_op_kind kind, size_t who)
{
	struct plan_op *op = array_add(&m->plan->ops);

	if (!op) {
		error_set(m->err, ERROR_FAILED, ENOMEM, "tree plan");
		return NULL;
	}
	*op = (struct plan_op){
		.kind = kind, .who = who, .from = PLAN_NOBODY, .parent = PLAN_NOBODY
	};
	return op;
}

static bool leads_session(const struct plan_task *t)
{
	return t->sid == t->pid;
}

/* The root's session, when another process leads it, is the restorer's. */
static pid_t outside_session(const struct maker *m)
{
	return leads_session(&m->tasks[0]) ? 0 : m->tasks[0].sid;
}

static bool is_child(const struct maker *m, size_t child, size_t parent)
{
	return child != parent && m->tasks[child].ppid == m->tasks[parent].pid;
}

/* The session in which a task must be born: its own, or, for one that will lead its own, the one
 * that a descendant inherits past it. */
static pid_t birth_session(const struct maker *m, size_t who)
{
	size_t i;

	if (!leads_session(&m->tasks[who]))
		return m->tasks[who].sid;
	for (i = 0; i < m->count; i++) {
		if (is_child(m, i, who)) {
			pid_t wanted = birth_session(m, i);

			if (wanted != ANY_SESSION && wanted != m->tasks[who].sid)
				return wanted;
		}
	}
	return ANY_SESSION;
}

static int make(struct maker *m, size_t who, size_t from, size_t memory, pid_t session);

static int make_children(struct maker *m, size_t parent)
{
	size_t i;

	for (i = 0; i < m->count; i++) {
		pid_t wanted;

		if (m->made[i] || !is_child(m, i, parent))
			continue;
		wanted = birth_session(m, i);
		if (wanted == m->session[parent] ||
		    (wanted == ANY_SESSION && m->session[parent] == m->tasks[parent].sid)) {
			if (make(m, i, parent, parent, m->session[parent]))
				return -1;
		}
	}
	return 0;
}

/* Bears a task and, before and after it begins its session, those of its children that inherit. */
static int make(struct maker *m, size_t who, size_t from, size_t memory, pid_t session)
{
	struct plan_op *op = add_op(m, PLAN_CLONE, who);

	if (!op)
		return -1;
	op->from = from;
	m->made[who] = true;
	m->session[who] = session;
	m->plan->birth[who] = memory;
	if (leads_session(&m->tasks[who])) {
		if (make_children(m, who) || !add_op(m, PLAN_SETSID, who))
			return -1;
		m->session[who] = m->tasks[who].pid;
	}
	return make_children(m, who);
}

static size_t find_task(const struct maker *m, pid_t pid)
{
	size_t i;

	for (i = 0; i < m->count; i++)
		if (m->tasks[i].pid == pid)
			return i;
	return PLAN_NOBODY;
}

/* A helper born by `from`. */
static size_t add_helper(struct maker *m, pid_t pid, size_t from)
{
	size_t index = m->count + m->plan->helpers.count;
	pid_t *helper = array_add(&m->plan->helpers);
	size_t *leaders = reallocarray(m->leaders, m->plan->helpers.count, sizeof(*leaders));
	struct plan_op *op = add_op(m, PLAN_CLONE, index);

	if (leaders)
		m->leaders = leaders;
	if (!helper || !leaders || !op) {
		error_set(m->err, ERROR_FAILED, ENOMEM, "tree plan");
		return PLAN_NOBODY;
	}
	*helper = pid;
	leaders[index - m->count] = from;
	op->from = from;
	return index;
}

static int exit_helper(struct maker *m, size_t helper, size_t heir)
{
	struct plan_op *op = add_op(m, PLAN_EXIT, helper);

	if (!op)
		return -1;
	op->from = heir;
	op->parent = m->leaders[helper - m->count];
	return 0;
}

static bool descends(const struct maker *m, size_t who, size_t ancestor)
{
	size_t steps;

	for (steps = 0; steps <= m->count && who != PLAN_NOBODY; steps++) {
		if (who == ancestor)
			return true;
		who = find_task(m, m->tasks[who].ppid);
	}
	return false;
}

/* Somebody below `heir` who is in that session now. */
static size_t find_member(const struct maker *m, pid_t session, size_t heir)
{
	size_t i;

	for (i = 0; i < m->count; i++)
		if (m->made[i] && !m->tasks[i].zombie && m->session[i] == session &&
		    descends(m, i, heir))
			return i;
	return PLAN_NOBODY;
}

/* All orphans of one parent that were born in the same session: a helper in it bears them. */
static int make_orphans(struct maker *m, size_t heir, pid_t session)
{
	size_t member = find_member(m, session, heir), helper, i;

	if (member != PLAN_NOBODY) {
		helper = add_helper(m, 0, member);
	} else {
		/* Its leader is gone: one with the leader's pid begins the session again. */
		member = heir;
		helper = add_helper(m, session, heir);
		if (helper != PLAN_NOBODY && !add_op(m, PLAN_SETSID, helper))
			return -1;
	}
	if (helper == PLAN_NOBODY)
		return -1;
	for (i = 0; i < m->count; i++)
		if (!m->made[i] && is_child(m, i, heir) && birth_session(m, i) == session &&
		    make(m, i, helper, member, session))
			return -1;
	return exit_helper(m, helper, heir);
}

static int make_rest(struct maker *m)
{
	bool progress = true;
	size_t i;

	while (progress) {
		progress = false;
		for (i = 0; i < m->count; i++) {
			size_t heir = find_task(m, m->tasks[i].ppid);
			pid_t session = birth_session(m, i);

			if (m->made[i] || heir == PLAN_NOBODY || !m->made[heir] ||
			    session == ANY_SESSION)
				continue;
			if (make_orphans(m, heir, session))
				return -1;
			progress = true;
		}
	}
	for (i = 0; i < m->count; i++)
		if (!m->made[i])
			return error_set(m->err, ERROR_BLOCKED, 0,
					 "process %d: its session %d cannot be made again",
					 m->tasks[i].pid, m->tasks[i].sid);
	return 0;
}

static int set_group(struct maker *m, size_t who, pid_t pgid)
{
	struct plan_op *op = add_op(m, PLAN_SETPGID, who);

	if (!op)
		return -1;
	op->pgid = pgid;
	return 0;
}

/* Groups whose leader is gone are led by a helper with its pid while the members join. */
static int join_groups(struct maker *m)
{
	size_t first_helper = m->plan->helpers.count, i, k;

	for (i = 0; i < m->count; i++)
		if (m->tasks[i].pgid == m->tasks[i].pid && !leads_session(&m->tasks[i]) &&
		    set_group(m, i, m->tasks[i].pgid))
			return -1;
	for (i = 0; i < m->count; i++) {
		pid_t group = m->tasks[i].pgid;
		size_t helper;

		if (group == m->tasks[i].pid || leads_session(&m->tasks[i]))
			continue;
		if (m->tasks[i].sid == outside_session(m) && group == m->tasks[0].pgid &&
		    find_task(m, group) == PLAN_NOBODY) {
			if (set_group(m, i, 0))
				return -1;
			continue;
		}
		for (k = first_helper; k < m->plan->helpers.count; k++)
			if (m->plan->helpers.items[k] == group)
				break;
		if (find_task(m, group) == PLAN_NOBODY && group != m->tasks[i].sid &&
		    k == m->plan->helpers.count) {
			helper = add_helper(m, group, i);
			if (helper == PLAN_NOBODY || set_group(m, helper, group))
				return -1;
		}
		if (set_group(m, i, group))
			return -1;
	}
	for (k = first_helper; k < m->plan->helpers.count; k++)
		if (exit_helper(m, m->count + k, 0))
			return -1;
	return 0;
}

static int check_input(const struct plan_task *tasks, size_t count, struct error *err)
{
	size_t i, k;

	if (!count || tasks[0].ppid)
		return error_set(err, ERROR_IMAGE, 0, "the tree has no root");
	for (i = 0; i < count; i++) {
		size_t parents = 0;

		for (k = 0; k < count; k++) {
			if (k != i && tasks[k].pid == tasks[i].pid)
				return error_set(err, ERROR_IMAGE, 0, "pid %d is there twice",
						 tasks[i].pid);
			parents += k < i && tasks[k].pid == tasks[i].ppid;
		}
		if (tasks[i].pid <= 0 || tasks[i].sid < 0 || tasks[i].pgid < 0 ||
		    (i && parents != 1))
			return error_set(err, ERROR_IMAGE, 0, "process %d has no parent before it",
					 tasks[i].pid);
	}
	return 0;
}

int tree_plan(const struct plan_task *tasks, size_t count, struct tree_plan *ret, struct error *err)
{
	struct maker m = { .tasks = tasks, .count = count, .plan = ret, .err = err };
	int r;

	*ret = (struct tree_plan){ .task_count = count };
	if (check_input(tasks, count, err))
		return -1;
	m.made = calloc(count, sizeof(*m.made));
	m.session = calloc(count, sizeof(*m.session));
	ret->birth = calloc(count, sizeof(*ret->birth));
	if (m.made && m.session && ret->birth)
		r = make(&m, 0, PLAN_NOBODY, 0, outside_session(&m)) || make_rest(&m) ||
				    join_groups(&m) ?
			    -1 :
			    0;
	else
		r = error_set(err, ERROR_FAILED, ENOMEM, "tree plan");
	free(m.made);
	free(m.session);
	free(m.leaders);
	if (r)
		tree_plan_release(ret);
	return r;
}

void tree_plan_release(struct tree_plan *plan)
{
	array_release(&plan->ops);
	array_release(&plan->helpers);
	free(plan->birth);
	*plan = (struct tree_plan){ 0 };
}
