/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "guard/guard.h"
#include "kernel-compat/features.h"
#include "kinds/objects.h"
#include "kinds/socket/unix.h"

#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE (SIOCPROTOPRIVATE + 0)
#endif

socklen_t unix_address(struct sockaddr_un *ret, const void *name, size_t size)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (size > sizeof(ret->sun_path))
		return 0;
	memcpy(ret->sun_path, name, size);
	return offsetof(struct sockaddr_un, sun_path) + size;
}

size_t unix_address_name(const struct sockaddr_un *address, socklen_t size, const void **ret)
{
	size_t length;

	if (size <= offsetof(struct sockaddr_un, sun_path))
		return 0;
	length = size - offsetof(struct sockaddr_un, sun_path);
	*ret = address->sun_path;
	return address->sun_path[0] ? strnlen(address->sun_path, length) : length;
}

/* Where the file of a bound socket is, and what it is like. */
static int file_dump(int file, const char *who, UnixSocket__Name *name, struct error *err)
{
	static const char suffix[] = " (deleted)";
	_cleanup_free_ char *path = NULL;
	char link[40];
	struct stat st;
	size_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	if (fstat(file, &st) || readlink_alloc(AT_FDCWD, link, &path))
		return error_set(err, ERROR_TARGET, errno, "%s: cannot look at its file", who);
	length = strlen(path);
	if (!st.st_nlink) {
		name->has_deleted = name->deleted = true;
		if (length > strlen(suffix) && !strcmp(path + length - strlen(suffix), suffix))
			length -= strlen(suffix);
	}
	name->has_mode = name->has_uid = name->has_gid = name->has_path = true;
	name->mode = st.st_mode & 07777;
	name->uid = st.st_uid;
	name->gid = st.st_gid;
	if (socket_bytes(&name->path, path, length))
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", who);
	return 0;
}

int unix_name_dump(int fd, const char *who, UnixSocket__Name **ret, struct error *err)
{
	_cleanup_fd_ int file = -1;
	struct sockaddr_un address;
	socklen_t size = sizeof(address);
	const void *text;
	size_t length;

	if (getsockname(fd, (struct sockaddr *)&address, &size))
		return error_set(err, ERROR_TARGET, errno, "%s: cannot read its name", who);
	length = unix_address_name(&address, size, &text);
	if (!length)
		return 0;
	*ret = malloc(sizeof(**ret));
	if (!*ret)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", who);
	unix_socket__name__init(*ret);
	if (socket_bytes(&(*ret)->address, text, length))
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", who);
	if (!address.sun_path[0])
		return 0;
	file = ioctl(fd, SIOCUNIXFILE);
	if (file < 0)
		return error_set(err, ERROR_TARGET, errno, "%s: cannot reach the file of its name",
				 who);
	return file_dump(file, who, *ret, err);
}

/*
 * A name in the file system is bound by a thread whose root directory is an empty one of our own,
 * so that the text of the name, which the kernel keeps and shows, needs not be the path at which
 * the file ends up: it may be relative, seen from a chroot, or moved or deleted since.
 */
struct binder {
	int fd;
	int top;	/* the empty directory */
	const UnixSocket__Name *name;
	char text[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	size_t up;	/* directories made for ".." to climb out of */
	int os_error;
};

/* Makes the directories of a relative or absolute name. There is no way out of the root directory,
 * but a relative name shall not get there. */
static int make_parents(struct binder *b)
{
	for (const char *p = b->text; *b->text != '/' && (p = strstr(p, "..")); p += 2) {
		if (mkdir("d", 0755) || chdir("d"))
			return -1;
		b->up++;
	}
	for (char *slash = strchr(b->text + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int failed;

		*slash = 0;
		failed = mkdir(b->text, 0755) && errno != EEXIST;
		*slash = '/';
		if (failed)
			return -1;
	}
	return 0;
}

/* Leaves nothing but the bound file; those that cannot be removed are not ours to remove. */
static void remove_parents(struct binder *b)
{
	for (char *slash = strrchr(b->text, '/'); slash && slash > b->text;
	     slash = strrchr(b->text, '/')) {
		*slash = 0;
		if (rmdir(b->text))
			continue;
	}
	for (; b->up; b->up--)
		if (chdir("..") || rmdir("d"))
			return;
}

static void *bind_below(void *argument)
{
	struct binder *b = argument;
	struct sockaddr_un address;
	socklen_t size = unix_address(&address, b->name->address.data, b->name->address.len);

	if (unshare(CLONE_FS) || fchdir(b->top) || chroot(".")) {
		b->os_error = errno;
		return NULL;
	}
	if (make_parents(b) || bind(b->fd, (struct sockaddr *)&address, size) ||
	    chown(b->text, b->name->uid, b->name->gid) ||
	    chmod(b->text, b->name->mode & 07777) || rename(b->text, "/.bound")) {
		b->os_error = errno;
		unlink(b->text);
	}
	remove_parents(b);
	return NULL;
}

/* Binds below `top`; the file is then top/.bound. */
static int bind_in(int fd, int top, const UnixSocket__Name *name, struct error *err)
{
	struct binder b = { .fd = fd, .top = top, .name = name };
	pthread_t thread;
	int r;

	memcpy(b.text, name->address.data, name->address.len);
	r = pthread_create(&thread, NULL, bind_below, &b);
	if (r)
		return error_set(err, ERROR_FAILED, r, "cannot start a thread");
	pthread_join(thread, NULL);
	return b.os_error ? error_set(err, ERROR_FAILED, b.os_error, "cannot bind it to %.*s",
				      (int)name->address.len, name->address.data) :
			    0;
}

/* A file system that nobody else sees, gone with the descriptor; -1 where there is none such. */
static int private_directory(void)
{
	_cleanup_fd_ int context = feature_works("private-mount") ?
					   fsopen("tmpfs", FSOPEN_CLOEXEC) :
					   -1;

	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -1;
	return fsmount(context, FSMOUNT_CLOEXEC, 0);
}

static int bind_in_and_delete(int fd, int top, const UnixSocket__Name *name, struct error *err)
{
	if (bind_in(fd, top, name, err))
		return -1;
	if (unlinkat(top, ".bound", 0))
		return error_set(err, ERROR_FAILED, errno, "cannot delete its file again");
	return 0;
}

static int bind_deleted(int fd, const UnixSocket__Name *name, struct error *err)
{
	char temporary[] = "/tmp/.criu-lite-XXXXXX";
	_cleanup_fd_ int top = private_directory();
	int failed;

	if (top >= 0)
		return bind_in_and_delete(fd, top, name, err);
	if (!mkdtemp(temporary))
		return error_set(err, ERROR_FAILED, errno, "%s", temporary);
	top = open(temporary, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	failed = top < 0 ? error_set(err, ERROR_FAILED, errno, "%s", temporary) :
			   bind_in_and_delete(fd, top, name, err);
	rmdir(temporary);
	return failed;
}

/* Whether no socket is bound to the file at path (relative to dir): a socket of another type than
 * the one behind it is told so, without the other one seeing anything. */
static bool is_abandoned(int dir, const char *base)
{
	_cleanup_fd_ int file = openat(dir, base, O_PATH | O_NOFOLLOW | O_CLOEXEC), probe = -1;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;

	if (file < 0 || fstat(file, &st) || !S_ISSOCK(st.st_mode))
		return false;
	probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", file);
	return probe >= 0 && connect(probe, (struct sockaddr *)&address, sizeof(address)) &&
	       errno == ECONNREFUSED;
}

/* Moves the bound file to its place, where only the leftover of a dead socket may be. */
static int move_into_place(struct guard *guard, int top, int dir, const char *path, bool *ret_made,
			   struct error *err)
{
	const char *base = strrchr(path, '/') + 1;
	struct stat st;

	*ret_made = fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW);
	if (!*ret_made && !is_abandoned(dir, base)) {
		error_set(err, ERROR_FAILED, EADDRINUSE, "cannot bind it to %s", path);
		return error_hint(err, "stop what uses that name, or remove it");
	}
	if (*ret_made && guard_will_make(guard, GUARD_FILE, 0, path, err))
		return -1;
	if (renameat2(top, ".bound", dir, base, *ret_made ? RENAME_NOREPLACE : 0))
		return error_set(err, ERROR_FAILED, errno, "cannot move its file to %s", path);
	return 0;
}

/* The private directory is made in that of the file, so that the file can be moved. */
static int make_directory(struct guard *guard, const char *parent, int dir, const char *name,
			  struct error *err)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s", parent, name) < 0) {
		path = NULL;
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", parent);
	}
	if (guard_will_make(guard, GUARD_DIRECTORY, 0, path, err))
		return -1;
	if (mkdirat(dir, name, 0700))
		return error_set(err, ERROR_FAILED, errno, "cannot make a directory in %s/",
				 parent);
	return 0;
}

static int wait_in_place(struct restore *run, int *dir, int *top, const char *base,
			 const char *temporary, struct error *err)
{
	struct unix_late_name *late = array_add(&run->late_names);

	if (late)
		*late = (struct unix_late_name){ -1, -1, strdup(base), "" };
	if (!late || !late->base)
		return error_set(err, ERROR_FAILED, ENOMEM, "names of sockets");
	strlcpy(late->temporary, temporary, sizeof(late->temporary));
	late->dir = steal_fd(dir);
	late->top = steal_fd(top);
	return 0;
}

void unix_names_take_place(struct restore *r)
{
	struct unix_late_name *late;

	array_for(late, &r->late_names)
		if (late->top >= 0 && renameat(late->top, ".bound", late->dir, late->base))
			log_notice("the name %s of a socket is not in its place: %s", late->base,
				   strerror(errno));
}

void unix_names_release(struct restore *r)
{
	struct unix_late_name *late;

	array_for(late, &r->late_names) {
		if (late->top >= 0) {
			unlinkat(late->top, ".bound", 0);
			unlinkat(late->dir, late->temporary, AT_REMOVEDIR);
		}
		fd_close(&late->top);
		fd_close(&late->dir);
		free(late->base);
	}
	array_release(&r->late_names);
}

static bool is_socket(int dir, const char *base)
{
	struct stat st;

	return !fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) && S_ISSOCK(st.st_mode);
}

static int bind_at_path(struct restore *run, int fd, const UnixSocket__Name *name, bool *ret_made,
			struct error *err)
{
	_cleanup_free_ char *path = strndup((const char *)name->path.data ?: "", name->path.len);
	_cleanup_free_ char *parent = path ? strdup(path) : NULL;
	_cleanup_fd_ int dir = -1, top = -1;
	char *slash = parent ? strrchr(parent, '/') : NULL;
	char temporary[64];
	int failed;

	if (!slash || !slash[1] || path[0] != '/')
		return error_set(err, ERROR_IMAGE, 0, "name without a path");
	*slash = 0;
	/* By the mounts of the tree, where the file shall be, not by our copy of them. */
	dir = restore_objects_open_path(run->objects, *parent ? parent : "/",
					O_PATH | O_DIRECTORY, 0);
	if (dir < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot open directory %s/", parent);
	snprintf(temporary, sizeof(temporary), ".criu-lite-%d-%d", getpid(), fd);
	if (make_directory(run->guard, parent, dir, temporary, err))
		return -1;
	top = openat(dir, temporary, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	failed = top < 0 || bind_in(fd, top, name, err);
	if (!failed && run->decides_later && is_socket(dir, slash + 1))
		return wait_in_place(run, &dir, &top, slash + 1, temporary, err);
	failed = failed || move_into_place(run->guard, top, dir, path, ret_made, err);
	if (failed)
		error_set(err, ERROR_FAILED, errno, "cannot use a directory in %s/", parent);
	if (failed && top >= 0)
		unlinkat(top, ".bound", 0);
	unlinkat(dir, temporary, AT_REMOVEDIR);
	return failed ? -1 : 0;
}

int unix_name_bind(struct restore *run, int fd, const UnixSocket__Name *name, const char *who,
		   bool *ret_made, struct error *err)
{
	struct sockaddr_un address;
	socklen_t size = unix_address(&address, name->address.data, name->address.len);

	*ret_made = false;
	if (!name->address.len || !size)
		return error_set(err, ERROR_IMAGE, 0, "%s: name of %zu bytes", who,
				 name->address.len);
	if (!address.sun_path[0]) {
		if (!bind(fd, (struct sockaddr *)&address, size))
			return 0;
		return error_set(err, ERROR_FAILED, errno, "%s: cannot bind it to @%.*s", who,
				 (int)name->address.len - 1, address.sun_path + 1);
	}
	if (name->deleted ? bind_deleted(fd, name, err) :
			    bind_at_path(run, fd, name, ret_made, err))
		return error_wrap(err, "%s", who);
	return 0;
}

void unix_name_unlink(const UnixSocket__Name *name)
{
	_cleanup_free_ char *path = strndup((const char *)name->path.data ?: "", name->path.len);

	if (path)
		unlink(path);
}

int unix_reach(int fd, struct sockaddr_un *ret, socklen_t *ret_size, int *ret_file,
	       struct error *err)
{
	*ret_file = -1;
	*ret_size = sizeof(*ret);
	if (getsockname(fd, (struct sockaddr *)ret, ret_size))
		return error_set(err, ERROR_FAILED, errno, "cannot read the name of a socket");
	if (*ret_size <= offsetof(struct sockaddr_un, sun_path))
		return error_set(err, ERROR_IMAGE, 0, "a socket that others reach has no name");
	if (!ret->sun_path[0])
		return 0;
	*ret_file = ioctl(fd, SIOCUNIXFILE);
	if (*ret_file < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot reach a bound socket");
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d", *ret_file);
	*ret_size = sizeof(*ret);
	return 0;
}
