/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/mountinfo.h"

#include <errno.h>

static const struct {
	const char *name;
	unsigned long flag;
} option_flags[] = {
	{ "ro", MS_RDONLY }, { "nosuid", MS_NOSUID }, { "nodev", MS_NODEV },
	{ "noexec", MS_NOEXEC }, { "noatime", MS_NOATIME }, { "nodiratime", MS_NODIRATIME },
	{ "relatime", MS_RELATIME }, { "nosymfollow", MS_NOSYMFOLLOW },
	{ "sync", MS_SYNCHRONOUS }, { "dirsync", MS_DIRSYNC }, { "mand", MS_MANDLOCK },
	{ "lazytime", MS_LAZYTIME },
};

static unsigned long parse_flags(struct scan options, bool *idmapped)
{
	unsigned long flags = 0;
	struct scan option;

	while (!scan_at_end(&options)) {
		if (!scan_until(&options, ',', &option)) {
			option = options;
			options.at = options.end;
		}
		for (size_t i = 0; i < ARRAY_SIZE(option_flags); i++)
			if (scan_is(&option, option_flags[i].name))
				flags |= option_flags[i].flag;
		*idmapped |= scan_is(&option, "idmapped");
	}
	return flags;
}

static const char *keep(struct proc_mounts *mounts, struct scan field)
{
	return string_arena_add(&mounts->strings, field.at, scan_left(&field));
}

static const char *keep_unescaped(struct proc_mounts *mounts, struct scan field)
{
	char *text = string_arena_add(&mounts->strings, field.at, scan_left(&field));

	if (text)
		text[proc_unescape_octal(text, scan_left(&field), 0)] = '\0';
	return text;
}

static bool scan_propagation(struct scan *field, struct proc_mount *mount)
{
	if (scan_text(field, "shared:"))
		return scan_int(field, &mount->shared);
	if (scan_text(field, "master:"))
		return scan_int(field, &mount->master);
	if (scan_text(field, "propagate_from:"))
		return scan_int(field, &mount->propagate_from);
	if (scan_is(field, "unbindable"))
		mount->unbindable = true;
	return true;
}

struct mount_columns {
	struct scan root, point, options, type, source, super;
};

/* Fields are parted by exactly one space: a source may be empty. */
static bool scan_columns(struct scan *s, struct proc_mount *mount, struct mount_columns *c)
{
	struct scan field;

	if (!scan_int(s, &mount->id) || !scan_char(s, ' ') || !scan_int(s, &mount->parent) ||
	    !scan_char(s, ' ') || !scan_u32(s, &mount->dev_major) || !scan_char(s, ':') ||
	    !scan_u32(s, &mount->dev_minor) || !scan_char(s, ' ') ||
	    !scan_until(s, ' ', &c->root) || !scan_until(s, ' ', &c->point) ||
	    !scan_until(s, ' ', &c->options))
		return false;
	for (;;) {
		if (!scan_until(s, ' ', &field))
			return false;
		if (scan_is(&field, "-"))
			break;
		if (!scan_propagation(&field, mount))
			return false;
	}
	if (!scan_until(s, ' ', &c->type) || !scan_until(s, ' ', &c->source))
		return false;
	c->super = *s;
	return !scan_at_end(&c->root) && !scan_at_end(&c->point) && !scan_at_end(&c->type);
}

static int parse_line(struct proc_text *t, struct scan line, struct proc_mounts *ret,
		      struct error *err)
{
	static const char deleted[] = "//deleted";
	const size_t suffix = sizeof(deleted) - 1;
	struct proc_mount *mount = array_add(&ret->items);
	struct mount_columns c;
	bool ignored = false;

	if (!mount)
		return error_set(err, ERROR_FAILED, ENOMEM, "mountinfo");
	if (!scan_columns(&line, mount, &c))
		return proc_text_error(t, "not a mount", err);
	if (scan_left(&c.root) > suffix &&
	    memcmp(c.root.end - suffix, deleted, suffix) == 0) {
		mount->root_deleted = true;
		c.root.end -= suffix;
	}
	mount->flags = parse_flags(c.options, &mount->idmapped);
	mount->super_flags = parse_flags(c.super, &ignored);
	mount->root = keep_unescaped(ret, c.root);
	mount->mount_point = keep_unescaped(ret, c.point);
	mount->options = keep(ret, c.options);
	mount->type = keep_unescaped(ret, c.type);
	mount->source = keep_unescaped(ret, c.source);
	mount->super_options = keep(ret, c.super);
	if (!mount->root || !mount->mount_point || !mount->options || !mount->type ||
	    !mount->source || !mount->super_options)
		return error_set(err, ERROR_FAILED, ENOMEM, "mountinfo");
	return 0;
}

int proc_parse_mountinfo(const char *text, size_t size, struct proc_mounts *ret,
			 struct error *err)
{
	_cleanup_proc_mounts_ struct proc_mounts mounts = { 0 };
	struct proc_text t;
	struct scan line;

	*ret = (struct proc_mounts){ 0 };
	if (proc_text_open(&t, "mountinfo", text, size, err))
		return -1;
	while (proc_text_next(&t, &line))
		if (parse_line(&t, line, &mounts, err))
			return -1;
	*ret = mounts;
	mounts = (struct proc_mounts){ 0 };
	return 0;
}

int proc_read_mountinfo(int pid_dir, struct proc_mounts *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };

	*ret = (struct proc_mounts){ 0 };
	if (proc_read_text(pid_dir, "mountinfo", &buf, err))
		return -1;
	return proc_parse_mountinfo(buf.data, buf.size, ret, err) ? proc_blame(pid_dir, err) : 0;
}

const struct proc_mount *proc_mounts_find(const struct proc_mounts *mounts, int id)
{
	const struct proc_mount *mount;

	array_for(mount, &mounts->items)
		if (mount->id == id)
			return mount;
	return NULL;
}

void proc_mounts_release(struct proc_mounts *mounts)
{
	array_release(&mounts->items);
	string_arena_release(&mounts->strings);
}
