/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever a source sends, nothing outside of the root directory is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "migrate/rootfs_apply.h"
#include "migrate/rootfs_check.h"
#include "migrate/rootfs_path.h"

enum { FILE_MODE = S_IFREG | 0640, DIRECTORY_MODE = S_IFDIR | 0750, LINK_MODE = S_IFLNK | 0777 };

/* "top" has the root directory "root" and a file "outside". */
struct place {
	char top[64];
	struct rootfs_target target;
};

static void put(const char *directory, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct error err = ERROR_INIT;

	strcpy(p->top, "/tmp/rootfs-XXXXXX");
	assert_non_null(mkdtemp(p->top));
	put(p->top, "outside", "untouched");
	assert_int_equal(rootfs_target_open(&p->target, p->top, "/root", "me", &err), 0);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	struct error err = ERROR_INIT;
	char text[16] = "", path[128];
	int top = open(p->top, O_RDONLY | O_DIRECTORY), fd = openat(top, "outside", O_RDONLY);
	struct stat st;

	assert_int_equal(read(fd, text, sizeof(text)), 9);
	assert_string_equal(text, "untouched");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	close(fd);
	rootfs_target_release(&p->target);
	assert_int_equal(rootfs_empty(top, &err), 0);
	close(top);
	snprintf(path, sizeof(path), "%s", p->top);
	assert_int_equal(rmdir(path), 0);
	free(p);
	return 0;
}

static int apply(struct place *p, MigrateFiles__Change *c, struct error *err)
{
	MigrateFiles m = MIGRATE_FILES__INIT;

	m.changes = &c;
	m.n_changes = 1;
	return rootfs_target_apply(&p->target, &m, err);
}

static void fails(struct place *p, MigrateFiles__Change *c, enum error_kind kind)
{
	struct error err = ERROR_INIT;

	assert_int_equal(apply(p, c, &err), -1);
	assert_int_equal(err.kind, kind);
	error_clear(&err);
}

static void works(struct place *p, MigrateFiles__Change *c)
{
	struct error err = ERROR_INIT;

	if (apply(p, c, &err))
		fail_msg("%s", err.message);
}

static MigrateFiles__Change change(const char *path)
{
	MigrateFiles__Change c = MIGRATE_FILES__CHANGE__INIT;

	c.path = (char *)path;
	return c;
}

static MigrateFiles__Entry entry(uint32_t mode)
{
	MigrateFiles__Entry e = MIGRATE_FILES__ENTRY__INIT;

	e.mode = mode;
	e.uid = getuid();
	e.gid = getgid();
	e.mtime_ns = 1234567890123456789;
	e.has_size = S_ISREG(mode);
	return e;
}

static void make(struct place *p, const char *path, uint32_t mode, const char *target)
{
	MigrateFiles__Change c = change(path);
	MigrateFiles__Entry e = entry(mode);

	e.target = (char *)target;
	c.make = &e;
	works(p, &c);
}

static MigrateFiles__Data data_of(const char *text)
{
	MigrateFiles__Data d = MIGRATE_FILES__DATA__INIT;

	d.has_data = d.has_hash = true;
	d.data.data = (uint8_t *)text;
	d.data.len = strlen(text);
	d.hash = XXH3_64bits(text, d.data.len);
	return d;
}

static void bad_paths(void **state)
{
	static const char *const bad[] = {
		"/etc", "..", "../outside", "a/..", "a/../../outside", "./a", "a//b", "a/", "/",
	};
	MigrateFiles__Entry e = entry(FILE_MODE);
	struct place *p = *state;
	char longest[PATH_MAX + 8];
	size_t i;

	make(p, "a", DIRECTORY_MODE, NULL);
	memset(longest, 'x', sizeof(longest));
	longest[PATH_MAX + 7] = '\0';
	for (i = 0; i <= sizeof(bad) / sizeof(*bad); i++) {
		MigrateFiles__Change c = change(i < sizeof(bad) / sizeof(*bad) ? bad[i] : longest);

		c.make = &e;
		fails(p, &c, ERROR_PEER);
		c.make = NULL;
		c.has_removed = c.removed = true;
		fails(p, &c, ERROR_PEER);
	}
}

/* A link leads nowhere: nothing is made, written or changed through it. */
static void links(void **state)
{
	MigrateFiles__Data d = data_of("overwritten");
	MigrateFiles__Entry e = entry(FILE_MODE), as_directory = entry(DIRECTORY_MODE);
	MigrateFiles__Change c;
	struct place *p = *state;

	make(p, "up", LINK_MODE, "..");
	make(p, "file", LINK_MODE, "../outside");
	c = change("up/new");
	c.make = &e;
	fails(p, &c, ERROR_PEER);
	c = change("file");
	c.data = &d;
	fails(p, &c, ERROR_PEER);
	c = change("file");
	c.has_resize = true;
	fails(p, &c, ERROR_PEER);
	c = change("file");
	c.entry = &e;
	fails(p, &c, ERROR_PEER);
	c = change("up");
	c.entry = &as_directory;
	fails(p, &c, ERROR_PEER);
	c = change("linked");
	c.link = "up/outside";
	fails(p, &c, ERROR_PEER);
	c.link = "../outside";
	fails(p, &c, ERROR_PEER);
	c = change("up/outside");
	c.has_removed = c.removed = true;
	fails(p, &c, ERROR_PEER);
}

static void what_makes_no_sense(void **state)
{
	MigrateFiles__Data d = data_of("text"), lies = data_of("text"), hole = data_of("");
	MigrateFiles__Entry socket = entry(0170000 | 0644), e = entry(FILE_MODE);
	MigrateFiles__Change c = change("a");
	struct place *p = *state;

	fails(p, &c, ERROR_PEER);
	c.data = &d;
	fails(p, &c, ERROR_PEER);	/* it was not made */
	make(p, "a", FILE_MODE, NULL);
	works(p, &c);
	lies.hash++;
	c.data = &lies;
	fails(p, &c, ERROR_FAILED);
	lies = d;
	lies.has_unpacked = true;
	lies.unpacked = UINT32_MAX;
	fails(p, &c, ERROR_PEER);
	lies.unpacked = 5;
	fails(p, &c, ERROR_PEER);
	d.offset = INT64_MAX;
	c.data = &d;
	fails(p, &c, ERROR_PEER);
	hole.has_hole = true;
	hole.hole = UINT64_MAX;
	c.data = &hole;
	fails(p, &c, ERROR_PEER);
	c = change("a");
	c.has_resize = true;
	c.resize = UINT64_MAX;
	fails(p, &c, ERROR_PEER);
	c = change("a");
	c.link = "a";
	fails(p, &c, ERROR_PEER);
	c.link = "missing";
	fails(p, &c, ERROR_PEER);
	c = change("b");
	c.make = &socket;
	fails(p, &c, ERROR_PEER);
	c.make = NULL;
	c.entry = &e;
	fails(p, &c, ERROR_PEER);
	c = change("");
	c.has_removed = c.removed = true;
	fails(p, &c, ERROR_PEER);
	c = change("a/b");
	c.make = &e;
	fails(p, &c, ERROR_PEER);
}

/* What others put there is found at the end. */
static void last_look(void **state)
{
	MigrateFiles__End end = MIGRATE_FILES__END__INIT;
	MigrateFiles__Entry top = entry(DIRECTORY_MODE), e = entry(FILE_MODE);
	MigrateFiles m = MIGRATE_FILES__INIT;
	MigrateFiles__Change c = change("a");
	struct error err = ERROR_INIT;
	struct place *p = *state;
	char path[96];

	make(p, "a", FILE_MODE, NULL);
	c.entry = &e;
	works(p, &c);
	c = change("");
	c.entry = &top;
	works(p, &c);
	m.end = &end;
	end.last = true;
	end.names = 3;
	end.digest = rootfs_table_digest(&p->target.table);
	assert_int_equal(rootfs_target_apply(&p->target, &m, &err), -1);
	error_clear(&err);
	end.names = 2;
	end.digest++;
	assert_int_equal(rootfs_target_apply(&p->target, &m, &err), -1);
	error_clear(&err);
	end.digest--;
	assert_int_equal(rootfs_target_check(&p->target, &err), -1);
	error_clear(&err);
	snprintf(path, sizeof(path), "%s/root/a", p->top);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(rootfs_target_apply(&p->target, &m, &err), -1);
	assert_non_null(strstr(err.message, "/a is not as it was"));
	error_clear(&err);
	assert_int_equal(chmod(path, 0640), 0);
	snprintf(path, sizeof(path), "%s/root", p->top);
	put(path, "stranger", "");
	works(p, &c);	/* the time of the directory */
	assert_int_equal(rootfs_target_apply(&p->target, &m, &err), -1);
	assert_non_null(strstr(err.message, "/stranger"));
	error_clear(&err);
	snprintf(path, sizeof(path), "%s/root/stranger", p->top);
	assert_int_equal(unlink(path), 0);
	works(p, &c);
	if (rootfs_target_apply(&p->target, &m, &err))
		fail_msg("%s", err.message);
	assert_int_equal(rootfs_target_check(&p->target, &err), 0);
	assert_int_equal(rootfs_target_keep(&p->target, &err), 0);
	c = change("b");
	c.make = &e;
	fails(p, &c, ERROR_PEER);	/* nothing comes behind the last */
}

static void refused(const char *top, const char *below, const char *origin, enum error_kind kind)
{
	struct rootfs_target other;
	struct error err = ERROR_INIT;

	assert_int_equal(rootfs_target_open(&other, top, below, origin, &err), -1);
	assert_int_equal(err.kind, kind);
	error_clear(&err);
	rootfs_target_release(&other);
}

static void targets(void **state)
{
	struct place *p = *state;
	struct rootfs_target other;
	struct error err = ERROR_INIT;
	char path[96];

	refused(p->top, "/root", "me", ERROR_BLOCKED);	/* somebody is at it */
	rootfs_target_release(&p->target);
	p->target = ROOTFS_TARGET_NONE;
	refused(p->top, "/../x", "me", ERROR_PEER);
	refused(p->top, "/a//b", "me", ERROR_PEER);
	refused("", "/", "me", ERROR_PEER);
	refused(p->top, "/outside", "me", ERROR_BLOCKED);
	refused(p->top, "", "me", ERROR_BLOCKED);	/* not empty */
	snprintf(path, sizeof(path), "%s/link", p->top);
	assert_int_equal(symlink("root", path), 0);
	refused(p->top, "/link", "me", ERROR_BLOCKED);
	refused(p->top, "/link/x", "me", ERROR_BLOCKED);
	snprintf(path, sizeof(path), "%s/root", p->top);
	put(path, "rest", "of a copy");
	refused(p->top, "/root", "another", ERROR_BLOCKED);
	if (getuid())
		return;	/* no mark without privileges */
	assert_int_equal(rootfs_target_open(&other, p->top, "/root", "me", &err), 0);
	assert_int_equal(faccessat(other.root, "rest", F_OK, 0), -1);
	other.whole = true;
	assert_int_equal(rootfs_target_keep(&other, &err), 0);
	rootfs_target_release(&other);
	put(path, "mine", "now");
	refused(p->top, "/root", "me", ERROR_BLOCKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bad_paths, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_makes_no_sense, set_up, tear_down),
		cmocka_unit_test_setup_teardown(last_look, set_up, tear_down),
		cmocka_unit_test_setup_teardown(targets, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
