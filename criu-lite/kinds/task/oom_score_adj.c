/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How willingly the kernel ends a process when memory runs out. Without CAP_SYS_RESOURCE it cannot
 * be made less willing than the restore itself is; the program does not feel that, so it goes on
 * with what can be had, and that is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "images/oom_score_adj.pb-c.h"
#include "kinds/task/proc_file.h"

extern const struct kind oom_score_adj_kind;

static const char file[] = "oom_score_adj";

static int oom_score_adj_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			      struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	OomScoreAdj m = OOM_SCORE_ADJ__INIT;

	if (thread_read_proc(t, file, &text, err))
		return -1;
	m.pid = t->task->pid;
	m.value = strtol(text.data, NULL, 10);
	return dump_state(t->task->dump, &oom_score_adj_kind, &m.base, err);
}

static int write_value(const struct restore_thread *t, int value, struct error *err)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", value);
	return puppet_write_proc(t, file, text, err);
}

/* The nearest value that is allowed lies between the wanted one and the one inherited. */
static int write_nearest(const struct restore_thread *t, int wanted, int possible,
			 struct error *err)
{
	int low = wanted, high = possible;

	while (high - low > 1) {
		struct error refused = ERROR_INIT;
		int middle = low + (high - low) / 2;

		if (write_value(t, middle, &refused))
			low = middle;
		else
			high = middle;
		error_clear(&refused);
	}
	log_notice("process %d: its %s is %d, was %d", t->task->pid, file, high, wanted);
	return write_value(t, high, err);
}

static int oom_score_adj_finish(struct restore_thread *t, const ProtobufCMessage *message,
				const struct batch *b, struct error *err)
{
	const OomScoreAdj *m = (const OomScoreAdj *)message;
	_cleanup_buffer_ struct buffer ours = { 0 };
	struct error refused = ERROR_INIT;
	int inherited;

	if (read_file_at(AT_FDCWD, "/proc/self/oom_score_adj", &ours))
		return error_set(err, ERROR_FAILED, errno, "%s", file);
	inherited = strtol(ours.data, NULL, 10);
	if (m->value == inherited || !write_value(t, m->value, &refused))
		return 0;
	if (refused.os_error != EACCES || m->value > inherited) {
		*err = refused;
		return -1;
	}
	error_clear(&refused);
	return write_nearest(t, m->value, inherited, err);
}

static const struct state_ops oom_score_adj_state = {
	.take = oom_score_adj_take,
	.finish = oom_score_adj_finish,
};

const struct kind oom_score_adj_kind = {
	.name = "oom-score-adj",
	.record = 0x48,
	.scope = KIND_TASK,
	.message = &oom_score_adj__descriptor,
	.help = "how willingly the kernel ends it when memory runs out",
	.state = &oom_score_adj_state,
};
