/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The limits of an IPC namespace, ipc_namespaces(7); what is in it are other kinds. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "images/ipc_namespace.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind ipc_namespace_kind;

/* Below /proc/sys; those that bound others come first. */
static const char *const settings[] = {
	"kernel/msgmax",	  "kernel/msgmnb",	     "kernel/msgmni",
	"kernel/sem",		  "kernel/shmall",	     "kernel/shmmax",
	"kernel/shmmni",	  "kernel/shm_rmid_forced",  "fs/mqueue/queues_max",
	"fs/mqueue/msg_max",	  "fs/mqueue/msgsize_max",   "fs/mqueue/msg_default",
	"fs/mqueue/msgsize_default",
};

enum { VALUE_MAX = 256 };

static int ipc_dump(struct dump *d, struct error *err)
{
	IpcNamespace m = IPC_NAMESPACE__INIT;
	IpcSetting one[ARRAY_SIZE(settings)], *list[ARRAY_SIZE(settings)];
	char values[ARRAY_SIZE(settings)][VALUE_MAX];
	size_t i;

	if (!(d->container.namespaces & CLONE_NEWIPC))
		return 0;
	m.settings = list;
	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		_cleanup_buffer_ struct buffer text = { 0 };
		char path[64];

		snprintf(path, sizeof(path), "/proc/sys/%s", settings[i]);
		if (read_file_at(-1, path, &text) || !text.size || text.size >= VALUE_MAX)
			continue;
		memcpy(values[i], text.data, text.size);
		values[i][text.size - (text.data[text.size - 1] == '\n')] = '\0';
		ipc_setting__init(&one[i]);
		one[i].name = (char *)settings[i];
		one[i].value = values[i];
		list[m.n_settings++] = &one[i];
	}
	return dump_container(d, &ipc_namespace_kind, &m.base, err);
}

static bool is_setting(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(settings); i++)
		if (!strcmp(name, settings[i]))
			return true;
	return false;
}

static int ipc_prepare(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const IpcNamespace *m = (const IpcNamespace *)message;
	size_t i;

	if (!(r->container.namespaces & CLONE_NEWIPC))
		return error_set(err, ERROR_IMAGE, 0, "limits without an IPC namespace");
	for (i = 0; i < m->n_settings; i++)
		if (!is_setting(m->settings[i]->name))
			return error_set(err, ERROR_IMAGE, 0, "an IPC namespace has no %s",
					 m->settings[i]->name);
	return 0;
}

/* What this kernel does not have, or has already, is not written. */
static int put(const IpcSetting *m, struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	size_t length = strlen(m->value);
	_cleanup_fd_ int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/%s", m->name);
	if (read_file_at(-1, path, &text) ||
	    (text.size == length + 1 && !memcmp(text.data, m->value, length)))
		return 0;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, m->value, length) != (ssize_t)length)
		return error_set(err, ERROR_FAILED, errno, "%s = %s", path, m->value);
	return 0;
}

static int ipc_build(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const IpcNamespace *m = (const IpcNamespace *)message;
	size_t i;

	for (i = 0; i < m->n_settings; i++)
		if (put(m->settings[i], err))
			return -1;
	return 0;
}

static const struct container_ops ipc_container = {
	.of = CLONE_NEWIPC,
	.always = true,
	.dump = ipc_dump,
	.prepare = ipc_prepare,
	.build = ipc_build,
};

const struct kind ipc_namespace_kind = {
	.name = "ipc_namespace",
	.record = 0x203,
	.scope = KIND_CONTAINER,
	.message = &ipc_namespace__descriptor,
	.help = "limits of System V IPC and of message queues",
	.container = &ipc_container,
};
