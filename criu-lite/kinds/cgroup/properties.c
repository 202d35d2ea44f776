/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/cgroup/properties.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "freeze/hierarchy.h"

enum { VALUE_MAX = 64 << 10, PROPERTIES_MAX = 512, SHOWN_MAX = 80 };

/* How it is written; it is read as a whole. */
enum form {
	WHOLE,		/* as it was read */
	LINES,		/* line by line: one device, interface or resource each */
	DEVICES,	/* devices.list: by devices.deny and devices.allow */
	CONTROLLERS,	/* "cpu memory" as "+cpu +memory" */
	TYPE,		/* "threaded"; what else it can be follows from those around it */
	OOM_CONTROL,	/* the first number of several */
};

#define UNLIMITED "9223372036854771712"

static const struct property {
	const char *controller;	/* "" version 2, "*": every hierarchy of version 1 */
	const char *name;	/* of the file; may be a pattern, fnmatch(3) */
	enum property_when when;
	enum form form;
	const char *normal;	/* where there is no such file, this is what it would be; or NULL */
} table[] = {
	{ "*", "cgroup.clone_children", PROPERTY_EARLY, WHOLE, "0" },
	{ "*", "notify_on_release", PROPERTY_EARLY, WHOLE, "0" },

	{ "cpuset", "cpuset.cpus", PROPERTY_EARLY, WHOLE, NULL },
	{ "cpuset", "cpuset.mems", PROPERTY_EARLY, WHOLE, NULL },
	{ "cpuset", "cpuset.cpu_exclusive", PROPERTY_EARLY, WHOLE, "0" },
	{ "cpuset", "cpuset.mem_exclusive", PROPERTY_EARLY, WHOLE, "0" },
	{ "cpuset", "cpuset.mem_hardwall", PROPERTY_EARLY, WHOLE, "0" },
	{ "cpuset", "cpuset.memory_migrate", PROPERTY_EARLY, WHOLE, "0" },
	{ "cpuset", "cpuset.memory_spread_page", PROPERTY_EARLY, WHOLE, "0" },
	{ "cpuset", "cpuset.memory_spread_slab", PROPERTY_EARLY, WHOLE, "0" },
	{ "cpuset", "cpuset.sched_load_balance", PROPERTY_EARLY, WHOLE, "1" },
	{ "cpuset", "cpuset.sched_relax_domain_level", PROPERTY_EARLY, WHOLE, "-1" },

	/* Real-time scheduling is refused where there is no time for it. */
	{ "cpu", "cpu.rt_period_us", PROPERTY_EARLY, WHOLE, "1000000" },
	{ "cpu", "cpu.rt_runtime_us", PROPERTY_EARLY, WHOLE, "0" },
	{ "cpu", "cpu.shares", PROPERTY_LATE, WHOLE, NULL },
	{ "cpu", "cpu.idle", PROPERTY_LATE, WHOLE, "0" },
	{ "cpu", "cpu.cfs_period_us", PROPERTY_LATE, WHOLE, "100000" },
	{ "cpu", "cpu.cfs_quota_us", PROPERTY_LATE, WHOLE, "-1" },
	{ "cpu", "cpu.cfs_burst_us", PROPERTY_LATE, WHOLE, "0" },
	{ "cpu", "cpu.uclamp.min", PROPERTY_LATE, WHOLE, "0.00" },
	{ "cpu", "cpu.uclamp.max", PROPERTY_LATE, WHOLE, "max" },

	{ "memory", "memory.use_hierarchy", PROPERTY_EARLY, WHOLE, "1" },
	{ "memory", "memory.move_charge_at_immigrate", PROPERTY_EARLY, WHOLE, "0" },
	{ "memory", "memory.swappiness", PROPERTY_LATE, WHOLE, NULL },
	{ "memory", "memory.oom_control", PROPERTY_LATE, OOM_CONTROL, NULL },
	{ "memory", "memory.soft_limit_in_bytes", PROPERTY_LATE, WHOLE, UNLIMITED },
	{ "memory", "memory.limit_in_bytes", PROPERTY_LATE, WHOLE, NULL },
	{ "memory", "memory.memsw.limit_in_bytes", PROPERTY_LATE, WHOLE, UNLIMITED },
	{ "memory", "memory.kmem.limit_in_bytes", PROPERTY_LATE, WHOLE, UNLIMITED },
	{ "memory", "memory.kmem.tcp.limit_in_bytes", PROPERTY_LATE, WHOLE, UNLIMITED },

	{ "pids", "pids.max", PROPERTY_LATE, WHOLE, NULL },

	{ "devices", "devices.list", PROPERTY_LATE, DEVICES, NULL },

	{ "blkio", "blkio.weight", PROPERTY_LATE, WHOLE, "500" },
	{ "blkio", "blkio.leaf_weight", PROPERTY_LATE, WHOLE, "500" },
	{ "blkio", "blkio.bfq.weight", PROPERTY_LATE, WHOLE, "100" },
	{ "blkio", "blkio.weight_device", PROPERTY_LATE, LINES, "" },
	{ "blkio", "blkio.bfq.weight_device", PROPERTY_LATE, LINES, "" },
	{ "blkio", "blkio.throttle.read_bps_device", PROPERTY_LATE, LINES, "" },
	{ "blkio", "blkio.throttle.write_bps_device", PROPERTY_LATE, LINES, "" },
	{ "blkio", "blkio.throttle.read_iops_device", PROPERTY_LATE, LINES, "" },
	{ "blkio", "blkio.throttle.write_iops_device", PROPERTY_LATE, LINES, "" },

	/* Sockets take these over from the cgroup of who makes them. */
	{ "net_cls", "net_cls.classid", PROPERTY_EARLY, WHOLE, "0" },
	{ "net_prio", "net_prio.ifpriomap", PROPERTY_EARLY, LINES, NULL },

	{ "hugetlb", "hugetlb.*.limit_in_bytes", PROPERTY_LATE, WHOLE, NULL },
	{ "rdma", "rdma.max", PROPERTY_LATE, LINES, "" },
	{ "misc", "misc.max", PROPERTY_LATE, LINES, "" },

	{ "", "cgroup.type", PROPERTY_EARLY, TYPE, "domain" },
	{ "", "cgroup.subtree_control", PROPERTY_EARLY, CONTROLLERS, "" },
	{ "", "cgroup.pressure", PROPERTY_EARLY, WHOLE, "1" },
	{ "", "cgroup.max.depth", PROPERTY_LATE, WHOLE, "max" },
	{ "", "cgroup.max.descendants", PROPERTY_LATE, WHOLE, "max" },
	{ "", "cpuset.cpus", PROPERTY_EARLY, WHOLE, "" },
	{ "", "cpuset.mems", PROPERTY_EARLY, WHOLE, "" },
	{ "", "cpuset.cpus.exclusive", PROPERTY_EARLY, WHOLE, "" },
	{ "", "cpuset.cpus.partition", PROPERTY_EARLY, WHOLE, "member" },
	{ "", "cpu.weight", PROPERTY_LATE, WHOLE, NULL },
	{ "", "cpu.idle", PROPERTY_LATE, WHOLE, "0" },
	{ "", "cpu.max", PROPERTY_LATE, WHOLE, "max 100000" },
	{ "", "cpu.max.burst", PROPERTY_LATE, WHOLE, "0" },
	{ "", "cpu.uclamp.min", PROPERTY_LATE, WHOLE, "0.00" },
	{ "", "cpu.uclamp.max", PROPERTY_LATE, WHOLE, "max" },
	{ "", "memory.min", PROPERTY_LATE, WHOLE, NULL },
	{ "", "memory.low", PROPERTY_LATE, WHOLE, NULL },
	{ "", "memory.high", PROPERTY_LATE, WHOLE, NULL },
	{ "", "memory.max", PROPERTY_LATE, WHOLE, NULL },
	{ "", "memory.swap.high", PROPERTY_LATE, WHOLE, "max" },
	{ "", "memory.swap.max", PROPERTY_LATE, WHOLE, "max" },
	{ "", "memory.zswap.max", PROPERTY_LATE, WHOLE, "max" },
	{ "", "memory.zswap.writeback", PROPERTY_LATE, WHOLE, "1" },
	{ "", "memory.oom.group", PROPERTY_LATE, WHOLE, "0" },
	{ "", "io.weight", PROPERTY_LATE, LINES, "default 100" },
	{ "", "io.bfq.weight", PROPERTY_LATE, LINES, "default 100" },
	{ "", "io.max", PROPERTY_LATE, LINES, "" },
	{ "", "io.latency", PROPERTY_LATE, LINES, "" },
	{ "", "io.prio.class", PROPERTY_LATE, WHOLE, "no-change" },
	{ "", "pids.max", PROPERTY_LATE, WHOLE, NULL },
	{ "", "hugetlb.*.max", PROPERTY_LATE, WHOLE, NULL },
	{ "", "rdma.max", PROPERTY_LATE, LINES, "" },
	{ "", "misc.max", PROPERTY_LATE, LINES, "" },
};

static bool is_of(const struct property *p, const char *controllers)
{
	if (!*controllers || !*p->controller)
		return *controllers == *p->controller;
	return !strcmp(p->controller, "*") ||
	       hierarchy_has_word(controllers, p->controller, strlen(p->controller));
}

static const struct property *find(const char *controllers, const char *name)
{
	const struct property *p;

	for (p = table; p < table + ARRAY_SIZE(table); p++)
		if (is_of(p, controllers) && !fnmatch(p->name, name, 0))
			return p;
	return NULL;
}

/* ---- dump ---- */

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "cgroup");
}

static int add(CgroupDirectory *m, const char *name, struct buffer *value, struct error *err)
{
	CgroupProperty **longer = realloc(m->properties,
					  (m->n_properties + 1) * sizeof(*m->properties));
	CgroupProperty *property = malloc(sizeof(*property));

	if (longer)
		m->properties = longer;
	if (!longer || !property) {
		free(property);
		return no_memory(err);
	}
	cgroup_property__init(property);
	m->properties[m->n_properties++] = property;
	while (value->size && value->data[value->size - 1] == '\n')
		value->size--;
	property->name = strdup(name);
	property->value.data = (uint8_t *)steal_ptr(value->data);
	property->value.len = value->size;
	*value = (struct buffer){ 0 };
	return property->name ? 0 : no_memory(err);
}

/* A file that is not there, or tells nothing, has nothing to be saved. */
static int read_one(int dir, const char *name, CgroupDirectory *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer value = { 0 };

	if (read_file_at(dir, name, &value)) {
		if (errno == ENOENT || errno == EOPNOTSUPP || errno == ENODEV || errno == EACCES)
			return 0;
		return error_set(err, ERROR_TARGET, errno, "%s", name);
	}
	if (value.size > VALUE_MAX)
		return error_set(err, ERROR_BLOCKED, 0, "%s has more than %d bytes", name,
				 VALUE_MAX);
	return add(ret, name, &value, err);
}

static int read_matching(int dir, const struct property *p, CgroupDirectory *ret,
			 struct error *err)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	if (!stream) {
		fd_close(&copy);
		return error_set(err, ERROR_TARGET, errno, "cgroup");
	}
	while ((entry = readdir(stream)))
		if (!fnmatch(p->name, entry->d_name, 0) &&
		    read_one(dir, entry->d_name, ret, err))
			return -1;
	return 0;
}

int properties_read(int dir, const char *controllers, CgroupDirectory *ret, struct error *err)
{
	const struct property *p;

	for (p = table; p < table + ARRAY_SIZE(table); p++) {
		if (!is_of(p, controllers))
			continue;
		if (strchr(p->name, '*') ? read_matching(dir, p, ret, err) :
					   read_one(dir, p->name, ret, err))
			return -1;
	}
	return 0;
}

/* ---- restore ---- */

int properties_verify(const char *controllers, const CgroupDirectory *m, struct error *err)
{
	size_t i;

	if (m->n_properties > PROPERTIES_MAX)
		return error_set(err, ERROR_IMAGE, 0, "a cgroup has %zu properties",
				 m->n_properties);
	for (i = 0; i < m->n_properties; i++) {
		const CgroupProperty *property = m->properties[i];

		if (strchr(property->name, '/') || !find(controllers, property->name))
			return error_set(err, ERROR_IMAGE, 0,
					 "a cgroup has a property that is not known");
		if (property->value.len > VALUE_MAX ||
		    (property->value.len &&
		     memchr(property->value.data, '\0', property->value.len)))
			return error_set(err, ERROR_IMAGE, 0, "the %s of a cgroup is no text",
					 property->name);
	}
	return 0;
}

/* One write(2) each: the kernel takes no more at a time. */
static int put(int dir, const char *file, const char *text, size_t size)
{
	_cleanup_fd_ int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);
	ssize_t done;

	if (fd < 0)
		return -1;
	/* Nothing would be written, and a value stay. */
	done = size ? write(fd, text, size) : write(fd, "\n", 1);
	return done < 0 ? -1 : 0;
}

static int put_lines(int dir, const char *file, const char *text)
{
	size_t length;

	for (; *text; text += length + (text[length] == '\n')) {
		length = strcspn(text, "\n");
		if (length && put(dir, file, text, length))
			return -1;
	}
	return 0;
}

/* All is forbidden first. A line "a *:* rwm" means that all is allowed. */
static int put_devices(int dir, const char *text)
{
	if (put(dir, "devices.deny", "a", 1))
		return -1;
	if (text[0] == 'a')
		return put(dir, "devices.allow", "a", 1);
	return put_lines(dir, "devices.allow", text);
}

static int put_controllers(int dir, const char *file, const char *text)
{
	char word[64];
	size_t length;

	for (; *text; text += length + (text[length] == ' ')) {
		length = strcspn(text, " ");
		if (!length)
			continue;
		if (length + 2 > sizeof(word)) {
			errno = EINVAL;
			return -1;
		}
		word[0] = '+';
		memcpy(word + 1, text, length);
		if (put(dir, file, word, length + 1))
			return -1;
	}
	return 0;
}

static int put_value(int dir, const struct property *p, const char *file, const char *text)
{
	static const char key[] = "oom_kill_disable ";

	switch (p->form) {
	case WHOLE:
		return put(dir, file, text, strlen(text));
	case LINES:
		return put_lines(dir, file, text);
	case DEVICES:
		return put_devices(dir, text);
	case CONTROLLERS:
		return put_controllers(dir, file, text);
	case TYPE:
		return strcmp(text, "threaded") ? 0 : put(dir, file, text, strlen(text));
	case OOM_CONTROL:
		return strncmp(text, key, sizeof(key) - 1) ?
			       0 :
			       put(dir, file, text + sizeof(key) - 1, 1);
	}
	return 0;
}

/* What it is now, without the newlines at its end; errno when it cannot be told. */
static int is_now(int dir, const char *file, struct buffer *ret)
{
	if (read_file_at(dir, file, ret))
		return -1;
	while (ret->size && ret->data[ret->size - 1] == '\n')
		ret->data[--ret->size] = '\0';
	return 0;
}

/* Statistics stand behind the first line of this one. */
static bool same(const struct property *p, const char *a, const char *b)
{
	size_t length = strcspn(a, "\n");

	if (p->form == OOM_CONTROL)
		return length == strcspn(b, "\n") && !strncmp(a, b, length);
	return !strcmp(a, b);
}

/* 0, or -1 with errno. */
static int write_one(int dir, const struct property *p, const CgroupProperty *m)
{
	const char *value = m->value.len ? (const char *)m->value.data : "";
	_cleanup_free_ char *text = strndup(value, m->value.len);
	_cleanup_buffer_ struct buffer now = { 0 };

	if (!text)
		return -1;
	if (is_now(dir, m->name, &now))
		return errno == ENOENT && p->normal && !strcmp(text, p->normal) ? 0 : -1;
	return same(p, text, now.data ? now.data : "") ? 0 : put_value(dir, p, m->name, text);
}

int properties_write(int dir, const char *path, const char *controllers,
		     const CgroupDirectory *m, enum property_when when, struct error *err)
{
	const CgroupProperty *failed = NULL;
	int round, why = 0;
	size_t i;

	/* Some have to lie below others, whatever those are when we come. */
	for (round = 0; round < 2; round++) {
		failed = NULL;
		for (i = 0; i < m->n_properties; i++) {
			const struct property *p = find(controllers, m->properties[i]->name);

			if (!p || p->when != when || !write_one(dir, p, m->properties[i]))
				continue;
			why = errno;
			failed = m->properties[i];
		}
		if (!failed)
			return 0;
	}
	return error_set(err, ERROR_BLOCKED, why, "cgroup %s: %s cannot be \"%.*s\" here", path,
			 failed->name,
			 (int)(failed->value.len < SHOWN_MAX ? failed->value.len : SHOWN_MAX),
			 (const char *)failed->value.data);
}
