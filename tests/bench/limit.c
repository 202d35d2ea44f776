/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The limits beside which criu-lite is measured: loops that do nothing but the work.
 *
 *     limit drain PID ADDRESS BYTES FILE THREADS   process_vm_readv and pwrite to a new file
 *     limit fill FILE BYTES THREADS                UFFDIO_COPY of a file's pages to fresh memory
 *     limit fork MIB                               fork of a process with so much memory
 *     limit seize PID                              seize, stop and let go all threads below PID
 *     limit clone N                                so many processes, one after the other
 *
 * Each line on standard input runs it once; the answer is a line with the seconds that it took.
 *
 *     limit peak COMMAND …                         the bytes of memory that a command used at most
 *
 * (A process inherits its parent's peak over exec, so a small parent must ask.)
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, PAGE = 4096, THREADS_MAX = 64, TASKS_MAX = 4096 };

struct work {
	pid_t pid;
	uint64_t address, bytes;
	int fd, threads;
	char *source, *target;
	uint64_t next;		/* chunk, taken by whoever comes first */
	void (*chunk)(struct work *w, char *buffer, uint64_t offset, uint64_t size);
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void *run_chunks(void *argument)
{
	struct work *w = argument;
	char *buffer = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	uint64_t offset;

	while ((offset = __atomic_fetch_add(&w->next, CHUNK, __ATOMIC_RELAXED)) < w->bytes)
		w->chunk(w, buffer, offset, w->bytes - offset < CHUNK ? w->bytes - offset : CHUNK);
	munmap(buffer, CHUNK);
	return NULL;
}

static void run_threads(struct work *w)
{
	pthread_t threads[THREADS_MAX];
	int i;

	w->next = 0;
	for (i = 1; i < w->threads; i++)
		if (pthread_create(&threads[i], NULL, run_chunks, w))
			errx(1, "pthread_create");
	run_chunks(w);
	for (i = 1; i < w->threads; i++)
		pthread_join(threads[i], NULL);
}

static void drain_chunk(struct work *w, char *buffer, uint64_t offset, uint64_t size)
{
	struct iovec here = { buffer, size }, there = { (void *)(w->address + offset), size };

	if (process_vm_readv(w->pid, &here, 1, &there, 1, 0) != (ssize_t)size)
		err(1, "process_vm_readv");
	if (pwrite(w->fd, buffer, size, offset) != (ssize_t)size)
		err(1, "pwrite");
}

static double drain(char **argv)
{
	struct work w = {
		.pid = atoi(argv[0]),
		.address = strtoull(argv[1], NULL, 0),
		.bytes = strtoull(argv[2], NULL, 0),
		.threads = atoi(argv[4]),
		.chunk = drain_chunk,
	};
	double start = now();

	w.fd = open(argv[3], O_RDWR | O_CREAT | O_EXCL, 0600);
	if (w.fd < 0)
		err(1, "%s", argv[3]);
	run_threads(&w);
	start = now() - start;
	unlink(argv[3]);
	close(w.fd);
	return start;
}

static void fill_chunk(struct work *w, char *buffer, uint64_t offset, uint64_t size)
{
	struct uffdio_copy copy = {
		.dst = (uint64_t)w->target + offset,
		.src = (uint64_t)w->source + offset,
		.len = size,
	};

	(void)buffer;
	while (ioctl(w->fd, UFFDIO_COPY, &copy)) {
		if (errno != EAGAIN)
			err(1, "UFFDIO_COPY");
		copy.dst += copy.copy;
		copy.src += copy.copy;
		copy.len -= copy.copy;
	}
}

static double fill(char **argv)
{
	struct work w = {
		.bytes = strtoull(argv[1], NULL, 0),
		.threads = atoi(argv[2]),
		.chunk = fill_chunk,
	};
	int file = open(argv[0], O_RDONLY);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register area = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	double start;

	w.target = mmap(NULL, w.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	w.fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (file < 0 || w.fd < 0 || w.target == MAP_FAILED ||
	    madvise(w.target, w.bytes, MADV_NOHUGEPAGE) || ioctl(w.fd, UFFDIO_API, &api))
		err(1, "userfaultfd");
	area.range.start = (uint64_t)w.target;
	area.range.len = w.bytes;
	start = now();
	w.source = mmap(NULL, w.bytes, PROT_READ, MAP_SHARED, file, 0);
	if (w.source == MAP_FAILED || ioctl(w.fd, UFFDIO_REGISTER, &area))
		err(1, "UFFDIO_REGISTER");
	run_threads(&w);
	start = now() - start;
	munmap(w.source, w.bytes);
	munmap(w.target, w.bytes);
	close(w.fd);
	close(file);
	return start;
}

static double bare_fork(char **argv)
{
	static char *memory;
	size_t bytes = strtoul(argv[0], NULL, 10) << 20;
	double start;
	pid_t child;

	if (!memory) {
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0);
		if (memory == MAP_FAILED || madvise(memory, bytes, MADV_NOHUGEPAGE))
			err(1, "memory");
		memset(memory, 1, bytes);
	}
	start = now();
	child = fork();
	if (!child)
		_exit(0);
	start = now() - start;
	waitpid(child, NULL, 0);
	return start;
}

struct tasks {
	pid_t tids[TASKS_MAX];
	size_t count;
};

static void list_children(pid_t pid, pid_t tid, struct tasks *tasks);

/* Appends all threads of a process and of its descendants. */
static void list_threads(pid_t pid, struct tasks *tasks)
{
	char path[64];
	DIR *dir;
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		pid_t tid = atoi(entry->d_name);

		if (tid <= 0 || tasks->count == TASKS_MAX)
			continue;
		tasks->tids[tasks->count++] = tid;
		list_children(pid, tid, tasks);
	}
	if (dir)
		closedir(dir);
}

static void list_children(pid_t pid, pid_t tid, struct tasks *tasks)
{
	char path[64];
	FILE *file;
	int child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tid);
	file = fopen(path, "re");
	while (file && fscanf(file, "%d", &child) == 1)
		list_threads(child, tasks);
	if (file)
		fclose(file);
}

static double seize(char **argv)
{
	static struct tasks t;
	size_t i;
	double start = now();

	t.count = 0;
	list_threads(atoi(argv[0]), &t);
	for (i = 0; i < t.count; i++)
		if (ptrace(PTRACE_SEIZE, t.tids[i], 0, 0) ||
		    ptrace(PTRACE_INTERRUPT, t.tids[i], 0, 0))
			err(1, "seize %d", t.tids[i]);
	for (i = 0; i < t.count; i++)
		waitpid(t.tids[i], NULL, __WALL);
	for (i = 0; i < t.count; i++)
		ptrace(PTRACE_DETACH, t.tids[i], 0, 0);
	return now() - start;
}

static double clone_processes(char **argv)
{
	static pid_t children[TASKS_MAX];
	int count = atoi(argv[0]), i;
	double start = now();

	for (i = 0; i < count && i < TASKS_MAX; i++) {
		children[i] = fork();
		if (children[i] < 0)
			err(1, "fork");
		if (!children[i])
			for (;;)
				pause();
	}
	start = now() - start;
	while (i-- > 0) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	return start;
}

static int peak(char **command)
{
	struct rusage usage;
	int status;
	pid_t child = fork();

	if (child < 0)
		err(1, "fork");
	if (!child) {
		execv(command[0], command);
		err(127, "%s", command[0]);
	}
	if (wait4(child, &status, 0, &usage) < 0 || status)
		errx(1, "the command failed");
	printf("peak %ld\n", usage.ru_maxrss << 10);
	return 0;
}

static const struct {
	const char *name;
	int arguments;
	double (*run)(char **argv);
} modes[] = {
	{ "drain", 5, drain }, { "fill", 3, fill }, { "fork", 1, bare_fork },
	{ "seize", 1, seize }, { "clone", 1, clone_processes },
};

int main(int argc, char **argv)
{
	char line[16];
	size_t i;

	if (argc > 2 && !strcmp(argv[1], "peak"))
		return peak(argv + 2);
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc > 1 && !strcmp(argv[1], modes[i].name) && argc == modes[i].arguments + 2)
			break;
	if (i == sizeof(modes) / sizeof(modes[0]))
		errx(2, "usage: see the head of the source");
	while (fgets(line, sizeof(line), stdin)) {
		printf("%.9f\n", modes[i].run(argv + 2));
		fflush(stdout);
	}
	return 0;
}
