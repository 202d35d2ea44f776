/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever the file of a runtime says, what is understood of it can be used, and written again. */
#include "proc_fuzz.h"

#include "runtime/runc.h"

static struct runtime_container container(void)
{
	return (struct runtime_container){
		.runtime = runtime_by_name("runc"),
		.root = strdup("/run/runc"),
		.id = strdup("one"),
	};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct runtime_place place = { .pid = 7, .start_time = 8, .rootfs = "/x/rootfs",
					     .prefix = "" };
	struct runtime_container c = container(), again = container();
	struct error err = ERROR_INIT;
	struct runtime_cgroup *cgroup;
	struct runtime_namespace *ns;
	char *text, *file;

	if (accepted(c.runtime->parse(&c, (const char *)data, size, &err), &err)) {
		must(c.pid > 0 && c.rootfs[0] == '/' && c.state_size == size);
		must(!c.bundle || c.bundle[0] == '/');
		array_for(cgroup, &c.cgroups)
			must(cgroup->directory[0] == '/' && !strstr(cgroup->directory, "/../"));
		array_for(ns, &c.namespaces)
			must(ns->path[0] == '/');
		text = runc_state_here(&c, &place, &err);
		must(text != NULL);
		must(accepted(again.runtime->parse(&again, text, strlen(text), &err), &err));
		must(again.pid == 7 && again.start_time == 8 && !again.cgroups.count);
		must(!strcmp(again.rootfs, "/x/rootfs"));
		file = runc_config_file(&c, place.rootfs);
		must(!file == !c.bundle);
		free(file);
		free(text);
	}
	runtime_container_release(&c);
	runtime_container_release(&again);
	return 0;
}
