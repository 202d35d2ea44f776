/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an image says of descriptors is checked before anything is made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "images/descriptors.pb-c.h"
#include "images/epoll.pb-c.h"
#include "images/eventfd.pb-c.h"
#include "images/external.pb-c.h"
#include "images/inotify.pb-c.h"
#include "images/namespace_file.pb-c.h"
#include "images/path_file.pb-c.h"
#include "images/pidfd.pb-c.h"
#include "images/pipe.pb-c.h"
#include "images/regular.pb-c.h"
#include "kinds/files.h"

enum { PID = 100, CHILD = 101 };

/* Two processes, which hold description 1 at 0, and what a test adds. */
struct world {
	struct restore run;
	struct restore_task tasks[2], *list[2];
	FdTable tables[2];
	FdTable__Entry entries[2][4], *entry_lists[2][4];
};

static const struct kind *kind_named(const char *name)
{
	for (const struct kind *const *row = kinds_table; *row; row++)
		if (!strcmp((*row)->name, name))
			return *row;
	fail_msg("no kind %s", name);
	return NULL;
}

/* As the loader has it: packed and unpacked again. */
static ProtobufCMessage *again(const ProtobufCMessage *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *data = malloc(size + 1);
	ProtobufCMessage *copy;

	protobuf_c_message_pack(message, data);
	copy = protobuf_c_message_unpack(message->descriptor, NULL, size, data);
	free(data);
	assert_non_null(copy);
	return copy;
}

static void add(struct world *w, const char *kind_name, const ProtobufCMessage *message)
{
	struct error err = ERROR_INIT;

	assert_int_equal(restore_files_add(w->run.files, kind_named(kind_name), again(message),
					   &err), 0);
}

static void add_entry(struct world *w, int task, uint32_t number, uint32_t file)
{
	FdTable *table = &w->tables[task];
	FdTable__Entry *entry = &w->entries[task][table->n_entries];

	fd_table__entry__init(entry);
	entry->number = number;
	entry->file = file;
	table->entries[table->n_entries++] = entry;
}

static FileCommon common = FILE_COMMON__INIT;

static void add_eventfd(struct world *w, uint32_t id)
{
	Eventfd m = EVENTFD__INIT;

	m.id = id;
	m.common = &common;
	add(w, "eventfd", &m.base);
}

static void begin(struct world *w)
{
	struct error err = ERROR_INIT;

	memset(w, 0, sizeof(*w));
	w->run.only_look = true;
	w->run.tasks.items = w->list;
	w->run.tasks.count = 2;
	for (int i = 0; i < 2; i++) {
		w->list[i] = &w->tasks[i];
		w->tasks[i].restore = &w->run;
		w->tasks[i].pid = PID + i;
		w->tasks[i].state = calloc(kinds_count(), sizeof(*w->tasks[i].state));
		fd_table__init(&w->tables[i]);
		w->tables[i].pid = PID + i;
		w->tables[i].entries = w->entry_lists[i];
		w->tasks[i].state[kind_index(&descriptors_kind)] = &w->tables[i].base;
	}
	assert_int_equal(restore_files_new(&w->run, STDIO_NULL, NULL, &err), 0);
	add_eventfd(w, 1);
	add_entry(w, 0, 0, 1);
	add_entry(w, 1, 0, 1);
}

static void end(struct world *w)
{
	restore_files_free(w->run.files);
	for (int i = 0; i < 2; i++)
		free(w->tasks[i].state);
}

/* NULL: all is well. */
static void expect(struct world *w, const char *wanted)
{
	struct error err = ERROR_INIT;
	int r = restore_files_check(w->run.files, &err);

	if (!wanted) {
		if (r)
			fail_msg("refused: %s", err.message);
	} else {
		assert_int_equal(r, -1);
		assert_int_equal(err.kind, ERROR_IMAGE);
		if (!strstr(err.message, wanted))
			fail_msg("'%s' is not in '%s'", wanted, err.message);
	}
	error_clear(&err);
	end(w);
}

static void holders(void **state)
{
	struct world w;
	struct restore_file *f;
	struct error err = ERROR_INIT;

	begin(&w);
	add_eventfd(&w, 7);
	add_eventfd(&w, 3);
	add_entry(&w, 1, 5, 7);
	assert_int_equal(restore_files_check(w.run.files, &err), 0);
	f = restore_files_get(w.run.files, 7);
	assert_ptr_equal(f->opener, w.list[1]);
	assert_int_equal(restore_file_number(w.run.files, f, w.list[1]), 5);
	assert_int_equal(restore_file_number(w.run.files, f, w.list[0]), -1);
	assert_ptr_equal(restore_files_get(w.run.files, 1)->opener, w.list[0]);
	/* Only in flight: the root opens it. */
	assert_ptr_equal(restore_files_get(w.run.files, 3)->opener, w.list[0]);
	assert_null(restore_files_get(w.run.files, 2));
	end(&w);
}

static void tables(void **state)
{
	struct world w;

	begin(&w);
	add_eventfd(&w, 1);
	expect(&w, "two descriptions have the id 1");
	begin(&w);
	add_entry(&w, 0, 4, 9);
	expect(&w, "process 100: descriptor 4: there is no description 9");
	begin(&w);
	add_entry(&w, 0, 0, 1);
	expect(&w, "process 100: descriptor 0 is out of order");
	begin(&w);
	add_entry(&w, 1, UINT32_MAX, 1);
	expect(&w, "process 101: descriptor 4294967295 is out of order");
	begin(&w);
	w.tasks[1].state[kind_index(&descriptors_kind)] = NULL;
	expect(&w, "process 101 has no descriptor table");
	begin(&w);
	w.tasks[1].state[kind_index(&descriptors_kind)] = NULL;
	w.tasks[1].zombie = true;
	expect(&w, NULL);
}

static void bad_messages(void **state)
{
	Eventfd zero = EVENTFD__INIT;
	struct error err = ERROR_INIT;
	FileCommon back = common;
	struct world w;

	begin(&w);
	zero.common = &common;
	assert_int_equal(restore_files_add(w.run.files, kind_named("eventfd"), again(&zero.base),
					   &err), -1);
	assert_int_equal(err.kind, ERROR_IMAGE);
	error_clear(&err);
	end(&w);
	begin(&w);
	zero.id = 2;
	zero.count = UINT64_MAX;
	add(&w, "eventfd", &zero.base);
	expect(&w, "bad count");
	begin(&w);
	back.position = -1;
	zero.count = 0;
	zero.common = &back;
	add(&w, "eventfd", &zero.base);
	expect(&w, "position -1");
}

static void references(void **state)
{
	Regular regular = REGULAR__INIT;
	Pidfd pidfd = PIDFD__INIT;
	External external = EXTERNAL__INIT;
	NamespaceFile namespace_file = NAMESPACE_FILE__INIT;
	struct world w;

	begin(&w);
	regular.id = 2;
	regular.common = &common;
	regular.object = 8;
	add(&w, "regular", &regular.base);
	expect(&w, "there is no object 8");

	begin(&w);
	pidfd.id = 2;
	pidfd.common = &common;
	pidfd.pid = CHILD;
	add(&w, "pidfd", &pidfd.base);
	expect(&w, NULL);
	begin(&w);
	pidfd.pid = 1;
	add(&w, "pidfd", &pidfd.base);
	expect(&w, "there is no process 1");

	begin(&w);
	external.id = 2;
	external.common = &common;
	external.standard = 3;
	add(&w, "external", &external.base);
	expect(&w, "3 is no standard descriptor");

	begin(&w);
	namespace_file.id = 2;
	namespace_file.common = &common;
	namespace_file.type = "../../../etc/passwd";
	add(&w, "namespace_file", &namespace_file.base);
	expect(&w, "no kind of namespace");
}

static void pipes(void **state)
{
	Pipe m = PIPE__INIT;
	struct world w;

	m.common = &common;
	begin(&w);
	m.id = m.pipe = 2;
	add(&w, "pipe", &m.base);
	m.id = 3;
	add(&w, "pipe", &m.base);
	expect(&w, NULL);
	begin(&w);
	m.id = 2;
	m.pipe = 1;
	add(&w, "pipe", &m.base);
	expect(&w, "there is no pipe 1");
	begin(&w);
	m.pipe = 77;
	add(&w, "pipe", &m.base);
	expect(&w, "there is no pipe 77");
	/* A chain. */
	begin(&w);
	m.id = 2;
	m.pipe = 3;
	add(&w, "pipe", &m.base);
	m.id = 3;
	m.pipe = 4;
	add(&w, "pipe", &m.base);
	m.id = 4;
	add(&w, "pipe", &m.base);
	expect(&w, "there is no pipe 3");
	begin(&w);
	m.id = m.pipe = 2;
	m.has_path = true;
	m.path.data = (uint8_t *)"relative";
	m.path.len = 8;
	add(&w, "pipe", &m.base);
	expect(&w, "bad path");
}

static void paths(void **state)
{
	static uint8_t long_path[5000], with_nul[] = "/etc\0passwd";
	PathFile m = PATH_FILE__INIT;
	struct world w;

	m.id = 2;
	m.common = &common;
	m.type = 0100000;
	memset(long_path, '/', sizeof(long_path));
	begin(&w);
	add(&w, "directory", &m.base);
	expect(&w, "bad path");
	begin(&w);
	m.path.data = long_path;
	m.path.len = sizeof(long_path);
	add(&w, "path", &m.base);
	expect(&w, "bad path");
	begin(&w);
	m.path.data = with_nul;
	m.path.len = sizeof(with_nul) - 1;
	add(&w, "procfile", &m.base);
	expect(&w, "bad path");
	begin(&w);
	m.path.len = 4;
	add(&w, "device", &m.base);
	expect(&w, NULL);
}

static void items(void **state)
{
	Epoll__Item item = EPOLL__ITEM__INIT, *list[] = { &item };
	Epoll m = EPOLL__INIT;
	struct world w;

	m.id = 2;
	m.common = &common;
	m.n_items = 1;
	m.items = list;
	item.number = 5;
	item.file = 1;
	begin(&w);
	add(&w, "epoll", &m.base);
	expect(&w, NULL);
	begin(&w);
	item.file = 2;
	add(&w, "epoll", &m.base);
	expect(&w, "item 5 watches description 2");
	begin(&w);
	item.file = 6;
	add(&w, "epoll", &m.base);
	expect(&w, "item 5 watches description 6");
	begin(&w);
	item.file = 1;
	item.number = UINT32_MAX;
	add(&w, "epoll", &m.base);
	expect(&w, "item 4294967295");
}

static void watches(void **state)
{
	static uint8_t handle[200], path[] = "/tmp";
	Inotify__Watch one = INOTIFY__WATCH__INIT, two = INOTIFY__WATCH__INIT;
	Inotify__Watch *list[] = { &one, &two };
	Inotify m = INOTIFY__INIT;
	struct world w;

	m.id = 2;
	m.common = &common;
	m.n_watches = 2;
	m.watches = list;
	one.wd = 3;
	one.has_path = two.has_path = true;
	one.path.data = two.path.data = path;
	one.path.len = two.path.len = 4;
	two.wd = 4;
	begin(&w);
	add(&w, "inotify", &m.base);
	expect(&w, NULL);
	begin(&w);
	two.wd = 3;
	add(&w, "inotify", &m.base);
	expect(&w, "watch 3");
	begin(&w);
	one.wd = 0;
	add(&w, "inotify", &m.base);
	expect(&w, "watch 0");
	begin(&w);
	one.wd = 1;
	two.has_path = false;
	add(&w, "inotify", &m.base);
	expect(&w, "watch 3: bad path");
	begin(&w);
	two.has_handle = two.has_mount_path = true;
	two.mount_path = one.path;
	two.handle.data = handle;
	two.handle.len = sizeof(handle);
	add(&w, "inotify", &m.base);
	expect(&w, "watch 3");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(holders), cmocka_unit_test(tables),
		cmocka_unit_test(bad_messages), cmocka_unit_test(references),
		cmocka_unit_test(pipes), cmocka_unit_test(paths),
		cmocka_unit_test(items), cmocka_unit_test(watches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
