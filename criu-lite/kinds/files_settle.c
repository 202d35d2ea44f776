/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The descriptor engine, restore side: what depends on who calls. */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "kinds/restore_set.h"

/* Signals may only go to who was restored: by now a stranger may have the id of somebody else. */
static bool owner_restored(const struct restore *run, const FileCommon *common)
{
	for (size_t i = 0; i < run->tasks.count; i++) {
		const struct restore_task *t = run->tasks.items[i];

		if (common->owner_type == FILE_COMMON__OWNER_TYPE__PROCESS &&
		    t->pid == common->owner)
			return true;
		if (common->owner_type == FILE_COMMON__OWNER_TYPE__GROUP &&
		    t->pgid == common->owner)
			return true;
		for (size_t k = 0; k < t->threads.count; k++)
			if (common->owner_type == FILE_COMMON__OWNER_TYPE__THREAD &&
			    t->threads.items[k]->tid == common->owner)
				return true;
	}
	return false;
}

static int owner_kind(const FileCommon *common)
{
	switch (common->owner_type) {
	case FILE_COMMON__OWNER_TYPE__THREAD:
		return F_OWNER_TID;
	case FILE_COMMON__OWNER_TYPE__GROUP:
		return F_OWNER_PGRP;
	default:
		return F_OWNER_PID;
	}
}

/* O_ASYNC is set through a number of the program: that is what its signals will name. */
static int put_owner(struct restore_files *r, struct restore_slot *slot, struct error *err)
{
	const FileCommon *common = restore_file_common(&slot->file);
	struct f_owner_ex owner = { .type = owner_kind(common), .pid = common->owner };
	struct restore_task *t = slot->file.opener;
	_cleanup_batch_ struct batch b = { 0 };
	bool restored = common->has_owner && owner_restored(r->run, common);

	if (common->has_owner && !restored)
		log_info("%s: its signals went to process %d outside of the tree",
			 restore_file_name(&slot->file), common->owner);
	batch_start(&b, &t->agent);
	if (restored)
		batch_must(&b, SYS_fcntl, slot->number, F_SETOWN_EX,
			   batch_put(&b, &owner, sizeof(owner)));
	if (common->has_signal)
		batch_must(&b, SYS_fcntl, slot->number, F_SETSIG, common->signal);
	if (common->flags & O_ASYNC)
		batch_must(&b, SYS_fcntl, slot->number, F_SETFL, common->flags);
	if (b.records.count && restore_run(t, &b, err))
		return error_wrap(err, "%s: owner", restore_file_name(&slot->file));
	return 0;
}

int restore_files_settle(struct restore_files *r, struct error *err)
{
	for (size_t i = 0; i < r->files.count; i++) {
		struct restore_slot *slot = r->by_opener[i];
		struct restore_file *f = &slot->file;
		const FileCommon *common = restore_file_common(f);

		/* What is only in flight has no number that a signal could name. */
		if (slot->number >= 0 &&
		    (common->has_owner || common->has_signal || common->flags & O_ASYNC) &&
		    put_owner(r, slot, err))
			return -1;
		if (f->kind->file->installed && f->kind->file->installed(r, f, err))
			return error_wrap(err, "%s (%s)", restore_file_name(f), f->kind->name);
	}
	return 0;
}
