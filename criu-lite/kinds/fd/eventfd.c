/* SPDX-License-Identifier: GPL-2.0-or-later */
/* eventfd(2): a counter. */
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "images/eventfd.pb-c.h"
#include "kernel-compat/features.h"
#include "kinds/enter.h"
#include "kinds/files.h"

static bool eventfd_recognise(const struct fd_look *look)
{
	return !strcmp(look->link, "anon_inode:[eventfd]") &&
	       proc_fdinfo_has(&look->info, FDINFO_EVENTFD);
}

struct probe {
	uint64_t number, count;
	uint64_t taken;	/* where the batch has what was read */
};

/*
 * What a read takes tells a semaphore from a counter, if there are at least two to take. All in
 * one batch of its holder, which ends with the count as it was even when we die meanwhile; who
 * waits for it may wake up once in vain.
 */
static int plan_probe(struct batch *b, void *context, struct error *err)
{
	static const uint64_t two = 2, one = 1;
	struct probe *p = context;
	struct iovec room = { .iov_len = sizeof(uint64_t) };
	uint64_t second;

	p->taken = batch_space(b, sizeof(uint64_t));
	second = batch_space(b, sizeof(uint64_t));
	if (p->count < 2)
		batch_call(b, SYS_write, p->number,
			   batch_put(b, p->count ? &one : &two, sizeof(uint64_t)),
			   sizeof(uint64_t));
	batch_call(b, SYS_read, p->number, p->taken, sizeof(uint64_t));
	if (p->count == 0) {
		/* A semaphore has one left now, a counter nothing. */
		room.iov_base = (void *)second;
		batch_call(b, SYS_preadv2, p->number, batch_put(b, &room, sizeof(room)), 1, -1, -1,
			   RWF_NOWAIT);
		return 0;
	}
	/* Of one, what has to go back is one less than what was taken. */
	if (p->count == 1)
		batch_call(b, SYS_futex, second, FUTEX_WAKE_OP_PRIVATE, 0, 0, p->taken,
			   FUTEX_OP(FUTEX_OP_ADD, 0xfff, FUTEX_OP_CMP_EQ, 0));
	batch_call(b, SYS_write, p->number, p->taken, sizeof(uint64_t));
	return 0;
}

/* Linux before 6.5 does not show whether it is a semaphore. */
static bool is_shown(const struct fd_look *look)
{
	return proc_fdinfo_has(&look->info, FDINFO_EVENTFD_SEMAPHORE) &&
	       !feature_hidden("fdinfo-eventfd-semaphore");
}

static int probe_semaphore(struct dump_file *f, bool *ret, struct error *err)
{
	struct probe probe = { .number = f->look.number, .count = f->look.info.eventfd_count };
	_cleanup_batch_ struct batch b = { 0 };

	if (dump_visit(f->task, &b, plan_probe, &probe, err))
		return -1;
	*ret = *(uint64_t *)batch_at(&b, probe.taken) == (probe.count == 1 ? 0 : 1);
	return 0;
}

static int eventfd_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	bool semaphore = f->look.info.eventfd_semaphore;
	Eventfd m = EVENTFD__INIT;
	FileCommon common;

	if (dump_file_common(d, f, &common, err))
		return -1;
	if (f->task && !is_shown(&f->look) && probe_semaphore(f, &semaphore, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	m.count = f->look.info.eventfd_count;
	m.has_semaphore = m.semaphore = semaphore;
	return dump_file_message(d, f, &m.base, err);
}

static int eventfd_verify(struct restore_files *r, struct restore_file *f, struct error *err)
{
	/* One more than the largest: a write of it would wait for ever. */
	if (((const Eventfd *)f->message)->count == UINT64_MAX)
		return error_set(err, ERROR_IMAGE, 0, "bad count");
	return 0;
}

/* The system call takes 32 bits of the count; the rest is written. */
static int eventfd_plan(struct restore_files *r, struct restore_file *f, struct batch *b,
			struct error *err)
{
	const Eventfd *m = (const Eventfd *)f->message;
	uint32_t first = m->count > UINT32_MAX ? UINT32_MAX : m->count;
	uint64_t rest = m->count - first;
	int made;

	made = batch_must(b, SYS_eventfd2, first,
			  EFD_CLOEXEC | (m->common->flags & O_NONBLOCK) |
				  (m->semaphore ? EFD_SEMAPHORE : 0));
	if (rest)
		batch_from(b, batch_must(b, SYS_write, 0, batch_put(b, &rest, sizeof(rest)),
					 sizeof(rest)), 0, made);
	return made;
}

static const struct file_ops eventfd_file = {
	.recognise = eventfd_recognise,
	.dump = eventfd_dump,
	.verify = eventfd_verify,
	.plan = eventfd_plan,
};

const struct kind eventfd_kind = {
	.name = "eventfd",
	.record = 0x105,
	.scope = KIND_FILE,
	.message = &eventfd__descriptor,
	.help = "eventfd counters and semaphores",
	.file = &eventfd_file,
};
