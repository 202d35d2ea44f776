/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/rootfs.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "images/migration.pb-c.h"
#include "kinds/dump.h"
#include "kinds/mount/mount_plan.h"
#include "migrate/rootfs_meta.h"
#include "migrate/rootfs_samples.h"
#include "proc/maps.h"
#include "steps/inside.h"

enum { TRIES = 5, PATIENCE = 6 };

int rootfs_find(pid_t root, const struct external *externals, size_t externals_count,
		struct mounts_outside *ret, struct error *err)
{
	struct container container;
	int r;

	*ret = (struct mounts_outside){ 0 };
	r = inside_look(&container, root, err);
	container.externals = externals;
	container.externals_count = externals_count;
	if (!r && container.namespaces & CLONE_NEWNS)
		r = mounts_outside(&container, root, ret, err);
	container_release(&container);
	if (ret->items.count && ret->items.items[0].root &&
	    !strcmp(ret->items.items[0].host_path, "/"))
		ret->items.count = 0;
	return r;
}

static int ask(struct link *l, const MigrateSamples *m, bool *ret_unsure, struct error *err)
{
	ProtobufCMessage *answer;
	int r;

	if (link_send(l, MESSAGE_SAMPLES, &m->base, err) ||
	    link_expect(l, MESSAGE_SAMPLES_SEEN, PATIENCE * l->timeout_ms, &answer, err))
		return -1;
	r = samples_judge(m, (const MigrateSamplesSeen *)answer, ret_unsure, err);
	protobuf_c_message_free_unpacked(answer, NULL);
	return r;
}

int rootfs_compare(struct link *l, const struct mounts_outside *places, bool without_root,
		   const struct pid_list *tree, struct error *err)
{
	MigrateSamples *m;
	bool unsure = true;
	int i, r = 0;

	for (i = 0; i < TRIES && unsure && !r; i++) {
		if (samples_make(places, without_root, tree, &m, err))
			return -1;
		unsure = false;
		if (m->n_places)
			r = ask(l, m, &unsure, err);
		migrate_samples__free_unpacked(m, NULL);
	}
	if (!r && unsure)
		return error_set(err, ERROR_BLOCKED, 0,
				 "the files of the tree change too fast to compare them");
	return r;
}

struct places {
	const char *root;
	const struct external *externals;
	size_t externals_count;
};

static char *locate(void *context, const MigrateSamples__Place *place)
{
	const struct places *p = context;
	const char *given;

	if (place->root)
		return strdup(p->root ? p->root : place->host_path);
	given = mount_external(p->externals, p->externals_count, place->path);
	return strdup(given ? given : place->host_path);
}

int rootfs_answer(struct link *l, const ProtobufCMessage *samples, const char *root,
		  const struct external *externals, size_t externals_count, struct error *err)
{
	struct places places = { root, externals, externals_count };
	MigrateSamplesSeen *seen;
	int r;

	if (samples_compare((const MigrateSamples *)samples, locate, &places, &seen, err))
		return -1;
	r = link_send(l, MESSAGE_SAMPLES_SEEN, &seen->base, err);
	migrate_samples_seen__free_unpacked(seen, NULL);
	return r;
}

/* ---- copies ---- */

static const char *root_of(const struct mounts_outside *places)
{
	return places->items.count && places->items.items[0].root ?
		       places->items.items[0].host_path :
		       NULL;
}

static int refused(MigrateRootfsReady *answer, struct error *err)
{
	if (!answer->reason)
		return 0;
	link_make_printable(answer->reason);
	link_make_printable(answer->remedy);
	error_set(err, ERROR_BLOCKED, 0, "the destination does not take the root file system: %.2000s",
		  answer->reason);
	return answer->remedy ? error_hint(err, "%.2000s", answer->remedy) : -1;
}

static int offer(struct link *l, const char *origin, struct error *err)
{
	MigrateRootfs m = MIGRATE_ROOTFS__INIT;
	ProtobufCMessage *answer;
	int r;

	m.origin = (char *)origin;
	if (link_send(l, MESSAGE_ROOTFS, &m.base, err) ||
	    link_expect(l, MESSAGE_ROOTFS_READY, PATIENCE * l->timeout_ms, &answer, err))
		return -1;
	r = refused((MigrateRootfsReady *)answer, err);
	protobuf_c_message_free_unpacked(answer, NULL);
	return r;
}

int rootfs_begin(struct rootfs_copy *c, struct link *l, const struct mounts_outside *places,
		 const char *name, const struct stream_options *stream, struct error *err)
{
	const char *root = root_of(places);

	if (!root) {
		error_set(err, ERROR_BLOCKED, 0,
			  "the tree has no root file system that can be copied");
		return error_hint(err, "--rootfs sync wants one that the machine has mounted, too");
	}
	if (rootfs_copy_open(c, root, l, stream, err))
		return -1;
	/* It is in use, whatever it was. */
	fremovexattr(c->root, ROOTFS_MARK);
	return offer(l, name ? name : root, err) || rootfs_copy_passes(c, err) ? -1 : 0;
}

int rootfs_go_on(struct rootfs_copy *c, struct error *err)
{
	c->sender.kind = MESSAGE_LATE_FILES;
	return rootfs_copy_passes(c, err);
}

/* Paths in maps are those that we see. */
static int find_mapped(struct rootfs_copy *c, const struct dump_task *task, struct error *err)
{
	_cleanup_vma_list_ struct vma_list maps = { 0 };
	const struct vma *v;
	struct stat st;
	uint64_t *number;

	if (proc_read_maps(task->proc_fd, &maps, err))
		return -1;
	array_for(v, &maps.vmas) {
		if (v->kind != VMA_FILE || !v->shared || v->deleted || !v->path ||
		    stat(v->path, &st) || !S_ISREG(st.st_mode))
			continue;
		number = array_add(&c->mapped);
		if (!number)
			return error_set(err, ERROR_FAILED, ENOMEM, "mapped files");
		*number = st.st_ino;
	}
	return 0;
}

int rootfs_end(struct rootfs_copy *c, const struct dump *d, struct error *err)
{
	struct dump_task *const *task;

	c->sender.kind = MESSAGE_LATE_FILES;
	c->mapped.count = 0;
	array_for(task, &d->tasks)
		if (!(*task)->zombie && find_mapped(c, *task, err))
			return -1;
	return rootfs_copy_pass(c, true, err);
}

void rootfs_leave(const struct mounts_outside *places, const char *name)
{
	const char *root = root_of(places);

	if (root && setxattr(root, ROOTFS_MARK, name ? name : root, strlen(name ? name : root), 0))
		log_info("%s: cannot be marked as left behind: %s", root, strerror(errno));
}

int rootfs_accept(struct rootfs_target *t, struct link *l, const ProtobufCMessage *rootfs,
		  const char *root, size_t below, struct error *err)
{
	const MigrateRootfs *m = (const MigrateRootfs *)rootfs;
	MigrateRootfsReady ready = MIGRATE_ROOTFS_READY__INIT;
	_cleanup_free_ char *top = strndup(root, below);
	int r;

	if (!top)
		return error_set(err, ERROR_FAILED, ENOMEM, "root file system");
	if (t->root >= 0)
		return error_set(err, ERROR_PEER, 0, "the source sends files out of turn");
	r = rootfs_target_open(t, top, root + below, m->origin, err);
	if (r && err->kind != ERROR_BLOCKED)
		return -1;
	if (r) {
		ready.reason = err->message;
		ready.remedy = err->hint;
	}
	return link_send(l, MESSAGE_ROOTFS_READY, &ready.base, err) ? -1 : r;
}
