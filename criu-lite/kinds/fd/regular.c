/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptions of files with content: what the file is and how it comes back is an object's
 * business (it may be mapped, too); the description has flags and an offset.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "images/regular.pb-c.h"
#include "kinds/fd_scan.h"
#include "kinds/files.h"
#include "kinds/objects.h"
#include "proc/mountinfo.h"

static bool regular_recognise(const struct fd_look *look)
{
	struct object_look object;

	if (!S_ISREG(look->st.st_mode) || look->info.flags & O_PATH)
		return false;
	object_look_fd(&object, look);
	return objects_recognise(&object) != NULL;
}

/* Made by a call such as memfd_create(2), on a mount of the kernel's own. */
static bool is_nameless(const struct object_look *object)
{
	return object->st.st_dev == object_shmem_device() || !object_can_be_made(object);
}

/* On a mount that is none of the process's: a file of whoever has started the container. One
 * without a name needs no mount. */
static bool is_elsewhere(const struct fd_look *look)
{
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };
	_cleanup_error_ struct error unknown = ERROR_INIT;
	struct object_look object;

	object_look_fd(&object, look);
	return look->link[0] == '/' && look->st.st_nlink && !object_leads_there(&object) &&
	       !is_nameless(&object) && !proc_read_mountinfo(look->proc_fd, &mounts, &unknown) &&
	       !proc_mounts_find(&mounts, look->info.mnt_id);
}

static bool regular_outside(const struct fd_scan *scan, const struct fd_look *look)
{
	return fd_scan_standard(scan, fd_file_of_look(look)) >= 0 && is_elsewhere(look);
}

static int regular_check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	struct object_look object;

	if (is_elsewhere(look)) {
		if (blockers_add(blockers, look->pid, "it is on none of the mounts of the process",
				 "let the program close it; only standard descriptors can be "
				 "replaced",
				 "descriptor %d (%s)", look->number, look->link))
			return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
		return 0;
	}
	object_look_fd(&object, look);
	return objects_check(&object, blockers, err);
}

static int regular_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	struct dump_object *object = dump_objects_of_fd(dump_files_run(d)->objects, &f->look, err);
	Regular m = REGULAR__INIT;
	FileCommon common;

	if (!object || dump_file_common(d, f, &common, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	m.object = object->id;
	m.has_path = true;
	m.path.data = (uint8_t *)f->look.link;
	m.path.len = strlen(f->look.link);
	return dump_file_message(d, f, &m.base, err);
}

static int regular_verify(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Regular *m = (const Regular *)f->message;

	if (restore_objects_get(restore_files_run(r)->objects, m->object))
		return 0;
	return error_set(err, ERROR_IMAGE, 0, "there is no object %u", m->object);
}

static int regular_create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Regular *m = (const Regular *)f->message;
	struct restore_objects *objects = restore_files_run(r)->objects;
	struct restore_object *object = restore_objects_get(objects, m->object);
	/* A nameless file keeps O_TMPFILE, which would make another one. */
	int flags = m->common->flags & ~(O_ASYNC | O_TMPFILE);

	f->fd = restore_object_open(objects, object, f->opener, flags, err);
	if (f->fd < 0)
		return -1;
	if (m->common->position && lseek(f->fd, m->common->position, SEEK_SET) < 0)
		return error_set(err, ERROR_FAILED, errno, "lseek to %lld",
				 (long long)m->common->position);
	return 0;
}

static const struct file_ops regular_file = {
	.recognise = regular_recognise,
	.outside = regular_outside,
	.check = regular_check,
	.dump = regular_dump,
	.verify = regular_verify,
	.create = regular_create,
};

const struct kind regular_kind = {
	.name = "regular",
	.record = 0x101,
	.scope = KIND_FILE,
	.message = &regular__descriptor,
	.help = "open files: offset and flags, shared by dup and fork; deleted files; memfd",
	.file = &regular_file,
};
