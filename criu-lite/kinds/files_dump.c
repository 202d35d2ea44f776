/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The descriptor engine, dump side. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "images/descriptors.pb-c.h"
#include "kernel-compat/calls.h"
#include "kinds/fd_scan.h"

struct dump_files {
	struct dump *run;
	struct fd_scan scan;
	int proc_self;	/* /proc/PID of our own, for descriptors in flight */
};

int dump_files_new(struct dump *run, struct error *err)
{
	struct dump_files *d = calloc(1, sizeof(*d));

	if (!d)
		return error_set(err, ERROR_FAILED, ENOMEM, "descriptors");
	d->run = run;
	d->scan.closes_connections = run->closes_connections;
	d->proc_self = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->proc_self < 0) {
		error_set(err, ERROR_FAILED, errno, "/proc/self");
		free(d);
		return -1;
	}
	run->files = d;
	return 0;
}

void dump_files_free(struct dump_files *d)
{
	if (!d)
		return;
	fd_scan_release(&d->scan);
	fd_close(&d->proc_self);
	free(d);
}

struct dump *dump_files_run(struct dump_files *d)
{
	return d->run;
}

int dump_files_scan(struct dump_files *d, struct error *err)
{
	struct blockers blockers = { 0 };
	int r = 0;

	for (size_t i = 0; i < d->run->tasks.count; i++) {
		struct dump_task *task = d->run->tasks.items[i];
		struct dump_thread *speaker = task->threads.items;

		if (fd_scan_process(&d->scan, task->pid, err))
			return -1;
		if (!task->zombie &&
		    fd_scan_table(&d->scan, task, task->pid, speaker->tid, speaker->proc_fd,
				  task->threads.count == 1 && !task->leader_gone, err))
			return -1;
	}
	r = fd_scan_judge(&d->scan, &blockers, err);
	if (!r)
		r = blockers_error(&blockers, err);
	blockers_release(&blockers);
	return r;
}

/* ---- questions of the kinds ---- */

struct dump_file *dump_files_at(struct dump_files *d, size_t index)
{
	return index < d->scan.files.count ? &d->scan.files.items[index]->file : NULL;
}

struct dump_file *dump_file_of_look(const struct fd_look *look)
{
	return &fd_file_of_look(look)->file;
}

int dump_file_standard(struct dump_files *d, struct dump_file *f)
{
	return fd_scan_standard(&d->scan, fd_file_of(f));
}

const char *dump_file_name(struct dump_file *f)
{
	struct fd_file *file = fd_file_of(f);
	const char *where = file->in_flight ? "in the queue of a socket" : "descriptor";
	int r = 0;

	if (!file->name && file->in_flight)
		r = asprintf(&file->name, "descriptor %s (%s)", where, f->look.link);
	else if (!file->name)
		r = asprintf(&file->name, "process %d: %s %d (%s)", f->look.pid, where,
			     f->look.number, f->look.link);
	if (r < 0)
		file->name = NULL;
	return file->name ? file->name : where;
}

int dump_file_fd(struct dump_files *d, struct dump_file *f, struct error *err)
{
	if (f->fd >= 0)
		return f->fd;
	f->fd = fd_look_duplicate(&f->look);
	if (f->fd < 0)
		return error_set(err, errno == ESRCH ? ERROR_DIED : ERROR_TARGET, errno,
				 "%s: pidfd_getfd", dump_file_name(f));
	return f->fd;
}

int dump_file_message(struct dump_files *d, struct dump_file *f, const ProtobufCMessage *message,
		      struct error *err)
{
	return stream_write(d->run->out, f->kind->record, RECORD_CRITICAL, message, err);
}

static FileCommon__OwnerType owner_type(const struct f_owner_ex *owner)
{
	if (owner->type == F_OWNER_TID)
		return FILE_COMMON__OWNER_TYPE__THREAD;
	if (owner->type == F_OWNER_PGRP)
		return FILE_COMMON__OWNER_TYPE__GROUP;
	return FILE_COMMON__OWNER_TYPE__PROCESS;
}

int dump_file_common(struct dump_files *d, struct dump_file *f, FileCommon *ret,
		     struct error *err)
{
	struct f_owner_ex owner = { 0 };
	int fd, signal;

	file_common__init(ret);
	ret->flags = f->look.info.flags & ~O_CLOEXEC;
	ret->position = f->look.info.pos;
	if (ret->flags & O_PATH)
		return 0;
	fd = dump_file_fd(d, f, err);
	if (fd < 0)
		return -1;
	signal = fcntl(fd, F_GETSIG);
	if (fcntl(fd, F_GETOWN_EX, &owner) || signal < 0)
		return error_set(err, ERROR_TARGET, errno, "%s: F_GETOWN_EX", dump_file_name(f));
	if (owner.pid) {
		ret->has_owner_type = ret->has_owner = true;
		ret->owner_type = owner_type(&owner);
		ret->owner = owner.pid;
	}
	ret->has_signal = signal != 0;
	ret->signal = signal;
	return 0;
}

uint32_t dump_files_find(struct dump_files *d, pid_t pid, int number)
{
	const struct fd_look *look = fd_scan_at(&d->scan, pid, number);

	return look ? fd_file_of_look(look)->file.id : 0;
}

const struct fd_scan *dump_files_tree(const struct dump_files *d)
{
	return &d->scan;
}

bool dump_files_have_locks(const struct dump_files *d, pid_t pid)
{
	const struct fd_table *table;

	array_for(table, &d->scan.tables)
		if (table->pid == pid && table->has_locks)
			return true;
	return false;
}

struct dump_file *dump_files_next_of_inode(struct dump_files *d, dev_t dev, ino_t ino,
					   const struct dump_file *after)
{
	const struct fd_look *look = fd_scan_by_inode(&d->scan, dev, ino,
						      after ? &after->look : NULL);

	return look ? &fd_file_of_look(look)->file : NULL;
}

struct dump_file *dump_files_by_inode(struct dump_files *d, dev_t dev, ino_t ino,
				      const struct dump_file *other)
{
	struct dump_file *f = dump_files_next_of_inode(d, dev, ino, NULL);

	return f && f == other ? dump_files_next_of_inode(d, dev, ino, f) : f;
}

uint32_t dump_files_in_flight(struct dump_files *d, int fd, struct error *err)
{
	_cleanup_fd_ int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	const struct fd_look holder = { .pid = getpid(), .proc_fd = d->proc_self, .pidfd = -1 };
	struct fd_look look;
	struct fd_file *f;
	bool is_new;

	if (own < 0) {
		error_set(err, ERROR_FAILED, errno, "descriptor in flight");
		return 0;
	}
	if (fd_look_read(&look, &holder, own, err) <= 0) {
		error_set(err, ERROR_FAILED, 0, "descriptor in flight: closed while we look");
		return 0;
	}
	f = fd_scan_find(&d->scan, &look, &is_new, err);
	if (!f)
		return 0;
	if (is_new) {
		f->in_flight = true;
		f->file.fd = steal_fd(&own);
	}
	return f->file.id;
}

/* ---- saving ---- */

static int save_file(struct dump_files *d, struct fd_file *f, struct error *err)
{
	const char *reason, *remedy;
	struct dump_file *file = &f->file;

	if (f->saved)
		return 0;
	f->saved = true;
	/* Found in a queue since, or its other end may have been. */
	if (!f->kind || f->blocked || f->kind == &external_kind)
		fd_scan_classify(&d->scan, f);
	file->kind = f->kind;
	if (!file->kind) {
		fd_unsupported(&file->look, &reason, &remedy);
		error_set(err, ERROR_BLOCKED, 0, "%s: %s", dump_file_name(file), reason);
		return remedy ? error_hint(err, "%s", remedy) : -1;
	}
	if (f->blocked) {
		error_set(err, ERROR_BLOCKED, 0, "%s: its other end is held by a process outside "
			  "of the tree", dump_file_name(file));
		return error_hint(err, "save the tree that holds both ends");
	}
	if (file->kind->file->dump(d, file, err))
		return error_wrap(err, "%s", file->kind->name);
	/* Thousands of descriptions must not need thousands of descriptors here. */
	if (!f->in_flight)
		fd_close(&file->fd);
	return 0;
}

static int save_table(struct dump_files *d, const struct fd_table *table, struct error *err)
{
	FdTable m = FD_TABLE__INIT;
	size_t count = table->entries.count;
	_cleanup_free_ FdTable__Entry *entries = calloc(count + 1, sizeof(*entries));
	_cleanup_free_ FdTable__Entry **list = calloc(count + 1, sizeof(*list));

	if (!entries || !list)
		return error_set(err, ERROR_FAILED, ENOMEM, "process %d: descriptors", table->pid);
	for (size_t i = 0; i < count; i++) {
		const struct fd_entry *entry = &table->entries.items[i];

		fd_table__entry__init(&entries[i]);
		entries[i].number = entry->number;
		entries[i].file = entry->file;
		entries[i].has_cloexec = entries[i].cloexec = entry->cloexec;
		list[i] = &entries[i];
	}
	m.pid = table->pid;
	m.n_entries = count;
	m.entries = list;
	return dump_state(d->run, &descriptors_kind, &m.base, err);
}

int dump_files_save(struct dump_files *d, struct error *err)
{
	struct fd_table *table;

	/* Sockets first: what waits in their queues may be the other end of something. The list
	 * grows while we go. */
	for (size_t i = 0; i < d->scan.files.count; i++)
		if (S_ISSOCK(d->scan.files.items[i]->file.look.st.st_mode) &&
		    save_file(d, d->scan.files.items[i], err))
			return -1;
	for (size_t i = 0; i < d->scan.files.count; i++)
		if (save_file(d, d->scan.files.items[i], err))
			return -1;
	array_for(table, &d->scan.tables)
		if (save_table(d, table, err))
			return -1;
	return 0;
}

void dump_files_silence(struct dump_files *d)
{
	for (size_t i = 0; i < d->scan.files.count; i++) {
		_cleanup_error_ struct error failed = ERROR_INIT;
		struct dump_file *f = &d->scan.files.items[i]->file;

		if (f->kind && f->kind->file->silence && f->kind->file->silence(d, f, &failed))
			log_info("%s", failed.message);
	}
}

static const struct state_ops descriptors_state = { 0 };

const struct kind descriptors_kind = {
	.name = "descriptors",
	.record = 0xb0,
	.scope = KIND_TASK,
	.message = &fd_table__descriptor,
	.help = "descriptor tables: numbers, close-on-exec, descriptions shared by dup and fork",
	.state = &descriptors_state,
};
