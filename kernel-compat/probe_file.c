/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <mntent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "kernel-compat/probes.h"

/* Whether fdinfo of an EFD_SEMAPHORE eventfd has a line with this text. */
static int fdinfo_has(const char *line)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	_cleanup_fd_ int fd = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
	char path[64];

	if (fd < 0)
		return errno;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (read_file_at(AT_FDCWD, path, &text))
		return errno;
	return strstr(text.data, line) ? 0 : ENOSYS;
}

int probe_fdinfo_ino(void)
{
	return fdinfo_has("\nino:");
}

int probe_fdinfo_eventfd_semaphore(void)
{
	return fdinfo_has("\neventfd-semaphore: 1");
}

/* Sends a sock_diag(7) request and looks whether the answer is an error. */
static int sock_diag(uint16_t type, uint16_t flags, const void *request, size_t size)
{
	_cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct {
		struct nlmsghdr head;
		char body[128];
	} message = {
		.head = {
			.nlmsg_len = NLMSG_LENGTH(size),
			.nlmsg_type = type,
			.nlmsg_flags = NLM_F_REQUEST | flags,
		},
	};
	char answer[16384] __attribute__((aligned(NLMSG_ALIGNTO)));
	const struct nlmsghdr *head = (const void *)answer;
	ssize_t got;

	if (fd < 0)
		return errno;
	memcpy(NLMSG_DATA(&message.head), request, size);
	if (send(fd, &message, message.head.nlmsg_len, 0) < 0)
		return errno;
	got = recv(fd, answer, sizeof(answer), 0);
	if (got < (ssize_t)sizeof(*head))
		return got < 0 ? errno : EIO;
	if (head->nlmsg_type != NLMSG_ERROR)
		return 0;
	return got >= (ssize_t)NLMSG_LENGTH(sizeof(int)) ? -*(const int *)NLMSG_DATA(head) : EIO;
}

int probe_unix_diag(void)
{
	struct unix_diag_req request = {
		.sdiag_family = AF_UNIX,
		.udiag_states = 1 << 10,	/* TCP_LISTEN, which is used for Unix sockets too */
	};

	return sock_diag(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof(request));
}

int probe_inet_diag(void)
{
	struct inet_diag_req_v2 request = {
		.sdiag_family = AF_INET,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = 1 << TCP_LISTEN,
	};

	return sock_diag(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof(request));
}

int probe_tcp_repair(void)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)))
		return errno;
	return 0;
}

int probe_sock_destroy(void)
{
	struct inet_diag_req_v2 request = {
		.sdiag_family = AF_INET,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = 1 << TCP_TIME_WAIT,
		.id.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE },
	};
	int r = sock_diag(SOCK_DESTROY, NLM_F_ACK, &request, sizeof(request));

	/* There is no socket between port 0 and port 0. */
	return r == ENOENT ? 0 : r;
}

int probe_private_mount(void)
{
	_cleanup_fd_ int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
	_cleanup_fd_ int mount = -1;

	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return errno;
	mount = fsmount(context, FSMOUNT_CLOEXEC, 0);
	return mount < 0 ? errno : 0;
}

int probe_pty_peer(void)
{
	_cleanup_fd_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	_cleanup_fd_ int slave = -1;
	int unlock = 0;

	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock))
		return errno;
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return slave < 0 ? errno : 0;
}

int probe_ipc_next_id(void)
{
	_cleanup_fd_ int sem = open("/proc/sys/kernel/sem_next_id", O_RDWR | O_CLOEXEC);
	_cleanup_fd_ int msg = sem < 0 ? -1 : open("/proc/sys/kernel/msg_next_id", O_RDWR | O_CLOEXEC);
	char text[16];

	if (msg < 0)
		return errno;
	/* -1: the kernel chooses the next id, as it does already. */
	return read(msg, text, sizeof(text)) < 2 || write(msg, "-1", 2) != 2 ? errno : 0;
}

int probe_msg_copy(void)
{
	struct {
		long type;
		char text[1];
	} message;
	int queue = msgget(IPC_PRIVATE, 0600);
	int r;

	if (queue < 0)
		return errno;
	r = msgrcv(queue, &message, 0, 0, MSG_COPY | IPC_NOWAIT) < 0 ? errno : 0;
	msgctl(queue, IPC_RMID, NULL);
	return r == ENOMSG ? 0 : r ?: EIO;
}

/* A control group made below the mount for the moment has the file. */
static int cgroup_has(const char *mount, const char *file)
{
	char path[512];
	int r;

	snprintf(path, sizeof(path), "%s/criu-lite-probe-%d", mount, getpid());
	if (mkdir(path, 0700))
		return errno;
	snprintf(path, sizeof(path), "%s/criu-lite-probe-%d/%s", mount, getpid(), file);
	r = access(path, W_OK) ? errno : 0;
	*strrchr(path, '/') = '\0';
	rmdir(path);
	return r == ENOENT ? ENOSYS : r;
}

int probe_cgroup2_freezer(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *entry;
	int r = ENOSYS;

	if (!mounts)
		return errno;
	while (r && (entry = getmntent(mounts)))
		if (!strcmp(entry->mnt_type, "cgroup2"))
			r = cgroup_has(entry->mnt_dir, "cgroup.freeze");
	endmntent(mounts);
	return r;
}
