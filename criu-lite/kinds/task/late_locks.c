/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/task/late_locks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "proc/maps.h"

enum {
	WAIT_MS = 3000,			/* at most, while the tree is frozen */
	WAIT_PAUSE_NS = 500 * 1000,
	MORE_TRIES = 100,		/* while it runs */
	MORE_PAUSE_NS = 100 * 1000 * 1000,
	STOP_TIMEOUT_MS = 2000,
};

/* A task that is held until all have taken their locks. */
struct owner {
	struct restore_task *task;
	struct tracee *threads;
	size_t count;
};

struct late_owners {
	ARRAY_OF(struct owner) items;
};

int file_lock_range(const FileLock *m, struct flock *ret, struct error *err)
{
	*ret = (struct flock){
		.l_type = m->exclusive ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_start = m->start,
		.l_len = m->has_end ? m->end - m->start + 1 : 0,
	};
	if (m->start > INT64_MAX || (m->has_end && (m->end < m->start || m->end >= INT64_MAX)))
		return error_set(err, ERROR_IMAGE, 0, "a lock from byte %#llx to %#llx cannot be",
				 (unsigned long long)m->start, (unsigned long long)m->end);
	return 0;
}

int late_lock_add(struct restore_task *task, const FileLock *m, struct error *err)
{
	struct late_lock *late = array_add(&task->restore->late_locks);

	if (!late)
		return error_set(err, ERROR_FAILED, ENOMEM, "file locks");
	*late = (struct late_lock){ task, m, -1 };
	late->fd = puppet_fetch_fd(task, m->fd, err);
	return late->fd < 0 ? -1 : 0;
}

static bool of_process(const struct late_lock *l)
{
	return l->lock->type == FILE_LOCK__TYPE__POSIX;
}

/* Takes a lock of a description, through our descriptor for it; of one of a process tells whether
 * it could be had. */
static bool available(struct late_lock *l)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	struct flock range;

	if (l->lock->type == FILE_LOCK__TYPE__FLOCK)
		return !flock(l->fd, (l->lock->exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
	if (file_lock_range(l->lock, &range, &ignored))
		return false;
	if (!of_process(l))
		return !fcntl(l->fd, F_OFD_SETLK, &range);
	return !fcntl(l->fd, F_GETLK, &range) && range.l_type == F_UNLCK;
}

/* Whether there are any that could not be had yet, after another try. */
static bool some_wait(struct restore *r)
{
	struct late_lock *l;
	bool waits = false;

	array_for(l, &r->late_locks) {
		if (l->fd < 0)
			continue;
		if (!available(l))
			waits = true;
		else if (!of_process(l))
			fd_close(&l->fd);
	}
	return waits;
}

void late_locks_wait(struct restore *r)
{
	uint64_t deadline = now_ns() + WAIT_MS * 1000000ull;

	while (some_wait(r) && now_ns() < deadline)
		nanosleep(&(struct timespec){ .tv_nsec = WAIT_PAUSE_NS }, NULL);
}

static void let_go(struct owner *o)
{
	_cleanup_error_ struct error ended = ERROR_INIT;
	size_t i;

	for (i = 0; i < o->count; i++) {
		error_clear(&ended);
		if (o->threads[i].held && tracee_detach(&o->threads[i], &ended))
			log_info("%s", ended.message);
		tracee_release(&o->threads[i]);
	}
	free(o->threads);
}

static int hold(struct owner *o, struct error *err)
{
	struct restore_task *t = o->task;
	size_t i, count = t->threads.count - t->leader_gone;

	o->threads = calloc(count, sizeof(*o->threads));
	if (!o->threads)
		return error_set(err, ERROR_FAILED, ENOMEM, "file locks");
	for (; o->count < count; o->count++)
		if (tracee_seize(&o->threads[o->count], t->threads.items[o->count]->tid, t->pid,
				 TRACEE_SECCOMP_OFF, err))
			return -1;
	for (i = 0; i < count; i++)
		if (tracee_interrupt(&o->threads[i], err))
			return -1;
	return 0;
}

static bool has_late_locks(const struct restore *r, const struct restore_task *t)
{
	const struct late_lock *l;

	array_for(l, &r->late_locks)
		if (l->fd >= 0 && of_process(l) && (!t || l->task == t))
			return true;
	return false;
}

void late_locks_hold(struct restore *r)
{
	struct restore_task **t;

	if (!has_late_locks(r, NULL))
		return;
	r->late_owners = calloc(1, sizeof(*r->late_owners));
	array_for(t, &r->tasks) {
		_cleanup_error_ struct error failed = ERROR_INIT;
		struct owner *o;

		if ((*t)->zombie || !r->late_owners || !(o = array_add(&r->late_owners->items)))
			continue;
		*o = (struct owner){ .task = *t };
		if (hold(o, &failed))
			log_notice("process %d: file locks: %s", (*t)->pid, failed.message);
	}
}

static int stop_all(struct owner *o, struct error *err)
{
	size_t i;

	for (i = 0; i < o->count; i++)
		if (tracee_wait_stopped(&o->threads[i], STOP_TIMEOUT_MS, err))
			return -1;
	return o->count ? 0 : error_set(err, ERROR_TARGET, 0, "it could not be held");
}

/* The call, with its argument on the stack of the thread, where it stays as it was otherwise: none
 * of the threads runs. */
static int call(struct tracee *t, const struct agent_site *site, const struct late_lock *l,
		int64_t *ret, struct error *err)
{
	const uint64_t place = (arch_sp(&t->saved) + 15) & ~15ull;
	const uint64_t arguments[6] = { l->lock->fd, F_SETLK, place };
	char before[sizeof(struct flock)];
	struct flock range;
	int r;

	if (file_lock_range(l->lock, &range, err) ||
	    tracee_read(t, place, before, sizeof(before), err) ||
	    tracee_write(t, place, &range, sizeof(range), err))
		return -1;
	r = agent_call_once(t, site, ret, err, SYS_fcntl, arguments);
	return tracee_write(t, place, before, sizeof(before), err) || r ? -1 : 0;
}

static int take_those_of(struct restore *r, struct owner *o, struct error *err)
{
	struct gadget_cache gadgets = { 0 };
	struct vma_list maps = { 0 };
	const struct agent_site site = { .maps = &maps, .gadgets = &gadgets };
	_cleanup_fd_ int proc = -1;
	struct late_lock *l;
	int failed;

	if (!has_late_locks(r, o->task))
		return 0;
	proc = proc_open(o->task->pid);
	failed = tracee_save(&o->threads[0], err) || proc_read_maps(proc, &maps, err);
	array_for(l, &r->late_locks) {
		int64_t result = -1;

		if (failed || l->fd < 0 || !of_process(l) || l->task != o->task)
			continue;
		failed = call(&o->threads[0], &site, l, &result, err);
		if (!failed && !result)
			fd_close(&l->fd);
	}
	vma_list_release(&maps);
	gadget_cache_release(&gadgets);
	return failed ? -1 : 0;
}

/* Nobody of the tree may see a lock free that another one of it is about to take. */
static void take_and_let_go(struct restore *r)
{
	struct owner *o;

	if (!r->late_owners)
		return;
	array_for(o, &r->late_owners->items) {
		_cleanup_error_ struct error failed = ERROR_INIT;

		if (stop_all(o, &failed) || take_those_of(r, o, &failed))
			log_notice("process %d: file locks: %s", o->task->pid, failed.message);
	}
	array_for(o, &r->late_owners->items)
		let_go(o);
	array_release(&r->late_owners->items);
	free(r->late_owners);
	r->late_owners = NULL;
}

static bool all_held(const struct restore *r)
{
	const struct late_lock *l;

	array_for(l, &r->late_locks)
		if (l->fd >= 0)
			return false;
	return true;
}

void late_locks_take(struct restore *r)
{
	const struct late_lock *l;
	int tries;

	take_and_let_go(r);
	for (tries = 0; tries < MORE_TRIES && !all_held(r); tries++) {
		nanosleep(&(struct timespec){ .tv_nsec = MORE_PAUSE_NS }, NULL);
		if (some_wait(r))
			continue;
		late_locks_hold(r);
		take_and_let_go(r);
	}
	array_for(l, &r->late_locks)
		if (l->fd >= 0)
			log_notice("process %d runs without the lock that it had by its descriptor %u: "
				   "somebody else holds it",
				   l->task->pid, l->lock->fd);
}

void late_locks_release(struct restore *r)
{
	struct late_lock *l;

	array_for(l, &r->late_locks)
		fd_close(&l->fd);
	array_release(&r->late_locks);
}
