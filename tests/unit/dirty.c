/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Written pages are found, each look anew, and sets of runs are computed right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/features.h"
#include "memory/dirty.h"
#include "memory/page_sets.h"
#include "proc/text.h"

enum { PAGE = PAGE_BYTES, PAGES = 64 };
#define RW (PROT_READ | PROT_WRITE)

struct tracked {
	struct dirty dirty;
	struct pagemap pm;
	char *at;
};

static int open_uffd(void)
{
	return syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
}

static void track(struct tracked *t, size_t pages)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (!feature_works("userfaultfd-wp-async"))
		skip();
	*t = (struct tracked){ .dirty.uffd = -1 };
	assert_int_equal(dirty_use_uffd(&t->dirty, open_uffd()), 0);
	assert_int_equal(pagemap_open(&t->pm, self, &err), 0);
	t->at = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(t->at != MAP_FAILED);
	assert_int_equal(madvise(t->at, pages * PAGE, MADV_NOHUGEPAGE), 0);
	memset(t->at, 1, pages * PAGE);
}

static void untrack(struct tracked *t, size_t pages)
{
	dirty_release(&t->dirty);
	fd_close(&t->pm.fd);
	munmap(t->at, pages * PAGE);
}

static int64_t mask_of(const struct tracked *t, const struct page_runs *runs)
{
	const struct pages_range *run;
	int64_t mask = 0;

	array_for(run, &runs->runs)
		for (size_t i = 0; i < run->pages; i++)
			mask |= 1ll << ((run->address - (uint64_t)t->at) / PAGE + i);
	return mask;
}

/* What is found written among the first pages; -1: nothing is known. */
static int64_t look(struct tracked *t, size_t pages, bool again)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_runs_ struct page_runs runs = { 0 };
	uint64_t start = (uint64_t)t->at, end = start + pages * PAGE;
	bool all;

	if ((again && dirty_watch(&t->dirty, &t->pm, start, end)) ||
	    dirty_collect(&t->dirty, &t->pm, start, end, again, &runs, &all, &err))
		fail_msg("%s", err.message);
	if (again)
		dirty_looked(&t->dirty);
	return all ? -1 : mask_of(t, &runs);
}

/* The same for what is written or gone. */
static int64_t look_for_changes(struct tracked *t, size_t pages)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_runs_ struct page_runs runs = { 0 };
	bool all;

	if (dirty_collect_changed(&t->dirty, &t->pm, (uint64_t)t->at,
				  (uint64_t)t->at + pages * PAGE, &runs, &all, &err))
		fail_msg("%s", err.message);
	return all ? -1 : mask_of(t, &runs);
}

static void test_rounds(void **state)
{
	struct tracked t;

	track(&t, PAGES);
	assert_int_equal(look(&t, PAGES - 1, true), -1);
	assert_int_equal(look(&t, PAGES - 1, true), 0);
	t.at[0] = t.at[5 * PAGE] = 2;
	assert_int_equal(look(&t, PAGES - 1, true), 1 | 1 << 5);
	assert_int_equal(look(&t, PAGES - 1, true), 0);
	t.at[7 * PAGE] = 2;
	assert_int_equal(look(&t, PAGES - 1, false), 1 << 7);
	/* The last look takes nothing back. */
	assert_int_equal(look(&t, PAGES - 1, false), 1 << 7);
	untrack(&t, PAGES);
}

static void test_kernel_writes(void **state)
{
	_cleanup_fd_ int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	struct tracked t;

	track(&t, PAGES);
	look(&t, PAGES, true);
	assert_int_equal(read(zero, t.at + 3 * PAGE, 1), 1);
	assert_int_equal(look(&t, PAGES, true), 1 << 3);
	untrack(&t, PAGES);
}

static void test_dropped_and_new(void **state)
{
	struct tracked t;

	track(&t, PAGES);
	look(&t, PAGES, true);
	assert_int_equal(madvise(t.at, 2 * PAGE, MADV_DONTNEED), 0);
	assert_int_equal(look(&t, PAGES, true), 0);
	t.at[PAGE] = 3;
	assert_int_equal(look(&t, PAGES, true), 1 << 1);
	untrack(&t, PAGES);
}

static void test_changes(void **state)
{
	struct tracked t;

	track(&t, PAGES);
	assert_int_equal(look_for_changes(&t, PAGES - 1), -1);
	look(&t, PAGES, true);
	assert_int_equal(look_for_changes(&t, PAGES - 1), 0);
	t.at[3 * PAGE] = 4;
	assert_int_equal(madvise(t.at + 5 * PAGE, 2 * PAGE, MADV_DONTNEED), 0);
	t.at[6 * PAGE] = 5;
	assert_int_equal(look_for_changes(&t, PAGES - 1), 1 << 3 | 3 << 5);
	assert_int_equal(look_for_changes(&t, PAGES - 1), 1 << 3 | 3 << 5);
	untrack(&t, PAGES);
}

/* Where a page of a private mapping goes, its file's shows, which nobody has written to. */
static void test_page_of_the_file(void **state)
{
	const int flags = MAP_PRIVATE | MAP_FIXED;
	struct tracked t;
	int fd;

	track(&t, PAGES);
	fd = memfd_create("content", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, PAGES * PAGE), 0);
	assert_true(mmap(t.at, PAGES * PAGE, RW, flags, fd, 0) == t.at);
	memset(t.at, 1, PAGES * PAGE);
	look(&t, PAGES, true);
	assert_int_equal(look_for_changes(&t, PAGES - 1), 0);
	assert_int_equal(madvise(t.at + 2 * PAGE, PAGE, MADV_DONTNEED), 0);
	assert_int_equal(*(volatile char *)(t.at + 2 * PAGE), 0);
	assert_int_equal(look_for_changes(&t, PAGES - 1), 1 << 2);
	close(fd);
	untrack(&t, PAGES);
}

/* What was mapped anew is not known until it was looked at once. */
static void test_new_mapping(void **state)
{
	struct tracked t;

	track(&t, PAGES);
	look(&t, PAGES, true);
	assert_true(mmap(t.at, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == t.at);
	t.at[0] = 9;
	assert_int_equal(look(&t, 1, true), -1);
	assert_int_equal(look(&t, 1, true), 0);
	t.at[0] = 10;
	assert_int_equal(look(&t, 1, false), 1);
	untrack(&t, PAGES);
}

/* Whether the first pages can be moved as one: where the area is divided they cannot. */
static bool moves(char *at, size_t size)
{
	char *to = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(to != MAP_FAILED);
	return mremap(at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to &&
	       !munmap(to, size);
}

/* A look at what was an area does not divide what has come in its place. */
static void test_area_that_has_changed(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_runs_ struct page_runs runs = { 0 };
	struct tracked t;
	uint64_t end;
	bool all;

	track(&t, PAGES);
	end = (uint64_t)t.at + PAGES / 2 * PAGE;
	assert_int_equal(dirty_watch(&t.dirty, &t.pm, (uint64_t)t.at, end), 0);
	assert_true(mmap(t.at, PAGES * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		    t.at);
	t.at[0] = 1;
	assert_int_equal(dirty_collect(&t.dirty, &t.pm, (uint64_t)t.at, end, true, &runs, &all,
				       &err), 0);
	assert_true(all);
	assert_true(moves(t.at, PAGES * PAGE));
	untrack(&t, PAGES);
}

/* The address space of a child is another one. */
static void test_child_is_unknown(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct tracked t;
	pid_t child;
	int dir;

	track(&t, PAGES);
	look(&t, PAGES, true);
	child = fork();
	if (!child)
		for (;;)
			pause();
	fd_close(&t.pm.fd);
	dir = proc_open(child);
	assert_int_equal(pagemap_open(&t.pm, dir, &err), 0);
	assert_int_equal(look(&t, PAGES, false), -1);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(dir);
	untrack(&t, PAGES);
}

/* ---- sets ---- */

static void add(struct page_runs *r, uint64_t page, uint64_t pages, uint32_t flags)
{
	assert_int_equal(page_runs_add(r, page * PAGE, pages, flags), 0);
}

/* "1+4 10+5h": first page and length of each run, h where they are huge ones. */
static const char *text(const struct page_runs *r, char *room, size_t size)
{
	const struct pages_range *run;
	size_t at = 0;

	room[0] = '\0';
	array_for(run, &r->runs)
		at += snprintf(room + at, size - at, "%s%llu+%u%s", at ? " " : "",
			       (unsigned long long)run->address / PAGE, run->pages,
			       run->flags & PAGES_HUGE ? "h" : "");
	return room;
}

static void assert_set(const struct page_runs *a, enum page_sets_operation operation,
		       const struct page_runs *b, const char *expected)
{
	_cleanup_runs_ struct page_runs result = { 0 };
	char room[256];

	assert_int_equal(page_sets(a, operation, b, &result), 0);
	assert_string_equal(text(&result, room, sizeof(room)), expected);
}

static void test_sets(void **state)
{
	_cleanup_runs_ struct page_runs a = { 0 }, b = { 0 }, none = { 0 };

	add(&a, 1, 4, 0);
	a.closed = a.runs.count;
	add(&a, 5, 2, 0);
	add(&a, 10, 5, PAGES_HUGE);
	add(&b, 0, 2, 0);
	add(&b, 4, 2, 0);
	add(&b, 12, 1, 0);
	add(&b, 20, 1, 0);
	assert_set(&a, PAGES_COMMON, &b, "1+1 4+1 5+1 12+1h");
	assert_set(&a, PAGES_MINUS, &b, "2+2 6+1 10+2h 13+2h");
	assert_set(&a, PAGES_UNION, &b, "0+1 1+4 5+2 10+5h 20+1");
	assert_set(&a, PAGES_MINUS, &none, "1+4 5+2 10+5h");
	assert_set(&a, PAGES_COMMON, &none, "");
	assert_set(&none, PAGES_UNION, &b, "0+2 4+2 12+1 20+1");
	assert_set(&none, PAGES_MINUS, &b, "");
}

static void test_sort(void **state)
{
	_cleanup_runs_ struct page_runs a = { 0 };
	char room[256];

	assert_int_equal(page_sets_sort(&a), 0);
	add(&a, 9, 2, 0);
	add(&a, 1, 4, PAGES_HUGE);
	add(&a, 3, 1, 0);
	add(&a, 4, 3, 0);
	add(&a, 9, 1, 0);
	assert_int_equal(page_sets_sort(&a), 0);
	assert_string_equal(text(&a, room, sizeof(room)), "1+6 9+2");
}

static void test_in_areas(void **state)
{
	struct map_area list[] = {
		{ .start = 1 * PAGE, .end = 3 * PAGE },
		{ .start = 3 * PAGE, .end = 5 * PAGE },
		{ .start = 6 * PAGE, .end = 7 * PAGE, .flags = AREA_SHARED },
		{ .start = 8 * PAGE, .end = 9 * PAGE },
	};
	const struct map_areas areas = { .areas = { list, ARRAY_SIZE(list), 0 } }, nowhere = { 0 };
	_cleanup_runs_ struct page_runs a = { 0 }, result = { 0 };
	char room[256];

	add(&a, 0, 20, PAGES_HUGE);
	assert_int_equal(page_sets_in_areas(&a, &areas, 0, &result), 0);
	assert_string_equal(text(&result, room, sizeof(room)), "1+2 3+2 6+1 8+1");
	page_runs_release(&result);
	assert_int_equal(page_sets_in_areas(&a, &nowhere, 0, &result), 0);
	assert_int_equal(result.runs.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_kernel_writes),
		cmocka_unit_test(test_dropped_and_new),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_page_of_the_file),
		cmocka_unit_test(test_new_mapping),
		cmocka_unit_test(test_area_that_has_changed),
		cmocka_unit_test(test_child_is_unknown),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_sort),
		cmocka_unit_test(test_in_areas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
