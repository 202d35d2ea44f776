/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_NET_NFTABLES_H
#define CL_KINDS_NET_NFTABLES_H

#include "kinds/net/entry.h"

/* Makes what the kernel tells of a rule into what it takes. */
void nft_rule_tidy(NetEntry *rule);
/* Whether a rule has parts of xtables, and the IPPROTO_… that it is for. */
bool nft_rule_protocol(const NetEntry *rule, uint32_t *ret);

#endif
