/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/fd_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/calls.h"
#include "kernel-compat/features.h"

enum order { ORDER_SAME, ORDER_LESS, ORDER_GREATER, ORDER_UNKNOWN };

/* kcmp(2) tells whether two descriptors share a description, and else a steady order of them. */
static enum order file_order(const struct fd_look *a, const struct fd_look *b)
{
	int r = sys_kcmp(a->pid, b->pid, KCMP_FILE, a->number, b->number);

	return r < 0 || r > ORDER_UNKNOWN ? ORDER_UNKNOWN : (enum order)r;
}

static size_t bucket_of(dev_t dev, ino_t ino, size_t count)
{
	uint64_t key = (uint64_t)ino * 0x9e3779b97f4a7c15 ^ (uint64_t)dev * 0xff51afd7ed558ccd;

	return (key ^ key >> 32) & (count - 1);
}

static int grow_buckets(struct fd_scan *scan)
{
	size_t count = scan->bucket_count ? scan->bucket_count * 4 : 64;
	struct fd_group **buckets = calloc(count, sizeof(*buckets));

	if (!buckets)
		return -1;
	for (size_t i = 0; i < scan->bucket_count; i++)
		while (scan->buckets[i]) {
			struct fd_group *group = scan->buckets[i];
			struct fd_group **home = &buckets[bucket_of(group->dev, group->ino, count)];

			scan->buckets[i] = group->next;
			group->next = *home;
			*home = group;
		}
	free(scan->buckets);
	scan->buckets = buckets;
	scan->bucket_count = count;
	return 0;
}

static struct fd_group *find_group(const struct fd_scan *scan, dev_t dev, ino_t ino)
{
	struct fd_group *group;

	if (!scan->bucket_count)
		return NULL;
	group = scan->buckets[bucket_of(dev, ino, scan->bucket_count)];
	while (group && (group->dev != dev || group->ino != ino))
		group = group->next;
	return group;
}

/* The next group behind this one with the same inode. */
static struct fd_group *next_group(const struct fd_group *after)
{
	struct fd_group *group = after->next;

	while (group && (group->dev != after->dev || group->ino != after->ino))
		group = group->next;
	return group;
}

/* All eventfds have the same inode, but the kernel tells which is which. */
static ino_t group_inode(const struct fd_look *look)
{
	return look->st.st_ino + ((uint64_t)look->info.eventfd_id << 32);
}

/* The group that a look belongs to, made if there is none; its link is set by the first file. */
static struct fd_group *group_of(struct fd_scan *scan, const struct fd_look *look)
{
	ino_t ino = group_inode(look);
	struct fd_group *group = find_group(scan, look->st.st_dev, ino);
	struct fd_group **home;

	while (group && strcmp(group->link, look->link))
		group = next_group(group);
	if (group)
		return group;
	if (scan->group_count >= scan->bucket_count && grow_buckets(scan))
		return NULL;
	group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	group->dev = look->st.st_dev;
	group->ino = ino;
	group->link = look->link;
	home = &scan->buckets[bucket_of(group->dev, group->ino, scan->bucket_count)];
	group->next = *home;
	*home = group;
	scan->group_count++;
	return group;
}

/* Where the look stands, or would stand, among the sorted files of its group. *ret_same says that
 * the file there is the same description. */
static size_t position_of(const struct fd_group *group, const struct fd_look *look, bool *ret_same)
{
	size_t low = 0, high = group->sorted.count;

	*ret_same = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		switch (file_order(look, &group->sorted.items[middle]->file.look)) {
		case ORDER_SAME:
			*ret_same = true;
			return middle;
		case ORDER_LESS:
			high = middle;
			break;
		case ORDER_GREATER:
		case ORDER_UNKNOWN:	/* one of them is closed by now: no order matters */
			low = middle + 1;
			break;
		}
	}
	return low;
}

static struct fd_file *add_file(struct fd_scan *scan, struct fd_group *group, size_t position,
				struct fd_look *look)
{
	struct fd_file *f = calloc(1, sizeof(*f));

	if (!f || !array_add(&group->sorted) || !array_add(&scan->files)) {
		free(f);
		return NULL;
	}
	memmove(&group->sorted.items[position + 1], &group->sorted.items[position],
		(group->sorted.count - 1 - position) * sizeof(*group->sorted.items));
	group->sorted.items[position] = f;
	scan->files.items[scan->files.count - 1] = f;
	f->file.id = scan->files.count;
	f->file.fd = -1;
	f->file.look = *look;
	f->standard = -1;
	*look = (struct fd_look){ 0 };
	group->link = group->sorted.count == 1 ? f->file.look.link : group->link;
	if (group->last)
		group->last->next = f;
	else
		group->first = f;
	group->last = f;
	return f;
}

struct fd_file *fd_scan_find(struct fd_scan *scan, struct fd_look *look, bool *ret_new,
			     struct error *err)
{
	struct fd_group *group = group_of(scan, look);
	struct fd_file *f = NULL;
	bool same = false;

	if (group) {
		size_t position = position_of(group, look, &same);

		f = same ? group->sorted.items[position] : add_file(scan, group, position, look);
	}
	*ret_new = !same;
	if (!f)
		error_set(err, ERROR_FAILED, ENOMEM, "descriptors");
	fd_look_release(look);
	return f;
}

static int add_entry(struct fd_scan *scan, struct fd_table *table, int number, struct error *err)
{
	const struct fd_look holder = {
		.pid = table->tid, .proc_fd = table->proc_fd, .pidfd = table->pidfd,
	};
	struct fd_entry *entry;
	struct fd_look look;
	struct fd_file *f;
	bool cloexec, is_new;
	int r = fd_look_read(&look, &holder, number, err);

	if (r <= 0) {
		if (r == 0 && !scan->running)
			return error_set(err, ERROR_TARGET, 0,
					 "process %d: descriptor %d is closed "
					 "while we look: somebody outside of the tree shares the "
					 "descriptor table",
					 table->pid, number);
		return r;
	}
	cloexec = look.info.flags & O_CLOEXEC;
	table->has_locks |= look.info.locks.count > 0;
	f = fd_scan_find(scan, &look, &is_new, err);
	if (!f)
		return -1;
	if (is_new)
		f->file.task = table->task;
	if (number <= STDERR_FILENO && (f->standard < 0 || number < f->standard))
		f->standard = number;
	entry = array_add(&table->entries);
	if (!entry)
		return error_set(err, ERROR_FAILED, ENOMEM, "descriptors");
	*entry = (struct fd_entry){ .number = number, .cloexec = cloexec, .file = f->file.id };
	return 0;
}

static int read_entries(struct fd_scan *scan, struct fd_table *table, struct error *err)
{
	int fd = openat(table->proc_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *item;

	if (!dir) {
		fd_close(&fd);
		if (scan->running && (errno == ENOENT || errno == ESRCH))
			return 0;
		return error_set(err, errno == ESRCH || errno == ENOENT ? ERROR_DIED : ERROR_TARGET,
				 errno, "process %d: /proc/%d/fd", table->pid, table->tid);
	}
	for (errno = 0; (item = readdir(dir)); errno = 0) {
		int number = fd_number(item->d_name);

		if (number >= 0 && add_entry(scan, table, number, err))
			return -1;
	}
	if (errno && !(scan->running && errno == ESRCH))
		return error_set(err, ERROR_TARGET, errno, "process %d: /proc/%d/fd", table->pid,
				 table->tid);
	return 0;
}

int fd_scan_process(struct fd_scan *scan, pid_t pid, struct error *err)
{
	pid_t *place = array_add(&scan->processes);

	if (!place)
		return error_set(err, ERROR_FAILED, ENOMEM, "descriptors");
	*place = pid;
	return 0;
}

bool fd_scan_may_leave(const struct fd_scan *scan)
{
	if (scan->closes_connections || !scan->can_lock)
		return true;
	if (*scan->can_lock < 0)
		*scan->can_lock = feature_works("packet-lock");
	return *scan->can_lock;
}

bool fd_scan_has_process(const struct fd_scan *scan, pid_t pid)
{
	const pid_t *process;

	array_for(process, &scan->processes)
		if (*process == pid)
			return true;
	return false;
}

int fd_scan_table(struct fd_scan *scan, struct dump_task *task, pid_t pid, pid_t tid, int proc_fd,
		  bool one_thread, struct error *err)
{
	struct fd_table *table = array_add(&scan->tables);

	if (!table)
		return error_set(err, ERROR_FAILED, ENOMEM, "descriptors");
	*table = (struct fd_table){ .pid = pid, .tid = tid, .proc_fd = -1, .pidfd = -1,
				    .task = task, .one_thread = one_thread };
	/* Looks keep it for as long as the scan lives. */
	table->proc_fd = fcntl(proc_fd, F_DUPFD_CLOEXEC, 0);
	if (table->proc_fd < 0)
		return error_set(err, ERROR_FAILED, errno, "process %d: descriptors", pid);
	table->pidfd = fd_look_pidfd(tid);
	if (table->pidfd < 0 && errno == ESRCH && scan->running)
		return 0;
	if (table->pidfd < 0)
		return error_set(err, errno == ESRCH ? ERROR_DIED : ERROR_FAILED, errno,
				 "process %d: pidfd_open", pid);
	return read_entries(scan, table, err);
}

void fd_scan_release(struct fd_scan *scan)
{
	struct fd_table *table;

	array_for(table, &scan->tables) {
		array_release(&table->entries);
		fd_close(&table->proc_fd);
		fd_close(&table->pidfd);
	}
	array_release(&scan->tables);
	array_release(&scan->processes);
	for (size_t i = 0; i < scan->files.count; i++) {
		struct fd_file *f = scan->files.items[i];

		fd_close(&f->file.fd);
		fd_look_release(&f->file.look);
		free(f->name);
		free(f);
	}
	array_release(&scan->files);
	for (size_t i = 0; i < scan->bucket_count; i++)
		while (scan->buckets[i]) {
			struct fd_group *group = scan->buckets[i];

			scan->buckets[i] = group->next;
			array_release(&group->sorted);
			free(group);
		}
	free(scan->buckets);
	*scan = (struct fd_scan){ 0 };
}

const struct fd_look *fd_scan_by_inode(const struct fd_scan *scan, dev_t dev, ino_t ino,
				       const struct fd_look *after)
{
	struct fd_group *group = find_group(scan, dev, after ? group_inode(after) : ino);
	struct fd_file *f;

	if (!after)
		return group ? &group->first->file.look : NULL;
	f = fd_file_of_look(after);
	if (f->next)
		return &f->next->file.look;
	while (group && group->last != f)
		group = next_group(group);
	group = group ? next_group(group) : NULL;
	return group ? &group->first->file.look : NULL;
}

const struct fd_look *fd_scan_next(const struct fd_scan *scan, const struct fd_look *after)
{
	size_t index = after ? fd_file_of_look(after)->file.id : 0;

	return index < scan->files.count ? &scan->files.items[index]->file.look : NULL;
}

const struct fd_look *fd_scan_at(const struct fd_scan *scan, pid_t pid, int number)
{
	const struct fd_table *table;

	array_for(table, &scan->tables) {
		size_t low = 0, high = table->entries.count;

		if (table->pid != pid && table->tid != pid)
			continue;
		while (low < high) {
			size_t middle = low + (high - low) / 2;

			if (table->entries.items[middle].number < number)
				low = middle + 1;
			else
				high = middle;
		}
		if (low == table->entries.count || table->entries.items[low].number != number)
			return NULL;
		return &scan->files.items[table->entries.items[low].file - 1]->file.look;
	}
	return NULL;
}
