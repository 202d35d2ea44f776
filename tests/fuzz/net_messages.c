/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever the messages of a network namespace say, checking them reads nothing else, and what
 * passes can be walked. The first byte chooses the kind. */
#include "proc_fuzz.h"

#include "base/array.h"
#include "images/nftables.pb-c.h"
#include "kinds/net/link.h"
#include "kinds/net/nftables.h"
#include "kinds/restore.h"

static void walk_rules(const Nftables *m)
{
	uint32_t protocol;
	size_t i;

	for (i = 0; i < m->n_rules; i++) {
		nft_rule_protocol(m->rules[i], &protocol);
		nft_rule_tidy(m->rules[i]);
	}
}

static void walk_links(const NetLinks *m)
{
	size_t i;

	for (i = 0; i < m->n_links; i++) {
		must(net_link_name_valid(m->links[i]->name));
		must(!m->links[i]->kind || net_link_kind(m->links[i]->kind));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kind *const rows[] = {
		&net_links_kind, &net_sysctls_kind, &nftables_kind, &net_addresses_kind,
		&net_nexthops_kind, &net_routes_kind, &net_rules_kind, &net_neighbours_kind,
	};
	struct restore r = { .only_look = true };
	struct error err = ERROR_INIT;
	const struct kind *kind;
	ProtobufCMessage *m;

	if (!size)
		return 0;
	kind = rows[data[0] % ARRAY_SIZE(rows)];
	m = protobuf_c_message_unpack(kind->message, NULL, size - 1, data + 1);
	if (!m)
		return 0;
	if (accepted(kind->container->prepare(&r, m, &err), &err)) {
		if (kind == &nftables_kind)
			walk_rules((const Nftables *)m);
		if (kind == &net_links_kind)
			walk_links((const NetLinks *)m);
	}
	protobuf_c_message_free_unpacked(m, NULL);
	return 0;
}
