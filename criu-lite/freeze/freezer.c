/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "freeze/freezer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "freeze/hierarchy.h"
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
static void read_word(int directory, const char *name, char *text, size_t size)
{
	_cleanup_fd_ int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read_full(fd, text, size - 1);

	text[got > 0 ? got : 0] = '\0';
}

/* Whether its tasks are frozen, for whatever reason. */
static bool in_force(int directory, enum freezer_kind kind)
{
	char text[256];

	if (kind == FREEZER_V1) {
		read_word(directory, "freezer.state", text, sizeof(text));
		return !strncmp(text, "FROZEN", 6);
	}
	read_word(directory, "cgroup.events", text, sizeof(text));
	return strstr(text, "frozen 1") != NULL;
}

static int open_cgroup(const char *directory)
{
	return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The cgroup in `directory` or above, up to the mount point, that is frozen itself. */
static bool climb_to_frozen(char *directory, size_t top, const struct version *v)
{
	char text[16], *slash;

	while (strlen(directory) > top) {
		_cleanup_fd_ int dir = open_cgroup(directory);

		read_word(dir, v->own_file, text, sizeof(text));
		if (text[0] == '1')
			return true;
		slash = strrchr(directory, '/');
		if (!slash || slash == directory)
			break;
		*slash = '\0';
	}
	return false;
}

/* What is looked for: the cgroup `path` of the tree's root, or all of `whole`. */
struct search {
	const struct proc_mounts *mounts;
	const struct pid_list *tree;
	const char *whole;
};

/* The directory of the cgroup to freeze; *all: it is known that there is nobody else in it. */
static char *place_of(const struct search *s, const struct version *v, const char *path,
		      size_t *ret_top, bool *all)
{
	_cleanup_free_ char *given = NULL;

	given = s->whole ? hierarchy_path(s->mounts, v->controller, s->whole) : NULL;
	*all = given != NULL;
	return hierarchy_directory(s->mounts, v->controller, given ? given : path, ret_top);
}

static int find_in(struct freezers *ret, const struct search *s, const struct version *v,
		   const char *path, struct error *err)
{
	struct freezer *f = &ret->items[ret->count];
	_cleanup_free_ char *directory = NULL;
	_cleanup_fd_ int dir = -1;
	size_t top = 0, length;
	bool frozen, all;

	directory = place_of(s, v, path, &top, &all);
	dir = directory ? open_cgroup(directory) : -1;
	if (dir < 0)
		return 0;
	length = strlen(directory);
	frozen = in_force(dir, v->kind);
	if (frozen && !climb_to_frozen(directory, top, v))
		return error_set(err, ERROR_BLOCKED, 0,
				 "the cgroup %s is frozen from outside of its mount", path);
	/* Those above it have been given by nobody. */
	if ((!all || strlen(directory) < length) && !members_only(directory, s->tree)) {
		if (!frozen)
			return 0;
		error_set(err, ERROR_BLOCKED, 0, "the cgroup %s is frozen, and others are in it",
			  directory);
		return error_hint(err, "thaw it first");
	}
	fd_close(&dir);
	*f = (struct freezer){ .dir = open_cgroup(directory), .path = steal_ptr(directory) };
	ret->count++;
	if (f->dir < 0)
		return error_set(err, ERROR_TARGET, errno, "%s", f->path);
	f->kind = v->kind;
	f->was_frozen = f->frozen = frozen;
	return 0;
}

int freezers_find(struct freezers *ret, const struct pid_list *tree, const char *whole,
		  struct error *err)
{
	_cleanup_proc_cgroups_ struct proc_cgroups cgroups = { 0 };
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };
	const struct search search = { &mounts, tree, whole };
	const pid_t root_pid = tree->pids.items[0];
	_cleanup_fd_ int root = -1, self = -1;
	size_t i;

	*ret = (struct freezers){ 0 };
	root = proc_open(root_pid);
	self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || self < 0)
		return error_set(err, ERROR_TARGET, errno, "process %d", root_pid);
	if (proc_read_cgroups(root, &cgroups, err) || proc_read_mountinfo(self, &mounts, err))
		return -1;
	for (i = 0; i < ARRAY_SIZE(versions); i++) {
		const struct proc_cgroup *c = proc_cgroups_find(&cgroups, versions[i].controller);

		if (c && !c->deleted && find_in(ret, &search, &versions[i], c->path, err))
			return -1;
	}
	return 0;
}

bool freezer_in_force(const struct freezer *f)
{
	return in_force(f->dir, f->kind);
}

const char *freezer_controller(enum freezer_kind kind)
{
	return versions[kind == FREEZER_V2 ? 0 : 1].controller;
}

const char *freezer_file(const struct freezer *f)
{
	return version_of(f)->file;
}

const char *freezer_word(const struct freezer *f, bool frozen)
{
	return version_of(f)->words[frozen];
}

static int write_word(const struct freezer *f, bool frozen)
{
	const char *word = freezer_word(f, frozen);
	_cleanup_fd_ int fd = openat(f->dir, freezer_file(f), O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -1 : write_full(fd, word, strlen(word));
}

int freezer_set(struct freezer *f, bool frozen, int timeout_ms, struct error *err)
{
	uint64_t deadline = now_ns() + (uint64_t)timeout_ms * 1000000;

	if (write_word(f, frozen))
		return error_set(err, ERROR_TARGET, errno, "%s/%s", f->path, freezer_file(f));
	f->frozen = frozen;
	while (frozen && timeout_ms && !in_force(f->dir, f->kind)) {
		if (now_ns() > deadline) {
			f->frozen = write_word(f, false) != 0;
			return error_set(err, ERROR_TARGET, 0, "the cgroup %s does not freeze",
					 f->path);
		}
		nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
	}
	return 0;
}

int freezers_copy(struct freezers *ret, const struct freezers *from, struct error *err)
{
	for (ret->count = 0; ret->count < from->count; ret->count++) {
		struct freezer *f = &ret->items[ret->count];

		*f = from->items[ret->count];
		f->dir = fcntl(f->dir, F_DUPFD_CLOEXEC, 0);
		f->path = strdup(f->path);
		if (f->dir < 0 || !f->path) {
			ret->count++;
			return error_set(err, ERROR_FAILED, errno, "freezer");
		}
	}
	return 0;
}

void freezers_release(struct freezers *f)
{
	size_t i;

	for (i = 0; i < f->count; i++) {
		fd_close(&f->items[i].dir);
		free(f->items[i].path);
	}
	*f = (struct freezers){ 0 };
}
