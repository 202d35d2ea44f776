/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Neighbours whose hardware address is known, so that nobody has to be asked for it again, and
 * addresses that the container answers for (proxies). */
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/array.h"
#include "kinds/net/entry.h"
#include "kinds/net/net.h"
#include "kinds/restore.h"

static const struct net_attribute_form attributes[] = {
	{ NDA_DST, 4, 16, false, false },
	{ NDA_LLADDR, 1, 32, false, false },
	NET_FIXED(NDA_PROTOCOL, 1),
	NET_FIXED(NDA_FLAGS_EXT, 4),
};

static bool tidy(NetEntry *e)
{
	struct ndmsg *header = (struct ndmsg *)e->header.data;

	header->ndm_pad1 = header->ndm_pad2 = header->ndm_type = 0;
	if (header->ndm_flags & NTF_PROXY) {
		header->ndm_state = 0;
		return true;
	}
	/* One that is being asked again was good until now. */
	if (header->ndm_state & (NUD_DELAY | NUD_PROBE))
		header->ndm_state = NUD_STALE;
	return header->ndm_state & (NUD_PERMANENT | NUD_REACHABLE | NUD_STALE) &&
	       net_attribute(e->attributes, e->n_attributes, NDA_LLADDR);
}

static int read_neighbours(struct netlink *nl, const struct net_form *form, NetEntries *ret,
			   struct error *err)
{
	static const unsigned char families[] = { AF_INET, AF_INET6 };
	static const unsigned char flags[] = { 0, NTF_PROXY };
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(families); i++)
		for (k = 0; k < ARRAY_SIZE(flags); k++) {
			struct ndmsg header = { .ndm_family = families[i], .ndm_flags = flags[k] };

			if (net_entries_ask(nl, form, &header, ret, err))
				return -1;
		}
	return 0;
}

static const struct net_form form = {
	.what = "neighbour",
	.ask = RTM_GETNEIGH,
	.make = RTM_NEWNEIGH,
	.remove = RTM_DELNEIGH,
	.header_size = sizeof(struct ndmsg),
	.attributes = attributes,
	.attributes_count = ARRAY_SIZE(attributes),
	.read = read_neighbours,
	.tidy = tidy,
	.make_flags = NLM_F_CREATE | NLM_F_REPLACE,
};

static int neighbours_dump(struct dump *d, struct error *err)
{
	return net_entries_dump(d, &net_neighbours_kind, &form, err);
}

static int neighbours_prepare(struct restore *r, const ProtobufCMessage *message,
			      struct error *err)
{
	return net_entries_check(&form, message, err);
}

/* Last of all: a link that is found to have no carrier yet would forget them. */
static int neighbours_finish(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	return net_entries_build(&form, message, err);
}

static const struct container_ops neighbours_container = {
	.of = CLONE_NEWNET,
	.dump = neighbours_dump,
	.prepare = neighbours_prepare,
	.finish = neighbours_finish,
};

const struct kind net_neighbours_kind = {
	.name = "net-neighbours",
	.record = 0x226,
	.scope = KIND_CONTAINER,
	.message = &net_entries__descriptor,
	.help = "neighbours (ARP, ND) of a container, permanent and learned",
	.container = &neighbours_container,
};
