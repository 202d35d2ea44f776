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

int held_packets_save(const struct held_packets *packets, size_t first, HeldPackets **ret,
		      struct error *err)
{
	HeldPackets *m = malloc(sizeof(*m));

	if (!m)
		return error_set(err, ERROR_FAILED, ENOMEM, "packets");
	held_packets__init(m);
	m->time_ns = clock_ns();
	m->dropped = packets->dropped;
	m->has_dropped = packets->dropped;
	for (size_t i = first; i < packets->list.count; i++) {
		HeldPackets__Packet **slot = socket_repeated(&m->packets, &m->n_packets,
							     sizeof(*slot));

		if (slot && (*slot = save_packet(&packets->list.items[i])))
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
			return packet ? -1 : error_set(err, ERROR_FAILED, ENOMEM, "packets");
		}
		ret->bytes += packet->size;
	}
	return 0;
}

/* ---- dump ---- */

int held_packets_start(struct dump *d, struct error *err)
{
	if (!(d->container.namespaces & CLONE_NEWNET))
		return 0;
	d->taken = calloc(1, sizeof(*d->taken));
	if (!d->taken)
		return error_set(err, ERROR_FAILED, ENOMEM, "packets");
	return hold_start(&d->hold, err);
}

void held_packets_from_now(struct dump *d)
{
	if (d->hold)
		hold_from_now(d->hold);
}

int held_packets_keep_beginnings(struct dump *d, struct error *err)
{
	return d->hold ? hold_take_beginnings(d->hold, d->taken, err) : 0;
}

void held_packets_end(struct dump *d)
{
	hold_end(d->hold);
	d->hold = NULL;
	if (d->taken)
		held_packets_release(d->taken);
	free(steal_ptr(d->taken));
	d->told = 0;
}

int held_packets_take(struct dump *d, HeldPackets **ret, struct error *err)
{
	const struct held_packets none = { 0 };
	size_t before = d->told;

	if (!d->hold)
		return held_packets_save(&none, 0, ret, err);
	if (hold_take(d->hold, d->taken, err))
		return -1;
	log_debug("%zu packets were held, %ju had no room", d->taken->list.count - before,
		  (uintmax_t)d->taken->dropped);
	if (held_packets_save(d->taken, before, ret, err))
		return -1;
	d->told = d->taken->list.count;
	return 0;
}

static void play(struct replayer *r, const struct held_packets *packets, enum replay_which which)
{
	struct replay_report report;

	replayer_play(r, packets, which, &report);
	log_debug("of the packets that were held %zu arrived, %zu were not for it, "
		  "%zu had no way, %zu were refused", report.arrived, report.foreign,
		  report.no_way, report.refused);
}

void held_packets_give_back(struct dump *d)
{
	_cleanup_error_ struct error failed = ERROR_INIT;
	struct replayer *r;

	if (!d->hold)
		return;
	if (hold_take(d->hold, d->taken, &failed))
		log_info("packets are lost: %s", failed.message);
	error_clear(&failed);
	if (!d->taken->list.count || d->container.host_net < 0) {
		held_packets_end(d);
		return;
	}
	if (replayer_open(&r, d->container.host_net, &failed)) {
		log_info("packets are lost: %s", failed.message);
		held_packets_end(d);
		return;
	}
	play(r, d->taken, REPLAY_FOR_SOCKETS);
	play(r, d->taken, REPLAY_FOR_PROGRAM);
	replayer_free(r);
	held_packets_end(d);
}

static int dump_late(struct dump *d, struct error *err)
{
	HeldPackets *m;
	int failed = 0;

	/* What runs on gets them here. */
	if (!d->hold || d->runs_on)
		return 0;
	if (held_packets_take(d, &m, err))
		return -1;
	if (m->n_packets)
		failed = dump_container(d, &held_packets_kind, &m->base, err);
	held_packets__free_unpacked(m, NULL);
	return failed;
}

/* ---- restore ---- */

static int finish(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	_cleanup_held_packets_ struct held_packets packets = { 0 };

	return held_packets_load((const HeldPackets *)message, &packets, err);
}

void held_packets_expect(struct restore *r)
{
	_cleanup_error_ struct error failed = ERROR_INIT;

	if ((r->container.namespaces & CLONE_NEWNET) && r->container.host_net >= 0 &&
	    replayer_open(&r->replayer, r->container.host_net, &failed))
		log_notice("packets that were held are lost: %s", failed.message);
}

int held_packets_arrive(struct restore *r, const HeldPackets *m, struct error *err)
{
	held_packets_forget(r);
	if (!r->replayer || clock_ns() - m->time_ns > STALE_AFTER_S * 1000000000ull)
		return 0;
	r->held = calloc(1, sizeof(*r->held));
	if (!r->held)
		return error_set(err, ERROR_FAILED, ENOMEM, "packets");
	if (held_packets_load(m, r->held, err))
		return -1;
	play(r->replayer, r->held, REPLAY_FOR_SOCKETS);
	return 0;
}

void held_packets_arrive_late(struct restore *r)
{
	if (r->held)
		play(r->replayer, r->held, REPLAY_FOR_PROGRAM);
	held_packets_forget(r);
}

void held_packets_forget(struct restore *r)
{
	if (r->held)
		held_packets_release(r->held);
	free(steal_ptr(r->held));
}

static void arrive(struct restore *r, const ProtobufCMessage *message)
{
	_cleanup_error_ struct error failed = ERROR_INIT;

	if (held_packets_arrive(r, (const HeldPackets *)message, &failed))
		log_notice("packets that were held are lost: %s", failed.message);
}

static const struct container_ops held_packets_container = {
	.of = CLONE_NEWNET,
	.dump_late = dump_late,
	.finish = finish,
	.open = arrive,
};

const struct kind held_packets_kind = {
	.name = "held_packets",
	.record = 0x228,
	.scope = KIND_CONTAINER,
	.message = &held_packets__descriptor,
	.help = "packets that arrive while the container does not run",
	.container = &held_packets_container,
};
