/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "freeze/freezer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "freeze/members.h"
#include "proc/cgroup.h"
#include "proc/mountinfo.h"
#include "proc/tasks.h"

enum { POLL_NS = 50 * 1000 };

static const struct version {
	enum freezer_kind kind;
	const char *controller;	/* in /proc/PID/cgroup */
	const char *file;
	const char *own_file;	/* "1": it is frozen itself, not only below a frozen one */
	const char *words[2];	/* to thaw, to freeze */
} versions[] = {
	{ FREEZER_V2, "", "cgroup.freeze", "cgroup.freeze", { "0", "1" } },
	{ FREEZER_V1, "freezer", "freezer.state", "freezer.self_freezing", { "THAWED", "FROZEN" } },
};

static const struct version *version_of(const struct freezer *f)
{
	return &versions[f->kind == FREEZER_V2 ? 0 : 1];
}

/* Reads a short file of a cgroup; "" when there is none. */
static void read_word(const char *directory, const char *name, char *text, size_t size)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_fd_ int fd = -1;
	ssize_t got = 0;

	if (asprintf(&path, "%s/%s", directory, name) < 0) {
		path = NULL;
	} else {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		got = fd < 0 ? 0 : read_full(fd, text, size - 1);
	}
	text[got > 0 ? got : 0] = '\0';
}

/* Whether its tasks are frozen, for whatever reason. */
static bool in_force(const char *directory, enum freezer_kind kind)
{
	char text[256];

	if (kind == FREEZER_V1) {
		read_word(directory, "freezer.state", text, sizeof(text));
		return !strncmp(text, "FROZEN", 6);
	}
	read_word(directory, "cgroup.events", text, sizeof(text));
	return strstr(text, "frozen 1") != NULL;
}

static bool is_mount_of(const struct proc_mount *m, const struct version *v)
{
	const char *options = m->super_options;

	if (v->kind == FREEZER_V2)
		return !strcmp(m->type, "cgroup2");
	for (; !strcmp(m->type, "cgroup") && options; options = strchr(options, ',')) {
		options += *options == ',';
		if (!strncmp(options, "freezer", 7) && (options[7] == ',' || !options[7]))
			return true;
	}
	return false;
}

/* The directory of a cgroup: below one of the mounts of its hierarchy. NULL when it is in none of
 * them, or is the root, which cannot be frozen. *ret_top is the length of the mount point. */
static char *directory_of(const struct proc_mounts *mounts, const struct version *v,
			  const char *path, size_t *ret_top)
{
	const struct proc_mount *m;
	char *directory;

	array_for(m, &mounts->items) {
		size_t root = strlen(m->root);

		if (!is_mount_of(m, v))
			continue;
		if (root == 1)
			root = 0;
		if (strncmp(path, m->root, root) || path[root] != '/' || !path[root + 1] ||
		    !strncmp(path + root, "/..", 3))
			continue;
		*ret_top = strlen(m->mount_point);
		if (asprintf(&directory, "%s%s", m->mount_point, path + root) < 0)
			return NULL;
		return directory;
	}
	return NULL;
}

/* The cgroup in `directory` or above, up to the mount point, that is frozen itself. */
static bool climb_to_frozen(char *directory, size_t top, const struct version *v)
{
	char text[16], *slash;

	while (strlen(directory) > top) {
		read_word(directory, v->own_file, text, sizeof(text));
		if (text[0] == '1')
			return true;
		slash = strrchr(directory, '/');
		if (!slash || slash == directory)
			break;
		*slash = '\0';
	}
	return false;
}

static int find_in(struct freezers *ret, const struct version *v, const struct proc_mounts *mounts,
		   const char *path, const struct pid_list *tree, struct error *err)
{
	struct freezer *f = &ret->items[ret->count];
	_cleanup_free_ char *directory = NULL;
	size_t top = 0;
	bool frozen;

	directory = directory_of(mounts, v, path, &top);
	if (!directory)
		return 0;
	frozen = in_force(directory, v->kind);
	if (frozen && !climb_to_frozen(directory, top, v))
		return error_set(err, ERROR_BLOCKED, 0,
				 "the cgroup %s is frozen from outside of its mount", path);
	if (!members_only(directory, tree)) {
		if (!frozen)
			return 0;
		error_set(err, ERROR_BLOCKED, 0, "the cgroup %s is frozen, and others are in it",
			  directory);
		return error_hint(err, "thaw it first");
	}
	if (asprintf(&f->file, "%s/%s", directory, v->file) < 0) {
		f->file = NULL;
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", path);
	}
	f->kind = v->kind;
	f->was_frozen = f->frozen = frozen;
	ret->count++;
	return 0;
}

int freezers_find(struct freezers *ret, const struct pid_list *tree, struct error *err)
{
	_cleanup_proc_cgroups_ struct proc_cgroups cgroups = { 0 };
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };
	_cleanup_fd_ int root = -1, self = -1;
	char path[32];
	size_t i;

	*ret = (struct freezers){ 0 };
	snprintf(path, sizeof(path), "/proc/%d", tree->pids.items[0]);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || self < 0)
		return error_set(err, ERROR_TARGET, errno, "%s", path);
	if (proc_read_cgroups(root, &cgroups, err) || proc_read_mountinfo(self, &mounts, err))
		return -1;
	for (i = 0; i < ARRAY_SIZE(versions); i++) {
		const struct proc_cgroup *c = proc_cgroups_find(&cgroups, versions[i].controller);

		if (c && !c->deleted && find_in(ret, &versions[i], &mounts, c->path, tree, err)) {
			freezers_release(ret);
			return -1;
		}
	}
	return 0;
}

const char *freezer_word(const struct freezer *f, bool frozen)
{
	return version_of(f)->words[frozen];
}

static int write_word(const struct freezer *f, bool frozen)
{
	const char *word = freezer_word(f, frozen);
	_cleanup_fd_ int fd = open(f->file, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -1 : write_full(fd, word, strlen(word));
}

int freezer_set(struct freezer *f, bool frozen, int timeout_ms, struct error *err)
{
	uint64_t deadline = now_ns() + (uint64_t)timeout_ms * 1000000;
	_cleanup_free_ char *directory = strdup(f->file);

	if (!directory)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", f->file);
	*strrchr(directory, '/') = '\0';
	if (write_word(f, frozen))
		return error_set(err, ERROR_TARGET, errno, "%s", f->file);
	f->frozen = frozen;
	while (frozen && timeout_ms && !in_force(directory, f->kind)) {
		if (now_ns() > deadline) {
			f->frozen = write_word(f, false) != 0;
			return error_set(err, ERROR_TARGET, 0, "the cgroup %s does not freeze",
					 directory);
		}
		nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
	}
	return 0;
}

void freezers_release(struct freezers *f)
{
	size_t i;

	for (i = 0; i < FREEZERS_MAX; i++)
		free(f->items[i].file);
	*f = (struct freezers){ 0 };
}
