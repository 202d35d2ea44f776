/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ids of a user namespace, user_namespaces(7). The controller stays in that of the machine,
 * since it could not come back: all ids that it sees and saves are the machine's, and only what a
 * puppet says itself is said in those of the namespace.
 */
#include "kinds/ns/user_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "images/user_namespace.pb-c.h"
#include "kinds/dump.h"

extern const struct kind user_namespace_kind;

/* The kernel takes no more lines. */
enum { RANGES_MAX = 340, RANGE_TEXT = 40 };

struct ranges {
	IdRange items[RANGES_MAX], *list[RANGES_MAX];
	size_t count;
};

static int read_ranges(int proc_fd, const char *file, struct ranges *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	const char *at;
	int used;

	if (read_file_at(proc_fd, file, &text) || buffer_append(&text, "", 1))
		return error_set(err, ERROR_TARGET, errno, "%s", file);
	for (at = text.data; ret->count < RANGES_MAX; at += used) {
		IdRange *range = &ret->items[ret->count];

		id_range__init(range);
		used = 0;
		if (sscanf(at, "%u %u %u\n%n", &range->inside, &range->outside, &range->count,
			   &used) < 3 ||
		    !used)
			break;
		ret->list[ret->count++] = range;
	}
	return *at ? error_set(err, ERROR_TARGET, 0, "%s cannot be read", file) : 0;
}

static bool has_root(const struct ranges *r)
{
	size_t i;

	for (i = 0; i < r->count; i++)
		if (r->items[i].inside == 0)
			return true;
	return false;
}

static int user_check(const struct container_look *look, struct blockers *blockers,
		      struct error *err)
{
	_cleanup_free_ struct ranges *users = calloc(2, sizeof(*users));

	if (!(look->container->namespaces & CLONE_NEWUSER) || !look->count)
		return 0;
	if (!users)
		return error_set(err, ERROR_FAILED, ENOMEM, "user namespace");
	if (read_ranges(look->tasks[0].proc_fd, "uid_map", &users[0], err) ||
	    read_ranges(look->tasks[0].proc_fd, "gid_map", &users[1], err))
		return -1;
	if ((!has_root(&users[0]) || !has_root(&users[1])) &&
	    blockers_add(blockers, look->tasks[0].pid, "has no user or group 0",
			 "give the container a range of ids that begins with 0", "user namespace"))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

static int user_dump(struct dump *d, struct error *err)
{
	_cleanup_free_ struct ranges *ranges = calloc(2, sizeof(*ranges));
	_cleanup_buffer_ struct buffer text = { 0 };
	int proc_fd = d->tasks.items[0]->proc_fd;
	UserNamespace m = USER_NAMESPACE__INIT;

	if (!(d->container.namespaces & CLONE_NEWUSER))
		return 0;
	if (!ranges)
		return error_set(err, ERROR_FAILED, ENOMEM, "user namespace");
	if (read_ranges(proc_fd, "uid_map", &ranges[0], err) ||
	    read_ranges(proc_fd, "gid_map", &ranges[1], err))
		return -1;
	m.n_users = ranges[0].count;
	m.users = ranges[0].list;
	m.n_groups = ranges[1].count;
	m.groups = ranges[1].list;
	m.has_deny_setgroups = m.deny_setgroups =
		!read_file_at(proc_fd, "setgroups", &text) && text.size >= 4 &&
		!memcmp(text.data, "deny", 4);
	return dump_container(d, &user_namespace_kind, &m.base, err);
}

static int check_ranges(IdRange *const *ranges, size_t count, struct error *err)
{
	size_t i;

	if (!count || count > RANGES_MAX)
		return error_set(err, ERROR_IMAGE, 0, "a user namespace with %zu ranges of ids",
				 count);
	for (i = 0; i < count; i++)
		if (!ranges[i]->count || ranges[i]->inside + ranges[i]->count < ranges[i]->inside ||
		    ranges[i]->outside + ranges[i]->count < ranges[i]->outside)
			return error_set(err, ERROR_IMAGE, 0, "a range of ids from %u on",
					 ranges[i]->inside);
	return 0;
}

static int user_prepare(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const UserNamespace *m = (const UserNamespace *)message;

	if (!(r->container.namespaces & CLONE_NEWUSER))
		return error_set(err, ERROR_IMAGE, 0, "ids without a user namespace");
	if (check_ranges(m->users, m->n_users, err))
		return -1;
	return check_ranges(m->groups, m->n_groups, err);
}

static int write_file(pid_t pid, const char *file, const char *text, size_t size,
		      struct error *err)
{
	_cleanup_fd_ int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, size) != (ssize_t)size)
		return error_set(err, ERROR_FAILED, errno, "the user namespace's %s", file);
	return 0;
}

static int write_ranges(pid_t pid, const char *file, IdRange *const *ranges, size_t count,
			struct error *err)
{
	char text[RANGES_MAX * RANGE_TEXT];
	size_t size = 0, i;

	for (i = 0; i < count; i++)
		size += snprintf(text + size, sizeof(text) - size, "%u %u %u\n", ranges[i]->inside,
				 ranges[i]->outside, ranges[i]->count);
	return write_file(pid, file, text, size, err);
}

int user_namespace_set(const struct restore *r, pid_t pid, struct error *err)
{
	const UserNamespace *m =
		(const UserNamespace *)restore_container_state(r, &user_namespace_kind);

	if (!m)
		return 0;
	if (m->deny_setgroups && write_file(pid, "setgroups", "deny", 4, err))
		return -1;
	return write_ranges(pid, "uid_map", m->users, m->n_users, err) ||
			       write_ranges(pid, "gid_map", m->groups, m->n_groups, err) ?
		       -1 :
		       0;
}

static uint32_t inside(IdRange *const *ranges, size_t count, uint32_t id)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (id >= ranges[i]->outside && id - ranges[i]->outside < ranges[i]->count)
			return ranges[i]->inside + (id - ranges[i]->outside);
	return -1;
}

uint32_t user_inside(const struct restore *r, uint32_t uid)
{
	const UserNamespace *m =
		(const UserNamespace *)restore_container_state(r, &user_namespace_kind);

	return m ? inside(m->users, m->n_users, uid) : uid;
}

uint32_t group_inside(const struct restore *r, uint32_t gid)
{
	const UserNamespace *m =
		(const UserNamespace *)restore_container_state(r, &user_namespace_kind);

	return m ? inside(m->groups, m->n_groups, gid) : gid;
}

uint32_t *groups_inside(const struct restore *r, const uint32_t *groups, size_t count,
			struct error *err)
{
	uint32_t *ret = calloc(count + 1, sizeof(*ret));
	size_t i;

	if (!ret) {
		error_set(err, ERROR_FAILED, ENOMEM, "groups");
		return NULL;
	}
	for (i = 0; i < count; i++) {
		ret[i] = group_inside(r, groups[i]);
		if (ret[i] != (uint32_t)-1)
			continue;
		error_set(err, ERROR_FAILED, 0, "group %u is not in the user namespace", groups[i]);
		free(ret);
		return NULL;
	}
	return ret;
}

static const struct container_ops user_container = {
	.of = CLONE_NEWUSER,
	.always = true,
	.check = user_check,
	.dump = user_dump,
	.prepare = user_prepare,
};

const struct kind user_namespace_kind = {
	.name = "user_namespace",
	.record = 0x204,
	.scope = KIND_CONTAINER,
	.message = &user_namespace__descriptor,
	.help = "ids of users and groups",
	.container = &user_container,
};
