/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copying a POSIX message queue. It has no peek, so one batch in a process that holds it receives
 * all messages and sends them back in the same order, which is done in full whether we live or not.
 * A message's priority goes by itself from the receiving to the sending call: the kernel writes it
 * right into that call's argument.
 *
 * Who asked for a notification loses it when a message comes into the empty queue, and the value
 * that its signal bears is told nowhere. So the batch, running in that very process, lets the
 * signal come, takes it with its value, and asks for it anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "kinds/enter.h"
#include "kinds/fd_scan.h"
#include "kinds/ipc/mqueue.h"

enum {
	PRIORITY = 3,		/* argument of mq_timedreceive and mq_timedsend */
	KERNEL_SIGNALS = 8,	/* bytes of a signal set */
};

int mqueue_add(Mqueue *m, uint32_t priority, const void *text, size_t size)
{
	Mqueue__Waiting **list = realloc(m->messages, (m->n_messages + 1) * sizeof(*list));
	Mqueue__Waiting *waiting = malloc(sizeof(*waiting));
	uint8_t *copy = malloc(size ? size : 1);

	if (list)
		m->messages = list;
	if (!list || !waiting || !copy) {
		free(waiting);
		free(copy);
		return -1;
	}
	mqueue__waiting__init(waiting);
	waiting->priority = priority;
	memcpy(copy, text, size);
	waiting->text = (ProtobufCBinaryData){ size, copy };
	list[m->n_messages++] = waiting;
	return 0;
}

void mqueue_free_messages(Mqueue *m)
{
	for (size_t i = 0; i < m->n_messages; i++) {
		free(m->messages[i]->text.data);
		free(m->messages[i]);
	}
	free(m->messages);
	free(m->notification);
}

/* ---- through whom ---- */

/* Descriptors of one process; -1 where it has none that reads or writes. */
struct queue_user {
	struct dump_task *task;
	int reader, writer, any;
};

static bool same_queue(const struct dump_file *a, const struct dump_file *b)
{
	return a->look.st.st_ino == b->look.st.st_ino && a->look.st.st_dev == b->look.st.st_dev;
}

static struct queue_user look_at_user(struct dump_files *d, struct dump_task *task,
				const struct dump_file *queue)
{
	struct queue_user u = { task, -1, -1, -1 };
	int fd = openat(task->proc_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir)
		fd_close(&fd);
	while (dir && (entry = readdir(dir))) {
		int number = fd_number(entry->d_name), mode;
		uint32_t id = entry->d_name[0] == '.' ? 0 : dump_files_find(d, task->pid, number);
		const struct dump_file *f = id ? dump_files_at(d, id - 1) : NULL;

		if (!f || !same_queue(f, queue))
			continue;
		mode = f->look.info.flags & O_ACCMODE;
		u.any = number;
		if (mode != O_WRONLY)
			u.reader = number;
		if (mode != O_RDONLY)
			u.writer = number;
	}
	return u;
}

static struct dump_task *find_task(struct dump *d, pid_t pid)
{
	struct dump_task **t;

	array_for(t, &d->tasks)
		if ((*t)->pid == pid && !(*t)->zombie)
			return *t;
	return NULL;
}

static int choose_user(struct dump_files *d, struct dump_file *f,
		       const struct mqueue_status *status, struct queue_user *ret,
		       struct error *err)
{
	struct dump_task *owner = find_task(dump_files_run(d), status->pid);
	struct dump_file *other = NULL;

	if (status->pid && !owner) {
		error_set(err, ERROR_BLOCKED, 0,
			  "%s: a process outside of the tree is to be told of "
			  "messages in it",
			  dump_file_name(f));
		return error_hint(err, "save the tree that it belongs to");
	}
	*ret = (struct queue_user){ NULL, -1, -1, -1 };
	if (owner)
		*ret = look_at_user(d, owner, f);
	while (!owner && (ret->reader < 0 || ret->writer < 0) &&
	       (other = dump_files_next_of_inode(d, f->look.st.st_dev, f->look.st.st_ino, other)))
		if (other->task)
			*ret = look_at_user(d, other->task, f);
	if (ret->any < 0)
		return error_set(err, ERROR_BLOCKED, 0, "%s: no process of the tree has it open",
				 dump_file_name(f));
	return 0;
}

/* ---- the batch ---- */

struct copying {
	struct queue_user user;
	const struct mq_attr *attr;
	const struct mqueue_status *status;
	/* records and addresses */
	int received, sent, opened;
	uint64_t texts, siginfo, event;
};

/* A call on the queue, by the process's own descriptor or the one opened for it. */
static int on_queue(struct batch *b, const struct copying *c, long number, int fd, uint64_t a1,
		    uint64_t a2, uint64_t a3, uint64_t a4)
{
	int record = batch_call(b, number, fd, a1, a2, a3, a4);

	if (fd < 0)
		batch_from(b, record, 0, c->opened);
	return record;
}

/* The signal comes as soon as a message does; its value is put into the request. */
static void catch_signal(struct batch *b, struct copying *c, uint64_t now)
{
	const uint64_t set = 1ull << (c->status->signal - 1);
	const struct sigevent request = {
		.sigev_signo = c->status->signal,
		.sigev_notify = SIGEV_SIGNAL,
	};
	size_t value = offsetof(siginfo_t, si_value);
	struct iovec from = { 0 }, to = { 0 };
	uint64_t source;

	on_queue(b, c, SYS_mq_timedsend, c->user.writer, c->texts, 0, 0, now);
	on_queue(b, c, SYS_mq_timedreceive, c->user.reader, c->texts, c->attr->mq_msgsize, 0, now);
	c->siginfo = batch_space(b, sizeof(siginfo_t) + sizeof(struct sigevent));
	batch_call(b, SYS_rt_sigtimedwait, batch_put(b, &set, sizeof(set)), c->siginfo, now,
		   KERNEL_SIGNALS);
	/* struct sigevent begins with the value, so it can lie where siginfo has it: the process
	 * writes the rest of the request behind it. */
	c->event = c->siginfo + value;
	source = batch_put(b, &request, sizeof(request));
	from.iov_base = (void *)(source + sizeof(union sigval));
	to.iov_base = (void *)(c->event + sizeof(union sigval));
	from.iov_len = to.iov_len = sizeof(request) - sizeof(union sigval);
	batch_call(b, SYS_process_vm_writev, c->user.task->pid, batch_put(b, &from, sizeof(from)),
		   1, batch_put(b, &to, sizeof(to)), 1, 0);
}

static int make_copying(struct batch *b, void *context, struct error *err)
{
	struct copying *c = context;
	const struct sigevent none = { .sigev_notify = SIGEV_NONE };
	const struct timespec past = { 0 };
	long count = c->attr->mq_curmsgs, size = c->attr->mq_msgsize, i;
	uint64_t now = batch_put(b, &past, sizeof(past));
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", c->user.any);
	if (c->user.reader < 0 || c->user.writer < 0)
		c->opened = batch_must(b, SYS_openat, AT_FDCWD, batch_string(b, path),
				       O_RDWR | O_CLOEXEC);
	c->texts = batch_space(b, (count + 1) * size);
	c->received = b->records.count;
	for (i = 0; i < count; i++)
		on_queue(b, c, SYS_mq_timedreceive, c->user.reader, c->texts + i * size, size, 0,
			 now);
	if (c->status->pid && c->status->signal)
		catch_signal(b, c, now);
	else if (c->status->pid)
		c->event = batch_put(b, &none, sizeof(none));
	c->sent = b->records.count;
	for (i = 0; i < count; i++) {
		int record = on_queue(b, c, SYS_mq_timedsend, c->user.writer, c->texts + i * size,
				      0, 0, now);

		batch_from(b, record, 2, c->received + i);
		b->records.items[c->received + i].a[PRIORITY] = batch_argument(b, record, PRIORITY);
	}
	if (c->status->pid)
		on_queue(b, c, SYS_mq_notify, c->user.any, c->event, 0, 0, 0);
	if (c->user.reader < 0 || c->user.writer < 0)
		batch_from(b, batch_call(b, SYS_close, 0), 0, c->opened);
	return 0;
}

static int take_messages(const struct batch *b, const struct copying *c, Mqueue *m,
			 struct error *err)
{
	for (long i = 0; i < c->attr->mq_curmsgs; i++) {
		const struct batch_record *sent = &b->records.items[c->sent + i];
		int64_t size = batch_result(b, c->received + i);

		/* Somebody outside may have been faster. */
		if (size == -ETIMEDOUT)
			continue;
		if (size < 0 || sent->result < 0)
			return error_set(err, ERROR_TARGET, size < 0 ? -size : -sent->result,
					 "message %ld of the queue", i);
		if (mqueue_add(m, sent->a[PRIORITY],
			       batch_at(b, c->texts + i * c->attr->mq_msgsize), size))
			return error_set(err, ERROR_FAILED, ENOMEM, "message queue");
	}
	return 0;
}

static int take_notification(const struct batch *b, const struct copying *c, Mqueue *m,
			     struct error *err)
{
	Mqueue__Notification *n = malloc(sizeof(*n));
	const siginfo_t *info;

	if (!n)
		return error_set(err, ERROR_FAILED, ENOMEM, "message queue");
	m->notification = n;
	mqueue__notification__init(n);
	n->pid = c->status->pid;
	if (!c->status->signal)
		return 0;
	info = batch_at(b, c->siginfo);
	n->has_signal = n->has_value = true;
	n->signal = c->status->signal;
	memcpy(&n->value, &info->si_value, sizeof(n->value));
	return 0;
}

/* An instance that waits already would be taken instead of ours. */
static bool signal_pending(const struct dump_task *task, int signal)
{
	const struct dump_thread *t;

	array_for(t, &task->threads)
		if ((t->status.sig_pnd | t->status.shd_pnd) >> (signal - 1) & 1)
			return true;
	return false;
}

int mqueue_copy(struct dump_files *d, struct dump_file *f, const struct mq_attr *attr,
		const struct mqueue_status *status, Mqueue *m, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	struct copying c = { .attr = attr, .status = status };

	if (!attr->mq_curmsgs && !status->pid)
		return 0;
	if (choose_user(d, f, status, &c.user, err))
		return -1;
	if (attr->mq_curmsgs > MQUEUE_COPY_MESSAGES ||
	    (attr->mq_curmsgs + 1) * attr->mq_msgsize > MQUEUE_COPY_BYTES) {
		error_set(err, ERROR_BLOCKED, 0, "%s: more waits in the queue than can be copied",
			  dump_file_name(f));
		return error_hint(err, "let the program read some of it");
	}
	if (status->signal && signal_pending(c.user.task, status->signal)) {
		error_set(err, ERROR_BLOCKED, 0, "%s: the signal of its notification is pending",
			  dump_file_name(f));
		return error_hint(err, "try again");
	}
	if (dump_visit(c.user.task, &b, make_copying, &c, err) ||
	    take_messages(&b, &c, m, err) ||
	    (status->pid && take_notification(&b, &c, m, err)))
		return error_wrap(err, "%s", dump_file_name(f));
	return 0;
}
