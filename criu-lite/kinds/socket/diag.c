/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/socket/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { ANSWER_MAX = 65536 };

static int netlink_socket(struct error *err)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return error_set(err, ERROR_FAILED, errno,
				 "cannot open a socket diagnostics socket");
	return fd;
}

int diag_open(int socket, struct error *err)
{
	_cleanup_fd_ int here = -1, there = ioctl(socket, SIOCGSKNS);
	struct stat ours, its;
	int fd;

	if (there < 0 || fstat(there, &its) || stat("/proc/thread-self/ns/net", &ours))
		return error_set(err, ERROR_TARGET, errno,
				 "cannot tell the network namespace of a socket");
	if (ours.st_ino == its.st_ino)
		return netlink_socket(err);
	here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (here < 0 || setns(there, CLONE_NEWNET))
		return error_set(err, ERROR_FAILED, errno, "cannot enter a network namespace");
	fd = netlink_socket(err);
	if (setns(here, CLONE_NEWNET)) {
		fd_close(&fd);
		return error_set(err, ERROR_FAILED, errno,
				 "cannot go back to our network namespace");
	}
	return fd;
}

/* Sends one request and receives its one answer. Returns the answer, NULL with errno. */
static const struct nlmsghdr *ask(int diag, struct nlmsghdr *request, char answer[ANSWER_MAX])
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const struct nlmsghdr *h = (const struct nlmsghdr *)answer;
	ssize_t n;

	request->nlmsg_flags |= NLM_F_REQUEST;
	if (sendto(diag, request, request->nlmsg_len, 0, (struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		return NULL;
	do {
		n = recv(diag, answer, ANSWER_MAX, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return NULL;
	if (!NLMSG_OK(h, (size_t)n)) {
		errno = EBADMSG;
		return NULL;
	}
	if (h->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(h);

		errno = h->nlmsg_len < NLMSG_LENGTH(sizeof(*e)) ? EBADMSG : -e->error;
		/* An acknowledgement is an answer too. */
		return errno ? NULL : h;
	}
	return h;
}

static int unix_attribute(struct unix_diag *ret, const struct rtattr *a, struct error *err)
{
	const void *data = RTA_DATA(a);
	const struct unix_diag_rqlen *queues = data;
	size_t size = RTA_PAYLOAD(a);

	if (a->rta_type == UNIX_DIAG_PEER && size >= sizeof(uint32_t)) {
		memcpy(&ret->peer, data, sizeof(ret->peer));
	} else if (a->rta_type == UNIX_DIAG_SHUTDOWN && size >= 1) {
		ret->shutdown = *(const uint8_t *)data;
	} else if (a->rta_type == UNIX_DIAG_RQLEN && size >= sizeof(*queues)) {
		ret->receive_queue = queues->udiag_rqueue;
		ret->send_queue = queues->udiag_wqueue;
	} else if (a->rta_type == UNIX_DIAG_ICONS) {
		for (size_t i = 0; i < size / sizeof(uint32_t); i++) {
			uint32_t *inode = array_add(&ret->pending);

			if (!inode)
				return error_set(err, ERROR_FAILED, ENOMEM, "socket diagnostics");
			memcpy(inode, (const char *)data + i * sizeof(*inode), sizeof(*inode));
		}
	}
	return 0;
}

int diag_unix(int diag, ino_t inode, struct unix_diag *ret, struct error *err)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} request = {
		.h = { .nlmsg_len = sizeof(request), .nlmsg_type = SOCK_DIAG_BY_FAMILY },
		.r = { .sdiag_family = AF_UNIX, .udiag_states = -1, .udiag_ino = inode,
		       .udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN,
		       .udiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } },
	};
	char answer[ANSWER_MAX] __attribute__((aligned(8)));
	const struct nlmsghdr *h = ask(diag, &request.h, answer);
	const struct unix_diag_msg *m;

	*ret = (struct unix_diag){ 0 };
	if (!h && errno == ENOENT)
		return 0;
	if (!h || h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return error_set(err, ERROR_FAILED, h ? EBADMSG : errno,
				 "socket:[%ju]: cannot ask the kernel about it", (uintmax_t)inode);
	m = NLMSG_DATA(h);
	ret->type = m->udiag_type;
	ret->state = m->udiag_state;
	int left = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));

	for (const struct rtattr *a = (const struct rtattr *)(m + 1); RTA_OK(a, left);
	     a = RTA_NEXT(a, left))
		if (unix_attribute(ret, a, err))
			return -1;
	return 1;
}

void diag_unix_release(struct unix_diag *d)
{
	array_release(&d->pending);
}

struct inet_request {
	struct nlmsghdr h;
	struct inet_diag_req_v2 r;
};

static struct inet_request inet_request(uint16_t type, int family, int protocol,
					const struct inet_diag_sockid *id)
{
	struct inet_request request = {
		.h = { .nlmsg_len = sizeof(request), .nlmsg_type = type },
		.r = { .sdiag_family = family, .sdiag_protocol = protocol, .idiag_states = -1,
		       .id = *id },
	};

	request.r.id.idiag_cookie[0] = request.r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return request;
}

int diag_inet(int diag, int family, int protocol, const struct inet_diag_sockid *id,
	      struct inet_diag_msg *ret, struct error *err)
{
	struct inet_request request = inet_request(SOCK_DIAG_BY_FAMILY, family, protocol, id);
	char answer[ANSWER_MAX] __attribute__((aligned(8)));
	const struct nlmsghdr *h = ask(diag, &request.h, answer);

	if (!h && errno == ENOENT)
		return 0;
	if (!h || h->nlmsg_len < NLMSG_LENGTH(sizeof(*ret)))
		return error_set(err, ERROR_FAILED, h ? EBADMSG : errno,
				 "cannot ask the kernel about a connection");
	memcpy(ret, NLMSG_DATA(h), sizeof(*ret));
	return 1;
}

int diag_inet_destroy(int diag, int family, int protocol, const struct inet_diag_sockid *id)
{
	struct inet_request request = inet_request(SOCK_DESTROY, family, protocol, id);
	char answer[ANSWER_MAX] __attribute__((aligned(8)));

	request.h.nlmsg_flags |= NLM_F_ACK;
	return ask(diag, &request.h, answer) ? 0 : -1;
}

/* The sockets in one part of an answer; false: it is the last part. */
static bool gather(const char *answer, ssize_t size, struct inet_diag_list *ret)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)answer;

	for (; NLMSG_OK(h, (size_t)size); h = NLMSG_NEXT(h, size)) {
		struct inet_diag_msg *m;

		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return false;
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
			continue;
		m = array_add(&ret->sockets);
		if (!m)
			return false;
		memcpy(m, NLMSG_DATA(h), sizeof(*m));
	}
	return true;
}

int diag_inet_list(int diag, int family, int protocol, uint32_t states, struct inet_diag_list *ret)
{
	struct inet_diag_sockid all = { 0 };
	struct inet_request request = inet_request(SOCK_DIAG_BY_FAMILY, family, protocol, &all);
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	char answer[ANSWER_MAX] __attribute__((aligned(8)));
	ssize_t n;

	request.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request.r.idiag_states = states;
	if (sendto(diag, &request, sizeof(request), 0, (struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		return -1;
	do {
		n = recv(diag, answer, sizeof(answer), 0);
	} while (n > 0 && gather(answer, n, ret));
	return n > 0 ? 0 : -1;
}

void inet_diag_list_release(struct inet_diag_list *list)
{
	array_release(&list->sockets);
}

void diag_inet_destroy_waiting(int diag, int family, int protocol, uint16_t port)
{
	_cleanup_inet_diag_list_ struct inet_diag_list list = { 0 };
	const struct inet_diag_msg *m;

	diag_inet_list(diag, family, protocol, 1 << TCP_TIME_WAIT | 1 << TCP_FIN_WAIT2, &list);
	array_for(m, &list.sockets)
		if (m->id.idiag_sport == port && !m->idiag_inode)
			diag_inet_destroy(diag, family, protocol, &m->id);
}
