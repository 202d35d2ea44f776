/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KERNEL_NFT_H
#define CL_KERNEL_NFT_H

#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"

/*
 * Messages to nf_tables in the kernel, without its library: a batch of them takes effect at once
 * or not at all. linux/netfilter/nf_tables.h has the messages and attributes, nft(8) explains what
 * they mean. Numbers in attributes are big-endian.
 */

#ifndef NFT_TABLE_F_OWNER
#define NFT_TABLE_F_OWNER 2	/* Linux 5.12 */
#endif

struct nft_batch {
	struct buffer bytes;
	uint32_t sequence;
	size_t message;		/* where the one being made begins */
	bool failed;		/* no memory, or too large an attribute: cannot be sent */
	uint32_t refused;	/* after a refusal: by which message, 1 is the first; 0: unknown */
};

/* A nfnetlink socket of the network namespace we are in; -1 with errno. */
int nft_open(void);

/* Zero-initialise; a batch begins with its first message. */
void nft_batch_release(struct nft_batch *b);
#define _cleanup_nft_batch_ __attribute__((cleanup(nft_batch_release)))

/* A message (NFT_MSG_NEWTABLE …) with NLM_F_… flags and a family (NFPROTO_INET …); attributes that
 * are put from now on are of it. */
void nft_message(struct nft_batch *b, int type, int flags, int family);
void nft_put(struct nft_batch *b, int attribute, const void *data, size_t size);
void nft_put_u32(struct nft_batch *b, int attribute, uint32_t value);
void nft_put_text(struct nft_batch *b, int attribute, const char *text);
/* An attribute made of attributes, from here to nft_nest_end() with what this returns. */
size_t nft_nest(struct nft_batch *b, int attribute);
void nft_nest_end(struct nft_batch *b, size_t nest);

/* ---- expressions of a rule, between nft_rule() and nft_rule_end() ---- */

struct nft_rule {
	size_t list;
};
void nft_rule(struct nft_batch *b, int family, const char *table, const char *chain,
	      struct nft_rule *ret);
void nft_rule_end(struct nft_batch *b, const struct nft_rule *rule);
/* Loads NFT_META_… into a register. */
void nft_meta(struct nft_batch *b, int key, int reg);
/* Loads bytes of the packet, base NFT_PAYLOAD_… */
void nft_payload(struct nft_batch *b, int base, int offset, int size, int reg);
/* Keeps the bits of a one-byte register that are in mask. */
void nft_mask_byte(struct nft_batch *b, int reg, uint8_t mask);
/* The rule ends here unless the register compares like that (NFT_CMP_…) with the data. */
void nft_compare(struct nft_batch *b, int reg, int how, const void *data, size_t size);
/* … unless what begins in the register is in the set of this table. */
void nft_lookup(struct nft_batch *b, int reg, const char *set, uint32_t set_id);
/* NF_DROP or NF_ACCEPT. */
void nft_verdict(struct nft_batch *b, int verdict);

/* Makes the batch take effect. 0, or -1 with errno: the first refusal of the kernel. The batch may
 * be used for another one. */
int nft_commit(struct nft_batch *b, int fd);
/* The same, but nothing takes effect: whether it could. */
int nft_try(struct nft_batch *b, int fd);

/* Removes a table of this name with all that is in it, in the namespace of `fd` (nft_open()), or
 * the one that we are in if that is -1. 0, or -1 with errno: ENOENT when there is none. */
int nft_remove_table(int fd, int family, const char *table);

#endif
