/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel-compat/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { ANSWER_MAX = 8192, ROOM = 32 << 20 };

int nft_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	const int room = ROOM;

	/* A batch goes in one piece. */
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	return fd;
}

void nft_batch_release(struct nft_batch *b)
{
	buffer_release(&b->bytes);
	*b = (struct nft_batch){ 0 };
}

/* ---- messages and attributes ---- */

static void append(struct nft_batch *b, const void *data, size_t size)
{
	static const char zeros[NLMSG_ALIGNTO];

	if ((size && buffer_append(&b->bytes, data, size)) ||
	    buffer_append(&b->bytes, zeros, NLMSG_ALIGN(size) - size))
		b->failed = true;
}

static void message_end(struct nft_batch *b)
{
	uint32_t length = b->bytes.size - b->message;

	if (!b->failed && b->bytes.size)
		memcpy(b->bytes.data + b->message + offsetof(struct nlmsghdr, nlmsg_len), &length,
		       sizeof(length));
}

static void message(struct nft_batch *b, uint16_t type, uint16_t flags, uint8_t family,
		    uint16_t resource)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} m = {
		.h = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags,
		       .nlmsg_seq = b->sequence++ },
		.g = { .nfgen_family = family, .version = NFNETLINK_V0,
		       .res_id = htons(resource) },
	};

	message_end(b);
	b->message = b->bytes.size;
	append(b, &m, sizeof(m));
}

void nft_message(struct nft_batch *b, int type, int flags, int family)
{
	if (!b->bytes.size)
		message(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	message(b, NFNL_SUBSYS_NFTABLES << 8 | type, flags | NLM_F_ACK, family, 0);
}

void nft_put(struct nft_batch *b, int attribute, const void *data, size_t size)
{
	struct nlattr a = { .nla_len = NLA_HDRLEN + size, .nla_type = attribute };

	if (size > UINT16_MAX - NLA_HDRLEN)
		b->failed = true;
	append(b, &a, sizeof(a));
	append(b, data, size);
}

void nft_put_u32(struct nft_batch *b, int attribute, uint32_t value)
{
	value = htonl(value);
	nft_put(b, attribute, &value, sizeof(value));
}

void nft_put_text(struct nft_batch *b, int attribute, const char *text)
{
	nft_put(b, attribute, text, strlen(text) + 1);
}

size_t nft_nest(struct nft_batch *b, int attribute)
{
	size_t at = b->bytes.size;

	nft_put(b, attribute | NLA_F_NESTED, NULL, 0);
	return at;
}

void nft_nest_end(struct nft_batch *b, size_t nest)
{
	size_t size = b->bytes.size - nest;
	uint16_t length = size;

	if (size > UINT16_MAX)
		b->failed = true;
	if (!b->failed)
		memcpy(b->bytes.data + nest + offsetof(struct nlattr, nla_len), &length,
		       sizeof(length));
}

/* ---- rules ---- */

void nft_rule(struct nft_batch *b, int family, const char *table, const char *chain,
	      struct nft_rule *ret)
{
	nft_message(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, family);
	nft_put_text(b, NFTA_RULE_TABLE, table);
	nft_put_text(b, NFTA_RULE_CHAIN, chain);
	ret->list = nft_nest(b, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(struct nft_batch *b, const struct nft_rule *rule)
{
	nft_nest_end(b, rule->list);
}

struct expression {
	size_t element, data;
};

static struct expression expression(struct nft_batch *b, const char *name)
{
	struct expression e = { .element = nft_nest(b, NFTA_LIST_ELEM) };

	nft_put_text(b, NFTA_EXPR_NAME, name);
	e.data = nft_nest(b, NFTA_EXPR_DATA);
	return e;
}

static void expression_end(struct nft_batch *b, struct expression e)
{
	nft_nest_end(b, e.data);
	nft_nest_end(b, e.element);
}

static void put_value(struct nft_batch *b, int attribute, const void *data, size_t size)
{
	size_t nest = nft_nest(b, attribute);

	nft_put(b, NFTA_DATA_VALUE, data, size);
	nft_nest_end(b, nest);
}

void nft_meta(struct nft_batch *b, int key, int reg)
{
	struct expression e = expression(b, "meta");

	nft_put_u32(b, NFTA_META_KEY, key);
	nft_put_u32(b, NFTA_META_DREG, reg);
	expression_end(b, e);
}

void nft_payload(struct nft_batch *b, int base, int offset, int size, int reg)
{
	struct expression e = expression(b, "payload");

	nft_put_u32(b, NFTA_PAYLOAD_DREG, reg);
	nft_put_u32(b, NFTA_PAYLOAD_BASE, base);
	nft_put_u32(b, NFTA_PAYLOAD_OFFSET, offset);
	nft_put_u32(b, NFTA_PAYLOAD_LEN, size);
	expression_end(b, e);
}

void nft_mask_byte(struct nft_batch *b, int reg, uint8_t mask)
{
	struct expression e = expression(b, "bitwise");
	const uint8_t nothing = 0;

	nft_put_u32(b, NFTA_BITWISE_SREG, reg);
	nft_put_u32(b, NFTA_BITWISE_DREG, reg);
	nft_put_u32(b, NFTA_BITWISE_LEN, 1);
	put_value(b, NFTA_BITWISE_MASK, &mask, 1);
	put_value(b, NFTA_BITWISE_XOR, &nothing, 1);
	expression_end(b, e);
}

void nft_compare(struct nft_batch *b, int reg, int how, const void *data, size_t size)
{
	struct expression e = expression(b, "cmp");

	nft_put_u32(b, NFTA_CMP_SREG, reg);
	nft_put_u32(b, NFTA_CMP_OP, how);
	put_value(b, NFTA_CMP_DATA, data, size);
	expression_end(b, e);
}

void nft_lookup(struct nft_batch *b, int reg, const char *set, uint32_t set_id)
{
	struct expression e = expression(b, "lookup");

	nft_put_text(b, NFTA_LOOKUP_SET, set);
	nft_put_u32(b, NFTA_LOOKUP_SREG, reg);
	nft_put_u32(b, NFTA_LOOKUP_SET_ID, set_id);
	expression_end(b, e);
}

void nft_verdict(struct nft_batch *b, int verdict)
{
	struct expression e = expression(b, "immediate");
	size_t data, code;

	nft_put_u32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = nft_nest(b, NFTA_IMMEDIATE_DATA);
	code = nft_nest(b, NFTA_DATA_VERDICT);
	nft_put_u32(b, NFTA_VERDICT_CODE, verdict);
	nft_nest_end(b, code);
	nft_nest_end(b, data);
	expression_end(b, e);
}

/* ---- sending ---- */

/* The first error in a part of the kernel's answer, or 0; *sequence is of its message. */
static int error_in(const char *answer, ssize_t size, uint32_t *sequence)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)answer;

	for (; NLMSG_OK(h, (size_t)size); h = NLMSG_NEXT(h, size)) {
		const struct nlmsgerr *e = NLMSG_DATA(h);

		if (h->nlmsg_type == NLMSG_ERROR && h->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) &&
		    e->error) {
			*sequence = h->nlmsg_seq;
			return -e->error;
		}
	}
	return 0;
}

/* All was answered before send(2) has returned. */
static int take_answers(int fd, uint32_t *sequence)
{
	char answer[ANSWER_MAX] __attribute__((aligned(8)));
	int error = 0;
	ssize_t n;

	while ((n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT)) >= 0)
		if (!error)
			error = error_in(answer, n, sequence);
	return error || errno == EAGAIN ? error : errno;
}

static int send_batch(struct nft_batch *b, int fd)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	uint32_t sequence = 0;
	int error;

	b->refused = 0;
	if (b->failed) {
		errno = EMSGSIZE;
		return -1;
	}
	if (sendto(fd, b->bytes.data, b->bytes.size, 0, (struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		return -1;
	error = take_answers(fd, &sequence);
	/* The batch begins with a message of its own. */
	b->refused = sequence - ((const struct nlmsghdr *)b->bytes.data)->nlmsg_seq;
	errno = error;
	return error ? -1 : 0;
}

static void empty(struct nft_batch *b)
{
	b->bytes.size = 0;
	b->message = 0;
	b->failed = false;
}

int nft_commit(struct nft_batch *b, int fd)
{
	int r;

	message(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	message_end(b);
	r = send_batch(b, fd);
	empty(b);
	return r;
}

/* Without its end a batch is only checked. */
int nft_try(struct nft_batch *b, int fd)
{
	int r;

	message_end(b);
	r = send_batch(b, fd);
	empty(b);
	return r;
}

/* Whether the kernel says that there is no such table. */
static bool is_missing(int fd, int family, const char *table)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
		struct nlattr a;
		char name[NFT_NAME_MAXLEN];
	} request = {
		.h = { .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE,
		       .nlmsg_flags = NLM_F_REQUEST },
		.g = { .nfgen_family = family },
		.a = { .nla_type = NFTA_TABLE_NAME },
	};
	size_t size = strlen(table) + 1;
	uint32_t ignored;

	if (size > sizeof(request.name))
		return false;
	memcpy(request.name, table, size);
	request.a.nla_len = sizeof(request.a) + size;
	request.h.nlmsg_len = offsetof(__typeof__(request), name) + NLMSG_ALIGN(size);
	return send(fd, &request, request.h.nlmsg_len, 0) >= 0 &&
	       take_answers(fd, &ignored) == ENOENT;
}

int nft_remove_table(int fd, int family, const char *table)
{
	_cleanup_nft_batch_ struct nft_batch b = { 0 };
	_cleanup_fd_ int own = fd < 0 ? nft_open() : -1;

	if (fd < 0)
		fd = own;
	if (fd < 0)
		return -1;
	/* A batch that is refused waits for all processors. */
	if (is_missing(fd, family, table)) {
		errno = ENOENT;
		return -1;
	}
	nft_message(&b, NFT_MSG_DELTABLE, 0, family);
	nft_put_text(&b, NFTA_TABLE_NAME, table);
	return nft_commit(&b, fd);
}
