/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/command.h"
#include "cmd/inspect.h"
#include "images/image.pb-c.h"
#include "images/json.h"
#include "images/memory.pb-c.h"
#include "images/tree.pb-c.h"
#include "memory/records.h"
#include "steps/records.h"

enum { JSON_INDENT_WIDTH = 2 };

const struct inspect_type *inspect_type(const struct record *record, struct inspect_type *room)
{
	static const struct inspect_type coordinators[] = {
		{ "image", RECORD_HEADER, &image__descriptor, NULL },
		{ "tree", RECORD_TREE, &tree__descriptor, NULL },
		{ "memory", RECORD_MEMORY, &memory__descriptor, NULL },
	};
	const struct kind *kind = kind_by_record(record->kind);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(coordinators); i++)
		if (coordinators[i].record == record->kind)
			return &coordinators[i];
	if (!kind)
		return NULL;
	*room = (struct inspect_type){ kind->name, kind->record, kind->message, kind };
	return room;
}

int inspect_load(struct inspected *in, int fd, struct error *err)
{
	struct record record;
	int more;

	if (stream_reader_open(&in->reader, fd, 1, err) || stream_use_index(in->reader, err) < 0)
		return -1;
	while ((more = stream_next(in->reader, &record, err)) > 0) {
		struct inspect_type room;
		const struct inspect_type *type = inspect_type(&record, &room);
		struct inspected_record *kept = array_add(&in->records);

		if (!kept)
			return error_set(err, ERROR_FAILED, ENOMEM, "records");
		kept->record = record;
		if (type)
			kept->type = *type;
		if (type && stream_message(in->reader, type->message, &kept->message, err))
			return -1;
	}
	return more;
}

void inspect_release(struct inspected *in)
{
	struct inspected_record *one;

	array_for(one, &in->records)
		if (one->message)
			protobuf_c_message_free_unpacked(one->message, NULL);
	array_release(&in->records);
	stream_reader_free(in->reader);
}

static json_t *record_json(const struct inspected_record *one)
{
	json_t *object = json_pack("{s:i, s:I, s:I}", "record", one->record.kind, "stored_bytes",
				   (json_int_t)one->record.run_stored, "bytes",
				   (json_int_t)one->record.run_size);

	if (one->type.name)
		json_object_set_new(object, "kind", json_string(one->type.name));
	else if (one->record.kind == RECORD_PAGES)
		json_object_set_new(object, "kind", json_string("pages"));
	if (one->record.run_count > 1)
		json_object_set_new(object, "count", json_integer(one->record.run_count));
	if (one->message)
		json_object_set_new(object, "message", json_from_message(one->message));
	return object;
}

static int print_json(const struct inspected *in, struct error *err)
{
	json_t *list = json_array(), *top = json_pack("{s:o}", "records", list);
	const struct inspected_record *one;
	int r;

	array_for(one, &in->records)
		json_array_append_new(list, record_json(one));
	r = json_dumpf(top, stdout, JSON_INDENT(JSON_INDENT_WIDTH));
	json_decref(top);
	if (r || putchar('\n') == EOF || fflush(stdout))
		return error_set(err, ERROR_FAILED, errno, "cannot write JSON");
	return 0;
}

static int run(int argc, char **argv, struct error *err)
{
	const char *image;
	bool as_json = false, help;
	const struct option_row rows[] = {
		{ "json", OPTION_FLAG, NULL, "all of it, as JSON", &as_json, 0, 0 },
		{ 0 },
	};
	struct inspected in = { 0 };
	_cleanup_fd_ int file = -1;
	int count, r;

	if (options_parse(&inspect_command, rows, argc, argv, &image, 1, &count, &help, err))
		return -1;
	if (help)
		return 0;
	if (!count)
		return error_set(err, ERROR_USAGE, 0, "which image?");
	if (strcmp(image, "-")) {
		file = open(image, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			return error_set(err, ERROR_FAILED, errno, "%s", image);
	}
	r = inspect_load(&in, file < 0 ? STDIN_FILENO : file, err);
	if (!r && as_json)
		r = print_json(&in, err);
	else if (!r)
		inspect_print(&in, stdout);
	inspect_release(&in);
	return r;
}

const struct command inspect_command = {
	.name = "inspect",
	.arguments = "FILE [--json]",
	.summary = "shows what is inside an image: processes, memory, descriptors, sizes",
	.run = run,
};
