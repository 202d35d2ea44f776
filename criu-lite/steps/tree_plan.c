/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/tree_plan.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "steps/family.h"

/* A session that needs no particular one. */
enum { ANY_SESSION = -1 };

/* Each takes a look at the whole tree, which may be forged. */
enum { HELPERS_MAX = 10000 };

/* The lists are by task. */
struct maker {
	const struct plan_task *tasks;
	size_t count;
	struct tree_plan *plan;
	struct family family;
	bool *made, *begun;	/* is there; leads its session already */
	pid_t *session;		/* current session of each task that is made */
	pid_t *birth_session;	/* in which it must be born */
	size_t *cursor;		/* the child that is next */
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

/* The session in which a task must be born: its own, or, for one that will lead its own, the one
 * that a descendant inherits past it: that of the first child that wants another. */
static void find_birth_sessions(struct maker *m)
{
	size_t i, parent;

	for (i = 0; i < m->count; i++)
		m->birth_session[i] = leads_session(&m->tasks[i]) ? ANY_SESSION : m->tasks[i].sid;
	for (i = m->count; i-- > 1;) {
		parent = m->family.parent[i];
		if (leads_session(&m->tasks[parent]) && m->birth_session[i] != ANY_SESSION &&
		    m->birth_session[i] != m->tasks[parent].sid)
			m->birth_session[parent] = m->birth_session[i];
	}
}

/* Bears a task. Its children are still to be made. */
static int bear(struct maker *m, size_t who, size_t from, size_t memory, pid_t session)
{
	struct plan_op *op = add_op(m, PLAN_CLONE, who);

	if (!op)
		return -1;
	op->from = from;
	m->made[who] = true;
	m->session[who] = session;
	m->plan->birth[who] = memory;
	m->cursor[who] = m->family.first_child[who];
	return 0;
}

/* The next child that can inherit the session which its parent has now. */
static size_t next_heir(struct maker *m, size_t parent)
{
	pid_t session = m->session[parent];
	bool own = session == m->tasks[parent].sid;
	size_t child;

	while ((child = m->cursor[parent]) != PLAN_NOBODY) {
		pid_t wanted = m->birth_session[child];

		m->cursor[parent] = m->family.next_child[child];
		if (!m->made[child] && (wanted == session || (wanted == ANY_SESSION && own)))
			return child;
	}
	return PLAN_NOBODY;
}

/* Bears a task and, before and after it begins its session, those of its children that inherit,
 * with theirs. */
static int make(struct maker *m, size_t who, size_t from, size_t memory, pid_t session)
{
	size_t at = who, child;

	if (bear(m, who, from, memory, session))
		return -1;
	for (;;) {
		child = next_heir(m, at);
		if (child != PLAN_NOBODY) {
			if (bear(m, child, at, at, m->session[at]))
				return -1;
			at = child;
		} else if (leads_session(&m->tasks[at]) && !m->begun[at]) {
			if (!add_op(m, PLAN_SETSID, at))
				return -1;
			m->begun[at] = true;
			m->session[at] = m->tasks[at].pid;
			m->cursor[at] = m->family.first_child[at];
		} else if (at == who) {
			return 0;
		} else {
			at = m->family.parent[at];
		}
	}
}

/* A helper born by `from`. */
static size_t add_helper(struct maker *m, pid_t pid, size_t from)
{
	size_t index = m->count + m->plan->helpers.count, *leaders;
	struct plan_op *op;
	pid_t *helper;

	if (m->plan->helpers.count == HELPERS_MAX) {
		error_set(m->err, ERROR_BLOCKED, 0,
			  "more than %d sessions and groups whose leaders are gone", HELPERS_MAX);
		return PLAN_NOBODY;
	}
	helper = array_add(&m->plan->helpers);
	leaders = reallocarray(m->leaders, m->plan->helpers.count, sizeof(*leaders));
	op = add_op(m, PLAN_CLONE, index);
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

/* Somebody below `heir` who is in that session now. Who is made has got the saved session. */
static size_t find_member(const struct maker *m, pid_t session, size_t heir)
{
	const struct numbers *all = &m->family.sessions;
	size_t at;

	for (at = numbers_find(all, session); at < all->count; at++) {
		size_t who = all->items[at].index;

		if (all->items[at].number != session)
			break;
		if (m->made[who] && !m->tasks[who].zombie &&
		    family_descends(&m->family, who, heir))
			return who;
	}
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
	for (i = m->family.first_child[heir]; i != PLAN_NOBODY; i = m->family.next_child[i])
		if (!m->made[i] && m->birth_session[i] == session &&
		    make(m, i, helper, member, session))
			return -1;
	return exit_helper(m, helper, heir);
}

static int make_rest(struct maker *m)
{
	size_t i;

	/* Parents stand before their children. */
	for (i = 1; i < m->count; i++) {
		size_t heir = m->family.parent[i];

		if (!m->made[i] && m->made[heir] && m->birth_session[i] != ANY_SESSION &&
		    make_orphans(m, heir, m->birth_session[i]))
			return -1;
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

/* The helper that leads this group; made by the first who needs it, i. */
static int lead_group(struct maker *m, size_t i, size_t *helper_of)
{
	pid_t group = m->tasks[i].pgid;
	size_t *helper = &helper_of[numbers_find(&m->family.groups, group)];

	if (*helper)
		return 0;
	*helper = add_helper(m, group, i);
	return *helper == PLAN_NOBODY ? -1 : set_group(m, *helper, group);
}

static int join_group(struct maker *m, size_t i, size_t *helper_of)
{
	const struct plan_task *t = &m->tasks[i];
	bool led = family_find(&m->family, t->pgid) != PLAN_NOBODY;

	if (t->pgid == t->pid || leads_session(t))
		return 0;
	if (!led && t->sid == outside_session(m) && t->pgid == m->tasks[0].pgid)
		return set_group(m, i, 0);
	if (!led && t->pgid != t->sid && lead_group(m, i, helper_of))
		return -1;
	return set_group(m, i, t->pgid);
}

/* Groups whose leader is gone are led by a helper with its pid while the members join. helper_of
 * has room for a helper for each entry of family.groups. */
static int join_groups(struct maker *m, size_t *helper_of)
{
	size_t first_helper = m->plan->helpers.count, i, k;

	for (i = 0; i < m->count; i++)
		if (m->tasks[i].pgid == m->tasks[i].pid && !leads_session(&m->tasks[i]) &&
		    set_group(m, i, m->tasks[i].pgid))
			return -1;
	for (i = 0; i < m->count; i++)
		if (join_group(m, i, helper_of))
			return -1;
	for (k = first_helper; k < m->plan->helpers.count; k++)
		if (exit_helper(m, m->count + k, 0))
			return -1;
	return 0;
}

static int fill_plan(struct maker *m)
{
	_cleanup_free_ size_t *helper_of = calloc(m->count, sizeof(*helper_of));

	m->made = calloc(m->count, sizeof(*m->made));
	m->begun = calloc(m->count, sizeof(*m->begun));
	m->session = calloc(m->count, sizeof(*m->session));
	m->birth_session = calloc(m->count, sizeof(*m->birth_session));
	m->cursor = calloc(m->count, sizeof(*m->cursor));
	m->plan->birth = calloc(m->count, sizeof(*m->plan->birth));
	if (!helper_of || !m->made || !m->begun || !m->session || !m->birth_session ||
	    !m->cursor || !m->plan->birth)
		return error_set(m->err, ERROR_FAILED, ENOMEM, "tree plan");
	find_birth_sessions(m);
	return make(m, 0, PLAN_NOBODY, 0, outside_session(m)) || make_rest(m) ||
			       join_groups(m, helper_of) ?
		       -1 :
		       0;
}

int tree_plan(const struct plan_task *tasks, size_t count, struct tree_plan *ret, struct error *err)
{
	struct maker m = { .tasks = tasks, .count = count, .plan = ret, .err = err };
	int r;

	*ret = (struct tree_plan){ .task_count = count };
	if (family_init(&m.family, tasks, count, err))
		return -1;
	r = fill_plan(&m);
	free(m.made);
	free(m.begun);
	free(m.session);
	free(m.birth_session);
	free(m.cursor);
	free(m.leaders);
	family_release(&m.family);
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
