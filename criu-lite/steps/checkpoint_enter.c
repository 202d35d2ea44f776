/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A checkpoint is made from where the tree is. */
#include <errno.h>
#include <poll.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "freeze/freezer.h"
#include "kernel-compat/calls.h"
#include "kinds/ns/namespaces.h"
#include "proc/tasks.h"
#include "steps/checkpoint.h"
#include "steps/inside.h"
#include "steps/preflight.h"
#include "steps/target.h"
#include "steps/unstopped.h"

enum { END_TIMEOUT_MS = 10000 };

/* What both sides see. */
struct outcome {
	struct checkpoint_report report;
	bool done;
};

struct entry {
	struct checkpoint_options options;
	const struct container *container;
	struct outcome *outcome;
};

static int run_inside(void *context, pid_t pid, struct error *err)
{
	struct entry *e = context;

	e->options.pid = pid;
	return checkpoint_inside(&e->options, e->container, &e->outcome->report,
				 &e->outcome->done, err);
}

/* Whoever stands in a pid namespace is killed at its end, together with the guard, and may not have
 * come to thawing what the tree was ended in. */
static void thaw(const struct freezers *tree)
{
	size_t i;

	for (i = 0; i < tree->count; i++) {
		_cleanup_error_ struct error failed = ERROR_INIT;
		struct freezer f = tree->items[i];

		if (!f.was_frozen && freezer_set(&f, false, 0, &failed))
			log_info("%s", failed.message);
	}
}

static int enter(const struct checkpoint_options *options, const struct container *container,
		 struct outcome *outcome, struct error *err)
{
	_cleanup_fd_ int root = sys_pidfd_open(options->pid, 0);
	struct entry entry = { *options, container, outcome };
	struct pollfd ended = { .fd = root, .events = POLLIN };
	int r = inside_tree(container, run_inside, &entry, &outcome->done, err);

	if (outcome->done) {
		thaw(container->freezers);
		poll(&ended, 1, END_TIMEOUT_MS);
	}
	return r;
}

/* What can only be told where paths and ids are those of the machine. */
struct outside {
	struct freezers freezers;
	struct blockers blockers;
};

static int look_from_outside(const struct checkpoint_options *options,
			     struct container *container, struct outside *outside,
			     struct error *err)
{
	_cleanup_pid_list_ struct pid_list tree = { 0 };
	const struct target *target = options->target;

	container->externals = options->externals;
	container->externals_count = options->externals_count;
	container->found = &outside->blockers;
	if (target) {
		container->cgroups = &target->cgroups;
		container->runtime = target->container.runtime ? &target->container : NULL;
		if (target_check(target, &outside->blockers, err))
			return -1;
	}
	if (namespaces_given(container, err))
		return -1;
	if (!container_foreign(container))
		return 0;
	container->freezers = &outside->freezers;
	return proc_list_tree(options->pid, &tree, err) ||
			       freezers_find(&outside->freezers, &tree,
					     target ? target->cgroup : NULL, err) ?
		       -1 :
		       0;
}

static int checkpoint_from_inside(const struct checkpoint_options *options,
				  const struct container *container,
				  struct checkpoint_report *report, struct error *err)
{
	struct outcome *outcome = inside_memory(sizeof(*outcome));
	int r;

	if (!outcome)
		return error_set(err, ERROR_FAILED, ENOMEM, "checkpoint");
	r = enter(options, container, outcome, err);
	*report = outcome->report;
	inside_memory_free(outcome, sizeof(*outcome));
	return r;
}

int checkpoint(const struct checkpoint_options *options, struct checkpoint_report *report,
	       struct error *err)
{
	struct outside outside = { 0 };
	struct container container;
	bool done = false;
	sigset_t before;
	int r;

	*report = (struct checkpoint_report){ 0 };
	unstopped_begin(&before);
	r = inside_look(&container, options->pid, err) ||
			    look_from_outside(options, &container, &outside, err) ?
		    -1 :
		    0;
	if (!r && container_foreign(&container))
		r = checkpoint_from_inside(options, &container, report, err);
	else if (!r)
		r = checkpoint_inside(options, &container, report, &done, err);
	freezers_release(&outside.freezers);
	blockers_release(&outside.blockers);
	container_release(&container);
	unstopped_end(&before);
	return r;
}

struct look {
	const struct container *container;
	struct preflight *before;
};

static int look_here(void *context, pid_t pid, struct error *err)
{
	const struct look *l = context;
	struct blockers blockers = { 0 };
	int r;

	l->before->container = l->container;
	r = preflight_look(l->before, pid, &blockers, err) || blockers_error(&blockers, err) ? -1 :
											       0;
	blockers_release(&blockers);
	return r;
}

/* What is found there is of no use outside, and the caller's may be shared memory. */
static int look_inside(void *context, pid_t pid, struct error *err)
{
	const struct look *outer = context;
	struct preflight before = { 0 };
	struct look l = { outer->container, &before };
	int r = look_here(&l, pid, err);

	preflight_release(&before);
	return r;
}

int checkpoint_look(const struct checkpoint_options *options, struct preflight *before,
		    uint64_t *ret_namespaces, struct error *err)
{
	struct outside outside = { 0 };
	struct container container;
	struct look look = { &container, before };
	int r = inside_look(&container, options->pid, err) ||
				look_from_outside(options, &container, &outside, err) ?
			-1 :
			0;

	*ret_namespaces = container.namespaces;
	if (!r && container_foreign(&container))
		r = inside_tree(&container, look_inside, &look, NULL, err);
	else if (!r)
		r = look_here(&look, options->pid, err);
	before->container = NULL;
	freezers_release(&outside.freezers);
	blockers_release(&outside.blockers);
	container_release(&container);
	return r;
}
