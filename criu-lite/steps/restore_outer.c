/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of a restore from where the caller is. */
#include "steps/restore_run.h"

#include <errno.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "guard/guard.h"
#include "kinds/ns/namespaces.h"
#include "kinds/socket/unix.h"
#include "steps/cpu.h"
#include "steps/inside.h"
#include "steps/load.h"
#include "steps/puppets.h"
#include "steps/tree_restore.h"

enum { GUARD_TRIES = 8 };

static int open_stream(void *context, struct error *err)
{
	struct restore_run *run = context;

	const struct restore_options *o = run->options;

	return (o->connection ?
			stream_reader_open_connection(&run->r.in, o->input, o->jobs, o->connection,
						      err) :
			stream_reader_open(&run->r.in, o->input, o->jobs, err)) ||
			       load_header(&run->r, &run->image, err) ||
			       restore_files_new(&run->r, run->options->stdio,
						 run->options->stdio_file, err) ?
		       -1 :
		       0;
}

static int load(void *context, struct error *err)
{
	struct restore_run *run = context;

	return load_up_to_pages(&run->r, &run->tree, err) || namespaces_load(&run->r, err) ||
			       namespaces_check(&run->r, err) ?
		       -1 :
		       0;
}

/* It must not sit on a pid of the image; a second one, made while the first is there, has
 * another. */
int restore_start_guard(void *context, struct error *err)
{
	struct restore *r = &((struct restore_run *)context)->r;
	struct guard *sitting[GUARD_TRIES] = { 0 };
	size_t i, count = 0;
	int failed = guard_start(&r->guard, -1, 0, err);

	while (!failed && count < GUARD_TRIES && puppets_is_saved_id(r, guard_pid(r->guard))) {
		sitting[count++] = r->guard;
		failed = guard_start(&r->guard, -1, 0, err);
	}
	for (i = 0; i < count; i++)
		guard_end(sitting[i]);
	return failed;
}

void restore_end_guard(void *context)
{
	struct restore *r = &((struct restore_run *)context)->r;

	guard_end(r->guard);
	r->guard = NULL;
}

static int preflight(void *context, struct error *err)
{
	struct restore_run *run = context;
	struct utsname host;

	if (uname(&host) == 0 && run->image->machine && strcmp(run->image->machine, host.machine))
		return error_set(err, ERROR_BLOCKED, 0, "the image was made on %s, this is %s",
				 run->image->machine, host.machine);
	if (run->image->page_size != (uint32_t)sysconf(_SC_PAGESIZE))
		return error_set(err, ERROR_BLOCKED, 0, "the image has pages of %u bytes",
				 run->image->page_size);
	if (cpu_check(&run->r, run->image->cpu, err))
		return -1;
	if (restore_files_check(run->r.files, err))
		return -1;
	/* In a pid namespace of its own all are free. */
	return run->r.container.namespaces & CLONE_NEWPID ? 0 : tree_check_ids(&run->r, err);
}

typedef int (*container_op)(struct restore *r, const ProtobufCMessage *message, struct error *err);

/* Calls one operation of all rows that have a message; offset is of it in struct container_ops. */
int restore_container_rows(struct restore *r, size_t offset, struct error *err)
{
	const struct kind *const *row;

	for (row = kinds_table; *row; row++) {
		const ProtobufCMessage *message = restore_container_state(r, *row);
		container_op op;

		if (!message || !(*row)->container)
			continue;
		op = *(const container_op *)((const char *)(*row)->container + offset);
		if (op && op(r, message, err))
			return -1;
	}
	return 0;
}

static int prepare_container(void *context, struct error *err)
{
	return restore_container_rows(&((struct restore_run *)context)->r,
				  offsetof(struct container_ops, prepare), err);
}

static void undo_container(void *context)
{
	struct restore_run *run = context;
	struct restore *r = &run->r;
	size_t i;

	for (i = kinds_count(); i-- > 0 && !*run->decided;) {
		const struct kind *kind = kinds_table[i];

		if (kind->container && kind->container->undo && r->container_state[i])
			kind->container->undo(r, r->container_state[i]);
	}
}

/* The guard is somewhere else, and so may be who writes it. */
static int find_pidfile(struct restore_run *run, struct error *err)
{
	const char *path = run->options->pidfile;
	_cleanup_free_ char *directory = *path == '/' ? strdup("") : getcwd(NULL, 0);
	_cleanup_free_ char *absolute = NULL;

	if (!directory ||
	    asprintf(&absolute, "%s%s%s", directory, *path == '/' ? "" : "/", path) < 0)
		absolute = NULL;
	run->pidfile = absolute ? container_host_path(&run->r.container, absolute) : NULL;
	return run->pidfile ? 0 : error_set(err, ERROR_FAILED, errno, "%s", path);
}

static int make_first(void *context, struct error *err)
{
	struct restore_run *run = context;

	if (container_foreign(&run->r.container) && inside_open_host(&run->r.container, err))
		return -1;
	if (run->options->pidfile && find_pidfile(run, err))
		return -1;
	if (!container_foreign(&run->r.container))
		return 0;
	return puppets_prepare(&run->r, err) ||
			       puppet_make_first(&run->r, &run->first, err) ||
			       guard_keep_process(run->r.guard, run->first, err) ?
		       -1 :
		       0;
}

static void end_first(void *context)
{
	struct restore_run *run = context;

	if (*run->decided)
		return;
	waiting_end_first(&run->cell, run->first);
	puppet_end_first(&run->r, run->first);
}

static int prepare_cell(void *context, struct error *err)
{
	struct restore_run *run = context;
	const struct waiting_room *room = run->options->waiting_room;

	return room ? waiting_prepare(&run->r, room, &run->cell, err) : 0;
}

static void drop_cell(void *context)
{
	struct restore_run *run = context;

	if (!*run->decided)
		waiting_dissolve(&run->cell);
}

const struct step restore_outer_steps[RESTORE_OUTER_STEPS] = {
	{ "open-image", open_stream, NULL },
	{ "load", load, NULL },
	{ "guard", restore_start_guard, restore_end_guard },
	{ "preflight", preflight, NULL },
	{ "prepare", prepare_container, undo_container },
	{ "cell-place", prepare_cell, drop_cell },
	{ "first", make_first, end_first },
};
