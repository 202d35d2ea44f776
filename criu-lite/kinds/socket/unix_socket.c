/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unix sockets, unix(7): what is saved of them. How they are made again is in unix_restore.c, what
 * waits in their queues in unix_queue.c.
 *
 * Who is connected to whom is asked from the kernel by socket diagnostics, as inode numbers. The
 * end of a connection that was not accepted yet has none: its listener names those who wait.
 */
#include "kinds/socket/unix.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/features.h"

static const char *const protocols[] = { "UNIX", "UNIX-STREAM", "UNIX-DGRAM", NULL };
static const int levels[] = { SOL_SOCKET, -1 };

static bool recognise(const struct fd_look *look)
{
	return socket_protocol_is(look, protocols);
}

/* ---- preflight ---- */

static bool in_tree(const struct fd_scan *scan, const struct fd_look *look, ino_t inode)
{
	const struct fd_look *other = NULL;

	if (fd_scan_by_inode(scan, look->st.st_dev, inode, NULL))
		return true;
	while ((other = fd_scan_next(scan, other)))
		if (other->info.scm_fds)
			return !socket_holder(inode);
	return false;
}

/* The listener of the tree in whose backlog a client waits. */
static bool waits_in_tree(const struct fd_scan *scan, const struct fd_look *look, int diag)
{
	const struct fd_look *other = NULL;

	while ((other = fd_scan_next(scan, other))) {
		_cleanup_error_ struct error ignored = ERROR_INIT;
		_cleanup_unix_diag_ struct unix_diag found = { 0 };
		const uint32_t *client;

		if (!recognise(other) ||
		    diag_unix(diag, other->st.st_ino, &found, &ignored) <= 0)
			continue;
		array_for(client, &found.pending)
			if (*client == look->st.st_ino)
				return true;
	}
	return false;
}

/* Connected by datagrams to a socket with a path: it is found again by that. */
static bool reached_by_path(int fd)
{
	struct sockaddr_un address;
	socklen_t size = sizeof(address);

	return !getpeername(fd, (struct sockaddr *)&address, &size) &&
	       size > offsetof(struct sockaddr_un, sun_path) && address.sun_path[0] == '/';
}

static bool outside(const struct fd_scan *scan, const struct fd_look *look)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	_cleanup_unix_diag_ struct unix_diag found = { 0 };
	_cleanup_fd_ int fd = fd_look_duplicate(look);
	_cleanup_fd_ int diag = fd < 0 ? -1 : diag_open(fd, &ignored);

	if (diag < 0 || diag_unix(diag, look->st.st_ino, &found, &ignored) <= 0)
		return false;
	if (found.peer)
		return !in_tree(scan, look, found.peer) &&
		       !(found.type == SOCK_DGRAM && reached_by_path(fd));
	if (found.type == SOCK_DGRAM || found.state != TCP_ESTABLISHED)
		return false;
	return (found.shutdown & 3) != 3 && !waits_in_tree(scan, look, diag);
}

/* The peer, or the listener in whose backlog it waits. */
static char *outside_who(const struct fd_look *look)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	_cleanup_unix_diag_ struct unix_diag found = { 0 };
	_cleanup_fd_ int fd = fd_look_duplicate(look);
	_cleanup_fd_ int diag = fd < 0 ? -1 : diag_open(fd, &ignored);

	if (diag < 0 || diag_unix(diag, look->st.st_ino, &found, &ignored) <= 0)
		return NULL;
	return socket_holder_text(found.peer);
}

static int check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	if (!feature_works("unix-diag") &&
	    blockers_add(blockers, look->pid, "this kernel does not tell who its peer is",
			 "it lacks unix_diag: modprobe unix_diag", "descriptor %d (%s)",
			 look->number, look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return socket_common_check(look, blockers, err);
}

/* ---- dump ---- */

/* The saved end is the one that accept(2) made, which has the name of its listener. A socket that
 * connected or came in a pair has a name only if it was bound itself, which is rare. */
static bool listener_of_tree(struct dump_files *d, const UnixSocket *m)
{
	struct dump_file *f;

	for (size_t i = 0; (f = dump_files_at(d, i)); i++) {
		_cleanup_error_ struct error ignored = ERROR_INIT;
		struct sockaddr_un address;
		socklen_t size = sizeof(address), one = sizeof(int);
		const void *name;
		int fd, listens = 0;

		if (!recognise(&f->look) || (fd = dump_file_fd(d, f, &ignored)) < 0 ||
		    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &one) || !listens ||
		    getsockname(fd, (struct sockaddr *)&address, &size))
			continue;
		if (unix_address_name(&address, size, &name) == m->name->address.len &&
		    !memcmp(name, m->name->address.data, m->name->address.len))
			return true;
	}
	return false;
}

static bool was_accepted(struct dump_files *d, const UnixSocket *m, int fd)
{
	struct sockaddr_un peer;
	socklen_t size = sizeof(peer);
	const void *name;

	if (getpeername(fd, (struct sockaddr *)&peer, &size) ||
	    !unix_address_name(&peer, size, &name))
		return true;
	/* Both have a name. A client opens its socket before there is another end. */
	return listener_of_tree(d, m) || (m->has_peer && m->peer < m->socket->inode);
}

static int dump_credentials(int fd, UnixSocket *m, struct error *err)
{
	struct ucred who;
	socklen_t size = sizeof(who);
	socklen_t groups_size = 0;
	UnixSocket__Credentials *c;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size))
		return error_set(err, ERROR_TARGET, errno, "cannot read SO_PEERCRED");
	if (!who.pid && who.uid == (uid_t)-1)
		return 0;
	c = m->peer_credentials = malloc(sizeof(*c));
	if (!c)
		return error_set(err, ERROR_FAILED, ENOMEM, "credentials");
	unix_socket__credentials__init(c);
	c->pid = who.pid;
	c->uid = who.uid;
	c->gid = who.gid;
	/* Asked for with no room, it tells how much it takes. */
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &groups_size) || errno != ERANGE)
		return 0;
	c->groups = malloc(groups_size);
	if (!c->groups)
		return error_set(err, ERROR_FAILED, ENOMEM, "credentials");
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, c->groups, &groups_size))
		return error_set(err, ERROR_TARGET, errno, "cannot read SO_PEERGROUPS");
	c->n_groups = groups_size / sizeof(c->groups[0]);
	return 0;
}

/* Ids with which a client that waits has connected: those of a process that holds it now. */
static int pending_credentials(const struct dump_file *client, UnixSocket__Credentials *ret)
{
	const struct proc_status *status = &client->task->threads.items[0].status;

	unix_socket__credentials__init(ret);
	ret->pid = client->task->pid;
	ret->uid = status->uid[1];
	ret->gid = status->gid[1];
	ret->groups = malloc(status->groups.count * sizeof(ret->groups[0]) + 1);
	if (!ret->groups)
		return -1;
	for (size_t i = 0; i < status->groups.count; i++)
		ret->groups[i] = status->groups.items[i];
	ret->n_groups = status->groups.count;
	return 0;
}

static int add_pending(const struct dump_file *client, UnixSocket *m)
{
	UnixSocket__Pending **slot = socket_repeated(&m->pending, &m->n_pending, sizeof(*slot));

	*slot = slot ? malloc(sizeof(**slot)) : NULL;
	if (!slot || !*slot)
		return -1;
	unix_socket__pending__init(*slot);
	(*slot)->client = client->look.st.st_ino;
	(*slot)->credentials = malloc(sizeof(*(*slot)->credentials));
	return (*slot)->credentials ? pending_credentials(client, (*slot)->credentials) : -1;
}

static int waiting_refused(struct dump_file *f, const char *why, struct error *err)
{
	error_set(err, ERROR_BLOCKED, 0, "%s: a connection that nobody has accepted yet %s",
		  dump_file_name(f), why);
	return error_hint(err, "try again when the program has accepted it");
}

/* What was sent over a connection that nobody has accepted can be read by nobody. */
static int dump_pending(struct dump_files *d, struct dump_file *f, const struct unix_diag *found,
			int diag, UnixSocket *m, struct error *err)
{
	const uint32_t *inode;

	array_for(inode, &found->pending) {
		_cleanup_unix_diag_ struct unix_diag waits = { 0 };
		struct dump_file *client;

		if (!*inode)
			return waiting_refused(f, "was closed by its client", err);
		client = dump_files_by_inode(d, f->look.st.st_dev, *inode, f);
		if (!client || !client->task)
			return waiting_refused(f, "comes from outside of the tree", err);
		if (diag_unix(diag, *inode, &waits, err) < 0)
			return -1;
		if (waits.send_queue)
			return waiting_refused(f, "holds data", err);
		if (add_pending(client, m))
			return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	}
	return 0;
}

static int dump_peer_address(int fd, UnixSocket *m)
{
	struct sockaddr_un address;
	socklen_t size = sizeof(address);
	const void *name;
	size_t length;

	if (getpeername(fd, (struct sockaddr *)&address, &size))
		return 0;
	length = unix_address_name(&address, size, &name);
	m->has_peer_address = length;
	return length ? socket_bytes(&m->peer_address, name, length) : 0;
}

static int is_connected(int fd)
{
	struct sockaddr_un address;
	socklen_t size = sizeof(address);

	return !getpeername(fd, (struct sockaddr *)&address, &size);
}

static int dump_connection(struct dump_files *d, struct dump_file *f, int fd,
			   const struct unix_diag *found, UnixSocket *m, struct error *err)
{
	bool datagrams = found->type == SOCK_DGRAM;

	m->has_peer = found->peer;
	m->peer = found->peer;
	if (found->state == TCP_LISTEN)
		m->state = UNIX_SOCKET__STATE__LISTENING;
	else if (!is_connected(fd))
		m->state = UNIX_SOCKET__STATE__UNCONNECTED;
	else if (!found->peer)
		m->state = datagrams || (found->shutdown & 3) == 3 ?
				   UNIX_SOCKET__STATE__PEER_GONE :
				   UNIX_SOCKET__STATE__PENDING;
	else if (datagrams && !dump_files_by_inode(d, f->look.st.st_dev, found->peer, NULL))
		m->state = UNIX_SOCKET__STATE__OUTSIDE;
	else
		m->state = UNIX_SOCKET__STATE__CONNECTED;
	if ((m->state == UNIX_SOCKET__STATE__PEER_GONE ||
	     m->state == UNIX_SOCKET__STATE__OUTSIDE) && dump_peer_address(fd, m))
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	m->has_accepted = m->accepted = !datagrams && m->name && is_connected(fd) &&
					m->state != UNIX_SOCKET__STATE__PENDING &&
					was_accepted(d, m, fd);
	return 0;
}

/* Errors and urgent data, which only poll(2) tells without taking them. */
static int dump_conditions(struct dump_file *f, int fd, UnixSocket *m, struct error *err)
{
	struct pollfd poller = { .fd = fd, .events = POLLPRI };

	if (poll(&poller, 1, 0) < 0)
		return error_set(err, ERROR_TARGET, errno, "%s: poll", dump_file_name(f));
	if (poller.revents & POLLPRI) {
		error_set(err, ERROR_BLOCKED, 0, "%s: urgent data (MSG_OOB) waits in it",
			  dump_file_name(f));
		return error_hint(err, "try again when the program has read it");
	}
	m->has_reset = m->reset = (poller.revents & POLLERR) != 0;
	return 0;
}

static int dump_message(struct dump_files *d, struct dump_file *f, int fd, UnixSocket *m,
			struct error *err)
{
	_cleanup_unix_diag_ struct unix_diag found = { 0 };
	_cleanup_fd_ int diag = diag_open(fd, err);

	if (diag < 0)
		return -1;
	if (diag_unix(diag, f->look.st.st_ino, &found, err) <= 0)
		return error_set(err, ERROR_TARGET, 0,
				 "%s: the kernel does not find it in the network namespace",
				 dump_file_name(f));
	m->has_shutdown = m->shutdown = found.shutdown & 3;
	if (unix_name_dump(fd, dump_file_name(f), &m->name, err) ||
	    dump_connection(d, f, fd, &found, m, err) || dump_credentials(fd, m, err) ||
	    dump_conditions(f, fd, m, err))
		return -1;
	if (m->state != UNIX_SOCKET__STATE__LISTENING)
		return unix_queue_dump(d, f, m, err);
	m->has_backlog = true;
	m->backlog = found.send_queue;
	return dump_pending(d, f, &found, diag, m, err);
}

static int dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	int fd = dump_file_fd(d, f, err), r = -1;
	UnixSocket *m = malloc(sizeof(*m));

	if (!m || fd < 0) {
		free(m);
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	}
	unix_socket__init(m);
	m->id = f->id;
	m->common = socket_file_common(d, f, err);
	if (m->common && !socket_common_dump(d, f, levels, &m->socket, err) &&
	    !dump_message(d, f, fd, m, err))
		r = dump_file_message(d, f, &m->base, err);
	unix_socket__free_unpacked(m, NULL);
	return r;
}

static const struct file_ops unix_socket_file = {
	.recognise = recognise,
	.outside = outside,
	.outside_who = outside_who,
	.check = check,
	.dump = dump,
	.create = unix_create,
	.connect = unix_connect,
	.in_flight = unix_queue_put,
	.link = unix_finish,
	.undo = unix_undo,
};

const struct kind unix_socket_kind = {
	.name = "unix_socket",
	.record = 0x140,
	.scope = KIND_FILE,
	.message = &unix_socket__descriptor,
	.help = "Unix sockets: names, connections, waiting clients, queued data and descriptors",
	.file = &unix_socket_file,
};
