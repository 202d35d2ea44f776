/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/socket/packet_diag.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>

enum { ANSWER_MAX = 65536 };

static int take_memberships(struct packet_diag *ret, const char *data, size_t size,
			    struct error *err)
{
	for (size_t at = 0; at + sizeof(struct packet_diag_mclist) <= size;
	     at += sizeof(struct packet_diag_mclist)) {
		struct packet_diag_mclist *m = array_add(&ret->memberships);

		if (!m)
			return error_set(err, ERROR_FAILED, ENOMEM, "socket diagnostics");
		memcpy(m, data + at, sizeof(*m));
	}
	return 0;
}

static int take_attribute(struct packet_diag *ret, const struct rtattr *a, struct error *err)
{
	const char *data = RTA_DATA(a);
	size_t size = RTA_PAYLOAD(a);

	if (a->rta_type == PACKET_DIAG_MCLIST)
		return take_memberships(ret, data, size, err);
	if (a->rta_type == PACKET_DIAG_RX_RING && size >= sizeof(ret->receive_ring)) {
		memcpy(&ret->receive_ring, data, sizeof(ret->receive_ring));
		ret->has_receive_ring = true;
	} else if (a->rta_type == PACKET_DIAG_TX_RING && size >= sizeof(ret->send_ring)) {
		memcpy(&ret->send_ring, data, sizeof(ret->send_ring));
		ret->has_send_ring = true;
	}
	return 0;
}

int packet_diag_part(const void *answer, size_t size, ino_t inode, struct packet_diag *ret,
		     bool *found, struct error *err)
{
	const struct nlmsghdr *h = answer;

	for (; NLMSG_OK(h, size); h = NLMSG_NEXT(h, size)) {
		const struct packet_diag_msg *m = NLMSG_DATA(h);
		int left = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));

		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return 0;
		if (left < 0 || m->pdiag_ino != inode)
			continue;
		*found = true;
		for (const struct rtattr *a = (const struct rtattr *)(m + 1); RTA_OK(a, left);
		     a = RTA_NEXT(a, left))
			if (take_attribute(ret, a, err))
				return -1;
	}
	return 1;
}

int packet_diag(int diag, ino_t inode, struct packet_diag *ret, struct error *err)
{
	struct {
		struct nlmsghdr h;
		struct packet_diag_req r;
	} request = {
		.h = { .nlmsg_len = sizeof(request), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = AF_PACKET,
		       .pdiag_show = PACKET_SHOW_MCLIST | PACKET_SHOW_RING_CFG },
	};
	char answer[ANSWER_MAX] __attribute__((aligned(8)));
	bool found = false;
	int more = 1;

	*ret = (struct packet_diag){ 0 };
	if (send(diag, &request, sizeof(request), 0) < 0)
		return error_set(err, ERROR_FAILED, errno, "cannot ask for packet sockets");
	while (more > 0) {
		ssize_t n = recv(diag, answer, sizeof(answer), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, ERROR_FAILED, errno, "cannot ask for packet sockets");
		more = packet_diag_part(answer, n, inode, ret, &found, err);
	}
	return more < 0 ? -1 : found;
}

void packet_diag_release(struct packet_diag *d)
{
	array_release(&d->memberships);
}
