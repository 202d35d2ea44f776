/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mounts are classified by what mountinfo says, and forged messages about them are refused. */
#include "proc_testing.h"

#include <sys/stat.h>

#include "images/tmpfs.pb-c.h"
#include "kinds/container.h"
#include "kinds/mount/mount_build.h"
#include "kinds/mount/mount_plan.h"
#include "kinds/mount/mount_types.h"
#include "kinds/mount/tmpfs.h"
#include "kinds/restore.h"

/* ---- plans ---- */

struct world {
	struct proc_mounts own, host;
	struct mount_look look;
	struct mount_plan plan;
	struct blockers blockers;
	struct error err;
};

static const char machine[] =
	"22 1 8:1 / / rw - ext4 /dev/sda rw\n"
	"23 22 0:21 / /proc rw - proc proc rw\n"
	"24 22 0:30 / /run rw shared:7 - tmpfs tmpfs rw\n"
	"25 22 8:2 /volumes /srv/data rw - xfs /dev/sdb rw\n"
	"26 22 8:2 /volumes/a /srv/other rw - xfs /dev/sdb rw\n";

/* Everything is there but what lies in /srv/data/hidden. */
static bool is_there(void *context, const struct proc_mount *own, const char *host_path)
{
	return strncmp(host_path, "/srv/data/hidden", 16) != 0;
}

static void plan(struct world *w, const char *own, const struct external *externals, size_t count)
{
	*w = (struct world){ 0 };
	assert_accepted(proc_parse_mountinfo, own, &w->own, &w->err);
	assert_accepted(proc_parse_mountinfo, machine, &w->host, &w->err);
	w->look = (struct mount_look){ .own = &w->own,
				       .host = &w->host,
				       .externals = externals,
				       .externals_count = count,
				       .pid = 1,
				       .same = is_there };
	assert_parsed(mount_plan(&w->look, &w->plan, &w->blockers, &w->err), &w->err);
}

static void drop(struct world *w)
{
	mount_plan_release(&w->plan);
	blockers_release(&w->blockers);
	proc_mounts_release(&w->own);
	proc_mounts_release(&w->host);
}

static const Mounts__Mount *at(const struct world *w, const char *path)
{
	for (size_t i = 0; i < w->plan.message.n_mounts; i++)
		if (!strcmp(w->plan.message.mounts[i]->path, path))
			return w->plan.message.mounts[i];
	fail_msg("no mount %s", path);
	return NULL;
}

static void classified(void **state)
{
	struct world w;

	plan(&w, "140 130 8:1 /c/rootfs / rw,relatime master:1 - ext4 /dev/sda rw\n"
		 "141 140 0:50 / /proc rw,nosuid - proc proc rw,hidepid=2\n"
		 "142 141 0:50 /sys /proc/sys ro - proc proc rw,hidepid=2\n"
		 "143 140 0:51 / /dev rw - tmpfs tmpfs rw,size=64k,mode=755,seclabel,odd=1\n"
		 "144 140 0:30 /x\\040y /x rw shared:9 master:7 - tmpfs tmpfs rw\n"
		 "145 140 8:2 /volumes/a/b /data ro - xfs /dev/sdb rw\n"
		 "146 140 0:52 / /o rw - overlay overlay rw,lowerdir=/a\\054b:/c,upperdir=/u\n"
		 "147 141 0:51 /null /proc/kcore rw - tmpfs tmpfs rw\n",
	     NULL, 0);
	assert_int_equal(w.blockers.list.count, 0);
	assert_int_equal(w.plan.message.n_mounts, 8);
	assert_int_equal(w.plan.message.n_file_systems, 3);
	assert_string_equal(at(&w, "/")->host_path, "/c/rootfs");
	assert_int_equal(at(&w, "/")->master, 1);
	assert_string_equal(at(&w, "/x")->host_path, "/run/x y");
	assert_string_equal(at(&w, "/data")->host_path, "/srv/data/a/b");
	assert_string_equal(at(&w, "/proc/sys")->root, "/sys");
	assert_string_equal(at(&w, "/proc/sys")->place, "sys");
	assert_int_equal(at(&w, "/proc/sys")->file_system, at(&w, "/proc")->file_system);
	assert_int_equal(at(&w, "/proc/kcore")->file_system, at(&w, "/dev")->file_system);
	assert_string_equal(w.plan.message.file_systems[0]->options[0], "hidepid=2");
	assert_int_equal(w.plan.message.file_systems[1]->n_options, 2);
	assert_string_equal(w.plan.message.file_systems[1]->options[1], "mode=755");
	assert_string_equal(w.plan.message.file_systems[2]->options[0], "lowerdir=/a,b:/c");
	assert_parsed(mounts_check(&w.plan.message, &w.err), &w.err);
	drop(&w);
}

static void ordered(void **state)
{
	static const char *const wanted[] = { "/", "/b", "/b/c/d", "/b/c", "/b/c", "/b" };
	struct world w;

	/* Moved about: parents behind children, what is covered behind what covers it. */
	plan(&w, "150 149 0:64 / /b/c rw - tmpfs e rw\n"
		 "149 146 0:63 / /b/c rw - tmpfs d rw\n"
		 "151 146 0:65 / /b rw - tmpfs f rw\n"
		 "140 1 8:1 /c / rw - ext4 /dev/sda rw\n"
		 "148 146 0:62 / /b/c/d rw - tmpfs b rw\n"
		 "146 140 0:61 / /b rw - tmpfs a rw\n",
	     NULL, 0);
	assert_int_equal(w.blockers.list.count, 0);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_string_equal(w.plan.message.mounts[i]->path, wanted[i]);
	assert_string_equal(w.plan.message.mounts[4]->place, "");
	assert_parsed(mounts_check(&w.plan.message, &w.err), &w.err);
	drop(&w);
}

static const struct {
	const char *line, *reason;
} blocked[] = {
	{ "141 140 8:2 /volumes/hidden /m rw - xfs /dev/sdb rw\n", "no path of the machine" },
	{ "141 140 8:2 /volumes/gone//deleted /m rw - xfs /dev/sdb rw\n", "deleted" },
	{ "141 140 8:9 / /m rw - ext4 /dev/loop0 rw\n", "only the container has mounted" },
	{ "141 140 0:80 / /m rw - fuse.sshfs h:/ rw\n", "served by a program" },
	{ "141 140 0:4 net:[4026531840] /m rw - nsfs nsfs rw\n", "namespace by a file" },
	{ "141 140 0:81 /part /m rw - tmpfs tmpfs rw\n", "as a whole" },
	{ "141 140 8:2 /volumes /m rw,idmapped - xfs /dev/sdb rw\n", "user ids" },
	{ "141 140 0:30 / /m rw shared:7 - tmpfs tmpfs rw\n", "with the machine" },
	{ "141 139 0:81 / /m rw - tmpfs tmpfs rw\n", "root directory" },
};

static void blockers(void **state)
{
	const struct external given = { "mnt[/m]", 7, "/somewhere" };
	char text[256];
	struct world w;

	for (size_t i = 0; i < ARRAY_SIZE(blocked); i++) {
		snprintf(text, sizeof(text), "140 1 8:1 /c / rw - ext4 /dev/sda rw\n%s",
			 blocked[i].line);
		plan(&w, text, NULL, 0);
		assert_int_equal(w.blockers.list.count, 1);
		if (!strstr(w.blockers.list.items[0].reason, blocked[i].reason))
			fail_msg("\"%s\" lacks \"%s\"", w.blockers.list.items[0].reason,
				 blocked[i].reason);
		drop(&w);
		plan(&w, text, &given, 1);
		assert_int_equal(w.blockers.list.count, i >= 6);
		if (i < 6)
			assert_null(at(&w, "/m")->host_path);
		drop(&w);
	}
}

/* ---- forged messages ---- */

struct forged {
	Mounts m;
	Mounts__Mount mounts[3], *pointers[3];
	Mounts__FileSystem fs[1], *fs_pointers[1];
	char *options[1];
};

static void make_good(struct forged *f)
{
	mounts__init(&f->m);
	mounts__file_system__init(&f->fs[0]);
	for (size_t i = 0; i < 3; i++) {
		mounts__mount__init(&f->mounts[i]);
		f->pointers[i] = &f->mounts[i];
		f->mounts[i].path = i ? "/a" : "/";
		f->mounts[i].place = i ? "a" : "";
		f->mounts[i].has_parent = i;
	}
	f->mounts[0].host_path = "/c";
	f->mounts[1].has_file_system = true;
	f->mounts[1].root = "/";
	f->mounts[2].host_path = "/d";
	f->fs_pointers[0] = &f->fs[0];
	f->fs[0].type = "tmpfs";
	f->fs[0].source = "x";
	f->options[0] = "size=5";
	f->fs[0].options = f->options;
	f->fs[0].n_options = 1;
	f->m.mounts = f->pointers;
	f->m.n_mounts = 3;
	f->m.file_systems = f->fs_pointers;
	f->m.n_file_systems = 1;
}

static void forge(struct forged *f, size_t what)
{
	switch (what) {
	case 0: f->m.n_mounts = 0; break;
	case 1: f->mounts[0].has_parent = true; break;
	case 2: f->mounts[1].has_parent = false; break;
	case 3: f->mounts[1].parent = 1; break;
	case 4: f->mounts[2].parent = UINT32_MAX; break;
	case 5: f->mounts[1].place = "../a"; break;
	case 6: f->mounts[1].place = "/a"; break;
	case 7: f->mounts[1].place = "a//b"; break;
	case 8: f->mounts[1].place = "a/./b"; break;
	case 9: f->mounts[1].place = "a/.."; break;
	case 10: f->mounts[1].path = "a"; break;
	case 11: f->mounts[1].flags = 1 << 12; break;	/* MS_BIND */
	case 12: f->mounts[1].file_system = 1; break;
	case 13: f->mounts[1].host_path = "/x"; break;
	case 14: f->mounts[1].root = "/../.."; break;
	case 15: f->mounts[1].root = NULL; break;
	case 16: f->mounts[2].root = "/"; break;
	case 17: f->mounts[2].host_path = "x"; break;
	case 18: f->fs[0].type = "ext4"; break;
	case 19: f->fs[0].type = "nothing like it"; break;
	case 20: f->options[0] = "subvol=x"; break;
	case 21: f->options[0] = ""; break;
	case 22: f->options[0] = "siz"; break;
	case 23: f->fs[0].flags = 1 << 6; break;	/* MS_MANDLOCK */
	case 24: f->mounts[0].place = "a"; break;
	case 25: f->mounts[1].unbindable = true; f->mounts[1].shared = 3; break;
	case 26: f->mounts[0].path = "/a"; break;
	case 27: f->mounts[2].has_cgroup_levels = true; break;
	case 28: f->mounts[1].place = "a/"; break;
	}
}

static void forged_mounts(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct forged f;

	make_good(&f);
	assert_parsed(mounts_check(&f.m, &err), &err);
	for (size_t i = 0; i <= 28; i++) {
		make_good(&f);
		forge(&f, i);
		if (mounts_check(&f.m, &err) == 0)
			fail_msg("forgery %zu was believed", i);
		assert_int_equal(err.kind, ERROR_IMAGE);
		error_clear(&err);
	}
}

static void options_of_types(void **state)
{
	assert_true(mount_takes_option("tmpfs", "size=1"));
	assert_true(mount_takes_option("tmpfs", "noswap"));
	assert_false(mount_takes_option("tmpfs", "size mode=1"));
	assert_false(mount_takes_option("tmpfs", "nr=1"));
	assert_false(mount_takes_option("sysfs", "mode=1"));
	assert_true(mount_takes_option("cgroup", "name=systemd"));
	assert_false(mount_takes_option("cgroup", "rw"));
	assert_false(mount_takes_option("cgroup", "=x"));
	assert_false(mount_takes_option("ext4", "data=x"));
}

/* ---- forged contents ---- */

static Tmpfs__Entry *entry(const char *name, uint32_t mode, uint32_t parent)
{
	Tmpfs__Entry *e = malloc(sizeof(*e));

	tmpfs__entry__init(e);
	e->name = name ? strdup(name) : NULL;
	e->has_mode = true;
	e->mode = mode;
	e->has_parent = name != NULL;
	e->parent = parent;
	return e;
}

/* The root, a directory, a file in it, and one more. */
static int load_with(Tmpfs__Entry *last, struct error *err)
{
	struct restore r = { 0 };
	struct tmpfs_contents contents = { 0 };
	Tmpfs *m = malloc(sizeof(*m));
	struct forged f;
	int result;

	make_good(&f);
	tmpfs__init(m);
	m->id = 1;
	m->n_entries = 4;
	m->entries = calloc(4, sizeof(*m->entries));
	m->entries[0] = entry(NULL, S_IFDIR | 0755, 0);
	m->entries[1] = entry("dir", S_IFDIR | 0755, 0);
	m->entries[2] = entry("file", S_IFREG | 0644, 1);
	m->entries[3] = last;
	r.objects = restore_objects_new(&r);
	assert_parsed(restore_objects_load(r.objects, &tmpfs_kind, &m->base, err), err);
	result = tmpfs_load(r.objects, &f.m, &contents, err);
	tmpfs_contents_release(&contents);
	restore_objects_free(r.objects);
	return result;
}

static Tmpfs__Entry *link_entry(uint32_t to)
{
	Tmpfs__Entry *e = entry("other", S_IFREG, 0);

	e->has_link = true;
	e->link = to;
	return e;
}

static Tmpfs__Entry *symlink_entry(const char *target)
{
	Tmpfs__Entry *e = entry("s", S_IFLNK | 0777, 0);

	e->target = strdup(target);
	return e;
}

static void forged_contents(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	char longest[300] = "";

	memset(longest, 'n', sizeof(longest) - 1);
	assert_parsed(load_with(link_entry(2), &err), &err);
	assert_parsed(load_with(symlink_entry("/etc/passwd"), &err), &err);
	assert_fails(load_with(entry("..", S_IFDIR, 0), &err), &err, ERROR_IMAGE, "its name");
	assert_fails(load_with(entry(".", S_IFREG, 0), &err), &err, ERROR_IMAGE, "its name");
	assert_fails(load_with(entry("", S_IFREG, 0), &err), &err, ERROR_IMAGE, "its name");
	assert_fails(load_with(entry("a/b", S_IFREG, 0), &err), &err, ERROR_IMAGE, "its name");
	assert_fails(load_with(entry(longest, S_IFREG, 0), &err), &err, ERROR_IMAGE, "its name");
	assert_fails(load_with(entry("x", S_IFREG, 2), &err), &err, ERROR_IMAGE, "its directory");
	assert_fails(load_with(entry("x", S_IFREG, 3), &err), &err, ERROR_IMAGE, "its directory");
	assert_fails(load_with(entry("x", S_IFREG, UINT32_MAX), &err), &err, ERROR_IMAGE,
		     "its directory");
	assert_fails(load_with(entry(NULL, S_IFREG, 0), &err), &err, ERROR_IMAGE, "its directory");
	assert_fails(load_with(entry("x", 0, 0), &err), &err, ERROR_IMAGE, "its type");
	assert_fails(load_with(link_entry(1), &err), &err, ERROR_IMAGE, "another name");
	assert_fails(load_with(link_entry(3), &err), &err, ERROR_IMAGE, "another name");
	assert_fails(load_with(symlink_entry(""), &err), &err, ERROR_IMAGE, "its target");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classified),	 cmocka_unit_test(ordered),
		cmocka_unit_test(blockers),	 cmocka_unit_test(forged_mounts),
		cmocka_unit_test(options_of_types), cmocka_unit_test(forged_contents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
