/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The descriptor engine, restore side: handing descriptors to the puppets. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/restore_set.h"

enum {
	MESSAGE_MAX = 253,	/* SCM_MAX_FD */
	MESSAGES_MAX = 2,	/* in one batch */
	MESSAGE_RECORDS = 2 * MESSAGE_MAX + 2,
	MESSAGE_DATA = 4096,
};

/*
 * Received descriptors get the lowest free numbers of the puppet. The entries are sorted and go
 * out in that order, so the k-th received number is never above the k-th target, and moving the
 * last one first never meets a number that still waits to be moved.
 */

static int compare_number(const void *a, const void *b)
{
	const struct placement *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static bool has_number(const struct placement *entries, size_t count, int number)
{
	struct placement key = { .number = number };

	return count && bsearch(&key, entries, count, sizeof(*entries), compare_number);
}

/* Where the service socket may stay: where it is, or else at the first number that is free. */
static int service_number(const struct restore_task *t, const struct placement *entries,
			  size_t count)
{
	int number = 0;

	if (!has_number(entries, count, t->service_fd))
		return t->service_fd;
	for (size_t i = 0; i < count && entries[i].number == number; i++)
		number++;
	return number;
}

static void close_between(struct batch *b, unsigned int first, unsigned int last)
{
	if (first <= last)
		batch_must(b, SYS_close_range, first, last, 0);
}

/* Empties the puppet's table but for the service socket, which moves to `service`. */
static void plan_empty(struct restore_task *t, struct batch *b, int service)
{
	struct restore_files *r = t->restore->files;
	struct rlimit limit;
	uint64_t address;

	if (r->leftover_task == t)
		r->leftovers.count = 0;
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		address = batch_put(b, &limit, sizeof(limit));
		batch_call(b, SYS_prlimit64, 0, RLIMIT_NOFILE, address, 0);
	}
	if (service != t->service_fd)
		batch_must(b, SYS_dup3, t->service_fd, service, O_CLOEXEC);
	t->service_fd = service;
	if (service > 0)
		close_between(b, 0, service - 1);
	close_between(b, service + 1, UINT_MAX);
}

int restore_clear(struct restore_task *t, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };

	batch_start(&b, &t->agent);
	plan_empty(t, &b, t->service_fd);
	return restore_run(t, &b, err);
}

/* Walks over the numbers that are free in the puppet: neither the service socket's, nor those of
 * the `placed` first entries. */
struct free_numbers {
	int number;
	size_t passed;	/* entries below number */
};

static int free_next(struct free_numbers *at, const struct restore_task *t,
		     const struct placement *entries, size_t placed)
{
	for (;; at->number++) {
		if (at->passed < placed && entries[at->passed].number == at->number)
			at->passed++;
		else if (at->number != t->service_fd)
			return at->number++;
	}
}

struct message {
	struct hand_over hand_over;
	int received[MESSAGE_MAX];
	size_t count;
};

/* Sends the entries [first, first + count) and appends what puts them in place. */
static int place_message(struct restore_task *t, const struct placement *entries, size_t first,
			 struct message *m, const struct free_numbers *lowest, struct batch *b,
			 struct error *err)
{
	struct free_numbers at = *lowest;
	int fds[MESSAGE_MAX];

	for (size_t i = 0; i < m->count; i++) {
		fds[i] = entries[first + i].fd;
		m->received[i] = free_next(&at, t, entries, first);
	}
	if (puppet_send_fds(t, fds, m->count, b, &m->hand_over, err))
		return -1;
	for (size_t i = m->count; i-- > 0;) {
		const struct placement *entry = &entries[first + i];

		if (m->received[i] == entry->number) {
			batch_must(b, SYS_fcntl, entry->number, F_SETFD,
				   entry->cloexec ? FD_CLOEXEC : 0);
			continue;
		}
		batch_must(b, SYS_dup3, m->received[i], entry->number,
			   entry->cloexec ? O_CLOEXEC : 0);
		batch_must(b, SYS_close, m->received[i]);
	}
	return 0;
}

static int run_messages(struct restore_task *t, struct batch *b, const struct message *messages,
			size_t count, struct error *err)
{
	if (restore_run(t, b, err))
		return error_wrap(err, "process %d: placing descriptors", t->pid);
	for (size_t k = 0; k < count; k++)
		for (size_t i = 0; i < messages[k].count; i++)
			if (puppet_received(b, &messages[k].hand_over, i) !=
			    messages[k].received[i])
				return error_set(err, ERROR_FAILED, 0, "process %d: descriptor "
						 "received as %d, not as %d", t->pid,
						 puppet_received(b, &messages[k].hand_over, i),
						 messages[k].received[i]);
	batch_start(b, &t->agent);
	return 0;
}

int restore_place(struct restore_task *t, struct placement *entries, size_t count,
		  struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	struct message messages[MESSAGES_MAX];
	struct free_numbers lowest = { 0 };
	size_t waiting = 0;

	qsort(entries, count, sizeof(*entries), compare_number);
	batch_start(&b, &t->agent);
	plan_empty(t, &b, service_number(t, entries, count));
	for (size_t first = 0; first < count; first += MESSAGE_MAX) {
		struct message *m = &messages[waiting];
		size_t left = count - first;

		if (waiting == MESSAGES_MAX ||
		    !batch_has_room(&b, MESSAGE_RECORDS, MESSAGE_DATA)) {
			if (run_messages(t, &b, messages, waiting, err))
				return -1;
			waiting = 0;
			m = messages;
		}
		m->count = left < MESSAGE_MAX ? left : MESSAGE_MAX;
		/* Numbers below it are taken for good: do not walk over them each time. */
		free_next(&lowest, t, entries, first);
		lowest.number--;
		if (place_message(t, entries, first, m, &lowest, &b, err))
			return -1;
		waiting++;
	}
	return run_messages(t, &b, messages, waiting, err);
}

static int install_task(struct restore_files *r, struct restore_task *t, struct error *err)
{
	const FdTable *table = restore_table(t);
	_cleanup_free_ struct placement *entries = calloc(table->n_entries + 1, sizeof(*entries));

	if (!entries)
		return error_set(err, ERROR_FAILED, ENOMEM, "process %d: descriptors", t->pid);
	for (size_t i = 0; i < table->n_entries; i++) {
		const FdTable__Entry *entry = table->entries[i];

		entries[i] = (struct placement){
			.fd = restore_files_get(r, entry->file)->fd,
			.number = entry->number,
			.cloexec = entry->cloexec,
		};
	}
	return restore_place(t, entries, table->n_entries, err);
}

int restore_files_install(struct restore_files *r, struct error *err)
{
	for (size_t i = 0; i < r->run->tasks.count; i++)
		if (!r->run->tasks.items[i]->zombie &&
		    install_task(r, r->run->tasks.items[i], err))
			return -1;
	return 0;
}

void restore_files_drop_service(const struct restore_task *t, struct batch *b)
{
	batch_must(b, SYS_close, t->service_fd);
}
