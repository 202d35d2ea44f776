/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/pending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "migrate/resolve.h"

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "pending migrations");
}

static int put(ProtobufCBinaryData *place, const uint8_t bytes[ID_SIZE], struct error *err)
{
	place->data = malloc(ID_SIZE);
	if (!place->data)
		return no_memory(err);
	memcpy(place->data, bytes, ID_SIZE);
	place->len = ID_SIZE;
	return 0;
}

static int fill(MigratePending *m, const uint8_t name[ID_SIZE], const struct record_ids *ids,
		struct error *err)
{
	if (put(&m->source, name, err))
		return -1;
	m->ids = calloc(ids->list.count + 1, sizeof(*m->ids));
	if (!m->ids)
		return no_memory(err);
	for (; m->n_ids < ids->list.count; m->n_ids++)
		if (put(&m->ids[m->n_ids], ids->list.items[m->n_ids].bytes, err))
			return -1;
	return 0;
}

int pending_collect(int directory_fd, size_t max, MigratePending **ret, struct error *err)
{
	_cleanup_record_ids_ struct record_ids ids = { 0 };
	uint8_t name[ID_SIZE];
	MigratePending *m;

	*ret = NULL;
	if (record_own_name(directory_fd, name, err) ||
	    record_list(directory_fd, SIDE_SOURCE, &ids, err))
		return -1;
	if (ids.list.count > max)
		return 0;
	m = malloc(sizeof(*m));
	if (!m)
		return no_memory(err);
	migrate_pending__init(m);
	if (fill(m, name, &ids, err)) {
		migrate_pending__free_unpacked(m, NULL);
		return -1;
	}
	*ret = m;
	return 0;
}

bool pending_names(const MigratePending *m, const uint8_t id[ID_SIZE])
{
	size_t i;

	for (i = 0; i < m->n_ids; i++)
		if (!memcmp(m->ids[i].data, id, ID_SIZE))
			return true;
	return false;
}

/* It was decided that the tree runs here, but whoever should have let it go on has died, or
 * somebody has frozen it since. -1 on error. */
static int is_frozen(const struct record_file *r, struct error *err)
{
	_cleanup_cell_ struct cell cell = CELL_NONE;
	int there = record_open_cell(r, &cell, err);

	return there > 0 ? freezer_in_force(&cell.freezer) : there;
}

/* What the source will not ask about was ended there, or goes on there by the word of its operator:
 * nothing is let go on here. */
static int settle(struct record_file *r, struct error *err)
{
	int frozen = r->phase == RECORD_COMMITTED ? is_frozen(r, err) : 0;
	char id[RECORD_ID_TEXT];
	bool runs;

	if (frozen > 0) {
		record_id_text(r->id, id);
		log_notice("the tree of migration %s is frozen here; if it runs nowhere else, "
			   "criu-lite receive --resolve %s lets it go on", id, id);
		return 0;
	}
	if (frozen < 0 || resolve_destination(r, &runs, err))
		return -1;
	return runs ? record_remove(r, err) : 0;
}

static void prune_one(int directory_fd, const struct record_id *id, const MigratePending *m)
{
	static const uint8_t not_known[ID_SIZE];
	struct record_file record = { .lock_fd = -1 };
	_cleanup_error_ struct error failed = ERROR_INIT;
	int there = record_load(&record, directory_fd, SIDE_DESTINATION, id->bytes, 0, &failed);

	if (there > 0 && memcmp(record.source, not_known, ID_SIZE) &&
	    !memcmp(record.source, m->source.data, ID_SIZE) && settle(&record, &failed))
		log_notice("%s", failed.message);
	record_release(&record);
}

int pending_prune(int directory_fd, const struct record_ids *before, const MigratePending *m,
		  struct error *err)
{
	const struct record_id *id;
	size_t i;

	for (i = 0; i < m->n_ids; i++)
		if (m->ids[i].len != ID_SIZE)
			break;
	if (m->source.len != ID_SIZE || i < m->n_ids)
		return error_set(err, ERROR_PEER, 0, "an id has %zu bytes",
				 i < m->n_ids ? m->ids[i].len : m->source.len);
	array_for(id, &before->list)
		if (!pending_names(m, id->bytes))
			prune_one(directory_fd, id, m);
	return 0;
}
