/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages of a process or file are found, written, read and filled, and never filled elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "memory/content.h"
#include "memory/fill.h"

enum { PAGE = PAGE_BYTES, SPACE = 4711 };
#define RW (PROT_READ | PROT_WRITE)

static char *map_private(size_t pages)
{
	char *at = mmap(NULL, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(at != MAP_FAILED);
	return at;
}

static int memory_file(void)
{
	int fd = memfd_create("pages", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* ---- records ---- */

struct payload {
	struct pages_header header;
	struct pages_range ranges[RANGES_PER_RECORD];
};

static size_t payload_size(const struct payload *p)
{
	size_t pages = 0;

	for (size_t i = 0; i < p->header.range_count && i < RANGES_PER_RECORD; i++)
		if (!(p->ranges[i].flags & (PAGES_DROPPED | PAGES_GUARD)))
			pages += p->ranges[i].pages;
	return PAGE + pages * PAGE;
}

static void assert_parses(const struct payload *p, size_t size, bool fine)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *bytes = calloc(1, size > PAGE ? size : PAGE);
	struct pages_view view;

	assert_non_null(bytes);
	memcpy(bytes, p, sizeof(*p) < size ? sizeof(*p) : size);
	assert_int_equal(pages_parse(bytes, size, &view, &err), fine ? 0 : -1);
	assert_int_equal(err.kind, fine ? ERROR_NONE : ERROR_IMAGE);
	if (fine) {
		assert_int_equal(view.range_count, p->header.range_count);
		assert_ptr_equal(view.data, bytes + PAGE);
	}
}

static void checks_every_length(void **state)
{
	const struct payload good = { .header = { SPACE, 4, 0 },
				      .ranges = { { 0x1000, 2, 0 },
						  { 0x5000, 1, PAGES_HUGE },
						  { 0x6000, 1000000, PAGES_DROPPED },
						  { 0x7fff00000000, 3, PAGES_GUARD } } };
	static const struct {
		size_t range;
		struct pages_range value;
	} bad[] = {
		{ 0, { 0x1001, 2, 0 } },		{ 0, { 0x1000, 0, 0 } },
		{ 0, { 0x1000, 2, 8 } },		{ 0, { 0x1000, 2, 1u << 31 } },
		{ 1, { 0x2000, 1, PAGES_HUGE } },	{ 1, { 0x0000, 1, PAGES_HUGE } },
		{ 2, { 0x6000, 9, PAGES_DROPPED | PAGES_GUARD } },
		{ 2, { 0x6000, 9, PAGES_DROPPED | PAGES_HUGE } },
		{ 3, { UINT64_MAX - PAGE + 1, 3, PAGES_GUARD } },
		{ 3, { UINT64_MAX & ~4095ull, UINT32_MAX, PAGES_GUARD } },
	};
	struct payload p = good;
	size_t size = payload_size(&good);

	assert_parses(&good, size, true);
	assert_parses(&good, size - 1, false);
	assert_parses(&good, size + 1, false);
	assert_parses(&good, size - PAGE, false);
	assert_parses(&good, size + PAGE, false);
	for (size_t short_size = 0; short_size <= PAGE; short_size += 8)
		assert_parses(&good, short_size, false);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		p = good;
		p.ranges[bad[i].range] = bad[i].value;
		assert_parses(&p, payload_size(&p), false);
	}
	p = good;
	p.header.reserved = 1;
	assert_parses(&p, size, false);
	p.header = (struct pages_header){ SPACE, 0, 0 };
	assert_parses(&p, PAGE, false);
	p.header.range_count = RANGES_PER_RECORD + 1;
	assert_parses(&p, PAGE, false);
	p = (struct payload){ .header = { SPACE, 1, 0 }, .ranges = { { 0, 257, 0 } } };
	assert_parses(&p, payload_size(&p), false);
	p.ranges[0].pages = 256;
	assert_parses(&p, payload_size(&p), true);
}

/* ---- filling ---- */

/* Two areas with a shared one between them, and guard zones around everything. */
struct place {
	char *at;
	struct map_area area[3];
	struct map_areas areas;
	struct fill_space space;
};

enum { PLACE_PAGES = 16 };

static void make_place(struct place *p)
{
	p->at = map_private(PLACE_PAGES);
	for (int i = 0; i < 3; i++)
		p->area[i] = (struct map_area){ .start = (uint64_t)p->at + (2 + 4 * i) * PAGE,
						.end = (uint64_t)p->at + (6 + 4 * i) * PAGE,
						.flags = i == 1 ? AREA_SHARED : 0,
						.prot = RW };
	p->areas = (struct map_areas){ .areas = { p->area, 3, 3 } };
	fill_space_init(&p->space, SPACE);
	p->space.pid = getpid();
	p->space.areas = &p->areas;
}

static int fill_one(struct place *p, uint64_t space, int page, int pages, uint32_t flags,
		    struct error *err)
{
	static char payload[PAGE * 9];
	struct pages_header *h = (struct pages_header *)payload;
	size_t data = flags & (PAGES_DROPPED | PAGES_GUARD) ? 0 : pages;

	memset(payload, 0, PAGE);
	*h = (struct pages_header){ space, 1, 0 };
	*(struct pages_range *)(h + 1) =
		(struct pages_range){ (uint64_t)p->at + page * PAGE, pages, flags };
	memset(payload + PAGE, 'x', data * PAGE);
	return fill_take(&p->space, payload, PAGE + data * PAGE, err);
}

static void free_place(struct place *p)
{
	fill_space_release(&p->space);
	munmap(p->at, PLACE_PAGES * PAGE);
}

static void fills_only_private_areas(void **state)
{
	static const struct {
		int page, pages;
		bool fine;
	} cases[] = {
		{ 2, 4, true },	 { 3, 1, true },   { 10, 4, true }, { 13, 1, true },
		{ 1, 1, false }, { 0, 8, false },  { 2, 5, false }, { 1, 5, false },
		{ 6, 1, false }, { 9, 1, false },  { 5, 2, false }, { 9, 2, false },
		{ 14, 1, false }, { 13, 2, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (uint32_t flags = 0; flags <= PAGES_GUARD; flags = flags ? flags * 2 : 1) {
			_cleanup_error_ struct error err = ERROR_INIT;
			bool data = flags <= PAGES_HUGE;
			/* The shared area may have guard regions, or lose them. */
			bool fine = cases[i].fine || (!data && cases[i].page >= 6 &&
						      cases[i].page + cases[i].pages <= 10);
			struct place p;

			make_place(&p);
			assert_int_equal(fill_one(&p, SPACE, cases[i].page, cases[i].pages, flags,
						  &err),
					 fine ? 0 : -1);
			assert_int_equal(err.kind, fine ? ERROR_NONE : ERROR_IMAGE);
			for (int page = 0; page < PLACE_PAGES; page++) {
				bool inside = page >= cases[i].page &&
					      page < cases[i].page + cases[i].pages;

				assert_int_equal(p.at[page * PAGE],
						 inside && fine && data ? 'x' : 0);
			}
			/* What the puppet has to do is kept for it. */
			assert_int_equal(p.space.late.runs.count, fine && flags ? 1 : 0);
			free_place(&p);
		}
	}
}

static void fills_what_cannot_be_written(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct place p;

	make_place(&p);
	p.area[0].prot = PROT_NONE;
	assert_int_equal(mprotect(p.at + 2 * PAGE, 4 * PAGE, PROT_NONE), 0);
	if (fill_one(&p, SPACE, 3, 2, 0, &err))
		fail_msg("%s", err.message);
	assert_int_equal(mprotect(p.at + 2 * PAGE, 4 * PAGE, PROT_READ), 0);
	assert_int_equal(p.at[2 * PAGE], 0);
	assert_int_equal(p.at[3 * PAGE], 'x');
	assert_int_equal(p.at[5 * PAGE - 1], 'x');
	assert_int_equal(p.at[5 * PAGE], 0);
	assert_int_equal(fill_one(&p, SPACE + 1, 3, 2, 0, &err), -1);
	assert_int_equal(err.kind, ERROR_IMAGE);
	free_place(&p);
}

static void fills_a_file_within_its_size(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int fd = memory_file();
	struct place p = { .at = NULL };
	char byte;

	fill_space_init(&p.space, SPACE);
	p.space.fd = fd;
	p.space.size = 3 * PAGE + 100;
	assert_int_equal(ftruncate(fd, p.space.size), 0);
	/* The last page goes as far as the file does. */
	assert_int_equal(fill_one(&p, SPACE, 1, 3, 0, &err), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), p.space.size);
	assert_int_equal(fill_one(&p, SPACE, 3, 2, 0, &err), -1);
	error_clear(&err);
	assert_int_equal(fill_one(&p, SPACE, 4, 1, 0, &err), -1);
	error_clear(&err);
	assert_int_equal(fill_one(&p, SPACE, 1, 1, PAGES_GUARD, &err), -1);
	assert_int_equal(err.kind, ERROR_IMAGE);
	/* What is dropped is a hole then. */
	assert_int_equal(pread(fd, &byte, 1, PAGE), 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(fill_one(&p, SPACE, 1, 1, PAGES_DROPPED, &err), 0);
	assert_int_equal(pread(fd, &byte, 1, PAGE), 1);
	assert_int_equal(byte, 0);
	assert_int_equal(lseek(fd, 0, SEEK_DATA), 2 * PAGE);
	assert_int_equal(lseek(fd, 0, SEEK_END), p.space.size);
	fill_space_release(&p.space);
}

/* ---- finding ---- */

/* Pages 0, 1, 5 and 300 … 399 written, 7 only read, of 1000. */
static void check_found(bool knows_zero)
{
	_cleanup_fd_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_runs_ struct page_runs runs = { 0 };
	char *at = map_private(1000);
	struct pagemap pm;
	volatile char seen;

	assert_int_equal(madvise(at, 1000 * PAGE, MADV_NOHUGEPAGE), 0);
	at[0] = at[PAGE] = at[5 * PAGE] = 1;
	memset(at + 300 * PAGE, 1, 100 * PAGE);
	seen = at[7 * PAGE];
	(void)seen;
	assert_int_equal(pagemap_open(&pm, self, &err), 0);
	assert_int_equal(pagemap_own_pages(&pm, (uint64_t)at, (uint64_t)at + 1000 * PAGE, false,
					   &runs, &err),
			 0);
	assert_int_equal(runs.runs.count, knows_zero ? 3 : 4);
	assert_int_equal(runs.data_pages, knows_zero ? 103 : 104);
	assert_int_equal(runs.runs.items[0].address, at);
	assert_int_equal(runs.runs.items[0].pages, 2);
	assert_int_equal(runs.runs.items[runs.runs.count - 1].address, at + 300 * PAGE);
	assert_int_equal(runs.runs.items[runs.runs.count - 1].pages, 100);
	close(pm.fd);
	munmap(at, 1000 * PAGE);
}

static void finds_own_pages(void **state)
{
	_cleanup_fd_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_error_ struct error err = ERROR_INIT;
	struct pagemap pm;

	assert_int_equal(pagemap_open(&pm, self, &err), 0);
	check_found(pm.has_scan);
	close(pm.fd);
	setenv("CRIU_LITE_WITHOUT", "pagemap-scan", 1);
	check_found(false);
	unsetenv("CRIU_LITE_WITHOUT");
}

/* Clean pages of a private file mapping are the file's, written ones are its own. */
static void leaves_clean_file_pages_out(void **state)
{
	_cleanup_fd_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_fd_ int fd = memory_file();
	char page[PAGE] = "content", *at;

	for (int i = 0; i < 8; i++)
		assert_int_equal(pwrite(fd, page, PAGE, i * PAGE), PAGE);
	at = mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE, fd, 0);
	assert_true(at != MAP_FAILED);
	assert_int_equal(at[0] + at[PAGE], 2 * 'c');
	at[3 * PAGE] = 'C';
	for (int hidden = 0; hidden < 2; hidden++) {
		_cleanup_error_ struct error err = ERROR_INIT;
		_cleanup_runs_ struct page_runs runs = { 0 };
		struct pagemap pm;

		if (hidden)
			setenv("CRIU_LITE_WITHOUT", "pagemap-scan", 1);
		assert_int_equal(pagemap_open(&pm, self, &err), 0);
		assert_int_equal(pagemap_own_pages(&pm, (uint64_t)at, (uint64_t)at + 8 * PAGE,
						   false, &runs, &err),
				 0);
		assert_int_equal(runs.runs.count, 1);
		assert_int_equal(runs.runs.items[0].address, at + 3 * PAGE);
		assert_int_equal(runs.runs.items[0].pages, 1);
		close(pm.fd);
	}
	unsetenv("CRIU_LITE_WITHOUT");
	munmap(at, 8 * PAGE);
}

/* ---- there and back ---- */

/* Content of a page that no other has. */
static void mark(char *page, uint64_t number)
{
	for (size_t i = 0; i < PAGE / sizeof(number); i++)
		((uint64_t *)page)[i] = number * 1000003 + i;
}

/* A file with holes, a tail and more ranges than a record holds. */
static void make_sparse(int fd, size_t pages)
{
	char page[PAGE];

	assert_int_equal(ftruncate(fd, pages * PAGE + 77), 0);
	for (size_t i = 0; i < pages; i++) {
		if (i % 7 > 3 && i < pages / 2)
			continue;
		mark(page, i);
		assert_int_equal(pwrite(fd, page, PAGE, i * PAGE), PAGE);
	}
	assert_int_equal(pwrite(fd, "tail", 4, pages * PAGE), 4);
}

static void read_back(int image, struct fill_space *space)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_reader_ struct stream_reader *r = NULL;
	struct record record;
	int more;

	assert_int_equal(lseek(image, 0, SEEK_SET), 0);
	assert_int_equal(stream_reader_open(&r, image, 2, &err), 0);
	while ((more = stream_next(r, &record, &err)) > 0) {
		assert_int_equal(record.kind, RECORD_PAGES);
		assert_int_equal(stream_hand_out(r, fill_take, space, &err), 0);
	}
	if (more < 0)
		fail_msg("%s", err.message);
}

static void write_out(int image, struct content_set *set)
{
	const struct stream_options options = { .codec = CODEC_RAW, .jobs = 2 };
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_writer_ struct stream_writer *w = NULL;

	assert_int_equal(stream_writer_open(&w, image, &options, &err), 0);
	assert_int_equal(content_cut(set, &err), 0);
	if (content_write(w, set, 1, &err) || stream_writer_seal(w, &err))
		fail_msg("%s", err.message);
	content_set_release(set);
}

static void files_come_back(void **state)
{
	enum { FILE_PAGES = 5000 };
	_cleanup_fd_ int from = memory_file(), to = memory_file(), image = memory_file();
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_runs_ struct page_runs runs = { 0 };
	const struct content_source source = { .fd = from, .size = FILE_PAGES * PAGE + 77 };
	struct content_set set = { .space = SPACE, .sources = &source, .runs = &runs };
	struct fill_space space;
	char wanted[PAGE], got[PAGE];

	make_sparse(from, FILE_PAGES);
	assert_int_equal(content_file_runs(from, source.size, &runs, &err), 0);
	assert_true(runs.runs.count > RANGES_PER_RECORD);
	assert_true(runs.data_pages < FILE_PAGES);
	write_out(image, &set);
	fill_space_init(&space, SPACE);
	space.fd = to;
	space.size = source.size;
	assert_int_equal(ftruncate(to, source.size), 0);
	read_back(image, &space);
	for (size_t i = 0; i <= FILE_PAGES; i++) {
		ssize_t size = pread(from, wanted, PAGE, i * PAGE);

		assert_int_equal(pread(to, got, PAGE, i * PAGE), size);
		assert_memory_equal(wanted, got, size);
	}
	fill_space_release(&space);
}

static void processes_come_back(void **state)
{
	enum { COUNT = 3000 };
	_cleanup_fd_ int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_fd_ int image = memory_file();
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_runs_ struct page_runs runs = { 0 };
	const struct content_source source = { .pid = getpid(), .fd = -1 };
	struct content_set set = { .space = SPACE, .sources = &source, .runs = &runs };
	char *at = map_private(COUNT), *copy = map_private(COUNT);
	struct map_area area = { .start = (uint64_t)at,
				 .end = (uint64_t)at + COUNT * PAGE,
				 .prot = RW };
	struct map_areas areas = { .areas = { &area, 1, 1 } };
	struct fill_space space;
	struct pagemap pm;

	for (size_t i = 0; i < COUNT; i++)
		if (i % 3 && i % 1000 < 700)
			mark(at + i * PAGE, i);
	assert_int_equal(mprotect(at + 100 * PAGE, 10 * PAGE, PROT_NONE), 0);
	assert_int_equal(pagemap_open(&pm, self, &err), 0);
	assert_int_equal(pagemap_own_pages(&pm, area.start, area.end, false, &runs, &err), 0);
	write_out(image, &set);
	assert_int_equal(mprotect(at, COUNT * PAGE, RW), 0);
	memcpy(copy, at, COUNT * PAGE);
	memset(at, 7, COUNT * PAGE);
	assert_int_equal(madvise(at, COUNT * PAGE, MADV_DONTNEED), 0);
	fill_space_init(&space, SPACE);
	space.pid = getpid();
	space.areas = &areas;
	read_back(image, &space);
	assert_memory_equal(at, copy, COUNT * PAGE);
	fill_space_release(&space);
	close(pm.fd);
	munmap(at, COUNT * PAGE);
	munmap(copy, COUNT * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checks_every_length),
		cmocka_unit_test(fills_only_private_areas),
		cmocka_unit_test(fills_what_cannot_be_written),
		cmocka_unit_test(fills_a_file_within_its_size),
		cmocka_unit_test(finds_own_pages),
		cmocka_unit_test(leaves_clean_file_pages_out),
		cmocka_unit_test(files_come_back),
		cmocka_unit_test(processes_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
