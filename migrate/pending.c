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

static bool may_be_asked(const MigratePending *m, const struct record_id *id)
{
	size_t i;

	for (i = 0; i < m->n_ids; i++)
		if (!memcmp(m->ids[i].data, id->bytes, ID_SIZE))
			return true;
	return false;
}

/* The source has heard that it runs, so that was done; it may have been frozen since by others. */
static int settle(struct record_file *r, struct error *err)
{
	bool runs = r->phase == RECORD_COMMITTED;

	if ((!runs || r->cell_made) && resolve_destination(r, &runs, err))
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
		if (!may_be_asked(m, id))
			prune_one(directory_fd, id, m);
	return 0;
}
