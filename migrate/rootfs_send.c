/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/rootfs_send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/io.h"

enum {
	CHANGES_MAX = 4096,
	MESSAGE_BYTES = 1 << 20,	/* a message goes when it has so many */
	CHANGE_BYTES = 64,		/* of a change, but for what it carries */
	LIFE_MS = 500,
};

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "files to send");
}

static void forget(struct rootfs_sender *s)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		protobuf_c_message_free_unpacked(&s->changes[i]->base, NULL);
	s->count = s->bytes = 0;
}

static int flush(struct rootfs_sender *s, MigrateFiles__End *end, struct error *err)
{
	MigrateFiles m = MIGRATE_FILES__INIT;
	int r;

	m.changes = s->changes;
	m.n_changes = s->count;
	m.end = end;
	r = link_send(s->link, s->kind, &m.base, err);
	s->sent_ns = now_ns();
	s->all_bytes += s->bytes;
	s->all_changes += s->count;
	forget(s);
	return r;
}

/* Its bytes are counted already. */
static MigrateFiles__Change *add(struct rootfs_sender *s, const char *path, struct error *err)
{
	MigrateFiles__Change *c;

	if (!s->changes)
		s->changes = calloc(CHANGES_MAX, sizeof(*s->changes));
	if ((s->count == CHANGES_MAX || s->bytes >= MESSAGE_BYTES) && flush(s, NULL, err))
		return NULL;
	c = s->changes ? malloc(sizeof(*c)) : NULL;
	if (!c) {
		no_memory(err);
		return NULL;
	}
	migrate_files__change__init(c);
	c->path = strdup(path);
	if (!c->path) {
		free(c);
		no_memory(err);
		return NULL;
	}
	s->changes[s->count++] = c;
	s->bytes += CHANGE_BYTES + strlen(path);
	return c;
}

static MigrateFiles__Change *add_entry(struct rootfs_sender *s, const char *path,
				       MigrateFiles__Entry *entry, struct error *err)
{
	MigrateFiles__Change *c = add(s, path, err);

	if (!c)
		protobuf_c_message_free_unpacked(&entry->base, NULL);
	else
		s->bytes += protobuf_c_message_get_packed_size(&entry->base);
	return c;
}

int rootfs_send_make(struct rootfs_sender *s, const char *path, MigrateFiles__Entry *entry,
		     struct error *err)
{
	MigrateFiles__Change *c = add_entry(s, path, entry, err);

	if (!c)
		return -1;
	c->make = entry;
	return 0;
}

int rootfs_send_entry(struct rootfs_sender *s, const char *path, MigrateFiles__Entry *entry,
		      struct error *err)
{
	MigrateFiles__Change *c = add_entry(s, path, entry, err);

	if (!c)
		return -1;
	c->entry = entry;
	return 0;
}

int rootfs_send_link(struct rootfs_sender *s, const char *path, const char *other,
		     struct error *err)
{
	MigrateFiles__Change *c = add(s, path, err);

	if (!c)
		return -1;
	c->link = strdup(other);
	s->bytes += strlen(other);
	return c->link ? 0 : no_memory(err);
}

int rootfs_send_removed(struct rootfs_sender *s, const char *path, struct error *err)
{
	MigrateFiles__Change *c = add(s, path, err);

	if (!c)
		return -1;
	c->has_removed = c->removed = true;
	return 0;
}

int rootfs_send_resize(struct rootfs_sender *s, const char *path, uint64_t size,
		       struct error *err)
{
	MigrateFiles__Change *c = add(s, path, err);

	if (!c)
		return -1;
	c->has_resize = true;
	c->resize = size;
	return 0;
}

static MigrateFiles__Data *add_data(struct rootfs_sender *s, const char *path, uint64_t offset,
				    struct error *err)
{
	MigrateFiles__Change *c = add(s, path, err);

	if (!c)
		return NULL;
	c->data = malloc(sizeof(*c->data));
	if (!c->data) {
		no_memory(err);
		return NULL;
	}
	migrate_files__data__init(c->data);
	c->data->offset = offset;
	return c->data;
}

static int pack(struct rootfs_sender *s, MigrateFiles__Data *d, const void *data, size_t size,
		struct error *err)
{
	struct chunk *chunk;
	size_t stored = size;

	if (s->packs) {
		if (chunk_reserve(&s->scratch.raw, size, err))
			return -1;
		memcpy(s->scratch.raw.data, data, size);
		if (scratch_pack(&s->scratch, s->level, size, &chunk, &stored, err))
			return -1;
		d->has_unpacked = chunk == &s->scratch.packed;
		d->unpacked = d->has_unpacked ? size : 0;
		data = chunk->data;
	}
	d->data.data = malloc(stored);
	if (!d->data.data)
		return no_memory(err);
	memcpy(d->data.data, data, stored);
	d->data.len = stored;
	d->has_data = true;
	s->bytes += stored;
	return 0;
}

int rootfs_send_data(struct rootfs_sender *s, const char *path, uint64_t offset, const void *data,
		     size_t size, struct error *err)
{
	MigrateFiles__Data *d = add_data(s, path, offset, err);

	if (!d)
		return -1;
	d->has_hash = true;
	d->hash = XXH3_64bits(data, size);
	return pack(s, d, data, size, err);
}

int rootfs_send_hole(struct rootfs_sender *s, const char *path, uint64_t offset, uint64_t size,
		     struct error *err)
{
	MigrateFiles__Data *d = add_data(s, path, offset, err);

	if (!d)
		return -1;
	d->has_hole = true;
	d->hole = size;
	return 0;
}

int rootfs_send_life(struct rootfs_sender *s, struct error *err)
{
	return now_ns() - s->sent_ns < LIFE_MS * 1000000ull ? 0 : flush(s, NULL, err);
}

int rootfs_send_end(struct rootfs_sender *s, uint64_t names, uint64_t digest, bool last,
		    struct error *err)
{
	MigrateFiles__End end = MIGRATE_FILES__END__INIT;

	end.names = names;
	end.digest = digest;
	end.last = last;
	return flush(s, &end, err);
}

void rootfs_sender_release(struct rootfs_sender *s)
{
	forget(s);
	free(s->changes);
	s->changes = NULL;
	scratch_release(&s->scratch);
}
