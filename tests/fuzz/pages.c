/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No page record makes the filling write anywhere but in the private areas of its space or within
 * its file. Input: a byte (bit 7: a file), a byte (pages of data), then the record's header and
 * ranges; addresses below the size of the arena are moved into it.
 */
#include "proc_fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "memory/fill.h"

enum { PAGE = PAGE_BYTES, ARENA = 64, SPACE = 1, DATA_PAGES_MAX = 40, FILE_SIZE = 5 * PAGE + 100 };

/* Writable areas of the arena, in pages; the second one is shared. */
static const struct {
	int first, end;
} places[] = { { 4, 20 }, { 20, 24 }, { 30, 60 } };

static char *arena(void)
{
	static char *at;

	if (!at)
		at = mmap(NULL, ARENA * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	must(at != MAP_FAILED);
	return at;
}

static int is_private(int page)
{
	return (page >= places[0].first && page < places[0].end) ||
	       (page >= places[2].first && page < places[2].end);
}

static void fill_process(const char *payload, size_t size)
{
	struct map_area list[3];
	struct map_areas areas = { .areas = { list, 3, 3 } };
	struct error err = ERROR_INIT;
	struct fill_space space;

	for (int i = 0; i < 3; i++)
		list[i] = (struct map_area){
			.start = (uint64_t)arena() + places[i].first * PAGE,
			.end = (uint64_t)arena() + places[i].end * PAGE,
			.flags = i == 1 ? AREA_SHARED : 0,
			.prot = PROT_READ | PROT_WRITE,
		};
	fill_space_init(&space, SPACE);
	space.pid = getpid();
	space.areas = &areas;
	accepted(fill_take(&space, payload, size, &err), &err);
	for (int page = 0; page < ARENA; page++) {
		must(is_private(page) || !arena()[page * PAGE]);
		if (is_private(page))
			arena()[page * PAGE] = 0;
	}
	fill_space_release(&space);
}

static void fill_file(const char *payload, size_t size)
{
	struct error err = ERROR_INIT;
	struct fill_space space;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0 && !ftruncate(fd, FILE_SIZE));
	fill_space_init(&space, SPACE);
	space.fd = fd;
	space.size = FILE_SIZE;
	accepted(fill_take(&space, payload, size, &err), &err);
	must(lseek(fd, 0, SEEK_END) == FILE_SIZE);
	fill_space_release(&space);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t head = size < 2 ? 0 : size - 2, payload_size;
	struct pages_range *range;
	char *payload;

	if (size < 2)
		return 0;
	head = head < PAGE ? head : PAGE;
	payload_size = PAGE + data[1] % DATA_PAGES_MAX * PAGE;
	if (data[1] & 0x80)
		payload_size -= data[1] & 7;
	/* Exactly as much as is told, so that a byte too far is seen. */
	payload = aligned_alloc(8, (payload_size + 7) & ~(size_t)7);
	must(payload != NULL);
	memset(payload, 'x', payload_size);
	memset(payload, 0, PAGE < payload_size ? PAGE : payload_size);
	memcpy(payload, data + 2, head < payload_size ? head : payload_size);
	if (!(data[0] & 0x80))
		for (range = (struct pages_range *)(payload + sizeof(struct pages_header));
		     (char *)(range + 1) <= payload + PAGE &&
		     (char *)(range + 1) <= payload + payload_size;
		     range++)
			if (range->address < ARENA * PAGE)
				range->address += (uint64_t)arena();
	if (data[0] & 0x80)
		fill_file(payload, payload_size);
	else
		fill_process(payload, payload_size);
	free(payload);
	return 0;
}
