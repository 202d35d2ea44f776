/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/resolve.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "images/migration.pb-c.h"
#include "kernel-compat/calls.h"
#include "migrate/hello.h"
#include "migrate/pending.h"
#include "migrate/silence.h"
#include "network/lock.h"
#include "network/netns.h"
#include "proc/tasks.h"
#include "runtime/runtime.h"

enum { FIRST_PAUSE_MS = 200, END_TIMEOUT_MS = 10000 };

/* The network of the tree: a namespace that it shares, or that of the processes in its cell. -1: it
 * is gone with them. */
static int network_of(const struct record_file *r, const struct cell *cell)
{
	_cleanup_pid_list_ struct pid_list members = { 0 };
	_cleanup_error_ struct error ignored = ERROR_INIT;
	char path[48];

	if (*r->network)
		return open(r->network, O_RDONLY | O_CLOEXEC);
	if (cell->freezer.dir < 0 || cell_members(cell, &members, &ignored) || !members.pids.count)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", members.pids.items[0]);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Packets flow again; that there is no lock any more is no error. */
static int unlock(const struct record_file *r, int network, struct error *err)
{
	int back, failed;

	if (!*r->lock || network < 0)
		return 0;
	if (netns_enter(network, &back, err))
		return -1;
	failed = network_lock_remove(r->lock, NULL, err) < 0;
	return netns_leave(&back, err) || failed ? -1 : 0;
}

int resolve_unlock(const struct record_file *r, struct error *err)
{
	_cleanup_fd_ int network = network_of(r, &CELL_NONE);

	return unlock(r, network, err);
}

/* Nobody is in its cgroups any more, but its first process may still be about to end. */
static bool has_ended(const struct runtime_container *container)
{
	_cleanup_fd_ int pidfd = sys_pidfd_open(container->pid, 0);
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };

	if (pidfd >= 0 && runtime_runs(container))
		poll(&ended, 1, END_TIMEOUT_MS);
	return !runtime_runs(container);
}

/* The tree runs elsewhere: none of its connections may be told that it ends here. */
static int end_here(struct record_file *r, struct error *err)
{
	_cleanup_runtime_ struct runtime_container container = { 0 };
	_cleanup_cell_ struct cell cell = CELL_NONE;
	_cleanup_silence_ struct silence silence = { 0 };
	_cleanup_error_ struct error ignored = ERROR_INIT;
	int there = record_open_cell(r, &cell, err);
	_cleanup_fd_ int network = -1;
	bool known = *r->container && !runtime_read(&container, r->container, &ignored) &&
		     container.pid == r->pid;

	if (there < 0)
		return -1;
	network = network_of(r, &cell);
	if (there && (silence_cell(&silence, &cell, err) ||
		      (!*r->network && netns_close(network, err)) ||
		      cell_kill(&cell, err) || cell_dissolve(&cell, err)))
		return -1;
	if (unlock(r, network, err))
		return -1;
	/* Whoever died may have ended it, and not have told its runtime. */
	if (known && has_ended(&container) && runtime_forget(&container, err))
		return -1;
	return record_remove(r, err);
}

int resolve_here(struct record_file *r, struct error *err)
{
	_cleanup_cell_ struct cell cell = CELL_NONE;
	_cleanup_fd_ int network = -1;
	int there = record_open_cell(r, &cell, err);

	if (there >= 0)
		network = network_of(r, &cell);
	if (there < 0 || unlock(r, network, err) ||
	    (there && (cell_thaw(&cell, err) || cell_dissolve(&cell, err))))
		return -1;
	return record_remove(r, err);
}

static int say_ask(int directory_fd, struct link *l, struct error *err)
{
	MigrateAsk m = MIGRATE_ASK__INIT;
	int r;

	if (pending_collect(directory_fd, PENDING_MAX_ASK, &m.pending, err))
		return -1;
	r = link_send(l, MESSAGE_ASK, &m.base, err);
	if (m.pending)
		migrate_pending__free_unpacked(m.pending, NULL);
	return r;
}

static int ask(struct record_file *r, struct link *l, MigrateAnswer__Outcome *ret,
	       struct error *err)
{
	uint8_t destination[ID_SIZE];
	ProtobufCMessage *answer;

	if (hello_say(l, r->id, true, destination, err))
		return -1;
	if (memcmp(destination, r->destination, ID_SIZE))
		return error_set(err, ERROR_PEER, 0,
				 "this is not the destination that was asked before");
	if (say_ask(r->directory_fd, l, err) ||
	    link_expect(l, MESSAGE_ANSWER, 2 * l->timeout_ms, &answer, err))
		return -1;
	*ret = ((MigrateAnswer *)answer)->outcome;
	protobuf_c_message_free_unpacked(answer, NULL);
	return 0;
}

/* One try: 1 when it was decided. */
static int try_to_resolve(struct record_file *r, const struct transport_options *transport,
			  const char *where, enum resolved *ret, struct error *err)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	MigrateDone done = MIGRATE_DONE__INIT;
	MigrateAnswer__Outcome outcome = MIGRATE_ANSWER__OUTCOME__UNDECIDED;
	struct link l;
	int result;

	if (transport_connect(transport, where, &l, err))
		return -1;
	result = ask(r, &l, &outcome, err);
	if (!result && outcome == MIGRATE_ANSWER__OUTCOME__UNDECIDED)
		result = error_set(err, ERROR_PEER, 0, "the destination has not decided yet");
	if (!result) {
		*ret = outcome == MIGRATE_ANSWER__OUTCOME__RUNNING ? RESOLVED_THERE :
								     RESOLVED_HERE;
		result = (*ret == RESOLVED_THERE ? end_here : resolve_here)(r, err);
	}
	if (!result && link_send(&l, MESSAGE_DONE, &done.base, &ignored))
		log_info("%s", ignored.message);
	link_release(&l);
	return result;
}

int resolve_source(struct record_file *r, const struct transport_options *transport,
		   const char *where, int tries, enum resolved *ret, struct error *err)
{
	int i, pause_ms = FIRST_PAUSE_MS;

	if (r->phase != RECORD_COMMITTING) {
		*ret = RESOLVED_HERE;
		return resolve_here(r, err);
	}
	if (!where && !transport->via)
		return error_set(err, ERROR_USAGE, 0, "where is the destination? HOST:PORT is missing");
	for (i = 1; try_to_resolve(r, transport, where, ret, err); i++) {
		if (i == tries)
			return -1;
		log_info("%s; once more", err->message);
		error_clear(err);
		nanosleep(&(struct timespec){ .tv_sec = pause_ms / 1000,
					      .tv_nsec = pause_ms % 1000 * 1000000l },
			  NULL);
		pause_ms *= 2;
	}
	return 0;
}

int resolve_settled(int directory_fd, const uint8_t id[ID_SIZE],
		    const struct transport_options *transport, const char *where, struct error *err)
{
	uint8_t destination[ID_SIZE];
	ProtobufCMessage *answer;
	struct link l;
	int r;

	if (transport_connect(transport, where, &l, err))
		return -1;
	r = hello_say(&l, id, true, destination, err) || say_ask(directory_fd, &l, err) ||
			    link_expect(&l, MESSAGE_ANSWER, 2 * l.timeout_ms, &answer, err) ?
		    -1 :
		    0;
	if (!r)
		protobuf_c_message_free_unpacked(answer, NULL);
	link_release(&l);
	return r;
}

int resolve_destination(struct record_file *r, bool *ret_runs, struct error *err)
{
	_cleanup_cell_ struct cell cell = CELL_NONE;
	int there = record_open_cell(r, &cell, err);

	if (there < 0)
		return -1;
	*ret_runs = r->phase == RECORD_COMMITTED;
	if (*ret_runs) {
		if (there && cell_thaw(&cell, err))
			return -1;
		return there ? cell_dissolve(&cell, err) : 0;
	}
	if (there && (cell_kill(&cell, err) || cell_dissolve(&cell, err)))
		return -1;
	return record_remove(r, err);
}
