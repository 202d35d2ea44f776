/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/mount/mount_plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "base/cleanup.h"
#include "kinds/mount/mount_types.h"
#include "kinds/container.h"

enum {
	MOUNT_FLAGS = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW | MS_NOATIME |
		      MS_NODIRATIME | MS_RELATIME,
	MOUNTS_MAX = 4096,
};

struct planner {
	const struct mount_look *look;
	struct mount_plan *plan;
	struct blockers *blockers;
	size_t *order;		/* positions in look->own, as the plan has them */
	size_t *parents;	/* of each in look->own */
};

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "mounts");
}

const char *mount_below(const char *path, const char *top)
{
	size_t length = strcmp(top, "/") ? strlen(top) : 0;

	if (strncmp(path, top, length) || (path[length] && path[length] != '/'))
		return NULL;
	path += length;
	return path + (*path == '/');
}

const char *mount_external(const struct external *externals, size_t count, const char *path)
{
	size_t length = strlen(path);

	for (size_t i = 0; i < count; i++)
		if (externals[i].length == length + 5 && !memcmp(externals[i].name, "mnt[", 4) &&
		    !memcmp(externals[i].name + 4, path, length) &&
		    externals[i].name[length + 4] == ']')
			return externals[i].value;
	return NULL;
}

static int block(struct planner *p, const struct proc_mount *line, const char *reason,
		 const char *remedy, struct error *err)
{
	return blockers_add(p->blockers, p->look->pid, reason, remedy, "mount %s (%s)",
			    line->mount_point, line->type) ?
		       no_memory(err) :
		       0;
}

/* ---- order ---- */

static bool is_root(const struct planner *p, const struct proc_mount *line)
{
	return !strcmp(line->mount_point, "/") && !proc_mounts_find(p->look->own, line->parent);
}

/* Position of what each is mounted on; the number of mounts: it is not in the list. */
static int find_parents(struct planner *p, struct error *err)
{
	const struct proc_mounts *own = p->look->own;

	p->parents = calloc(own->items.count + 1, sizeof(*p->parents));
	if (!p->parents)
		return no_memory(err);
	for (size_t i = 0; i < own->items.count; i++) {
		const struct proc_mount *parent = proc_mounts_find(own, own->items.items[i].parent);

		p->parents[i] = parent ? (size_t)(parent - own->items.items) : own->items.count;
	}
	return 0;
}

/* Whether another mount would be covered if this one came first: it lies below, on the same
 * parent, or on something that does. */
static bool covers_one(const struct planner *p, const bool *done, size_t i)
{
	const struct proc_mount *lines = p->look->own->items.items;
	size_t count = p->look->own->items.count, k, at, steps;

	for (k = 0; k < count; k++) {
		if (done[k])
			continue;
		at = k;
		for (steps = 0; p->parents[at] < count && steps < count; steps++) {
			if (p->parents[at] == p->parents[i])
				break;
			at = p->parents[at];
		}
		if (p->parents[at] < count && p->parents[at] == p->parents[i] && at != i &&
		    strcmp(lines[at].mount_point, lines[i].mount_point) &&
		    mount_below(lines[at].mount_point, lines[i].mount_point))
			return true;
	}
	return false;
}

static bool can_come(const struct planner *p, const bool *done, size_t i, bool first)
{
	if (p->parents[i] == p->look->own->items.count)
		return first && is_root(p, &p->look->own->items.items[i]);
	return !first && done[p->parents[i]] && !covers_one(p, done, i);
}

/* As mountinfo has them, but parents and covered ones first. */
static int find_order(struct planner *p, struct error *err)
{
	const struct proc_mounts *own = p->look->own;
	size_t count = own->items.count, placed = 0, before, i;
	_cleanup_free_ bool *done = calloc(count + 1, sizeof(*done));

	if (!done || find_parents(p, err))
		return no_memory(err);
	do {
		before = placed;
		for (i = 0; i < count; i++) {
			if (done[i] || !can_come(p, done, i, placed == 0))
				continue;
			p->order[placed++] = i;
			done[i] = true;
		}
	} while (placed != before);
	for (i = 0; i < count; i++)
		if (!done[i])
			return block(p, &own->items.items[i],
				     "is not below the root directory of the first process",
				     "save trees whose first process has the root of its mount "
				     "namespace as its root", err);
	return 0;
}

/* ---- file systems ---- */

static bool same_device(const struct proc_mount *a, const struct proc_mount *b)
{
	return a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

static const struct proc_mount *on_host(const struct mount_look *look,
					const struct proc_mount *line)
{
	const struct proc_mount *host;

	array_for(host, &look->host->items)
		if (same_device(host, line) && !strcmp(host->type, line->type))
			return host;
	return NULL;
}

/* "a,b=c" into those that the type takes. */
static int split_options(struct mount_plan *plan, const struct proc_mount *line,
			 Mounts__FileSystem *fs, struct error *err)
{
	char *text = string_arena_add(&plan->strings, line->super_options,
				      strlen(line->super_options));
	size_t count = 1;

	for (const char *at = line->super_options; *at; at++)
		count += *at == ',';
	fs->options = calloc(count, sizeof(*fs->options));
	if (!fs->options || !text)
		return no_memory(err);
	while (text) {
		char *option = strsep(&text, ",");

		option[proc_unescape_octal(option, strlen(option), 0)] = '\0';
		if (mount_takes_option(fs->type, option))
			fs->options[fs->n_options++] = option;
	}
	return 0;
}

/* Position of its file system in the plan, added at first sight. */
static int own_file_system(struct planner *p, const struct proc_mount *line, uint32_t *ret,
			   struct error *err)
{
	struct mount_plan *plan = p->plan;
	Mounts__FileSystem *fs;

	for (size_t i = 0; i < plan->count; i++)
		if (plan->lines[i] && plan->mounts[i].has_file_system &&
		    same_device(plan->lines[i], line)) {
			*ret = plan->mounts[i].file_system;
			return 0;
		}
	*ret = plan->file_systems.count;
	fs = array_add(&plan->file_systems);
	if (!fs)
		return no_memory(err);
	mounts__file_system__init(fs);
	fs->type = (char *)line->type;
	fs->source = (char *)line->source;
	fs->has_flags = line->super_flags;
	fs->flags = line->super_flags & ~(unsigned long)MS_MANDLOCK;
	return split_options(plan, line, fs, err);
}

/* ---- where a mount comes from ---- */

/* The path of the machine that shows the same; *ret stays NULL when there is none. */
static int find_on_host(struct planner *p, const struct proc_mount *line, char **ret,
			struct error *err)
{
	const struct mount_look *look = p->look;
	const struct proc_mount *host;

	array_for(host, &look->host->items) {
		const char *rest = mount_below(line->root, host->root);
		const char *point = strcmp(host->mount_point, "/") ? host->mount_point : "";
		char *path;

		if (!same_device(host, line) || strcmp(host->type, line->type) || !rest ||
		    host->root_deleted)
			continue;
		if (asprintf(&path, "%s%s%s", point, *rest || !*point ? "/" : "", rest) < 0)
			return no_memory(err);
		if (look->same(look->context, line, path)) {
			*ret = string_arena_add(&p->plan->strings, path, strlen(path));
			free(path);
			return *ret ? 0 : no_memory(err);
		}
		free(path);
	}
	return 0;
}

static const char *why_foreign(const struct proc_mount *line, bool seen)
{
	if (!strcmp(line->type, "nsfs"))
		return "holds a namespace by a file";
	if (line->root_deleted)
		return "shows a directory or file that is deleted";
	if (!strncmp(line->type, "fuse", 4) || !strcmp(line->type, "autofs"))
		return "is served by a program";
	return seen ? "shows what no path of the machine leads to" :
		      "is a file system that only the container has mounted";
}

static int take_external(struct planner *p, const struct proc_mount *line, Mounts__Mount *m,
			 bool seen, struct error *err)
{
	const struct mount_look *look = p->look;

	if (mount_external(look->externals, look->externals_count, line->mount_point))
		return 0;
	if (seen && !line->root_deleted && find_on_host(p, line, &m->host_path, err))
		return -1;
	if (m->host_path)
		return 0;
	return block(p, line, why_foreign(line, seen),
		     "give --external 'mnt[MOUNT POINT]=PATH' here and, for where it is then, "
		     "at the restore", err);
}

static int take_source(struct planner *p, const struct proc_mount *line, Mounts__Mount *m,
		       struct error *err)
{
	enum mount_class class = mount_class(line->type);
	bool seen = on_host(p->look, line);

	if (mount_external(p->look->externals, p->look->externals_count, line->mount_point) ||
	    class == MOUNT_FOREIGN || line->root_deleted || (seen && class != MOUNT_CGROUP))
		return take_external(p, line, m, seen, err);
	if (own_file_system(p, line, &m->file_system, err))
		return -1;
	m->has_file_system = true;
	m->root = (char *)line->root;
	if (class == MOUNT_CGROUP && p->look->cgroup_levels) {
		int levels = p->look->cgroup_levels(p->look->context, line);

		m->has_cgroup_levels = levels >= 0;
		m->cgroup_levels = levels >= 0 ? levels : 0;
	}
	return 0;
}

static bool host_shares(const struct mount_look *look, int group)
{
	const struct proc_mount *host;

	array_for(host, &look->host->items)
		if (host->shared == group)
			return true;
	return false;
}

static size_t position_of(const struct mount_plan *plan, const struct proc_mount *line)
{
	size_t i;

	for (i = 0; i < plan->count && plan->lines[i] != line; i++)
		;
	return i;
}

static int take_mount(struct planner *p, size_t i, struct error *err)
{
	const struct proc_mount *line = &p->look->own->items.items[p->order[i]];
	const struct proc_mount *parent = proc_mounts_find(p->look->own, line->parent);
	Mounts__Mount *m = &p->plan->mounts[i];

	m->path = (char *)line->mount_point;
	m->place = "";
	if (i) {
		m->has_parent = true;
		m->parent = position_of(p->plan, parent);
		m->place = (char *)mount_below(line->mount_point, parent->mount_point);
	}
	m->flags = line->flags & MOUNT_FLAGS;
	m->has_shared = m->shared = line->shared;
	m->has_master = m->master = line->master;
	m->has_unbindable = m->unbindable = line->unbindable;
	if (!m->place)
		return block(p, line, "is not below what it is mounted on", NULL, err);
	if (line->idmapped)
		return block(p, line, "maps user ids (idmapped mount)", NULL, err);
	if (line->shared && host_shares(p->look, line->shared))
		return block(p, line, "shares its mounts with the machine",
			     "mount --make-rslave it in the container", err);
	if (take_source(p, line, m, err))
		return -1;
	p->plan->lines[i] = line;
	return 0;
}

/* Contents are read from the root directory of a file system on. */
static int check_whole(struct planner *p, struct error *err)
{
	const struct mount_plan *plan = p->plan;
	size_t i, k;

	for (i = 0; i < plan->file_systems.count; i++) {
		const struct proc_mount *part = NULL;
		bool whole = mount_class(plan->file_systems.items[i].type) != MOUNT_MEMORY;

		for (k = 0; k < plan->count && !whole; k++) {
			if (!plan->mounts[k].has_file_system || plan->mounts[k].file_system != i)
				continue;
			part = plan->lines[k];
			whole = !strcmp(part->root, "/");
		}
		if (!whole && part &&
		    block(p, part, "shows a part of what is mounted nowhere as a whole",
			  "unmount it, or give --external", err))
			return -1;
	}
	return 0;
}

static void fill_message(struct mount_plan *plan)
{
	size_t i;

	for (i = 0; i < plan->count; i++)
		plan->mount_pointers[i] = &plan->mounts[i];
	for (i = 0; i < plan->file_systems.count; i++)
		plan->file_system_pointers[i] = &plan->file_systems.items[i];
	mounts__init(&plan->message);
	plan->message.mounts = plan->mount_pointers;
	plan->message.n_mounts = plan->count;
	plan->message.file_systems = plan->file_system_pointers;
	plan->message.n_file_systems = plan->file_systems.count;
}

int mount_plan(const struct mount_look *look, struct mount_plan *ret, struct blockers *blockers,
	       struct error *err)
{
	size_t count = look->own->items.count, known = blockers->list.count, i;
	_cleanup_free_ size_t *order = calloc(count + 1, sizeof(*order));
	struct planner p = { .look = look, .plan = ret, .blockers = blockers, .order = order };
	int r;

	*ret = (struct mount_plan){ .count = count };
	if (!count || count > MOUNTS_MAX)
		return error_set(err, ERROR_BLOCKED, 0, "the tree has %zu mounts", count);
	ret->mounts = calloc(count, sizeof(*ret->mounts));
	ret->mount_pointers = calloc(count, sizeof(*ret->mount_pointers));
	ret->lines = calloc(count, sizeof(*ret->lines));
	ret->file_system_pointers = calloc(count, sizeof(*ret->file_system_pointers));
	if (!order || !ret->mounts || !ret->mount_pointers || !ret->lines ||
	    !ret->file_system_pointers)
		return no_memory(err);
	for (i = 0; i < count; i++)
		mounts__mount__init(&ret->mounts[i]);
	r = find_order(&p, err);
	free(p.parents);
	if (r || blockers->list.count > known)
		return r;
	for (i = 0; i < count; i++)
		if (take_mount(&p, i, err))
			return -1;
	fill_message(ret);
	return check_whole(&p, err);
}

void mount_plan_release(struct mount_plan *plan)
{
	Mounts__FileSystem *fs;

	array_for(fs, &plan->file_systems)
		free(fs->options);
	array_release(&plan->file_systems);
	free(plan->mounts);
	free(plan->mount_pointers);
	free(plan->lines);
	free(plan->file_system_pointers);
	string_arena_release(&plan->strings);
	*plan = (struct mount_plan){ 0 };
}
