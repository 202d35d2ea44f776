/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/requirements.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "kinds/restore.h"
#include "proc/maps.h"
#include "proc/stat.h"
#include "steps/cpu.h"

enum {
	FILES_MAX = 4096,	/* that are named; a restore checks all anyway */
	IDS_MAX = 65536,
	BLOCKERS_MAX = 40,
};

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "requirements");
}

/* ---- at the source ---- */

static int add_id(MigrateRequirements *m, uint32_t id, struct error *err)
{
	uint32_t *grown;
	size_t i;

	for (i = m->n_ids; i-- > 0;)
		if (m->ids[i] == id)
			return 0;
	if (!id || m->n_ids >= IDS_MAX)
		return 0;
	grown = m->n_ids & (m->n_ids - 1) ? m->ids :
					    realloc(m->ids, (2 * m->n_ids + 1) * sizeof(*grown));
	if (!grown)
		return no_memory(err);
	m->ids = grown;
	m->ids[m->n_ids++] = id;
	return 0;
}

/* A group or session of the caller's is not the tree's to bring along. */
static int add_ids_of(MigrateRequirements *m, int dir, const struct pid_list *all,
		      struct error *err)
{
	_cleanup_pid_list_ struct pid_list threads = { 0 };
	struct proc_stat stat;
	const pid_t *tid;

	if (proc_list_tasks(dir, &threads, err) || proc_read_stat(dir, &stat, err))
		return -1;
	array_for(tid, &threads.pids)
		if (add_id(m, *tid, err))
			return -1;
	if (pid_list_has(all, stat.pgrp) && add_id(m, stat.pgrp, err))
		return -1;
	return pid_list_has(all, stat.session) ? add_id(m, stat.session, err) : 0;
}

static bool has_file(const MigrateRequirements *m, const char *path)
{
	size_t i;

	for (i = 0; i < m->n_files; i++)
		if (!strcmp(m->files[i]->path, path))
			return true;
	return false;
}

static int add_file(MigrateRequirements *m, const char *path, uint64_t size, struct error *err)
{
	MigrateFile *file;

	if (m->n_files >= FILES_MAX || has_file(m, path))
		return 0;
	file = malloc(sizeof(*file));
	if (!file)
		return no_memory(err);
	migrate_file__init(file);
	file->path = strdup(path);
	file->size = size;
	m->files[m->n_files++] = file;
	return file->path ? 0 : no_memory(err);
}

/* Programs and libraries: what is mapped from files, and will be mapped from them there. */
static int add_files_of(MigrateRequirements *m, int dir, struct error *err)
{
	_cleanup_vma_list_ struct vma_list maps = { 0 };
	const struct vma *v;
	struct stat st;

	if (proc_read_maps(dir, &maps, err))
		return -1;
	array_for(v, &maps.vmas)
		if (v->kind == VMA_FILE && !v->deleted && v->path && v->path[0] == '/' &&
		    !v->shared && !stat(v->path, &st) && S_ISREG(st.st_mode) &&
		    st.st_ino == v->inode && add_file(m, v->path, st.st_size, err))
			return -1;
	return 0;
}

static int collect(MigrateRequirements *m, const struct pid_list *tree, uint64_t namespaces,
		   struct error *err)
{
	const pid_t *pid;

	m->files = calloc(FILES_MAX, sizeof(*m->files));
	if (!m->files)
		return no_memory(err);
	array_for(pid, &tree->pids) {
		_cleanup_error_ struct error ended = ERROR_INIT;
		_cleanup_fd_ int dir = proc_open(*pid);

		if (dir < 0)
			continue;
		if ((!(namespaces & CLONE_NEWPID) && add_ids_of(m, dir, tree, &ended)) ||
		    (!(namespaces & CLONE_NEWNS) && add_files_of(m, dir, &ended))) {
			if (ended.kind == ERROR_DIED)
				continue;
			*err = ended;
			ended = ERROR_INIT;
			return -1;
		}
	}
	return 0;
}

MigrateRequirements *requirements_collect(const struct pid_list *tree, uint64_t namespaces,
					  const char *rootfs, struct error *err)
{
	MigrateRequirements *m = malloc(sizeof(*m));
	struct utsname host;

	if (!m) {
		no_memory(err);
		return NULL;
	}
	migrate_requirements__init(m);
	m->root_pid = tree->pids.items[0];
	m->root = rootfs ? strdup(rootfs) : NULL;
	m->page_size = sysconf(_SC_PAGESIZE);
	m->machine = uname(&host) ? NULL : strdup(host.machine);
	m->cpu = cpu_describe();
	if (m->machine && m->cpu && (m->root || !rootfs) && !collect(m, tree, namespaces, err))
		return m;
	no_memory(err);
	migrate_requirements__free_unpacked(m, NULL);
	return NULL;
}

/* ---- at the destination ---- */

static int check_machine(const MigrateRequirements *m, struct blockers *blockers,
			 struct error *err)
{
	struct error cpu = ERROR_INIT;
	struct restore r = { 0 };
	struct utsname host;
	int failed = 0;

	if (uname(&host))
		return error_set(err, ERROR_FAILED, errno, "uname");
	if (strcmp(m->machine, host.machine) &&
	    blockers_add(blockers, 0, "another architecture", NULL, "%s instead of %s",
			 host.machine, m->machine))
		return no_memory(err);
	if (m->page_size != (uint32_t)sysconf(_SC_PAGESIZE) &&
	    blockers_add(blockers, 0, "pages of another size", NULL, "%ld bytes instead of %u",
			 sysconf(_SC_PAGESIZE), m->page_size))
		return no_memory(err);
	if (cpu_check(&r, m->cpu, &cpu)) {
		failed = blockers_add(blockers, 0, cpu.message, cpu.hint, "processor");
		error_clear(&cpu);
	}
	return failed ? no_memory(err) : 0;
}

static bool is_taken(pid_t id)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", id);
	return !access(path, F_OK) || !kill(-id, 0);
}

static int check_ids(const MigrateRequirements *m, struct blockers *blockers, struct error *err)
{
	size_t i;

	for (i = 0; i < m->n_ids && blockers->list.count < BLOCKERS_MAX; i++) {
		_cleanup_error_ struct error gone = ERROR_INIT;
		struct proc_stat stat = { .comm = "another program" };
		pid_t id = m->ids[i];

		if (id > 0 && !is_taken(id))
			continue;
		if (id > 0 && proc_stat_of(id, &stat, &gone))
			error_clear(&gone);
		if (blockers_add(blockers, 0, "taken",
				 "end that process, or receive in a pid namespace of its own",
				 "process id %d, by \"%s\"", id, stat.comm))
			return no_memory(err);
	}
	return 0;
}

static int check_files(const MigrateRequirements *m, struct blockers *blockers, struct error *err)
{
	size_t i;

	for (i = 0; i < m->n_files && blockers->list.count < BLOCKERS_MAX; i++) {
		const MigrateFile *f = m->files[i];
		struct stat st;
		int r = 0;

		if (stat(f->path, &st))
			r = blockers_add(blockers, 0, strerror(errno), "put the same file there",
					 "file %s", f->path);
		else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != f->size)
			r = blockers_add(blockers, 0, "it is another file",
					 "put the same file there", "file %s", f->path);
		if (r)
			return no_memory(err);
	}
	return 0;
}

int requirements_check(const MigrateRequirements *m, struct blockers *blockers, struct error *err)
{
	return check_machine(m, blockers, err) || check_ids(m, blockers, err) ||
			       check_files(m, blockers, err) ?
		       -1 :
		       0;
}

int requirements_check_root(const char *path, struct blockers *blockers, struct error *err)
{
	struct stat st;
	int r = 0;

	if (stat(path, &st))
		r = blockers_add(blockers, 0, strerror(errno), "put it there, or say --root-map",
				 "root directory %s", path);
	else if (!S_ISDIR(st.st_mode))
		r = blockers_add(blockers, 0, "it is no directory", NULL, "root directory %s",
				 path);
	return r ? no_memory(err) : 0;
}

/* ---- the answer ---- */

static MigrateBlocker *make_one(const struct blocker *b)
{
	MigrateBlocker *one = malloc(sizeof(*one));

	if (!one)
		return NULL;
	migrate_blocker__init(one);
	one->object = strdup(b->object);
	one->reason = strdup(b->reason);
	one->remedy = b->remedy ? strdup(b->remedy) : NULL;
	if (one->object && one->reason && (!b->remedy || one->remedy))
		return one;
	migrate_blocker__free_unpacked(one, NULL);
	return NULL;
}

MigrateVerdict *verdict_make(const struct blockers *blockers, struct error *err)
{
	MigrateVerdict *m = malloc(sizeof(*m));
	const struct blocker *b;

	if (m)
		migrate_verdict__init(m);
	if (m && blockers->list.count)
		m->blockers = calloc(blockers->list.count, sizeof(*m->blockers));
	if (m && (m->blockers || !blockers->list.count)) {
		array_for(b, &blockers->list)
			if ((m->blockers[m->n_blockers] = make_one(b)))
				m->n_blockers++;
		if (m->n_blockers == blockers->list.count)
			return m;
	}
	if (m)
		migrate_verdict__free_unpacked(m, NULL);
	no_memory(err);
	return NULL;
}

int verdict_read(const MigrateVerdict *m, struct blockers *blockers, struct error *err)
{
	size_t i;

	for (i = 0; i < m->n_blockers; i++) {
		const MigrateBlocker *b = m->blockers[i];

		if (blockers_add(blockers, 0, b->reason, b->remedy, "%s", b->object))
			return no_memory(err);
	}
	return 0;
}
