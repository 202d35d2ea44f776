/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/container.h"

#include <stdio.h>
#include <string.h>

#include "kinds/dump.h"
#include "kinds/restore.h"

char *container_host_path(const struct container *c, const char *path)
{
	char *ret;

	if (c->host_root < 0)
		return strdup(path);
	return asprintf(&ret, "/proc/self/fd/%d%s", c->host_root, path) < 0 ? NULL : ret;
}

int dump_container(struct dump *d, const struct kind *kind, const ProtobufCMessage *message,
		   struct error *err)
{
	return stream_write(d->out, kind->record, RECORD_CRITICAL, message, err);
}

int dump_container_rows(struct dump *d, enum container_turn turn, struct error *err)
{
	const struct kind *const *row;

	for (row = kinds_table; *row; row++) {
		const struct container_ops *ops = (*row)->container;
		int (*dump)(struct dump *d, struct error *err) = NULL;

		if (ops)
			dump = turn == CONTAINER_LATE  ? ops->dump_late :
			       turn == CONTAINER_TIMED ? ops->dump_timed :
							 ops->dump;
		if (dump && dump(d, err))
			return -1;
	}
	return 0;
}

const ProtobufCMessage *restore_container_state(const struct restore *r, const struct kind *kind)
{
	return r->container_state[kind_index(kind)];
}

void **restore_container_slot(struct restore *r, const struct kind *kind)
{
	return &r->container_slots[kind_index(kind)];
}
