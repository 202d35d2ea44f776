/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is inside an image. Page data is jumped over where the image has an index. */
#include "cmd/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/command.h"
#include "images/json.h"
#include "images/memory.pb-c.h"
#include "images/round.pb-c.h"
#include "memory/records.h"
#include "steps/records.h"

const char *inspect_record_name(uint16_t record)
{
	const struct kind *kind = kind_by_record(record);

	switch (record) {
	case RECORD_HEADER:
		return "image";
	case RECORD_TREE:
		return "tree";
	case RECORD_MEMORY:
		return "memory";
	case RECORD_PAGES:
		return "pages";
	case RECORD_ROUND:
		return "round";
	case RECORD_KEPT:
		return "kept";
	}
	return kind ? kind->name : NULL;
}

const ProtobufCMessageDescriptor *inspect_record_message(uint16_t record)
{
	const struct kind *kind = kind_by_record(record);

	switch (record) {
	case RECORD_HEADER:
		return &image__descriptor;
	case RECORD_TREE:
		return &tree__descriptor;
	case RECORD_MEMORY:
		return &memory__descriptor;
	case RECORD_ROUND:
		return &round__descriptor;
	case RECORD_KEPT:
		return &kept__descriptor;
	}
	return kind ? kind->message : NULL;
}

/* ---- for machines ---- */

static json_t *json_record(struct stream_reader *r, const struct record *record, struct error *err)
{
	static const char *const codecs[] = { [CODEC_RAW] = "raw", [CODEC_ZSTD] = "zstd" };
	const ProtobufCMessageDescriptor *type = inspect_record_message(record->kind);
	const char *name = inspect_record_name(record->kind);
	json_t *object = json_pack("{s:i, s:i, s:s, s:b, s:I, s:I}", "number", (int)record->number,
				   "kind", record->kind, "codec",
				   record->codec <= CODEC_ZSTD ? codecs[record->codec] : "?",
				   "critical", record->flags & RECORD_CRITICAL, "stored",
				   (json_int_t)record->run_stored, "size",
				   (json_int_t)record->run_size);
	ProtobufCMessage *message;

	if (!object) {
		error_set(err, ERROR_FAILED, ENOMEM, "inspect");
		return NULL;
	}
	if (name)
		json_object_set_new(object, "name", json_string(name));
	if (record->flags & RECORD_BULK)
		json_object_set_new(object, "records", json_integer(record->run_count));
	if (record->flags & RECORD_BULK || !type)
		return object;
	if (stream_message(r, type, &message, err)) {
		json_decref(object);
		return NULL;
	}
	json_object_set_new(object, "message", json_from_message(message));
	protobuf_c_message_free_unpacked(message, NULL);
	return object;
}

int inspect_json(struct stream_reader *r, struct error *err)
{
	const struct stream_info *info = stream_reader_info(r);
	const char *separator = "";
	struct record record;
	int more;

	printf("{\"version\": %u, \"architecture\": \"%s\", \"page_size\": %u, \"records\": [",
	       info->version, info->architecture, info->page_size);
	while ((more = stream_next(r, &record, err)) > 0) {
		json_t *object = json_record(r, &record, err);

		if (!object)
			return -1;
		printf("%s\n", separator);
		separator = ",";
		json_dumpf(object, stdout, JSON_COMPACT);
		json_decref(object);
	}
	if (more < 0)
		return -1;
	printf("\n]}\n");
	return 0;
}

/* ---- for a person ---- */

static int keep_pages(struct inspected *all, const Memory *m, struct error *err)
{
	for (size_t i = 0; i < m->n_sets; i++) {
		struct inspect_pages *pages = NULL, *one;

		array_for(one, &all->pages)
			if (one->space == m->sets[i]->space)
				pages = one;
		if (!pages && !(pages = array_add(&all->pages)))
			return error_set(err, ERROR_FAILED, ENOMEM, "inspect");
		pages->space = m->sets[i]->space;
		pages->pages += m->sets[i]->pages;
	}
	return 0;
}

static void forget_round(struct inspected *all)
{
	struct inspect_message *m;

	array_for(m, &all->messages)
		protobuf_c_message_free_unpacked(m->message, NULL);
	all->messages.count = 0;
	if (all->tree)
		tree__free_unpacked(all->tree, NULL);
	all->tree = NULL;
}

/* Takes the message over. */
static int keep(struct inspected *all, uint16_t record, ProtobufCMessage *message,
		struct error *err)
{
	const struct kind *kind = kind_by_record(record);
	struct inspect_message *slot = NULL;
	int r = 0;

	/* Of a pre-copied image the last round is told; pages are counted over all. */
	if (record == RECORD_ROUND) {
		protobuf_c_message_free_unpacked(message, NULL);
		forget_round(all);
		return 0;
	}
	if (record == RECORD_HEADER && !all->image)
		all->image = (Image *)message;
	else if (record == RECORD_TREE && !all->tree)
		all->tree = (Tree *)message;
	else if (kind && (slot = array_add(&all->messages)))
		*slot = (struct inspect_message){ kind, message };
	else {
		if (record == RECORD_KEPT)
			r = 0;
		else if (record == RECORD_MEMORY)
			r = keep_pages(all, (const Memory *)message, err);
		else
			r = kind ? error_set(err, ERROR_FAILED, ENOMEM, "inspect") :
				   error_set(err, ERROR_IMAGE, 0, "record kind %u is there twice", record);
		protobuf_c_message_free_unpacked(message, NULL);
	}
	return r;
}

static int read_all(struct stream_reader *r, struct inspected *all, struct error *err)
{
	struct record record;
	int more;

	while ((more = stream_next(r, &record, err)) > 0) {
		const ProtobufCMessageDescriptor *type = inspect_record_message(record.kind);
		ProtobufCMessage *message;

		all->records += record.run_count;
		all->stored += record.run_stored;
		all->unpacked += record.run_size;
		if (record.flags & RECORD_BULK || !type)
			continue;
		if (stream_message(r, type, &message, err) ||
		    keep(all, record.kind, message, err))
			return -1;
	}
	if (more < 0)
		return -1;
	return all->image && all->tree ? 0 :
					 error_set(err, ERROR_IMAGE, 0, "the image has no header or tree");
}

static void inspected_release(struct inspected *all)
{
	struct inspect_message *m;

	array_for(m, &all->messages)
		protobuf_c_message_free_unpacked(m->message, NULL);
	array_release(&all->messages);
	array_release(&all->pages);
	array_release(&all->index);
	if (all->image)
		image__free_unpacked(all->image, NULL);
	if (all->tree)
		tree__free_unpacked(all->tree, NULL);
}

/* ---- the command ---- */

static int inspect(const char *name, int fd, bool json, bool maps, struct error *err)
{
	_cleanup_reader_ struct stream_reader *r = NULL;
	struct inspected all = { 0 };
	int result;

	if (stream_reader_open(&r, fd, 1, err) || stream_use_index(r, err) < 0)
		return -1;
	if (json)
		return inspect_json(r, err);
	result = read_all(r, &all, err) || inspect_print(&all, name, maps, err) ? -1 : 0;
	inspected_release(&all);
	return result;
}

static int run(int argc, char **argv, struct error *err)
{
	const char *name;
	bool json = false, maps = false, help;
	const struct option_row rows[] = {
		{ "maps", OPTION_FLAG, NULL, "list every area of memory", &maps, 0, 0 },
		{ "json", OPTION_FLAG, NULL, "every record, complete, for machines", &json, 0, 0 },
		{ 0 },
	};
	_cleanup_fd_ int file = -1;
	int count;

	if (options_parse(&inspect_command, rows, argc, argv, &name, 1, &count, &help, err))
		return -1;
	if (help)
		return 0;
	if (!count)
		return error_set(err, ERROR_USAGE, 0, "which image?");
	if (strcmp(name, "-")) {
		file = open(name, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			return error_set(err, ERROR_FAILED, errno, "%s", name);
	}
	if (inspect(name, file < 0 ? STDIN_FILENO : file, json, maps, err))
		return -1;
	return fflush(stdout) ? error_set(err, ERROR_FAILED, errno, "standard output") : 0;
}

const struct command inspect_command = {
	.name = "inspect",
	.arguments = "FILE [options]",
	.summary = "shows what is in an image: processes, memory, descriptors, sizes",
	.run = run,
};
