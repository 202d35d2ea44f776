/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/gate.h"

#include <time.h>

#include "base/io.h"
#include "base/log.h"
#include "kinds/net/held_packets.h"
#include "kinds/socket/connections.h"
#include "kinds/socket/tcp.h"

enum { PAUSE_NS = 500000 };

static int wait_for_those_inside(struct dump *d, unsigned int patience_ms, struct error *err)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	const uint64_t begin = now_ns();
	size_t count;

	for (;;) {
		if (held_packets_keep_beginnings(d, err) || tcp_unfinished(&count, err))
			return -1;
		if (!count || now_ns() - begin > patience_ms * 1000000ull)
			break;
		nanosleep(&pause, NULL);
	}
	log_debug("after %.1f ms %zu connections are still being made or ended",
		  (now_ns() - begin) / 1e6, count);
	return 0;
}

int gate_close(struct dump *d, unsigned int patience_ms, struct error *err)
{
	if (!d->hold || d->closes_connections)
		return 0;
	held_packets_from_now(d);
	if (connections_refuse_new(d, err))
		return -1;
	return d->gate.fd < 0 ? 0 : wait_for_those_inside(d, patience_ms, err);
}

int gate_held(struct dump *d, struct error *err)
{
	if (d->gate.fd >= 0)
		return held_packets_keep_beginnings(d, err);
	held_packets_from_now(d);
	return 0;
}

void gate_open(struct dump *d)
{
	network_unlock_leave_open(&d->gate);
	held_packets_give_back(d);
	network_unlock(&d->gate);
}
