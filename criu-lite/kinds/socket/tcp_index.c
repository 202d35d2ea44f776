/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding the TCP sockets of an image by what others know them by. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "kinds/socket/tcp.h"

/* Both addresses of a connection in one form. */
struct key {
	uint8_t address[2][16];
	uint16_t port[2];
	uint16_t family;
};

struct entry {
	struct key key;
	struct restore_file *file;
};

struct connections {
	size_t count;
	struct entry sorted[];
};

static void put_address(struct key *key, int side, union inet_address *a)
{
	inet_unmap(a);
	key->family = a->any.sa_family;
	key->port[side] = inet_port(a);
	if (a->any.sa_family == AF_INET)
		memcpy(key->address[side], &a->v4.sin_addr, 4);
	else
		memcpy(key->address[side], &a->v6.sin6_addr, 16);
}

/* Returns false for what is no connection. `swapped`: as the other end has it. */
static bool key_of(const struct restore_file *f, bool swapped, struct key *ret)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	union inet_address local, remote;

	memset(ret, 0, sizeof(*ret));
	if (tcp_addresses(f, &local, &remote, &ignored))
		return false;
	put_address(ret, swapped, &local);
	put_address(ret, !swapped, &remote);
	return true;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct key));
}

/* Made at the first question. */
static const struct connections *connections_of(struct restore_files *r)
{
	void **slot = restore_files_shared(r, &tcp_socket_kind, 0);
	struct connections *list = slot ? *slot : NULL;
	struct restore_file *f;
	size_t count = 0;

	if (!slot || list)
		return list;
	while (restore_files_at(r, count))
		count++;
	list = malloc(sizeof(*list) + count * sizeof(list->sorted[0]));
	if (!list)
		return NULL;
	list->count = 0;
	for (size_t i = 0; (f = restore_files_at(r, i)); i++) {
		struct entry *e = &list->sorted[list->count];

		if (f->kind != &tcp_socket_kind ||
		    tcp_message(f)->state != TCP_SOCKET__STATE__CONNECTED ||
		    !key_of(f, false, &e->key))
			continue;
		e->file = f;
		list->count++;
	}
	qsort(list->sorted, list->count, sizeof(list->sorted[0]), compare);
	*slot = list;
	return list;
}

struct restore_file *tcp_peer(struct restore_files *r, const struct restore_file *f)
{
	const struct connections *list = connections_of(r);
	const struct entry *found;
	struct key wanted;

	if (!list || !key_of(f, true, &wanted))
		return NULL;
	found = bsearch(&wanted, list->sorted, list->count, sizeof(list->sorted[0]), compare);
	return found && found->file != f ? found->file : NULL;
}

struct restore_file *tcp_by_inode(struct restore_files *r, uint64_t inode)
{
	struct restore_file *f;

	for (size_t i = 0; (f = restore_files_at(r, i)); i++)
		if (f->kind == &tcp_socket_kind && tcp_message(f)->socket->inode == inode)
			return f;
	return NULL;
}
