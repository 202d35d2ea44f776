/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/preflight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "kinds/dump.h"
#include "kinds/files.h"
#include "proc/tasks.h"

/* One process as /proc shows it. */
struct seen {
	struct task_look look;
	struct proc_status status;
	struct proc_stat stat;
	struct vma_list maps;
};

static void seen_free(struct seen *s)
{
	if (!s)
		return;
	fd_close(&s->look.proc_fd);
	proc_status_release(&s->status);
	vma_list_release(&s->maps);
	free(s);
}

/* Reads one process and appends its children to the list. A zombie has nothing to look at: *ret
 * is NULL then. */
static int see(pid_t pid, struct pid_list *tree, struct seen **ret, struct error *err)
{
	struct seen *s = calloc(1, sizeof(*s));
	char path[32];

	if (!s)
		return error_set(err, ERROR_FAILED, ENOMEM, "process %d", pid);
	snprintf(path, sizeof(path), "/proc/%d", pid);
	s->look = (struct task_look){
		.pid = pid,
		.proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC),
		.status = &s->status,
		.stat = &s->stat,
		.maps = &s->maps,
	};
	*ret = s;
	if (s->look.proc_fd < 0)
		return error_set(err, errno == ENOENT ? ERROR_DIED : ERROR_TARGET, errno,
				 "process %d", pid);
	if (proc_read_stat(s->look.proc_fd, &s->stat, err) ||
	    proc_read_status(s->look.proc_fd, &s->status, err) ||
	    proc_children(s->look.proc_fd, tree, err))
		return -1;
	if (s->stat.state == 'Z') {
		seen_free(s);
		*ret = NULL;
		return 0;
	}
	return proc_read_smaps(s->look.proc_fd, &s->maps, err);
}

/* Asks every row about one process. */
static int look_at(const struct task_look *look, struct blockers *blockers, struct error *err)
{
	const struct kind *const *row;

	if (look->stat->flags & PROC_FLAG_KTHREAD)
		return blockers_add(blockers, look->pid, "is a thread of the kernel", NULL, "process");
	for (row = kinds_table; *row; row++)
		if ((*row)->state && (*row)->state->check &&
		    (*row)->state->check(look, blockers, err))
			return -1;
	return 0;
}

struct sight {
	struct pid_list tree;
	ARRAY_OF(struct seen *) seen;
};

static int look_around(pid_t root, struct sight *sight, struct error *err)
{
	pid_t *first = array_add(&sight->tree.pids);
	size_t i;

	if (!first)
		return error_set(err, ERROR_FAILED, ENOMEM, "preflight");
	*first = root;
	for (i = 0; i < sight->tree.pids.count; i++) {
		struct error gone = ERROR_INIT;
		struct seen *s = NULL, **slot;

		if (see(sight->tree.pids.items[i], &sight->tree, &s, &gone)) {
			seen_free(s);
			if (gone.kind != ERROR_DIED || i == 0) {
				*err = gone;
				return -1;
			}
			error_clear(&gone);
			continue;
		}
		if (!s)
			continue;
		slot = array_add(&sight->seen);
		if (!slot) {
			seen_free(s);
			return error_set(err, ERROR_FAILED, ENOMEM, "preflight");
		}
		*slot = s;
	}
	return 0;
}

static int ask_rooms(const struct sight *sight, struct blockers *blockers, struct error *err)
{
	_cleanup_free_ struct task_look *looks = calloc(sight->seen.count + 1, sizeof(*looks));
	size_t i;

	if (!looks)
		return error_set(err, ERROR_FAILED, ENOMEM, "preflight");
	for (i = 0; i < sight->seen.count; i++) {
		looks[i] = sight->seen.items[i]->look;
		if (look_at(&looks[i], blockers, err))
			return -1;
	}
	return files_check(looks, sight->seen.count, blockers, err);
}

int preflight_look(pid_t root, struct blockers *blockers, struct error *err)
{
	struct sight sight = { 0 };
	struct seen **s;
	int r = look_around(root, &sight, err) || ask_rooms(&sight, blockers, err) ? -1 : 0;

	array_for(s, &sight.seen)
		seen_free(*s);
	array_release(&sight.seen);
	pid_list_release(&sight.tree);
	return r;
}

int preflight_checkpoint(pid_t root, struct error *err)
{
	struct blockers blockers = { 0 };
	int r = preflight_look(root, &blockers, err) || blockers_error(&blockers, err) ? -1 : 0;

	blockers_release(&blockers);
	return r;
}
