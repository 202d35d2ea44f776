/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packet sockets, packet(7). Packets that wait in them are lost, as packets may be. A ring that is
 * mapped is refused: where the kernel goes on in it cannot be set.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "images/packet_socket.pb-c.h"
#include "kinds/socket/diag.h"
#include "kinds/socket/packet_diag.h"
#include "kinds/socket/socket.h"

enum {
	ADDRESS_MAX = 32,	/* of an interface, MAX_ADDR_LEN of the kernel */
	COUNT_MAX = 1 << 16,
	FANOUT_TYPE = 0xff << 16,
};

static const char *const protocols[] = { "PACKET", NULL };
static const int levels[] = { SOL_SOCKET, SOL_PACKET, -1 };

static bool recognise(const struct fd_look *look)
{
	return socket_protocol_is(look, protocols);
}

/* ---- preflight and dump ---- */

/* 0: in no group. */
static uint32_t fanout_of(int fd)
{
	uint32_t value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &value, &size) ? 0 : value;
}

/* Why it cannot be saved; NULL: it can. */
static const char *reason_against(int fd, const struct packet_diag *diag, int known)
{
	uint32_t type = (fanout_of(fd) & FANOUT_TYPE) >> 16;
	struct sockaddr_ll name = { 0 };
	socklen_t size = sizeof(name);
	int socket_type = 0;
	socklen_t type_size = sizeof(socket_type);

	if (!known)
		return "this kernel cannot tell what a packet socket has (CONFIG_PACKET_DIAG)";
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &socket_type, &type_size) ||
	    (socket_type != SOCK_RAW && socket_type != SOCK_DGRAM))
		return "obsolete packet sockets (SOCK_PACKET) cannot be saved";
	if (getsockname(fd, (struct sockaddr *)&name, &size) || name.sll_ifindex < 0)
		return "the interface that it is bound to is gone";
	if (type == PACKET_FANOUT_CBPF || type == PACKET_FANOUT_EBPF)
		return "the program of its fanout group cannot be read back";
	return NULL;
}

static int look_at(int fd, ino_t inode, struct packet_diag *ret, const char **ret_reason,
		   struct error *err)
{
	_cleanup_fd_ int diag = diag_open(fd, err);
	int known = diag < 0 ? -1 : packet_diag(diag, inode, ret, err);

	if (known < 0)
		return -1;
	*ret_reason = reason_against(fd, ret, known);
	return 0;
}

static int check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	_cleanup_packet_diag_ struct packet_diag diag = { 0 };
	_cleanup_fd_ int fd = fd_look_duplicate(look);
	const char *reason;

	if (socket_common_check(look, blockers, err))
		return -1;
	if (fd < 0)
		return 0;
	if (look_at(fd, look->st.st_ino, &diag, &reason, err))
		return -1;
	if (reason && blockers_add(blockers, look->pid, reason, "stop the packet capture",
				   "descriptor %d (%s)", look->number, look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

/* Name of an interface where the socket is, malloc'ed; NULL with errno. */
static char *interface_name(int fd, int index)
{
	struct ifreq request = { .ifr_ifindex = index };

	return ioctl(fd, SIOCGIFNAME, &request) ? NULL : strndup(request.ifr_name, IFNAMSIZ);
}

static int save_memberships(struct dump_file *f, int fd, const struct packet_diag *diag,
			    PacketSocket *m, struct error *err)
{
	const struct packet_diag_mclist *from;

	array_for(from, &diag->memberships) {
		PacketSocket__Membership **slot =
			socket_repeated(&m->memberships, &m->n_memberships, sizeof(*slot));
		size_t size = from->pdmc_alen > ADDRESS_MAX ? ADDRESS_MAX : from->pdmc_alen;

		if (!slot || !(*slot = malloc(sizeof(**slot)))) {
			m->n_memberships -= !!slot;
			return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
		}
		packet_socket__membership__init(*slot);
		(*slot)->type = from->pdmc_type;
		(*slot)->has_count = from->pdmc_count > 1;
		(*slot)->count = from->pdmc_count;
		(*slot)->interface = interface_name(fd, from->pdmc_index);
		if (!(*slot)->interface || socket_bytes(&(*slot)->address, from->pdmc_addr, size))
			return error_set(err, ERROR_TARGET, errno, "%s: interface %u",
					 dump_file_name(f), from->pdmc_index);
	}
	return 0;
}

static PacketSocket__Ring *save_ring(const struct packet_diag_ring *from)
{
	PacketSocket__Ring *m = malloc(sizeof(*m));

	if (!m)
		return NULL;
	packet_socket__ring__init(m);
	m->block_size = from->pdr_block_size;
	m->block_count = from->pdr_block_nr;
	m->frame_size = from->pdr_frame_size;
	m->frame_count = from->pdr_frame_nr;
	m->has_timeout = m->timeout = from->pdr_retire_tmo;
	m->timeout = from->pdr_retire_tmo;
	m->has_private_size = from->pdr_sizeof_priv;
	m->private_size = from->pdr_sizeof_priv;
	m->has_features = from->pdr_features;
	m->features = from->pdr_features;
	return m;
}

static int save_rings(struct dump_file *f, const struct packet_diag *diag, PacketSocket *m,
		      struct error *err)
{
	if (diag->has_receive_ring && !(m->receive_ring = save_ring(&diag->receive_ring)))
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	if (diag->has_send_ring && !(m->send_ring = save_ring(&diag->send_ring)))
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	return 0;
}

static int save_name(struct dump_file *f, int fd, PacketSocket *m, struct error *err)
{
	struct sockaddr_ll name = { 0 };
	socklen_t size = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &size))
		return error_set(err, ERROR_TARGET, errno, "%s: getsockname", dump_file_name(f));
	m->protocol = ntohs(name.sll_protocol);
	if (name.sll_ifindex && !(m->interface = interface_name(fd, name.sll_ifindex)))
		return error_set(err, ERROR_TARGET, errno, "%s: interface %d", dump_file_name(f),
				 name.sll_ifindex);
	m->fanout = fanout_of(fd);
	m->has_fanout = m->fanout;
	return 0;
}

static int dump_message(struct dump_files *d, struct dump_file *f, PacketSocket *m,
			struct error *err)
{
	_cleanup_packet_diag_ struct packet_diag diag = { 0 };
	int fd = dump_file_fd(d, f, err);
	const char *reason;

	m->common = socket_file_common(d, f, err);
	if (fd < 0 || !m->common || socket_common_dump(d, f, levels, &m->socket, err) ||
	    look_at(fd, f->look.st.st_ino, &diag, &reason, err))
		return -1;
	if (reason)
		return error_set(err, ERROR_BLOCKED, 0, "%s: %s", dump_file_name(f), reason);
	if (save_name(f, fd, m, err) || save_memberships(f, fd, &diag, m, err) ||
	    save_rings(f, &diag, m, err))
		return -1;
	return dump_file_message(d, f, &m->base, err);
}

static int dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	PacketSocket *m = malloc(sizeof(*m));
	int failed;

	if (!m)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	packet_socket__init(m);
	m->id = f->id;
	failed = dump_message(d, f, m, err);
	packet_socket__free_unpacked(m, NULL);
	return failed;
}

/* ---- restore ---- */

static const PacketSocket *message(const struct restore_file *f)
{
	return (const PacketSocket *)f->message;
}

/* Deaf until it is bound. */
static int create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const SocketCommon *s = message(f)->socket;
	bool fine = s->domain == AF_PACKET && (s->type == SOCK_RAW || s->type == SOCK_DGRAM);
	SocketCommon deaf = *s;

	deaf.protocol = 0;
	return socket_common_expect(f, s, fine, err) || socket_common_create(r, f, &deaf, err) ?
		       -1 :
		       0;
}

/* Number of an interface where the socket is; -1 on error. */
static int find_interface(struct restore_file *f, const char *name, struct error *err)
{
	struct ifreq request = { 0 };

	if (strlen(name) >= IFNAMSIZ)
		return error_set(err, ERROR_IMAGE, 0, "description %u: interface %s", f->id, name);
	memcpy(request.ifr_name, name, strlen(name));
	if (ioctl(f->fd, SIOCGIFINDEX, &request))
		return error_set(err, ERROR_FAILED, errno, "description %u: no interface %s",
				 f->id, name);
	return request.ifr_ifindex;
}

static int put_ring(struct restore_file *f, int which, const PacketSocket__Ring *m,
		    struct error *err)
{
	struct tpacket_req3 ring;
	int version = 0;
	socklen_t size = sizeof(version);

	if (!m)
		return 0;
	ring = (struct tpacket_req3){
		.tp_block_size = m->block_size,
		.tp_block_nr = m->block_count,
		.tp_frame_size = m->frame_size,
		.tp_frame_nr = m->frame_count,
		.tp_retire_blk_tov = m->timeout,
		.tp_sizeof_priv = m->private_size,
		.tp_feature_req_word = m->features,
	};
	if (getsockopt(f->fd, SOL_PACKET, PACKET_VERSION, &version, &size) ||
	    setsockopt(f->fd, SOL_PACKET, which, &ring,
		       version == TPACKET_V3 ? sizeof(ring) : sizeof(struct tpacket_req)))
		return error_set(err, ERROR_FAILED, errno,
				 "description %u: a ring of %u blocks of %u bytes", f->id,
				 m->block_count, m->block_size);
	return 0;
}

static int put_membership(struct restore_file *f, const PacketSocket__Membership *m,
			  struct error *err)
{
	struct {
		struct packet_mreq head;
		uint8_t more[ADDRESS_MAX - sizeof(((struct packet_mreq *)0)->mr_address)];
	} request = { .head = { .mr_type = m->type, .mr_alen = m->address.len } };
	uint32_t count = m->has_count ? m->count : 1;
	int index = find_interface(f, m->interface, err);

	if (index < 0)
		return -1;
	if (m->address.len > ADDRESS_MAX || count > COUNT_MAX)
		return error_set(err, ERROR_IMAGE, 0, "description %u: membership", f->id);
	request.head.mr_ifindex = index;
	if (m->address.len)
		memcpy((char *)&request + offsetof(struct packet_mreq, mr_address),
		       m->address.data, m->address.len);
	for (uint32_t i = 0; i < count; i++)
		if (setsockopt(f->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request)))
			return error_set(err, ERROR_FAILED, errno,
					 "description %u: PACKET_ADD_MEMBERSHIP at %s", f->id,
					 m->interface);
	return 0;
}

/* It hears once all is set up that says what. */
static int put_name(struct restore_file *f, const PacketSocket *m, struct error *err)
{
	struct sockaddr_ll name = { .sll_family = AF_PACKET, .sll_protocol = htons(m->protocol) };

	if (m->interface) {
		name.sll_ifindex = find_interface(f, m->interface, err);
		if (name.sll_ifindex < 0)
			return -1;
	}
	if ((m->protocol || m->interface) &&
	    bind(f->fd, (struct sockaddr *)&name, sizeof(name)))
		return error_set(err, ERROR_FAILED, errno,
				 "description %u: cannot bind a packet socket to %s", f->id,
				 m->interface ? m->interface : "all interfaces");
	if (m->has_fanout &&
	    setsockopt(f->fd, SOL_PACKET, PACKET_FANOUT, &m->fanout, sizeof(m->fanout)))
		return error_set(err, ERROR_FAILED, errno, "description %u: fanout group %u",
				 f->id, m->fanout & UINT16_MAX);
	return 0;
}

static int finish(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const PacketSocket *m = message(f);

	if (m->protocol > UINT16_MAX)
		return error_set(err, ERROR_IMAGE, 0, "description %u: protocol %u", f->id,
				 m->protocol);
	if (socket_common_finish(f, m->socket, err) ||
	    put_ring(f, PACKET_RX_RING, m->receive_ring, err) ||
	    put_ring(f, PACKET_TX_RING, m->send_ring, err))
		return -1;
	for (size_t i = 0; i < m->n_memberships; i++)
		if (put_membership(f, m->memberships[i], err))
			return -1;
	return put_name(f, m, err);
}

static const struct file_ops packet_socket_file = {
	.recognise = recognise,
	.check = check,
	.dump = dump,
	.create = create,
	.link = finish,
};

const struct kind packet_socket_kind = {
	.name = "packet_socket",
	.record = 0x145,
	.scope = KIND_FILE,
	.message = &packet_socket__descriptor,
	.help = "packet sockets without mapped rings, without packets that wait in them",
	.file = &packet_socket_file,
};
