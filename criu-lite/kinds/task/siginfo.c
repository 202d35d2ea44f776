/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/task/siginfo.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "images/pending_signals.pb-c.h"
#include "images/pending_signals_shared.pb-c.h"
#include "kinds/task/posix_timers.h"

extern const struct kind pending_signals_kind;
extern const struct kind pending_signals_shared_kind;

enum {
	AT_ONCE = 32,		/* read */
	BATCH_SIGNALS = 256,	/* queued by one batch */
	SIGNALS = 64,
};

void siginfo_list_release(struct siginfo_list *list)
{
	array_release(&list->signals);
	array_release(&list->fields);
}

static int add(struct siginfo_list *list, const siginfo_t *info, struct error *err)
{
	siginfo_t *added = array_add(&list->signals);

	if (!added)
		return error_set(err, ERROR_FAILED, ENOMEM, "pending signals");
	*added = *info;
	return 0;
}

int siginfo_list_read(struct siginfo_list *list, struct tracee *t, bool shared, struct error *err)
{
	siginfo_t info[AT_ONCE];
	int count, i;

	do {
		count = tracee_pending_signals(t, shared, list->signals.count, info, AT_ONCE, err);
		if (count < 0)
			return -1;
		for (i = 0; i < count; i++)
			if (add(list, &info[i], err))
				return -1;
	} while (count == AT_ONCE);
	return 0;
}

int siginfo_list_add(struct siginfo_list *list, uint64_t signals, struct error *err)
{
	int signal;

	for (signal = 1; signal <= SIGNALS; signal++) {
		siginfo_t info = { .si_signo = signal, .si_code = SI_USER };

		if (signals >> (signal - 1) & 1 && add(list, &info, err))
			return -1;
	}
	return 0;
}

int siginfo_fields(struct siginfo_list *list, struct error *err)
{
	siginfo_t *info;

	array_for(info, &list->signals) {
		ProtobufCBinaryData *field = array_add(&list->fields);
		size_t size = sizeof(*info);

		if (!field)
			return error_set(err, ERROR_FAILED, ENOMEM, "pending signals");
		while (size && !((char *)info)[size - 1])
			size--;
		*field = (ProtobufCBinaryData){ size, (uint8_t *)info };
	}
	return 0;
}

bool siginfo_from_field(const ProtobufCBinaryData *field, siginfo_t *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!field->len || field->len > sizeof(*ret))
		return false;
	memcpy(ret, field->data, field->len);
	return ret->si_signo >= 1 && ret->si_signo <= SIGNALS && ret->si_signo != SIGKILL;
}

static int append(struct restore_thread *t, const ProtobufCBinaryData *field, bool shared,
		  struct batch *b, struct error *err)
{
	siginfo_t info;
	uint64_t address;

	if (!siginfo_from_field(field, &info))
		return error_set(err, ERROR_IMAGE, 0, "task %d: no signal waits like this", t->tid);
	if (posix_timers_sends(t, &info))
		return 0;
	address = batch_put(b, &info, sizeof(info));
	/* The kernel lets a thread make any siginfo for itself; for its process too, as long as it
	 * calls it by its own id. */
	if (shared)
		batch_must(b, SYS_rt_sigqueueinfo, t->tid, info.si_signo, address);
	else
		batch_must(b, SYS_rt_tgsigqueueinfo, t->task->pid, t->tid, info.si_signo, address);
	return 0;
}

int siginfo_put(struct restore_thread *t, const ProtobufCBinaryData *fields, size_t count,
		bool shared, struct batch *b, struct error *err)
{
	size_t i;

	for (i = 0; i < count && count <= BATCH_SIGNALS; i++)
		if (append(t, &fields[i], shared, b, err))
			return -1;
	return 0;
}

int siginfo_finish(struct restore_thread *t, const ProtobufCBinaryData *fields, size_t count,
		   bool shared, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	size_t i;

	if (count <= BATCH_SIGNALS)
		return 0;
	for (i = 0; i < count;) {
		batch_start(&b, &t->task->agent);
		do {
			if (append(t, &fields[i], shared, &b, err))
				return -1;
		} while (++i < count && i % BATCH_SIGNALS);
		if (agent_run(&t->task->agent, &t->tracee, &b, err))
			return -1;
	}
	return 0;
}

static uint64_t signals_of(const ProtobufCBinaryData *fields, size_t count)
{
	uint64_t set = 0;
	siginfo_t info;
	size_t i;

	for (i = 0; i < count; i++)
		if (siginfo_from_field(&fields[i], &info))
			set |= 1ull << (info.si_signo - 1);
	return set;
}

uint64_t siginfo_saved(const struct restore_task *t)
{
	const PendingSignalsShared *shared;
	uint64_t set = 0;
	size_t i;

	/* A helper process has no saved state. */
	if (!t->state)
		return 0;
	shared = (const PendingSignalsShared *)restore_task_state(t, &pending_signals_shared_kind);
	if (shared)
		set = signals_of(shared->signals, shared->n_signals);
	for (i = 0; i < t->threads.count; i++) {
		const PendingSignals *m = (const PendingSignals *)restore_thread_state(
			t->threads.items[i], &pending_signals_kind);

		if (m)
			set |= signals_of(m->signals, m->n_signals);
	}
	return set;
}
