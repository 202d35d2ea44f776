/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/net/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "network/netns.h"

enum { MESSAGE_MAX = 64 * 1024, RECEIVE_BUFFER = 1 << 20, DUMPS_MAX = 16 };

int netlink_open(struct netlink *nl, int protocol, struct error *err)
{
	int on = 1, room = RECEIVE_BUFFER, fd;

	*nl = (struct netlink){ .socket = nl_socket_alloc() };
	if (!nl->socket)
		return error_set(err, ERROR_FAILED, ENOMEM, "netlink");
	nl_socket_disable_auto_ack(nl->socket);
	if (nl_connect(nl->socket, protocol) < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot open a netlink socket");
	fd = nl_socket_get_fd(nl->socket);
	/* Reasons in words; without them (Linux before 4.12) there is only an errno. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	return 0;
}

int netlink_open_in(struct netlink *nl, int protocol, int net_fd, struct error *err)
{
	int back, result;

	*nl = (struct netlink){ 0 };
	if (netns_enter(net_fd, &back, err))
		return -1;
	result = netlink_open(nl, protocol, err);
	return netns_leave(&back, err) || result ? -1 : 0;
}

void netlink_release(struct netlink *nl)
{
	nlmsg_free(nl->message);
	nl_socket_free(nl->socket);
	*nl = (struct netlink){ 0 };
}

/* ---- making a message ---- */

void netlink_begin(struct netlink *nl, int type, int flags, const void *header, size_t size)
{
	struct nlmsghdr *h = NULL;

	nlmsg_free(nl->message);
	nl->nested = 0;
	nl->message = nlmsg_alloc_size(MESSAGE_MAX);
	if (nl->message)
		h = nlmsg_put(nl->message, 0, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST | flags);
	nl->full = !h || nlmsg_append(nl->message, (void *)header, size, NLMSG_ALIGNTO);
}

void netlink_put(struct netlink *nl, int type, const void *value, size_t size)
{
	nl->full = nl->full || nla_put(nl->message, type, size, value);
}

void netlink_put_u32(struct netlink *nl, int type, uint32_t value)
{
	netlink_put(nl, type, &value, sizeof(value));
}

void netlink_put_u8(struct netlink *nl, int type, uint8_t value)
{
	netlink_put(nl, type, &value, sizeof(value));
}

void netlink_put_string(struct netlink *nl, int type, const char *value)
{
	netlink_put(nl, type, value, strlen(value) + 1);
}

void netlink_nest(struct netlink *nl, int type)
{
	netlink_nest_header(nl, type, NULL, 0);
}

void netlink_nest_header(struct netlink *nl, int type, const void *header, size_t size)
{
	struct nlattr *nest = NULL;

	if (!nl->full && nl->nested < (int)ARRAY_SIZE(nl->nest))
		nest = nla_nest_start(nl->message, type);
	if (!nest) {
		nl->full = true;
		return;
	}
	nl->nest[nl->nested++] = nest;
	nl->full = size && nlmsg_append(nl->message, (void *)header, size, NLMSG_ALIGNTO);
}

void netlink_nest_end(struct netlink *nl)
{
	if (nl->full)
		return;
	/* An empty nest stays: to some it says what it is for by its presence. */
	nl->full = nla_nest_end_keep_empty(nl->message, nl->nest[--nl->nested]);
}

/* ---- answers ---- */

/* The reason that an error message carries, NULL without one. */
static const char *reason(const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = nlmsg_data(h);
	size_t size = sizeof(*e);

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		size += NLMSG_ALIGN(e->msg.nlmsg_len) - sizeof(e->msg);
	return netlink_string(netlink_find(h, size, NLMSGERR_ATTR_MSG, 1));
}

enum answer { ANSWER_MORE, ANSWER_END, ANSWER_AGAIN };

static int refused(const struct nlmsghdr *h, int code, struct error *err)
{
	const char *why = reason(h);

	return error_set(err, ERROR_FAILED, -code, "%s", why ? why : "the kernel refuses");
}

/* One message of the answer to `sequence`: an enum answer, or -1. */
static int take(const struct nlmsghdr *h, uint32_t sequence, struct buffer *ret, struct error *err)
{
	int code = 0;

	if (h->nlmsg_seq != sequence)
		return ANSWER_MORE;
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		return ANSWER_AGAIN;
	switch (h->nlmsg_type) {
	case NLMSG_ERROR:
	case NLMSG_DONE:
		if (nlmsg_datalen(h) >= (int)sizeof(code))
			memcpy(&code, nlmsg_data(h), sizeof(code));
		if (h->nlmsg_type == NLMSG_ERROR &&
		    nlmsg_datalen(h) < (int)sizeof(struct nlmsgerr))
			code = -EBADMSG;
		if (code < 0)
			return h->nlmsg_type == NLMSG_ERROR && code != -EBADMSG ?
				       refused(h, code, err) :
				       error_set(err, ERROR_FAILED, -code, "netlink");
		return ANSWER_END;
	case NLMSG_NOOP:
		return ANSWER_MORE;
	}
	if (!ret)
		return ANSWER_MORE;
	if (buffer_append(ret, h, h->nlmsg_len) ||
	    buffer_append(ret, "\0\0\0", NLMSG_ALIGN(h->nlmsg_len) - h->nlmsg_len))
		return error_set(err, ERROR_FAILED, ENOMEM, "netlink");
	return ANSWER_MORE;
}

static int receive(struct netlink *nl, uint32_t sequence, struct buffer *ret, struct error *err)
{
	bool again = false;

	for (;;) {
		_cleanup_free_ unsigned char *data = NULL;
		struct sockaddr_nl from;
		int left = nl_recv(nl->socket, &from, &data, NULL);
		struct nlmsghdr *h = (struct nlmsghdr *)data;

		if (left <= 0)
			return error_set(err, ERROR_FAILED, left ? errno : EBADMSG,
					 "cannot read the kernel's netlink answer");
		for (; nlmsg_ok(h, left); h = nlmsg_next(h, &left)) {
			int what = take(h, sequence, again ? NULL : ret, err);

			if (what < 0)
				return -1;
			again |= what == ANSWER_AGAIN;
			/* The last message of a torn answer says so, too. */
			if (what == ANSWER_END ||
			    (what == ANSWER_AGAIN && h->nlmsg_type == NLMSG_DONE))
				return again ? ANSWER_AGAIN : ANSWER_END;
		}
	}
}

int netlink_ask(struct netlink *nl, struct buffer *ret, struct error *err)
{
	struct nlmsghdr *h = nl->message ? nlmsg_hdr(nl->message) : NULL;
	int i, what;

	if (nl->full || !h || nl->nested)
		return error_set(err, ERROR_FAILED, nl->message ? EMSGSIZE : ENOMEM, "netlink");
	if ((h->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		h->nlmsg_flags |= NLM_F_ACK;
	for (i = 0; i < DUMPS_MAX; i++) {
		if (ret)
			ret->size = 0;
		h->nlmsg_seq = NL_AUTO_SEQ;
		nl_complete_msg(nl->socket, nl->message);
		if (nl_send(nl->socket, nl->message) < 0)
			return error_set(err, ERROR_FAILED, errno, "cannot ask the kernel by netlink");
		what = receive(nl, h->nlmsg_seq, ret, err);
		if (what != ANSWER_AGAIN)
			return what < 0 ? -1 : 0;
	}
	return error_set(err, ERROR_FAILED, EBUSY, "netlink: what we read changes all the time");
}

const struct nlmsghdr *netlink_next(const struct buffer *answers, const struct nlmsghdr *h)
{
	size_t at = 0;

	if (h)
		at = (const char *)h - answers->data + NLMSG_ALIGN(h->nlmsg_len);
	h = (const struct nlmsghdr *)(answers->data + at);
	if (at + sizeof(*h) > answers->size || h->nlmsg_len < sizeof(*h) ||
	    h->nlmsg_len > answers->size - at)
		return NULL;
	return h;
}

const struct nlattr *netlink_find(const struct nlmsghdr *h, size_t size, int type, size_t least)
{
	const struct nlattr *a;

	if (h->nlmsg_len < NLMSG_HDRLEN + NLMSG_ALIGN(size))
		return NULL;
	a = nlmsg_find_attr((struct nlmsghdr *)h, size, type);
	return a && nla_len(a) >= (int)least ? a : NULL;
}

const struct nlattr *netlink_find_in(const struct nlattr *nest, int type, size_t least)
{
	const struct nlattr *a = nest ? nla_find(nla_data(nest), nla_len(nest), type) : NULL;

	return a && nla_len(a) >= (int)least ? a : NULL;
}

uint32_t netlink_u32(const struct nlattr *a, uint32_t other)
{
	uint32_t value;

	if (!a || nla_len(a) < (int)sizeof(value))
		return other;
	memcpy(&value, nla_data(a), sizeof(value));
	return value;
}

const char *netlink_string(const struct nlattr *a)
{
	if (!a || !memchr(nla_data(a), 0, nla_len(a)))
		return NULL;
	return nla_data(a);
}
