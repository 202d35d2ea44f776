/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System V semaphores. A set that is still there gets the values of the checkpoint. What the kernel
 * would undo at a process's end (SEM_UNDO) cannot be read: when the saved processes end it happens
 * to the set as it is, and the values of the image count for the restored ones, which have nothing
 * to undo. Who waits does so by his restarted call.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sem.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "kinds/ipc/sysv.h"

enum { SEMAPHORES_MAX = 32000 };	/* SEMMSL */

/* What a restore has done outside. */
struct sem_made {
	bool created, replaced;
	size_t count;
	unsigned short before[];
};

/* glibc leaves it to the program. */
union semun {
	int value;
	struct semid_ds *ds;
	unsigned short *values;
};

/* ---- dump ---- */

static bool sysv_sem_recognise(const struct object_look *look)
{
	return look->st.st_dev == (dev_t)SYSV_SEM_DEVICE;
}

static int claim_set(const struct sysv_tree *tree, const struct sysvipc_sem *set,
		     enum sysv_claim *ret, struct error *err)
{
	_cleanup_free_ pid_t *operators = calloc(set->count + 1, sizeof(*operators));

	if (!operators)
		return error_set(err, ERROR_FAILED, ENOMEM, "semaphores");
	for (uint32_t i = 0; i < set->count; i++)
		operators[i] = semctl(set->perm.id, i, GETPID);
	*ret = sysv_claim(tree, operators, set->count, &set->perm, set->ctime);
	return 0;
}

int sysv_sem_each(const struct sysv_tree *tree, sysv_visitor each, void *context,
		  struct error *err)
{
	_cleanup_fd_ int proc = sysv_open_proc(err);
	struct sysvipc_sems sets = { 0 };
	const struct sysvipc_sem *set;
	int r = 0;

	if (proc < 0 || proc_read_sem(proc, &sets, err))
		return -1;
	array_for(set, &sets.items) {
		struct sysv_found found = { .id = set->perm.id, .perm = &set->perm };

		r = claim_set(tree, set, &found.claim, err);
		if (!r && found.claim != SYSV_FOREIGN)
			r = each(context, &found, err);
		if (r)
			break;
	}
	array_release(&sets.items);
	return r;
}

static int sysv_sem_dump(struct dump_objects *d, struct dump_object *o,
			 const struct object_look *look, struct error *err)
{
	_cleanup_free_ unsigned short *values = NULL;
	_cleanup_free_ uint32_t *list = NULL;
	SysvSem m = SYSV_SEM__INIT;
	struct semid_ds ds;
	SysvOwner owner;

	if (semctl(o->ino, 0, IPC_STAT, (union semun){ .ds = &ds }))
		return error_set(err, ERROR_TARGET, errno, "semaphores %d", (int)o->ino);
	values = calloc(ds.sem_nsems + 1, sizeof(*values));
	list = calloc(ds.sem_nsems + 1, sizeof(*list));
	if (!values || !list)
		return error_set(err, ERROR_FAILED, ENOMEM, "semaphores");
	if (semctl(o->ino, 0, GETALL, (union semun){ .values = values }))
		return error_set(err, ERROR_TARGET, errno, "semaphores %d: GETALL", (int)o->ino);
	for (size_t i = 0; i < ds.sem_nsems; i++)
		list[i] = values[i];
	sysv_owner_fill(&owner, &ds.sem_perm, look->st.st_nlink ? SYSV_USED : SYSV_PRESUMED);
	m.id = o->id;
	m.semid = o->ino;
	m.owner = &owner;
	m.n_values = ds.sem_nsems;
	m.values = list;
	return dump_object_message(d, o, &m.base, err);
}

/* ---- restore ---- */

static const struct sysv_sort sort = {
	.name = "semaphores",
	.next_id = "sem_next_id",
	.remove = 's',
	.guard = GUARD_SEM,
	.get = SYS_semget,
	.control = SYS_semctl,
	.has_size = true,
	.has_number = true,
};

static int set_values(struct restore_task *opener, const SysvSem *m, unsigned short *before,
		      struct error *err)
{
	_cleanup_free_ unsigned short *values = calloc(m->n_values, sizeof(*values));
	size_t size = m->n_values * sizeof(*values);
	_cleanup_batch_ struct batch b = { 0 };
	uint64_t old;

	if (!values)
		return error_set(err, ERROR_FAILED, ENOMEM, "semaphores");
	for (size_t i = 0; i < m->n_values; i++)
		values[i] = m->values[i];
	batch_start(&b, &opener->agent);
	old = batch_space(&b, size);
	batch_must(&b, SYS_semctl, m->semid, 0, GETALL, old);
	batch_must(&b, SYS_semctl, m->semid, 0, SETALL, batch_put(&b, values, size));
	if (restore_run(opener, &b, err))
		return error_wrap(err, "semaphores %u", m->semid);
	memcpy(before, batch_at(&b, old), size);
	return 0;
}

static int check_values(const SysvSem *m, struct error *err)
{
	if (!m->n_values || m->n_values > SEMAPHORES_MAX)
		return error_set(err, ERROR_IMAGE, 0, "%zu semaphores", m->n_values);
	for (size_t i = 0; i < m->n_values; i++)
		if (m->values[i] > INT16_MAX)
			return error_set(err, ERROR_IMAGE, 0, "semaphores %u: %u", m->semid,
					 m->values[i]);
	return 0;
}

static int sysv_sem_create(struct restore_objects *r, struct restore_object *o, struct error *err)
{
	const SysvSem *m = (const SysvSem *)o->message;
	const struct sysv_making making = { &sort, m->semid, m->owner, m->n_values, 0 };
	struct restore_task *opener = restore_objects_opener(r);
	struct sem_made *made;
	struct semid_ds ds = { 0 };
	int found;

	if (check_values(m, err))
		return -1;
	made = calloc(1, sizeof(*made) + m->n_values * sizeof(made->before[0]));
	if (!made)
		return error_set(err, ERROR_FAILED, ENOMEM, "semaphores");
	o->data = made;
	found = sysv_find(opener, &making, &ds, sizeof(ds), err);
	if (found > 0 && ds.sem_nsems != m->n_values) {
		error_set(err, ERROR_FAILED, 0, "semaphores %u: there are %lu of them instead of %zu",
			  m->semid, ds.sem_nsems, m->n_values);
		return error_hint(err, "remove them: ipcrm -s %u", m->semid);
	}
	made->created = found == 0;
	return found < 0 || (!found && sysv_make(opener, &making, &ds, sizeof(ds), err)) ? -1 : 0;
}

/* The values are set last: those of a set that is there may still be in use until then. */
static int sysv_sem_finish(struct restore_objects *r, struct restore_object *o, struct error *err)
{
	const SysvSem *m = (const SysvSem *)o->message;
	struct sem_made *made = o->data;

	if (!made->created && m->owner->presumed)
		return 0;
	if (set_values(restore_objects_opener(r), m, made->before, err))
		return -1;
	made->replaced = !made->created;
	return 0;
}

static void sysv_sem_undo(struct restore_objects *r, struct restore_object *o)
{
	const SysvSem *m = (const SysvSem *)o->message;
	struct sem_made *made = o->data;

	if (made && made->created)
		semctl(m->semid, 0, IPC_RMID);
	else if (made && made->replaced)
		semctl(m->semid, 0, SETALL, (union semun){ .values = made->before });
}

static const struct object_ops sysv_sem_ops = {
	.recognise = sysv_sem_recognise,
	.dump = sysv_sem_dump,
	.create = sysv_sem_create,
	.finish = sysv_sem_finish,
	.undo = sysv_sem_undo,
};

const struct kind sysv_sem_kind = {
	.name = "sysv-sem",
	.record = 0x3a,
	.scope = KIND_OBJECT,
	.message = &sysv_sem__descriptor,
	.help = "System V semaphores with id, key, owner and values",
	.object = &sysv_sem_ops,
};
