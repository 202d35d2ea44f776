/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever changes a source sends for a root file system, nothing beside it is touched. */
#include "proc_fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "migrate/rootfs_apply.h"
#include "migrate/rootfs_check.h"

enum { CHANGES_MAX = 64 };

static char top_path[] = "/tmp/rootfs-fuzz-XXXXXX";

static void clean(void)
{
	struct error err = ERROR_INIT;
	int top = open(top_path, O_RDONLY | O_DIRECTORY);

	rootfs_empty(top, &err);
	error_clear(&err);
	close(top);
	rmdir(top_path);
}

static void begin(void)
{
	static int begun;
	char path[64];

	if (begun++)
		return;
	must(mkdtemp(top_path) != NULL);
	atexit(clean);
	snprintf(path, sizeof(path), "%s/outside", top_path);
	must(mkdir(path, 0700) == 0);
}

/* Names that a program would like to be led astray by. */
static char *path_of(uint8_t byte)
{
	static char *const paths[] = {
		"", "a", "b", "a/b", "a/b/c", "..", "../outside", "../outside/x", "a/../..", "/tmp",
		"/", ".", "a/", "a//b", "b/outside", "b/outside/x",
	};

	return paths[byte % (sizeof(paths) / sizeof(*paths))];
}

struct one {
	MigrateFiles__Change change;
	MigrateFiles__Entry entry;
	MigrateFiles__Data data;
};

static void fill(struct one *o, const uint8_t in[4])
{
	static const uint32_t types[] = { S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR,
					  0, S_IFMT };

	migrate_files__change__init(&o->change);
	migrate_files__entry__init(&o->entry);
	migrate_files__data__init(&o->data);
	o->change.path = path_of(in[1]);
	o->entry.mode = types[in[2] % 8] | 0700;
	o->entry.uid = getuid();
	o->entry.gid = getgid();
	o->entry.target = in[2] & 8 ? path_of(in[3]) : "..";
	o->data.offset = (uint64_t)in[2] << (in[3] % 64);
	o->data.has_data = o->data.has_hash = 1;
	o->data.data.data = (uint8_t *)in;
	o->data.data.len = 4;
	o->data.hash = XXH3_64bits(in, 4);
	o->data.has_hole = in[3] & 1;
	o->data.hole = in[3];
	o->data.has_unpacked = in[3] & 2;
	o->data.unpacked = in[3] * 1000u;
	switch (in[0] % 6) {
	case 0:
		o->change.make = &o->entry;
		break;
	case 1:
		o->change.link = path_of(in[2]);
		break;
	case 2:
		o->change.has_resize = 1;
		o->change.resize = in[2];
		break;
	case 3:
		o->change.data = &o->data;
		break;
	case 4:
		o->change.entry = &o->entry;
		break;
	default:
		o->change.has_removed = o->change.removed = 1;
	}
}

/* Half of what is done is done as a message says that was bytes. */
static int apply(struct rootfs_target *t, const uint8_t *data, size_t size, struct error *err)
{
	MigrateFiles__Change *changes[CHANGES_MAX];
	struct one ones[CHANGES_MAX];
	MigrateFiles m = MIGRATE_FILES__INIT, *unpacked;
	size_t i;
	int r;

	if (size && data[0] == 0xff) {
		unpacked = migrate_files__unpack(NULL, size - 1, data + 1);
		if (!unpacked)
			return 0;
		r = rootfs_target_apply(t, unpacked, err);
		migrate_files__free_unpacked(unpacked, NULL);
		return r;
	}
	m.changes = changes;
	for (i = 0; i < CHANGES_MAX && (i + 1) * 4 <= size; i++) {
		fill(&ones[i], data + i * 4);
		changes[m.n_changes++] = &ones[i].change;
	}
	return rootfs_target_apply(t, &m, err);
}

static void check_outside(void)
{
	char path[64];
	struct dirent *entry;
	struct stat st;
	DIR *dir;
	int count = 0;

	snprintf(path, sizeof(path), "%s/outside", top_path);
	must(stat(path, &st) == 0 && st.st_mode == (S_IFDIR | 0700));
	must(rmdir(path) == 0 && mkdir(path, 0700) == 0);
	dir = opendir(top_path);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	must(count == 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct rootfs_target t;

	begin();
	if (rootfs_target_open(&t, top_path, "root", "fuzz", &err)) {
		fprintf(stderr, "%s\n", err.message);
		abort();
	}
	accepted(apply(&t, data, size, &err), &err);
	check_outside();
	must(rootfs_empty(t.root, &err) == 0);
	rootfs_target_release(&t);
	return 0;
}
