/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/blockers.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"

int blockers_add(struct blockers *b, pid_t pid, const char *reason, const char *remedy,
		 const char *object_fmt, ...)
{
	struct blocker *added = array_add(&b->list);
	va_list args;
	int r;

	if (!added)
		return -1;
	added->pid = pid;
	va_start(args, object_fmt);
	r = vasprintf(&added->object, object_fmt, args);
	va_end(args);
	if (r < 0)
		added->object = NULL;
	added->reason = strdup(reason);
	added->remedy = remedy ? strdup(remedy) : NULL;
	if (r < 0 || !added->reason || (remedy && !added->remedy))
		return -1;
	return 0;
}

static void blocker_release(struct blocker *one)
{
	free(one->object);
	free(one->reason);
	free(one->remedy);
}

static bool has(const struct blockers *b, const struct blocker *wanted)
{
	const struct blocker *one;

	array_for(one, &b->list)
		if (one->pid == wanted->pid && !strcmp(one->object, wanted->object) &&
		    !strcmp(one->reason, wanted->reason))
			return true;
	return false;
}

int blockers_add_all(struct blockers *b, const struct blockers *other, struct error *err)
{
	const struct blocker *one;

	array_for(one, &other->list)
		if (blockers_add(b, one->pid, one->reason, one->remedy, "%s", one->object))
			return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

void blockers_keep(struct blockers *b, const struct blockers *other)
{
	size_t i, kept = 0;

	for (i = 0; i < b->list.count; i++) {
		if (has(other, &b->list.items[i]))
			b->list.items[kept++] = b->list.items[i];
		else
			blocker_release(&b->list.items[i]);
	}
	b->list.count = kept;
}

void blockers_release(struct blockers *b)
{
	struct blocker *one;

	array_for(one, &b->list)
		blocker_release(one);
	array_release(&b->list);
}

int blockers_error(const struct blockers *b, struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	const struct blocker *one;

	if (!b->list.count)
		return 0;
	array_for(one, &b->list) {
		char *line;
		int r = asprintf(&line, "\n  process %d: %s: %s%s%s%s", one->pid, one->object,
				 one->reason, one->remedy ? " (" : "",
				 one->remedy ? one->remedy : "", one->remedy ? ")" : "");

		if (r < 0)
			break;
		r = buffer_append(&text, line, r);
		free(line);
		if (r)
			break;
	}
	return error_set(err, ERROR_BLOCKED, 0, "cannot save this tree, nothing was touched:%s",
			 text.data ? text.data : "");
}
