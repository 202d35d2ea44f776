/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File mappings keep their file, offset and own pages; deleted files come back with content. */
/* test: kinds=file,deleted-file,maps */
#include <sys/mman.h>

#include "testing.h"

enum { PAGE = 4096, PAGES = 64, TAIL = 100 };
#define RW (PROT_READ | PROT_WRITE)

/* A file of PAGES pages and a tail, each page marked; every mapping outlives its descriptor. */
static int make_file(const char *name, char letter)
{
	char page[PAGE];
	int fd = open(test_path(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

	test_must(fd >= 0);
	for (int i = 0; i < PAGES; i++) {
		memset(page, letter, sizeof(page));
		snprintf(page, sizeof(page), "%c%d", letter, i);
		test_must(pwrite(fd, page, PAGE, i * PAGE) == PAGE);
	}
	test_must(pwrite(fd, page, TAIL, PAGES * PAGE) == TAIL);
	return fd;
}

static char *map(int fd, int page, int pages, int prot, int flags)
{
	char *at = mmap(NULL, pages * PAGE, prot, flags, fd, page * PAGE);

	test_must(at != MAP_FAILED);
	return at;
}

/* Whether `at` maps page `page` of a file made with `letter`. */
static void check_page(const char *at, char letter, int page, const char *what)
{
	char wanted[16];

	snprintf(wanted, sizeof(wanted), "%c%d", letter, page);
	test_check(!strcmp(at, wanted), "%s: page %d holds '%.15s'", what, page, at);
	test_check(at[PAGE - 1] == letter, "%s: page %d ends with %#x", what, page, at[PAGE - 1]);
}

/* What the file itself holds, past every mapping. */
static void check_file(const char *name, int page, const char *wanted)
{
	char got[32] = "";
	int fd = open(test_path(name), O_RDONLY | O_CLOEXEC);

	test_must(fd >= 0);
	test_must(pread(fd, got, strlen(wanted) + 1, page * PAGE) > 0);
	test_check(!strcmp(got, wanted), "file %s, page %d: '%s'", name, page, got);
	close(fd);
}

static struct {
	char *private_clean, *private_dirty, *shared, *shared_same, *shared_read_only, *tail;
	char *gone_private, *gone_shared, *gone_same;
} maps;

static void make_maps(void)
{
	int fd = make_file("kept", 'k');
	int read_only = open(test_path("kept"), O_RDONLY | O_CLOEXEC);

	test_must(read_only >= 0);
	maps.private_clean = map(fd, 8, 8, PROT_READ, MAP_PRIVATE);
	maps.private_dirty = map(read_only, 0, 16, RW, MAP_PRIVATE);
	maps.shared = map(fd, 32, 16, RW, MAP_SHARED);
	maps.shared_same = map(fd, 40, 8, RW, MAP_SHARED);
	maps.shared_read_only = map(read_only, 32, 4, PROT_READ, MAP_SHARED);
	maps.tail = map(fd, PAGES, 2, PROT_READ, MAP_PRIVATE);
	close(fd);
	close(read_only);
	strcpy(maps.private_dirty + 3 * PAGE, "mine");
	test_must(!mprotect(maps.private_dirty + 3 * PAGE, PAGE, PROT_READ));
	strcpy(maps.shared, "ours");

	fd = make_file("gone", 'g');
	maps.gone_private = map(fd, 0, 16, RW, MAP_PRIVATE);
	maps.gone_shared = map(fd, 0, 16, RW, MAP_SHARED);
	maps.gone_same = map(fd, 4, 16, RW, MAP_SHARED);
	close(fd);
	test_must(!unlink(test_path("gone")));
	strcpy(maps.gone_private + 5 * PAGE, "mine");
	strcpy(maps.gone_shared + 6 * PAGE, "ours");
}

static void check_kept(void)
{
	for (int i = 0; i < 8; i++)
		check_page(maps.private_clean + i * PAGE, 'k', 8 + i, "private clean");
	for (int i = 0; i < 16; i++)
		if (i != 3)
			check_page(maps.private_dirty + i * PAGE, 'k', i, "private dirty");
	test_check(!strcmp(maps.private_dirty + 3 * PAGE, "mine"), "private page is lost");
	check_file("kept", 3, "k3");
	for (int i = 1; i < 16; i++)
		check_page(maps.shared + i * PAGE, 'k', 32 + i, "shared");
	test_check(!strcmp(maps.shared, "ours"), "shared page holds '%.10s'", maps.shared);
	check_file("kept", 32, "ours");
	test_check(!strcmp(maps.shared_read_only, "ours"), "shared read-only is not the same");
	test_check(mprotect(maps.shared_read_only, PAGE, RW) == -1 && errno == EACCES,
		   "a mapping through a read-only descriptor can be made writable");
	strcpy(maps.shared + 9 * PAGE, "later");
	test_check(!strcmp(maps.shared_same + PAGE, "later"), "two mappings are not the same file");
	check_file("kept", 41, "later");
	test_check(!memcmp(maps.tail, "k63", 4), "tail holds '%.5s'", maps.tail);
	for (int i = TAIL; i < PAGE; i++)
		test_check(maps.tail[i] == 0, "byte %d behind the tail is %#x", i, maps.tail[i]);
}

static void check_gone(void)
{
	for (int i = 0; i < 16; i++)
		if (i != 5 && i != 6)
			check_page(maps.gone_private + i * PAGE, 'g', i, "deleted, private");
	test_check(!strcmp(maps.gone_private + 5 * PAGE, "mine"), "deleted, private page is lost");
	test_check(!strcmp(maps.gone_private + 6 * PAGE, "ours"),
		   "deleted: a page that only the file "
		   "holds is '%.10s'",
		   maps.gone_private + 6 * PAGE);
	for (int i = 0; i < 16; i++)
		if (i != 6)
			check_page(maps.gone_shared + i * PAGE, 'g', i, "deleted, shared");
	for (int i = 3; i < 16; i++)
		check_page(maps.gone_same + i * PAGE, 'g', 4 + i, "deleted, second place");
	strcpy(maps.gone_shared + 7 * PAGE, "later");
	test_check(!strcmp(maps.gone_same + 3 * PAGE, "later"), "deleted: two mappings, two files");
	test_check(!strcmp(maps.gone_private + 7 * PAGE, "later"),
		   "deleted: private is another file");
	test_check(access(test_path("gone"), F_OK), "the deleted file has its name again");
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	make_maps();

	test_checkpoint_here();

	check_kept();
	check_gone();
	test_pass();
}
