/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/rootfs.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "images/migration.pb-c.h"
#include "kinds/mount/mount_plan.h"
#include "migrate/rootfs_samples.h"
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
