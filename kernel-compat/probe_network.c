/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/nft.h"
#include "kernel-compat/probes.h"

/* A table that goes with its owner, a chain before connection tracking, and a set of ports that a
 * rule looks into: what network/lock.c is made of. It is only checked. */
int probe_packet_lock(void)
{
	static const char chain[] = "in", set[] = "ports";
	_cleanup_nft_batch_ struct nft_batch b = { 0 };
	_cleanup_fd_ int fd = nft_open();
	struct nft_rule rule;
	char table[32];
	size_t hook;

	if (fd < 0)
		return errno;
	snprintf(table, sizeof(table), "criu-lite-probe-%d", getpid());
	nft_message(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, NFPROTO_INET);
	nft_put_text(&b, NFTA_TABLE_NAME, table);
	nft_put_u32(&b, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
	nft_message(&b, NFT_MSG_NEWSET, NLM_F_CREATE, NFPROTO_INET);
	nft_put_text(&b, NFTA_SET_TABLE, table);
	nft_put_text(&b, NFTA_SET_NAME, set);
	nft_put_u32(&b, NFTA_SET_KEY_LEN, 2);
	nft_put_u32(&b, NFTA_SET_ID, 1);
	nft_message(&b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, NFPROTO_INET);
	nft_put_text(&b, NFTA_CHAIN_TABLE, table);
	nft_put_text(&b, NFTA_CHAIN_NAME, chain);
	hook = nft_nest(&b, NFTA_CHAIN_HOOK);
	nft_put_u32(&b, NFTA_HOOK_HOOKNUM, NF_INET_PRE_ROUTING);
	nft_put_u32(&b, NFTA_HOOK_PRIORITY, -450);
	nft_nest_end(&b, hook);
	nft_put_text(&b, NFTA_CHAIN_TYPE, "filter");
	nft_rule(&b, NFPROTO_INET, table, chain, &rule);
	nft_payload(&b, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, NFT_REG32_00);
	nft_lookup(&b, NFT_REG32_00, set, 1);
	nft_verdict(&b, NF_DROP);
	nft_rule_end(&b, &rule);
	return nft_try(&b, fd) ? errno : 0;
}
