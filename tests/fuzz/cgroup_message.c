/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever a Cgroup message says, what is accepted of it stays below its own cgroup. */
#include "proc_fuzz.h"

#include "kinds/cgroup/cgroup.h"

static void check(const CgroupHierarchy *h)
{
	size_t i, k;

	must(h->path[0] == '/' && h->path[1] && !strstr(h->path, "/../") && !strstr(h->path, "//"));
	must(h->n_directories && !h->directories[0]->path[0]);
	must(!h->has_namespace_root || h->namespace_root < h->n_directories);
	for (i = 0; i < h->n_directories; i++) {
		const CgroupDirectory *d = h->directories[i];

		must(d->path[0] != '/' && strcmp(d->path, "..") && strncmp(d->path, "../", 3) &&
		     !strstr(d->path, "/../") && !strstr(d->path, "//"));
		for (k = 0; k < d->n_properties; k++)
			must(!strchr(d->properties[k]->name, '/'));
		for (k = 0; k < d->n_owners; k++)
			must(!strchr(d->owners[k]->name, '/') && d->owners[k]->name[0] != '.');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Cgroup *m = cgroup__unpack(NULL, size, data);
	struct error err = ERROR_INIT;
	size_t i;

	if (!m)
		return 0;
	if (accepted(cgroup_verify(m, &err), &err))
		for (i = 0; i < m->n_hierarchies; i++)
			check(m->hierarchies[i]);
	cgroup__free_unpacked(m, NULL);
	return 0;
}
