/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cgroups of a tree, with limits, owners, and who is in which, are as they were. */
/* test: between=while rmdir $(cat cgroups); ls -d $(cat cgroups) | grep .; do sleep 0.01; done */
/* build: -pthread */

#include <linux/bpf.h>
#include <mntent.h>
#include <pthread.h>
#include <signal.h>

#include "testing.h"

enum { TEXT = 4096, FILES = 64 };

static const struct {
	const char *controller, *file, *value;	/* "/" begins the one below */
} settings[] = {
	{ "pids", "pids.max", "50" },
	{ "pids", "/pids.max", "7" },
	{ "memory", "memory.limit_in_bytes", "536870912" },
	{ "memory", "/memory.limit_in_bytes", "268435456" },
	{ "memory", "/memory.swappiness", "17" },
	{ "memory", "memory.oom_control", NULL },
	{ "cpu", "cpu.cfs_period_us", "200000" },
	{ "cpu", "cpu.cfs_quota_us", "150000" },
	{ "cpu", "/cpu.cfs_quota_us", "50000" },
	{ "cpu", "/cpu.shares", "333" },
	{ "cpuset", "cpuset.cpus", "0" },
	{ "cpuset", "cpuset.mems", "0" },
	{ "cpuset", "/cpuset.cpus", "0" },
	{ "cpuset", "/cpuset.mems", "0" },
	{ "devices", "devices.deny", "a" },
	{ "devices", "devices.allow", "c 1:* rwm" },
	{ "devices", "devices.allow", "b *:* m" },
	{ "devices", "/devices.deny", "c 1:3 w" },
	{ "devices", "devices.list", NULL },
	{ "devices", "/devices.list", NULL },
	{ "blkio", "/blkio.bfq.weight", "222" },
	{ "freezer", "/notify_on_release", "0" },
	{ "", "cgroup.max.depth", "5" },
	{ "", "/cgroup.max.descendants", "11" },
};

static const char *const hierarchies[] = { "freezer", "pids", "memory", "cpu", "cpuset",
					   "devices", "blkio", "" };
enum { COUNT = sizeof(hierarchies) / sizeof(hierarchies[0]) };
static char *tops[COUNT];	/* NULL: not mounted */

static const char *top_of(const char *controller)
{
	size_t i;

	for (i = 0; i < COUNT; i++)
		if (tops[i] && !strcmp(hierarchies[i], controller))
			return tops[i];
	return "";
}

static void find_mounts(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *m;
	size_t i;

	test_must(mounts);
	while ((m = getmntent(mounts)))
		for (i = 0; i < COUNT; i++) {
			if (*hierarchies[i] ? strcmp(m->mnt_type, "cgroup") ||
						      !hasmntopt(m, hierarchies[i]) :
					      strcmp(m->mnt_type, "cgroup2"))
				continue;
			test_must(asprintf(&tops[i], "%s/criu-lite-test-%d", m->mnt_dir,
					   (int)getpid()) > 0);
		}
	endmntent(mounts);
}

static bool put(const char *directory, const char *file, const char *text)
{
	char path[4096];
	int fd;
	bool done;

	snprintf(path, sizeof(path), "%s/%s%s", directory, *file == '/' ? "below" : "", file);
	fd = open(path, O_WRONLY);
	done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return done;
}

static void get(const char *directory, const char *file, char text[TEXT])
{
	char path[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s%s", directory, *file == '/' ? "below" : "", file);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, text, TEXT - 1);
	text[n < 0 ? 0 : n] = '\0';
	if (fd >= 0)
		close(fd);
}

static void get_place(pid_t tid, char text[TEXT])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d", (int)tid);
	get(path, "cgroup", text);
}

static void make(void)
{
	FILE *list = fopen(test_path("cgroups"), "w"), *name = fopen(test_path("cgroup"), "w");
	size_t i;
	char path[4096];
	int made = 0;

	test_must(list && name);
	find_mounts();
	for (i = 0; i < COUNT; i++) {
		snprintf(path, sizeof(path), "%s/below", tops[i]);
		if (!tops[i])
			continue;
		if (mkdir(tops[i], 0755) || mkdir(path, 0750))
			test_skip("cgroups cannot be made");
		fprintf(list, "%s\n%s\n", path, tops[i]);
		if (!made++)
			fprintf(name, "%s\n", tops[i]);
	}
	fclose(list);
	fclose(name);
	if (!made)
		test_skip("no cgroups are mounted");
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (settings[i].value && *top_of(settings[i].controller))
			put(top_of(settings[i].controller), settings[i].file, settings[i].value);
	snprintf(path, sizeof(path), "%s/below", top_of("pids"));
	if (*top_of("pids"))
		test_must(!chown(path, 1000, 1001));
	snprintf(path, sizeof(path), "%s/below/cgroup.procs", top_of("pids"));
	if (*top_of("pids"))
		test_must(!chown(path, 1000, 1001) && !chmod(path, 0664));
}

/* Nobody in the cgroup of version 2 may write to device 1:7, /dev/full. */
static bool forbid_full(void)
{
	static const struct bpf_insn program[] = {
		{ BPF_LDX | BPF_W | BPF_MEM, 2, 1, 0, 0 },	/* r2 = access << 16 | type */
		{ BPF_ALU | BPF_RSH | BPF_K, 2, 0, 0, 16 },
		{ BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, BPF_DEVCG_ACC_WRITE },
		{ BPF_LDX | BPF_W | BPF_MEM, 3, 1, 4, 0 },	/* r3 = major */
		{ BPF_LDX | BPF_W | BPF_MEM, 4, 1, 8, 0 },	/* r4 = minor */
		{ BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1 },
		{ BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 3, 0 },
		{ BPF_JMP | BPF_JNE | BPF_K, 3, 0, 2, 1 },
		{ BPF_JMP | BPF_JNE | BPF_K, 4, 0, 1, 7 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0 },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};
	union bpf_attr attr;
	int fd, cgroup;
	bool done;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)program;
	attr.insn_cnt = sizeof(program) / sizeof(program[0]);
	attr.license = (uintptr_t)"GPL";
	fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	cgroup = open(top_of(""), O_RDONLY);
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = cgroup;
	attr.attach_bpf_fd = fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	done = fd >= 0 && cgroup >= 0 && !syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr));
	close(cgroup);
	close(fd);
	return done;
}

static bool may_open_full(int flags)
{
	int fd = open("/dev/full", flags);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void enter(const char *which, const char *file, pid_t id)
{
	char text[16];
	size_t i;

	snprintf(text, sizeof(text), "%d", (int)id);
	for (i = 0; i < COUNT; i++)
		if (tops[i] && (!which || !strcmp(which, hierarchies[i])))
			test_check(put(tops[i], file, text), "cannot enter %s%s", tops[i], file);
}

static pid_t second;

static void *wait_for_ever(void *unused)
{
	second = syscall(SYS_gettid);
	for (;;)
		pause();
	return unused;
}

static pid_t bear(void)
{
	pid_t pid = fork();

	while (pid == 0)
		pause();
	test_must(pid > 0);
	return pid;
}

/* Out of them, so that they can be removed. */
static void leave(pid_t child)
{
	char out[4096], path[4096], text[16];
	size_t i;

	test_must(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
	snprintf(text, sizeof(text), "%d", (int)getpid());
	for (i = 0; i < COUNT; i++) {
		if (!tops[i])
			continue;
		snprintf(out, sizeof(out), "%s/..", tops[i]);
		test_check(put(out, "cgroup.procs", text), "cannot leave %s", tops[i]);
		snprintf(path, sizeof(path), "%s/below", tops[i]);
		test_wait_until(!rmdir(path), "cannot remove %s", path);
		test_wait_until(!rmdir(tops[i]), "cannot remove %s", tops[i]);
	}
}

int main(int argc, char **argv)
{
	static char before[FILES][TEXT], after[TEXT], places[4][TEXT];
	const char *pids;
	pthread_t thread;
	struct stat st;
	bool forbidden;
	pid_t child;
	size_t i;

	test_init(argc, argv);
	make();
	enter(NULL, "cgroup.procs", getpid());
	forbidden = forbid_full();
	test_check(!forbidden || !may_open_full(O_WRONLY), "the program forbids nothing");
	child = bear();
	enter("pids", "/cgroup.procs", child);
	enter("memory", "/cgroup.procs", child);
	enter("", "/cgroup.procs", child);
	test_must(!pthread_create(&thread, NULL, wait_for_ever, NULL));
	test_wait_until(second, "the thread does not run");
	if (*top_of("cpu"))
		enter("cpu", "/tasks", second);
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		get(top_of(settings[i].controller), settings[i].file, before[i]);
	get_place(getpid(), places[0]);
	get_place(child, places[1]);
	get_place(second, places[2]);

	test_checkpoint_here();

	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		get(top_of(settings[i].controller), settings[i].file, after);
		test_check(!strcmp(before[i], after), "%s %s is \"%s\", was \"%s\"",
			   settings[i].controller, settings[i].file, after, before[i]);
	}
	test_check(may_open_full(O_WRONLY) == !forbidden, "what was forbidden is not");
	test_check(may_open_full(O_RDONLY), "what was allowed is not");
	get_place(getpid(), after);
	test_check(!strcmp(after, places[0]), "the process is in\n%s, was in\n%s", after, places[0]);
	get_place(child, after);
	test_check(!strcmp(after, places[1]), "the child is in\n%s, was in\n%s", after, places[1]);
	get_place(second, after);
	test_check(!strcmp(after, places[2]), "the thread is in\n%s, was in\n%s", after, places[2]);
	pids = top_of("pids");
	if (*pids) {
		snprintf(after, sizeof(after), "%s/below", pids);
		test_check(!stat(after, &st) && st.st_uid == 1000 && st.st_gid == 1001 &&
				   (st.st_mode & 07777) == 0750, "owner of %s", after);
		snprintf(after, sizeof(after), "%s/below/cgroup.procs", pids);
		test_check(!stat(after, &st) && st.st_uid == 1000 && st.st_gid == 1001 &&
				   (st.st_mode & 07777) == 0664, "owner of %s", after);
	}
	leave(child);
	test_pass();
}
