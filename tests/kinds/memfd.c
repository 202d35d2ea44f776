/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memfds keep name, content, seals and mode, opened, mapped or both. */
#include <sys/mman.h>
#include <sys/wait.h>

#include "testing.h"

enum { PAGE = 4096, PAGES = 30 };
#define RW (PROT_READ | PROT_WRITE)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

static const struct sample {
	const char *name;
	unsigned flags;
	int seals;
} samples[] = {
	{ "plain", 0, 0 },
	{ "sealable", MFD_ALLOW_SEALING, 0 },
	{ "size", MFD_ALLOW_SEALING, F_SEAL_SHRINK | F_SEAL_GROW },
	{ "read only", MFD_ALLOW_SEALING, F_SEAL_WRITE | F_SEAL_SHRINK },
	{ "later read only", MFD_ALLOW_SEALING, F_SEAL_FUTURE_WRITE },
	{ "all (deleted)", MFD_ALLOW_SEALING,
	  F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL },
	{ "not executable", MFD_NOEXEC_SEAL, 0 },
	{ "", 0, 0 },
};
enum { SAMPLES = sizeof(samples) / sizeof(samples[0]) };

static struct made {
	int fd, seals;
	mode_t mode;
	char link[300];
	char *map;		/* read-only, shared */
} made[SAMPLES];

static void read_link(int fd, char link[300])
{
	char path[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, link, 299);
	test_must(length > 0);
	link[length] = '\0';
}

static int make_memfd(const char *name, unsigned flags)
{
	int fd = memfd_create(name, MFD_CLOEXEC | flags);
	char page[PAGE];

	if (fd < 0 && flags == MFD_NOEXEC_SEAL)
		fd = memfd_create(name, MFD_CLOEXEC);
	test_must(fd >= 0);
	for (int i = 0; i < PAGES; i++) {
		memset(page, 'A' + i, PAGE);
		if (i % 4)
			test_must(pwrite(fd, page, PAGE, i * PAGE) == PAGE);
	}
	return fd;
}

/* What is sealed against writing is mapped through a descriptor that cannot write either. */
static char *map_shared(int fd, bool sealed)
{
	char path[64], *at;
	int read_only;

	if (!sealed)
		return mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	test_must(read_only >= 0);
	at = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, read_only, 0);
	close(read_only);
	return at;
}

static void make(int i)
{
	struct made *m = &made[i];
	struct stat st;

	m->fd = make_memfd(samples[i].name, samples[i].flags);
	if (samples[i].seals)
		test_must(!fcntl(m->fd, F_ADD_SEALS, samples[i].seals));
	m->seals = fcntl(m->fd, F_GET_SEALS);
	test_must(m->seals >= 0 && !fstat(m->fd, &st));
	m->mode = st.st_mode;
	read_link(m->fd, m->link);
	m->map = map_shared(m->fd, m->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
	test_must(m->map != MAP_FAILED);
}

static void check(int i)
{
	const struct made *m = &made[i];
	char link[300], byte;
	struct stat st;

	test_must(!fstat(m->fd, &st));
	test_check(fcntl(m->fd, F_GET_SEALS) == m->seals, "'%s' has seals %#x, had %#x",
		   samples[i].name, fcntl(m->fd, F_GET_SEALS), m->seals);
	test_check(st.st_mode == m->mode, "'%s' has mode %o, had %o", samples[i].name, st.st_mode,
		   m->mode);
	read_link(m->fd, link);
	test_check(!strcmp(link, m->link), "link '%s', was '%s'", link, m->link);
	for (int k = 0; k < PAGES; k++) {
		char wanted = k % 4 ? 'A' + k : 0;

		test_must(pread(m->fd, &byte, 1, k * PAGE + 7) == 1);
		test_check(byte == wanted && m->map[k * PAGE] == wanted, "'%s', page %d: %d and %d",
			   samples[i].name, k, byte, m->map[k * PAGE]);
	}
	if (m->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) {
		test_check(pwrite(m->fd, "x", 1, PAGE) == -1 && errno == EPERM, "'%s' is writable",
			   samples[i].name);
		test_check(mprotect(m->map, PAGE, RW) == -1, "'%s' can be made writable",
			   samples[i].name);
	} else {
		test_must(pwrite(m->fd, "x", 1, PAGE) == 1);
		test_check(m->map[PAGE] == 'x', "'%s': descriptor and mapping are not one",
			   samples[i].name);
	}
}

int main(int argc, char **argv)
{
	char *writable, *lonely;
	int fd, status;
	pid_t child;

	test_init(argc, argv);
	for (int i = 0; i < SAMPLES; i++)
		make(i);
	/* Mapped for writing before it was sealed against that. */
	fd = make_memfd("written", MFD_ALLOW_SEALING);
	writable = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED, fd, 0);
	test_must(writable != MAP_FAILED && !fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	child = fork();
	test_must(child >= 0);
	if (!child) {
		close(fd);
		test_reach("child");
		test_wait_for_go();
		test_wait_until(writable[5 * PAGE] == 'w',
				"the child does not see what is written");
		_exit(0);
	}
	test_await("child");
	fd = make_memfd("lonely", 0);
	lonely = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED, fd, 0);
	test_must(lonely != MAP_FAILED && !close(fd));

	test_checkpoint_here();

	for (int i = 0; i < SAMPLES; i++)
		check(i);
	writable[5 * PAGE] = 'w';
	test_must(waitpid(child, &status, 0) == child && status == 0);
	test_check(lonely[PAGE] == 'B' && lonely[0] == 0, "the one without a descriptor");
	test_pass();
}
