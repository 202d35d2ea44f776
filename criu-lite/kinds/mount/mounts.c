/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mounts of a tree that has a mount namespace of its own. What the machine has, too, lies
 * outside and is found by its path again; other file systems are made anew, a tmpfs with what it
 * holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>

#include "base/cleanup.h"
#include "kinds/dump.h"
#include "kinds/mount/mount_build.h"
#include "kinds/mount/mount_looker.h"
#include "kinds/mount/mount_outside.h"
#include "kinds/mount/mount_types.h"
#include "kinds/mount/mount_view.h"
#include "kinds/mount/tmpfs.h"
#include "kinds/restore.h"

extern const struct kind mounts_kind;

/* ---- preflight ---- */

/* Whether there is something in the root directory of a mount (fd); one that cannot be read is
 * empty. */
static bool holds_something(int fd)
{
	int top = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *stream = top < 0 ? NULL : fdopendir(top);
	const struct dirent *entry;

	while (stream && (entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			return true;
	return false;
}

static const char cannot_be_carried[] = "what a file system of this type holds cannot be saved";

/* Only those that are not covered can be looked at. */
static int check_empty(const struct mount_looker *l, const struct mount_plan *plan,
		       struct blockers *blockers, struct error *err)
{
	for (size_t i = 0; i < plan->message.n_mounts; i++) {
		const Mounts__Mount *m = &plan->mounts[i];
		_cleanup_fd_ int fd = -1;

		if (!m->has_file_system || mount_class(plan->lines[i]->type) != MOUNT_EMPTY)
			continue;
		fd = mount_open_in(l->root, m->path);
		if (fd >= 0 && mount_is(fd, plan->lines[i]->id) && holds_something(fd) &&
		    blockers_add(blockers, l->look.pid, cannot_be_carried, "empty or unmount it",
				 "mount %s (%s)", m->path, plan->lines[i]->type))
			return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	}
	return 0;
}

static int mounts_preflight(const struct container_look *look, struct blockers *blockers,
			    struct error *err)
{
	_cleanup_mount_plan_ struct mount_plan plan = { 0 };
	_cleanup_mount_looker_ struct mount_looker l = { .root = -1 };

	if (!(look->container->namespaces & CLONE_NEWNS) || !look->count)
		return 0;
	return mount_look_at(&l, look->container, look->tasks[0].proc_fd, look->tasks[0].pid,
			     err) ||
			       mount_plan(&l.look, &plan, blockers, err) ||
			       check_empty(&l, &plan, blockers, err) ?
		       -1 :
		       0;
}

/* ---- what lies outside ---- */

static bool holds_files(const struct proc_mount *line)
{
	enum mount_class class = mount_class(line->type);

	return class == MOUNT_FOREIGN || class == MOUNT_LAYERS || class == MOUNT_MEMORY;
}

static int add_outside(struct mounts_outside *ret, const Mounts__Mount *m, bool root)
{
	struct mount_outside *one = array_add(&ret->items);

	if (!one)
		return -1;
	one->root = root;
	one->path = string_arena_add(&ret->strings, m->path, strlen(m->path));
	one->host_path = string_arena_add(&ret->strings, m->host_path, strlen(m->host_path));
	return one->path && one->host_path ? 0 : -1;
}

int mounts_outside(const struct container *c, pid_t pid, struct mounts_outside *ret,
		   struct error *err)
{
	_cleanup_mount_plan_ struct mount_plan plan = { 0 };
	_cleanup_mount_looker_ struct mount_looker l = { .root = -1 };
	struct blockers blockers = { 0 };
	_cleanup_fd_ int proc = -1;
	int r;

	*ret = (struct mounts_outside){ 0 };
	proc = proc_open(pid);
	if (proc < 0)
		return error_set(err, errno == ENOENT ? ERROR_DIED : ERROR_TARGET, errno,
				 "process %d", pid);
	/* What cannot be saved is told by others. */
	r = mount_look_at(&l, c, proc, pid, err) || mount_plan(&l.look, &plan, &blockers, err) ?
		    -1 :
		    0;
	blockers_release(&blockers);
	for (size_t i = 0; i < plan.message.n_mounts && !r; i++)
		if (plan.mounts[i].host_path && holds_files(plan.lines[i]) &&
		    add_outside(ret, &plan.mounts[i], i == 0))
			r = error_set(err, ERROR_FAILED, ENOMEM, "mounts");
	return r;
}

void mounts_outside_release(struct mounts_outside *list)
{
	array_release(&list->items);
	string_arena_release(&list->strings);
}

/* ---- dump ---- */

/* The mounts by which the contents of file systems are read: one for each. */
static void choose_views(const struct mount_plan *plan, bool *wanted)
{
	for (size_t fs = 0; fs < plan->file_systems.count; fs++) {
		enum mount_class class = mount_class(plan->file_systems.items[fs].type);

		for (size_t i = 0; i < plan->count; i++)
			if ((class == MOUNT_MEMORY || class == MOUNT_EMPTY) &&
			    plan->mounts[i].has_file_system &&
			    plan->mounts[i].file_system == fs &&
			    !strcmp(plan->mounts[i].root, "/")) {
				wanted[i] = true;
				break;
			}
	}
}

static int dump_contents(struct dump *d, const struct mount_plan *plan, int root, const int *fds,
			 struct error *err)
{
	for (size_t i = 0; i < plan->count; i++) {
		const Mounts__Mount *m = &plan->mounts[i];
		const struct tmpfs_view view = { fds[i], m->path, root };

		if (fds[i] < 0)
			continue;
		if (mount_class(plan->file_systems.items[m->file_system].type) == MOUNT_EMPTY ?
			    holds_something(fds[i]) &&
				    error_set(err, ERROR_BLOCKED, 0, "mount %s: %s", m->path,
					      cannot_be_carried) :
			    tmpfs_dump(d, m->file_system, &view, err))
			return -1;
	}
	return 0;
}

static int open_and_dump(struct dump *d, const struct mount_plan *plan, int root,
			 struct error *err)
{
	_cleanup_free_ bool *wanted = calloc(plan->count + 1, sizeof(*wanted));
	_cleanup_free_ int *fds = calloc(plan->count + 1, sizeof(*fds));
	int r;

	if (!d->objects)
		d->objects = dump_objects_new(d);
	if (!wanted || !fds || !d->objects)
		return error_set(err, ERROR_FAILED, ENOMEM, "mounts");
	choose_views(plan, wanted);
	r = mount_view_open(d->tasks.items[0]->proc_fd, plan, wanted, fds, err);
	if (!r)
		r = dump_contents(d, plan, root, fds, err);
	for (size_t i = 0; i < plan->count; i++)
		fd_close(&fds[i]);
	return r;
}

static int mounts_dump(struct dump *d, struct error *err)
{
	_cleanup_mount_plan_ struct mount_plan plan = { 0 };
	_cleanup_mount_looker_ struct mount_looker l = { .root = -1 };
	struct blockers blockers = { 0 };
	const struct dump_task *root = d->tasks.items[0];
	int r;

	if (!(d->container.namespaces & CLONE_NEWNS))
		return 0;
	r = mount_look_at(&l, &d->container, root->proc_fd, root->pid, err) ||
	    mount_plan(&l.look, &plan, &blockers, err) || blockers_error(&blockers, err);
	blockers_release(&blockers);
	if (r || dump_container(d, &mounts_kind, &plan.message.base, err))
		return -1;
	return open_and_dump(d, &plan, l.root, err);
}

/* ---- restore ---- */

struct state {
	struct mount_set set;
	struct tmpfs_contents contents;
};

struct tmpfs_contents *mounts_contents(struct restore *r)
{
	struct state *s = *restore_container_slot(r, &mounts_kind);

	return s ? &s->contents : NULL;
}

static int mounts_prepare(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const Mounts *m = (const Mounts *)message;
	struct state *s;

	if (mounts_check(m, err))
		return -1;
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, ERROR_FAILED, ENOMEM, "mounts");
	*restore_container_slot(r, &mounts_kind) = s;
	return tmpfs_load(r->objects, m, &s->contents, err) ||
			       mounts_open(m, &r->container, &s->set, err) ?
		       -1 :
		       0;
}

static int mounts_build_all(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	struct state *s = *restore_container_slot(r, &mounts_kind);
	const Mounts *m = (const Mounts *)message;

	if (mounts_make(m, &s->set, err))
		return -1;
	for (size_t i = 0; i < s->contents.count; i++)
		if (tmpfs_make(&s->contents.items[i], s->set.sources[i], err))
			return error_wrap(err, "%s", m->file_systems[i]->type);
	return mounts_build(m, &s->set, r->container.host_pid, err);
}

static int finish_terminals(struct restore *r, const Mounts *m, struct mount_set *set,
			    struct error *err)
{
	pid_t pid = r->tasks.items[0]->threads.items[0]->tracee.tid;
	_cleanup_fd_ int root = proc_open(pid);

	if (root < 0)
		return error_set(err, ERROR_FAILED, errno, "process %d", pid);
	return mounts_finish_terminals(m, set, root, err);
}

/* The objects of the new round are loaded; those of tmpfs files, not made. */
static int mounts_again(struct restore *r, const ProtobufCMessage *former,
			const ProtobufCMessage *message, struct error *err)
{
	struct state *s = *restore_container_slot(r, &mounts_kind);
	struct tmpfs_contents contents;
	int failed = 0;

	if (!kind_messages_equal(former, message))
		return error_set(err, ERROR_FAILED, 0, "the mounts have changed");
	if (tmpfs_load(r->objects, (const Mounts *)message, &contents, err)) {
		tmpfs_contents_release(&contents);
		return -1;
	}
	for (size_t i = 0; i < contents.count && !failed; i++)
		failed = tmpfs_again(&contents.items[i], &s->contents.items[i], err);
	tmpfs_contents_release(&s->contents);
	s->contents = contents;
	return failed;
}

static int mounts_finish(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	struct state *s = *restore_container_slot(r, &mounts_kind);
	const Mounts *m = (const Mounts *)message;

	if (mounts_lack_terminals(&s->set) && finish_terminals(r, m, &s->set, err))
		return -1;
	for (size_t i = 0; i < s->contents.count; i++) {
		if (tmpfs_settle(&s->contents.items[i], err))
			return -1;
		if (mount_class(m->file_systems[i]->type) == MOUNT_MEMORY &&
		    m->file_systems[i]->flags & MS_RDONLY &&
		    mount_make_readonly(s->set.sources[i], err))
			return -1;
	}
	return 0;
}

/* What is mounted goes with its last descriptor or namespace. */
static void mounts_undo(struct restore *r, const ProtobufCMessage *message)
{
	struct state **slot = (struct state **)restore_container_slot(r, &mounts_kind);

	if (!*slot)
		return;
	mount_set_release(&(*slot)->set);
	tmpfs_contents_release(&(*slot)->contents);
	free(*slot);
	*slot = NULL;
}

static const struct container_ops mounts_ops = {
	.of = CLONE_NEWNS,
	.always = true,
	.check = mounts_preflight,
	.dump = mounts_dump,
	.prepare = mounts_prepare,
	.build = mounts_build_all,
	.again = mounts_again,
	.finish = mounts_finish,
	.undo = mounts_undo,
};

const struct kind mounts_kind = {
	.name = "mounts",
	.record = 0x210,
	.scope = KIND_CONTAINER,
	.message = &mounts__descriptor,
	.help = "the mounts of a container; what the machine has, too, is found by its path",
	.container = &mounts_ops,
};
