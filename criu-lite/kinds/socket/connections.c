/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/socket/connections.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "guard/guard.h"
#include "kernel-compat/features.h"
#include "kinds/socket/tcp.h"

static int add_flow(struct lock_flows *flows, const union inet_address *local,
		    const union inet_address *remote, struct error *err)
{
	struct lock_flow *flow = array_add(&flows->list);
	struct inet_diag_sockid id;

	if (!flow)
		return error_set(err, ERROR_FAILED, ENOMEM, "packet lock");
	flow->family = inet_sockid(local, remote, &id);
	memcpy(flow->local, id.idiag_src, sizeof(flow->local));
	memcpy(flow->remote, id.idiag_dst, sizeof(flow->remote));
	flow->local_port = id.idiag_sport;
	flow->remote_port = id.idiag_dport;
	return 0;
}

/* ---- dump ---- */

static int add_file(struct dump *d, struct dump_file *f, struct error *err)
{
	struct tcp_other other;
	bool was_open = f->fd >= 0, leaves = false;
	int fd = tcp_recognise(&f->look) ? dump_file_fd(d->files, f, err) : -1;
	int failed = 0;

	if (fd < 0)
		return tcp_recognise(&f->look) ? -1 : 0;
	/* What leaves a network of its own is locked with it. */
	if (tcp_leaves(dump_files_tree(d->files), fd, &other, &leaves, err) ||
	    (leaves && (d->lock.fd < 0 || other.what != TCP_OTHER_REMOTE) &&
	     add_flow(&d->flows, &other.local, &other.remote, err)))
		failed = error_wrap(err, "%s", dump_file_name(f));
	if (!was_open)
		fd_close(&f->fd);
	return failed;
}

static bool has_own_network(const struct container *c)
{
	return c->namespaces & CLONE_NEWNET;
}

static int lock_for(struct dump *d, const char *stays, struct network_lock *ret,
		    struct error *err)
{
	const struct lock_wish wish = {
		.everything = has_own_network(&d->container),
		.stays = stays,
		.pass_mark = stays ? network_lock_mark(d->image_id, sizeof(d->image_id)) : 0,
		.flows = &d->flows,
	};

	if (network_lock(ret, &wish, err)) {
		if (d->flows.list.count)
			error_hint(err, "or let the connections of the program end: --tcp close");
		return -1;
	}
	return 0;
}

/* What a kernel cannot do is done without. */
static int tolerate(struct error *failed, struct error *err)
{
	if (failed->kind && failed->kind != ERROR_BLOCKED) {
		*err = *failed;
		*failed = ERROR_INIT;
		return -1;
	}
	log_info("the network is not locked: no packet-lock");
	return 0;
}

int connections_refuse_new(struct dump *d, struct error *err)
{
	const struct lock_wish wish = { .beginnings = true };
	_cleanup_error_ struct error failed = ERROR_INIT;

	if (!has_own_network(&d->container))
		return 0;
	if (!feature_hidden("packet-lock") && !network_lock(&d->gate, &wish, &failed))
		return 0;
	return tolerate(&failed, err);
}

int connections_lock_network(struct dump *d, struct error *err)
{
	_cleanup_error_ struct error failed = ERROR_INIT;

	if (!has_own_network(&d->container))
		return 0;
	/* Every task is held: to ask first takes longer than to try. */
	if (!feature_hidden("packet-lock") && !lock_for(d, NULL, &d->lock, &failed))
		return 0;
	return tolerate(&failed, err);
}

int connections_lock(struct dump *d, struct error *err)
{
	struct network_lock whole = d->lock;
	struct dump_file *f;

	for (size_t i = 0; !d->closes_connections && (f = dump_files_at(d->files, i)); i++)
		if (add_file(d, f, err))
			return -1;
	if (has_own_network(&d->container) && !d->closes_connections && tcp_check_closed(err))
		return -1;
	if (!d->flows.list.count)
		return 0;
	if (lock_for(d, NULL, &d->lock, err)) {
		d->lock = whole;
		return -1;
	}
	network_unlock(&whole);
	return 0;
}

int connections_hold_new(const struct dump *d, struct network_lock *l, struct error *err)
{
	const struct lock_wish wish = { .flows = &d->awaited };

	if (l->fd >= 0 || !d->awaited.ports.count || has_own_network(&d->container))
		return 0;
	return network_lock(l, &wish, err);
}

void connections_unlock_leave_open(struct dump *d)
{
	network_unlock_leave_open(&d->lock);
	network_unlock_leave_open(&d->gate);
}

void connections_unlock(struct dump *d)
{
	network_unlock(&d->lock);
	lock_flows_release(&d->flows);
}

void connections_hasten_end(const struct dump *d)
{
	static const char path[] = "/proc/sys/net/ipv4/tcp_orphan_retries";
	_cleanup_fd_ int fd = -1;

	if (!has_own_network(&d->container))
		return;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1)
		log_info("%s: %s", path, strerror(errno));
}

int connections_keep_locked(struct dump *d, struct error *err)
{
	struct network_lock unused = NETWORK_LOCK_NONE;
	char name[LOCK_NAME];

	if (d->lock.fd < 0)
		return 0;
	network_lock_name(d->image_id, sizeof(d->image_id), name);
	return guard_will_make(d->guard, GUARD_LOCK, 0, name, err) ||
			       lock_for(d, name, &unused, err) ?
		       -1 :
		       0;
}

void connections_forget(struct dump *d)
{
	_cleanup_error_ struct error failed = ERROR_INIT;
	char name[LOCK_NAME];

	if (d->lock.fd < 0)
		return;
	network_lock_name(d->image_id, sizeof(d->image_id), name);
	if (network_lock_remove(name, NULL, &failed) < 0)
		log_info("%s", failed.message);
}

/* ---- restore ---- */

static int add_restored(struct lock_flows *flows, const struct restore_file *f, struct error *err)
{
	union inet_address local, remote;

	if (f->kind != &tcp_socket_kind || !tcp_is_outside(f))
		return 0;
	return tcp_addresses(f, &local, &remote, err) || add_flow(flows, &local, &remote, err) ?
		       -1 :
		       0;
}

int connections_lock_restored(struct restore *r, struct error *err)
{
	struct lock_flows flows = { 0 };
	struct lock_wish wish = {
		.everything = has_own_network(&r->container),
		.pass_mark = r->image_mark,
		.flows = &flows,
	};
	struct restore_file *f;
	int failed = 0;

	for (size_t i = 0; !failed && (f = restore_files_at(r->files, i)); i++)
		failed = add_restored(&flows, f, err);
	if (!failed && (wish.everything || flows.list.count))
		failed = network_lock(&r->lock, &wish, err) ||
			 guard_keep_open(r->guard, r->lock.fd, err);
	lock_flows_release(&flows);
	return failed ? -1 : 0;
}

int connections_unlock_restored(struct restore *r, struct error *err)
{
	if (r->lock.fd < 0)
		return 0;
	if (r->image_lock[0] && network_lock_remove(r->image_lock, &r->lock, err) < 0)
		return -1;
	network_unlock_leave_open(&r->lock);
	return 0;
}
