/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/cgroup.h"

#include <errno.h>

static int parse_line(struct proc_text *t, struct scan line, struct proc_cgroups *ret,
		      struct error *err)
{
	static const char deleted[] = " (deleted)";
	const size_t suffix = sizeof(deleted) - 1;
	struct proc_cgroup *cgroup = array_add(&ret->items);
	struct scan controllers;

	if (!cgroup)
		return error_set(err, ERROR_FAILED, ENOMEM, "cgroup");
	if (!scan_u32(&line, &cgroup->hierarchy) || !scan_char(&line, ':') ||
	    !scan_until(&line, ':', &controllers) || scan_at_end(&line) || *line.at != '/')
		return proc_text_error(t, "not a cgroup", err);
	if (scan_left(&line) > suffix && memcmp(line.end - suffix, deleted, suffix) == 0) {
		cgroup->deleted = true;
		line.end -= suffix;
	}
	cgroup->controllers = string_arena_add(&ret->strings, controllers.at,
					       scan_left(&controllers));
	cgroup->path = string_arena_add(&ret->strings, line.at, scan_left(&line));
	if (!cgroup->controllers || !cgroup->path)
		return error_set(err, ERROR_FAILED, ENOMEM, "cgroup");
	return 0;
}

int proc_parse_cgroups(const char *text, size_t size, struct proc_cgroups *ret, struct error *err)
{
	_cleanup_proc_cgroups_ struct proc_cgroups cgroups = { 0 };
	struct proc_text t;
	struct scan line;

	*ret = (struct proc_cgroups){ 0 };
	if (proc_text_open(&t, "cgroup", text, size, err))
		return -1;
	while (proc_text_next(&t, &line))
		if (parse_line(&t, line, &cgroups, err))
			return -1;
	*ret = cgroups;
	cgroups = (struct proc_cgroups){ 0 };
	return 0;
}

int proc_read_cgroups(int pid_dir, struct proc_cgroups *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };

	*ret = (struct proc_cgroups){ 0 };
	if (proc_read_text(pid_dir, "cgroup", &buf, err))
		return -1;
	return proc_parse_cgroups(buf.data, buf.size, ret, err) ? proc_blame(pid_dir, err) : 0;
}

static bool has_controller(const char *controllers, const char *wanted)
{
	size_t size = strlen(wanted);

	for (;;) {
		size_t length = strcspn(controllers, ",");

		if (length == size && memcmp(controllers, wanted, size) == 0)
			return true;
		if (!controllers[length])
			return false;
		controllers += length + 1;
	}
}

const struct proc_cgroup *proc_cgroups_find(const struct proc_cgroups *cgroups,
					    const char *controller)
{
	const struct proc_cgroup *cgroup;

	array_for(cgroup, &cgroups->items)
		if (!*controller ? cgroup->hierarchy == 0 && !*cgroup->controllers
				 : has_controller(cgroup->controllers, controller))
			return cgroup;
	return NULL;
}

void proc_cgroups_release(struct proc_cgroups *cgroups)
{
	array_release(&cgroups->items);
	string_arena_release(&cgroups->strings);
}
