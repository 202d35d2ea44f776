/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps/freeze.h"

#include "base/log.h"
#include "guard/guard.h"

enum { FREEZE_TIMEOUT_MS = 1000 };

_Static_assert((int)FREEZERS_MAX == (int)GUARD_FREEZERS, "a place for each freezer");

static int tell_guard(struct dump *d, const struct freezer *f, enum guard_freezer what,
		      struct error *err)
{
	return guard_freezer(d->guard, f - d->freezers.items, what, f->file,
			     freezer_word(f, what == GUARD_FREEZE), err);
}

int freeze_find(struct dump *d, const struct preflight *before, struct error *err)
{
	_cleanup_pid_list_ struct pid_list tree = { 0 };

	if (preflight_pids(before, &tree, err))
		return -1;
	return freezers_find(&d->freezers, &tree, err);
}

int freeze_begin(struct dump *d, struct error *err)
{
	struct freezer *f = d->freezers.items;
	struct error slow = ERROR_INIT;
	size_t i;

	for (i = 0; i < d->freezers.count; i++)
		if (d->freezers.items[i].frozen)
			return 0;
	if (!d->freezers.count)
		return 0;
	if (tell_guard(d, f, f->kind == FREEZER_V1 ? GUARD_THAW : GUARD_THAW_STOPPED, err))
		return -1;
	if (freezer_set(f, true, FREEZE_TIMEOUT_MS, &slow)) {
		log_info("%s", slow.message);
		error_clear(&slow);
		return tell_guard(d, f, GUARD_LEAVE, err);
	}
	return 0;
}

static int thaw(struct dump *d, enum freezer_kind kind, struct error *err)
{
	size_t i;

	for (i = 0; i < d->freezers.count; i++) {
		struct freezer *f = &d->freezers.items[i];

		if (f->kind != kind || !f->frozen)
			continue;
		if (f->was_frozen && tell_guard(d, f, GUARD_FREEZE, err))
			return -1;
		if (freezer_set(f, false, 0, err) ||
		    (!f->was_frozen && tell_guard(d, f, GUARD_LEAVE, err)))
			return -1;
	}
	return 0;
}

int freeze_let_stop(struct dump *d, struct error *err)
{
	return thaw(d, FREEZER_V1, err);
}

int freeze_let_work(struct dump *d, struct error *err)
{
	return thaw(d, FREEZER_V2, err);
}

void freeze_settle(struct dump *d)
{
	struct error failed = ERROR_INIT;
	size_t i;

	for (i = 0; i < d->freezers.count; i++) {
		struct freezer *f = &d->freezers.items[i];

		if ((f->frozen != f->was_frozen && freezer_set(f, f->was_frozen, 0, &failed)) ||
		    tell_guard(d, f, GUARD_LEAVE, &failed)) {
			log_info("%s", failed.message);
			error_clear(&failed);
		}
	}
}
