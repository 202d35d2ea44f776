/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guard does when its controller has died. Nobody is there to tell of a failure: each part
 * is tried, whatever became of the others. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "guard/board.h"
#include "kernel-compat/calls.h"
#include "kernel-compat/nft.h"
#include "proc/maps.h"
#include "proc/stat.h"
#include "proc/status.h"
#include "proc/tasks.h"

enum {
	STOP_TIMEOUT_MS = 2000,
	TRIES = 500,
	TRY_NS = 10 * 1000 * 1000,
};

/* A process that something may have been left in. */
struct patient {
	struct agent_note *note;
	int proc_fd;
	ARRAY_OF(struct tracee) threads;
};

struct ward {
	ARRAY_OF(struct patient) patients;
	struct gadget_cache gadgets;
};

/* uapi linux/tcp.h: without a probe of the peer's window */
enum { REPAIR_OFF_SILENTLY = -1 };

static void end_tcp_repair(const struct kept *kept)
{
	const int off = REPAIR_OFF_SILENTLY;
	const struct guard_socket *s;

	array_for(s, &kept->sockets) {
		if (s->peek_offset >= 0)
			setsockopt(s->fd, SOL_SOCKET, SO_PEEK_OFF, &s->peek_offset,
				   sizeof(s->peek_offset));
		setsockopt(s->fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off));
		setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &s->reuse, sizeof(s->reuse));
		close(s->fd);
	}
}

static void end_processes(const struct kept *kept)
{
	const int *pidfd;

	array_for(pidfd, &kept->processes)
		sys_pidfd_send_signal(*pidfd, SIGKILL);
}

static void write_freezer(int dir, const char *file, const char *word)
{
	_cleanup_fd_ int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write_full(fd, word, strlen(word)))
		return;
}

/* Tasks that stop while they are frozen are thawed after that: then what they would have seen can
 * be corrected before. */
static void thaw(const struct board *board, const struct kept *kept, bool stopped)
{
	const struct board_freezer *f;
	int i;

	for (i = 0; i < GUARD_FREEZERS; i++) {
		f = &board->freezers[i];
		if (f->moves && f->stops_frozen == stopped)
			write_freezer(kept->freezers[i], f->file, f->thaw);
	}
}

static void freeze_again(const struct board *board, const struct kept *kept)
{
	const struct board_freezer *f;
	int i;

	for (i = 0; i < GUARD_FREEZERS; i++) {
		f = &board->freezers[i];
		if (f->moves && f->was_frozen)
			write_freezer(kept->freezers[i], f->file, f->freeze);
	}
}

static bool is_frozen(const struct board *board)
{
	return board->freezers[0].moves || board->freezers[1].moves;
}

static void add_patient(struct ward *ward, struct agent_note *note)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	struct proc_stat stat;
	struct patient *p;
	int fd = proc_open(note->pid);

	if (fd < 0)
		return;
	if (proc_read_stat(fd, &stat, &ignored) || stat.state == 'Z' ||
	    (note->start_time && stat.start_time != note->start_time) ||
	    !(p = array_add(&ward->patients))) {
		close(fd);
		return;
	}
	p->note = note;
	p->proc_fd = fd;
}

static bool has_thread(const struct patient *p, pid_t tid)
{
	const struct tracee *t;

	array_for(t, &p->threads)
		if (t->tid == tid)
			return true;
	return false;
}

/* Seizes the threads that are not seized yet, and asks them to stop. Returns how many. */
static int seize(struct patient *p)
{
	_cleanup_pid_list_ struct pid_list tids = { 0 };
	_cleanup_error_ struct error ignored = ERROR_INIT;
	int count = 0;
	pid_t *tid;

	if (proc_list_tasks(p->proc_fd, &tids, &ignored))
		return 0;
	array_for(tid, &tids.pids) {
		struct tracee *t = has_thread(p, *tid) ? NULL : array_add(&p->threads);

		if (!t)
			continue;
		error_clear(&ignored);
		if (tracee_seize(t, *tid, p->note->pid, TRACEE_SECCOMP_OFF, &ignored) ||
		    tracee_interrupt(t, &ignored))
			p->threads.count--;
		else
			count++;
	}
	return count;
}

/* Waits for the stops and corrects what they would show to the program. False if some thread does
 * not stop, or cannot be left alone now. */
static bool collect(struct patient *p)
{
	_cleanup_error_ struct error failed = ERROR_INIT;
	bool home, all_home = true;
	size_t i;

	for (i = 0; i < p->threads.count;) {
		struct tracee *t = &p->threads.items[i];

		error_clear(&failed);
		if (!t->held &&
		    (tracee_wait_stopped(t, STOP_TIMEOUT_MS, &failed) ||
		     agent_bring_home(p->note, t, &home, &failed) || tracee_save(t, &failed))) {
			if (failed.kind != ERROR_DIED)
				return false;
			tracee_release(t);
			*t = p->threads.items[--p->threads.count];
			continue;
		}
		all_home = all_home && home;
		i++;
	}
	return all_home;
}

static void let_go(struct patient *p)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	struct tracee *t;

	array_for(t, &p->threads) {
		if (tracee_detach(t, &ignored))
			error_clear(&ignored);
		tracee_release(t);
	}
	p->threads.count = 0;
}

/* The twin dies with its tracer, and then is the program's zombie. That its pid is not known only
 * means that we were not told in time: it is a child whose end nobody is told of. False while it is
 * still dying. */
static bool reap_twin(const struct patient *p, const struct agent_site *site)
{
	_cleanup_pid_list_ struct pid_list children = { 0 };
	_cleanup_error_ struct error failed = ERROR_INIT;
	pid_t *pid;

	if (proc_children(p->proc_fd, &children, &failed))
		return false;
	array_for(pid, &children.pids) {
		struct proc_stat stat;

		if (proc_stat_of(*pid, &stat, &failed))
			return false;
		if (p->note->twin ? *pid != p->note->twin : stat.exit_signal)
			continue;
		return stat.state == 'Z' &&
		       !agent_reap_twin(p->threads.items, site, *pid, &failed);
	}
	return true;
}

static bool clean(struct patient *p, struct gadget_cache *gadgets)
{
	_cleanup_error_ struct error failed = ERROR_INIT;
	_cleanup_proc_status_ struct proc_status status = { 0 };
	_cleanup_vma_list_ struct vma_list maps = { 0 };
	struct agent_site site = { .maps = &maps, .gadgets = gadgets };

	if (!p->threads.count)
		return true;
	if (proc_read_maps(p->proc_fd, &maps, &failed) ||
	    proc_read_status(p->proc_fd, &status, &failed) ||
	    agent_reclaim(p->note, p->threads.items, p->threads.count, &site, status.sig_ign,
			  &failed))
		return failed.kind == ERROR_DIED;
	if (p->note->twin_due && !reap_twin(p, &site))
		return false;
	p->note->twin_due = false;
	return true;
}

/* One visit to all of them at once. True when all are healthy. */
static bool visit(struct board *board, const struct kept *kept, struct ward *ward)
{
	bool healthy = true, progress = true;
	struct patient *p;

	while (progress) {
		progress = false;
		array_for(p, &ward->patients)
			while (seize(p))
				progress = true;
	}
	thaw(board, kept, false);
	array_for(p, &ward->patients)
		healthy = collect(p) && healthy;
	thaw(board, kept, true);
	array_for(p, &ward->patients)
		healthy = healthy && clean(p, &ward->gadgets);
	freeze_again(board, kept);
	array_for(p, &ward->patients)
		let_go(p);
	return healthy;
}

static void take_back(struct board *board, const struct kept *kept)
{
	struct ward ward = { 0 };
	uint32_t i;
	int tries;

	end_processes(kept);
	end_tcp_repair(kept);
	guard_remove_things(board);
	for (i = 0; i < board->note_count; i++) {
		struct agent_note *note = &board->notes[i];

		if (is_frozen(board) || note->twin_due || agent_note_pending(note))
			add_patient(&ward, note);
	}
	for (tries = 0; tries < TRIES && !visit(board, kept, &ward); tries++)
		nanosleep(&(struct timespec){ .tv_nsec = TRY_NS }, NULL);
	guard_remove_cgroups(board);
}

/* Descendants first, as the controller does it. Sockets are closed by our own end. */
static void end_watched(const struct board *board, const struct kept *kept)
{
	uint32_t i;

	for (i = board->note_count; i-- > 0;) {
		const struct agent_note *note = &board->notes[i];
		_cleanup_error_ struct error ignored = ERROR_INIT;
		_cleanup_fd_ int pidfd = sys_pidfd_open(note->pid, 0);
		struct proc_stat stat;

		if (pidfd >= 0 && !proc_stat_of(note->pid, &stat, &ignored) &&
		    stat.start_time == note->start_time)
			sys_pidfd_send_signal(pidfd, SIGKILL);
	}
	thaw(board, kept, false);
	thaw(board, kept, true);
}

/* Nobody else comes in between: we keep what locks the file. */
static bool is_not_decided(const struct board *board, const struct kept *kept)
{
	struct pollfd writer = { .fd = kept->writer, .events = POLLIN };
	_cleanup_buffer_ struct buffer text = { 0 };

	if (!board->asks || kept->decision < 0 || kept->writer < 0)
		return false;
	while (poll(&writer, 1, -1) < 0 && errno == EINTR)
		;
	return !read_file_at(kept->decision, board->decision, &text) &&
	       !strstr(text.data, board->word);
}

void guard_repair(struct board *board, const struct kept *kept)
{
	if (is_not_decided(board, kept)) {
		take_back(board, kept);
		return;
	}
	if (board->asks && !board->going)
		return;
	if (board->ending) {
		end_watched(board, kept);
		return;
	}
	if (board->going) {
		end_tcp_repair(kept);
		if (board->lock[0])
			nft_remove_table(-1, NFPROTO_INET, board->lock);
		return;
	}
	take_back(board, kept);
}
