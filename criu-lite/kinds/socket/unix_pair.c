/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connected Unix sockets. An end shows the credentials of the other side (SO_PEERCRED): in a pair
 * those of who called socketpair(2) for both; else the accepted end shows who called connect(2),
 * and the connecting one who called listen(2). An accepted end has the name of its listener.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kinds/socket/unix.h"

static bool same_credentials(const UnixSocket__Credentials *a, const UnixSocket__Credentials *b)
{
	if (!a || !b)
		return a == b;
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid &&
	       a->n_groups == b->n_groups &&
	       (!a->n_groups ||
		!memcmp(a->groups, b->groups, a->n_groups * sizeof(a->groups[0])));
}

/* Takes over an end that was made for a description. */
static int adopt(struct restore_file *f, int *fd, struct error *err)
{
	struct unix_restore *data = unix_data(f, err);

	if (!data)
		return -1;
	data->ready = true;
	f->fd = steal_fd(fd);
	return socket_options_early(f, unix_message(f)->socket, err);
}

/* ---- pairs ---- */

/* `other` may be NULL: then the other end is left in *ret_other. */
static int create_pair(struct restore_files *r, struct restore_file *f, struct restore_file *other,
		       int *ret_other, struct error *err)
{
	const UnixSocket *m = unix_message(f);
	int pair[2];
	_cleanup_fd_ int left = -1, right = -1;

	if (unix_call_socketpair(r, m->peer_credentials, f->opener, m->socket->type, pair, err))
		return -1;
	left = pair[0];
	right = pair[1];
	if (adopt(f, &left, err) || unix_bind_own(f, err))
		return -1;
	if (other)
		return adopt(other, &right, err) || unix_bind_own(other, err) ? -1 : 0;
	*ret_other = steal_fd(&right);
	return 0;
}

/* ---- connections through a listener ---- */

struct ends {
	struct restore_file *server, *client;	/* one of them may be NULL: it is gone */
	const ProtobufCBinaryData *server_name, *client_name;
	struct restore_file *one;	/* that is there */
	const UnixSocket__Credentials *server_shows, *client_shows;
};

/* The listener of the image with the name of the accepted end, if it still listens. */
static struct restore_file *living_listener(struct restore_files *r, const struct ends *e)
{
	const UnixSocket *m = unix_message(e->one);
	struct restore_file *l = unix_by_name(r, m->socket->type, e->server_name);

	if (!l || unix_message(l)->state != UNIX_SOCKET__STATE__LISTENING)
		return NULL;
	if (e->server && unix_message(e->server)->name->deleted != unix_message(l)->name->deleted)
		return NULL;
	return l;
}

/* Opens a listener that is only here for this connection. */
static int listen_for_one(struct restore_files *r, const struct ends *e, struct error *err)
{
	UnixSocket__Name name = UNIX_SOCKET__NAME__INIT;
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	_cleanup_fd_ int fd = socket(AF_UNIX, unix_message(e->one)->socket->type | SOCK_CLOEXEC |
						      SOCK_NONBLOCK, 0);
	bool made;

	if (fd < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot open a socket");
	if (e->server_name) {
		name.address = *e->server_name;
		name.deleted = true;
		if (unix_name_bind(NULL, fd, &name, "the listener of a connection", &made, err))
			return -1;
	} else if (bind(fd, (struct sockaddr *)&any, sizeof(any.sun_family))) {
		return error_set(err, ERROR_FAILED, errno, "cannot bind a socket");
	}
	if (unix_call_listen(r, e->client_shows, e->one->opener, fd, 1, err))
		return -1;
	return steal_fd(&fd);
}

/* A descriptor of a listener that shows the right credentials. *ret_own: close it. */
static int find_listener(struct restore_files *r, const struct ends *e, int *ret_own,
			 struct error *err)
{
	struct restore_file *l = e->server_name ? living_listener(r, e) : NULL;
	const UnixSocket__Credentials *shown;
	struct unix_restore *data;

	*ret_own = -1;
	if (!l)
		return *ret_own = listen_for_one(r, e, err);
	data = unix_data(l, err);
	if (!data || unix_create(r, l, err))
		return -1;
	shown = data->shown ? data->shown : unix_message(l)->peer_credentials;
	if (e->client_shows && !same_credentials(shown, e->client_shows)) {
		if (unix_call_listen(r, e->client_shows, l->opener, l->fd,
				     unix_message(l)->backlog, err))
			return -1;
		data->shown = e->client_shows;
	}
	return l->fd;
}

/* The connecting end: the description, or a stand-in in *ret_own. */
static int open_client(struct restore_files *r, const struct ends *e, int *ret_own,
		       struct error *err)
{
	UnixSocket__Name name = UNIX_SOCKET__NAME__INIT;
	bool made;

	*ret_own = -1;
	if (e->client) {
		struct unix_restore *data = unix_data(e->client, err);

		if (!data ||
		    socket_common_create(r, e->client, unix_message(e->client)->socket, err) ||
		    unix_bind_own(e->client, err))
			return -1;
		data->ready = true;
		return e->client->fd;
	}
	*ret_own = socket(AF_UNIX,
			  unix_message(e->one)->socket->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*ret_own < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot open a socket");
	if (e->client_name) {
		name.address = *e->client_name;
		name.deleted = true;
		if (unix_name_bind(NULL, *ret_own, &name, "a peer that is gone", &made, err))
			return -1;
	}
	return *ret_own;
}

static int create_accepted(struct restore_files *r, const struct ends *e, struct error *err)
{
	_cleanup_fd_ int own_listener = -1, own_client = -1, accepted = -1;
	int listener = find_listener(r, e, &own_listener, err), client;

	if (listener < 0)
		return -1;
	client = open_client(r, e, &own_client, err);
	if (client < 0 ||
	    unix_call_connect(r, e->server_shows, (e->client ? e->client : e->one)->opener, client,
			      listener, err))
		return -1;
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (accepted < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot accept a connection");
	if (e->server && adopt(e->server, &accepted, err))
		return -1;
	if (!e->server)
		unix_data(e->one, err)->other_end = steal_fd(&accepted);
	else if (!e->client)
		unix_data(e->one, err)->other_end = steal_fd(&own_client);
	return 0;
}

static int find_other(struct restore_files *r, struct restore_file *f, struct restore_file **ret,
		      struct error *err)
{
	const UnixSocket *m = unix_message(f), *peer;

	*ret = NULL;
	if (m->state != UNIX_SOCKET__STATE__CONNECTED)
		return 0;
	*ret = m->has_peer ? unix_by_inode(r, m->peer) : NULL;
	peer = *ret ? unix_message(*ret) : NULL;
	if (!peer || *ret == f || peer->state != m->state || peer->peer != m->socket->inode ||
	    peer->socket->type != m->socket->type || (*ret)->fd >= 0)
		return error_set(err, ERROR_IMAGE, 0, "its peer is not in the image");
	return 0;
}

int unix_create_connected(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const UnixSocket *m = unix_message(f);
	const ProtobufCBinaryData *gone = m->has_peer_address ? &m->peer_address : NULL;
	struct restore_file *other;
	struct ends e = { .one = f };

	if (find_other(r, f, &other, err))
		return -1;
	if (m->accepted && m->name) {
		e.server = f;
		e.client = other;
		e.client_name = gone;
	} else {
		e.server = other;
		e.client = f;
		e.server_name = gone;
	}
	if (e.server && unix_message(e.server)->accepted && unix_message(e.server)->name)
		e.server_name = &unix_message(e.server)->name->address;
	e.server_shows = e.server ? unix_message(e.server)->peer_credentials : NULL;
	e.client_shows = e.client ? unix_message(e.client)->peer_credentials : NULL;
	if (!e.server_name && !e.client_name &&
	    (!other || same_credentials(e.server_shows, e.client_shows)))
		return create_pair(r, f, other, &unix_data(f, err)->other_end, err);
	return create_accepted(r, &e, err);
}

/* ---- datagrams ---- */

int unix_stand_in(const ProtobufCBinaryData *name, struct error *err)
{
	UnixSocket__Name as = UNIX_SOCKET__NAME__INIT;
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool made;

	if (fd < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot open a socket");
	if (!name)
		return steal_fd(&fd);
	as.address = *name;
	as.deleted = true;
	if (unix_name_bind(NULL, fd, &as, "a datagram socket that is gone", &made, err))
		return -1;
	return steal_fd(&fd);
}

/* Ends the connection of one side of a pair, as connect(2) to nothing does. */
static int disconnect(int fd, int other, struct error *err)
{
	struct sockaddr nothing = { .sa_family = AF_UNSPEC };
	int ignored;
	socklen_t size = sizeof(ignored);

	if (connect(fd, &nothing, sizeof(nothing)))
		return error_set(err, ERROR_FAILED, errno, "cannot disconnect a socket");
	/* The other side was told by an error. */
	getsockopt(other, SOL_SOCKET, SO_ERROR, &ignored, &size);
	return 0;
}

static bool came_in_pair(const UnixSocket *m)
{
	return m->socket->type == SOCK_DGRAM && m->peer_credentials;
}

/* The socket that must have come in a pair with f: its peer, or one that has f as its peer and no
 * other way to reach it. NULL when that is gone. */
static struct restore_file *partner_of(struct restore_files *r, const struct restore_file *f)
{
	const UnixSocket *m = unix_message(f);
	struct restore_file *peer = m->has_peer ? unix_by_inode(r, m->peer) : NULL;
	struct restore_file *w;

	if (peer && peer->fd < 0 && peer != f && came_in_pair(unix_message(peer)))
		return peer;
	for (size_t i = 0; (w = restore_files_at(r, i)); i++)
		if (w->kind == f->kind && w != f && w->fd < 0 &&
		    unix_message(w)->peer == m->socket->inode && came_in_pair(unix_message(w)))
			return w;
	return NULL;
}

static int create_datagram_pair(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const UnixSocket *m = unix_message(f), *other;
	struct restore_file *partner = partner_of(r, f);
	struct unix_restore *data = unix_data(f, err), *partner_data;

	if (create_pair(r, f, partner, &data->other_end, err))
		return -1;
	if (!partner) {
		data->connected = m->state == UNIX_SOCKET__STATE__PEER_GONE && !m->has_peer_address;
		if (data->connected)
			return 0;
		if (disconnect(f->fd, data->other_end, err))
			return -1;
		fd_close(&data->other_end);
		return 0;
	}
	other = unix_message(partner);
	partner_data = unix_data(partner, err);
	data->connected = m->peer == other->socket->inode;
	partner_data->connected = other->peer == m->socket->inode;
	if (!data->connected && disconnect(f->fd, partner->fd, err))
		return -1;
	return partner_data->connected ? 0 : disconnect(partner->fd, f->fd, err);
}

int unix_create_datagram(struct restore_files *r, struct restore_file *f, struct error *err)
{
	if (came_in_pair(unix_message(f)))
		return create_datagram_pair(r, f, err);
	return socket_common_create(r, f, unix_message(f)->socket, err) || unix_bind_own(f, err)
		       ? -1
		       : 0;
}

static int connect_to_bound(int fd, int to, struct error *err)
{
	_cleanup_fd_ int file = -1;
	struct sockaddr_un address;
	socklen_t size;

	if (unix_reach(to, &address, &size, &file, err))
		return -1;
	if (connect(fd, (struct sockaddr *)&address, size))
		return error_set(err, ERROR_FAILED, errno, "cannot connect it to its peer");
	return 0;
}

/* To a socket that is gone: one with its name, which goes when all is in place. */
static int connect_to_gone(struct restore_file *f, struct unix_restore *data, struct error *err)
{
	const UnixSocket *m = unix_message(f);

	data->other_end = unix_stand_in(m->has_peer_address ? &m->peer_address : NULL, err);
	return data->other_end < 0 ? -1 : connect_to_bound(f->fd, data->other_end, err);
}

/* Outside of the tree; where nobody is at that address now, its peer counts as gone. */
static int connect_outside(struct restore_file *f, struct unix_restore *data, struct error *err)
{
	const UnixSocket *m = unix_message(f);
	struct sockaddr_un address;
	socklen_t size = unix_address(&address, m->peer_address.data, m->peer_address.len);

	if (!m->has_peer_address || !size || address.sun_path[0] != '/')
		return error_set(err, ERROR_IMAGE, 0, "its peer has no address");
	if (!connect(f->fd, (struct sockaddr *)&address, size))
		return 0;
	log_info("description %u: nobody is at %.*s, to which it was connected: %s", f->id,
		 (int)m->peer_address.len, m->peer_address.data, strerror(errno));
	return connect_to_gone(f, data, err);
}

enum { CHAIN_MAX = 200 };	/* sockets, each connected to the next */

/* A connected socket cannot be connected to any more, except by its peer: those that are connected
 * to it come first. */
static int connect_in_order(struct restore_files *r, struct restore_file *f, int depth,
			    struct error *err)
{
	const UnixSocket *m = unix_message(f);
	struct unix_restore *data = unix_data(f, err);
	struct restore_file *w;

	if (!data)
		return -1;
	if (data->connected || m->socket->type != SOCK_DGRAM ||
	    m->state == UNIX_SOCKET__STATE__UNCONNECTED)
		return 0;
	if (depth > CHAIN_MAX)
		return error_set(err, ERROR_IMAGE, 0, "a chain of more than %d datagram sockets",
				 CHAIN_MAX);
	data->connected = true;
	for (size_t i = 0; (w = restore_files_at(r, i)); i++)
		if (w->kind == f->kind && unix_message(w)->has_peer &&
		    unix_message(w)->peer == m->socket->inode &&
		    m->peer != unix_message(w)->socket->inode &&
		    connect_in_order(r, w, depth + 1, err))
			return -1;
	if (m->state == UNIX_SOCKET__STATE__PEER_GONE)
		return connect_to_gone(f, data, err);
	if (m->state == UNIX_SOCKET__STATE__OUTSIDE)
		return connect_outside(f, data, err);
	w = m->has_peer ? unix_by_inode(r, m->peer) : NULL;
	if (!w || m->state != UNIX_SOCKET__STATE__CONNECTED)
		return error_set(err, ERROR_IMAGE, 0,
				 "description %u: its peer is not in the image", f->id);
	return connect_to_bound(f->fd, w->fd, err);
}

int unix_connect_datagram(struct restore_files *r, struct restore_file *f, struct error *err)
{
	return connect_in_order(r, f, 0, err);
}
