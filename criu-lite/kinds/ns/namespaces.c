/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which namespaces a tree has of its own, and the ids that its pid namespace gives out next. */
#include "kinds/ns/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "images/namespaces.pb-c.h"
#include "kinds/dump.h"

extern const struct kind namespaces_kind, clocks_kind;

#define LAST_PID "/proc/sys/kernel/ns_last_pid"

static const uint64_t known = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			      CLONE_NEWPID | CLONE_NEWTIME | CLONE_NEWCGROUP | CLONE_NEWUSER;

/* What can be joined by a path; in the others live processes and mounts of the tree's own. */
static const struct {
	const char *name;	/* of the external, and of the file in /proc/PID/ns */
	uint64_t flag;
} joinable[] = {
	{ "net", CLONE_NEWNET },
	{ "ipc", CLONE_NEWIPC },
	{ "uts", CLONE_NEWUTS },
};

/* The path that stands for one; NULL: none is given. */
static const char *path_of(const struct container *c, const char *name)
{
	size_t length = strlen(name), i;

	for (i = 0; i < c->externals_count; i++) {
		const struct external *e = &c->externals[i];

		if (e->length == length + 4 && !memcmp(e->name, "ns[", 3) &&
		    !memcmp(e->name + 3, name, length))
			return e->value;
	}
	return NULL;
}

int namespaces_given(struct container *c, struct error *err)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(joinable); i++) {
		const char *path = path_of(c, joinable[i].name);
		struct stat given, its;
		char own[64];

		if (!path)
			continue;
		snprintf(own, sizeof(own), "/proc/%d/ns/%s", c->host_pid, joinable[i].name);
		if (stat(path, &given) || stat(own, &its))
			return error_set(err, ERROR_USAGE, errno, "%s", path);
		if (given.st_ino != its.st_ino || given.st_dev != its.st_dev)
			return error_set(err, ERROR_USAGE, 0,
					 "%s is not the %s namespace of process %d", path,
					 joinable[i].name, c->host_pid);
		c->joined |= c->namespaces & joinable[i].flag;
		c->namespaces &= ~joinable[i].flag;
	}
	return 0;
}

static int open_joined(const struct restore *r, size_t i, struct error *err)
{
	const char *path = path_of(&r->container, joinable[i].name);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd >= 0)
		return fd;
	error_set(err, ERROR_BLOCKED, path ? errno : 0, "the %s namespace comes from outside",
		  joinable[i].name);
	return error_hint(err, "say where it is with --external ns[%s]=PATH", joinable[i].name);
}

/* Opens all that are to be joined, and enters them if that is wanted. */
static int open_all(const struct restore *r, bool enter, struct error *err)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(joinable); i++) {
		_cleanup_fd_ int fd = -1;

		if (!(r->container.joined & joinable[i].flag))
			continue;
		fd = open_joined(r, i, err);
		if (fd < 0)
			return -1;
		if (enter && setns(fd, joinable[i].flag))
			return error_set(err, ERROR_FAILED, errno, "cannot join the %s namespace",
					 joinable[i].name);
	}
	return 0;
}

int namespaces_join(const struct restore *r, struct error *err)
{
	return open_all(r, true, err);
}

/* All are there, before anything is made. */
static int namespaces_prepare(struct restore *r, const ProtobufCMessage *message,
			      struct error *err)
{
	return open_all(r, false, err);
}

static int namespaces_dump(struct dump *d, struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	Namespaces m = NAMESPACES__INIT;

	m.own = d->container.namespaces;
	m.joined = d->container.joined;
	m.has_joined = m.joined;
	if (!m.own && !m.joined)
		return 0;
	if (m.own & CLONE_NEWPID && !read_file_at(-1, LAST_PID, &text) &&
	    !buffer_append(&text, "", 1)) {
		m.has_last_pid = true;
		m.last_pid = strtoul(text.data, NULL, 10);
	}
	return dump_container(d, &namespaces_kind, &m.base, err);
}

int namespaces_load(struct restore *r, struct error *err)
{
	const Namespaces *m = (const Namespaces *)restore_container_state(r, &namespaces_kind);

	if (!m)
		return 0;
	if ((!m->own && !m->joined) || m->own & ~known || m->own & m->joined ||
	    m->joined & ~(uint64_t)(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS))
		return error_set(err, ERROR_IMAGE, 0, "the tree has namespaces %#llx",
				 (unsigned long long)m->own);
	if (m->own & CLONE_NEWPID && r->tasks.items[0]->pid != 1)
		return error_set(err, ERROR_IMAGE, 0,
				 "the tree has a pid namespace whose first process is %d",
				 r->tasks.items[0]->pid);
	r->container.namespaces = m->own;
	r->container.joined = m->joined;
	if (restore_container_state(r, &clocks_kind))
		r->container.namespaces |= CLONE_NEWTIME;
	return 0;
}

pid_t namespaces_last_pid(const struct restore *r)
{
	const Namespaces *m = (const Namespaces *)restore_container_state(r, &namespaces_kind);

	return m && m->last_pid <= INT_MAX ? (pid_t)m->last_pid : 0;
}

int namespaces_check(const struct restore *r, struct error *err)
{
	const struct kind *const *row;

	for (row = kinds_table; *row; row++) {
		const struct container_ops *ops = (*row)->container;
		bool own = ops && (r->container.namespaces & ops->of) == ops->of;
		bool there = ops && restore_container_state(r, *row);

		if (there && !own)
			return error_set(err, ERROR_IMAGE, 0, "%s of a tree that has no such "
					 "namespace of its own", (*row)->name);
		if (ops && ops->always && own && !there)
			return error_set(err, ERROR_IMAGE, 0, "a namespace without %s",
					 (*row)->name);
	}
	return 0;
}

/* They are as they were made. */
static int namespaces_again(struct restore *r, const ProtobufCMessage *former,
			    const ProtobufCMessage *message, struct error *err)
{
	const Namespaces *a = (const Namespaces *)former, *b = (const Namespaces *)message;

	return a->own == b->own && a->joined == b->joined ?
		       0 :
		       error_set(err, ERROR_IMAGE, 0, "the tree's namespaces have changed");
}

/* The last that is born here decides, so it is put when all tasks are there. */
static int namespaces_finish(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const Namespaces *m = (const Namespaces *)message;
	_cleanup_fd_ int fd = -1;

	if (!m->has_last_pid || !(m->own & CLONE_NEWPID))
		return 0;
	fd = open(LAST_PID, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || dprintf(fd, "%u", m->last_pid) < 0)
		return error_set(err, ERROR_FAILED, errno, LAST_PID);
	return 0;
}

static const struct container_ops namespaces_container = {
	.dump = namespaces_dump,
	.prepare = namespaces_prepare,
	.again = namespaces_again,
	.finish = namespaces_finish,
};

const struct kind namespaces_kind = {
	.name = "namespaces",
	.record = 0x200,
	.scope = KIND_CONTAINER,
	.message = &namespaces__descriptor,
	.help = "which namespaces the tree has of its own; the next process id",
	.container = &namespaces_container,
};
