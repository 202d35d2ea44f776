/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segments of System V shared memory. One that is still there with the same id and key is used
 * again and gets the content of the checkpoint; else it is made with the same id.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "guard/guard.h"
#include "images/sysv_shm.pb-c.h"
#include "kinds/ipc/sysv.h"
#include "tracee/batch.h"

extern const struct kind sysv_shm_kind;

enum { PERMISSIONS = 0777 };

/* What a restore has done outside. */
struct sysv_made {
	bool created;
};

static bool sysv_shm_recognise(const struct object_look *look)
{
	return S_ISREG(look->st.st_mode) && !strncmp(look->path, "/SYSV", 5) &&
	       look->st.st_dev == object_shmem_device();
}

static int sysv_shm_dump(struct dump_objects *d, struct dump_object *o,
			 const struct object_look *look, struct error *err)
{
	SysvShm m = SYSV_SHM__INIT;
	struct shmid_ds ds;

	if (shmctl(o->ino, IPC_STAT, &ds))
		return error_set(err, ERROR_TARGET, errno, "segment %llu",
				 (unsigned long long)o->ino);
	if (dump_object_content(o, look, err))
		return -1;
	m.id = o->id;
	m.shmid = o->ino;
	m.key = ds.shm_perm.__key;
	m.size = ds.shm_segsz;
	m.mode = ds.shm_perm.mode & PERMISSIONS;
	m.uid = ds.shm_perm.uid;
	m.gid = ds.shm_perm.gid;
	m.creator_uid = ds.shm_perm.cuid;
	m.creator_gid = ds.shm_perm.cgid;
	m.has_removed = m.removed = ds.shm_perm.mode & SHM_DEST;
	m.has_locked = m.locked = ds.shm_perm.mode & SHM_LOCKED;
	m.has_no_reserve = m.no_reserve = look->vma && look->vma->flags & VMA_NR;
	return dump_object_message(d, o, &m.base, err);
}

static const struct sysv_sort sort = {
	.name = "segment",
	.next_id = "shm_next_id",
	.remove = 'm',
	.guard = GUARD_SHM,
	.get = SYS_shmget,
	.control = SYS_shmctl,
	.has_size = true,
};

/* Looks for the segment, and makes it if it is not there. */
static int find_or_make(struct restore_task *opener, const SysvShm *m, bool *ret_created,
			struct error *err)
{
	SysvOwner owner = SYSV_OWNER__INIT;
	const struct sysv_making making = {
		&sort, m->shmid, &owner, m->size, m->no_reserve ? SHM_NORESERVE : 0,
	};
	struct shmid_ds ds = { 0 };
	int found;

	owner.key = m->key;
	owner.mode = m->mode;
	owner.uid = m->uid;
	owner.gid = m->gid;
	owner.creator_uid = m->creator_uid;
	owner.creator_gid = m->creator_gid;
	found = sysv_find(opener, &making, &ds, sizeof(ds), err);
	if (found < 0)
		return -1;
	if (found && (ds.shm_segsz != m->size || ds.shm_perm.uid != m->uid))
		return sysv_taken(&making, 0, err);
	*ret_created = !found;
	ds = (struct shmid_ds){ 0 };
	return found ? 0 : sysv_make(opener, &making, &ds, sizeof(ds), err);
}

/* A descriptor of the segment's file: by /proc/PID/map_files while the opener has it attached. */
static int open_segment(struct restore_task *opener, const SysvShm *m, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	const uint64_t page = 4096;
	char path[96];
	uint64_t at;
	int fd;

	batch_start(&b, &opener->agent);
	batch_must(&b, SYS_shmat, m->shmid, 0, 0);
	if (restore_run(opener, &b, err))
		return error_wrap(err, "segment %u", m->shmid);
	at = batch_result(&b, 0);
	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx",
		 opener->threads.items[0]->tracee.tid, (unsigned long)at,
		 (unsigned long)(at + ((m->size + page - 1) & ~(page - 1))));
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		error_set(err, ERROR_FAILED, errno, "segment %u: %s", m->shmid, path);
	batch_start(&b, &opener->agent);
	batch_must(&b, SYS_shmdt, at);
	if (restore_run(opener, &b, err))
		fd_close(&fd);
	return fd;
}

static int sysv_shm_create(struct restore_objects *r, struct restore_object *o, struct error *err)
{
	const SysvShm *m = (const SysvShm *)o->message;
	struct restore_task *opener = restore_objects_opener(r);
	struct sysv_made *made = calloc(1, sizeof(*made));

	if (!made)
		return error_set(err, ERROR_FAILED, ENOMEM, "segment %u", m->shmid);
	o->data = made;
	if (!m->size || m->size > INT64_MAX || m->shmid > INT32_MAX || m->mode & ~PERMISSIONS)
		return error_set(err, ERROR_IMAGE, 0, "segment %u is impossible", m->shmid);
	if (find_or_make(opener, m, &made->created, err))
		return -1;
	o->fd = open_segment(opener, m, err);
	o->has_content = true;
	o->size = m->size;
	return o->fd < 0 ? -1 : 0;
}

static int sysv_shm_finish(struct restore_objects *r, struct restore_object *o, struct error *err)
{
	const SysvShm *m = (const SysvShm *)o->message;
	struct restore_task *opener = restore_objects_opener(r);
	_cleanup_batch_ struct batch b = { 0 };

	batch_start(&b, &opener->agent);
	if (m->locked)
		batch_must(&b, SYS_shmctl, m->shmid, SHM_LOCK, 0);
	if (m->removed)
		batch_must(&b, SYS_shmctl, m->shmid, IPC_RMID, 0);
	if (b.records.count && restore_run(opener, &b, err))
		return error_wrap(err, "segment %u", m->shmid);
	return 0;
}

static void sysv_shm_undo(struct restore_objects *r, struct restore_object *o)
{
	const struct sysv_made *made = o->data;

	if (made && made->created)
		shmctl(((const SysvShm *)o->message)->shmid, IPC_RMID, NULL);
}

static const struct object_ops sysv_shm_ops = {
	.recognise = sysv_shm_recognise,
	.dump = sysv_shm_dump,
	.create = sysv_shm_create,
	.finish = sysv_shm_finish,
	.undo = sysv_shm_undo,
};

const struct kind sysv_shm_kind = {
	.name = "sysv-shm",
	.record = 0x34,
	.scope = KIND_OBJECT,
	.message = &sysv_shm__descriptor,
	.help = "attached System V shared memory with id, key, owner and content",
	.object = &sysv_shm_ops,
};
