/* SPDX-License-Identifier: GPL-2.0-or-later */
/* eventfd(2): a counter. */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "images/eventfd.pb-c.h"
#include "kinds/files.h"

static bool eventfd_recognise(const struct fd_look *look)
{
	return !strcmp(look->link, "anon_inode:[eventfd]") &&
	       proc_fdinfo_has(&look->info, FDINFO_EVENTFD);
}

static int eventfd_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	Eventfd m = EVENTFD__INIT;
	FileCommon common;

	if (dump_file_common(d, f, &common, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	m.count = f->look.info.eventfd_count;
	m.has_semaphore = m.semaphore = f->look.info.eventfd_semaphore;
	return dump_file_message(d, f, &m.base, err);
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
	/* The largest count is one less than what fits; a write beyond it would wait for ever. */
	if (m->count == UINT64_MAX)
		return error_set(err, ERROR_IMAGE, 0, "bad count");
	if (rest)
		batch_from(b, batch_must(b, SYS_write, 0, batch_put(b, &rest, sizeof(rest)),
					 sizeof(rest)), 0, made);
	return made;
}

static const struct file_ops eventfd_file = {
	.recognise = eventfd_recognise,
	.dump = eventfd_dump,
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
