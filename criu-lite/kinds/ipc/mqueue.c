/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * POSIX message queues that are open, mq_overview(7), with messages and notification. A queue with
 * a name that is still there gets the messages of the checkpoint; else it is made again. One that
 * has been unlinked is made under its name, or another, and unlinked.
 */
#include "kinds/ipc/mqueue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "guard/guard.h"

enum {
	STATUS_FILE_SIZE = 80,	/* i_size of every queue */
	MQUEUE_FS_MAGIC = 0x19800202,
	PERMISSIONS = 0777,
	LARGEFILE_FLAG = 0100000,	/* O_LARGEFILE is 0 for 64-bit programs */
};

static const char deleted[] = " (deleted)";

static bool mqueue_recognise(const struct fd_look *look)
{
	char path[64];
	struct statfs fs;

	if (!S_ISREG(look->st.st_mode) || look->st.st_size != STATUS_FILE_SIZE ||
	    look->link[0] != '/' || look->info.flags & O_PATH)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/fd/%d", look->proc_fd, look->number);
	return !statfs(path, &fs) && fs.f_type == MQUEUE_FS_MAGIC;
}

/* ---- dump ---- */

int mqueue_status_read(int fd, struct mqueue_status *ret)
{
	char path[32], text[STATUS_FILE_SIZE + 1];
	_cleanup_fd_ int readable = -1;
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readable = open(path, O_RDONLY | O_CLOEXEC);
	size = readable < 0 ? -1 : pread(readable, text, sizeof(text) - 1, 0);
	if (size < 0)
		return -1;
	text[size] = '\0';
	if (sscanf(text, "QSIZE:%lu NOTIFY:%d SIGNO:%d NOTIFY_PID:%d", &ret->bytes, &ret->notify,
		   &ret->signal, &ret->pid) != 4) {
		errno = EPROTO;
		return -1;
	}
	return 0;
}

static int mqueue_check(const struct fd_look *look, struct blockers *blockers, struct error *err)
{
	_cleanup_fd_ int fd = fd_look_duplicate(look);
	struct mqueue_status status = { 0 };
	const char *reason = NULL, *remedy = NULL;
	struct mq_attr attr;

	if (fd < 0 || mq_getattr(fd, &attr) || mqueue_status_read(fd, &status))
		return 0;
	if (status.pid && status.notify == SIGEV_THREAD) {
		reason = "a notification by a thread (mq_notify, SIGEV_THREAD) cannot be saved";
		remedy = "let the program use a signal or poll(2)";
	} else if (attr.mq_curmsgs > MQUEUE_COPY_MESSAGES ||
		   (attr.mq_curmsgs &&
		    (attr.mq_curmsgs + 1) * attr.mq_msgsize > MQUEUE_COPY_BYTES)) {
		reason = "more waits in this queue than can be copied";
		remedy = "let the program read some of it";
	}
	if (reason && blockers_add(blockers, look->pid, reason, remedy, "descriptor %d (queue %s)",
				   look->number, look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

/* "/name" or "/dev/mqueue/name", with or without " (deleted)". */
static void take_name(const struct dump_file *f, Mqueue *m)
{
	const char *name = strrchr(f->look.link, '/') + 1;
	size_t size = strlen(name), tail = sizeof(deleted) - 1;

	m->has_unlinked = m->unlinked = f->look.st.st_nlink == 0;
	if (m->unlinked && size > tail && !strcmp(name + size - tail, deleted))
		size -= tail;
	m->has_name = true;
	m->name.data = (uint8_t *)name;
	m->name.len = size;
}

static int take_queue(struct dump_files *d, struct dump_file *f, int fd, Mqueue *m,
		      struct error *err)
{
	const struct stat *st = &f->look.st;
	struct mqueue_status status = { 0 };
	struct mq_attr attr;

	if (mq_getattr(fd, &attr) || mqueue_status_read(fd, &status))
		return error_set(err, ERROR_TARGET, errno, "%s: its state", dump_file_name(f));
	take_name(f, m);
	m->has_uid = m->has_gid = m->has_mode = m->has_max_messages = m->has_message_size = true;
	m->uid = st->st_uid;
	m->gid = st->st_gid;
	m->mode = st->st_mode & PERMISSIONS;
	m->max_messages = attr.mq_maxmsg;
	m->message_size = attr.mq_msgsize;
	if (status.pid && status.notify == SIGEV_THREAD)
		return error_set(err, ERROR_BLOCKED, 0,
				 "%s: a notification by a thread cannot be saved",
				 dump_file_name(f));
	return mqueue_copy(d, f, &attr, &status, m, err);
}

static int mqueue_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	struct dump_file *first = dump_files_next_of_inode(d, f->look.st.st_dev, f->look.st.st_ino,
							   NULL);
	int fd = dump_file_fd(d, f, err), r = 0;
	Mqueue m = MQUEUE__INIT;
	FileCommon common;

	if (fd < 0 || dump_file_common(d, f, &common, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	m.queue = first ? first->id : f->id;
	if (m.queue == m.id)
		r = take_queue(d, f, fd, &m, err);
	if (!r)
		r = dump_file_message(d, f, &m.base, err);
	mqueue_free_messages(&m);
	return r;
}

/* ---- restore ---- */

/* A queue being restored. */
struct queue {
	char name[NAME_MAX + 1];
	bool created, linked;	/* by us, and under its name still */
	int fd;			/* ours, to read and write */
	size_t old_size; /* of what a queue that was there held: struct old and text in turn */
	char old[];
};

struct old {
	unsigned priority;
	size_t size;
};

static const Mqueue *first_of(struct restore_files *r, const Mqueue *m, struct error *err)
{
	struct restore_file *first = restore_files_get(r, m->queue);
	const Mqueue *carrier = first && first->kind == &mqueue_kind ?
					(const Mqueue *)first->message : NULL;

	if (!carrier || carrier->queue != carrier->id || !carrier->has_name ||
	    !carrier->name.len || carrier->name.len > NAME_MAX ||
	    memchr(carrier->name.data, '/', carrier->name.len) ||
	    memchr(carrier->name.data, '\0', carrier->name.len)) {
		error_set(err, ERROR_IMAGE, 0, "there is no message queue %u", m->queue);
		return NULL;
	}
	return carrier;
}

/* mq_open(2) by a puppet: the descriptor here, or -1 with its errno in *ret_errno. */
static int open_there(struct restore_files *r, struct restore_file *f, const char *name, int flags,
		      const Mqueue *attributes, int *ret_errno, struct error *err)
{
	struct restore_task *opener = f->opener;
	_cleanup_batch_ struct batch b = { 0 };
	struct mq_attr attr = { 0 };
	uint64_t at = 0;
	int record;

	batch_start(&b, &opener->agent);
	if (attributes) {
		attr.mq_maxmsg = attributes->max_messages;
		attr.mq_msgsize = attributes->message_size;
		at = batch_put(&b, &attr, sizeof(attr));
	}
	record = batch_call(&b, SYS_mq_open, batch_string(&b, name), flags, PERMISSIONS, at);
	*ret_errno = 0;
	if (restore_run(opener, &b, err))
		return -1;
	if (batch_result(&b, record) < 0) {
		*ret_errno = -batch_result(&b, record);
		return -1;
	}
	return restore_fetch(r, opener, batch_result(&b, record), err);
}

static int cannot_open(const char *name, int os_error, struct error *err)
{
	if (err->kind)
		return -1;
	error_set(err, ERROR_FAILED, os_error, "message queue /%s", name);
	if (os_error == EINVAL || os_error == EMFILE)
		error_hint(err, "raise fs.mqueue.msg_max, fs.mqueue.msgsize_max or ulimit -q");
	return -1;
}

/* One that is there must be as large. */
static int use_existing(struct restore_files *r, struct restore_file *f, const Mqueue *m,
			struct queue *q, struct error *err)
{
	struct mq_attr attr;
	int os_error;

	q->fd = open_there(r, f, q->name, O_RDWR | O_NONBLOCK, NULL, &os_error, err);
	if (q->fd < 0)
		return cannot_open(q->name, os_error, err);
	if (mq_getattr(q->fd, &attr))
		return cannot_open(q->name, errno, err);
	if ((uint64_t)attr.mq_maxmsg == m->max_messages &&
	    (uint64_t)attr.mq_msgsize == m->message_size)
		return 0;
	error_set(err, ERROR_FAILED, 0,
		  "message queue /%s is there with room for %ld messages of %ld "
		  "bytes",
		  q->name, attr.mq_maxmsg, attr.mq_msgsize);
	return error_hint(err, "remove it");
}

/* Only of one that is not there yet. */
static int tell_guard(struct guard *guard, const char *name, struct error *err)
{
	char path[NAME_MAX + 2];
	_cleanup_fd_ int there = -1;

	snprintf(path, sizeof(path), "/%s", name);
	there = mq_open(path, O_RDONLY | O_NONBLOCK);
	return there < 0 ? guard_will_make(guard, GUARD_MQUEUE, 0, path, err) : 0;
}

static int make_queue(struct restore_files *r, struct restore_file *f, const Mqueue *m,
		      struct queue *q, struct error *err)
{
	const int flags = O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL;
	int os_error;

	snprintf(q->name, sizeof(q->name), "%.*s", (int)m->name.len, m->name.data);
	if (tell_guard(f->opener->restore->guard, q->name, err))
		return -1;
	q->fd = open_there(r, f, q->name, flags, m, &os_error, err);
	if (q->fd < 0 && os_error == EEXIST && m->unlinked) {
		snprintf(q->name, sizeof(q->name), "criu-lite.%d.%u", getpid(), m->id);
		if (tell_guard(f->opener->restore->guard, q->name, err))
			return -1;
		q->fd = open_there(r, f, q->name, flags, m, &os_error, err);
	}
	if (q->fd < 0 && os_error == EEXIST && !m->unlinked)
		return use_existing(r, f, m, q, err);
	if (q->fd < 0)
		return cannot_open(q->name, os_error, err);
	q->created = q->linked = true;
	if (fchown(q->fd, m->uid, m->gid) || fchmod(q->fd, m->mode & PERMISSIONS))
		return error_set(err, ERROR_FAILED, errno, "message queue /%s: owner", q->name);
	return 0;
}

static struct queue *queue_of(struct restore_files *r, const Mqueue *m, struct error *err)
{
	void **slot = restore_files_shared(r, &mqueue_kind, m->queue);
	const Mqueue *first = first_of(r, m, err);
	struct queue *q;

	if (!slot || !first) {
		error_set(err, ERROR_FAILED, ENOMEM, "message queue");
		return NULL;
	}
	if (*slot)
		return *slot;
	q = calloc(1, sizeof(*q));
	if (!q) {
		error_set(err, ERROR_FAILED, ENOMEM, "message queue");
		return NULL;
	}
	*slot = q;
	q->fd = -1;
	return make_queue(r, restore_files_get(r, m->queue), first, q, err) ? NULL : q;
}

static int mqueue_create(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Mqueue *m = (const Mqueue *)f->message;
	struct queue *q = queue_of(r, m, err);
	int flags = m->common->flags & (O_ACCMODE | O_NONBLOCK | LARGEFILE_FLAG), os_error;

	if (!q)
		return -1;
	f->fd = open_there(r, f, q->name, flags, NULL, &os_error, err);
	return f->fd < 0 ? cannot_open(q->name, os_error, err) : 0;
}

/* Empties a queue that was there, keeping what it held for undo. */
static int empty(void **slot, size_t message_size, struct error *err)
{
	_cleanup_free_ char *text = malloc(message_size);

	for (;;) {
		struct queue *q = *slot;
		struct old old;
		ssize_t size = text ? mq_receive(q->fd, text, message_size, &old.priority) : -1;

		if (size < 0 && errno == EAGAIN)
			return 0;
		if (size < 0)
			return error_set(err, ERROR_FAILED, errno, "message queue /%s", q->name);
		old.size = size;
		q = realloc(q, sizeof(*q) + q->old_size + sizeof(old) + size);
		if (!q)
			return error_set(err, ERROR_FAILED, ENOMEM, "message queue");
		*slot = q;
		memcpy(q->old + q->old_size, &old, sizeof(old));
		memcpy(q->old + q->old_size + sizeof(old), text, size);
		q->old_size += sizeof(old) + size;
	}
}

static int send_saved(const Mqueue *m, const struct queue *q, struct error *err)
{
	for (size_t i = 0; i < m->n_messages; i++)
		if (mq_send(q->fd, (char *)m->messages[i]->text.data ?: "",
			    m->messages[i]->text.len, m->messages[i]->priority))
			return error_set(err, ERROR_FAILED, errno, "message queue /%s: message %zu",
					 q->name, i);
	return 0;
}

/* By the first description, when all are open. */
static int mqueue_fill(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Mqueue *m = (const Mqueue *)f->message;
	void **slot = restore_files_shared(r, &mqueue_kind, m->queue);
	_cleanup_batch_ struct batch b = { 0 };
	struct queue *q = slot ? *slot : NULL;

	if (m->queue != m->id || !q)
		return 0;
	if (!q->created && empty(slot, m->message_size, err))
		return -1;
	q = *slot;
	if (send_saved(m, q, err))
		return -1;
	if (!m->unlinked)
		return 0;
	batch_start(&b, &f->opener->agent);
	batch_must(&b, SYS_mq_unlink, batch_string(&b, q->name));
	if (restore_run(f->opener, &b, err))
		return error_wrap(err, "message queue /%s", q->name);
	q->linked = false;
	return 0;
}

static struct restore_task *find_task(struct restore *r, pid_t pid)
{
	struct restore_task **t;

	array_for(t, &r->tasks)
		if ((*t)->pid == pid && !(*t)->zombie)
			return *t;
	return NULL;
}

/* Any descriptor of the queue that this task has, -1 if none. */
static int number_of_queue(struct restore_files *r, uint32_t queue, const struct restore_task *t)
{
	struct restore_file *f;
	int number = -1;

	for (size_t i = 0; number < 0 && (f = restore_files_at(r, i)); i++)
		if (f->kind == &mqueue_kind && ((const Mqueue *)f->message)->queue == queue)
			number = restore_file_number(r, f, t);
	return number;
}

static int ask_for_notification(struct restore_files *r, const Mqueue *m, struct error *err)
{
	const Mqueue__Notification *n = m->notification;
	struct restore_task *owner = find_task(restore_files_run(r), n->pid);
	int number = owner ? number_of_queue(r, m->queue, owner) : -1;
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	_cleanup_batch_ struct batch b = { 0 };

	if (number < 0)
		return error_set(err, ERROR_IMAGE, 0,
				 "message queue %u: process %u does not have it", m->queue, n->pid);
	if (n->has_signal) {
		event.sigev_notify = SIGEV_SIGNAL;
		event.sigev_signo = n->signal;
		memcpy(&event.sigev_value, &n->value, sizeof(n->value));
	}
	batch_start(&b, &owner->agent);
	batch_must(&b, SYS_mq_notify, number, batch_put(&b, &event, sizeof(event)));
	return restore_run(owner, &b, err);
}

static int mqueue_installed(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Mqueue *m = (const Mqueue *)f->message;
	void **slot = restore_files_shared(r, &mqueue_kind, m->queue);
	struct queue *q = slot ? *slot : NULL;

	if (m->queue != m->id || !q)
		return 0;
	fd_close(&q->fd);
	return m->notification ? ask_for_notification(r, m, err) : 0;
}

/* What was made goes; what was there gets back what it held. */
static void mqueue_undo(struct restore_files *r, struct restore_file *f)
{
	const Mqueue *m = (const Mqueue *)f->message;
	void **slot = restore_files_shared(r, &mqueue_kind, m->queue);
	struct queue *q = slot ? *slot : NULL;
	char path[NAME_MAX + 2], byte[1];
	_cleanup_fd_ int fd = -1;

	if (m->queue != m->id || !q)
		return;
	snprintf(path, sizeof(path), "/%s", q->name);
	if (q->linked)
		mq_unlink(path);
	if (q->created)
		return;
	fd = mq_open(path, O_RDWR | O_NONBLOCK);
	for (size_t i = 0; fd >= 0 && i < m->n_messages; i++) {
		_cleanup_free_ char *text = malloc(m->message_size);

		if (mq_receive(fd, text ?: byte, m->message_size, NULL) < 0)
			break;
	}
	for (size_t at = 0; fd >= 0 && at < q->old_size;) {
		struct old old;

		memcpy(&old, q->old + at, sizeof(old));
		mq_send(fd, q->old + at + sizeof(old), old.size, old.priority);
		at += sizeof(old) + old.size;
	}
}

static const struct file_ops mqueue_file = {
	.recognise = mqueue_recognise,
	.check = mqueue_check,
	.dump = mqueue_dump,
	.create = mqueue_create,
	.fill = mqueue_fill,
	.installed = mqueue_installed,
	.undo = mqueue_undo,
};

const struct kind mqueue_kind = {
	.name = "mqueue",
	.record = 0x162,
	.scope = KIND_FILE,
	.message = &mqueue__descriptor,
	.help = "POSIX message queues with messages, limits, and notification by signal",
	.file = &mqueue_file,
};
