/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mount namespaces come back from their message as they were, and forged messages are refused. */
#include "proc_testing.h"

#include <errno.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "kernel-compat/calls.h"
#include "kinds/dump.h"
#include "kinds/mount/mount_build.h"
#include "kinds/objects.h"
#include "kinds/restore.h"
#include "proc/mountinfo.h"

extern const struct kind mounts_kind;

/* ---- a mount namespace, in a child ---- */

struct space {
	pid_t pid;
	int proc_fd;
};

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	_exit(1);
}
#define MUST(call) must((call) >= 0, #call)

/* Runs build() in a child with a mount namespace of its own, which then waits for its end. */
static struct space start(void (*build)(void *context), void *context)
{
	struct space s = { 0 };
	char path[32], byte;
	int ready[2];

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	fflush(NULL);
	s.pid = fork();
	if (s.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		MUST(unshare(CLONE_NEWNS));
		build(context);
		MUST(write(ready[1], "", 1));
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	snprintf(path, sizeof(path), "/proc/%d", s.pid);
	s.proc_fd = open_dir(path);
	return s;
}

static void end(struct space *s)
{
	close(s->proc_fd);
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
}

static void pivot(const char *root)
{
	MUST(chdir(root));
	MUST(sys_pivot_root(".", "."));
	MUST(umount2(".", MNT_DETACH));
	MUST(chdir("/"));
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	MUST(fd);
	MUST(write(fd, text, strlen(text)));
	close(fd);
}

static void bind_mount(const char *from, const char *to, unsigned long flags)
{
	MUST(mount(from, to, NULL, MS_BIND, NULL));
	if (flags)
		MUST(mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | flags, NULL));
}

static const char default_acl[] = "\2\0\0\0\1\0\7\0\377\377\377\377\4\0\5\0\377\377\377\377"
				  "\40\0\0\0\377\377\377\377";

/* Below the working directory. */
static void fill_tmpfs(void)
{
	const struct timespec times[2] = { { 1000000000, 5 }, { 1100000000, 7 } };

	MUST(mkdir("deep", 0700));
	MUST(mkdir("deep/er", 02750));
	put("deep/er/file", "content");
	MUST(chown("deep/er/file", 12, 34));
	MUST(chmod("deep/er/file", 06751));
	MUST(link("deep/er/file", "another"));
	MUST(symlink("/no/where", "link"));
	MUST(lchown("link", 5, 6));
	MUST(mkfifo("fifo", 0640));
	MUST(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	MUST(mknod("socket", S_IFSOCK | 0600, 0));
	put("\xff odd \n name", "");
	MUST(setxattr("another", "trusted.test", "\0\1", 2, 0));
	MUST(setxattr("deep", "system.posix_acl_default", default_acl,
		      sizeof(default_acl) - 1, 0));
	MUST(chmod("deep", 01777));
	MUST(utimensat(AT_FDCWD, "link", times, AT_SYMLINK_NOFOLLOW));
	MUST(utimensat(AT_FDCWD, "deep/er/file", times, 0));
	MUST(utimensat(AT_FDCWD, "deep/er", times, 0));
	MUST(utimensat(AT_FDCWD, "deep", times, 0));
}

/* A root of its own, with everything below it. */
static void build_all(void *scratch)
{
	MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount("root", scratch, "tmpfs", MS_NOATIME, "mode=711,size=8m"));
	MUST(chdir(scratch));
	MUST(mkdir("proc", 0555));
	MUST(mkdir("sys", 0555));
	MUST(mkdir("dev", 0755));
	MUST(mkdir("t", 0755));
	MUST(mkdir("empty", 0755));
	MUST(mkdir("etc", 0755));
	MUST(mkdir("peers", 0755));
	MUST(mkdir("peer", 0755));
	MUST(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	bind_mount("proc/sys", "proc/sys", MS_RDONLY | MS_NOSUID | MS_RELATIME);
	MUST(mount("tmpfs", "proc/acpi", "tmpfs", MS_RDONLY, NULL));
	MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=64k"));
	MUST(mkdir("dev/pts", 0755));
	MUST(mkdir("dev/mqueue", 0755));
	MUST(mknod("dev/null", S_IFCHR | 0666, makedev(1, 3)));
	MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		   "newinstance,ptmxmode=0666,mode=0620,gid=5"));
	put("dev/console", "");
	MUST(open("dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
	bind_mount("dev/null", "proc/keys", 0);
	MUST(mount("covered", "t", "tmpfs", 0, "mode=700"));
	MUST(mkdir("t/sub", 0755));
	MUST(mount("lower", "t/sub", "tmpfs", MS_NODIRATIME | MS_RELATIME, NULL));
	MUST(chdir("t"));
	fill_tmpfs();
	MUST(chdir(".."));
	MUST(mount("cover", "t", "tmpfs", 0, "size=1m"));
	put("t/on-top", "");
	bind_mount("/usr", "t", MS_RDONLY);
	MUST(mount("stack", "t", "tmpfs", 0, NULL));
	put("etc/hosts", "");
	bind_mount("dev/null", "etc/hosts", 0);
	MUST(mount(NULL, "t", NULL, MS_UNBINDABLE, NULL));
	MUST(mount("tmpfs", "peers", "tmpfs", 0, NULL));
	MUST(mount(NULL, "peers", NULL, MS_SHARED, NULL));
	MUST(mkdir("peers/below", 0755));
	bind_mount("peers/below", "peer", 0);
	bind_mount("peers", "empty", 0);
	MUST(mount(NULL, "empty", NULL, MS_SLAVE, NULL));
	MUST(mount(NULL, "empty", NULL, MS_SHARED, NULL));
	bind_mount("dev/pts/0", "dev/console", MS_NOSUID | MS_NOEXEC);
	pivot(".");
}

/* The machine's own files, with something of its own beside. */
static void build_outside(void *scratch)
{
	MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(chdir(scratch));
	MUST(mkdir("rootfs", 0755));
	MUST(mkdir("rootfs/usr", 0755));
	MUST(mkdir("rootfs/tmp", 0755));
	put("rootfs/passwd", "");
	bind_mount("rootfs", "rootfs", MS_NODEV);
	bind_mount("/usr", "rootfs/usr", MS_RDONLY | MS_NOSUID | MS_NOATIME);
	bind_mount("/etc/passwd", "rootfs/passwd", MS_NOEXEC);
	MUST(mount("tmpfs", "rootfs/tmp", "tmpfs", 0, NULL));
	pivot("rootfs");
}

/* ---- saving and restoring ---- */

static void save(const struct space *from, int image, const struct container *c)
{
	static const struct stream_options plain = { .codec = CODEC_RAW, .jobs = 1 };
	_cleanup_error_ struct error err = ERROR_INIT;
	struct dump_task task = { .pid = from->pid, .proc_fd = from->proc_fd };
	struct dump d = { .container = *c };
	struct dump_task **slot = array_add(&d.tasks);

	*slot = &task;
	task.dump = &d;
	assert_parsed(stream_writer_open(&d.out, image, &plain, &err), &err);
	assert_parsed(mounts_kind.container->dump(&d, &err), &err);
	assert_parsed(stream_writer_seal(d.out, &err), &err);
	stream_writer_free(d.out);
	dump_objects_free(d.objects);
	array_release(&d.tasks);
}

struct again {
	struct restore r;
	ProtobufCMessage *message;
	struct error err;
	bool terminal;	/* of number 0 comes with the descriptors */
	struct again *further;	/* round */
};

static void load(struct again *a, int image)
{
	struct record record;

	a->r.container_slots = calloc(kinds_count(), sizeof(*a->r.container_slots));
	a->r.objects = restore_objects_new(&a->r);
	assert_int_equal(lseek(image, 0, SEEK_SET), 0);
	assert_parsed(stream_reader_open(&a->r.in, image, 1, &a->err), &a->err);
	while (stream_next(a->r.in, &record, &a->err) == 1) {
		const struct kind *kind = kind_by_record(record.kind);
		ProtobufCMessage *message;

		if (!kind)
			continue;
		assert_parsed(stream_message(a->r.in, kind->message, &message, &a->err), &a->err);
		if (kind == &mounts_kind)
			a->message = message;
		else
			assert_parsed(restore_objects_load(a->r.objects, kind, message, &a->err),
				      &a->err);
	}
	assert_int_equal(a->err.kind, ERROR_NONE);
	stream_reader_free(a->r.in);
	assert_non_null(a->message);
}

static void unload(struct again *a)
{
	mounts_kind.container->undo(&a->r, a->message);
	protobuf_c_message_free_unpacked(a->message, NULL);
	restore_objects_free(a->r.objects);
	free(a->r.container_slots);
}

static void build_again(void *context)
{
	struct again *a = context;

	struct restore_thread thread = { .tracee.tid = getpid() }, *threads = &thread;
	struct restore_task task = { .threads = { &threads, 1, 1 } }, *tasks = &task;

	a->r.tasks.items = &tasks;
	a->r.tasks.count = 1;
	a->r.container.host_pid = getpid();
	if (mounts_kind.container->build(&a->r, a->message, &a->err)) {
		fprintf(stderr, "%s\n", a->err.message);
		_exit(1);
	}
	if (a->further) {
		a->r.objects = a->further->r.objects;
		if (mounts_kind.container->again(&a->r, a->message, a->further->message,
						 &a->err)) {
			fprintf(stderr, "%s\n", a->err.message);
			_exit(1);
		}
	}
	/* Terminals come later. */
	if (a->terminal)
		MUST(open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
	if (mounts_kind.container->finish(&a->r, a->message, &a->err)) {
		fprintf(stderr, "%s\n", a->err.message);
		_exit(1);
	}
}

/* ---- comparing ---- */

static int group_of(const struct proc_mounts *all, int group, bool *ret_inside)
{
	const struct proc_mount *m;

	*ret_inside = false;
	array_for(m, &all->items)
		if (m->shared == group) {
			*ret_inside = true;
			return m - all->items.items;
		}
	return -1;
}

static void assert_same_groups(const struct proc_mounts *a, const struct proc_mounts *b, size_t i)
{
	const struct proc_mount *x = &a->items.items[i], *y = &b->items.items[i];
	bool inside, same;

	assert_int_equal(!x->shared, !y->shared);
	if (x->shared)
		assert_int_equal(group_of(a, x->shared, &inside), group_of(b, y->shared, &same));
	if (x->master && group_of(a, x->master, &inside) >= 0)
		assert_int_equal(group_of(a, x->master, &inside),
				 group_of(b, y->master, &same));
	else if (!x->master)
		assert_int_equal(y->master, 0);
	assert_int_equal(x->unbindable, y->unbindable);
}

static size_t index_of(const struct proc_mounts *all, int id)
{
	const struct proc_mount *m = proc_mounts_find(all, id);

	return m ? (size_t)(m - all->items.items) : all->items.count;
}

static void assert_same_mounts(const struct space *one, const struct space *other)
{
	_cleanup_proc_mounts_ struct proc_mounts a = { 0 }, b = { 0 };
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_parsed(proc_read_mountinfo(one->proc_fd, &a, &err), &err);
	assert_parsed(proc_read_mountinfo(other->proc_fd, &b, &err), &err);
	assert_int_equal(a.items.count, b.items.count);
	for (size_t i = 0; i < a.items.count; i++) {
		const struct proc_mount *x = &a.items.items[i], *y = &b.items.items[i];

		assert_string_equal(x->mount_point, y->mount_point);
		assert_int_equal(index_of(&a, x->parent), index_of(&b, y->parent));
		assert_string_equal(x->root, y->root);
		assert_string_equal(x->options, y->options);
		assert_string_equal(x->type, y->type);
		assert_string_equal(x->source, y->source);
		assert_string_equal(x->super_options, y->super_options);
		assert_same_groups(&a, &b, i);
	}
}

static void assert_same_attributes(const char *one, const char *other)
{
	char names[2][1024], values[2][1024];
	ssize_t size = llistxattr(one, names[0], sizeof(names[0]));

	assert_int_equal(llistxattr(other, names[1], sizeof(names[1])), size);
	for (char *name = names[0]; name < names[0] + size; name += strlen(name) + 1) {
		ssize_t length = lgetxattr(one, name, values[0], sizeof(values[0]));

		assert_int_equal(lgetxattr(other, name, values[1], sizeof(values[1])), length);
		assert_memory_equal(values[0], values[1], length);
	}
}

static void assert_same_file(const char *one, const char *other, uint64_t *first, uint64_t *second)
{
	char link[2][256] = { "", "" };
	struct stat a, b;

	assert_int_equal(lstat(one, &a), 0);
	if (lstat(other, &b))
		fail_msg("%s: %s", other, strerror(errno));
	assert_int_equal(a.st_mode, b.st_mode);
	assert_int_equal(a.st_uid, b.st_uid);
	assert_int_equal(a.st_gid, b.st_gid);
	assert_int_equal(a.st_rdev, b.st_rdev);
	assert_int_equal(a.st_nlink, b.st_nlink);
	assert_int_equal(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
	assert_int_equal(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
	if (S_ISLNK(a.st_mode)) {
		assert_int_equal(readlink(one, link[0], 255), readlink(other, link[1], 255));
		assert_string_equal(link[0], link[1]);
	}
	assert_same_attributes(one, other);
	*first = (uint64_t)a.st_dev << 32 | a.st_ino;
	*second = (uint64_t)b.st_dev << 32 | b.st_ino;
}

static void path_in(char *ret, size_t size, const struct space *s, const char *path)
{
	snprintf(ret, size, "/proc/%d/root%s", s->pid, path);
}

static void assert_same_files(const struct space *one, const struct space *other,
			      const char *const *paths)
{
	uint64_t first[64], second[64];
	char a[512], b[512];
	size_t i, k;

	for (i = 0; paths[i]; i++) {
		path_in(a, sizeof(a), one, paths[i]);
		path_in(b, sizeof(b), other, paths[i]);
		assert_same_file(a, b, &first[i], &second[i]);
		for (k = 0; k < i; k++)
			assert_int_equal(first[k] == first[i], second[k] == second[i]);
	}
}

static void make_scratch(char *scratch)
{
	strcpy(scratch, "/tmp/criu-lite-mounts-XXXXXX");
	assert_non_null(mkdtemp(scratch));
}

static struct container here(void)
{
	return (struct container){
		.namespaces = CLONE_NEWNS,
		.host_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.host_self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC),
	};
}

static void leave(struct container *c)
{
	close(c->host_root);
	close(c->host_self);
}

static struct space restore_from(struct again *a, int image, const struct container *c)
{
	load(a, image);
	a->r.container = *c;
	assert_parsed(mounts_kind.container->prepare(&a->r, a->message, &a->err), &a->err);
	return start(build_again, a);
}

/* ---- tests ---- */

static void uncover(const struct space *s, int times)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		int space = openat(s->proc_fd, "ns/mnt", O_RDONLY | O_CLOEXEC);

		MUST(setns(space, CLONE_NEWNS));
		while (times--)
			MUST(umount2("/t", MNT_DETACH));
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void all_of_its_own(void **state)
{
	static const char *const files[] = { "/", "/dev", "/dev/null", "/etc",
					     "/etc/hosts", "/t/on-top", NULL };
	static const char *const covered[] = { "/t", "/t/link", "/t/fifo", "/t/null", "/t/socket",
					       "/t/another", "/t/deep", "/t/deep/er", "/t/sub",
					       "/t/deep/er/file", "/t/\xff odd \n name", NULL };
	_cleanup_fd_ int image = memfd_create("image", MFD_CLOEXEC);
	struct container c = here();
	struct again a = { .terminal = true };
	struct space one, other;
	char scratch[64];

	make_scratch(scratch);
	one = start(build_all, scratch);
	save(&one, image, &c);
	other = restore_from(&a, image, &c);
	assert_same_mounts(&one, &other);
	uncover(&one, 2);
	uncover(&other, 2);
	assert_same_files(&one, &other, files);
	uncover(&one, 1);
	uncover(&other, 1);
	assert_same_files(&one, &other, covered);
	end(&one);
	end(&other);
	unload(&a);
	leave(&c);
	assert_int_equal(rmdir(scratch), 0);
}

/* ---- rounds ---- */

static void root_of_its_own(const char *scratch)
{
	MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount("root", scratch, "tmpfs", 0, NULL));
	MUST(chdir(scratch));
	MUST(mkdir("proc", 0755));
	MUST(mount("proc", "proc", "proc", 0, NULL));
}

static void build_first(void *scratch)
{
	root_of_its_own(scratch);
	MUST(mkdir("stays", 0755));
	put("stays/file", "");
	MUST(setxattr("stays/file", "trusted.gone", "x", 1, 0));
	put("stays/gone", "");
	MUST(mkdir("gone", 0755));
	MUST(mkdir("gone/too", 0755));
	put("gone/too/file", "");
	put("becomes-directory", "");
	MUST(link("stays/file", "link"));
	put("one", "");
	MUST(link("one", "other"));
	MUST(symlink("there", "symlink"));
	pivot(".");
}

static void build_further(void *scratch)
{
	root_of_its_own(scratch);
	MUST(mkdir("stays", 0700));
	MUST(mkdir("stays/new", 0755));
	MUST(mknod("stays/new/fifo", S_IFIFO | 0600, 0));
	put("stays/file", "");
	MUST(chown("stays/file", 3, 4));
	MUST(setxattr("stays/file", "trusted.new", "y", 1, 0));
	MUST(link("stays/file", "link"));
	MUST(mkdir("becomes-directory", 0755));
	put("becomes-directory/file", "");
	put("one", "");
	put("other", "");
	MUST(symlink("elsewhere", "symlink"));
	pivot(".");
}

static void further_round(void **state)
{
	static const char *const files[] = { "/", "/stays", "/stays/file", "/link", "/stays/new",
					     "/stays/new/fifo", "/becomes-directory",
					     "/becomes-directory/file", "/one", "/other",
					     "/symlink", NULL };
	static const char *const gone[] = { "/gone", "/stays/gone" };
	_cleanup_fd_ int first = memfd_create("image", MFD_CLOEXEC);
	_cleanup_fd_ int second = memfd_create("image", MFD_CLOEXEC);
	struct container c = here();
	struct again b = { 0 }, a = { .further = &b };
	struct space one, two, other;
	char scratch[64], path[256];

	make_scratch(scratch);
	one = start(build_first, scratch);
	two = start(build_further, scratch);
	save(&one, first, &c);
	save(&two, second, &c);
	load(&b, second);
	other = restore_from(&a, first, &c);
	assert_same_mounts(&two, &other);
	assert_same_files(&two, &other, files);
	for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
		path_in(path, sizeof(path), &other, gone[i]);
		assert_int_equal(access(path, F_OK), -1);
	}
	end(&one);
	end(&two);
	end(&other);
	unload(&a);
	unload(&b);
	leave(&c);
	assert_int_equal(rmdir(scratch), 0);
}

/* A container whose root is an overlay of its own, made of directories of the machine. */
static void build_overlay(void *scratch)
{
	char options[512];

	MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(chdir(scratch));
	snprintf(options, sizeof(options), "lowerdir=%s/layers/low,upperdir=%s/layers/up,"
		 "workdir=%s/layers/work", (char *)scratch, (char *)scratch, (char *)scratch);
	MUST(mount("overlay", "merged", "overlay", MS_NODEV, options));
	put("merged/upper", "text");
	pivot("merged");
}

static void overlay(void **state)
{
	static const char *const files[] = { "/", "/lower", "/upper", NULL };
	static const char *const names[] = { "layers/low", "layers/up", "layers/work", "merged",
					     "layers/low/lower" };
	_cleanup_fd_ int image = memfd_create("image", MFD_CLOEXEC);
	struct container c = here();
	struct again a = { 0 }, b = { 0 };
	struct space one, other;
	char scratch[64], path[128];

	make_scratch(scratch);
	snprintf(path, sizeof(path), "%s/layers", scratch);
	assert_int_equal(mkdir(path, 0755), 0);
	/* On an overlay there can be no upper layer. */
	assert_int_equal(mount("tmpfs", path, "tmpfs", 0, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", scratch, names[i]);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	one = start(build_overlay, scratch);
	save(&one, image, &c);
	other = restore_from(&a, image, &c);
	assert_same_mounts(&one, &other);
	assert_same_files(&one, &other, files);
	end(&one);
	end(&other);
	unload(&a);
	snprintf(path, sizeof(path), "%s/layers", scratch);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	load(&b, image);
	b.r.container = c;
	assert_fails(mounts_kind.container->prepare(&b.r, b.message, &b.err), &b.err,
		     ERROR_BLOCKED, "overlay");
	unload(&b);
	leave(&c);
	assert_int_equal(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/merged", scratch);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(scratch), 0);
}

static void remove_scratch(const char *scratch)
{
	static const char *const names[] = { "/rootfs/usr", "/rootfs/tmp", "/rootfs", "" };
	char path[128];

	snprintf(path, sizeof(path), "%s/rootfs/passwd", scratch);
	assert_int_equal(unlink(path), 0);
	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", scratch, names[i]);
		assert_int_equal(rmdir(path), 0);
	}
}

static void from_outside(void **state)
{
	static const char *const files[] = { "/", "/usr", "/usr/bin", "/passwd", "/tmp", NULL };
	_cleanup_fd_ int image = memfd_create("image", MFD_CLOEXEC);
	struct external external = { "mnt[/usr]", 9, "/nowhere at all" };
	struct container c = here();
	struct again a = { 0 }, b = { 0 };
	struct space one, other;
	char scratch[64];

	make_scratch(scratch);
	one = start(build_outside, scratch);
	save(&one, image, &c);
	other = restore_from(&a, image, &c);
	assert_same_mounts(&one, &other);
	assert_same_files(&one, &other, files);
	load(&b, image);
	b.r.container = c;
	b.r.container.root = "/nowhere";
	assert_fails(mounts_kind.container->prepare(&b.r, b.message, &b.err), &b.err,
		     ERROR_BLOCKED, "/nowhere");
	mounts_kind.container->undo(&b.r, b.message);
	b.r.container.root = NULL;
	b.r.container.externals = &external;
	b.r.container.externals_count = 1;
	assert_fails(mounts_kind.container->prepare(&b.r, b.message, &b.err), &b.err,
		     ERROR_BLOCKED, "/nowhere at all");
	mounts_kind.container->undo(&b.r, b.message);
	external.value = "/etc/passwd";
	assert_fails(mounts_kind.container->prepare(&b.r, b.message, &b.err), &b.err,
		     ERROR_BLOCKED, "of another type");
	end(&one);
	end(&other);
	unload(&a);
	unload(&b);
	leave(&c);
	remove_scratch(scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_its_own),
		cmocka_unit_test(from_outside),
		cmocka_unit_test(overlay),
		cmocka_unit_test(further_round),
	};

	/* Nothing that is mounted here shows outside. */
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		perror("unshare");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
