/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/ipc/sysv.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "guard/guard.h"
#include "kernel-compat/features.h"
#include "kinds/ns/user_namespace.h"

enum { PERMISSIONS = 0777, QUEUE_MAX = RECORD_PAYLOAD_MAX - (1 << 20), TRIES = 5 };

/* ---- which ones ---- */

static bool is_member(const struct sysv_tree *tree, pid_t pid)
{
	const struct sysv_member *m;

	array_for(m, &tree->members)
		if (m->pid == pid)
			return true;
	return false;
}

static bool is_user(const struct sysv_tree *tree, uid_t uid)
{
	const struct sysv_member *m;

	array_for(m, &tree->members)
		if (m->uid == uid)
			return true;
	return false;
}

enum sysv_claim sysv_claim(const struct sysv_tree *tree, const pid_t *operators, size_t count,
			   const struct sysvipc_perm *perm, int64_t changed)
{
	bool others = false;

	if (tree->owns_all)
		return SYSV_USED;
	for (size_t i = 0; i < count; i++) {
		if (operators[i] > 0 && is_member(tree, operators[i]))
			return SYSV_USED;
		others |= operators[i] > 0 && (!kill(operators[i], 0) || errno != ESRCH);
	}
	return !others && changed >= tree->began && is_user(tree, perm->cuid) ? SYSV_PRESUMED :
										SYSV_FOREIGN;
}

int sysv_open_proc(struct error *err)
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (proc < 0)
		error_set(err, ERROR_FAILED, errno, "cannot open /proc");
	return proc;
}

/* When a process began, in seconds since 1970. */
static int64_t began_at(uint64_t start_ticks)
{
	struct timespec boot, now;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec - boot.tv_sec + (int64_t)(start_ticks / sysconf(_SC_CLK_TCK)) - 1;
}

static int add_member(struct sysv_tree *tree, pid_t pid, uid_t uid, struct error *err)
{
	struct sysv_member *m = array_add(&tree->members);

	if (!m)
		return error_set(err, ERROR_FAILED, ENOMEM, "System V IPC");
	*m = (struct sysv_member){ pid, uid };
	return 0;
}

/* ---- dump ---- */

void sysv_owner_fill(SysvOwner *ret, const struct ipc_perm *perm, enum sysv_claim claim)
{
	sysv_owner__init(ret);
	ret->key = perm->__key;
	ret->mode = perm->mode & PERMISSIONS;
	ret->uid = perm->uid;
	ret->gid = perm->gid;
	ret->creator_uid = perm->cuid;
	ret->creator_gid = perm->cgid;
	ret->has_presumed = ret->presumed = claim == SYSV_PRESUMED;
}

struct saving {
	struct dump *run;
	dev_t device;
	const char *name;
};

static int save_one(void *context, const struct sysv_found *found, struct error *err)
{
	const struct saving *s = context;
	const struct sysvipc_perm *perm = found->perm;
	/* What recognise and dump of the row get to see. */
	struct object_look look = {
		.path = s->name,
		.st = {
			.st_dev = s->device,
			.st_ino = found->id,
			.st_mode = perm->mode & PERMISSIONS,
			.st_nlink = found->claim == SYSV_USED,
		},
	};

	return dump_objects_get(s->run->objects, &look, err) ? 0 : -1;
}

/* Who looks at a segment finds it as a mapping: that is ours, for the moment. */
static int save_loose(struct dump *d, int self, const struct sysvipc_shm *segment,
		      struct error *err)
{
	uint64_t page = sysconf(_SC_PAGESIZE);
	void *at = shmat(segment->perm.id, NULL, SHM_RDONLY);
	char path[] = "/SYSV";
	struct vma vma = {
		.start = (uintptr_t)at,
		.end = (uintptr_t)at + ((segment->size + page - 1) & ~(page - 1)),
		.inode = segment->perm.id,
		.path = path,
		.deleted = true,
	};
	struct object_look look;
	int r = 0;

	if (at == (void *)-1)
		return error_set(err, ERROR_TARGET, errno, "segment %d", segment->perm.id);
	if (object_look_vma(&look, getpid(), self, &vma))
		r = error_set(err, ERROR_TARGET, errno, "segment %d: cannot look",
			      segment->perm.id);
	else if (!dump_objects_get(d->objects, &look, err))
		r = -1;
	shmdt(at);
	return r;
}

/* Segments that no process of the tree has attached, in a namespace where all are its own. */
static int save_loose_segments(struct dump *d, struct error *err)
{
	_cleanup_fd_ int proc = sysv_open_proc(err);
	_cleanup_fd_ int self = proc < 0 ? -1 : openat(proc, "self", O_PATH | O_CLOEXEC);
	struct sysvipc_shms all = { 0 };
	const struct sysvipc_shm *segment;
	int r;

	if (proc < 0)
		return -1;
	if (self < 0)
		return error_set(err, ERROR_FAILED, errno, "/proc/self");
	r = proc_read_shm(proc, &all, err);
	array_for(segment, &all.items)
		if (!r && !segment->attached)
			r = save_loose(d, self, segment, err);
	array_release(&all.items);
	return r;
}

int sysv_dump(struct dump *d, struct error *err)
{
	struct sysv_tree tree = { 0 };
	struct saving sems = { d, SYSV_SEM_DEVICE, "semaphores" };
	struct saving queues = { d, SYSV_MSG_DEVICE, "message queue" };
	struct dump_task **t;
	int r = 0;

	tree.owns_all = d->container.namespaces & CLONE_NEWIPC;
	tree.began = began_at(d->tasks.items[0]->stat.start_time);
	array_for(t, &d->tasks)
		if (!r && !(*t)->zombie)
			r = add_member(&tree, (*t)->pid, (*t)->threads.items[0].status.uid[1], err);
	if (!r && tree.owns_all)
		r = save_loose_segments(d, err);
	if (!r)
		r = sysv_sem_each(&tree, save_one, &sems, err) ||
		    sysv_msg_each(&tree, save_one, &queues, err);
	array_release(&tree.members);
	return r ? -1 : 0;
}

/* ---- preflight ---- */

struct checking {
	struct blockers *blockers;
	pid_t root;
	const char *reason, *remedy, *name;
	uint64_t limit;
};

static int check_one(void *context, const struct sysv_found *found, struct error *err)
{
	const struct checking *c = context;

	if (found->bytes < c->limit)
		return 0;
	if (blockers_add(c->blockers, c->root, c->reason, c->remedy, "System V %s %d", c->name,
			 found->id))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

int sysv_check(const struct task_look *tasks, size_t count, struct blockers *blockers,
	       struct error *err)
{
	struct sysv_tree tree = { 0 };
	struct checking large = {
		blockers, count ? tasks[0].pid : 0, "more than 15 MiB wait in it",
		"let the program read some of it", "message queue", QUEUE_MAX,
	};
	struct checking unreadable = {
		blockers, large.root, "this kernel cannot copy the messages that wait in it",
		"use a kernel with CONFIG_CHECKPOINT_RESTORE", "message queue", 1,
	};
	int r = 0;

	if (!count)
		return 0;
	tree.began = began_at(tasks[0].stat->start_time);
	for (size_t i = 0; i < count && !r; i++)
		r = add_member(&tree, tasks[i].pid, tasks[i].status->uid[1], err);
	if (!r)
		r = sysv_msg_each(&tree, check_one,
				  feature_works("msg-copy") ? &large : &unreadable, err);
	array_release(&tree.members);
	return r;
}

/* ---- restore ---- */

/* IPC_STAT, IPC_SET or IPC_RMID, with the arguments where the call wants them. */
static int plan_control(struct batch *b, const struct sysv_making *m, uint32_t id, int command,
			uint64_t data)
{
	const struct sysv_sort *s = m->sort;

	return s->has_number ? batch_call(b, s->control, id, 0, command, data) :
			       batch_call(b, s->control, id, command, data);
}

int sysv_find(struct restore_task *opener, const struct sysv_making *m, void *ret_ds,
	      size_t ds_size, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	const struct ipc_perm *perm;
	int64_t result;
	uint64_t at;

	if (m->id > INT32_MAX || m->owner->mode & ~PERMISSIONS)
		return error_set(err, ERROR_IMAGE, 0, "%s %u: impossible", m->sort->name, m->id);
	batch_start(&b, &opener->agent);
	at = batch_space(&b, ds_size);
	plan_control(&b, m, m->id, IPC_STAT, at);
	if (restore_run(opener, &b, err))
		return -1;
	result = batch_result(&b, 0);
	perm = batch_at(&b, at);
	if (result == -EINVAL || result == -EIDRM)
		return 0;
	memcpy(ret_ds, perm, ds_size);
	if (result == 0 && (uint32_t)perm->__key == m->owner->key &&
	    perm->cuid == user_inside(opener->restore, m->owner->creator_uid))
		return 1;
	return sysv_taken(m, result < 0 ? -result : 0, err);
}

int sysv_taken(const struct sysv_making *m, int os_error, struct error *err)
{
	error_set(err, ERROR_FAILED, os_error, "%s %u: another has this id", m->sort->name, m->id);
	return error_hint(err, "remove it: ipcrm -%c %u", m->sort->remove, m->id);
}

/* The kernel shall take our number for the next that is made in this namespace. A container may
 * have /proc/sys read-only, hence by ourselves. */
static int ask_for_number(const struct sysv_making *m, struct error *err)
{
	_cleanup_fd_ int file = -1;
	char path[64], id[16];
	int length = snprintf(id, sizeof(id), "%u", m->id);

	snprintf(path, sizeof(path), "/proc/sys/kernel/%s", m->sort->next_id);
	file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0 || write(file, id, length) != length)
		return error_set(err, ERROR_FAILED, errno, "cannot set %s", path);
	return 0;
}

/* The creator is who makes the call, so the opener takes its ids on for that; its user id 0 brings
 * the capabilities back. */
static int plan_get(const struct restore *r, struct batch *b, const struct sysv_making *m)
{
	const SysvOwner *o = m->owner;
	uint32_t uid = user_inside(r, o->creator_uid), gid = group_inside(r, o->creator_gid);
	int flags = IPC_CREAT | IPC_EXCL | o->mode | m->flags, made;

	if (gid)
		batch_must(b, SYS_setresgid, -1, gid, -1);
	if (uid)
		batch_must(b, SYS_setresuid, -1, uid, -1);
	made = m->sort->has_size ? batch_call(b, m->sort->get, o->key, m->size, flags) :
				   batch_call(b, m->sort->get, o->key, flags);
	if (uid)
		batch_must(b, SYS_setresuid, -1, 0, -1);
	if (gid)
		batch_must(b, SYS_setresgid, -1, 0, -1);
	return made;
}

/* What was made and cannot be what it should be goes again. */
static void unmake(struct restore_task *opener, const struct sysv_making *m, int64_t id)
{
	_cleanup_batch_ struct batch b = { 0 };
	_cleanup_error_ struct error lost = ERROR_INIT;

	if (id < 0)
		return;
	batch_start(&b, &opener->agent);
	plan_control(&b, m, id, IPC_RMID, 0);
	restore_run(opener, &b, &lost);
}

/* Makes it under whatever id; returns that, or -1. */
static int64_t get(struct restore_task *opener, const struct sysv_making *m, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	int64_t id;
	int made;

	if (ask_for_number(m, err))
		return -1;
	batch_start(&b, &opener->agent);
	made = plan_get(opener->restore, &b, m);
	b.records.items[made].result = -1;
	if (restore_run(opener, &b, err)) {
		unmake(opener, m, batch_result(&b, made));
		return error_wrap(err, "%s %u", m->sort->name, m->id);
	}
	id = batch_result(&b, made);
	if (id == -EEXIST) {
		error_set(err, ERROR_FAILED, 0, "%s %u: another has the key %#x", m->sort->name,
			  m->id, m->owner->key);
		return error_hint(err, "remove it: ipcrm -%c %#x", toupper(m->sort->remove),
				  m->owner->key);
	}
	if (id < 0)
		return error_set(err, ERROR_FAILED, -id, "%s %u", m->sort->name, m->id);
	return id;
}

int sysv_make(struct restore_task *opener, const struct sysv_making *m, void *ds, size_t ds_size,
	      struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	struct ipc_perm *perm = ds;
	int64_t id = -1;

	if (guard_will_make(opener->restore->guard, m->sort->guard, m->id, NULL, err))
		return -1;
	/* Whoever makes one between our two calls takes the number that we have asked for. */
	for (int tries = 0; tries < TRIES && id != m->id; tries++) {
		unmake(opener, m, id);
		id = get(opener, m, err);
		if (id < 0)
			return -1;
	}
	if (id != m->id) {
		unmake(opener, m, id);
		return error_set(err, ERROR_FAILED, 0, "%s %u: the kernel makes number %d instead",
				 m->sort->name, m->id, (int)id);
	}
	perm->uid = user_inside(opener->restore, m->owner->uid);
	perm->gid = group_inside(opener->restore, m->owner->gid);
	perm->mode = m->owner->mode;
	batch_start(&b, &opener->agent);
	plan_control(&b, m, id, IPC_SET, batch_put(&b, ds, ds_size));
	if (restore_run(opener, &b, err))
		return -1;
	if (batch_result(&b, 0) < 0)
		return error_set(err, ERROR_FAILED, -batch_result(&b, 0), "%s %u: IPC_SET",
				 m->sort->name, m->id);
	return 0;
}
