/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Settings of a network namespace: what can be written below /proc/sys/net. Those that a new
 * namespace has by itself are left alone. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "images/net_sysctls.pb-c.h"
#include "kinds/dump.h"
#include "kinds/net/entry.h"
#include "kinds/net/net.h"
#include "kinds/restore.h"

#define TOP "/proc/sys/net"

enum { NAME_LENGTH_MAX = 400, VALUE_LENGTH_MAX = 4096, DEPTH_MAX = 8 };

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "network settings");
}

/* ---- saving ---- */

/* Not ours: of the link (net-links), and of the whole machine. */
static bool is_skipped(const char *name)
{
	const char *last = strrchr(name, '/');

	return !strcmp(last ? last + 1 : name, "addr_gen_mode") ||
	       !strcmp(name, "netfilter/nf_hooks_lwtunnel");
}

static int add(NetSysctls *m, const char *name, const char *value, struct error *err)
{
	NetSysctl *s = net_message(&net_sysctl__descriptor);

	if (s) {
		s->name = strdup(name);
		s->value = strdup(value);
	}
	if (!s || !s->name || !s->value) {
		net_message_free(s);
		return no_memory(err);
	}
	return net_append(&m->sysctls, &m->n_sysctls, &s->base, err);
}

static int read_value(int dir, const char *leaf, const char *name, struct buffer *value,
		      NetSysctls *m, struct error *err)
{
	/* What cannot be written, and what can only be written, is no setting. */
	_cleanup_fd_ int fd = openat(dir, leaf, O_RDWR | O_CLOEXEC);

	if (fd < 0 || is_skipped(name) || read_fd_to_end(fd, value))
		return 0;
	if (value->size && value->data[value->size - 1] == '\n')
		value->data[--value->size] = 0;
	if (strlen(value->data) != value->size || value->size > VALUE_LENGTH_MAX)
		return 0;
	return add(m, name, value->data, err);
}

/* What sets others with it goes first: "all" those of all links, "default" those to come. */
static int rank(const char *name)
{
	return !strcmp(name, "all") ? 0 : !strcmp(name, "default") ? 1 : 2;
}

static int in_order(const struct dirent **a, const struct dirent **b)
{
	int x = rank((*a)->d_name), y = rank((*b)->d_name);

	return x != y ? x - y : strcmp((*a)->d_name, (*b)->d_name);
}

static int not_dots(const struct dirent *e)
{
	return strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
}

static int read_directory(int at, const char *path, const char *name, int depth,
			  struct buffer *value, NetSysctls *m, struct error *err);

static int read_one(int dir, const struct dirent *e, const char *above, int depth,
		    struct buffer *value, NetSysctls *m, struct error *err)
{
	char name[NAME_LENGTH_MAX];

	if (snprintf(name, sizeof(name), "%s%s%s", above, *above ? "/" : "", e->d_name) >=
	    (int)sizeof(name))
		return 0;
	if (e->d_type == DT_DIR)
		return depth < DEPTH_MAX ?
			       read_directory(dir, e->d_name, name, depth + 1, value, m, err) :
			       0;
	return read_value(dir, e->d_name, name, value, m, err);
}

static int read_directory(int at, const char *path, const char *name, int depth,
			  struct buffer *value, NetSysctls *m, struct error *err)
{
	_cleanup_fd_ int dir = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **list;
	int i, count, result = 0;

	if (dir < 0)
		/* Of a link that has just gone. */
		return depth ? 0 : error_set(err, ERROR_FAILED, errno, "cannot open %s", path);
	count = scandirat(dir, ".", &list, not_dots, in_order);
	if (count < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot read %s/%s", TOP, name);
	for (i = 0; i < count; i++) {
		if (!result)
			result = read_one(dir, list[i], name, depth, value, m, err);
		free(list[i]);
	}
	free(list);
	return result;
}

static int sysctls_dump(struct dump *d, struct error *err)
{
	_cleanup_buffer_ struct buffer value = { 0 };
	NetSysctls *m;
	int result;

	if (!net_is_own(&d->container))
		return 0;
	m = net_message(&net_sysctls__descriptor);
	if (!m)
		return no_memory(err);
	result = read_directory(AT_FDCWD, TOP, "", 0, &value, m, err) ||
		 dump_container(d, &net_sysctls_kind, &m->base, err);
	net_message_free(m);
	return result ? -1 : 0;
}

/* ---- making ---- */

/* Whether a foreign name stays below the directory. */
static bool name_valid(const char *name)
{
	const char *part = name;

	if (strlen(name) >= NAME_LENGTH_MAX || is_skipped(name))
		return false;
	for (;;) {
		size_t i, size = strcspn(part, "/");

		if (size == 0 || (part[0] == '.' && (size == 1 || (size == 2 && part[1] == '.'))))
			return false;
		for (i = 0; i < size; i++)
			if (iscntrl((unsigned char)part[i]))
				return false;
		if (!part[size])
			return true;
		part += size + 1;
	}
}

static int sysctls_prepare(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const NetSysctls *m = (const NetSysctls *)message;
	size_t i;

	for (i = 0; i < m->n_sysctls; i++)
		if (!name_valid(m->sysctls[i]->name) ||
		    strlen(m->sysctls[i]->value) > VALUE_LENGTH_MAX)
			return error_set(err, ERROR_IMAGE, 0, "network setting %zu: bad message", i);
	return 0;
}

/* Sets it unless it has that value. Returns 1 when this kernel does not have it. */
static int set(const NetSysctl *s, struct buffer *now, struct error *err)
{
	if (net_sysctl_read(s->name, now)) {
		if (errno == ENOENT)
			return 1;
	} else if (!strcmp(now->data, s->value)) {
		return 0;
	}
	if (net_sysctl_write(s->name, s->value))
		return error_set(err, ERROR_FAILED, errno, "%s/%s: cannot be set to \"%s\"", TOP,
				 s->name, s->value);
	return 0;
}

static int sysctls_build(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const NetSysctls *m = (const NetSysctls *)message;
	_cleanup_buffer_ struct buffer now = { 0 };
	const char *missing = NULL;
	size_t i, missing_count = 0;

	for (i = 0; i < m->n_sysctls; i++) {
		int result = set(m->sysctls[i], &now, err);

		if (result < 0)
			return -1;
		if (result) {
			missing = m->sysctls[i]->name;
			missing_count++;
		}
	}
	if (missing)
		log_notice("%zu network settings of the container do not exist on this kernel, such as "
			   "%s", missing_count, missing);
	return 0;
}

/* What a link sets itself when it comes up. */
static bool is_late(const char *name)
{
	size_t size = strlen(name);

	return !strncmp(name, "ipv6/conf/", 10) && size > 4 && !strcmp(name + size - 4, "/mtu");
}

static int sysctls_finish(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const NetSysctls *m = (const NetSysctls *)message;
	_cleanup_buffer_ struct buffer now = { 0 };
	size_t i;

	for (i = 0; i < m->n_sysctls; i++)
		if (is_late(m->sysctls[i]->name) && set(m->sysctls[i], &now, err) < 0)
			return -1;
	return 0;
}

static const struct container_ops sysctls_container = {
	.of = CLONE_NEWNET,
	.dump = sysctls_dump,
	.prepare = sysctls_prepare,
	.build = sysctls_build,
	.finish = sysctls_finish,
};

const struct kind net_sysctls_kind = {
	.name = "net-sysctls",
	.record = 0x221,
	.scope = KIND_CONTAINER,
	.message = &net_sysctls__descriptor,
	.help = "settings of a container's network, /proc/sys/net",
	.container = &sysctls_container,
};
