/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of mmap(2) MAP_SHARED | MAP_ANONYMOUS. The kernel keeps it in a nameless file that
 * /proc/PID/map_files opens, which is how all tasks that share it get the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "images/shared_anonymous.pb-c.h"
#include "kinds/objects.h"

extern const struct kind shared_anonymous_kind;

enum { PAGE = 4096 };

static bool shared_anonymous_recognise(const struct object_look *look)
{
	return S_ISREG(look->st.st_mode) && !strcmp(look->path, "/dev/zero") && look->deleted &&
	       look->st.st_dev == object_shmem_device();
}

static int shared_anonymous_dump(struct dump_objects *d, struct dump_object *o,
				 const struct object_look *look, struct error *err)
{
	SharedAnonymous m = SHARED_ANONYMOUS__INIT;

	if (dump_object_content(o, look, err))
		return -1;
	m.id = o->id;
	m.size = o->size;
	m.has_no_reserve = m.no_reserve = look->vma && look->vma->flags & VMA_NR;
	return dump_object_message(d, o, &m.base, err);
}

static int shared_anonymous_create(struct restore_objects *r, struct restore_object *o,
				   struct error *err)
{
	const SharedAnonymous *m = (const SharedAnonymous *)o->message;
	int flags = MAP_SHARED | MAP_ANONYMOUS | (m->no_reserve ? MAP_NORESERVE : 0);
	char path[80];
	void *at;

	if (!m->size || m->size % PAGE || m->size > INT64_MAX)
		return error_set(err, ERROR_IMAGE, 0, "object %u has an impossible size", o->id);
	at = mmap(NULL, m->size, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (at == MAP_FAILED)
		return error_set(err, ERROR_FAILED, errno, "%llu bytes of shared memory",
				 (unsigned long long)m->size);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)at,
		 (unsigned long)at + (unsigned long)m->size);
	o->fd = open(path, O_RDWR | O_CLOEXEC);
	if (o->fd < 0)
		error_set(err, ERROR_FAILED, errno, "%s", path);
	munmap(at, m->size);
	o->has_content = true;
	o->size = m->size;
	return o->fd < 0 ? -1 : 0;
}

static const struct object_ops shared_anonymous_ops = {
	.recognise = shared_anonymous_recognise,
	.dump = shared_anonymous_dump,
	.create = shared_anonymous_create,
};

const struct kind shared_anonymous_kind = {
	.name = "shared-anonymous",
	.record = 0x33,
	.scope = KIND_OBJECT,
	.message = &shared_anonymous__descriptor,
	.help = "shared anonymous memory, one for all tasks that map it",
	.object = &shared_anonymous_ops,
};
