/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix sockets are made again: names, listeners, and at the end what is left of closed ends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/socket/unix.h"

struct unix_restore *unix_data(struct restore_file *f, struct error *err)
{
	const struct unix_restore fresh = { .other_end = -1 };

	return restore_file_data(f, &fresh, sizeof(fresh), err);
}

/* The Unix sockets of the image in turn. */
static struct restore_file *next_socket(struct restore_files *r, size_t *index)
{
	struct restore_file *f;

	while ((f = restore_files_at(r, (*index)++)))
		if (f->kind == &unix_socket_kind)
			return f;
	return NULL;
}

/* All Unix sockets of the image by inode, made at the first question. */
struct inode_index {
	size_t count;
	struct restore_file *sorted[];
};

static uint64_t inode_of(const void *file)
{
	return unix_message(*(struct restore_file *const *)file)->socket->inode;
}

static int compare_inodes(const void *a, const void *b)
{
	return (inode_of(a) > inode_of(b)) - (inode_of(a) < inode_of(b));
}

static const struct inode_index *index_of(struct restore_files *r)
{
	void **slot = restore_files_shared(r, &unix_socket_kind, 0);
	struct inode_index *index = slot ? *slot : NULL;
	struct restore_file *f;
	size_t count = 0;

	if (!slot || index)
		return index;
	for (size_t i = 0; next_socket(r, &i);)
		count++;
	index = malloc(sizeof(*index) + count * sizeof(index->sorted[0]));
	if (!index)
		return NULL;
	index->count = 0;
	for (size_t i = 0; (f = next_socket(r, &i));)
		index->sorted[index->count++] = f;
	qsort(index->sorted, count, sizeof(index->sorted[0]), compare_inodes);
	*slot = index;
	return index;
}

struct restore_file *unix_by_inode(struct restore_files *r, uint64_t inode)
{
	const struct inode_index *index = index_of(r);
	size_t low = 0, high = index ? index->count : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (inode_of(&index->sorted[middle]) < inode)
			low = middle + 1;
		else
			high = middle;
	}
	if (!index || low >= index->count || inode_of(&index->sorted[low]) != inode)
		return NULL;
	return index->sorted[low];
}

bool unix_same_name(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
	return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

struct restore_file *unix_by_name(struct restore_files *r, uint32_t type,
				  const ProtobufCBinaryData *name)
{
	struct restore_file *f;

	for (size_t i = 0; (f = next_socket(r, &i));) {
		const UnixSocket *m = unix_message(f);

		if (m->socket->type == type && m->name && !m->accepted &&
		    unix_same_name(&m->name->address, name))
			return f;
	}
	return NULL;
}

/* ---- create ---- */

int unix_bind_own(struct restore_file *f, struct error *err)
{
	const UnixSocket *m = unix_message(f);
	struct unix_restore *data = unix_data(f, err);
	char who[32];

	if (!data)
		return -1;
	if (!m->name || m->accepted)
		return 0;
	snprintf(who, sizeof(who), "description %u", f->id);
	return unix_name_bind(f->opener->restore, f->fd, m->name, who, &data->file_made,
			      err);
}

static int create_plain(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const UnixSocket *m = unix_message(f);

	if (socket_common_create(r, f, m->socket, err) || unix_bind_own(f, err))
		return -1;
	if (m->state != UNIX_SOCKET__STATE__LISTENING)
		return 0;
	return unix_call_listen(r, m->peer_credentials, f->opener, f->fd, m->backlog, err);
}

int unix_create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const UnixSocket *m = unix_message(f);
	const SocketCommon *s = m->socket;
	struct unix_restore *data = unix_data(f, err);
	bool fine = s->domain == AF_UNIX && s->protocol <= PF_UNIX &&
		    (s->type == SOCK_STREAM || s->type == SOCK_DGRAM || s->type == SOCK_SEQPACKET);
	int failed;

	if (!data)
		return -1;
	if (data->ready)
		return 0;
	if (socket_common_expect(f, s, fine, err))
		return -1;
	data->ready = true;
	if (s->type == SOCK_DGRAM)
		failed = unix_create_datagram(r, f, err);
	else if (m->state == UNIX_SOCKET__STATE__CONNECTED ||
		 m->state == UNIX_SOCKET__STATE__PEER_GONE)
		failed = unix_create_connected(r, f, err);
	else
		failed = create_plain(r, f, err);
	return failed ? -1 : 0;
}

/* ---- connect ---- */

/* Those who wait connect once more; the listener shows itself as saved from now on. */
int unix_connect(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const UnixSocket *m = unix_message(f);
	struct unix_restore *data = unix_data(f, err);

	if (!data)
		return -1;
	if (data->shown && unix_call_listen(r, m->peer_credentials, f->opener, f->fd, m->backlog,
					    err))
		return -1;
	data->shown = NULL;
	for (size_t i = 0; i < m->n_pending; i++) {
		struct restore_file *client = unix_by_inode(r, m->pending[i]->client);

		if (!client || unix_message(client)->state != UNIX_SOCKET__STATE__PENDING ||
		    unix_message(client)->socket->type != m->socket->type)
			return error_set(err, ERROR_IMAGE, 0,
					 "description %u: no socket with inode %ju waits for it",
					 f->id, (uintmax_t)m->pending[i]->client);
		if (unix_call_connect(r, m->pending[i]->credentials, client->opener, client->fd,
				      f->fd, err))
			return error_wrap(err, "description %u", client->id);
	}
	return 0;
}

/* ---- the end ---- */

static int drop_other_end(struct restore_file *f, struct unix_restore *data, struct error *err)
{
	const UnixSocket *m = unix_message(f);

	/* An end that closes with unread data resets the other one. */
	if (m->reset && m->socket->type != SOCK_DGRAM &&
	    send(f->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
		return error_set(err, ERROR_FAILED, errno, "description %u: cannot reset it",
				 f->id);
	fd_close(&data->other_end);
	return 0;
}

int unix_finish(struct restore_files *r, struct restore_file *f, struct error *err)
{
	static const int how[] = { -1, SHUT_RD, SHUT_WR, SHUT_RDWR };
	const UnixSocket *m = unix_message(f);
	struct unix_restore *data = unix_data(f, err);

	if (!data)
		return -1;
	if (data->other_end >= 0) {
		if (drop_other_end(f, data, err))
			return -1;
	}
	if ((m->shutdown & 3) && !(m->state == UNIX_SOCKET__STATE__PEER_GONE &&
				   m->socket->type != SOCK_DGRAM) &&
	    shutdown(f->fd, how[m->shutdown & 3]))
		return error_set(err, ERROR_FAILED, errno, "description %u: shutdown", f->id);
	return socket_common_finish(f, m->socket, err);
}

void unix_undo(struct restore_files *r, struct restore_file *f)
{
	struct unix_restore *data = f->data;

	if (data && data->file_made)
		unix_name_unlink(unix_message(f)->name);
}
