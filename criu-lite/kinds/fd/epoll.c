/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * epoll(7). An item is a number and the description that it meant when it was added; the number
 * may be closed or reused since, so kcmp(2) tells which description it is. Items come back in a
 * puppet that holds the watched descriptions at just these numbers for a moment.
 *
 * An edge-triggered item reports once after the restore if its file is ready, whether or not the
 * program has seen that edge: an event too many is harmless, one too few is not.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "images/epoll.pb-c.h"
#include "kernel-compat/calls.h"
#include "kinds/files.h"

/* What stays of a one-shot item that has fired. */
#define PRIVATE_BITS (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)

static bool epoll_recognise(const struct fd_look *look)
{
	return !strcmp(look->link, "anon_inode:[eventpoll]");
}

/* ---- dump ---- */

/* Whether the item number `offset` of those with its number watches this description. */
static bool watches(const struct fd_look *epoll, const struct fdinfo_epoll *item, unsigned offset,
		    const struct fd_look *target)
{
	struct kcmp_epoll_slot slot = { .efd = epoll->number, .tfd = item->fd, .toff = offset };

	return sys_kcmp(target->pid, epoll->pid, KCMP_EPOLL_TFD, target->number,
			(unsigned long)&slot) == 0;
}

static int compare_numbers(const void *a, const void *b, void *list)
{
	const struct fdinfo_epoll *items = list;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	if (items[x].fd != items[y].fd)
		return items[x].fd < items[y].fd ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* For each item the count of those before it that have the same number. The caller frees. */
static unsigned *item_offsets(const struct fd_look *epoll, struct error *err)
{
	struct fdinfo_epoll *items = epoll->info.epoll.items;
	size_t count = epoll->info.epoll.count;
	_cleanup_free_ size_t *sorted = calloc(count + 1, sizeof(*sorted));
	unsigned *offsets = calloc(count + 1, sizeof(*offsets));

	if (!sorted || !offsets) {
		free(offsets);
		error_set(err, ERROR_FAILED, ENOMEM, "epoll");
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		sorted[i] = i;
	qsort_r(sorted, count, sizeof(*sorted), compare_numbers, items);
	for (size_t i = 1; i < count; i++)
		if (items[sorted[i]].fd == items[sorted[i - 1]].fd)
			offsets[sorted[i]] = offsets[sorted[i - 1]] + 1;
	return offsets;
}

/* The description that an item watches; NULL when nobody in the tree holds it. */
static const struct fd_look *find_target(const struct fd_scan *scan, const struct fd_look *epoll,
					 const struct fdinfo_epoll *item, unsigned offset)
{
	const struct fd_look *target = fd_scan_at(scan, epoll->pid, item->fd);

	/* A socket has only one description, and asking the kernel takes it a walk over all items
	 * of the epoll. */
	if (target && target->st.st_ino == item->inode &&
	    (S_ISSOCK(target->st.st_mode) || watches(epoll, item, offset, target)))
		return target;
	for (target = NULL; (target = fd_scan_next(scan, target));)
		if (target->st.st_ino == item->inode && watches(epoll, item, offset, target))
			return target;
	return NULL;
}

static int epoll_check_tree(const struct fd_scan *scan, const struct fd_look *look,
			    struct blockers *blockers, struct error *err)
{
	_cleanup_free_ unsigned *offsets = item_offsets(look, err);

	if (!offsets)
		return -1;
	for (size_t i = 0; i < look->info.epoll.count; i++) {
		const struct fdinfo_epoll *item = &look->info.epoll.items[i];

		if (find_target(scan, look, item, offsets[i]) || fd_scan_in_flight(scan))
			continue;
		if (blockers_add(blockers, look->pid,
				 "it watches a file that only a process outside of the tree holds",
				 "let the program remove it from the epoll",
				 "descriptor %d (epoll), item %d", look->number, item->fd))
			return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	}
	return 0;
}

static int take_items(struct dump_files *d, struct dump_file *f, Epoll__Item *items,
		      struct error *err)
{
	_cleanup_free_ unsigned *offsets = item_offsets(&f->look, err);

	if (!offsets)
		return -1;
	for (size_t i = 0; i < f->look.info.epoll.count; i++, items++) {
		const struct fdinfo_epoll *item = &f->look.info.epoll.items[i];
		const struct fd_look *target =
			find_target(dump_files_tree(d), &f->look, item, offsets[i]);

		if (!target)
			return error_set(err, ERROR_BLOCKED, 0, "%s: item %d watches a file that "
					 "only a process outside of the tree holds",
					 dump_file_name(f), item->fd);
		epoll__item__init(items);
		items->number = item->fd;
		items->file = dump_file_of_look(target)->id;
		items->events = item->events;
		items->data = item->data;
	}
	return 0;
}

static int epoll_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	size_t count = f->look.info.epoll.count;
	_cleanup_free_ Epoll__Item *items = calloc(count + 1, sizeof(*items));
	_cleanup_free_ Epoll__Item **list = calloc(count + 1, sizeof(*list));
	Epoll m = EPOLL__INIT;
	FileCommon common;

	if (!items || !list)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	if (dump_file_common(d, f, &common, err) || take_items(d, f, items, err))
		return -1;
	for (size_t i = 0; i < count; i++)
		list[i] = &items[i];
	m.id = f->id;
	m.common = &common;
	m.n_items = count;
	m.items = list;
	return dump_file_message(d, f, &m.base, err);
}

/* ---- restore ---- */

static int epoll_verify(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Epoll *m = (const Epoll *)f->message;

	for (size_t i = 0; i < m->n_items; i++) {
		struct restore_file *target = restore_files_get(r, m->items[i]->file);

		if (!target || target == f || m->items[i]->number >= INT32_MAX)
			return error_set(err, ERROR_IMAGE, 0, "item %u watches description %u",
					 m->items[i]->number, m->items[i]->file);
	}
	return 0;
}

static int epoll_plan(struct restore_files *r, struct restore_file *f, struct batch *b,
		      struct error *err)
{
	return batch_must(b, SYS_epoll_create1, EPOLL_CLOEXEC);
}

static bool fired(const Epoll__Item *item)
{
	return item->events & EPOLLONESHOT && !(item->events & ~PRIVATE_BITS);
}

static int run_when_full(struct restore_task *t, struct batch *b, struct error *err)
{
	if (batch_has_room(b, 4, 256))
		return 0;
	if (restore_run(t, b, err))
		return -1;
	batch_start(b, &t->agent);
	return 0;
}

static void ctl(struct batch *b, int epoll, int operation, const Epoll__Item *item, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = item->data };

	batch_must(b, SYS_epoll_ctl, epoll, operation, item->number,
		   batch_put(b, &event, sizeof(event)));
}

/* One-shot items being brought back to where they have fired. */
struct fired_item {
	const Epoll__Item *item;
	int fd;			/* our descriptor of what it watches */
	int wait;		/* record of the call that lets it fire */
	int writer;		/* of an empty pipe that was nudged, else -1 */
};

/* Puts a byte into an empty pipe for a moment, so that its reading end is ready. */
static void nudge(struct fired_item *f)
{
	_cleanup_free_ char *name = NULL;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	if (readlink_alloc(AT_FDCWD, path, &name) || strncmp(name, "pipe:", strlen("pipe:")))
		return;
	f->writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (f->writer >= 0 && write(f->writer, "", 1) != 1)
		fd_close(&f->writer);
}

static void unnudge(struct fired_item *f)
{
	char byte;

	/* It cannot block: the byte is in there. */
	if (f->writer >= 0 && read(f->fd, &byte, 1) != 1)
		log_info("a byte has vanished from a pipe");
	fd_close(&f->writer);
}

/* Lets those fire that can be made ready; the others wait for an error or hang-up only. */
static int fire_rest(struct restore_task *t, int epoll, struct fired_item *list, size_t count,
		     struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	size_t nudged = 0;
	int r;

	batch_start(&b, &t->agent);
	for (size_t i = 0; i < count; i++)
		nudge(&list[i]);
	for (size_t i = 0; i < count; i++)
		if (list[i].writer >= 0)
			nudged++;
		else
			ctl(&b, epoll, EPOLL_CTL_MOD, list[i].item, list[i].item->events);
	if (nudged)
		batch_must(&b, SYS_epoll_pwait, epoll,
			   batch_space(&b, nudged * sizeof(struct epoll_event)), nudged, 0, 0, 8);
	r = b.records.count ? restore_run(t, &b, err) : 0;
	for (size_t i = 0; i < count; i++)
		unnudge(&list[i]);
	return r;
}

/*
 * One-shot items that have fired cannot be added as such: the kernel always adds EPOLLERR and
 * EPOLLHUP. Each is added with all event bits and, if its file is ready for anything, fires again,
 * into our hands. An empty pipe is made ready for that. Whatever else is not ready keeps waiting
 * for an error or hang-up, which it may report although the program has not armed it. Nothing that
 * could fire by itself is in the epoll yet.
 */
static int add_fired(struct restore_task *t, int epoll, struct fired_item *list, size_t count,
		     struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	size_t left = 0;

	batch_start(&b, &t->agent);
	for (size_t i = 0; i < count; i++) {
		ctl(&b, epoll, EPOLL_CTL_ADD, list[i].item,
		    EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | list[i].item->events);
		list[i].wait = batch_must(&b, SYS_epoll_pwait, epoll,
					  batch_space(&b, sizeof(struct epoll_event)), 1, 0, 0, 8);
	}
	if (restore_run(t, &b, err))
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!batch_result(&b, list[i].wait))
			list[left++] = list[i];
	return fire_rest(t, epoll, list, left, err);
}

static int add_all_fired(struct restore_files *r, struct restore_task *t, int epoll,
			 Epoll__Item *const *items, size_t count, struct error *err)
{
	enum { AT_ONCE = 256 };
	struct fired_item list[AT_ONCE];

	for (size_t first = 0; first < count; first += AT_ONCE) {
		size_t n = count - first < AT_ONCE ? count - first : AT_ONCE;

		for (size_t i = 0; i < n; i++)
			list[i] = (struct fired_item){
				.item = items[first + i],
				.fd = restore_files_get(r, items[first + i]->file)->fd,
				.writer = -1,
			};
		if (add_fired(t, epoll, list, n, err))
			return -1;
	}
	return 0;
}

static int add_items(struct restore_task *t, int epoll, Epoll__Item *const *items, size_t count,
		     struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };

	batch_start(&b, &t->agent);
	for (size_t i = 0; i < count; i++) {
		if (run_when_full(t, &b, err))
			return -1;
		ctl(&b, epoll, EPOLL_CTL_ADD, items[i], items[i]->events);
	}
	return b.records.count ? restore_run(t, &b, err) : 0;
}

/* Puts the descriptions of these items (sorted, all numbers different) and the epoll itself into
 * the puppet. Returns the epoll's number there. */
static int place_items(struct restore_files *r, struct restore_file *f, Epoll__Item *const *items,
		       size_t count, struct error *err)
{
	_cleanup_free_ struct placement *places = calloc(count + 1, sizeof(*places));
	int epoll = 0;

	if (!places)
		return error_set(err, ERROR_FAILED, ENOMEM, "epoll");
	for (size_t i = 0; i < count; i++) {
		places[i] = (struct placement){
			.fd = restore_files_get(r, items[i]->file)->fd,
			.number = items[i]->number,
			.cloexec = true,
		};
		if ((int)items[i]->number == epoll)
			epoll++;
	}
	places[count] = (struct placement){ f->fd, epoll, true };
	return restore_place(f->opener, places, count + 1, err) ? -1 : epoll;
}

static int compare_items(const void *a, const void *b)
{
	const Epoll__Item *x = *(Epoll__Item *const *)a, *y = *(Epoll__Item *const *)b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* Takes from `left` one item of each number; the others move up. */
static size_t take_round(Epoll__Item **left, size_t *left_count, Epoll__Item **round)
{
	size_t taken = 0, kept = 0;

	for (size_t i = 0; i < *left_count; i++)
		if (taken && round[taken - 1]->number == left[i]->number)
			left[kept++] = left[i];
		else
			round[taken++] = left[i];
	*left_count = kept;
	return taken;
}

/* Adds the items of one sort, those that have fired or the others. */
static int link_items(struct restore_files *r, struct restore_file *f, bool only_fired,
		      struct error *err)
{
	const Epoll *m = (const Epoll *)f->message;
	_cleanup_free_ Epoll__Item **left = calloc(m->n_items + 1, sizeof(*left));
	_cleanup_free_ Epoll__Item **round = calloc(m->n_items + 1, sizeof(*round));
	size_t count = 0, taken;

	if (!left || !round)
		return error_set(err, ERROR_FAILED, ENOMEM, "epoll");
	for (size_t i = 0; i < m->n_items; i++)
		if (fired(m->items[i]) == only_fired)
			left[count++] = m->items[i];
	qsort(left, count, sizeof(*left), compare_items);
	while ((taken = take_round(left, &count, round))) {
		int epoll = place_items(r, f, round, taken, err);

		if (epoll < 0)
			return -1;
		if (only_fired ? add_all_fired(r, f->opener, epoll, round, taken, err) :
				 add_items(f->opener, epoll, round, taken, err))
			return -1;
	}
	return 0;
}

static int epoll_link(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Epoll *m = (const Epoll *)f->message;

	if (link_items(r, f, true, err) || link_items(r, f, false, err))
		return -1;
	return m->n_items ? restore_clear(f->opener, err) : 0;
}

static const struct file_ops epoll_file = {
	.recognise = epoll_recognise,
	.check_tree = epoll_check_tree,
	.dump = epoll_dump,
	.verify = epoll_verify,
	.plan = epoll_plan,
	.link = epoll_link,
};

const struct kind epoll_kind = {
	.name = "epoll",
	.record = 0x108,
	.scope = KIND_FILE,
	.message = &epoll__descriptor,
	.help = "epoll with its items: level, edge, one-shot, exclusive, nested, numbers closed "
		"since",
	.file = &epoll_file,
};
