/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * POSIX message queues that nobody has open, mq_overview(7). In an IPC namespace of its own they
 * are the tree's; those of ours are left alone.
 *
 * A queue has no peek. A child of ours, which takes no signals, receives all messages and sends
 * them back in the same order, whether we live or not.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "images/mqueue_unopened.pb-c.h"
#include "kernel-compat/calls.h"
#include "kinds/ipc/mqueue.h"
#include "kinds/objects.h"

enum {
	PERMISSIONS = 0777,
	WAITING_MAX = RECORD_PAYLOAD_MAX - (1 << 20),	/* bytes in one queue */
};

/* ---- which ones ---- */

/* One that was found, opened by us to read and write. */
struct unopened {
	const char *name;
	int fd;
	struct stat st;
	struct mq_attr attr;
	struct mqueue_status status;
};

typedef int (*visitor)(void *context, const struct unopened *queue, struct error *err);

/* The list of all queues of the IPC namespace that we are in; NULL when the kernel has none. */
static int open_list(DIR **ret, struct error *err)
{
	_cleanup_fd_ int context = fsopen("mqueue", FSOPEN_CLOEXEC), mount = -1, fd = -1;

	*ret = NULL;
	if (context < 0 && errno == ENODEV)
		return 0;
	if (context >= 0 && !fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mount = fsmount(context, FSMOUNT_CLOEXEC, 0);
	if (mount >= 0)
		fd = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		*ret = fdopendir(fd);
	if (!*ret)
		return error_set(err, ERROR_FAILED, errno, "cannot look at the message queues");
	fd = -1;
	return 0;
}

static int visit(int dir, const char *name, visitor each, void *context, struct error *err)
{
	_cleanup_fd_ int fd = openat(dir, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	struct unopened q = { .name = name, .fd = fd };

	/* It was removed, with the program running. */
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &q.st) || mq_getattr(fd, &q.attr) ||
	    mqueue_status_read(fd, &q.status))
		return error_set(err, ERROR_TARGET, errno, "message queue /%s", name);
	return each(context, &q, err);
}

static int for_each(visitor each, void *context, struct error *err)
{
	_cleanup_dir_ DIR *dir = NULL;
	const struct dirent *entry;

	if (open_list(&dir, err))
		return -1;
	while (dir && (entry = readdir(dir)))
		if (entry->d_type == DT_REG && visit(dirfd(dir), entry->d_name, each, context, err))
			return -1;
	return 0;
}

/* ---- preflight ---- */

struct checking {
	struct blockers *blockers;
	pid_t root;
};

static const char *reason_against(const struct unopened *q, const char **remedy)
{
	if (q->status.bytes > WAITING_MAX) {
		*remedy = "let the program read some of it";
		return "more than 15 MiB wait in it";
	}
	return NULL;
}

static int check_one(void *context, const struct unopened *q, struct error *err)
{
	const struct checking *c = context;
	const char *remedy, *reason = reason_against(q, &remedy);

	if (reason && blockers_add(c->blockers, c->root, reason, remedy, "message queue /%s",
				   q->name))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

int mqueue_unopened_check(const struct container *container, pid_t root, struct blockers *blockers,
			  struct error *err)
{
	struct checking c = { blockers, root };

	return container->namespaces & CLONE_NEWIPC ? for_each(check_one, &c, err) : 0;
}

/* ---- dump ---- */

/* What the child leaves: messages, each a struct head and its text. */
struct head {
	unsigned priority;
	size_t size;
};

struct copy {
	size_t room, size, count;
	bool whole;	/* everything is back */
	char data[];
};

/* Calls with a time that is over do not wait. */
static const struct timespec past;

static void receive_all(int fd, size_t longest, struct copy *c)
{
	struct head head;

	while (c->room - c->size >= sizeof(head) + longest) {
		char *at = c->data + c->size;
		ssize_t size = mq_timedreceive(fd, at + sizeof(head), longest, &head.priority,
					       &past);

		if (size < 0)
			return;
		head.size = size;
		memcpy(at, &head, sizeof(head));
		c->size += sizeof(head) + size;
		c->count++;
	}
}

static bool send_back(int fd, const struct copy *c)
{
	struct head head;

	for (size_t at = 0; at < c->size; at += sizeof(head) + head.size) {
		memcpy(&head, c->data + at, sizeof(head));
		if (mq_timedsend(fd, c->data + at + sizeof(head), head.size, head.priority, &past))
			return false;
	}
	return true;
}

/* The child shares nothing but the copy with us; -1 with errno. */
static int copy_by_child(int fd, size_t longest, struct copy *c)
{
	struct clone_args args = { 0 };
	sigset_t all, before;
	pid_t child;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	child = sys_clone3(&args, sizeof(args));
	if (child == 0) {
		receive_all(fd, longest, c);
		c->whole = send_back(fd, c);
		_exit(0);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	while (child > 0 && waitpid(child, NULL, __WALL) < 0 && errno == EINTR)
		;
	return child < 0 ? -1 : 0;
}

static int add_all(const struct copy *c, Mqueue *m, struct error *err)
{
	struct head head;

	for (size_t at = 0; at < c->size; at += sizeof(head) + head.size) {
		memcpy(&head, c->data + at, sizeof(head));
		if (mqueue_add(m, head.priority, c->data + at + sizeof(head), head.size))
			return error_set(err, ERROR_FAILED, ENOMEM, "message queue");
	}
	return 0;
}

static int copy_messages(const struct unopened *q, Mqueue *m, struct error *err)
{
	size_t room = q->status.bytes + q->attr.mq_curmsgs * sizeof(struct head) +
		      q->attr.mq_msgsize + sizeof(struct head);
	struct copy *c;
	int r;

	if (!q->attr.mq_curmsgs)
		return 0;
	c = mmap(NULL, sizeof(*c) + room, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c == MAP_FAILED)
		return error_set(err, ERROR_FAILED, errno, "message queue /%s", q->name);
	c->room = room;
	if (copy_by_child(q->fd, q->attr.mq_msgsize, c))
		r = error_set(err, ERROR_FAILED, errno, "message queue /%s", q->name);
	else if (!c->whole || c->count != (size_t)q->attr.mq_curmsgs)
		r = error_set(err, ERROR_TARGET, 0,
			      "message queue /%s: somebody outside of the tree uses it", q->name);
	else
		r = add_all(c, m, err);
	munmap(c, sizeof(*c) + room);
	return r;
}

static int save(struct dump *d, const struct unopened *q, struct error *err)
{
	const struct stat none = { 0 };
	struct dump_object *o = dump_objects_add(d->objects, &mqueue_unopened_kind, &none, err);
	MqueueUnopened m = MQUEUE_UNOPENED__INIT;
	Mqueue messages = MQUEUE__INIT;
	int r;

	if (!o)
		return -1;
	m.id = o->id;
	m.name = (ProtobufCBinaryData){ strlen(q->name), (uint8_t *)q->name };
	m.uid = q->st.st_uid;
	m.gid = q->st.st_gid;
	m.mode = q->st.st_mode & PERMISSIONS;
	m.max_messages = q->attr.mq_maxmsg;
	m.message_size = q->attr.mq_msgsize;
	r = copy_messages(q, &messages, err);
	m.messages = messages.messages;
	m.n_messages = messages.n_messages;
	if (!r)
		r = dump_object_message(d->objects, o, &m.base, err);
	mqueue_free_messages(&messages);
	return r;
}

static bool is_open(struct dump_files *files, const struct stat *st)
{
	struct dump_file *f = NULL;

	while ((f = dump_files_next_of_inode(files, st->st_dev, st->st_ino, f)))
		if (f->kind == &mqueue_kind)
			return true;
	return false;
}

static int save_one(void *context, const struct unopened *q, struct error *err)
{
	struct dump *d = context;
	const char *remedy, *reason = reason_against(q, &remedy);

	if (is_open(d->files, &q->st))
		return 0;
	if (reason) {
		error_set(err, ERROR_BLOCKED, 0, "message queue /%s: %s", q->name, reason);
		return error_hint(err, "%s", remedy);
	}
	if (q->status.pid || q->status.notify || q->status.signal)
		return error_set(err, ERROR_BLOCKED, 0,
				 "message queue /%s: a process outside of the tree is to be told of "
				 "messages in it", q->name);
	return save(d, q, err);
}

int mqueue_unopened_dump(struct dump *d, struct error *err)
{
	return d->container.namespaces & CLONE_NEWIPC ? for_each(save_one, d, err) : 0;
}

/* It has no place where a mapping or a descriptor of the tree would meet it. */
static bool mqueue_unopened_recognise(const struct object_look *look)
{
	return false;
}

/* ---- restore ---- */

static int verify(const struct restore *r, const MqueueUnopened *m, struct error *err)
{
	const ProtobufCBinaryData *name = &m->name;

	if (!(r->container.namespaces & CLONE_NEWIPC))
		return error_set(err, ERROR_IMAGE, 0, "a message queue without an IPC namespace");
	if (!name->len || name->len > NAME_MAX || memchr(name->data, '/', name->len) ||
	    memchr(name->data, '\0', name->len) || m->max_messages > LONG_MAX ||
	    m->message_size > LONG_MAX)
		return error_set(err, ERROR_IMAGE, 0, "an impossible message queue");
	return 0;
}

/* By the opener, who is root of the user namespace that it belongs to. Our descriptor, or -1. */
static int make(struct restore_task *opener, const char *name, const MqueueUnopened *m,
		struct error *err)
{
	const int flags = O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL;
	const struct mq_attr attr = { .mq_maxmsg = m->max_messages, .mq_msgsize = m->message_size };
	_cleanup_batch_ struct batch b = { 0 };
	int record, number;

	batch_start(&b, &opener->agent);
	record = batch_call(&b, SYS_mq_open, batch_string(&b, name), flags, PERMISSIONS,
			    batch_put(&b, &attr, sizeof(attr)));
	if (restore_run(opener, &b, err))
		return -1;
	number = batch_result(&b, record);
	if (number < 0) {
		error_set(err, ERROR_FAILED, -number, "message queue /%s", name);
		if (number == -EINVAL || number == -EMFILE)
			error_hint(err, "raise fs.mqueue.msg_max, fs.mqueue.msgsize_max or "
					"ulimit -q");
		return -1;
	}
	return puppet_take_fd(opener, number, err);
}

/* Its end is that of the namespace: there is nothing to undo. */
static int mqueue_unopened_create(struct restore_objects *r, struct restore_object *o,
				  struct error *err)
{
	const MqueueUnopened *m = (const MqueueUnopened *)o->message;
	_cleanup_fd_ int fd = -1;
	char name[NAME_MAX + 1];

	if (verify(restore_objects_run(r), m, err))
		return -1;
	snprintf(name, sizeof(name), "%.*s", (int)m->name.len, m->name.data);
	fd = make(restore_objects_opener(r), name, m, err);
	if (fd < 0)
		return -1;
	if (fchown(fd, m->uid, m->gid) || fchmod(fd, m->mode & PERMISSIONS))
		return error_set(err, ERROR_FAILED, errno, "message queue /%s: owner", name);
	for (size_t i = 0; i < m->n_messages; i++)
		if (mq_send(fd, (char *)m->messages[i]->text.data ?: "", m->messages[i]->text.len,
			    m->messages[i]->priority))
			return error_set(err, ERROR_FAILED, errno, "message queue /%s: message %zu",
					 name, i);
	return 0;
}

static const struct object_ops mqueue_unopened_ops = {
	.recognise = mqueue_unopened_recognise,
	.create = mqueue_unopened_create,
};

const struct kind mqueue_unopened_kind = {
	.name = "mqueue-unopened",
	.record = 0x3c,
	.scope = KIND_OBJECT,
	.message = &mqueue_unopened__descriptor,
	.help = "POSIX message queues of an IPC namespace that nobody has open, with messages",
	.object = &mqueue_unopened_ops,
};
