/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Advisory file locks: flock(2), POSIX and open-file-description locks of fcntl(2). They are found
 * at the descriptors through which they were set (proc_pid_fdinfo(5)), and set again through the
 * same ones by the same process. Who waits for a lock does so by his restarted system call.
 *
 * A lock of a description is found at every descriptor that leads to it, and set as often, which
 * changes nothing after the first time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "images/file_locks.pb-c.h"
#include "kinds/fd_scan.h"
#include "kinds/files.h"
#include "kinds/task/late_locks.h"
#include "proc/locks.h"

extern const struct kind file_locks_kind;

enum { LOCKS_PER_BATCH = 256 };

/* Slow: Linux waits for all processors (an RCU grace period) before it shows them. */
static int read_all_locks(struct proc_locks *ret, struct error *err)
{
	_cleanup_fd_ int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (proc < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot open /proc");
	return proc_read_locks(proc, ret, err);
}

/* Calls each() with every lock at every descriptor of a process; what is closed meanwhile is passed
 * over. */
typedef int (*lock_visitor)(void *context, int fd, const struct proc_lock *lock,
			    struct error *err);

static int visit_descriptor(int proc_fd, int fd, lock_visitor each, void *context,
			    struct error *err)
{
	_cleanup_proc_fdinfo_ struct proc_fdinfo info = { 0 };
	struct error gone = ERROR_INIT;
	const struct proc_lock *lock;

	if (proc_read_fdinfo(proc_fd, fd, &info, &gone)) {
		bool closed = gone.kind == ERROR_TARGET && gone.os_error == ENOENT;

		if (!closed)
			error_set(err, gone.kind, 0, "%s", gone.message);
		error_clear(&gone);
		return closed ? 0 : -1;
	}
	array_for(lock, &info.locks)
		if (each(context, fd, lock, err))
			return -1;
	return 0;
}

static int visit_locks(int proc_fd, lock_visitor each, void *context, struct error *err)
{
	_cleanup_fd_ int fd = openat(proc_fd, "fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir)
		return error_set(err, errno == ENOENT ? ERROR_DIED : ERROR_TARGET, errno,
				 "cannot list descriptors");
	steal_fd(&fd);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' &&
		    visit_descriptor(proc_fd, fd_number(entry->d_name), each, context, err))
			return -1;
	return 0;
}

/* ---- dump ---- */

struct collected {
	ARRAY_OF(FileLock) locks;
};

static int collect(void *context, int fd, const struct proc_lock *lock, struct error *err)
{
	static const FileLock__Type types[] = {
		[PROC_LOCK_POSIX] = FILE_LOCK__TYPE__POSIX,
		[PROC_LOCK_OFD] = FILE_LOCK__TYPE__OFD,
		[PROC_LOCK_FLOCK] = FILE_LOCK__TYPE__FLOCK,
	};
	struct collected *c = context;
	FileLock *m;

	if (lock->blocked)
		return 0;
	if (lock->type != PROC_LOCK_POSIX && lock->type != PROC_LOCK_OFD &&
	    lock->type != PROC_LOCK_FLOCK)
		return error_set(err, ERROR_BLOCKED, 0,
				 "descriptor %d holds a lease, which cannot be saved", fd);
	m = array_add(&c->locks);
	if (!m)
		return error_set(err, ERROR_FAILED, ENOMEM, "file locks");
	file_lock__init(m);
	m->fd = fd;
	m->type = types[lock->type];
	m->exclusive = lock->mode == F_WRLCK;
	if (lock->type == PROC_LOCK_FLOCK)
		return 0;
	m->has_start = true;
	m->start = lock->start;
	m->has_end = lock->end != UINT64_MAX;
	m->end = lock->end;
	return 0;
}

static int file_locks_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			   struct error *err)
{
	_cleanup_free_ FileLock **pointers = NULL;
	struct collected found = { 0 };
	FileLocks m = FILE_LOCKS__INIT;
	int r;

	if (!dump_files_have_locks(t->task->dump->files, t->task->pid))
		return 0;
	r = visit_locks(t->task->proc_fd, collect, &found, err);
	if (r == 0 && found.locks.count) {
		pointers = calloc(found.locks.count, sizeof(*pointers));
		for (size_t i = 0; pointers && i < found.locks.count; i++)
			pointers[i] = &found.locks.items[i];
		m.pid = t->task->pid;
		m.n_locks = found.locks.count;
		m.locks = pointers;
		r = pointers ? dump_state(t->task->dump, &file_locks_kind, &m.base, err) :
			       error_set(err, ERROR_FAILED, ENOMEM, "file locks");
	}
	array_release(&found.locks);
	return r ? error_wrap(err, "process %d: file locks", t->task->pid) : 0;
}

/* ---- restore ---- */

static int plan_lock(const FileLock *m, struct batch *b, struct error *err)
{
	struct flock range;

	switch (m->type) {
	case FILE_LOCK__TYPE__FLOCK:
		return batch_call(b, SYS_flock, m->fd,
				  (m->exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
	case FILE_LOCK__TYPE__POSIX:
	case FILE_LOCK__TYPE__OFD:
		if (file_lock_range(m, &range, err))
			return -1;
		return batch_call(b, SYS_fcntl, m->fd,
				  m->type == FILE_LOCK__TYPE__OFD ? F_OFD_SETLK : F_SETLK,
				  batch_put(b, &range, sizeof(range)));
	default:
		return error_set(err, ERROR_IMAGE, 0, "unknown type of lock %d", m->type);
	}
}

static bool conflicts(const struct proc_lock *held, const FileLock *m, const struct stat *st)
{
	bool flock = m->type == FILE_LOCK__TYPE__FLOCK;

	return !held->blocked && held->has_file && held->inode == st->st_ino &&
	       (held->type == PROC_LOCK_FLOCK) == flock &&
	       (m->exclusive || held->mode == F_WRLCK) &&
	       (flock || (held->end >= m->start && (!m->has_end || held->start <= m->end)));
}

/* Looks for the process that holds a lock of a description, which /proc/locks does not name. */
struct owner_search {
	const struct proc_lock *lock;
	bool found;
};

static int is_that_lock(void *context, int fd, const struct proc_lock *lock, struct error *err)
{
	struct owner_search *search = context;

	if (lock->type == search->lock->type && lock->inode == search->lock->inode &&
	    lock->start == search->lock->start)
		search->found = true;
	return 0;
}

static pid_t find_owner(const struct proc_lock *lock)
{
	_cleanup_dir_ DIR *proc = opendir("/proc");
	const struct dirent *entry;

	if (lock->pid > 0)
		return lock->pid;
	while (proc && (entry = readdir(proc))) {
		struct owner_search search = { .lock = lock };
		struct error gone = ERROR_INIT;
		_cleanup_fd_ int dir = -1;

		if (fd_number(entry->d_name) <= 0)
			continue;
		dir = openat(dirfd(proc), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0 && visit_locks(dir, is_that_lock, &search, &gone))
			error_clear(&gone);
		if (search.found)
			return fd_number(entry->d_name);
	}
	return 0;
}

/* Says who has a lock that could not be had. */
static int lock_refused(struct restore_task *task, const FileLock *m, int os_error,
			struct error *err)
{
	_cleanup_proc_locks_ struct proc_locks all = { 0 };
	_cleanup_fd_ int fd = puppet_fetch_fd(task, m->fd, err);
	_cleanup_free_ char *path = NULL;
	const struct proc_lock *held;
	char link[64];
	struct stat st;

	if (fd < 0 || read_all_locks(&all, err))
		return -1;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) || readlink_alloc(AT_FDCWD, link, &path))
		return error_set(err, ERROR_FAILED, errno, "descriptor %u", m->fd);
	array_for(held, &all.items)
		if (conflicts(held, m, &st) && held->pid != task->threads.items[0]->tracee.tid) {
			error_set(err, ERROR_FAILED, os_error, "%s is locked by process %d", path,
				  find_owner(held));
			return error_hint(err, "end the program that holds the lock first");
		}
	return error_set(err, ERROR_FAILED, os_error, "%s cannot be locked again", path);
}

static int set_locks(struct restore_task *task, FileLock *const *locks, size_t count,
		     struct batch *b, struct error *err)
{
	int first = -1;

	batch_start(b, &task->agent);
	for (size_t i = 0; i < count; i++) {
		int record = plan_lock(locks[i], b, err);

		if (record < 0)
			return -1;
		if (i == 0)
			first = record;
	}
	if (restore_run(task, b, err))
		return -1;
	for (size_t i = 0; i < count; i++) {
		int64_t r = batch_result(b, first + i);

		if (r == -EAGAIN && task->restore->decides_later) {
			if (late_lock_add(task, locks[i], err))
				return -1;
		} else if (r < 0)
			return lock_refused(task, locks[i], -r, err);
	}
	return 0;
}

static int file_locks_put(struct restore_thread *t, const ProtobufCMessage *message,
			  struct batch *b, struct error *err)
{
	const FileLocks *m = (const FileLocks *)message;
	_cleanup_batch_ struct batch own = { 0 };
	size_t count;

	for (size_t done = 0; done < m->n_locks; done += count) {
		count = m->n_locks - done < LOCKS_PER_BATCH ? m->n_locks - done : LOCKS_PER_BATCH;
		if (set_locks(t->task, m->locks + done, count, &own, err))
			return error_wrap(err, "process %d: file locks", t->task->pid);
	}
	return 0;
}

static const struct state_ops file_locks_state = {
	.take = file_locks_take,
	.put = file_locks_put,
};

const struct kind file_locks_kind = {
	.name = "file-locks",
	.record = 0x170,
	.scope = KIND_TASK,
	.message = &file_locks__descriptor,
	.help = "flock, POSIX and open-file-description locks",
	.state = &file_locks_state,
};
