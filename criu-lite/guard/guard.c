/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The controller's side. */
#include "guard/guard.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "guard/board.h"
#include "kernel-compat/calls.h"

struct guard {
	struct board *board;
	pid_t pid;
	int pidfd, socket;
	bool kept;		/* it has sockets */
	bool has_freezer[GUARD_FREEZERS];
	uint32_t next;		/* the note that is likely wanted next */
	uint32_t drops;		/* orders given to close them */
};

static struct board *board_new(void)
{
	void *memory = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* Signals are blocked before there is a guard, so that none of a terminal or a shell ends it. */
static pid_t fork_deaf(bool sibling, pid_t wanted)
{
	struct clone_args args = {
		.flags = CLONE_PARENT,
		.set_tid = wanted ? (uint64_t)&wanted : 0,
		.set_tid_size = wanted ? 1 : 0,
	};
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, &before))
		return -1;
	pid = sibling ? sys_clone3(&args, sizeof(args)) : fork();
	if (pid)
		sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

int guard_start(struct guard **ret, int keep, pid_t pid, struct error *err)
{
	_cleanup_fd_ int ourselves = sys_pidfd_open(getpid(), 0);
	struct guard *g = calloc(1, sizeof(*g));
	int ends[2];

	*ret = NULL;
	if (!g || ourselves < 0 || !(g->board = board_new()) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		error_set(err, ERROR_FAILED, errno, "cannot prepare the guard");
		if (g && g->board)
			munmap(g->board, sizeof(*g->board));
		free(g);
		return -1;
	}
	g->socket = ends[0];
	g->pidfd = -1;
	*ret = g;
	g->pid = fork_deaf(keep >= 0, pid);
	if (g->pid == 0)
		guard_run(g->board, ourselves, ends[1], keep);
	if (g->pid > 0)
		g->pidfd = sys_pidfd_open(g->pid, 0);
	if (g->pidfd < 0)
		error_set(err, ERROR_FAILED, errno, "cannot start the guard");
	close(ends[1]);
	return g->pidfd < 0 ? -1 : 0;
}

pid_t guard_pid(const struct guard *g)
{
	return g->pid;
}

void guard_end(struct guard *g)
{
	struct pollfd ended = { .fd = g ? g->pidfd : -1, .events = POLLIN };

	if (!g)
		return;
	g->board->done = true;
	if (g->pid > 0) {
		kill(g->pid, SIGKILL);
		while (poll(&ended, 1, -1) < 0 && errno == EINTR)
			;
		while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	fd_close(&g->pidfd);
	fd_close(&g->socket);
	munmap(g->board, sizeof(*g->board));
	free(g);
}

void guard_dismiss(struct guard *g)
{
	if (g)
		g->board->done = true;
}

void guard_recall(struct guard *g)
{
	if (g)
		g->board->done = false;
}

int guard_check(const struct guard *g, struct error *err)
{
	struct pollfd ended = { .fd = g ? g->pidfd : -1, .events = POLLIN };

	if (!g || poll(&ended, 1, 0) == 0)
		return 0;
	return error_set(err, ERROR_FAILED, 0, "the guard (process %d) was killed", g->pid);
}

/* Processes are watched again in about the order in which they were watched first. */
static struct agent_note *find_note(struct guard *g, pid_t pid)
{
	struct board *board = g->board;
	uint32_t i, at;

	for (i = 0; i < board->note_count; i++) {
		at = (g->next + i) % board->note_count;
		if (board->notes[at].pid != pid)
			continue;
		g->next = at + 1;
		return &board->notes[at];
	}
	return NULL;
}

int guard_watch(struct guard *g, pid_t pid, struct agent_note **ret, struct error *err)
{
	*ret = NULL;
	if (!g)
		return 0;
	*ret = find_note(g, pid);
	if (*ret)
		return 0;
	if (g->board->note_count == BOARD_NOTES)
		return error_set(err, ERROR_FAILED, 0, "more than %d processes", BOARD_NOTES);
	*ret = &g->board->notes[g->board->note_count];
	(*ret)->pid = pid;
	g->board->note_count++;
	return 0;
}

void guard_forget(struct guard *g)
{
	if (!g)
		return;
	memset(g->board->notes, 0, g->board->note_count * sizeof(g->board->notes[0]));
	g->board->note_count = 0;
}

static int put_path(char place[BOARD_PATH], const char *path, struct error *err)
{
	size_t length = strlen(path);

	if (length >= BOARD_PATH)
		return error_set(err, ERROR_FAILED, ENAMETOOLONG, "%s", path);
	memcpy(place, path, length + 1);
	return 0;
}

void guard_freezer_rests(struct guard *g, int slot)
{
	if (g)
		g->board->freezers[slot].moves = false;
}

static int send_message(struct guard *g, const struct board_message *word, int fd,
			struct error *err)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec text = { (void *)word, sizeof(*word) };
	struct msghdr message = { .msg_iov = &text, .msg_iovlen = 1 };

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.room);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	if (sendmsg(g->socket, &message, MSG_NOSIGNAL) != (ssize_t)sizeof(*word))
		return error_set(err, ERROR_FAILED, errno, "the guard does not listen");
	return 0;
}

int guard_freezer_moves(struct guard *g, int slot, const struct guard_freezer *f,
			struct error *err)
{
	const struct board_message word = { .what = MESSAGE_FREEZER, .slot = slot };
	struct board_freezer *place;

	if (!g)
		return 0;
	if (!g->has_freezer[slot] && send_message(g, &word, f->dir, err))
		return -1;
	g->has_freezer[slot] = true;
	place = &g->board->freezers[slot];
	strlcpy(place->file, f->file, sizeof(place->file));
	strlcpy(place->thaw, f->thaw, sizeof(place->thaw));
	strlcpy(place->freeze, f->freeze, sizeof(place->freeze));
	place->stops_frozen = f->stops_frozen;
	place->was_frozen = f->was_frozen;
	place->moves = true;
	return 0;
}

int guard_keep_socket(struct guard *g, const struct guard_socket *s, struct error *err)
{
	const struct board_message word = { .what = MESSAGE_SOCKET, .socket = *s };

	if (!g)
		return 0;
	g->kept = true;
	return send_message(g, &word, s->fd, err);
}

int guard_keep_process(struct guard *g, int pidfd, struct error *err)
{
	const struct board_message word = { .what = MESSAGE_PROCESS };

	return g ? send_message(g, &word, pidfd, err) : 0;
}

int guard_drop_sockets(struct guard *g, struct error *err)
{
	const struct board_message word = { .what = MESSAGE_DROP_SOCKETS };

	if (!g || !g->kept)
		return 0;
	g->kept = false;
	if (send_message(g, &word, -1, err))
		return -1;
	g->drops++;
	while (__atomic_load_n(&g->board->dropped, __ATOMIC_ACQUIRE) != g->drops) {
		if (guard_check(g, err))
			return -1;
		sched_yield();
	}
	return 0;
}

void guard_will_end(struct guard *g)
{
	if (g)
		g->board->ending = true;
}

int guard_will_go(struct guard *g, const char *lock, struct error *err)
{
	if (!g)
		return 0;
	if (lock && put_path(g->board->lock, lock, err))
		return -1;
	__atomic_store_n(&g->board->going, true, __ATOMIC_RELEASE);
	return 0;
}

int guard_will_ask(struct guard *g, const struct guard_decision *d, struct error *err)
{
	const struct board_message lock = { .what = MESSAGE_OPEN };
	const struct board_message dir = { .what = MESSAGE_DECISION };
	const struct board_message writer = { .what = MESSAGE_WRITER };

	if (!g)
		return 0;
	if (strlcpy(g->board->decision, d->file, BOARD_NAME) >= BOARD_NAME ||
	    strlcpy(g->board->word, d->word, BOARD_WORD) >= BOARD_WORD)
		return error_set(err, ERROR_FAILED, ENAMETOOLONG, "%s", d->file);
	if (send_message(g, &lock, d->lock, err) || send_message(g, &dir, d->dir, err) ||
	    send_message(g, &writer, d->writer, err))
		return -1;
	__atomic_store_n(&g->board->asks, true, __ATOMIC_RELEASE);
	return 0;
}

int guard_keep_open(struct guard *g, int fd, struct error *err)
{
	const struct board_message word = { .what = MESSAGE_OPEN };

	return g ? send_message(g, &word, fd, err) : 0;
}

int guard_will_make(struct guard *g, enum guard_thing thing, int id, const char *path,
		    struct error *err)
{
	struct board_thing *t;

	if (!g)
		return 0;
	if (g->board->thing_count == BOARD_THINGS)
		return error_set(err, ERROR_FAILED, 0, "more than %d things outside of processes",
				 BOARD_THINGS);
	t = &g->board->things[g->board->thing_count];
	if (path && put_path(t->path, path, err))
		return -1;
	t->what = thing;
	t->id = id;
	g->board->thing_count++;
	return 0;
}
