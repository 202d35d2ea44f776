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
#include "kinds/objects.h"
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
	o->fd = object_look_open(look, O_RDONLY);
	if (o->fd < 0)
		return error_set(err, ERROR_TARGET, errno, "cannot open it");
	o->has_content = true;
	o->size = look->st.st_size;
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

/* Asks in the opener, whose IPC namespace counts. 1: there, and the same as at the checkpoint;
 * 0: not there. */
static int find_segment(struct restore_task *opener, const SysvShm *m, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	const struct shmid_ds *ds;
	int64_t result;
	uint64_t at;

	batch_start(&b, &opener->agent);
	at = batch_space(&b, sizeof(*ds));
	batch_call(&b, SYS_shmctl, m->shmid, IPC_STAT, at);
	if (restore_run(opener, &b, err))
		return -1;
	result = batch_result(&b, 0);
	ds = batch_at(&b, at);
	if (result == -EINVAL || result == -EIDRM)
		return 0;
	if (result == 0 && (uint32_t)ds->shm_perm.__key == m->key && ds->shm_segsz == m->size &&
	    ds->shm_perm.uid == m->uid && ds->shm_perm.cuid == m->creator_uid)
		return 1;
	error_set(err, ERROR_FAILED, result < 0 ? -result : 0,
		  "segment %u: another System V segment has this id", m->shmid);
	return error_hint(err, "remove it: ipcrm -m %u", m->shmid);
}

/* The creator is who calls shmget, so the opener takes its ids on for that; its user id 0 brings
 * the capabilities back. */
static int make_segment(struct restore_task *opener, const SysvShm *m, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	char id[16];
	int file, flags = IPC_CREAT | IPC_EXCL | m->mode | (m->no_reserve ? SHM_NORESERVE : 0);
	int made, length = snprintf(id, sizeof(id), "%u", m->shmid);
	struct shmid_ds ds = { 0 };

	if (guard_will_make(opener->restore->guard, GUARD_SHM, m->shmid, NULL, err))
		return -1;
	batch_start(&b, &opener->agent);
	file = batch_must(&b, SYS_openat, AT_FDCWD,
			  batch_string(&b, "/proc/sys/kernel/shm_next_id"), O_WRONLY | O_CLOEXEC);
	batch_from(&b, batch_must(&b, SYS_write, 0, batch_string(&b, id), length), 0, file);
	batch_from(&b, batch_call(&b, SYS_close, 0), 0, file);
	if (m->creator_gid)
		batch_must(&b, SYS_setresgid, -1, m->creator_gid, -1);
	if (m->creator_uid)
		batch_must(&b, SYS_setresuid, -1, m->creator_uid, -1);
	made = batch_call(&b, SYS_shmget, m->key, m->size, flags);
	if (m->creator_uid)
		batch_must(&b, SYS_setresuid, -1, 0, -1);
	if (m->creator_gid)
		batch_must(&b, SYS_setresgid, -1, 0, -1);
	if (restore_run(opener, &b, err))
		return error_wrap(err, "segment %u", m->shmid);
	if (batch_result(&b, made) == -EEXIST) {
		error_set(err, ERROR_FAILED, 0, "segment %u: another System V segment has its key "
			  "%#x", m->shmid, m->key);
		return error_hint(err, "remove it: ipcrm -M %#x", m->key);
	}
	if (batch_result(&b, made) < 0)
		return error_set(err, ERROR_FAILED, -batch_result(&b, made), "segment %u of %llu "
				 "bytes", m->shmid, (unsigned long long)m->size);
	ds.shm_perm.uid = m->uid;
	ds.shm_perm.gid = m->gid;
	ds.shm_perm.mode = m->mode;
	batch_start(&b, &opener->agent);
	made = batch_result(&b, made);
	if (made == (int)m->shmid)
		batch_must(&b, SYS_shmctl, made, IPC_SET, batch_put(&b, &ds, sizeof(ds)));
	else
		batch_must(&b, SYS_shmctl, made, IPC_RMID, 0);
	if (restore_run(opener, &b, err))
		return error_wrap(err, "segment %u", m->shmid);
	if (made != (int)m->shmid)
		return error_set(err, ERROR_FAILED, 0, "segment %u: the kernel made number %d",
				 m->shmid, made);
	return 0;
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
	int found;

	if (!made)
		return error_set(err, ERROR_FAILED, ENOMEM, "segment %u", m->shmid);
	o->data = made;
	if (!m->size || m->size > INT64_MAX || m->shmid > INT32_MAX || m->mode & ~PERMISSIONS)
		return error_set(err, ERROR_IMAGE, 0, "segment %u is impossible", m->shmid);
	found = find_segment(opener, m, err);
	if (found < 0 || (!found && make_segment(opener, m, err)))
		return -1;
	made->created = !found;
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
