/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the benchmark saves: target DIRECTORY tiny | memory MIB STRIDE | processes N | threads N |
 * writing MIB RATE, which writes to so many pages a second.
 * When it is ready there is a file "ready" in the directory. */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, STACK = 64 << 10, WAIT_NS = 10000000 };

/* Shared with the benchmark: where the memory is, and the longest that the program stood still. */
struct report {
	uint64_t address, bytes;
	uint64_t watch;		/* set by the benchmark: look at the clock without a pause */
	uint64_t gap_ns;	/* reset by the benchmark */
	uint64_t rate;
};

static volatile struct report *report;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void make_report(void)
{
	int fd = open("report", O_RDWR | O_CREAT, 0600);

	if (fd < 0 || ftruncate(fd, PAGE))
		err(1, "report");
	report = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (report == MAP_FAILED)
		err(1, "report");
	close(fd);
}

/* Private pages of 4 KiB with words of their own; one of each `stride`. */
static void fill_memory(size_t mib, size_t stride)
{
	size_t bytes = mib << 20, at, word;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED || madvise(memory, bytes, MADV_NOHUGEPAGE))
		err(1, "memory");
	for (at = 0; at < bytes; at += stride * PAGE)
		for (word = 0; word < PAGE / 8; word++)
			((uint64_t *)(memory + at))[word] = (at + word) * 0x9e3779b97f4a7c15;
	report->address = (uint64_t)memory;
	report->bytes = bytes;
}

static void make_processes(int count)
{
	while (--count > 0) {
		switch (fork()) {
		case -1:
			err(1, "fork");
		case 0:
			for (;;)
				pause();
		}
	}
}

static void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void make_threads(int count)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	while (--count > 0)
		if (pthread_create(&thread, &attributes, wait_for_ever, NULL))
			errx(1, "pthread_create");
}

/* As many pages, anywhere, as belong in the time that has passed. */
static void write_pages(uint64_t passed_ns)
{
	static uint64_t due_ns, place;
	uint64_t interval;

	if (!report->rate)
		return;
	interval = 1000000000 / report->rate;
	/* What was not written while nothing ran is not made up for. */
	due_ns += passed_ns < 10 * interval ? passed_ns : interval;
	for (; due_ns >= interval; due_ns -= interval) {
		place = place * 6364136223846793005 + 1442695040888963407;
		((volatile uint64_t *)report->address)[(place >> 20) % (report->bytes / 8)]++;
	}
}

static void watch_clock(void)
{
	uint64_t before = now_ns();

	while (report->watch) {
		uint64_t now = now_ns();

		write_pages(now - before);

		if (now - before > report->gap_ns)
			report->gap_ns = now - before;
		before = now;
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[2] : "";

	if (argc < 3 || chdir(argv[1]))
		errx(2, "usage: %s DIRECTORY WHAT …", argv[0]);
	make_report();
	if (!strcmp(what, "memory") && argc > 4)
		fill_memory(strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
	else if (!strcmp(what, "writing") && argc > 4) {
		fill_memory(strtoul(argv[3], NULL, 10), 1);
		report->rate = strtoul(argv[4], NULL, 10);
	} else if (!strcmp(what, "processes") && argc > 3)
		make_processes(atoi(argv[3]));
	else if (!strcmp(what, "threads") && argc > 3)
		make_threads(atoi(argv[3]));
	else if (strcmp(what, "tiny"))
		errx(2, "what?");
	close(open("ready", O_WRONLY | O_CREAT, 0600));
	for (;;) {
		nanosleep(&(struct timespec){ .tv_nsec = WAIT_NS }, NULL);
		watch_clock();
	}
}
