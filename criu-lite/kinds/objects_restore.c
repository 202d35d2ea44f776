/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects of a tree that is restored. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/calls.h"
#include "kinds/objects.h"
#include "tracee/batch.h"

struct entry {
	struct restore_object base;
	bool created, finished;
	int map_fds[2];		/* for mapping: read-only, writable; -1, and never base.fd */
};

struct restore_objects {
	struct restore *run;
	ARRAY_OF(struct entry *) entries;	/* the one with id i at i - 1 */
	int root_fd;				/* root directory of the opener */
};

struct restore_objects *restore_objects_new(struct restore *run)
{
	struct restore_objects *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->run = run;
	r->root_fd = -1;
	return r;
}

static void entry_free(struct entry *e)
{
	fd_close(&e->base.fd);
	fd_close(&e->map_fds[0]);
	fd_close(&e->map_fds[1]);
	if (e->base.message)
		protobuf_c_message_free_unpacked(e->base.message, NULL);
	free(e->base.data);
	free(e);
}

void restore_objects_free(struct restore_objects *r)
{
	struct entry **e;

	if (!r)
		return;
	array_for(e, &r->entries)
		entry_free(*e);
	array_release(&r->entries);
	fd_close(&r->root_fd);
	free(r);
}

struct restore *restore_objects_run(struct restore_objects *r)
{
	return r->run;
}

int restore_objects_load(struct restore_objects *r, const struct kind *kind,
			 ProtobufCMessage *message, struct error *err)
{
	struct entry *e = calloc(1, sizeof(*e)), **slot = array_add(&r->entries);
	uint32_t id = kind_message_id(message);

	if (!e || !slot || id != r->entries.count) {
		r->entries.count -= slot != NULL;
		free(e);
		protobuf_c_message_free_unpacked(message, NULL);
		if (!e || !slot)
			return error_set(err, ERROR_FAILED, ENOMEM, "objects");
		return error_set(err, ERROR_IMAGE, 0, "%s: object number %u is out of turn",
				 kind->name, id);
	}
	*e = (struct entry){
		.base = { .id = id, .kind = kind, .message = message, .fd = -1 },
		.map_fds = { -1, -1 },
	};
	*slot = e;
	return 0;
}

struct restore_object *restore_objects_get(struct restore_objects *r, uint32_t id)
{
	return r && id && id <= r->entries.count ? &r->entries.items[id - 1]->base : NULL;
}

struct restore_object *restore_objects_at(struct restore_objects *r, size_t index)
{
	return index < r->entries.count ? &r->entries.items[index]->base : NULL;
}

struct restore_task *restore_objects_opener(struct restore_objects *r)
{
	return r->run->tasks.items[0];
}

static struct entry *entry_of(struct restore_object *o)
{
	return (struct entry *)((char *)o - offsetof(struct entry, base));
}

int restore_objects_create(struct restore_objects *r, struct error *err)
{
	struct entry **e;

	array_for(e, &r->entries) {
		if ((*e)->created)
			continue;
		if ((*e)->base.kind->object->create(r, &(*e)->base, err))
			return error_wrap(err, "%s", (*e)->base.kind->name);
		(*e)->created = true;
	}
	return 0;
}

int restore_objects_finish(struct restore_objects *r, struct error *err)
{
	struct entry **e;

	array_for(e, &r->entries) {
		if (!(*e)->created || (*e)->finished)
			continue;
		/* A file that we hold open for writing cannot be sealed or executed. */
		fd_close(&(*e)->map_fds[1]);
		if ((*e)->base.kind->object->finish &&
		    (*e)->base.kind->object->finish(r, &(*e)->base, err))
			return error_wrap(err, "%s", (*e)->base.kind->name);
		(*e)->finished = true;
	}
	return 0;
}

/* The size that a message tells: contents end there. */
uint64_t restore_object_told_size(const struct restore_object *o)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(o->message->descriptor, "size");

	if (!field || field->type != PROTOBUF_C_TYPE_UINT64)
		return 0;
	return *(const uint64_t *)((const char *)o->message + field->offset);
}

int restore_object_keep(struct restore_object *o, struct restore_object *former, struct error *err)
{
	struct entry *to = entry_of(o), *from = entry_of(former);
	uint64_t size = restore_object_told_size(o);

	if (o->kind != former->kind || !from->created || to->created || size > INT64_MAX)
		return error_set(err, ERROR_IMAGE, 0, "%s %u cannot go on as %s %u",
				 former->kind->name, former->id, o->kind->name, o->id);
	o->fd = steal_fd(&former->fd);
	to->map_fds[0] = steal_fd(&from->map_fds[0]);
	to->map_fds[1] = steal_fd(&from->map_fds[1]);
	o->data = steal_ptr(former->data);
	o->has_content = former->has_content;
	o->size = size;
	to->created = true;
	from->created = false;
	if (o->has_content && size != former->size && ftruncate(o->fd, size))
		return error_set(err, ERROR_FAILED, errno, "%s %u: cannot change its size",
				 o->kind->name, o->id);
	return 0;
}

void restore_objects_undo(struct restore_objects *r)
{
	struct entry **e;

	if (!r)
		return;
	array_for(e, &r->entries) {
		if ((*e)->base.kind->object->undo)
			(*e)->base.kind->object->undo(r, &(*e)->base);
		(*e)->created = false;
	}
}

const char *restore_object_path(const struct restore_object *o)
{
	return o->kind->object->path ? o->kind->object->path(o) : NULL;
}

int restore_objects_open_path(struct restore_objects *r, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY),
		.mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? mode : 0,
		.resolve = RESOLVE_IN_ROOT,
	};

	if (r->root_fd < 0) {
		char root[64];

		snprintf(root, sizeof(root), "/proc/%d/root",
			 restore_objects_opener(r)->threads.items[0]->tracee.tid);
		r->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (r->root_fd < 0)
			return -1;
	}
	return sys_openat2(r->root_fd, path, &how);
}

/* A new description behind one of our descriptors. */
static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC | O_NOCTTY);
}

int restore_object_stop_writing(struct restore_object *o, struct error *err)
{
	int fd = reopen(o->fd, O_RDONLY);

	if (fd < 0)
		return error_set(err, ERROR_FAILED, errno, "%s %u", o->kind->name, o->id);
	fd_close(&o->fd);
	fd_close(&entry_of(o)->map_fds[1]);
	o->fd = fd;
	return 0;
}

/* A private mapping of /dev/zero is anonymous memory with a name. */
static bool is_zero_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 5);
}

/* One that is there by its path already need not have a descriptor. */
static void open_by_path(struct restore_objects *r, struct restore_object *o)
{
	const char *path = o->fd < 0 ? restore_object_path(o) : NULL;

	if (path)
		o->fd = restore_objects_open_path(r, path, O_RDONLY, 0);
}

int restore_object_map_fd(struct restore_objects *r, struct restore_object *o, bool writable,
			  struct error *err)
{
	int *kept = &entry_of(o)->map_fds[writable], mode;
	struct stat st;

	if (*kept >= 0)
		return *kept;
	open_by_path(r, o);
	if (o->fd < 0 || fstat(o->fd, &st) || !(S_ISREG(st.st_mode) || is_zero_device(&st)))
		return error_set(err, ERROR_IMAGE, 0, "%s %u cannot be mapped", o->kind->name,
				 o->id);
	mode = fcntl(o->fd, F_GETFL);
	if (!(mode & O_PATH) && (mode & O_ACCMODE) == (writable ? O_RDWR : O_RDONLY))
		return o->fd;
	*kept = reopen(o->fd, writable ? O_RDWR : O_RDONLY);
	if (*kept < 0)
		return error_set(err, ERROR_FAILED, errno, "%s %u: cannot open for mapping",
				 o->kind->name, o->id);
	return *kept;
}

/* Runs `open` of the batch in the opener and fetches what it returned. */
static int run_open(struct restore_task *opener, struct batch *b, int open, struct error *err)
{
	return restore_run(opener, b, err) ? -1 :
					     puppet_take_fd(opener, batch_result(b, open), err);
}

/* The object has no path: the opener gets a descriptor and opens it anew through /proc, so that
 * the new description is its own. */
static int open_through_proc(struct restore_object *o, struct restore_task *opener, int flags,
			     struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	struct hand_over hand;
	char path[64];
	int number, open, fd;

	batch_start(&b, &opener->agent);
	if (puppet_send_fds(opener, &o->fd, 1, &b, &hand, err) || restore_run(opener, &b, err))
		return -1;
	number = puppet_received(&b, &hand, 0);
	/* The way through /proc is a link, which the description's own flag may forbid. */
	flags &= ~O_NOFOLLOW;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", number);
	batch_start(&b, &opener->agent);
	open = batch_call(&b, SYS_openat, AT_FDCWD, batch_string(&b, path), flags | O_CLOEXEC);
	batch_call(&b, SYS_close, number);
	if (restore_run(opener, &b, err))
		return -1;
	if (batch_result(&b, open) >= 0)
		return puppet_take_fd(opener, batch_result(&b, open), err);
	/* No /proc in there. */
	fd = reopen(o->fd, flags);
	if (fd < 0)
		error_set(err, ERROR_FAILED, errno, "%s %u: cannot open", o->kind->name, o->id);
	return fd;
}

int restore_object_open(struct restore_objects *r, struct restore_object *o,
			struct restore_task *opener, int flags, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	const char *path = restore_object_path(o);
	int open, fd;

	if (!path) {
		if (o->fd < 0)
			return error_set(err, ERROR_IMAGE, 0, "%s %u cannot be opened",
					 o->kind->name, o->id);
		return open_through_proc(o, opener, flags, err);
	}
	if (restore_object_check(o, flags, err))
		return -1;
	batch_start(&b, &opener->agent);
	open = batch_must(&b, SYS_openat, AT_FDCWD, batch_string(&b, path),
			  (flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_CLOEXEC | O_NOCTTY);
	fd = run_open(opener, &b, open, err);
	if (fd < 0)
		error_wrap(err, "%s", path);
	return fd;
}
