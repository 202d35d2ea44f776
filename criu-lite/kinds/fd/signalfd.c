/* SPDX-License-Identifier: GPL-2.0-or-later */
/* signalfd(2): which signals it reads; those that wait belong to the reading process. */
#include <fcntl.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

#include "images/signalfd.pb-c.h"
#include "kinds/files.h"

static bool signalfd_recognise(const struct fd_look *look)
{
	return !strcmp(look->link, "anon_inode:[signalfd]") &&
	       proc_fdinfo_has(&look->info, FDINFO_SIGNALFD);
}

static int signalfd_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	Signalfd m = SIGNALFD__INIT;
	FileCommon common;

	if (dump_file_common(d, f, &common, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	m.mask = f->look.info.sigmask;
	return dump_file_message(d, f, &m.base, err);
}

static int signalfd_plan(struct restore_files *r, struct restore_file *f, struct batch *b,
			 struct error *err)
{
	const Signalfd *m = (const Signalfd *)f->message;
	uint64_t mask = m->mask;

	return batch_must(b, SYS_signalfd4, -1, batch_put(b, &mask, sizeof(mask)), sizeof(mask),
			  SFD_CLOEXEC | (m->common->flags & O_NONBLOCK));
}

static const struct file_ops signalfd_file = {
	.recognise = signalfd_recognise,
	.dump = signalfd_dump,
	.plan = signalfd_plan,
};

const struct kind signalfd_kind = {
	.name = "signalfd",
	.record = 0x107,
	.scope = KIND_FILE,
	.message = &signalfd__descriptor,
	.help = "signalfd masks",
	.file = &signalfd_file,
};
