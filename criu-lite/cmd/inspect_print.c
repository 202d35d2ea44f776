/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An image for a person: the tree with its memory and descriptors, then sizes. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "cmd/inspect.h"
#include "images/descriptors.pb-c.h"
#include "images/image.pb-c.h"
#include "images/maps.pb-c.h"
#include "images/memory.pb-c.h"
#include "images/text.h"
#include "images/tree.pb-c.h"
#include "memory/records.h"

enum { NS_PER_S = 1000000000, KIB = 1024, INDENT = 2 };

/* The message of this type whose field 1 is `id`; any for coordinators' messages. */
static const ProtobufCMessage *find(const struct inspected *in,
				    const ProtobufCMessageDescriptor *type, uint32_t id)
{
	const struct inspected_record *one;

	array_for(one, &in->records)
		if (one->message && one->type.message == type &&
		    (!one->type.kind || kind_message_id(one->message) == id))
			return one->message;
	return NULL;
}

static const struct inspected_record *find_file(const struct inspected *in, uint32_t id)
{
	const struct inspected_record *one;

	array_for(one, &in->records)
		if (one->type.kind && one->type.kind->scope == KIND_FILE && one->message &&
		    kind_message_id(one->message) == id)
			return one;
	return NULL;
}

/* Pages that the image carries for a space. */
static uint64_t carried_pages(const struct inspected *in, uint64_t space)
{
	const struct inspected_record *one;
	uint64_t pages = 0;
	size_t i;

	array_for(one, &in->records) {
		const Memory *m = (const Memory *)one->message;

		if (!m || one->type.message != &memory__descriptor)
			continue;
		for (i = 0; i < m->n_sets; i++)
			if (m->sets[i]->space == space)
				pages += m->sets[i]->pages;
	}
	return pages;
}

static void print_header(const struct inspected *in, FILE *out)
{
	const Image *m = (const Image *)find(in, &image__descriptor, 0);
	time_t created = m ? m->created_ns / NS_PER_S : 0;
	char text[64];
	struct tm local;

	if (!m)
		return;
	strftime(text, sizeof(text), "%F %T", localtime_r(&created, &local));
	fprintf(out, "image of process %d, made %s by %s on %s, kernel %s, %s\n", m->root_pid, text,
		m->creator, m->hostname ? m->hostname : "?",
		m->kernel_release ? m->kernel_release : "?", m->machine ? m->machine : "?");
}

static void print_memory(const struct inspected *in, uint32_t pid, int indent, FILE *out)
{
	const Maps *m = (const Maps *)find(in, &maps__descriptor, pid);
	uint64_t bytes = 0;
	size_t i;

	if (!m)
		return;
	for (i = 0; i < m->n_vmas; i++)
		bytes += m->vmas[i]->end - m->vmas[i]->start;
	fprintf(out, "%*smemory: %zu areas, %" PRIu64 " KiB mapped, %" PRIu64 " KiB carried\n",
		indent, "", m->n_vmas, bytes / KIB,
		carried_pages(in, pid) * (PAGE_BYTES / KIB));
}

static void print_descriptors(const struct inspected *in, uint32_t pid, int indent, FILE *out)
{
	const FdTable *m = (const FdTable *)find(in, &fd_table__descriptor, pid);
	size_t i;

	for (i = 0; m && i < m->n_entries; i++) {
		const struct inspected_record *file = find_file(in, m->entries[i]->file);

		fprintf(out, "%*s%4u %s", indent, "", m->entries[i]->number,
			file ? file->type.name : "missing");
		fprintf(out, " #%u", m->entries[i]->file);
		/* Behind the id and the part that all have. */
		if (file)
			text_print_message(out, file->message, 2);
		fprintf(out, "%s\n", m->entries[i]->cloexec ? " (cloexec)" : "");
	}
}

static void print_task(const struct inspected *in, const Tree *tree, const TreeTask *task,
		       size_t depth, FILE *out)
{
	int indent = depth * INDENT;
	size_t i;

	fprintf(out, "%*sprocess %u \"%s\": session %u, group %u", indent, "", task->pid,
		task->name ? task->name : "?", task->sid, task->pgid);
	if (task->zombie)
		fprintf(out, ", zombie with status %#x\n", task->exit_code);
	else
		fprintf(out, ", %zu thread%s%s\n", task->n_tids, task->n_tids == 1 ? "" : "s",
			task->stopped ? ", stopped" : "");
	print_memory(in, task->pid, indent + INDENT, out);
	print_descriptors(in, task->pid, indent + INDENT, out);
	if (depth > tree->n_tasks)
		return;
	for (i = 0; i < tree->n_tasks; i++)
		if (tree->tasks[i]->ppid == task->pid)
			print_task(in, tree, tree->tasks[i], depth + 1, out);
}

static void print_objects(const struct inspected *in, FILE *out)
{
	const struct inspected_record *one;

	fprintf(out, "objects:\n");
	array_for(one, &in->records) {
		uint32_t id;

		if (!one->type.kind || one->type.kind->scope != KIND_OBJECT)
			continue;
		id = kind_message_id(one->message);
		fprintf(out, "  %4u %s", id, one->type.name);
		text_print_message(out, one->message, 1);
		if (carried_pages(in, id | SPACE_OBJECT))
			fprintf(out, " (%" PRIu64 " KiB carried)",
				carried_pages(in, id | SPACE_OBJECT) * (PAGE_BYTES / KIB));
		fprintf(out, "\n");
	}
}

static void print_sizes(const struct inspected *in, FILE *out)
{
	uint64_t messages = 0, pages = 0, stored = 0, records = 0;
	const struct inspected_record *one;

	array_for(one, &in->records) {
		records += one->record.run_count;
		stored += one->record.run_stored;
		*(one->record.flags & RECORD_BULK ? &pages : &messages) += one->record.run_size;
	}
	fprintf(out,
		"sizes: %" PRIu64 " records, %" PRIu64 " KiB of state, %" PRIu64
		" KiB of pages, %" PRIu64 " KiB stored\n",
		records, messages / KIB, pages / KIB, stored / KIB);
}

void inspect_print(const struct inspected *in, FILE *out)
{
	const Tree *tree = (const Tree *)find(in, &tree__descriptor, 0);

	print_header(in, out);
	if (tree && tree->n_tasks)
		print_task(in, tree, tree->tasks[0], 0, out);
	print_objects(in, out);
	print_sizes(in, out);
}
