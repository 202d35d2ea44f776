/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/mount/mount_looker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "kernel-compat/calls.h"
#include "kinds/mount/mount_types.h"

int mount_open_in(int root, const char *path)
{
	const struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	return sys_openat2(root, path, &how);
}

bool mount_is(int fd, int id)
{
	struct statx st;

	return !statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) && st.stx_mnt_id == (uint64_t)id;
}

/* A mount that another one hides cannot be compared: then the path has to do. */
static bool same_thing(void *context, const struct proc_mount *own, const char *host_path)
{
	const struct mount_looker *l = context;
	_cleanup_fd_ int there = mount_open_in(l->container->host_root, host_path);
	_cleanup_fd_ int here = mount_open_in(l->root, own->mount_point);
	struct stat a, b;

	if (there < 0 || fstat(there, &a))
		return false;
	if (here < 0 || !mount_is(here, own->id))
		return true;
	return !fstat(here, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static const struct proc_cgroup *line_of(const struct mount_looker *l, const struct proc_mount *own)
{
	_cleanup_free_ char *text = strdup(own->super_options);
	const struct proc_cgroup *line = NULL;
	char *rest = text, *option;

	if (!strcmp(own->type, "cgroup2"))
		return proc_cgroups_find(&l->cgroups, "");
	while (!line && rest && (option = strsep(&rest, ",")))
		if (mount_takes_option(own->type, option))
			line = proc_cgroups_find(&l->cgroups, option);
	return line;
}

static int levels_above(void *context, const struct proc_mount *own)
{
	const struct proc_cgroup *line = line_of(context, own);
	const char *below = line ? mount_below(line->path, own->root) : NULL;
	int levels;

	/* The root of the hierarchy is the same on each machine. */
	if (!below || !strcmp(own->root, "/"))
		return -1;
	levels = *below != '\0';
	for (; *below; below++)
		levels += *below == '/';
	return levels;
}

void mount_looker_release(struct mount_looker *l)
{
	proc_mounts_release(&l->own);
	proc_mounts_release(&l->host);
	proc_cgroups_release(&l->cgroups);
	fd_close(&l->root);
}
int mount_look_at(struct mount_looker *l, const struct container *c, int proc_fd, pid_t pid,
		  struct error *err)
{
	l->container = c;
	l->root = openat(proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (l->root < 0)
		return error_set(err, errno == ENOENT ? ERROR_DIED : ERROR_TARGET, errno,
				 "process %d: its root directory", pid);
	if (proc_read_mountinfo(proc_fd, &l->own, err) ||
	    proc_read_mountinfo(c->host_self, &l->host, err) ||
	    proc_read_cgroups(proc_fd, &l->cgroups, err))
		return -1;
	l->look = (struct mount_look){
		.own = &l->own,
		.host = &l->host,
		.externals = c->externals,
		.externals_count = c->externals_count,
		.pid = pid,
		.same = same_thing,
		.cgroup_levels = levels_above,
		.context = l,
	};
	return 0;
}
