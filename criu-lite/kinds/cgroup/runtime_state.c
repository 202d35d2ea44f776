/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The container's runtime knows it again where it has come to. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "guard/guard.h"
#include "images/runtime.pb-c.h"
#include "kinds/cgroup/cgroup.h"
#include "kinds/dump.h"
#include "kinds/restore.h"
#include "proc/stat.h"
#include "runtime/runtime.h"

extern const struct kind runtime_kind;

/* What is written here when the tree is complete. */
struct returning {
	struct runtime_container container;
	char *config;	/* path of the file that may be made, too; NULL: none will be */
	bool ours;	/* the runtime keeps nothing of that name, but by us */
};

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "runtime");
}

static int dump(struct dump *d, struct error *err)
{
	const struct runtime_container *c = d->container.runtime;
	Runtime m = RUNTIME__INIT;

	if (!c)
		return 0;
	m.name = (char *)c->runtime->name;
	m.root = c->root;
	m.id = c->id;
	m.state = (ProtobufCBinaryData){ c->state_size, (uint8_t *)c->state };
	m.has_config = c->config != NULL;
	m.config = (ProtobufCBinaryData){ c->config_size, (uint8_t *)c->config };
	return dump_container(d, &runtime_kind, &m.base, err);
}

static int take(struct returning *ret, const Runtime *m, struct error *err)
{
	struct runtime_container *c = &ret->container;
	struct error misread = ERROR_INIT;

	c->runtime = runtime_by_name(m->name);
	if (!c->runtime)
		return error_set(err, ERROR_BLOCKED, 0,
				 "the container belongs to a runtime that is not known here");
	if (m->root[0] != '/' || strstr(m->root, "/.."))
		return error_set(err, ERROR_IMAGE, 0, "the directory of %s is none", m->name);
	c->root = strdup(m->root);
	c->id = strdup(m->id);
	if (!c->root || !c->id)
		return no_memory(err);
	if (c->runtime->parse(c, (const char *)m->state.data, m->state.len, &misread)) {
		error_set(err, ERROR_IMAGE, 0, "%s", misread.message);
		error_clear(&misread);
		return -1;
	}
	if (!m->has_config)
		return 0;
	c->config = malloc(m->config.len + 1);
	if (!c->config)
		return no_memory(err);
	if (m->config.len)
		memcpy(c->config, m->config.data, m->config.len);
	c->config_size = m->config.len;
	return 0;
}

/* What would be made and is not there yet is told to the guard. */
static int announce(struct restore *r, struct returning *back, struct error *err)
{
	const struct runtime_container *c = &back->container;
	_cleanup_free_ char *directory = c->runtime->directory(c);
	_cleanup_free_ char *config = c->runtime->config_file(c, r->container.root);

	if (!directory)
		return no_memory(err);
	if (back->ours && guard_will_make(r->guard, GUARD_DIRECTORY, 0, directory, err))
		return -1;
	if (!c->config || !config || !access(config, F_OK))
		return 0;
	back->config = steal_ptr(config);
	return guard_will_make(r->guard, GUARD_FILE, 0, back->config, err);
}

static int prepare(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	struct returning *back = calloc(1, sizeof(*back));
	bool there;

	if (!back)
		return no_memory(err);
	*restore_container_slot(r, &runtime_kind) = back;
	if (take(back, (const Runtime *)message, err) ||
	    runtime_free(&back->container, &there, err))
		return -1;
	back->ours = !there;
	return announce(r, back, err);
}

/* What it said when the first round was loaded. */
static int again(struct restore *r, const ProtobufCMessage *former,
		 const ProtobufCMessage *message, struct error *err)
{
	return 0;
}

/* The tree's first process as the machine sees it. */
static int find_process(const struct restore *r, struct runtime_place *ret, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_fd_ int dir = -1;
	struct proc_stat stat;
	char name[32];

	ret->pid = r->container.host_pid ? r->container.host_pid : r->tasks.items[0]->pid;
	ret->start_time = r->container.host_start_time;
	if (ret->start_time)
		return 0;
	snprintf(name, sizeof(name), "/proc/%d", ret->pid);
	path = container_host_path(&r->container, name);
	dir = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (dir < 0)
		return error_set(err, ERROR_FAILED, errno, "%s", name);
	if (proc_read_stat(dir, &stat, err))
		return -1;
	ret->start_time = stat.start_time;
	return 0;
}

static int finish(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const struct returning *back = *restore_container_slot(r, &runtime_kind);
	_cleanup_free_ char *prefix = container_host_path(&r->container, "");
	struct runtime_place place = { .rootfs = r->container.root, .prefix = prefix };

	if (!prefix)
		return no_memory(err);
	cgroups_tell(r, &place);
	return find_process(r, &place, err) || runtime_write(&back->container, &place, err) ? -1 :
											      0;
}

/* If there was an older state of that name it tells, as before, of a container that has ended. */
static void undo(struct restore *r, const ProtobufCMessage *message)
{
	struct returning *back = *restore_container_slot(r, &runtime_kind);
	_cleanup_error_ struct error failed = ERROR_INIT;

	if (!back)
		return;
	if (back->ours)
		back->container.runtime->forget_state(&back->container, &failed);
	if (back->config)
		unlink(back->config);
	runtime_container_release(&back->container);
	free(back->config);
	free(back);
	*restore_container_slot(r, &runtime_kind) = NULL;
}

static const struct container_ops runtime_container_ops = {
	.dump = dump,
	.prepare = prepare,
	.again = again,
	.finish = finish,
	.undo = undo,
};

const struct kind runtime_kind = {
	.name = "runtime",
	.record = 0x231,
	.scope = KIND_CONTAINER,
	.message = &runtime__descriptor,
	.help = "what its runtime (runc) knows of a container, which it then knows here",
	.container = &runtime_container_ops,
};
