/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "base/cleanup.h"
#include "images/writer.h"

/*
 * Bulk records by several workers. Each takes the next chunk, fills its own buffer, compresses and
 * sums it while it is in the cache, and writes it. Where the stored size is known beforehand (raw)
 * and the output is a file, its place is known when it is taken and nobody waits for anybody; else
 * workers come to their turn in the order of the stream.
 */
struct bulk {
	struct stream_writer *w;
	const struct bulk_source *source;
	bool placed_early;

	pthread_mutex_t lock;
	pthread_cond_t turned;
	size_t next, turn;
	uint64_t offset;	/* of the next record that gets a place */
	struct run run;
	struct error error;
};

struct bulk_task {
	struct pool_task task;
	struct bulk *bulk;
};

/* One chunk on its way. */
struct load {
	size_t i;
	struct record record;
	struct chunk *chunk;
	uint64_t check;
	uint64_t offset;	/* of the header */
};

static struct error steal_error(struct error *err)
{
	struct error taken = *err;

	*err = ERROR_INIT;
	return taken;
}

static int check_size(const struct bulk_source *source, uint32_t size, struct error *err)
{
	if (size <= RECORD_PAYLOAD_MAX)
		return 0;
	return error_set(err, ERROR_FAILED, 0, "image: a record of kind %u would have %u bytes",
			 source->kind, size);
}

static void fail(struct bulk *b, struct error *err)
{
	error_set(err, ERROR_FAILED, 0, "image: a record could not be made");
	pthread_mutex_lock(&b->lock);
	if (b->error.kind == ERROR_NONE)
		b->error = steal_error(err);
	pthread_cond_broadcast(&b->turned);
	pthread_mutex_unlock(&b->lock);
}

/* Takes the next chunk; false when there is none or the bulk has failed. */
static bool take(struct bulk *b, struct load *load)
{
	const struct bulk_source *source = b->source;
	bool taken = false;

	pthread_mutex_lock(&b->lock);
	if (b->next < source->count && b->error.kind == ERROR_NONE) {
		*load = (struct load){ .i = b->next++ };
		load->record.kind = source->kind;
		load->record.flags = source->flags | RECORD_BULK;
		load->record.number = b->run.first + load->i;
		load->record.size = source->size(source->context, load->i);
		taken = !check_size(source, load->record.size, &b->error);
		load->offset = b->offset;
		if (b->placed_early)
			b->offset += HEADER_SIZE + load->record.size;
	}
	pthread_mutex_unlock(&b->lock);
	return taken;
}

static int produce(struct bulk *b, struct load *load, struct scratch *s, struct error *err)
{
	const struct bulk_source *source = b->source;
	size_t stored = load->record.size;

	if (chunk_reserve(&s->raw, load->record.size, err) ||
	    source->fill(source->context, load->i, s->raw.data, err))
		return -1;
	load->chunk = &s->raw;
	if (b->w->options.codec == CODEC_ZSTD && stored >= PACK_MINIMUM &&
	    scratch_pack(s, b->w->options.level, stored, &load->chunk, &stored, err))
		return -1;
	load->record.codec = stored < load->record.size ? CODEC_ZSTD : CODEC_RAW;
	load->record.stored_size = stored;
	load->record.checksum = format_hash(load->chunk->data, stored);
	load->check = header_encode(load->chunk->data - HEADER_SIZE, &load->record);
	return 0;
}

static int output(struct bulk *b, struct load *load, struct error *err)
{
	return writer_output(b->w, load->chunk->data - HEADER_SIZE,
			     HEADER_SIZE + load->record.stored_size, load->offset, err);
}

/* Waits until all chunks before this one have their place; false when the bulk has failed. */
static bool wait_turn(struct bulk *b, struct load *load)
{
	while (b->turn != load->i && b->error.kind == ERROR_NONE)
		pthread_cond_wait(&b->turned, &b->lock);
	load->offset = b->offset;
	return b->error.kind == ERROR_NONE;
}

static void end_turn(struct bulk *b, const struct load *load)
{
	b->offset += HEADER_SIZE + load->record.stored_size;
	b->turn++;
	pthread_cond_broadcast(&b->turned);
}

/* Gets the chunk's place in order and writes it there. */
static int output_in_order(struct bulk *b, struct load *load, struct error *err)
{
	bool good;

	pthread_mutex_lock(&b->lock);
	good = wait_turn(b, load);
	if (good && b->w->regular)
		end_turn(b, load);
	pthread_mutex_unlock(&b->lock);
	if (!good || output(b, load, err))
		return -1;
	if (b->w->regular)
		return 0;
	pthread_mutex_lock(&b->lock);
	end_turn(b, load);
	pthread_mutex_unlock(&b->lock);
	return 0;
}

static void note(struct bulk *b, const struct load *load)
{
	pthread_mutex_lock(&b->lock);
	b->run.count++;
	b->run.digest += load->check;
	b->run.size += load->record.size;
	pthread_mutex_unlock(&b->lock);
}

static void work(struct pool_task *task, unsigned worker)
{
	struct bulk *b = ((struct bulk_task *)task)->bulk;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct load load;

	while (take(b, &load)) {
		if (produce(b, &load, &b->w->scratch[worker], &err) ||
		    (b->placed_early ? output : output_in_order)(b, &load, &err)) {
			fail(b, &err);
			break;
		}
		note(b, &load);
	}
}

/* A few chunks are not worth a thread. */
static int write_alone(struct stream_writer *w, const struct bulk_source *source, struct error *err)
{
	for (size_t i = 0; i < source->count; i++) {
		uint32_t size = source->size(source->context, i);

		if (check_size(source, size, err) || chunk_reserve(&w->scratch[0].raw, size, err) ||
		    source->fill(source->context, i, w->scratch[0].raw.data, err) ||
		    writer_put_raw(w, source->kind, source->flags | RECORD_BULK, size, err))
			return -1;
	}
	return 0;
}

static int write_together(struct stream_writer *w, const struct bulk_source *source,
			  struct error *err)
{
	struct bulk bulk = {
		.w = w,
		.source = source,
		.placed_early = w->regular && w->options.codec == CODEC_RAW,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.turned = PTHREAD_COND_INITIALIZER,
		.offset = w->offset,
		.run = { .offset = w->offset, .first = w->number, .kind = source->kind,
			 .flags = source->flags | RECORD_BULK },
	};
	_cleanup_free_ struct bulk_task *tasks = calloc(w->options.jobs, sizeof(*tasks));

	if (!tasks)
		return error_set(err, ERROR_FAILED, ENOMEM, "image");
	pool_start(&w->pool);
	for (int i = 0; i < w->options.jobs; i++) {
		tasks[i] = (struct bulk_task){ .task.run = work, .bulk = &bulk };
		pool_put(&w->pool, &tasks[i].task);
	}
	pool_finish(&w->pool);
	if (bulk.error.kind != ERROR_NONE) {
		*err = bulk.error;
		return -1;
	}
	bulk.run.length = bulk.offset - w->offset;
	w->number += bulk.run.count;
	w->digest += bulk.run.digest;
	w->unpacked += bulk.run.size;
	w->offset = bulk.offset;
	return index_note(w, &bulk.run, err);
}

#define ALONE_MAX 2u

int stream_write_bulk(struct stream_writer *w, const struct bulk_source *source, struct error *err)
{
	bool alone = w->options.jobs == 1 || source->count <= ALONE_MAX;

	if (writer_check(w, source->count, err))
		return -1;
	if (source->kind < RECORD_HEADER)
		return error_set(err, ERROR_FAILED, 0, "image: kind %u is not the caller's",
				 source->kind);
	if ((!alone && writer_flush(w, err)) ||
	    (alone ? write_alone : write_together)(w, source, err)) {
		w->failed = true;
		return -1;
	}
	return 0;
}
