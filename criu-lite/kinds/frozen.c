/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/frozen.h"

#include "base/log.h"
#include "guard/guard.h"
#include "proc/tasks.h"

enum { FREEZE_TIMEOUT_MS = 1000 };

_Static_assert((int)FREEZERS_MAX == (int)GUARD_FREEZERS, "a place for each freezer");

static int slot_of(const struct dump *d, const struct freezer *f)
{
	return f - d->freezers.items;
}

struct guard_freezer frozen_told(const struct freezer *f)
{
	return (struct guard_freezer){
		.dir = f->dir,
		.file = freezer_file(f),
		.thaw = freezer_word(f, false),
		.freeze = freezer_word(f, true),
		.stops_frozen = f->kind == FREEZER_V2,
	};
}

/* Tells the guard, then freezes or thaws. */
static int move(struct dump *d, struct freezer *f, bool frozen, int timeout_ms, struct error *err)
{
	struct guard_freezer told = frozen_told(f);

	told.was_frozen = f->was_frozen;
	if (guard_freezer_moves(d->guard, slot_of(d, f), &told, err) ||
	    freezer_set(f, frozen, timeout_ms, err))
		return -1;
	if (f->frozen == f->was_frozen)
		guard_freezer_rests(d->guard, slot_of(d, f));
	return 0;
}

int frozen_watch(struct dump *d, const struct pid_list *tree, struct error *err)
{
	struct agent_note *note;
	const pid_t *pid;

	if (!d->freezers.count)
		return 0;
	array_for(pid, &tree->pids)
		if (guard_watch(d->guard, *pid, &note, err))
			return -1;
	return 0;
}

int frozen_begin(struct dump *d, struct error *err)
{
	struct freezer *f = d->freezers.items;
	struct error slow = ERROR_INIT;
	size_t i;

	for (i = 0; i < d->freezers.count; i++)
		if (d->freezers.items[i].frozen)
			return 0;
	if (!d->freezers.count)
		return 0;
	if (move(d, f, true, FREEZE_TIMEOUT_MS, &slow)) {
		log_info("%s", slow.message);
		error_clear(&slow);
		guard_freezer_rests(d->guard, slot_of(d, f));
	}
	return 0;
}

static int thaw(struct dump *d, enum freezer_kind kind, struct error *err)
{
	size_t i;

	for (i = 0; i < d->freezers.count; i++) {
		struct freezer *f = &d->freezers.items[i];

		if (f->kind == kind && f->frozen && move(d, f, false, 0, err))
			return -1;
	}
	return 0;
}

int frozen_let_stop(struct dump *d, struct error *err)
{
	return thaw(d, FREEZER_V1, err);
}

int frozen_let_work(struct dump *d, struct error *err)
{
	return thaw(d, FREEZER_V2, err);
}

/* Those that we hold need not be waited for: none of them runs. */
int frozen_stay(struct dump *d, struct error *err)
{
	struct freezer *f = d->freezers.items;

	return d->freezers.count ? move(d, f, true, 0, err) : 0;
}

int frozen_stay_no_more(struct dump *d, struct error *err)
{
	return frozen_let_stop(d, err) || frozen_let_work(d, err) ? -1 : 0;
}

void frozen_settle(struct dump *d)
{
	struct error failed = ERROR_INIT;
	size_t i;

	for (i = 0; i < d->freezers.count; i++) {
		struct freezer *f = &d->freezers.items[i];

		if (f->frozen != f->was_frozen && move(d, f, f->was_frozen, 0, &failed)) {
			log_info("%s", failed.message);
			error_clear(&failed);
		}
	}
}
