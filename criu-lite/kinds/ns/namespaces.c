/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which namespaces a tree has of its own, and the ids that its pid namespace gives out next. */
#include "kinds/ns/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "images/namespaces.pb-c.h"
#include "kinds/dump.h"

extern const struct kind namespaces_kind, clocks_kind;

#define LAST_PID "/proc/sys/kernel/ns_last_pid"

static const uint64_t known = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			      CLONE_NEWPID | CLONE_NEWTIME | CLONE_NEWCGROUP | CLONE_NEWUSER;

static int namespaces_dump(struct dump *d, struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	Namespaces m = NAMESPACES__INIT;

	m.own = d->container.namespaces;
	if (!m.own)
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
	if (!m->own || m->own & ~known)
		return error_set(err, ERROR_IMAGE, 0, "the tree has namespaces %#llx",
				 (unsigned long long)m->own);
	if (m->own & CLONE_NEWPID && r->tasks.items[0]->pid != 1)
		return error_set(err, ERROR_IMAGE, 0,
				 "the tree has a pid namespace whose first process is %d",
				 r->tasks.items[0]->pid);
	r->container.namespaces = m->own;
	if (restore_container_state(r, &clocks_kind))
		r->container.namespaces |= CLONE_NEWTIME;
	return 0;
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
