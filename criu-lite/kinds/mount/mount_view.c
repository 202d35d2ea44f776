/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/mount/mount_view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "kernel-compat/calls.h"

/* What the child tells; its descriptors are ours, too. */
struct view {
	int os_error;
	long at;	/* the mount with the error; -1: before */
	bool done;
	int fds[];
};

struct visit {
	const struct mount_plan *plan;
	const bool *wanted;
	int proc_fd;
	bool *gone;	/* taken away by the child */
	struct view *view;
};

static bool is_above(const struct mount_plan *plan, size_t above, size_t i)
{
	while (plan->mounts[i].has_parent && i > above)
		i = plan->mounts[i].parent;
	return i == above;
}

/* Whether mount k hides mount i: it covers its root, or a place on the way to it. */
static bool hides(const struct mount_plan *plan, size_t k, size_t i)
{
	const Mounts__Mount *cover = &plan->mounts[k];
	const char *way = plan->mounts[i].path;

	if (k == i || !cover->has_parent)
		return false;
	while (cover->parent != i && plan->mounts[i].has_parent && i != k) {
		way = plan->mounts[i].path;
		i = plan->mounts[i].parent;
	}
	return i != k && cover->parent == i && mount_below(way, cover->path);
}

/* In a copy of mounts for another user namespace than theirs, all are locked to each other. */
static int enter_users(int proc_fd)
{
	_cleanup_fd_ int users = openat(proc_fd, "ns/user", O_RDONLY | O_CLOEXEC);
	struct stat its, ours;

	if (users < 0 || fstat(users, &its) || stat("/proc/self/ns/user", &ours))
		return -1;
	return its.st_ino == ours.st_ino ? 0 : setns(users, CLONE_NEWUSER);
}

static int go_there(int proc_fd)
{
	struct mount_attr private = { .propagation = MS_PRIVATE };
	_cleanup_fd_ int space = openat(proc_fd, "ns/mnt", O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int root = openat(proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (space < 0 || root < 0 || enter_users(proc_fd) || setns(space, CLONE_NEWNS) ||
	    fchdir(root) || chroot(".") || unshare(CLONE_NEWNS))
		return -1;
	return mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &private, sizeof(private));
}

/* Whether mount `top` is mount i or lies on its root. */
static bool is_stacked(const struct mount_plan *plan, size_t top, size_t i)
{
	while (top > i && !*plan->mounts[top].place)
		top = plan->mounts[top].parent;
	return top == i;
}

/* With all that is on it: unmounting takes the topmost of a stack. */
static int take_away(const struct visit *v, size_t i)
{
	const char *path = v->plan->mounts[i].path;

	for (size_t k = v->plan->count; k-- > i;)
		if (!v->gone[k] && is_stacked(v->plan, k, i) &&
		    umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW))
			return -1;
	for (size_t k = i; k < v->plan->count; k++)
		v->gone[k] |= is_above(v->plan, i, k);
	return 0;
}

static int open_one(const struct visit *v, size_t i)
{
	const char *path = v->plan->mounts[i].path;

	for (size_t k = v->plan->count; k-- > i + 1;)
		if (!v->gone[k] && hides(v->plan, k, i) && take_away(v, k))
			return -1;
	v->view->fds[i] = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
							    AT_SYMLINK_NOFOLLOW);
	return v->view->fds[i] < 0 ? -1 : 0;
}

/* Those that are hidden come last: what hides them is taken away then, with all that is on it. */
static void visit(const struct visit *v)
{
	const struct mount_plan *plan = v->plan;
	size_t i, k;

	v->view->at = -1;
	if (go_there(v->proc_fd)) {
		v->view->os_error = errno;
		return;
	}
	for (int hidden = 0; hidden <= 1; hidden++) {
		for (i = plan->count; i-- > 0;) {
			if (!v->wanted[i] || v->view->fds[i] >= 0)
				continue;
			for (k = i + 1; k < plan->count && !hides(plan, k, i); k++)
				;
			if (!hidden && k < plan->count)
				continue;
			v->view->at = i;
			if (open_one(v, i)) {
				v->view->os_error = errno;
				return;
			}
		}
	}
	v->view->done = true;
}

static int failed(const struct mount_plan *plan, const struct view *view, struct error *err)
{
	if (view->at >= 0 && view->os_error)
		return error_set(err, ERROR_TARGET, view->os_error, "mount %s: cannot open it",
				 plan->mounts[view->at].path);
	return error_set(err, ERROR_FAILED, view->os_error,
			 "cannot look at the mounts of the tree");
}

int mount_view_open(int proc_fd, const struct mount_plan *plan, const bool *wanted, int *fds,
		    struct error *err)
{
	size_t size = sizeof(struct view) + plan->count * sizeof(int), i;
	_cleanup_free_ bool *gone = calloc(plan->count + 1, sizeof(*gone));
	struct view *view = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				 -1, 0);
	struct clone_args args = { .flags = CLONE_FILES };
	const struct visit v = { plan, wanted, proc_fd, gone, view };
	pid_t child;
	int r;

	for (i = 0; i < plan->count; i++)
		fds[i] = -1;
	if (view == MAP_FAILED || !gone)
		return error_set(err, ERROR_FAILED, ENOMEM, "mounts");
	for (i = 0; i < plan->count; i++)
		view->fds[i] = -1;
	child = sys_clone3(&args, sizeof(args));
	if (child == 0) {
		visit(&v);
		_exit(0);
	}
	while (child > 0 && waitpid(child, NULL, __WALL) < 0 && errno == EINTR)
		;
	for (i = 0; i < plan->count; i++)
		fds[i] = view->fds[i];
	if (child < 0)
		view->os_error = errno;
	r = view->done ? 0 : failed(plan, view, err);
	munmap(view, size);
	return r;
}
