/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors from us to a puppet (SCM_RIGHTS over the inherited socket) and back (pidfd_getfd). */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/calls.h"
#include "kinds/restore.h"

/* SCM_MAX_FD of the kernel. */
enum { FDS_PER_MESSAGE = 253 };

int restore_run(struct restore_task *t, struct batch *b, struct error *err)
{
	return agent_run(&t->agent, &t->threads.items[0]->tracee, b, err);
}

int puppet_fetch_fd(struct restore_task *t, int number, struct error *err)
{
	int fd = sys_pidfd_getfd(t->pidfd, number);

	if (fd < 0)
		error_set(err, ERROR_FAILED, errno, "process %d: cannot take over its descriptor %d",
			  t->pid, number);
	return fd;
}

int puppet_take_fd(struct restore_task *t, int number, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	int fd = puppet_fetch_fd(t, number, err);

	batch_start(&b, &t->agent);
	batch_call(&b, SYS_close, number);
	if (fd >= 0 && restore_run(t, &b, err))
		fd_close(&fd);
	return fd;
}

int puppet_send_fds(struct restore_task *t, const int *fds, int count, struct batch *b,
		    struct hand_over *ret, struct error *err)
{
	char control[CMSG_SPACE(FDS_PER_MESSAGE * sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&m);

	if (count < 1 || count > FDS_PER_MESSAGE)
		return error_set(err, ERROR_FAILED, EINVAL, "%d descriptors in one message", count);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(head), fds, count * sizeof(int));
	if (sendmsg(t->restore->service[0], &m, MSG_DONTWAIT) != 1)
		return error_set(err, ERROR_FAILED, errno, "process %d: cannot hand descriptors over",
				 t->pid);
	/* The same message as the puppet is to receive it, at its addresses. */
	iov.iov_base = (void *)batch_space(b, 1);
	m.msg_iov = (struct iovec *)batch_put(b, &iov, sizeof(iov));
	ret->control = batch_space(b, m.msg_controllen);
	m.msg_control = (void *)ret->control;
	ret->count = count;
	ret->record = batch_must(b, SYS_recvmsg, t->service_fd, batch_put(b, &m, sizeof(m)),
				 MSG_DONTWAIT);
	return 0;
}

int puppet_received(const struct batch *b, const struct hand_over *h, int index)
{
	const struct cmsghdr *head = batch_at(b, h->control);
	int number;

	if (index < 0 || index >= h->count || head->cmsg_level != SOL_SOCKET ||
	    head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(h->count * sizeof(int)))
		return -1;
	memcpy(&number, CMSG_DATA(head) + index * sizeof(int), sizeof(number));
	return number;
}
