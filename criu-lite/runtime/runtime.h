/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_RUNTIME_RUNTIME_H
#define CL_RUNTIME_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/array.h"
#include "base/error.h"

/*
 * What a container runtime keeps on disk about a container: read where the container runs, written
 * where it has come to, so that the runtime's own commands work on it there. A runtime is a row of
 * runtimes[]; its program is never run. Its files are foreign input: whatever they hold that is
 * not understood is a clear error, and what is not needed is carried along as it is.
 *
 * Paths, pids and start times are those of the machine, outside of the container.
 */

struct runtime;

/* Where a container is in one cgroup hierarchy. */
struct runtime_cgroup {
	char *controllers;	/* "memory", "cpu,cpuacct", "name=systemd"; "" for version 2 */
	char *directory;	/* absolute path */
};

struct runtime_namespace {
	char *type;		/* as the runtime names it: "NEWPID" */
	char *path;
};

struct runtime_container {
	const struct runtime *runtime;
	char *root;		/* directory in which the runtime keeps all of its containers */
	char *id;
	pid_t pid;		/* of its init */
	uint64_t start_time;	/* of that: proc_stat.start_time */
	char *bundle;		/* directory of its config.json; may be NULL */
	char *rootfs;		/* directory that is its root file system */
	ARRAY_OF(struct runtime_cgroup) cgroups;
	ARRAY_OF(struct runtime_namespace) namespaces;
	char *state;		/* text of the runtime's file, from which one is made elsewhere */
	size_t state_size;
	char *config;		/* text of the config.json in the bundle; NULL: not there */
	size_t config_size;
};

/* What changes when a container comes to run elsewhere. */
struct runtime_place {
	pid_t pid;
	uint64_t start_time;
	const char *rootfs;	/* NULL: as it was */
	const struct runtime_cgroup *cgroups;	/* all it has now */
	size_t cgroups_count;
	/* Put before absolute paths to open them, "" or container_host_path()'s; in texts
	 * paths stand without it. */
	const char *prefix;
};

struct runtime {
	const char *name;
	const char *help;
	/* Reads the state of container `id` kept below `root` (NULL: where the runtime keeps it by
	 * default). */
	int (*find)(struct runtime_container *ret, const char *root, const char *id,
		    struct error *err);
	/* What find() makes of the text; .runtime, .root, .id are set. */
	int (*parse)(struct runtime_container *ret, const char *text, size_t size,
		     struct error *err);
	/* The directory that write() makes and forget_state() removes; malloc'ed, NULL without
	 * memory. */
	char *(*directory)(const struct runtime_container *c);
	int (*write)(const struct runtime_container *c, const struct runtime_place *place,
		     struct error *err);
	/* The file that write() makes where there is none, as `exec` wants it: the configuration in
	 * the bundle; malloc'ed, NULL when there is no bundle, or without memory. */
	char *(*config_file)(const struct runtime_container *c, const char *rootfs);
	/* That it is gone already is no error. */
	int (*forget_state)(const struct runtime_container *c, struct error *err);
	/* Removes the cgroups in which there is nobody. */
	void (*forget_cgroups)(const struct runtime_container *c);
};

extern const struct runtime *const runtimes[];	/* ended by NULL */

/* NULL when there is no such row. */
const struct runtime *runtime_by_name(const char *name);

/*
 * Finds "RUNTIME:ID", or "RUNTIME@ROOT:ID" where the runtime's directory is not the usual one.
 * ERROR_USAGE: not of that form, no such runtime; ERROR_TARGET: no such container, none that runs,
 * a state that is not understood or is about a process that has ended. Release *ret also after a
 * failure.
 */
int runtime_find(struct runtime_container *ret, const char *name, struct error *err);
/* The same also for one whose process has ended. */
int runtime_read(struct runtime_container *ret, const char *name, struct error *err);
/* Whether the process is there that the state tells of. */
bool runtime_runs(const struct runtime_container *c);

/* Nothing may be known of a container with this id by the runtime here, but one that has ended:
 * ERROR_BLOCKED. *ret_there (may be NULL): there is such an ended one. */
int runtime_free(const struct runtime_container *c, bool *ret_there, struct error *err);
/* Makes the container known to the runtime here (or anew, after runtime_free() said it was there):
 * all of it is written, or nothing. */
int runtime_write(const struct runtime_container *c, const struct runtime_place *place,
		  struct error *err);
/* Takes back what the runtime keeps of a container that runs here no more: its state, and its
 * cgroups where they are empty. That it is gone already is no error. */
int runtime_forget(const struct runtime_container *c, struct error *err);

void runtime_container_release(struct runtime_container *c);
#define _cleanup_runtime_ __attribute__((cleanup(runtime_container_release)))

#endif
