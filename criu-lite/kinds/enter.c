/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/enter.h"

struct agent_site dump_site(struct dump_task *task)
{
	struct agent_site site = {
		.maps = &task->maps,
		.gadgets = &task->dump->gadgets,
		.note = task->note,
	};
	const struct dump_thread *t;

	array_for(t, &task->threads) {
		site.caught |= t->status.sig_cgt;
		site.blocked |= t->status.sig_blk;
		site.pending |= t->status.sig_pnd | t->status.shd_pnd;
		site.stopped |= t->tracee.group_stopped;
	}
	return site;
}

int dump_enter(struct dump_task *task, struct error *err)
{
	struct agent_site site = dump_site(task);

	if (agent_plan(&task->agent, &site, err) ||
	    agent_install(&task->agent, &task->threads.items[0].tracee, &site, err))
		return error_wrap(err, "process %d", task->pid);
	return 0;
}

int dump_leave(struct dump_task *task, struct error *err)
{
	return agent_remove(&task->agent, &task->threads.items[0].tracee, err);
}

int dump_visit(struct dump_task *task, struct batch *b,
	       int (*make)(struct batch *b, void *context, struct error *err), void *context,
	       struct error *err)
{
	_cleanup_error_ struct error later = ERROR_INIT;
	int r;

	if (dump_enter(task, err))
		return -1;
	batch_start(b, &task->agent);
	r = make(b, context, err) ||
	    agent_run(&task->agent, &task->threads.items[0].tracee, b, err);
	/* The first error is the cause. */
	return dump_leave(task, r ? &later : err) || r ? -1 : 0;
}
