/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/mount/mount_build.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "kernel-compat/calls.h"
#include "kinds/mount/mount_plan.h"
#include "kinds/mount/mount_internal.h"
#include "kinds/mount/mount_share.h"
#include "kinds/mount/mount_types.h"
#include "proc/cgroup.h"

int mount_open_below(int mount, const char *path)
{
	const struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};

	return sys_openat2(mount, *path ? path : ".", &how);
}

int mount_clone(int fd)
{
	return open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

int mount_set_flags(int fd, uint64_t flags)
{
	static const struct {
		unsigned long flag;
		uint64_t attribute;
	} known[] = {
		{ MS_RDONLY, MOUNT_ATTR_RDONLY },
		{ MS_NOSUID, MOUNT_ATTR_NOSUID },
		{ MS_NODEV, MOUNT_ATTR_NODEV },
		{ MS_NOEXEC, MOUNT_ATTR_NOEXEC },
		{ MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
		{ MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW },
	};
	struct mount_attr attr = { .attr_clr = MOUNT_ATTR__ATIME };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		*(flags & known[i].flag ? &attr.attr_set : &attr.attr_clr) |= known[i].attribute;
	if (flags & MS_NOATIME)
		attr.attr_set |= MOUNT_ATTR_NOATIME;
	else if (!(flags & MS_RELATIME))
		attr.attr_set |= MOUNT_ATTR_STRICTATIME;
	return mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr));
}

/* ---- outside ---- */

static const char *outside_path(const Mounts__Mount *one, bool root, const struct container *c)
{
	const char *given = root && c->root ? c->root :
					      mount_external(c->externals, c->externals_count,
							     one->path);

	return given ? given : one->host_path;
}

static int not_there(const Mounts__Mount *one, bool root, const char *path, struct error *err)
{
	if (!path)
		error_set(err, ERROR_BLOCKED, 0, "%s: nothing tells what is to be mounted there",
			  one->path);
	else if (root)
		error_set(err, ERROR_BLOCKED, errno, "%s: the root file system", path);
	else
		error_set(err, ERROR_BLOCKED, errno, "%s, which was mounted on %s", path,
			  one->path);
	if (root)
		return error_hint(err, "say where it is with --root DIRECTORY");
	return error_hint(err, "say where it is with --external 'mnt[%s]=PATH'", one->path);
}

static int open_outside(const Mounts__Mount *one, bool root, const struct container *c, int *ret,
			struct error *err)
{
	const char *path = outside_path(one, root, c);
	/* Mounts of the machine still come to one that had a master there. */
	struct mount_attr attr = { .propagation = one->master ? MS_SLAVE : MS_PRIVATE };
	struct stat st;

	*ret = path ? open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC) : -1;
	if (*ret < 0 || fstat(*ret, &st))
		return not_there(one, root, path, err);
	if (root && !S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return not_there(one, root, path, err);
	}
	if (mount_setattr(*ret, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		return error_set(err, ERROR_FAILED, errno, "%s", path);
	return 0;
}

/* Whether what is mounted on something outside finds its place there. */
static int check_place(const Mounts *m, const struct mount_set *set, size_t i, struct error *err)
{
	const Mounts__Mount *one = m->mounts[i];
	_cleanup_fd_ int place = -1;
	struct stat there, it;
	bool directory;

	if (!one->has_parent || m->mounts[one->parent]->has_file_system)
		return 0;
	place = mount_open_below(set->fds[one->parent], one->place);
	if (place < 0 || fstat(place, &there)) {
		error_set(err, ERROR_BLOCKED, errno, "%s: nothing can be mounted there",
			  one->path);
		return error_hint(err, "make it in the root file system, or directory, of the "
				       "container");
	}
	directory = S_ISDIR(there.st_mode);
	if (set->fds[i] < 0 || fstat(set->fds[i], &it) || directory == !!S_ISDIR(it.st_mode))
		return 0;
	error_set(err, ERROR_BLOCKED, directory ? ENOTDIR : EISDIR,
		  "%s: what is to be mounted there is of another type", one->path);
	return error_hint(err, "give the right path with --external 'mnt[%s]=PATH'", one->path);
}

static int *no_descriptors(size_t count)
{
	int *fds = calloc(count + 1, sizeof(*fds));

	for (size_t i = 0; fds && i < count; i++)
		fds[i] = -1;
	return fds;
}

int mounts_open(const Mounts *m, const struct container *c, struct mount_set *set,
		struct error *err)
{
	size_t i;

	*set = (struct mount_set){
		.count = m->n_mounts,
		.file_system_count = m->n_file_systems,
		.fds = no_descriptors(m->n_mounts),
		.sources = no_descriptors(m->n_file_systems),
	};
	if (!set->fds || !set->sources)
		return error_set(err, ERROR_FAILED, ENOMEM, "mounts");
	for (i = 0; i < set->file_system_count; i++)
		if (mount_class(m->file_systems[i]->type) == MOUNT_LAYERS &&
		    mount_make(m->file_systems[i], &set->sources[i], err)) {
			err->kind = ERROR_BLOCKED;
			return error_hint(err, "its layers must be where they were");
		}
	for (i = 0; i < set->count; i++)
		if (!m->mounts[i]->has_file_system &&
		    open_outside(m->mounts[i], i == 0, c, &set->fds[i], err))
			return -1;
	for (i = 0; i < set->count; i++)
		if (check_place(m, set, i, err))
			return -1;
	return 0;
}

void mount_set_release(struct mount_set *set)
{
	size_t i;

	for (i = 0; set->fds && i < set->count; i++)
		fd_close(&set->fds[i]);
	for (i = 0; set->sources && i < set->file_system_count; i++)
		fd_close(&set->sources[i]);
	free(set->fds);
	free(set->sources);
	*set = (struct mount_set){ 0 };
}

/* ---- inside ---- */

int mounts_make(const Mounts *m, struct mount_set *set, struct error *err)
{
	struct mount_attr private = { .propagation = MS_PRIVATE };
	_cleanup_fd_ int old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t i;

	if (old_root < 0 ||
	    mount_setattr(old_root, "", AT_EMPTY_PATH | AT_RECURSIVE, &private, sizeof(private)))
		return error_set(err, ERROR_FAILED, errno, "cannot have mounts for ourselves");
	for (i = 0; i < set->file_system_count; i++) {
		if (set->sources[i] < 0 &&
		    mount_make(m->file_systems[i], &set->sources[i], err))
			return -1;
		/* Only of what is mounted somewhere parts can be mounted; nobody looks there. */
		if (move_mount(set->sources[i], "", old_root, "", MOVE_EMPTY))
			return error_set(err, ERROR_FAILED, errno, "%s: cannot mount it",
					 m->file_systems[i]->type);
	}
	return 0;
}

/* The cgroup of the root process, so many levels up; *ret is malloc'ed, without a slash at its
 * start. */
static int cgroup_of(const Mounts__FileSystem *fs, pid_t root, uint32_t levels, char **ret,
		     struct error *err)
{
	_cleanup_proc_cgroups_ struct proc_cgroups cgroups = { 0 };
	const struct proc_cgroup *line = NULL;
	_cleanup_fd_ int dir = proc_open(root);
	char *end;

	if (dir < 0)
		return error_set(err, ERROR_FAILED, errno, "process %d", root);
	if (proc_read_cgroups(dir, &cgroups, err))
		return -1;
	if (!strcmp(fs->type, "cgroup2"))
		line = proc_cgroups_find(&cgroups, "");
	for (size_t i = 0; i < fs->n_options && !line; i++)
		line = proc_cgroups_find(&cgroups, fs->options[i]);
	if (!line || line->path[0] != '/')
		return error_set(err, ERROR_FAILED, 0, "a mount of %s: the cgroup is not known",
				 fs->n_options ? fs->options[0] : fs->type);
	*ret = strdup(line->path + 1);
	if (!*ret)
		return error_set(err, ERROR_FAILED, ENOMEM, "mounts");
	for (; levels; levels--) {
		end = strrchr(*ret, '/');
		*(end ? end : *ret) = '\0';
	}
	return 0;
}

/* What of its file system it shows. */
static int clone_source(const Mounts *m, struct mount_set *set, size_t i, pid_t root,
			struct error *err)
{
	const Mounts__Mount *one = m->mounts[i];
	const Mounts__FileSystem *fs = m->file_systems[one->file_system];
	_cleanup_free_ char *cgroup = NULL;
	_cleanup_fd_ int part = -1;

	if (one->has_cgroup_levels && cgroup_of(fs, root, one->cgroup_levels, &cgroup, err))
		return error_wrap(err, "%s", one->path);
	part = mount_open_below(set->sources[one->file_system], cgroup ? cgroup : one->root + 1);
	if (part < 0 && errno == ENOENT && mounts_is_terminal(m, i))
		return 0;
	set->fds[i] = part < 0 ? -1 : mount_clone(part);
	if (set->fds[i] < 0)
		return error_set(err, ERROR_FAILED, errno, "mount %s: %s has no %s", one->path,
				 fs->type, cgroup ? cgroup : one->root);
	return 0;
}

/* Where mounts are until parts of them are taken; nobody looks there. */
struct shelf {
	int directory;	/* the old root */
	int file;	/* for single files; -1 until one comes */
};

static int make_file(struct shelf *shelf, struct error *err)
{
	Mounts__FileSystem fs = MOUNTS__FILE_SYSTEM__INIT;
	_cleanup_fd_ int mount = -1;

	fs.type = "tmpfs";
	fs.source = "";
	if (mount_make(&fs, &mount, err))
		return -1;
	shelf->file = mknodat(mount, "file", S_IFREG, 0) ? -1 : mount_open_below(mount, "file");
	if (shelf->file < 0 || move_mount(mount, "", shelf->directory, "", MOVE_EMPTY))
		return error_set(err, ERROR_FAILED, errno, "cannot have a file to mount on");
	return 0;
}

/* Cloned once more, so that mountinfo has all mounts in their order. */
static int clone_outside(const Mounts *m, struct mount_set *set, size_t i, struct shelf *shelf,
			 struct error *err)
{
	struct stat st;
	int place = shelf->directory, fd = -1;

	if (!fstat(set->fds[i], &st) && !S_ISDIR(st.st_mode)) {
		if (shelf->file < 0 && make_file(shelf, err))
			return -1;
		place = shelf->file;
	}
	if (!move_mount(set->fds[i], "", place, "", MOVE_EMPTY))
		fd = mount_clone(set->fds[i]);
	if (fd < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot mount %s", m->mounts[i]->path);
	fd_close(&set->fds[i]);
	set->fds[i] = fd;
	return 0;
}

static int attach(const Mounts *m, struct mount_set *set, size_t i, int top, struct error *err)
{
	const Mounts__Mount *one = m->mounts[i];
	_cleanup_fd_ int place = -1;

	if (set->fds[i] < 0)
		return 0;
	if (i)
		place = mount_open_below(set->fds[one->parent], one->place);
	if ((i && place < 0) || mount_set_flags(set->fds[i], one->flags) ||
	    move_mount(set->fds[i], "", i ? place : top, "", MOVE_EMPTY))
		return error_set(err, ERROR_FAILED, errno, "cannot mount %s", one->path);
	return 0;
}

/* Whether the mount is the topmost one of the root directory. */
static bool is_on_top(int mount)
{
	_cleanup_fd_ int top = open("/..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statx a, b;

	return top >= 0 && !statx(top, "", AT_EMPTY_PATH, STATX_MNT_ID, &a) &&
	       !statx(mount, "", AT_EMPTY_PATH, STATX_MNT_ID, &b) &&
	       a.stx_mnt_id == b.stx_mnt_id;
}

/* The old root, with what is on it, lies on the new one for a moment. */
static int enter_root(int root, struct error *err)
{
	bool failed = fchdir(root) || sys_pivot_root(".", ".");

	while (!failed && !is_on_top(root))
		failed = umount2(".", MNT_DETACH);
	if (failed || chdir("/"))
		return error_set(err, ERROR_FAILED, errno,
				 "cannot go into the new root file system");
	return 0;
}

static int clone_all(const Mounts *m, struct mount_set *set, pid_t root, struct shelf *shelf,
		     struct error *err)
{
	for (size_t i = 0; i < set->count; i++)
		if (m->mounts[i]->has_file_system ? clone_source(m, set, i, root, err) :
						    clone_outside(m, set, i, shelf, err))
			return -1;
	return 0;
}

int mounts_build(const Mounts *m, struct mount_set *set, pid_t root, struct error *err)
{
	_cleanup_fd_ int old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct shelf shelf = { old_root, -1 };
	size_t i;
	int r;

	if (old_root < 0)
		return error_set(err, ERROR_FAILED, errno, "/");
	r = clone_all(m, set, root, &shelf, err);
	fd_close(&shelf.file);
	for (i = 0; i < set->count && !r; i++)
		r = attach(m, set, i, old_root, err);
	if (r || enter_root(set->fds[0], err))
		return -1;
	/* What is mounted later shall not come to others, too. */
	return mounts_lack_terminals(set) ? 0 : mounts_share(m, set, err);
}
