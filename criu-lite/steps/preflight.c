/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/preflight.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "kinds/dump.h"
#include "kinds/files.h"
#include "kinds/ipc/mqueue.h"
#include "kinds/ipc/sysv.h"
#include "proc/tasks.h"
#include "steps/preflight_tree.h"

enum {
	READS = 10,		/* of the areas of a running process */
	/* Below this resident size, reading the flags in the freeze costs less than a stale flag
	 * could. */
	SMALL_PROCESS = 32 << 20,
	/* A blocker is one that is there at each of these. */
	LOOKS = 4,
	BETWEEN_LOOKS_NS = 5000000,
};

/* One process as /proc shows it. */
struct preflight_task {
	struct task_look look;
	struct proc_status status;
	struct proc_stat stat;
	struct vma_list maps;
};

static void task_free(struct preflight_task *s)
{
	if (!s)
		return;
	fd_close(&s->look.proc_fd);
	proc_status_release(&s->status);
	vma_list_release(&s->maps);
	free(s);
}

static int open_proc(struct task_look *look, pid_t id, struct error *err)
{
	fd_close(&look->proc_fd);
	look->proc_fd = proc_open(id);
	if (look->proc_fd < 0)
		return error_set(err, errno == ENOENT ? ERROR_DIED : ERROR_TARGET, errno,
				 "process %d", look->pid);
	return 0;
}

/* The first thread has ended and nothing more is to be seen of it: look at another one. */
static int see_other_thread(struct preflight_task *s, struct error *err)
{
	_cleanup_pid_list_ struct pid_list tids = { 0 };

	if (proc_list_tasks(s->look.proc_fd, &tids, err))
		return -1;
	if (tids.pids.count < 2)
		return error_set(err, ERROR_DIED, ESRCH, "process %d", s->look.pid);
	proc_status_release(&s->status);
	if (open_proc(&s->look, tids.pids.items[1], err) ||
	    proc_read_status(s->look.proc_fd, &s->status, err))
		return -1;
	return 0;
}

/* It runs: what it maps between two reads of the file can look as if areas overlapped. */
static int read_areas(struct preflight_task *s, struct error *err)
{
	int i;

	for (i = 1; proc_read_smaps(s->look.proc_fd, &s->maps, err); i++) {
		if (err->kind == ERROR_DIED || i == READS)
			return -1;
		vma_list_release(&s->maps);
		error_clear(err);
	}
	return 0;
}

/* Reads one process and appends its children to the list. A zombie has nothing to look at: *ret
 * is NULL then. */
static int see(pid_t pid, struct pid_list *tree, struct preflight_task **ret, struct error *err)
{
	struct preflight_task *s = calloc(1, sizeof(*s));

	if (!s)
		return error_set(err, ERROR_FAILED, ENOMEM, "process %d", pid);
	s->look = (struct task_look){
		.pid = pid,
		.proc_fd = -1,
		.status = &s->status,
		.stat = &s->stat,
		.maps = &s->maps,
	};
	*ret = s;
	if (open_proc(&s->look, pid, err) || proc_read_stat(s->look.proc_fd, &s->stat, err) ||
	    proc_read_status(s->look.proc_fd, &s->status, err) ||
	    proc_children(s->look.proc_fd, tree, err))
		return -1;
	if (s->stat.state == 'Z' && s->stat.num_threads < 2) {
		task_free(s);
		*ret = NULL;
		return 0;
	}
	if (s->stat.state == 'Z' && see_other_thread(s, err))
		return -1;
	return read_areas(s, err);
}

/* Or is about to: on its way out a process loses its parts one by one. */
static bool has_ended(const struct task_look *look)
{
	_cleanup_error_ struct error unknown = ERROR_INIT;
	struct proc_stat stat;

	if (proc_read_stat(look->proc_fd, &stat, &unknown))
		return unknown.kind == ERROR_DIED;
	return stat.state == 'Z' || stat.state == 'X' || stat.flags & PROC_FLAG_EXITING;
}

/* Asks every row about one process; one that ends meanwhile has nothing to say. */
static int look_at(const struct task_look *look, struct blockers *blockers, struct error *err)
{
	struct error trouble = ERROR_INIT;
	const struct kind *const *row;
	int r = 0;

	if (look->stat->flags & PROC_FLAG_KTHREAD)
		return blockers_add(blockers, look->pid, "is a thread of the kernel", NULL, "process");
	for (row = kinds_table; *row && !r; row++)
		if ((*row)->state && (*row)->state->check)
			r = (*row)->state->check(look, blockers, &trouble);
	if (r && has_ended(look)) {
		error_clear(&trouble);
		return 0;
	}
	if (r)
		*err = trouble;
	return r;
}

static int look_around(struct preflight *p, struct pid_list *tree, pid_t root, struct error *err)
{
	pid_t *first = array_add(&tree->pids);
	size_t i;

	if (!first)
		return error_set(err, ERROR_FAILED, ENOMEM, "preflight");
	*first = root;
	for (i = 0; i < tree->pids.count; i++) {
		struct error gone = ERROR_INIT;
		struct preflight_task *s = NULL, **slot;

		if (see(tree->pids.items[i], tree, &s, &gone)) {
			task_free(s);
			if (gone.kind != ERROR_DIED || i == 0) {
				*err = gone;
				return -1;
			}
			error_clear(&gone);
			continue;
		}
		if (!s && i == 0)
			return error_set(err, ERROR_DIED, 0,
					 "process %d has ended, and nothing of it is left", root);
		if (!s)
			continue;
		slot = array_add(&p->tasks);
		if (!slot) {
			task_free(s);
			return error_set(err, ERROR_FAILED, ENOMEM, "preflight");
		}
		*slot = s;
	}
	return 0;
}

static int look_at_container(const struct preflight *p, const struct task_look *looks,
			     struct blockers *blockers, struct error *err)
{
	const struct container_look look = { p->container, looks, p->tasks.count };
	const struct kind *const *row;

	for (row = kinds_table; *row; row++)
		if ((*row)->container && (*row)->container->check &&
		    (*row)->container->check(&look, blockers, err))
			return -1;
	return 0;
}

static int ask(const struct preflight *p, struct blockers *blockers, struct error *err)
{
	_cleanup_free_ struct task_look *looks = calloc(p->tasks.count + 1, sizeof(*looks));
	size_t i;

	if (!looks)
		return error_set(err, ERROR_FAILED, ENOMEM, "preflight");
	for (i = 0; i < p->tasks.count; i++) {
		looks[i] = p->tasks.items[i]->look;
		looks[i].before = i ? &looks[i - 1] : NULL;
		if (look_at(&looks[i], blockers, err))
			return -1;
	}
	if (p->container->found && blockers_add_all(blockers, p->container->found, err))
		return -1;
	if (look_at_container(p, looks, blockers, err))
		return -1;
	return preflight_tree(looks, p->tasks.count, blockers, err) ||
			       files_check(looks, p->tasks.count, p->closes_connections, blockers,
					   err) ||
			       sysv_check(looks, p->tasks.count, blockers, err) ||
			       mqueue_unopened_check(p->container, looks[0].pid, blockers, err) ?
		       -1 :
		       0;
}

static int look_once(struct preflight *p, pid_t root, struct blockers *blockers, struct error *err)
{
	_cleanup_pid_list_ struct pid_list tree = { 0 };

	preflight_release(p);
	return look_around(p, &tree, root, err) || ask(p, blockers, err) ? -1 : 0;
}

int preflight_look(struct preflight *p, pid_t root, struct blockers *blockers, struct error *err)
{
	static const struct timespec moment = { .tv_nsec = BETWEEN_LOOKS_NS };
	int look;

	if (look_once(p, root, blockers, err))
		return -1;
	for (look = 1; look < LOOKS && blockers->list.count; look++) {
		struct blockers again = { 0 };

		nanosleep(&moment, NULL);
		if (look_once(p, root, &again, err)) {
			blockers_release(&again);
			return -1;
		}
		blockers_keep(blockers, &again);
		blockers_release(&again);
	}
	return 0;
}

bool preflight_root_has_terminal(const struct preflight *p)
{
	return p->tasks.count && p->tasks.items[0]->stat.tty_nr;
}

int preflight_again(struct preflight *p, pid_t root, struct error *err)
{
	_cleanup_pid_list_ struct pid_list tree = { 0 };

	preflight_release(p);
	return look_around(p, &tree, root, err);
}

static bool same_area(const struct vma *a, const struct vma *b)
{
	return a->start == b->start && a->end == b->end && a->prot == b->prot &&
	       a->shared == b->shared && a->offset == b->offset && a->inode == b->inode &&
	       a->dev_major == b->dev_major && a->dev_minor == b->dev_minor &&
	       a->kind == b->kind;
}

bool preflight_flags(const struct preflight *p, pid_t pid, uint64_t start_time,
		     struct vma_list *maps)
{
	struct preflight_task *const *s;
	size_t i;

	array_for(s, &p->tasks)
		if ((*s)->look.pid == pid)
			break;
	if (s == p->tasks.items + p->tasks.count || (*s)->stat.start_time != start_time ||
	    (*s)->status.vm_rss < SMALL_PROCESS ||
	    (*s)->maps.vmas.count != maps->vmas.count)
		return false;
	for (i = 0; i < maps->vmas.count; i++)
		if (!same_area(&maps->vmas.items[i], &(*s)->maps.vmas.items[i]))
			return false;
	for (i = 0; i < maps->vmas.count; i++) {
		struct vma *v = &maps->vmas.items[i], *seen = &(*s)->maps.vmas.items[i];

		v->flags = seen->flags;
		v->page_size = seen->page_size;
		v->pkey = seen->pkey;
		v->rss = seen->rss;
		v->anon_huge = seen->anon_huge;
		v->swap = seen->swap;
		v->locked = seen->locked;
	}
	maps->has_smaps = true;
	return true;
}

int preflight_pids(const struct preflight *p, struct pid_list *list, struct error *err)
{
	struct preflight_task **task;
	pid_t *pid;

	array_for(task, &p->tasks) {
		pid = array_add(&list->pids);
		if (!pid)
			return error_set(err, ERROR_FAILED, ENOMEM, "preflight");
		*pid = (*task)->look.pid;
	}
	return 0;
}

void preflight_release(struct preflight *p)
{
	struct preflight_task **s;

	array_for(s, &p->tasks)
		task_free(*s);
	array_release(&p->tasks);
}
