/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An image for a person. All text in it is foreign: control characters are not passed on. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "cmd/inspect.h"
#include "images/descriptors.pb-c.h"
#include "images/describe.h"
#include "images/file_common.pb-c.h"
#include "images/maps.pb-c.h"
#include "images/pipe.pb-c.h"
#include "images/socket_common.pb-c.h"
#include "images/unix_socket.pb-c.h"
#include "memory/records.h"

extern const struct kind descriptors_kind, maps_kind, unix_socket_kind, pipe_kind;

enum { NS_PER_S = 1000000000, DEPTH_MAX = 64 };

static void print_foreign(const char *text)
{
	for (; *text; text++)
		putchar(iscntrl((unsigned char)*text) ? '?' : *text);
}

static void print_size(uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	double size = bytes;
	size_t unit = 0;

	while (size >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		size /= 1024;
		unit++;
	}
	printf(unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
}

/* ---- finding things ---- */

/* Spaces of the index beside the positions of the rows, whose messages are found by their ids. */
enum { SPACE_FILE = 1 << 16, SPACE_CHILD, SPACE_PAGES, SPACE_END };

static int compare_keys(const void *a, const void *b)
{
	const struct inspect_key *x = a, *y = b;

	if (x->space != y->space)
		return x->space < y->space ? -1 : 1;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* The first thing of this key, NULL when there is none; the others follow. */
static const struct inspect_key *find_key(const struct inspected *all, uint64_t space,
					  uint64_t key)
{
	const struct inspect_key wanted = { .space = space, .key = key };
	size_t low = 0, high = all->index.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_keys(&all->index.items[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < all->index.count && all->index.items[low].space == space &&
			       all->index.items[low].key == key ?
		       &all->index.items[low] : NULL;
}

/* The next thing of the same key. */
static const struct inspect_key *next_key(const struct inspected *all,
					  const struct inspect_key *one)
{
	const struct inspect_key *next = one + 1;

	return next < all->index.items + all->index.count && next->space == one->space &&
			       next->key == one->key ? next : NULL;
}

static int add_key(struct inspected *all, uint64_t space, uint64_t key, const void *item)
{
	struct inspect_key *one = array_add(&all->index);

	if (!one)
		return -1;
	*one = (struct inspect_key){ space, key, all->index.count, item };
	return 0;
}

/* What the other end of a description has in common with it, 0 when there is none. */
static uint64_t end_key(const struct inspect_message *m, bool other)
{
	if (m->kind == &unix_socket_kind)
		return other ? ((const UnixSocket *)m->message)->peer :
			       ((const UnixSocket *)m->message)->socket->inode;
	return m->kind == &pipe_kind ? ((const Pipe *)m->message)->pipe : 0;
}

static int make_index(struct inspected *all, struct error *err)
{
	const struct inspect_message *m;
	const struct inspect_pages *p;
	int r = 0;

	array_for(m, &all->messages) {
		uint32_t id = kind_message_id(m->message);

		r |= add_key(all, kind_index(m->kind), id, m);
		if (m->kind->scope == KIND_FILE)
			r |= add_key(all, SPACE_FILE, id, m);
		if (end_key(m, false))
			r |= add_key(all, SPACE_END + kind_index(m->kind), end_key(m, false), m);
	}
	array_for(p, &all->pages)
		r |= add_key(all, SPACE_PAGES, p->space, p);
	for (size_t i = 0; i < all->tree->n_tasks; i++)
		r |= add_key(all, SPACE_CHILD, all->tree->tasks[i]->ppid, all->tree->tasks[i]);
	if (r)
		return error_set(err, ERROR_FAILED, ENOMEM, "inspect");
	qsort(all->index.items, all->index.count, sizeof(*all->index.items), compare_keys);
	return 0;
}

static uint64_t pages_of(const struct inspected *all, uint64_t space)
{
	const struct inspect_key *k = find_key(all, SPACE_PAGES, space);

	return k ? ((const struct inspect_pages *)k->item)->pages * PAGE_BYTES : 0;
}

/* ---- head ---- */

static void print_head(const struct inspected *all, const char *name)
{
	static const char *const afterwards[] = {
		[IMAGE__TARGET_STATE__KILLED] = "was ended",
		[IMAGE__TARGET_STATE__RUNNING] = "ran on",
		[IMAGE__TARGET_STATE__STOPPED] = "was left stopped",
	};
	const Image *m = all->image;
	time_t created = m->created_ns / NS_PER_S;
	struct tm local;
	char text[64] = "?";

	if (localtime_r(&created, &local))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &local);
	printf("%s: by ", name);
	print_foreign(m->creator);
	printf(", %s", text);
	if (m->hostname) {
		printf(", on ");
		print_foreign(m->hostname);
	}
	if (m->kernel_release) {
		printf(" with Linux ");
		print_foreign(m->kernel_release);
	}
	if (m->machine) {
		printf(" for ");
		print_foreign(m->machine);
	}
	printf("\n%" PRIu64 " records, ", all->records);
	print_size(all->stored);
	printf(" stored, ");
	print_size(all->unpacked);
	printf(" unpacked");
	if (m->has_target_state && m->target_state < ARRAY_SIZE(afterwards))
		printf("; the tree %s", afterwards[m->target_state]);
	printf("\n");
}

/* ---- processes and memory ---- */

static const Maps *maps_of(const struct inspected *all, uint32_t pid)
{
	const struct inspect_key *k = find_key(all, kind_index(&maps_kind), pid);

	return k ? (const Maps *)((const struct inspect_message *)k->item)->message : NULL;
}

static void print_memory(const struct inspected *all, uint32_t pid)
{
	const Maps *maps = maps_of(all, pid);
	uint64_t size = 0;

	if (!maps)
		return;
	for (size_t i = 0; i < maps->n_vmas; i++)
		size += maps->vmas[i]->end - maps->vmas[i]->start;
	printf(", %zu areas of ", maps->n_vmas);
	print_size(size);
	printf(", ");
	print_size(pages_of(all, pid));
	printf(" saved");
}

static void print_task(const struct inspected *all, const TreeTask *t, size_t depth)
{
	printf("%*s%u", (int)(2 + 2 * depth), "", t->pid);
	if (t->name) {
		putchar(' ');
		print_foreign(t->name);
	}
	printf(" (session %u, group %u)", t->sid, t->pgid);
	if (t->zombie) {
		printf(", zombie with status %d\n", t->exit_code);
		return;
	}
	if (t->n_tids > 1)
		printf(", %zu threads", t->n_tids);
	if (t->leader_gone)
		printf(", leader has exited");
	if (t->stopped)
		printf(", stopped by signal %d", t->stop_signal);
	print_memory(all, t->pid);
	printf("\n");
}

/* Children below their parents. A tree that goes in circles is not reached from outside. */
static void print_children(const struct inspected *all, uint32_t parent, size_t depth)
{
	const struct inspect_key *k = find_key(all, SPACE_CHILD, parent);

	for (; k && depth < DEPTH_MAX; k = next_key(all, k)) {
		const TreeTask *t = k->item;

		print_task(all, t, depth);
		print_children(all, t->pid, depth + 1);
	}
}

static void print_areas(const Maps *maps)
{
	static const char *const specials[] = {
		[VMA__SPECIAL__VDSO] = "vdso",
		[VMA__SPECIAL__VVAR] = "vvar",
		[VMA__SPECIAL__VVAR_VCLOCK] = "vvar_vclock",
	};

	printf("  process %u:\n", maps->pid);
	for (size_t i = 0; i < maps->n_vmas; i++) {
		const Vma *v = maps->vmas[i];

		printf("    %" PRIx64 "-%" PRIx64 " %c%c%c%c ", v->start, v->end,
		       v->prot & 1 ? 'r' : '-', v->prot & 2 ? 'w' : '-', v->prot & 4 ? 'x' : '-',
		       v->flags & 1 ? 's' : 'p');
		print_size(v->end - v->start);
		if (v->has_object)
			printf(", object %u at %#" PRIx64, v->object, v->offset);
		if (v->name) {
			printf(", ");
			print_foreign(v->name);
		}
		if (v->has_special && (size_t)v->special < ARRAY_SIZE(specials) &&
		    specials[v->special])
			printf(", %s", specials[v->special]);
		printf("\n");
	}
}

/* ---- descriptors and objects ---- */

/* Field 2 of every message of a descriptor kind. */
static const FileCommon *common_of(const ProtobufCMessage *m)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field(m->descriptor, 2);

	if (!f || f->type != PROTOBUF_C_TYPE_MESSAGE || f->descriptor != &file_common__descriptor)
		return NULL;
	return *(FileCommon *const *)((const char *)m + f->offset);
}

static void print_flags(const FileCommon *common)
{
	static const char *const modes[] = { "r", "w", "rw", "-" };
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = {
		{ O_APPEND, "append" }, { O_NONBLOCK, "nonblock" }, { O_DIRECT, "direct" },
		{ O_ASYNC, "async" },	{ O_PATH, "path" },
	};

	printf(" [%s", modes[common->flags & O_ACCMODE]);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (common->flags & names[i].flag)
			printf(" %s", names[i].name);
	if (common->position)
		printf(" at %" PRId64, common->position);
	printf("]");
}

/* Prints who holds the other end. */
static void print_peers(const struct inspected *all, const struct inspect_message *one)
{
	uint64_t key = end_key(one, true);
	const struct inspect_key *k =
		key ? find_key(all, SPACE_END + kind_index(one->kind), key) : NULL;

	for (; k; k = next_key(all, k))
		if (k->item != one)
			printf(" <-> #%u",
			       kind_message_id(((const struct inspect_message *)k->item)->message));
}

static int print_message(const struct inspect_message *m, struct error *err)
{
	/* Shown elsewhere, or of no interest to a person. */
	static const char *const without[] = {
		"common", "object", "peer", "pipe", "mtime_ns", "type", "device", "uid", "gid", NULL,
	};
	_cleanup_buffer_ struct buffer text = { 0 };

	if (message_describe(m->message, without, &text))
		return error_set(err, ERROR_FAILED, ENOMEM, "inspect");
	printf("%s%s%.*s", m->kind->name, text.size ? " " : "", (int)text.size, text.data ?: "");
	return 0;
}

static int print_table(const struct inspected *all, const FdTable *table, struct error *err)
{
	printf("  process %u:\n", table->pid);
	for (size_t i = 0; i < table->n_entries; i++) {
		const FdTable__Entry *entry = table->entries[i];
		const struct inspect_key *k = find_key(all, SPACE_FILE, entry->file);
		const struct inspect_message *m = k ? k->item : NULL;

		printf("  %5u  #%-4u ", entry->number, entry->file);
		if (!m) {
			printf("missing\n");
			continue;
		}
		if (print_message(m, err))
			return -1;
		if (common_of(m->message))
			print_flags(common_of(m->message));
		printf("%s", entry->cloexec ? " cloexec" : "");
		print_peers(all, m);
		printf("\n");
	}
	return 0;
}

static int print_objects(const struct inspected *all, struct error *err)
{
	const struct inspect_message *m;
	bool titled = false;

	array_for(m, &all->messages) {
		uint64_t bytes;

		if (m->kind->scope != KIND_OBJECT)
			continue;
		if (!titled)
			printf("\nOBJECTS\n");
		titled = true;
		printf("  %5u  ", kind_message_id(m->message));
		if (print_message(m, err))
			return -1;
		bytes = pages_of(all, SPACE_OBJECT | kind_message_id(m->message));
		if (bytes) {
			printf(", ");
			print_size(bytes);
			printf(" saved");
		}
		printf("\n");
	}
	return 0;
}

int inspect_print(struct inspected *all, const char *name, bool maps, struct error *err)
{
	const struct inspect_message *m;

	if (make_index(all, err))
		return -1;
	print_head(all, name);
	printf("\nPROCESSES\n");
	print_children(all, 0, 0);
	if (maps)
		printf("\nMEMORY\n");
	array_for(m, &all->messages)
		if (maps && m->kind == &maps_kind)
			print_areas((const Maps *)m->message);
	if (print_objects(all, err))
		return -1;
	printf("\nDESCRIPTORS (# names a description: the same # is shared)\n");
	array_for(m, &all->messages)
		if (m->kind == &descriptors_kind &&
		    print_table(all, (const FdTable *)m->message, err))
			return -1;
	return 0;
}
