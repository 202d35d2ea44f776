/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The descriptor engine, restore side: opening each description once, phase by phase. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kinds/restore_set.h"

enum { LEFTOVERS_MAX = 256 };

int restore_close_leftovers(struct restore_files *r, struct error *err)
{
	_cleanup_batch_ struct batch b = { 0 };
	const int *number;

	if (!r->leftovers.count)
		return 0;
	batch_start(&b, &r->leftover_task->agent);
	array_for(number, &r->leftovers)
		batch_must(&b, SYS_close, *number);
	r->leftovers.count = 0;
	return restore_run(r->leftover_task, &b, err);
}

int restore_fetch(struct restore_files *r, struct restore_task *t, int number, struct error *err)
{
	int *leftover;

	if ((r->leftover_task != t || r->leftovers.count >= LEFTOVERS_MAX) &&
	    restore_close_leftovers(r, err))
		return -1;
	r->leftover_task = t;
	leftover = array_add(&r->leftovers);
	if (!leftover)
		return error_set(err, ERROR_FAILED, ENOMEM, "descriptors");
	*leftover = number;
	return puppet_fetch_fd(t, number, err);
}

/* The path in a message that has one: what an error is about. */
static ProtobufCBinaryData message_path(const ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "path");

	if (!field || field->type != PROTOBUF_C_TYPE_BYTES ||
	    field->label == PROTOBUF_C_LABEL_REPEATED)
		return (ProtobufCBinaryData){ 0 };
	return *(const ProtobufCBinaryData *)((const char *)message + field->offset);
}

/* The descriptor that a call of the opener returned, or its error. */
static int fetch_result(struct restore_files *r, struct restore_file *f, int64_t result,
			struct error *err)
{
	ProtobufCBinaryData path = message_path(f->message);

	if (result < 0)
		return error_set(err, ERROR_FAILED, -result, "%s (%s)%s%.*s", restore_file_name(f),
				 f->kind->name, path.len ? ": " : "", (int)path.len,
				 (const char *)path.data);
	f->fd = restore_fetch(r, f->opener, result, err);
	return f->fd < 0 ? -1 : 0;
}

int restore_open(struct restore_files *r, struct restore_file *f, struct batch *b, int record,
		 struct error *err)
{
	if (restore_run(f->opener, b, err))
		return error_wrap(err, "%s (%s)", restore_file_name(f), f->kind->name);
	return fetch_result(r, f, batch_result(b, record), err);
}

int restore_file_set_flags(struct restore_file *f, struct error *err)
{
	const FileCommon *common = restore_file_common(f);

	if (fcntl(f->fd, F_SETFL, common->flags & ~O_ASYNC))
		return error_set(err, ERROR_FAILED, errno, "%s (%s): F_SETFL %#o",
				 restore_file_name(f), f->kind->name, common->flags);
	return 0;
}

/* ---- create ---- */

struct planned {
	struct restore_file *file;
	int record;
};

struct plans {
	struct batch batch;
	ARRAY_OF(struct planned) list;
};

static void plans_release(struct plans *plans)
{
	batch_release(&plans->batch);
	array_release(&plans->list);
}

static int plans_run(struct restore_files *r, struct plans *plans, struct error *err)
{
	struct planned *planned;

	if (!plans->list.count)
		return 0;
	if (restore_run(plans->list.items[0].file->opener, &plans->batch, err))
		return -1;
	array_for(planned, &plans->list)
		if (fetch_result(r, planned->file,
				 batch_result(&plans->batch, planned->record), err))
			return -1;
	plans->list.count = 0;
	return 0;
}

static int plan_file(struct restore_files *r, struct plans *plans, struct restore_file *f,
		     struct error *err)
{
	struct planned *planned;
	int record;

	if (plans->list.count &&
	    (plans->list.items[0].file->opener != f->opener || plans->list.count >= LEFTOVERS_MAX ||
	     !batch_has_room(&plans->batch, FILE_PLAN_RECORDS, FILE_PLAN_DATA)) &&
	    plans_run(r, plans, err))
		return -1;
	if (!plans->list.count)
		batch_start(&plans->batch, &f->opener->agent);
	record = f->kind->file->plan(r, f, &plans->batch, err);
	if (record == FILE_NOT_PLANNED)
		return 0;
	if (record < 0)
		return error_wrap(err, "%s (%s)", restore_file_name(f), f->kind->name);
	planned = array_add(&plans->list);
	if (!planned)
		return error_set(err, ERROR_FAILED, ENOMEM, "descriptors");
	*planned = (struct planned){ .file = f, .record = record };
	return 0;
}

static int create_planned(struct restore_files *r, struct error *err)
{
	__attribute__((cleanup(plans_release))) struct plans plans = { 0 };

	for (size_t i = 0; i < r->files.count; i++) {
		struct restore_file *f = &r->by_opener[i]->file;

		if (f->kind->file->plan && plan_file(r, &plans, f, err))
			return -1;
	}
	return plans_run(r, &plans, err);
}

static int create_others(struct restore_files *r, struct error *err)
{
	for (size_t i = 0; i < r->files.count; i++) {
		struct restore_file *f = &r->by_opener[i]->file;

		if (f->fd < 0 && f->kind->file->create && f->kind->file->create(r, f, err))
			return error_wrap(err, "%s (%s)", restore_file_name(f), f->kind->name);
		if (f->fd < 0)
			return error_set(err, ERROR_IMAGE, 0, "%s (%s) was not opened",
					 restore_file_name(f), f->kind->name);
	}
	return restore_close_leftovers(r, err);
}

/* ---- phases ---- */

typedef int (*phase_function)(struct restore_files *r, struct restore_file *f, struct error *err);

/* The phases behind create, in their order, by where file_ops has them. */
static const size_t phases[] = {
	offsetof(struct file_ops, connect),
	offsetof(struct file_ops, fill),
	offsetof(struct file_ops, in_flight),
	offsetof(struct file_ops, link),
};

static int run_phase(struct restore_files *r, size_t offset, struct error *err)
{
	for (size_t i = 0; i < r->files.count; i++) {
		struct restore_file *f = &r->by_opener[i]->file;
		phase_function function =
			*(const phase_function *)((const char *)f->kind->file + offset);

		if (function && function(r, f, err))
			return error_wrap(err, "%s (%s)", restore_file_name(f), f->kind->name);
	}
	return restore_close_leftovers(r, err);
}

int restore_files_open(struct restore_files *r, struct error *err)
{
	if (create_planned(r, err) || create_others(r, err))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
		if (run_phase(r, phases[i], err))
			return -1;
	return 0;
}

int restore_files_let_go(struct restore_files *r, struct error *err)
{
	return run_phase(r, offsetof(struct file_ops, let_go), err);
}

int restore_files_wake(struct restore_files *r, struct error *err)
{
	return run_phase(r, offsetof(struct file_ops, wake), err);
}

void restore_files_undo(struct restore_files *r)
{
	for (size_t i = r->files.count; i-- > 0;) {
		struct restore_file *f = &r->files.items[i]->file;

		if (f->kind->file->undo)
			f->kind->file->undo(r, f);
	}
}
