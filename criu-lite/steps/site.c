/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/site.h"

struct agent_site site_of(struct dump_task *task)
{
	struct agent_site site = {
		.maps = &task->maps,
		.gadgets = &task->dump->gadgets,
	};
	const struct dump_thread *t;

	array_for(t, &task->threads) {
		site.caught |= t->status.sig_cgt;
		site.pending |= t->status.sig_pnd | t->status.shd_pnd;
		site.stopped |= t->tracee.group_stopped;
	}
	return site;
}

int site_install(struct dump_task *task, struct error *err)
{
	struct agent_site site = site_of(task);

	if (agent_plan(&task->agent, &site, err) ||
	    agent_install(&task->agent, &task->threads.items[0].tracee, &site, err))
		return error_wrap(err, "process %d", task->pid);
	return 0;
}
