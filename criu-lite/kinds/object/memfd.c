/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of memfd_create(2), with content and seals. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "images/memfd.pb-c.h"
#include "kinds/objects.h"

extern const struct kind memfd_kind;

/* linux/memfd.h, linux/fcntl.h: since Linux 6.3 */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8u
#define MFD_EXEC 0x10u
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

static const char prefix[] = "/memfd:";

static bool memfd_recognise(const struct object_look *look)
{
	return S_ISREG(look->st.st_mode) && !strncmp(look->path, prefix, strlen(prefix)) &&
	       look->st.st_dev == object_shmem_device();
}

static int memfd_dump(struct dump_objects *d, struct dump_object *o, const struct object_look *look,
		      struct error *err)
{
	Memfd m = MEMFD__INIT;
	int seals;

	if (dump_object_content(o, look, err))
		return -1;
	seals = fcntl(o->fd, F_GET_SEALS);
	if (seals < 0)
		return error_set(err, ERROR_TARGET, errno, "cannot read its seals");
	m.id = o->id;
	m.name = (char *)look->path + strlen(prefix);
	m.size = o->size;
	m.mode = look->st.st_mode;
	m.uid = look->st.st_uid;
	m.gid = look->st.st_gid;
	m.seals = seals;
	return dump_object_message(d, o, &m.base, err);
}

/* Without MFD_ALLOW_SEALING a memfd is born with F_SEAL_SEAL, which does not keep it from being
 * filled. All other seals are set when it is filled and mapped. */
static int memfd_create_file(struct restore_objects *r, struct restore_object *o,
			     struct error *err)
{
	const Memfd *m = (const Memfd *)o->message;
	unsigned flags = MFD_CLOEXEC | (m->seals == F_SEAL_SEAL ? 0 : MFD_ALLOW_SEALING);

	if (m->size > INT64_MAX)
		return error_set(err, ERROR_IMAGE, 0, "memfd '%s' has an impossible size", m->name);
	o->fd = memfd_create(m->name, flags | (m->mode & 0111 ? MFD_EXEC : 0));
	if (o->fd < 0 && errno == EINVAL)
		o->fd = memfd_create(m->name, flags);
	if (o->fd < 0 || fchown(o->fd, m->uid, m->gid) || fchmod(o->fd, m->mode & 07777) ||
	    ftruncate(o->fd, m->size))
		return error_set(err, ERROR_FAILED, errno, "memfd '%s'", m->name);
	o->has_content = true;
	o->size = m->size;
	return 0;
}

static int memfd_finish(struct restore_objects *r, struct restore_object *o, struct error *err)
{
	const Memfd *m = (const Memfd *)o->message;
	int have = fcntl(o->fd, F_GET_SEALS);

	if (have < 0 || (m->seals & ~(unsigned)have &&
			 fcntl(o->fd, F_ADD_SEALS, m->seals & ~(unsigned)have)))
		return error_set(err, ERROR_FAILED, errno, "memfd '%s': cannot be sealed", m->name);
	return 0;
}

static const struct object_ops memfd_ops = {
	.recognise = memfd_recognise,
	.dump = memfd_dump,
	.create = memfd_create_file,
	.finish = memfd_finish,
};

const struct kind memfd_kind = {
	.name = "memfd",
	.record = 0x32,
	.scope = KIND_OBJECT,
	.message = &memfd__descriptor,
	.help = "memory files of memfd_create with content, name and seals",
	.object = &memfd_ops,
};
