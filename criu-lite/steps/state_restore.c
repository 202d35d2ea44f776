/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/state_restore.h"

#include <signal.h>
#include <sys/syscall.h>

static const ProtobufCMessage *message_for(const struct restore_thread *t, const struct kind *kind,
					   bool leader)
{
	if (kind->scope == KIND_THREAD)
		return restore_thread_state(t, kind);
	if (kind->scope == KIND_TASK && leader)
		return restore_task_state(t->task, kind);
	return NULL;
}

/* The births and deaths of puppets have signalled their parents: those signals go before saved
 * ones are queued. Ignoring a signal discards what is pending of it. */
static void drop_child_signals(struct batch *b)
{
	/* struct sigaction of the kernel: handler, flags, restorer, mask */
	const uint64_t ignore[4] = { (uint64_t)SIG_IGN }, plain[4] = { (uint64_t)SIG_DFL };

	batch_must(b, SYS_rt_sigaction, SIGCHLD, batch_put(b, ignore, sizeof(ignore)), 0, 8);
	batch_must(b, SYS_rt_sigaction, SIGCHLD, batch_put(b, plain, sizeof(plain)), 0, 8);
}

static int restore_thread(struct restore_thread *t, bool leader, struct batch *b,
			  struct error *err)
{
	const struct kind *const *row;

	batch_start(b, &t->task->agent);
	if (leader)
		drop_child_signals(b);
	for (row = kinds_table; *row; row++) {
		const ProtobufCMessage *message = message_for(t, *row, leader);

		if (message && (*row)->state->put && (*row)->state->put(t, message, b, err))
			return error_wrap(err, "%s", (*row)->name);
	}
	if (b->records.count && agent_run(&t->task->agent, &t->tracee, b, err))
		return -1;
	for (row = kinds_table; *row; row++) {
		const ProtobufCMessage *message = message_for(t, *row, leader);

		if (message && (*row)->state->finish && (*row)->state->finish(t, message, b, err))
			return error_wrap(err, "%s", (*row)->name);
	}
	return 0;
}

int state_restore(struct restore *r, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	struct restore_task **task;
	size_t i;

	array_for(task, &r->tasks) {
		if ((*task)->zombie)
			continue;
		for (i = 0; i < (*task)->threads.count - (*task)->leader_gone; i++)
			if (restore_thread((*task)->threads.items[i], i == 0, &b, err))
				return error_wrap(err, "process %d", (*task)->pid);
	}
	return 0;
}
