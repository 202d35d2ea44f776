/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inotify(7): watches keep their numbers. What the kernel shows of a watch is the file's handle;
 * its path is found through that.
 *
 * Events that wait to be read cannot be saved: reading takes them from the program, and no call
 * puts them back. A program that is left running keeps them, a restored one does not get them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "images/inotify.pb-c.h"
#include "kinds/fd/path_file.h"
#include "kinds/files.h"
#include "proc/mountinfo.h"

/* Of linux/inotify.h, which cannot be included beside sys/inotify.h. */
#define SET_NEXT_WD _IOW('I', 0, int32_t)

enum { WATCH_BITS = IN_ALL_EVENTS | IN_EXCL_UNLINK | (int)IN_ONESHOT };

static bool inotify_recognise(const struct fd_look *look)
{
	return !strcmp(look->link, "anon_inode:inotify");
}

/* ---- dump ---- */

struct found_watch {
	char *path;		/* NULL when it has none that leads there */
	char *mount_path;	/* where its handle was good */
};

static void found_watch_release(struct found_watch *found)
{
	free(found->path);
	free(found->mount_path);
}

static int open_handle(int mount_fd, uint32_t type, const void *data, size_t size)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + FDINFO_HANDLE_MAX];
	} u;

	u.handle.handle_bytes = size;
	u.handle.handle_type = type;
	if (size)
		memcpy(u.handle.f_handle, data, size);
	return open_by_handle_at(mount_fd, &u.handle, O_PATH | O_CLOEXEC);
}

/* Opens the watched file by its handle through one of the mounts of its file system; -1 when none
 * knows it. */
static int open_watched(const struct proc_mounts *mounts, const struct fdinfo_inotify *item,
			const char **ret_mount)
{
	const struct proc_mount *mount;

	if (!item->has_handle)
		return -1;
	array_for(mount, &mounts->items) {
		_cleanup_fd_ int mount_fd = -1;
		int fd;

		if (mount->dev_major != item->dev_major || mount->dev_minor != item->dev_minor)
			continue;
		mount_fd = open(mount->mount_point, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		fd = mount_fd < 0 ? -1 : open_handle(mount_fd, item->handle_type, item->handle,
						     item->handle_size);
		if (fd >= 0) {
			*ret_mount = mount->mount_point;
			return fd;
		}
	}
	return -1;
}

/* The path of our descriptor, if it leads back to the same file; NULL if not. */
static char *path_of(int fd)
{
	_cleanup_free_ char *path = NULL;
	struct stat here, there;
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (readlink_alloc(AT_FDCWD, link, &path) || path[0] != '/' || fstat(fd, &here) ||
	    lstat(path, &there) || here.st_dev != there.st_dev || here.st_ino != there.st_ino)
		return NULL;
	return steal_ptr(path);
}

/* Returns what keeps the watch from being saved, NULL if it is found. */
static const char *find_watch(const struct proc_mounts *mounts, const struct fdinfo_inotify *item,
			      struct found_watch *ret)
{
	const char *mount = NULL;
	_cleanup_fd_ int fd = open_watched(mounts, item, &mount);
	struct stat st;

	*ret = (struct found_watch){ 0 };
	if (fd < 0 || fstat(fd, &st))
		return "the watched file cannot be found by its handle";
	if (!st.st_nlink)
		return "the watched file is deleted";
	ret->path = path_of(fd);
	ret->mount_path = strdup(mount);
	return NULL;
}

static int inotify_check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };
	const struct fdinfo_inotify *item;

	if (!look->info.inotify.count)
		return 0;
	if (proc_read_mountinfo(look->proc_fd, &mounts, err))
		return -1;
	array_for(item, &look->info.inotify) {
		struct found_watch found;
		const char *reason = find_watch(&mounts, item, &found);

		found_watch_release(&found);
		if (reason && blockers_add(blockers, look->pid, reason,
					   "let the program remove the watch",
					   "descriptor %d (inotify), watch %d of inode %llu",
					   look->number, item->wd,
					   (unsigned long long)item->inode))
			return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	}
	return 0;
}

static int take_watch(const struct proc_mounts *mounts, struct dump_file *f,
		      struct fdinfo_inotify *item, struct found_watch *found,
		      Inotify__Watch *watch, struct error *err)
{
	const char *reason = find_watch(mounts, item, found);

	if (reason)
		return error_set(err, ERROR_BLOCKED, 0, "%s, watch %d: %s", dump_file_name(f),
				 item->wd, reason);
	inotify__watch__init(watch);
	watch->wd = item->wd;
	watch->mask = item->mask & WATCH_BITS;
	if (found->path) {
		watch->has_path = true;
		watch->path.data = (uint8_t *)found->path;
		watch->path.len = strlen(found->path);
		return 0;
	}
	watch->has_handle = watch->has_handle_type = watch->has_mount_path = true;
	watch->handle.data = item->handle;
	watch->handle.len = item->handle_size;
	watch->handle_type = item->handle_type;
	watch->mount_path.data = (uint8_t *)found->mount_path;
	watch->mount_path.len = strlen(found->mount_path);
	return 0;
}

static int compare_wd(const void *a, const void *b)
{
	const Inotify__Watch *x = *(Inotify__Watch *const *)a, *y = *(Inotify__Watch *const *)b;

	return x->wd < y->wd ? -1 : x->wd > y->wd;
}

/* The lists have room for all items. */
static int take_watches(struct dump_file *f, struct found_watch *found, Inotify__Watch *watches,
			Inotify *m, struct error *err)
{
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };

	if (!f->look.info.inotify.count)
		return 0;
	if (proc_read_mountinfo(f->look.proc_fd, &mounts, err))
		return -1;
	for (size_t i = 0; i < f->look.info.inotify.count; i++) {
		if (take_watch(&mounts, f, &f->look.info.inotify.items[i], &found[i], &watches[i],
			       err))
			return -1;
		m->watches[m->n_watches++] = &watches[i];
	}
	qsort(m->watches, m->n_watches, sizeof(*m->watches), compare_wd);
	return 0;
}

static int dump_message(struct dump_files *d, struct dump_file *f, Inotify *m, struct error *err)
{
	FileCommon common;
	int pending;

	if (dump_file_common(d, f, &common, err))
		return -1;
	m->id = f->id;
	m->common = &common;
	if (!ioctl(f->fd, FIONREAD, &pending) && pending) {
		m->has_pending = true;
		m->pending = pending;
		log_info("%s: %d bytes of events are not saved", dump_file_name(f), pending);
	}
	return dump_file_message(d, f, &m->base, err);
}

static int inotify_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	size_t count = f->look.info.inotify.count;
	_cleanup_free_ struct found_watch *found = calloc(count + 1, sizeof(*found));
	_cleanup_free_ Inotify__Watch *watches = calloc(count + 1, sizeof(*watches));
	_cleanup_free_ Inotify__Watch **list = calloc(count + 1, sizeof(*list));
	Inotify m = INOTIFY__INIT;
	int r;

	if (!found || !watches || !list)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	m.watches = list;
	r = take_watches(f, found, watches, &m, err);
	if (!r)
		r = dump_message(d, f, &m, err);
	for (size_t i = 0; i < count; i++)
		found_watch_release(&found[i]);
	return r;
}

/* ---- restore ---- */

static int inotify_verify(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Inotify *m = (const Inotify *)f->message;

	for (size_t i = 0; i < m->n_watches; i++) {
		const Inotify__Watch *watch = m->watches[i];

		if (!watch->wd || watch->wd >= INT32_MAX ||
		    (i && watch->wd <= m->watches[i - 1]->wd) ||
		    watch->handle.len > FDINFO_HANDLE_MAX)
			return error_set(err, ERROR_IMAGE, 0, "watch %u", watch->wd);
		if (path_file_verify_path(watch->has_path ? &watch->path : &watch->mount_path,
					  err))
			return error_wrap(err, "watch %u", watch->wd);
	}
	return 0;
}

/* Watches that wait in a batch for the puppet to add them. */
struct adding {
	struct batch batch;
	size_t first;	/* watch of the first pair of records */
};

static int run_added(struct restore_file *f, struct adding *adding, size_t end, struct error *err)
{
	const Inotify *m = (const Inotify *)f->message;

	if (!adding->batch.records.count)
		return 0;
	if (restore_run(f->opener, &adding->batch, err))
		return -1;
	for (size_t i = adding->first; i < end; i++) {
		const Inotify__Watch *watch = m->watches[i];
		int64_t wd = batch_result(&adding->batch, 2 * (i - adding->first) + 1);

		if (wd < 0)
			return error_set(err, ERROR_FAILED, -wd, "watching %.*s",
					 (int)watch->path.len, (const char *)watch->path.data);
		if (wd != watch->wd)
			return error_set(err, ERROR_FAILED, 0, "the watch of %.*s has the number "
					 "%lld, not %u", (int)watch->path.len,
					 (const char *)watch->path.data, (long long)wd, watch->wd);
	}
	batch_start(&adding->batch, &f->opener->agent);
	adding->first = end;
	return 0;
}

/* By its handle, from outside: it has no path that the puppet could use. */
static int add_by_handle(struct restore_file *f, const Inotify__Watch *watch, struct error *err)
{
	_cleanup_free_ char *mount =
		strndup((char *)watch->mount_path.data ?: "", watch->mount_path.len);
	_cleanup_fd_ int mount_fd = -1, fd = -1;
	int32_t wd = watch->wd;
	char path[32];

	if (!mount)
		return error_set(err, ERROR_FAILED, ENOMEM, "watch %u", watch->wd);
	mount_fd = open(mount, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (mount_fd < 0)
		return error_set(err, ERROR_FAILED, errno, "watch %u: %s", watch->wd, mount);
	fd = open_handle(mount_fd, watch->handle_type, watch->handle.data, watch->handle.len);
	if (fd < 0)
		return error_set(err, ERROR_FAILED, errno,
				 "watch %u: the file, known by its handle "
				 "on %s only",
				 watch->wd, mount);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (ioctl(f->fd, SET_NEXT_WD, wd) || inotify_add_watch(f->fd, path, watch->mask) != wd)
		return error_set(err, ERROR_FAILED, errno, "watch %u", watch->wd);
	return 0;
}

static int add_watches(struct restore_file *f, int number, struct adding *adding,
		       struct error *err)
{
	const Inotify *m = (const Inotify *)f->message;
	struct batch *b = &adding->batch;

	batch_start(b, &f->opener->agent);
	for (size_t i = 0; i < m->n_watches; i++) {
		const Inotify__Watch *watch = m->watches[i];
		uint64_t path;

		if (!batch_has_room(b, 2, FILE_PLAN_DATA) && run_added(f, adding, i, err))
			return -1;
		if (!watch->has_path) {
			if (run_added(f, adding, i, err) || add_by_handle(f, watch, err))
				return -1;
			adding->first = i + 1;
			continue;
		}
		path = path_file_string(&watch->path, b, err);
		if (!path)
			return -1;
		batch_must(b, SYS_ioctl, number, SET_NEXT_WD, watch->wd);
		batch_call(b, SYS_inotify_add_watch, number, path,
			   (watch->mask & WATCH_BITS) | IN_DONT_FOLLOW);
	}
	return run_added(f, adding, m->n_watches, err);
}

static int inotify_create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Inotify *m = (const Inotify *)f->message;
	_cleanup_batch_ struct batch b = { 0 };
	struct adding adding = { 0 };
	int made, failed;

	batch_start(&b, &f->opener->agent);
	made = batch_must(&b, SYS_inotify_init1,
			  IN_CLOEXEC | (m->common->flags & O_NONBLOCK ? IN_NONBLOCK : 0));
	if (restore_open(r, f, &b, made, err))
		return -1;
	failed = add_watches(f, batch_result(&b, made), &adding, err);
	batch_release(&adding.batch);
	return failed;
}

static const struct file_ops inotify_file = {
	.recognise = inotify_recognise,
	.check = inotify_check,
	.dump = inotify_dump,
	.verify = inotify_verify,
	.create = inotify_create,
};

const struct kind inotify_kind = {
	.name = "inotify",
	.record = 0x109,
	.scope = KIND_FILE,
	.message = &inotify__descriptor,
	.help = "inotify watches with their numbers; events not read yet are lost",
	.file = &inotify_file,
};
