/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is believed of forged mounts and of forged contents of a tmpfs leads nowhere else. */
#include "proc_fuzz.h"

#include <sys/stat.h>

#include "kinds/mount/mount_build.h"
#include "kinds/mount/mount_types.h"
#include "kinds/mount/tmpfs.h"
#include "kinds/restore.h"

static void climbs_nowhere(const char *path)
{
	must(!strstr(path, "/../") && !strstr(path, "//") && strncmp(path, "../", 3) &&
	     strcmp(path, ".."));
}

static void look_at_mounts(const Mounts *m)
{
	struct error err = ERROR_INIT;

	if (!accepted(mounts_check(m, &err), &err))
		return;
	for (size_t i = 0; i < m->n_mounts; i++) {
		const Mounts__Mount *one = m->mounts[i];

		must(i ? one->parent < i : !one->has_parent);
		must(one->path[0] == '/' && one->place[0] != '/');
		climbs_nowhere(one->path);
		climbs_nowhere(one->place);
		if (!one->has_file_system)
			continue;
		must(one->file_system < m->n_file_systems && one->root[0] == '/');
		climbs_nowhere(one->root);
	}
}

static void look_at_contents(const struct tmpfs_content *c)
{
	for (size_t i = 1; i < c->entries.count; i++) {
		const Tmpfs__Entry *e = c->entries.items[i];

		must(e->parent < i && S_ISDIR(c->entries.items[e->parent]->mode));
		must(*e->name && !strchr(e->name, '/') && strcmp(e->name, ".."));
		if (e->has_link)
			must(e->link < i && !S_ISDIR(c->entries.items[e->link]->mode) &&
			     !c->entries.items[e->link]->has_link);
	}
}

static void look_at_tmpfs(Tmpfs *part)
{
	Mounts__FileSystem fs = MOUNTS__FILE_SYSTEM__INIT, *all = &fs;
	struct tmpfs_contents contents = { 0 };
	struct error err = ERROR_INIT;
	struct restore r = { 0 };
	Mounts m = MOUNTS__INIT;

	fs.type = "tmpfs";
	m.file_systems = &all;
	m.n_file_systems = 1;
	part->id = 1;
	part->file_system = 0;
	r.objects = restore_objects_new(&r);
	must(r.objects && !restore_objects_load(r.objects, &tmpfs_kind, &part->base, &err));
	if (accepted(tmpfs_load(r.objects, &m, &contents, &err), &err))
		look_at_contents(&contents.items[0]);
	tmpfs_contents_release(&contents);
	restore_objects_free(r.objects);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Mounts *m = mounts__unpack(NULL, size, data);
	Tmpfs *part = tmpfs__unpack(NULL, size, data);

	if (m) {
		look_at_mounts(m);
		mounts__free_unpacked(m, NULL);
	}
	if (part)
		look_at_tmpfs(part);
	return 0;
}
