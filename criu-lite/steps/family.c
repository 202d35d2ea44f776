/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/family.h"

#include <errno.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	const struct number *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

void numbers_sort(struct numbers *n)
{
	if (n->count)
		qsort(n->items, n->count, sizeof(*n->items), compare);
}

size_t numbers_find(const struct numbers *n, pid_t number)
{
	size_t low = 0, high = n->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (n->items[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t family_find(const struct family *f, pid_t pid)
{
	size_t at = numbers_find(&f->pids, pid);

	return at < f->pids.count && f->pids.items[at].number == pid ? f->pids.items[at].index :
								      PLAN_NOBODY;
}

bool family_descends(const struct family *f, size_t who, size_t ancestor)
{
	return f->entered[who] >= f->entered[ancestor] && f->entered[who] < f->left[ancestor];
}

static int allocate(struct family *f)
{
	size_t **lists[] = { &f->parent, &f->first_child, &f->next_child, &f->entered, &f->left };
	struct numbers *numbers[] = { &f->pids, &f->sessions, &f->groups };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		*lists[i] = calloc(f->count, sizeof(**lists[i]));
		if (!*lists[i])
			return -1;
	}
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		numbers[i]->items = calloc(f->count, sizeof(*numbers[i]->items));
		if (!numbers[i]->items)
			return -1;
		numbers[i]->count = f->count;
	}
	return 0;
}

static void list_numbers(struct family *f)
{
	size_t i;

	for (i = 0; i < f->count; i++) {
		f->pids.items[i] = (struct number){ f->tasks[i].pid, i };
		f->sessions.items[i] = (struct number){ f->tasks[i].sid, i };
		f->groups.items[i] = (struct number){ f->tasks[i].pgid, i };
	}
	numbers_sort(&f->pids);
	numbers_sort(&f->sessions);
	numbers_sort(&f->groups);
}

static int check_task(const struct family *f, size_t i, struct error *err)
{
	const struct plan_task *t = &f->tasks[i];
	size_t parent = i ? family_find(f, t->ppid) : PLAN_NOBODY;

	if (family_find(f, t->pid) != i)
		return error_set(err, ERROR_IMAGE, 0, "pid %d is there twice", t->pid);
	if (t->pid <= 0 || t->sid < 0 || t->pgid < 0 || (i && parent >= i))
		return error_set(err, ERROR_IMAGE, 0, "process %d has no parent before it",
				 t->pid);
	f->parent[i] = parent;
	return 0;
}

/* Children stand behind their parents: what is asked of a parent is known of them before, going
 * backwards, and the other way round going forwards. */
static void link_tasks(struct family *f)
{
	size_t i;

	for (i = 0; i < f->count; i++) {
		f->first_child[i] = PLAN_NOBODY;
		f->left[i] = 1;
	}
	for (i = f->count; i-- > 1;) {
		size_t parent = f->parent[i];

		f->next_child[i] = f->first_child[parent];
		f->first_child[parent] = i;
		f->left[parent] += f->left[i];
	}
	f->next_child[0] = PLAN_NOBODY;
	for (i = 0; i < f->count; i++) {
		size_t at = f->entered[i] + 1, child;

		child = f->first_child[i];
		while (child != PLAN_NOBODY) {
			f->entered[child] = at;
			at += f->left[child];
			child = f->next_child[child];
		}
		f->left[i] += f->entered[i];
	}
}

int family_init(struct family *f, const struct plan_task *tasks, size_t count, struct error *err)
{
	size_t i;

	*f = (struct family){ .tasks = tasks, .count = count };
	if (!count || tasks[0].ppid)
		return error_set(err, ERROR_IMAGE, 0, "the tree has no root");
	if (allocate(f)) {
		family_release(f);
		return error_set(err, ERROR_FAILED, ENOMEM, "tree plan");
	}
	list_numbers(f);
	for (i = 0; i < count; i++) {
		if (check_task(f, i, err)) {
			family_release(f);
			return -1;
		}
	}
	link_tasks(f);
	return 0;
}

void family_release(struct family *f)
{
	free(f->parent);
	free(f->first_child);
	free(f->next_child);
	free(f->entered);
	free(f->left);
	free(f->pids.items);
	free(f->sessions.items);
	free(f->groups.items);
	*f = (struct family){ 0 };
}
