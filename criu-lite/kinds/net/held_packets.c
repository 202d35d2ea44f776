/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets that arrived while neither the saved container nor the restored one ran. They stand at
 * the end of the image and arrive when the container runs again, so that its peers need not wait
 * for their retransmission timers.
 */
#include "kinds/net/held_packets.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "kinds/restore.h"
#include "kinds/socket/socket.h"
#include "network/replay.h"

enum {
	/* Whoever sent it has sent it again, or has given up. */
	STALE_AFTER_S = 60,
	FRAME_MAX = 1 << 20,
};

extern const struct kind held_packets_kind;

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* ---- messages ---- */

static HeldPackets__Packet *save_packet(const struct held_packet *packet)
{
	HeldPackets__Packet *m = malloc(sizeof(*m));

	if (!m)
		return NULL;
	held_packets__packet__init(m);
	m->interface = strdup(packet->interface);
	if (!m->interface || socket_bytes(&m->header, &packet->header, sizeof(packet->header)) ||
	    socket_bytes(&m->frame, packet->frame, packet->size)) {
		protobuf_c_message_free_unpacked(&m->base, NULL);
		return NULL;
	}
	return m;
}

int held_packets_save(const struct held_packets *packets, HeldPackets **ret, struct error *err)
{
	HeldPackets *m = malloc(sizeof(*m));
	const struct held_packet *packet;

	if (!m)
		return error_set(err, ERROR_FAILED, ENOMEM, "packets");
	held_packets__init(m);
	m->time_ns = clock_ns();
	m->dropped = packets->dropped;
	m->has_dropped = packets->dropped;
	array_for(packet, &packets->list) {
		HeldPackets__Packet **slot = socket_repeated(&m->packets, &m->n_packets,
							     sizeof(*slot));

		if (slot && (*slot = save_packet(packet)))
			continue;
		m->n_packets -= !!slot;
		held_packets__free_unpacked(m, NULL);
		return error_set(err, ERROR_FAILED, ENOMEM, "packets");
	}
	*ret = m;
	return 0;
}

static int load_packet(const HeldPackets__Packet *m, struct held_packet *ret, struct error *err)
{
	size_t length = strlen(m->interface);

	if (!length || length >= sizeof(ret->interface) || m->header.len != sizeof(ret->header) ||
	    m->frame.len < ETH_HLEN || m->frame.len > FRAME_MAX)
		return error_set(err, ERROR_IMAGE, 0, "a held packet of %zu bytes", m->frame.len);
	ret->frame = malloc(m->frame.len);
	if (!ret->frame)
		return error_set(err, ERROR_FAILED, ENOMEM, "packets");
	memcpy(ret->interface, m->interface, length + 1);
	memcpy(&ret->header, m->header.data, sizeof(ret->header));
	memcpy(ret->frame, m->frame.data, m->frame.len);
	ret->size = m->frame.len;
	return 0;
}

int held_packets_load(const HeldPackets *m, struct held_packets *ret, struct error *err)
{
	*ret = (struct held_packets){ .dropped = m->dropped };
	for (size_t i = 0; i < m->n_packets; i++) {
		struct held_packet *packet = array_add(&ret->list);

		if (!packet || load_packet(m->packets[i], packet, err)) {
			held_packets_release(ret);
			return error_set(err, ERROR_FAILED, ENOMEM, "packets");
		}
		ret->bytes += packet->size;
	}
	return 0;
}

/* ---- dump ---- */

int held_packets_start(struct dump *d, struct error *err)
{
	return d->container.namespaces & CLONE_NEWNET ? hold_start(&d->hold, err) : 0;
}

void held_packets_from_now(struct dump *d)
{
	if (d->hold)
		hold_from_now(d->hold);
}

void held_packets_end(struct dump *d)
{
	hold_end(d->hold);
	d->hold = NULL;
}

static int dump_late(struct dump *d, struct error *err)
{
	_cleanup_held_packets_ struct held_packets packets = { 0 };
	HeldPackets *m;
	int failed;

	if (!d->hold)
		return 0;
	if (hold_take(d->hold, &packets, err))
		return -1;
	log_debug("%zu packets of %zu bytes are held, %ju had no room", packets.list.count,
		  packets.bytes, (uintmax_t)packets.dropped);
	if (!packets.list.count)
		return 0;
	if (held_packets_save(&packets, &m, err))
		return -1;
	failed = dump_container(d, &held_packets_kind, &m->base, err);
	held_packets__free_unpacked(m, NULL);
	return failed;
}

/* ---- restore ---- */

static int finish(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const HeldPackets *m = (const HeldPackets *)message;

	r->held_packets = calloc(1, sizeof(*r->held_packets));
	if (!r->held_packets)
		return error_set(err, ERROR_FAILED, ENOMEM, "packets");
	if (held_packets_load(m, r->held_packets, err))
		return -1;
	if (clock_ns() - m->time_ns > STALE_AFTER_S * 1000000000ull || r->container.host_net < 0)
		return 0;
	return replayer_open(&r->replayer, r->container.host_net, err);
}

static void play(struct restore *r, const ProtobufCMessage *message)
{
	struct replay_report report;

	if (!r->replayer)
		return;
	replayer_play(r->replayer, r->held_packets, &report);
	log_debug("of the packets that were held %zu arrived, %zu were not for it, "
		  "%zu had no way, %zu were refused", report.arrived, report.foreign,
		  report.no_way, report.refused);
}

void held_packets_forget(struct restore *r)
{
	replayer_free(r->replayer);
	if (r->held_packets)
		held_packets_release(r->held_packets);
	free(r->held_packets);
}

static const struct container_ops held_packets_container = {
	.dump_late = dump_late,
	.finish = finish,
	.open = play,
};

const struct kind held_packets_kind = {
	.name = "held_packets",
	.record = 0x228,
	.scope = KIND_CONTAINER,
	.message = &held_packets__descriptor,
	.help = "packets that arrive while the container does not run",
	.container = &held_packets_container,
};
