/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Resource limits. Without CAP_SYS_RESOURCE a hard limit cannot be raised above the one that the
 * restore itself runs under. A soft limit that does not fit below it is refused: the program would
 * fail later, at a call that worked before. If only the hard limit is too high the program goes on
 * as it was, with less room to raise its own limit: that is said, not refused.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "images/limits.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind limits_kind;

static const char *const names[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = "RLIMIT_CPU",
	[RLIMIT_FSIZE] = "RLIMIT_FSIZE",
	[RLIMIT_DATA] = "RLIMIT_DATA",
	[RLIMIT_STACK] = "RLIMIT_STACK",
	[RLIMIT_CORE] = "RLIMIT_CORE",
	[RLIMIT_RSS] = "RLIMIT_RSS",
	[RLIMIT_NPROC] = "RLIMIT_NPROC",
	[RLIMIT_NOFILE] = "RLIMIT_NOFILE",
	[RLIMIT_MEMLOCK] = "RLIMIT_MEMLOCK",
	[RLIMIT_AS] = "RLIMIT_AS",
	[RLIMIT_LOCKS] = "RLIMIT_LOCKS",
	[RLIMIT_SIGPENDING] = "RLIMIT_SIGPENDING",
	[RLIMIT_MSGQUEUE] = "RLIMIT_MSGQUEUE",
	[RLIMIT_NICE] = "RLIMIT_NICE",
	[RLIMIT_RTPRIO] = "RLIMIT_RTPRIO",
	[RLIMIT_RTTIME] = "RLIMIT_RTTIME",
};

static int limits_ask(struct dump_thread *t, struct batch *b, struct ask *ask, struct error *err)
{
	int i;

	ask->address[0] = batch_space(b, RLIM_NLIMITS * sizeof(struct rlimit64));
	for (i = 0; i < RLIM_NLIMITS; i++)
		batch_must(b, SYS_prlimit64, 0, i, 0,
			   ask->address[0] + i * sizeof(struct rlimit64));
	return 0;
}

static int limits_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
		       struct error *err)
{
	const struct rlimit64 *found = batch_at(b, ask->address[0]);
	Limit limits[RLIM_NLIMITS], *list[RLIM_NLIMITS];
	Limits m = LIMITS__INIT;
	int i;

	m.pid = t->task->pid;
	m.limits = list;
	m.n_limits = RLIM_NLIMITS;
	for (i = 0; i < RLIM_NLIMITS; i++) {
		limits[i] = (Limit)LIMIT__INIT;
		limits[i].resource = i;
		limits[i].has_soft = found[i].rlim_cur != RLIM64_INFINITY;
		limits[i].soft = found[i].rlim_cur;
		limits[i].has_hard = found[i].rlim_max != RLIM64_INFINITY;
		limits[i].hard = found[i].rlim_max;
		list[i] = &limits[i];
	}
	return dump_state(t->task->dump, &limits_kind, &m.base, err);
}

static struct rlimit64 saved_limit(const Limit *l)
{
	return (struct rlimit64){
		.rlim_cur = l->has_soft ? l->soft : RLIM64_INFINITY,
		.rlim_max = l->has_hard ? l->hard : RLIM64_INFINITY,
	};
}

static int limits_put(struct restore_thread *t, const ProtobufCMessage *message, struct batch *b,
		      struct error *err)
{
	const Limits *m = (const Limits *)message;
	size_t i;

	for (i = 0; i < m->n_limits; i++) {
		const Limit *l = m->limits[i];
		struct rlimit64 ours, wanted = saved_limit(l), possible = wanted;

		if (l->resource >= RLIM_NLIMITS || wanted.rlim_cur > wanted.rlim_max)
			return error_set(err, ERROR_IMAGE, 0, "process %u: limit %u", m->pid,
					 l->resource);
		/* The puppet was born with ours. */
		if (getrlimit64(l->resource, &ours))
			return error_set(err, ERROR_FAILED, errno, "%s", names[l->resource]);
		if (possible.rlim_max > ours.rlim_max)
			possible.rlim_max = ours.rlim_max;
		if (possible.rlim_cur > ours.rlim_max)
			possible.rlim_cur = ours.rlim_max;
		batch_must(b, SYS_prlimit64, 0, l->resource,
			   batch_put(b, &possible, sizeof(possible)), 0);
		if (wanted.rlim_max > ours.rlim_max)
			batch_call(b, SYS_prlimit64, 0, l->resource,
				   batch_put(b, &wanted, sizeof(wanted)), 0);
	}
	return 0;
}

/* The text of a limit, in a buffer of the caller. */
static const char *limit_text(uint64_t limit, char text[24])
{
	if (limit == RLIM64_INFINITY)
		return "unlimited";
	snprintf(text, 24, "%llu", (unsigned long long)limit);
	return text;
}

static int limit_refused(const Limits *m, const Limit *l, struct error *err)
{
	struct rlimit64 ours, wanted = saved_limit(l);
	char texts[2][24];

	if (getrlimit64(l->resource, &ours))
		return error_set(err, ERROR_FAILED, errno, "%s", names[l->resource]);
	if (wanted.rlim_cur <= ours.rlim_max) {
		log_notice("process %u: its hard limit %s is %s here, was %s", m->pid,
			   names[l->resource], limit_text(ours.rlim_max, texts[0]),
			   limit_text(wanted.rlim_max, texts[1]));
		return 0;
	}
	error_set(err, ERROR_FAILED, 0,
		  "process %u: its %s is %s, and here at most %s can be given", m->pid,
		  names[l->resource], limit_text(wanted.rlim_cur, texts[0]),
		  limit_text(ours.rlim_max, texts[1]));
	return error_hint(err,
			  "restore with CAP_SYS_RESOURCE, or raise the hard limit of the shell "
			  "that runs it");
}

/* Looks at the calls that were allowed to fail. */
static int limits_finish(struct restore_thread *t, const ProtobufCMessage *message,
			 const struct batch *b, struct error *err)
{
	const Limits *m = (const Limits *)message;
	const struct batch_record *record;
	size_t i;

	array_for(record, &b->records) {
		if (record->number != SYS_prlimit64 || record->result == 0)
			continue;
		for (i = 0; i < m->n_limits; i++)
			if (m->limits[i]->resource == record->a[1] &&
			    limit_refused(m, m->limits[i], err))
				return -1;
	}
	return 0;
}

static const struct state_ops limits_state = {
	.ask = limits_ask,
	.take = limits_take,
	.put = limits_put,
	.finish = limits_finish,
};

const struct kind limits_kind = {
	.name = "limits",
	.record = 0x44,
	.scope = KIND_TASK,
	.message = &limits__descriptor,
	.help = "resource limits",
	.state = &limits_state,
};
