/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/leftover.h"

#include <errno.h>

#include "base/log.h"
#include "kinds/enter.h"

static int bring_all_home(struct dump_task *task, const struct agent_note *note, struct error *err)
{
	struct dump_thread *t;
	bool home;

	array_for(t, &task->threads) {
		if (agent_bring_home(note, &t->tracee, &home, err) || tracee_save(&t->tracee, err))
			return -1;
		if (home)
			continue;
		error_set(err, ERROR_TARGET, 0, "task %d is in a signal handler", t->tid);
		err->os_error = EBUSY;
		return -1;
	}
	return 0;
}

int leftover_check(struct dump_task *task, bool heal, struct error *err)
{
	struct agent_note note = { .pid = task->pid };
	struct agent_site site;

	note.address = agent_find_left(&task->maps, &task->threads.items[0].tracee);
	if (!note.address)
		return 0;
	if (!heal) {
		error_set(err, ERROR_TARGET, 0,
			  "process %d has the agent of a checkpoint in it that was killed",
			  task->pid);
		err->os_error = EBUSY;
		return error_hint(err, "try again later");
	}
	log_info("process %d: an agent that was left in it is taken out", task->pid);
	site = dump_site(task);
	if (bring_all_home(task, &note, err) ||
	    agent_reclaim(&note, &task->threads.items[0].tracee, 1, &site,
			  task->threads.items[0].status.sig_ign, err))
		return -1;
	vma_list_release(&task->maps);
	return proc_read_smaps(task->proc_fd, &task->maps, err);
}
