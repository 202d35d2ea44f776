/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/socket/socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"

bool socket_protocol(const struct fd_look *look, char ret[SOCKET_PROTOCOL_MAX])
{
	char path[64];
	ssize_t n;

	if (!S_ISSOCK(look->st.st_mode))
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/fd/%d", look->proc_fd, look->number);
	n = getxattr(path, "system.sockprotoname", ret, SOCKET_PROTOCOL_MAX - 1);
	if (n < 0)
		return false;
	ret[n] = 0;
	return true;
}

bool socket_protocol_is(const struct fd_look *look, const char *const *names)
{
	char protocol[SOCKET_PROTOCOL_MAX];

	if (!socket_protocol(look, protocol))
		return false;
	while (*names && strcmp(*names, protocol))
		names++;
	return *names;
}

static const struct unsupported {
	const char *protocol, *reason, *remedy;
} unsupported[] = {
	{ "MPTCP", "Multipath TCP connections cannot be saved",
	  "let the program use TCP (GODEBUG=multipathtcp=0 in Go programs)" },
	{ "ALG", "sockets of the kernel's cryptography cannot be saved", NULL },
	{ "AF_VSOCK", "connections to a hypervisor (vsock) cannot be saved",
	  "let the program close it" },
	{ "SCTP", "SCTP associations cannot be saved", "let the program close it" },
	{ "XDP", "AF_XDP sockets cannot be saved", "let the program close it" },
	{ "SMC", "SMC connections cannot be saved", "let the program use TCP" },
};

void socket_unsupported(const struct fd_look *look, const char **reason, const char **remedy)
{
	char protocol[SOCKET_PROTOCOL_MAX] = "";

	*reason = "sockets of this protocol family cannot be saved";
	*remedy = "let the program close it";
	if (!socket_protocol(look, protocol))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++)
		if (!strncmp(protocol, unsupported[i].protocol, strlen(unsupported[i].protocol))) {
			*reason = unsupported[i].reason;
			*remedy = unsupported[i].remedy;
		}
}

/* ---- holders ---- */

static bool held_by(const char *pid, const char *socket)
{
	_cleanup_dir_ DIR *dir = NULL;
	struct dirent *item;
	char path[300], link[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir && (item = readdir(dir))) {
		n = readlinkat(dirfd(dir), item->d_name, link, sizeof(link) - 1);
		if (n > 0 && (link[n] = 0, !strcmp(link, socket)))
			return true;
	}
	return false;
}

pid_t socket_holder(ino_t inode)
{
	_cleanup_dir_ DIR *dir = opendir("/proc");
	struct dirent *item;
	char socket[32];

	snprintf(socket, sizeof(socket), "socket:[%ju]", (uintmax_t)inode);
	while (dir && (item = readdir(dir)))
		if (item->d_name[0] >= '1' && item->d_name[0] <= '9' &&
		    held_by(item->d_name, socket))
			return strtol(item->d_name, NULL, 10);
	return 0;
}

char *socket_holder_text(ino_t inode)
{
	_cleanup_buffer_ struct buffer name = { 0 };
	pid_t pid = inode ? socket_holder(inode) : 0;
	char path[32], *text;

	if (!pid)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (read_file_at(AT_FDCWD, path, &name) || !name.size)
		return NULL;
	return asprintf(&text, "process %d (%.*s)", pid, (int)name.size - 1, name.data) < 0 ? NULL :
											     text;
}

/* ---- memory of messages ---- */

int socket_bytes(ProtobufCBinaryData *ret, const void *data, size_t size)
{
	ret->data = malloc(size + 1);
	if (!ret->data)
		return -1;
	memcpy(ret->data, data, size);
	ret->len = size;
	return 0;
}

void *socket_repeated(void *array_p, size_t *count, size_t size)
{
	char **array = array_p;
	char *grown;

	/* Powers of two, so that long queues do not copy themselves again and again. */
	if (!(*count & (*count - 1))) {
		grown = realloc(*array, (*count ? *count * 2 : 1) * size);
		if (!grown)
			return NULL;
		*array = grown;
	}
	grown = *array + *count * size;
	memset(grown, 0, size);
	++*count;
	return grown;
}

FileCommon *socket_file_common(struct dump_files *d, struct dump_file *f, struct error *err)
{
	_cleanup_free_ FileCommon *common = malloc(sizeof(*common));

	if (!common) {
		error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
		return NULL;
	}
	if (dump_file_common(d, f, common, err))
		return NULL;
	return steal_ptr(common);
}

static int int_option(int fd, int name, uint32_t *ret)
{
	socklen_t size = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, name, ret, &size);
}

int socket_common_check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	_cleanup_fd_ int fd = fd_look_duplicate(look);
	socklen_t count = 0;

	if (fd < 0 || !getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &count) || errno != EACCES)
		return 0;
	if (blockers_add(blockers, look->pid, "an eBPF program filters it and cannot be read back",
			 "let the program use a classic filter", "descriptor %d (%s)", look->number,
			 look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

/* An eBPF program cannot be read back; a classic one comes as written. */
static int filter_dump(struct dump_file *f, int fd, SocketCommon *s, struct error *err)
{
	struct sock_filter program[BPF_MAXINSNS];
	socklen_t count = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &count)) {
		if (errno != EACCES)
			return 0;
		return error_set(err, ERROR_BLOCKED, 0,
				 "%s: an eBPF program filters this socket and cannot be read back",
				 dump_file_name(f));
	}
	if (!count)
		return 0;
	count = BPF_MAXINSNS;
	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, program, &count))
		return error_set(err, ERROR_TARGET, errno, "%s: cannot read its filter",
				 dump_file_name(f));
	s->has_filter = true;
	return socket_bytes(&s->filter, program, count * sizeof(program[0]));
}

int socket_common_dump(struct dump_files *d, struct dump_file *f, const int *levels,
		       SocketCommon **ret, struct error *err)
{
	int fd = dump_file_fd(d, f, err);
	SocketCommon *s;

	if (fd < 0)
		return -1;
	s = *ret = malloc(sizeof(*s));
	if (!s)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", dump_file_name(f));
	socket_common__init(s);
	s->inode = f->look.st.st_ino;
	s->mode = f->look.st.st_mode & 07777;
	s->uid = f->look.st.st_uid;
	s->gid = f->look.st.st_gid;
	if (int_option(fd, SO_DOMAIN, &s->domain) || int_option(fd, SO_TYPE, &s->type) ||
	    int_option(fd, SO_PROTOCOL, &s->protocol))
		return error_set(err, ERROR_TARGET, errno, "%s: cannot ask the socket what it is",
				 dump_file_name(f));
	if (socket_options_dump(fd, levels, s, err))
		return -1;
	return filter_dump(f, fd, s, err);
}

int socket_common_expect(const struct restore_file *f, const SocketCommon *s, bool fine,
			 struct error *err)
{
	if (fine)
		return 0;
	return error_set(err, ERROR_IMAGE, 0,
			 "description %u: no %s has domain %u, type %u, protocol %u", f->id,
			 f->kind->name, s->domain, s->type, s->protocol);
}

int socket_options_early(const struct restore_file *f, const SocketCommon *s, struct error *err)
{
	char who[32];

	snprintf(who, sizeof(who), "description %u", f->id);
	return socket_options_put(f->fd, s, SOCKET_EARLY, who, err);
}

int socket_common_create(struct restore_files *r, struct restore_file *f, const SocketCommon *s,
			 struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	int record;

	batch_start(&b, &f->opener->agent);
	record = batch_call(&b, SYS_socket, s->domain, s->type | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    s->protocol);
	if (restore_open(r, f, &b, record, err))
		return error_wrap(err, "cannot open a socket of domain %u, type %u, protocol %u",
				  s->domain, s->type, s->protocol);
	return socket_options_early(f, s, err);
}

int socket_room_to_send(int fd, uint64_t size, struct error *err)
{
	/* What a byte costs in the kernel differs; each message has its overhead. */
	int wanted = size > INT32_MAX / 8 ? INT32_MAX / 2 : (int)size * 4 + (1 << 20);

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof(wanted)))
		return error_set(err, ERROR_FAILED, errno,
				 "cannot enlarge the send buffer of a socket");
	return 0;
}

static int filter_put(struct restore_file *f, const SocketCommon *s, struct error *err)
{
	struct sock_fprog program = { 0 };

	if (!s->has_filter)
		return 0;
	if (!s->filter.len || s->filter.len % sizeof(struct sock_filter) ||
	    s->filter.len > BPF_MAXINSNS * sizeof(struct sock_filter))
		return error_set(err, ERROR_IMAGE, 0, "description %u: filter of %zu bytes", f->id,
				 s->filter.len);
	program.len = s->filter.len / sizeof(struct sock_filter);
	program.filter = (struct sock_filter *)s->filter.data;
	if (setsockopt(f->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		return error_set(err, ERROR_FAILED, errno,
				 "description %u: cannot attach its filter", f->id);
	return 0;
}

int socket_common_finish(struct restore_file *f, const SocketCommon *s, struct error *err)
{
	struct stat st;
	char who[32];

	snprintf(who, sizeof(who), "description %u", f->id);
	if (filter_put(f, s, err) || socket_options_put(f->fd, s, SOCKET_LATE, who, err))
		return -1;
	if (fstat(f->fd, &st))
		return error_set(err, ERROR_FAILED, errno, "%s", who);
	if ((st.st_uid != s->uid || st.st_gid != s->gid) && fchown(f->fd, s->uid, s->gid))
		return error_set(err, ERROR_FAILED, errno, "%s: cannot set the owner of a socket",
				 who);
	if ((st.st_mode & 07777) != (s->mode & 07777) && fchmod(f->fd, s->mode & 07777))
		return error_set(err, ERROR_FAILED, errno, "%s: cannot set the mode of a socket",
				 who);
	return restore_file_set_flags(f, err);
}
