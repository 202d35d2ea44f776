/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/mount/mount_share.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kinds/mount/mount_plan.h"

enum { NOBODY = -1 };

static int change(const struct mount_set *set, size_t i, uint64_t propagation)
{
	struct mount_attr attr = { .propagation = propagation };

	return mount_setattr(set->fds[i], "", AT_EMPTY_PATH, &attr, sizeof(attr));
}

static int join(const struct mount_set *set, size_t from, size_t to)
{
	return move_mount(set->fds[from], "", set->fds[to], "",
			  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH | MOVE_MOUNT_SET_GROUP);
}

/* A mount of this group that is done, NOBODY if there is none. */
static long done_of(const Mounts *m, const bool *done, uint32_t group)
{
	for (size_t i = 0; i < m->n_mounts; i++)
		if (done[i] && m->mounts[i]->shared == group)
			return i;
	return NOBODY;
}

static bool has_group(const Mounts *m, uint32_t group)
{
	for (size_t i = 0; i < m->n_mounts; i++)
		if (m->mounts[i]->shared == group)
			return true;
	return false;
}

/* The kernel lets a mount join only one that shows as much or more. */
static bool is_widest(const Mounts *m, const bool *done, size_t i)
{
	const Mounts__Mount *one = m->mounts[i];

	for (size_t k = 0; k < m->n_mounts; k++)
		if (k != i && !done[k] && m->mounts[k]->shared == one->shared &&
		    one->root && m->mounts[k]->root &&
		    strcmp(m->mounts[k]->root, one->root) &&
		    mount_below(one->root, m->mounts[k]->root))
			return false;
	return true;
}

static int share_one(const Mounts *m, const struct mount_set *set, const bool *done, size_t i,
		     struct error *err)
{
	const Mounts__Mount *one = m->mounts[i];
	long peer = one->shared ? done_of(m, done, one->shared) : NOBODY;
	long master = one->master ? done_of(m, done, one->master) : NOBODY;
	int failed = 0;

	/* It may be one of those outside, which follows a mount of the machine by now: a group is
	 * only for who has none. */
	if (peer != NOBODY && !change(set, i, MS_PRIVATE) && !join(set, peer, i))
		return 0;
	if (master != NOBODY)
		failed = change(set, i, MS_PRIVATE) || join(set, master, i) ||
			 change(set, i, MS_SLAVE);
	if (failed) {
		log_notice("mount %s follows no other mount any more", one->path);
		failed = change(set, i, MS_PRIVATE);
	}
	if (one->shared)
		failed |= change(set, i, MS_SHARED);
	if (one->unbindable)
		failed |= change(set, i, MS_UNBINDABLE);
	return failed ? error_set(err, ERROR_FAILED, errno, "mount %s: its propagation",
				  one->path) :
			0;
}

int mounts_share(const Mounts *m, const struct mount_set *set, struct error *err)
{
	_cleanup_free_ bool *done = calloc(m->n_mounts + 1, sizeof(*done));
	bool all, some, waits = true;

	if (!done)
		return error_set(err, ERROR_FAILED, ENOMEM, "mounts");
	do {
		all = true;
		some = false;
		for (size_t i = 0; i < m->n_mounts; i++) {
			const Mounts__Mount *one = m->mounts[i];

			/* One that is left out for now has no propagation. */
			if (done[i] || set->fds[i] < 0)
				continue;
			if (waits && ((one->shared && !is_widest(m, done, i)) ||
				      (one->master && has_group(m, one->master) &&
				       done_of(m, done, one->master) == NOBODY))) {
				all = false;
				continue;
			}
			if (share_one(m, set, done, i, err))
				return -1;
			done[i] = some = true;
		}
		/* A forged circle of masters is cut somewhere. */
		waits = some;
	} while (!all);
	return 0;
}
