/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System V message queues. Messages are copied, not taken (MSG_COPY of msgrcv(2)). A queue that is
 * still there gets the messages of the checkpoint unless it holds just these.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "kinds/ipc/sysv.h"

enum {
	TEXT_MAX = RECORD_PAYLOAD_MAX,	/* of one message */
	FIRST_ROOM = 8192,
	SEND_AT_ONCE = 64,
};

/* A message as msgsnd(2) takes it. */
struct message {
	long type;
	char text[];
};

/* What a restore has done outside. */
struct queue_made {
	bool created, replaced;
	size_t size;		/* of the old messages: each a struct stored and its bytes */
	char before[];
};

struct stored {
	size_t size;
	long type;
};

/* ---- dump ---- */

static bool sysv_msg_recognise(const struct object_look *look)
{
	return look->st.st_dev == (dev_t)SYSV_MSG_DEVICE;
}

int sysv_msg_each(const struct sysv_tree *tree, sysv_visitor each, void *context,
		  struct error *err)
{
	_cleanup_fd_ int proc = sysv_open_proc(err);
	struct sysvipc_msgs queues = { 0 };
	const struct sysvipc_msg *q;
	int r = 0;

	if (proc < 0 || proc_read_msg(proc, &queues, err))
		return -1;
	array_for(q, &queues.items) {
		const pid_t operators[] = { q->lspid, q->lrpid };
		struct sysv_found found = {
			q->perm.id, sysv_claim(tree, operators, 2, &q->perm, q->ctime), &q->perm,
			q->bytes,
		};

		if (found.claim != SYSV_FOREIGN && (r = each(context, &found, err)))
			break;
	}
	array_release(&queues.items);
	return r;
}

static void free_messages(SysvMsg *m)
{
	for (size_t i = 0; i < m->n_messages; i++) {
		free(m->messages[i]->text.data);
		free(m->messages[i]);
	}
	free(m->messages);
}

static int add_message(SysvMsg *m, const struct message *message, size_t size)
{
	SysvMsg__Waiting **list = realloc(m->messages, (m->n_messages + 1) * sizeof(*list));
	SysvMsg__Waiting *waiting = malloc(sizeof(*waiting));
	uint8_t *text = malloc(size ? size : 1);

	if (list)
		m->messages = list;
	if (!list || !waiting || !text) {
		free(waiting);
		free(text);
		return -1;
	}
	sysv_msg__waiting__init(waiting);
	waiting->type = message->type;
	memcpy(text, message->text, size);
	waiting->text = (ProtobufCBinaryData){ size, text };
	list[m->n_messages++] = waiting;
	return 0;
}

/* Copies one message by its position; *buffer grows to hold it. Its size, -1 with errno. */
static ssize_t copy_message(int id, long position, struct message **buffer, size_t *room)
{
	for (;;) {
		ssize_t size = msgrcv(id, *buffer, *room, position, MSG_COPY | IPC_NOWAIT);
		struct message *larger;

		if (size >= 0 || errno != E2BIG || *room >= TEXT_MAX)
			return size;
		larger = realloc(*buffer, sizeof(**buffer) + *room * 2);
		if (!larger)
			return -1;
		*buffer = larger;
		*room *= 2;
	}
}

static int copy_messages(SysvMsg *m, struct error *err)
{
	size_t room = FIRST_ROOM;
	_cleanup_free_ struct message *buffer = malloc(sizeof(*buffer) + room);

	for (long position = 0; buffer; position++) {
		ssize_t size = copy_message(m->msqid, position, &buffer, &room);

		if (size < 0 && errno == ENOMSG)
			return 0;
		if (size < 0)
			return error_set(err, ERROR_TARGET, errno, "message queue %u: MSG_COPY",
					 m->msqid);
		if (add_message(m, buffer, size))
			break;
	}
	return error_set(err, ERROR_FAILED, ENOMEM, "message queue");
}

static int sysv_msg_dump(struct dump_objects *d, struct dump_object *o,
			 const struct object_look *look, struct error *err)
{
	SysvMsg m = SYSV_MSG__INIT;
	struct msqid_ds ds;
	SysvOwner owner;
	int r;

	if (msgctl(o->ino, IPC_STAT, &ds))
		return error_set(err, ERROR_TARGET, errno, "message queue %d", (int)o->ino);
	sysv_owner_fill(&owner, &ds.msg_perm, look->st.st_nlink ? SYSV_USED : SYSV_PRESUMED);
	m.id = o->id;
	m.msqid = o->ino;
	m.owner = &owner;
	m.limit = ds.msg_qbytes;
	r = copy_messages(&m, err);
	if (!r)
		r = dump_object_message(d, o, &m.base, err);
	free_messages(&m);
	return r;
}

/* ---- restore ---- */

static const struct sysv_sort sort = {
	.name = "message queue",
	.next_id = "msg_next_id",
	.remove = 'q',
	.guard = GUARD_MSG,
	.get = SYS_msgget,
	.control = SYS_msgctl,
};

static int stash(struct restore_object *o, const struct message *message, size_t size)
{
	struct queue_made *made = o->data;
	struct stored head = { size, message->type };

	made = realloc(made, sizeof(*made) + made->size + sizeof(head) + size);
	if (!made)
		return -1;
	o->data = made;
	memcpy(made->before + made->size, &head, sizeof(head));
	memcpy(made->before + made->size + sizeof(head), message->text, size);
	made->size += sizeof(head) + size;
	return 0;
}

/* Whether the queue holds just the saved messages. */
static bool holds_these(const SysvMsg *m)
{
	SysvMsg there = SYSV_MSG__INIT;
	struct error unreadable = ERROR_INIT;
	bool same;

	there.msqid = m->msqid;
	same = !copy_messages(&there, &unreadable) && there.n_messages == m->n_messages;
	for (size_t i = 0; same && i < m->n_messages; i++) {
		const SysvMsg__Waiting *a = m->messages[i], *b = there.messages[i];

		same = a->type == b->type && a->text.len == b->text.len &&
		       (!a->text.len || !memcmp(a->text.data, b->text.data, a->text.len));
	}
	free_messages(&there);
	error_clear(&unreadable);
	return same;
}

/* Takes every message out and keeps it for undo. */
static int drain(struct restore_object *o, int id, struct error *err)
{
	size_t room = FIRST_ROOM;
	_cleanup_free_ struct message *buffer = malloc(sizeof(*buffer) + room);

	while (buffer) {
		/* The copy tells how much room the message needs. */
		ssize_t size = copy_message(id, 0, &buffer, &room);

		if (size >= 0)
			size = msgrcv(id, buffer, room, 0, IPC_NOWAIT);
		if (size < 0 && errno == ENOMSG)
			return 0;
		if (size < 0)
			return error_set(err, ERROR_FAILED, errno, "message queue %d", id);
		if (stash(o, buffer, size))
			break;
	}
	return error_set(err, ERROR_FAILED, ENOMEM, "message queue");
}

static void lay_out(const SysvMsg__Waiting *w, struct message *ret)
{
	ret->type = w->type;
	if (w->text.len)
		memcpy(ret->text, w->text.data, w->text.len);
}

/* One that is too long for a batch. */
static int send_ourselves(const SysvMsg *m, const SysvMsg__Waiting *w, struct error *err)
{
	_cleanup_free_ struct message *message = malloc(sizeof(*message) + w->text.len);

	if (!message)
		return error_set(err, ERROR_FAILED, ENOMEM, "message queue");
	lay_out(w, message);
	if (msgsnd(m->msqid, message, w->text.len, IPC_NOWAIT))
		return error_set(err, ERROR_FAILED, errno, "message queue %u: %zu bytes", m->msqid,
				 w->text.len);
	return 0;
}

static int send_all(struct restore_task *opener, const SysvMsg *m, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };

	for (size_t i = 0; i < m->n_messages;) {
		batch_start(&b, &opener->agent);
		for (int k = 0; k < SEND_AT_ONCE && i < m->n_messages; k++, i++) {
			const SysvMsg__Waiting *w = m->messages[i];
			size_t size = sizeof(struct message) + w->text.len;
			uint64_t at;

			if (!batch_has_room(&b, 1, size + 16))
				break;
			at = batch_space(&b, size);
			lay_out(w, batch_at(&b, at));
			batch_must(&b, SYS_msgsnd, m->msqid, at, w->text.len, IPC_NOWAIT);
		}
		if (b.records.count ? restore_run(opener, &b, err) :
				      send_ourselves(m, m->messages[i++], err))
			return error_wrap(err, "message queue %u: message %zu of %zu", m->msqid, i,
					  m->n_messages);
	}
	return 0;
}

static int sysv_msg_create(struct restore_objects *r, struct restore_object *o, struct error *err)
{
	const SysvMsg *m = (const SysvMsg *)o->message;
	const struct sysv_making making = { &sort, m->msqid, m->owner, 0, 0 };
	struct restore_task *opener = restore_objects_opener(r);
	struct queue_made *made = calloc(1, sizeof(*made));
	struct msqid_ds ds = { 0 };
	int found;

	if (!made)
		return error_set(err, ERROR_FAILED, ENOMEM, "message queue");
	o->data = made;
	found = sysv_find(opener, &making, &ds, sizeof(ds), err);
	if (found < 0)
		return -1;
	if (found)
		return 0;
	ds = (struct msqid_ds){ .msg_qbytes = m->limit };
	made->created = true;
	if (sysv_make(opener, &making, &ds, sizeof(ds), err))
		return -1;
	return send_all(opener, m, err);
}

/* A queue that is there is changed last: it may still be in use until then. */
static int sysv_msg_finish(struct restore_objects *r, struct restore_object *o, struct error *err)
{
	const SysvMsg *m = (const SysvMsg *)o->message;
	struct queue_made *made = o->data;

	if (made->created || m->owner->presumed || holds_these(m))
		return 0;
	made->replaced = true;
	return drain(o, m->msqid, err) || send_all(restore_objects_opener(r), m, err) ? -1 : 0;
}

static void put_back(const struct queue_made *made, int id)
{
	long type;	/* all that is left of a message with no room for its text */

	while (msgrcv(id, &type, 0, 0, IPC_NOWAIT | MSG_NOERROR) >= 0)
		;
	for (size_t at = 0; at < made->size;) {
		struct stored head;
		struct message *message;

		memcpy(&head, made->before + at, sizeof(head));
		message = malloc(sizeof(*message) + head.size);
		if (message) {
			message->type = head.type;
			memcpy(message->text, made->before + at + sizeof(head), head.size);
			msgsnd(id, message, head.size, IPC_NOWAIT);
			free(message);
		}
		at += sizeof(head) + head.size;
	}
}

static void sysv_msg_undo(struct restore_objects *r, struct restore_object *o)
{
	const SysvMsg *m = (const SysvMsg *)o->message;
	const struct queue_made *made = o->data;

	if (made && made->created)
		msgctl(m->msqid, IPC_RMID, NULL);
	else if (made && made->replaced)
		put_back(made, m->msqid);
}

static const struct object_ops sysv_msg_ops = {
	.recognise = sysv_msg_recognise,
	.dump = sysv_msg_dump,
	.create = sysv_msg_create,
	.finish = sysv_msg_finish,
	.undo = sysv_msg_undo,
};

const struct kind sysv_msg_kind = {
	.name = "sysv-msg",
	.record = 0x3b,
	.scope = KIND_OBJECT,
	.message = &sysv_msg__descriptor,
	.help = "System V message queues with id, key, owner and messages",
	.object = &sysv_msg_ops,
};
