/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tmpfs in a further round of a pre-copy: files have come, gone and changed. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/mount/tmpfs_internal.h"

enum { NONE = UINT32_MAX };

/* Which entries of both are the same thing, by name from the root on. */
struct matching {
	const struct tmpfs_content *now, *former;
	uint32_t *former_of;	/* of each entry now */
	bool *stays;		/* of each former entry */
	uint32_t *heads, *next;	/* former entries by directory and name */
	size_t buckets;
};

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "tmpfs");
}

static size_t bucket_of(const struct matching *m, uint32_t parent, const char *name)
{
	uint64_t hash = parent * 0x9e3779b97f4a7c15ull;

	while (*name)
		hash = (hash ^ (unsigned char)*name++) * 0x100000001b3ull;
	return hash % m->buckets;
}

static uint32_t find_former(const struct matching *m, uint32_t parent, const char *name)
{
	uint32_t i = m->heads[bucket_of(m, parent, name)];

	while (i != NONE && (m->former->entries.items[i]->parent != parent ||
			     strcmp(m->former->entries.items[i]->name, name)))
		i = m->next[i];
	return i;
}

static bool same_thing(const struct matching *m, const Tmpfs__Entry *a, const Tmpfs__Entry *was)
{
	if (a->has_link || was->has_link)
		return a->has_link && was->has_link && m->former_of[a->link] == was->link;
	return !((a->mode ^ was->mode) & S_IFMT) && a->rdev == was->rdev &&
	       !strcmp(a->target ? a->target : "", was->target ? was->target : "");
}

static void match(struct matching *m)
{
	size_t i;

	for (i = 1; i < m->former->entries.count; i++) {
		const Tmpfs__Entry *e = m->former->entries.items[i];
		uint32_t *head = &m->heads[bucket_of(m, e->parent, e->name)];

		m->next[i] = *head;
		*head = i;
	}
	m->former_of[0] = 0;
	m->stays[0] = true;
	for (i = 1; i < m->now->entries.count; i++) {
		const Tmpfs__Entry *e = m->now->entries.items[i];
		uint32_t parent = m->former_of[e->parent], was = NONE;

		if (parent != NONE)
			was = find_former(m, parent, e->name);
		if (was != NONE && !m->stays[was] &&
		    same_thing(m, e, m->former->entries.items[was]))
			m->stays[was] = true;
		else
			was = NONE;
		m->former_of[i] = was;
	}
}

/* What is in a directory stands behind it. */
static int remove_others(const struct matching *m, struct error *err)
{
	_cleanup_fd_ int dir = -1;
	uint32_t current = 0;

	for (size_t i = m->former->entries.count; i-- > 1;) {
		const Tmpfs__Entry *e = m->former->entries.items[i];
		bool directory = !e->has_link && S_ISDIR(e->mode);

		if (!m->stays[i] && (tmpfs_go_to(m->former, e, &current, &dir) ||
				     unlinkat(dir, e->name, directory ? AT_REMOVEDIR : 0)))
			return error_set(err, ERROR_FAILED, errno, "tmpfs: cannot remove %s",
					 e->name);
	}
	return 0;
}

static bool same_state(const Tmpfs__Entry *a, const Tmpfs__Entry *b)
{
	if (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid ||
	    a->mtime_ns != b->mtime_ns || a->n_attributes != b->n_attributes)
		return false;
	for (size_t i = 0; i < a->n_attributes; i++)
		if (strcmp(a->attributes[i]->name, b->attributes[i]->name) ||
		    a->attributes[i]->value.len != b->attributes[i]->value.len ||
		    memcmp(a->attributes[i]->value.data, b->attributes[i]->value.data,
			   a->attributes[i]->value.len))
			return false;
	return true;
}

static int make_others(const struct matching *m, struct error *err)
{
	_cleanup_fd_ int dir = -1;
	uint32_t current = 0;

	for (size_t i = 1; i < m->now->entries.count; i++) {
		const Tmpfs__Entry *e = m->now->entries.items[i];

		if (m->former_of[i] != NONE)
			continue;
		if (tmpfs_go_to(m->now, e, &current, &dir))
			return error_set(err, ERROR_FAILED, errno, "tmpfs: %s", e->name);
		if (tmpfs_make_entry(m->now, dir, e, err))
			return -1;
	}
	return 0;
}

static bool has_attribute(const Tmpfs__Entry *e, const char *name)
{
	for (size_t i = 0; i < e->n_attributes; i++)
		if (!strcmp(e->attributes[i]->name, name))
			return true;
	return false;
}

static int remove_attributes(int dir, const Tmpfs__Entry *e, const Tmpfs__Entry *was,
			     struct error *err)
{
	_cleanup_fd_ int fd = -1;
	char link[64];

	for (size_t i = 0; i < was->n_attributes; i++) {
		const char *name = was->attributes[i]->name;

		if (has_attribute(e, name))
			continue;
		if (fd < 0)
			fd = openat(dir, e->name ? e->name : ".", O_PATH | O_NOFOLLOW | O_CLOEXEC);
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (fd < 0 || removexattr(link, name))
			return error_set(err, ERROR_FAILED, errno, "tmpfs: %s: cannot remove %s",
					 e->name ? e->name : "/", name);
	}
	return 0;
}

/* Directories last, from below. */
static int give_states(const struct matching *m, struct error *err)
{
	_cleanup_fd_ int dir = -1;
	uint32_t current = 0;

	for (size_t i = m->now->entries.count; i-- > 0;) {
		const Tmpfs__Entry *e = m->now->entries.items[i];
		uint32_t was = m->former_of[i];
		bool made = was == NONE;

		if (e->has_link || (made && !S_ISDIR(e->mode)) ||
		    (!made && same_state(e, m->former->entries.items[was])))
			continue;
		if (i && tmpfs_go_to(m->now, e, &current, &dir))
			return error_set(err, ERROR_FAILED, errno, "tmpfs: %s", e->name);
		if (!made && remove_attributes(i ? dir : m->now->root, e,
					       m->former->entries.items[was], err))
			return -1;
		if (tmpfs_give_state(i ? dir : m->now->root, e, err))
			return -1;
	}
	return 0;
}

int tmpfs_again(struct tmpfs_content *now, struct tmpfs_content *former, struct error *err)
{
	size_t buckets = former->entries.count * 2 + 1;
	_cleanup_free_ uint32_t *former_of = calloc(now->entries.count + 1, sizeof(*former_of));
	_cleanup_free_ uint32_t *next = calloc(former->entries.count + 1, sizeof(*next));
	_cleanup_free_ bool *stays = calloc(former->entries.count + 1, sizeof(*stays));
	_cleanup_free_ uint32_t *heads = malloc(buckets * sizeof(*heads));
	struct matching m = { now, former, former_of, stays, heads, next, buckets };

	if (!now->entries.count && !former->entries.count)
		return 0;
	if (!now->entries.count || !former->entries.count)
		return error_set(err, ERROR_IMAGE, 0, "a tmpfs without a root directory");
	if (!former_of || !next || !stays || !heads)
		return no_memory(err);
	memset(heads, 0xff, buckets * sizeof(*heads));
	now->root = former->root;
	match(&m);
	if (remove_others(&m, err) || make_others(&m, err) || give_states(&m, err)) {
		now->root = -1;
		return -1;
	}
	former->root = -1;
	return 0;
}
