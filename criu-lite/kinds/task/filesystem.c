/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Working directory, root directory and file creation mask of a process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "images/filesystem.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind filesystem_kind;

enum { UMASK_BITS = 0777 };

/* Whether the directory behind the link `name` of a /proc directory is what its path leads to;
 * *ret_path is that path, which the caller frees. */
static int find_directory(int proc_fd, const char *name, char **ret_path, bool *ret_found,
			  struct error *err)
{
	struct stat held, found;

	if (readlink_alloc(proc_fd, name, ret_path) || fstatat(proc_fd, name, &held, 0))
		return error_set(err, errno == ENOENT ? ERROR_DIED : ERROR_TARGET, errno, "%s",
				 name);
	*ret_found = !stat(*ret_path, &found) && found.st_dev == held.st_dev &&
		     found.st_ino == held.st_ino;
	return 0;
}

static const char no_path[] = "this directory has been deleted, moved or hidden by a mount";

static int check_directory(const struct task_look *look, const char *name, const char *what,
			   struct blockers *blockers, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	bool found;

	if (find_directory(look->proc_fd, name, &path, &found, err))
		return error_wrap(err, "process %d", look->pid);
	if (!found &&
	    blockers_add(blockers, look->pid, no_path, "let the program change to one that exists",
			 "%s %s", what, path))
		return error_set(err, ERROR_FAILED, ENOMEM, "process %d", look->pid);
	return 0;
}

static int filesystem_check(const struct task_look *look, struct blockers *blockers,
			    struct error *err)
{
	return check_directory(look, "cwd", "working directory", blockers, err) ||
	       check_directory(look, "root", "root directory", blockers, err) ? -1 : 0;
}

static int take_directory(const struct dump_thread *t, const char *name, char **ret,
			  struct error *err)
{
	bool found;

	if (find_directory(t->proc_fd, name, ret, &found, err))
		return error_wrap(err, "process %d", t->task->pid);
	if (!found)
		return error_set(err, ERROR_BLOCKED, 0, "process %d: %s %s: %s", t->task->pid, name,
				 *ret, no_path);
	return 0;
}

static int filesystem_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			   struct error *err)
{
	_cleanup_free_ char *cwd = NULL, *root = NULL;
	Filesystem m = FILESYSTEM__INIT;

	if (take_directory(t, "cwd", &cwd, err) || take_directory(t, "root", &root, err))
		return -1;
	m.pid = t->task->pid;
	m.cwd = cwd;
	m.root = root;
	m.umask = t->status.umask;
	return dump_state(t->task->dump, &filesystem_kind, &m.base, err);
}

/* Looks before the puppet goes, for a message that names the path. */
static int must_be_directory(const struct restore_thread *t, uint32_t pid, const char *path,
			     struct error *err)
{
	_cleanup_free_ char *seen = NULL;
	struct stat st;

	if (path[0] != '/')
		return error_set(err, ERROR_IMAGE, 0, "process %u: directory \"%s\"", pid, path);
	if (asprintf(&seen, "/proc/%d/root%s", t->tracee.tid, path) < 0) {
		seen = NULL;
		return error_set(err, ERROR_FAILED, ENOMEM, "process %u", pid);
	}
	if (!stat(seen, &st) && S_ISDIR(st.st_mode))
		return 0;
	error_set(err, ERROR_FAILED, 0, "process %u: its directory %s is not here", pid, path);
	return error_hint(err, "make it before the restore");
}

static int filesystem_put(struct restore_thread *t, const ProtobufCMessage *message,
			  struct batch *b, struct error *err)
{
	const Filesystem *m = (const Filesystem *)message;

	/* What two processes share is put back in the first. */
	if (t->task->shares_fs)
		return 0;
	if (m->umask & ~UMASK_BITS)
		return error_set(err, ERROR_IMAGE, 0, "process %u: umask %o", m->pid, m->umask);
	if (must_be_directory(t, m->pid, m->cwd, err) ||
	    must_be_directory(t, m->pid, m->root, err))
		return -1;
	/* Both paths start at the outer root; a new root does not move the working directory. */
	batch_must(b, SYS_chdir, batch_string(b, m->cwd));
	if (strcmp(m->root, "/"))
		batch_must(b, SYS_chroot, batch_string(b, m->root));
	batch_must(b, SYS_umask, m->umask);
	return 0;
}

static const struct state_ops filesystem_state = {
	.check = filesystem_check,
	.take = filesystem_take,
	.put = filesystem_put,
};

const struct kind filesystem_kind = {
	.name = "filesystem",
	.record = 0x45,
	.scope = KIND_TASK,
	.message = &filesystem__descriptor,
	.help = "working directory, root directory, umask",
	.state = &filesystem_state,
};
