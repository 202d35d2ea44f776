/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an area or a descriptor leads to. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "kinds/objects.h"

enum { PLACE_SIZE = 64 };

/* linux/magic.h: file systems that nobody can open a file of by a path */
enum {
	AIO_MAGIC = 0x47504653,
	SECRETMEM_MAGIC = 0x5345434d,
	HUGETLB_MAGIC = 0x958458f6,
	ANON_INODE_MAGIC = 0x09041934,
};

dev_t object_shmem_device(void)
{
	_cleanup_fd_ int fd = memfd_create("criu-lite", MFD_CLOEXEC);
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) ? st.st_dev : 0;
}

void object_look_fd(struct object_look *ret, const struct fd_look *fd)
{
	*ret = (struct object_look){
		.pid = fd->pid,
		.proc_fd = fd->proc_fd,
		.path = fd->link,
		.fd = fd,
		.st = fd->st,
	};
}

/* Reads a link of /proc/PID as the path; " (deleted)" at its end is cut off. */
static int read_path(struct object_look *look, const char *place)
{
	static const char suffix[] = " (deleted)";
	ssize_t length = readlinkat(look->proc_fd, place, look->room, sizeof(look->room) - 1);
	ssize_t tail = sizeof(suffix) - 1;

	if (length < 0)
		return -1;
	if (length == (ssize_t)sizeof(look->room) - 1) {
		errno = ENAMETOOLONG;
		return -1;
	}
	look->room[length] = '\0';
	if (length > tail && !strcmp(look->room + length - tail, suffix)) {
		look->room[length - tail] = '\0';
		look->deleted = true;
	}
	look->path = look->room;
	return 0;
}

int object_look_vma(struct object_look *ret, pid_t pid, int proc_fd, const struct vma *vma)
{
	char place[PLACE_SIZE];

	*ret = (struct object_look){
		.pid = pid,
		.proc_fd = proc_fd,
		.path = vma->path,
		.deleted = vma->deleted,
		.vma = vma,
	};
	object_look_place(ret, place, sizeof(place));
	if (fstatat(proc_fd, place, &ret->st, 0))
		return -1;
	/* There maps shows the name that the program gave instead. */
	return vma->kind == VMA_ANON_SHMEM ? read_path(ret, place) : 0;
}

int object_look_exe(struct object_look *ret, pid_t pid, int proc_fd)
{
	*ret = (struct object_look){ .pid = pid, .proc_fd = proc_fd };
	return fstatat(proc_fd, "exe", &ret->st, 0) || read_path(ret, "exe") ? -1 : 0;
}

const char *object_look_place(const struct object_look *look, char *text, size_t size)
{
	if (look->vma)
		snprintf(text, size, "map_files/%lx-%lx", (unsigned long)look->vma->start,
			 (unsigned long)look->vma->end);
	else if (look->fd)
		snprintf(text, size, "fd/%d", look->fd->number);
	else
		snprintf(text, size, "exe");
	return text;
}

int object_look_open(const struct object_look *look, int flags)
{
	char place[PLACE_SIZE];

	return openat(look->proc_fd, object_look_place(look, place, sizeof(place)),
		      flags | O_CLOEXEC | O_NOCTTY);
}

bool object_can_be_made(const struct object_look *look)
{
	char place[PLACE_SIZE], path[2 * PLACE_SIZE];
	struct statfs fs;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", look->proc_fd,
		 object_look_place(look, place, sizeof(place)));
	if (statfs(path, &fs))
		return false;
	return fs.f_type != AIO_MAGIC && fs.f_type != SECRETMEM_MAGIC &&
	       fs.f_type != HUGETLB_MAGIC && fs.f_type != ANON_INODE_MAGIC;
}

const char *object_look_name(const struct object_look *look, char *text, size_t size)
{
	const char *deleted = look->deleted ? " (deleted)" : "";

	if (look->vma)
		snprintf(text, size, "memory %lx-%lx (%s%s)", (unsigned long)look->vma->start,
			 (unsigned long)look->vma->end, look->path, deleted);
	else if (look->fd)
		snprintf(text, size, "descriptor %d (%s%s)", look->fd->number, look->path, deleted);
	else
		snprintf(text, size, "program %s%s", look->path, deleted);
	return text;
}

const struct kind *objects_recognise(const struct object_look *look)
{
	const struct kind *const *row;

	for (row = kinds_table; *row; row++)
		if ((*row)->scope == KIND_OBJECT && (*row)->object->recognise(look))
			return *row;
	return NULL;
}

/* Why an area or descriptor that no row knows cannot be saved. */
static const char *unknown_reason(const struct object_look *look)
{
	static const struct {
		const char *path, *reason;
	} known[] = {
		{ "anon_inode:[io_uring]", "io_uring instances cannot be saved" },
		{ "/[aio]", "asynchronous input and output (io_setup) cannot be saved" },
		{ "/secretmem", "secret memory (memfd_secret) cannot be read by anybody else" },
		{ "anon_inode:[perf_event]", "performance counters cannot be saved" },
		{ "/dev/", "the memory of a device cannot be saved" },
		{ "socket:[", "packet rings of a socket cannot be saved" },
		/* What is not of huge pages has a row. */
		{ "/anon_hugepage", "huge page memory (hugetlbfs) cannot be saved" },
		{ "/memfd:", "huge page memory (MFD_HUGETLB) cannot be saved" },
		{ "/SYSV", "huge page memory (SHM_HUGETLB) cannot be saved" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (!strncmp(look->path, known[i].path, strlen(known[i].path)))
			return known[i].reason;
	return "this kind of file cannot be saved";
}

int objects_check(const struct object_look *look, struct blockers *blockers, struct error *err)
{
	const struct kind *kind = objects_recognise(look);
	char name[256];

	if (kind)
		return kind->object->check ? kind->object->check(look, blockers, err) : 0;
	if (blockers_add(blockers, look->pid, unknown_reason(look), NULL, "%s",
			 object_look_name(look, name, sizeof(name))))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}
