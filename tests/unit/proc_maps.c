/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/maps and smaps: all kinds of areas, odd paths, forged lines, and this very process. */
#include "proc_testing.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "proc/maps.h"

static void all_kinds(void **state)
{
	static const char text[] =
		"00400000-00401000 r--p 00000000 fe:00 247498                     /usr/bin/head\n"
		"00401000-00402000 r-xp 00001000 fe:00 247498                     /usr/bin/head\n"
		"00403000-00404000 rw-s 00003000 103:ab 18446744073709551615 /a b (deleted)\n"
		"00405000-00406000 ---p 00000000 00:00 0 \n"
		"00406000-00407000 rw-p 00000000 00:00 0\n"
		"00500000-00600000 rw-p 00000000 00:00 0                          [heap]\n"
		"00600000-00601000 rw-p 00000000 00:00 0                          [anon:my heap]\n"
		"00601000-00602000 rw-s 00000000 00:01 42 [anon_shmem:x]y]\n"
		"00602000-00603000 rw-s 00000000 00:01 1024           /dev/zero (deleted)\n"
		"00603000-00604000 rw-s 00000000 00:01 5              /SYSV0000002a (deleted)\n"
		"00604000-00605000 rw-s 00000000 00:01 6 /memfd:a\\012b\\040c (deleted)\n"
		"00605000-00606000 rw-s 00000000 00:0f 7              anon_inode:[io_uring]\n"
		"00606000-00607000 rw-s 00000000 00:0f 8              /[aio] (deleted)\n"
		"00607000-00608000 rw-p 00000000 fe:00 9              /[heap]\n"
		"00608000-00609000 rw-p 00000000 fe:00 9               (deleted)\n"
		"00700000-00701000 rw-p 00000000 00:00 0              [stack:1234]\n"
		"7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0      [stack]\n"
		"7ffc00022000-7ffc00026000 r--p 00000000 00:00 0      [vvar]\n"
		"7ffc00026000-7ffc00028000 r--p 00000000 00:00 0      [vvar_vclock]\n"
		"7ffc00028000-7ffc0002a000 r-xp 00000000 00:00 0      [vdso]\n"
		"7ffc0002a000-7ffc0002b000 --xp 00000000 00:00 0      [uprobes]\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n";
	static const struct {
		enum vma_kind kind;
		const char *path;
	} expected[] = {
		{ VMA_FILE, "/usr/bin/head" }, { VMA_FILE, "/usr/bin/head" },
		{ VMA_FILE, "/a b" }, { VMA_ANON, "" }, { VMA_ANON, "" }, { VMA_HEAP, "[heap]" },
		{ VMA_ANON_NAMED, "my heap" }, { VMA_ANON_SHMEM, "x]y" },
		{ VMA_FILE, "/dev/zero" }, { VMA_FILE, "/SYSV0000002a" },
		{ VMA_FILE, "/memfd:a\nb\\040c" }, { VMA_FILE, "anon_inode:[io_uring]" },
		{ VMA_FILE, "/[aio]" }, { VMA_FILE, "/[heap]" }, { VMA_FILE, "(deleted)" },
		{ VMA_SPECIAL, "[stack:1234]" }, { VMA_STACK, "[stack]" }, { VMA_VVAR, "[vvar]" },
		{ VMA_VVAR_VCLOCK, "[vvar_vclock]" }, { VMA_VDSO, "[vdso]" },
		{ VMA_UPROBES, "[uprobes]" }, { VMA_VSYSCALL, "[vsyscall]" },
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_vma_list_ struct vma_list list = { 0 };
	struct vma *v;

	assert_accepted(proc_parse_maps, text, &list, &err);
	assert_int_equal(list.vmas.count, ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_int_equal(list.vmas.items[i].kind, expected[i].kind);
		assert_string_equal(list.vmas.items[i].path, expected[i].path);
	}
	v = list.vmas.items;
	assert_true(v[1].start == 0x401000 && v[1].end == 0x402000 && v[1].offset == 0x1000);
	assert_true(v[1].prot == (PROT_READ | PROT_EXEC) && !v[1].shared && !v[1].deleted);
	assert_true(v[1].dev_major == 0xfe && v[1].dev_minor == 0 && v[1].inode == 247498);
	assert_true(v[2].shared && v[2].deleted && v[2].inode == UINT64_MAX);
	assert_true(v[2].dev_major == 0x103 && v[2].dev_minor == 0xab);
	assert_int_equal(v[3].prot, PROT_NONE);
	assert_true(v[10].unescaped && v[10].deleted);
	assert_false(v[9].unescaped);
	assert_true(v[21].end == 0xffffffffff601000);
	assert_false(list.has_smaps);
}

static void find(void **state)
{
	static const char text[] = "1000-3000 r--p 00000000 00:00 0 \n"
				   "3000-4000 rw-p 00000000 00:00 0 \n"
				   "8000-9000 rw-p 00000000 00:00 0 \n";
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_vma_list_ struct vma_list list = { 0 };

	assert_null(vma_list_find(&list, 0x1000));
	assert_accepted(proc_parse_maps, text, &list, &err);
	assert_null(vma_list_find(&list, 0));
	assert_null(vma_list_find(&list, 0xfff));
	assert_ptr_equal(vma_list_find(&list, 0x1000), &list.vmas.items[0]);
	assert_ptr_equal(vma_list_find(&list, 0x2fff), &list.vmas.items[0]);
	assert_ptr_equal(vma_list_find(&list, 0x3000), &list.vmas.items[1]);
	assert_null(vma_list_find(&list, 0x4000));
	assert_ptr_equal(vma_list_find(&list, 0x8fff), &list.vmas.items[2]);
	assert_null(vma_list_find(&list, 0x9000));
	assert_null(vma_list_find(&list, UINT64_MAX));
}

static void refused_maps(void **state)
{
	static const char *const lines[] = {
		"\n", "garbage\n", "1000-2000\n", "1000 2000 r--p 0 0:0 0 \n",
		"1000-2000 r--q 0 0:0 0 \n", "1000-2000 x--p 0 0:0 0 \n", "1000-2000 r--p 0 0:0 \n",
		"1000-2000 r--p 0 00 0 \n", "2000-1000 r--p 0 0:0 0 \n",
		"1000-1000 r--p 0 0:0 0 \n",
		"1001-2000 r--p 0 0:0 0 \n", "1000-2000 r--p 0 0:0 0x \n",
		"10000000000000000-20000000000000000 r--p 0 0:0 0 \n",
		"1000-2000 r--p 0 0:0 18446744073709551616 \n",
		"1000-2000 r--p 0 100000000:0 0 \n", "Rss:  4 kB\n",
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct vma_list list;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		assert_refused(proc_parse_maps, lines[i], &list, &err, "maps line 1");
		assert_refused(proc_parse_smaps, lines[i], &list, &err, "smaps line 1");
		assert_null(list.vmas.items);
	}
	assert_refused(proc_parse_maps, "3000-4000 r--p 0 0:0 0 /a\n2000-3001 r--p 0 0:0 0 \n",
		       &list, &err, "maps line 2");
	assert_refused(proc_parse_maps, "3000-4000 r--p 0 0:0 0 /a\n3000-5000 r--p 0 0:0 0 \n",
		       &list, &err, "out of order");
	assert_refused(proc_parse_maps, "3000-4000 r--p 0 0:0 0 /a", &list, &err, "cut short");
	assert_accepted(proc_parse_maps, "", &list, &err);
	assert_int_equal(list.vmas.count, 0);
}

#define AREA "1000-2000 rw-p 00000000 00:00 0 \n"

static void counters(void **state)
{
	static const char text[] =
		"1000-5000 r--p 00000000 fe:00 247498                     /Rss: 9 kB\n"
		"Size:                  16 kB\nKernelPageSize:        4 kB\n"
		"MMUPageSize:           4 kB\n"
		"Rss:                   8 kB\nPss:                   8 kB\n"
		"Anonymous:             0 kB\n"
		"AnonHugePages:      2048 kB\nSwap:                 12 kB\n"
		"SwapPss:               1 kB\n"
		"Locked:               16 kB\nTHPeligible:           0\nProtectionKey:         3\n"
		"VmFlags: rd wr ex sh mr mw me ms gd pf dw lo io sr rr dc de lf ac nr ht sf nl ar "
		"wf dd sd mm hg nh mg um uw ui ss sl dp mt bt mp gu \n"
		"5000-6000 r--p 00000000 fe:00 247498                     /Rss: 9 kB\n"
		"VmFlags: rd zz \n"
		"6000-7000 r--p 00000000 00:00 0 \n"
		"Rss:                   4 kB\n"
		"7000-8000 rw-p 00000000 00:00 0 \n"
		"VmFlags: rd wr mr lo ?? ac \n"
		"8000-9000 rw-p 00000000 00:00 0 \n"
		"VmFlags: rd lo ac ?? \n";
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_vma_list_ struct vma_list list = { 0 };
	struct vma *v;

	assert_accepted(proc_parse_smaps, text, &list, &err);
	assert_true(list.has_smaps);
	assert_int_equal(list.vmas.count, 5);
	v = list.vmas.items;
	assert_string_equal(v[0].path, "/Rss: 9 kB");
	assert_int_equal(v[0].page_size, 4096);
	assert_int_equal(v[0].rss, 8192);
	assert_int_equal(v[0].anon_huge, 2 << 20);
	assert_int_equal(v[0].swap, 12288);
	assert_int_equal(v[0].locked, 16384);
	assert_int_equal(v[0].pkey, 3);
	assert_true(v[0].flags == (VMA_GU << 1) - 1);
	assert_true(v[1].flags == (VMA_RD | VMA_OTHER_FLAG));
	assert_int_equal(v[1].rss, 0);
	assert_int_equal(v[2].rss, 4096);
	assert_int_equal(v[2].flags, 0);
	assert_true(v[3].flags == (VMA_RD | VMA_WR | VMA_MR | VMA_LO | VMA_LF | VMA_AC));
	assert_true(v[4].flags == (VMA_RD | VMA_LO | VMA_AC | VMA_OTHER_FLAG));
}

static void refused_counters(void **state)
{
	static const char *const texts[] = {
		AREA "Rss: 4\n", AREA "Rss: 4 MB\n", AREA "Rss: 4 kB x\n", AREA "Rss: -4 kB\n",
		AREA "Rss\n", AREA "ProtectionKey: x\n", AREA "Swap: 18446744073709551615 kB\n",
		AREA "9000-1000\n",
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct vma_list list;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_refused(proc_parse_smaps, texts[i], &list, &err, "smaps line 2");
}

/* An area of our own with everything on it, and a file whose name plays tricks. */
static void self(void **state)
{
	static const char text[] = "tricky (deleted)\n\\012 name";
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_vma_list_ struct vma_list maps = { 0 }, smaps = { 0 };
	_cleanup_fd_ int pid_dir = open_dir("/proc/self"), file = -1;
	char dir[] = "/tmp/proc-maps.XXXXXX", path[128];
	size_t page = getpagesize();
	char *anon = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	char *mapped, local, *shared;
	struct vma *vma;
	struct stat st;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/%s", dir, text);
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(file >= 0 && ftruncate(file, 2 * page) == 0 && fstat(file, &st) == 0);
	mapped = mmap(NULL, page, PROT_READ, MAP_SHARED, file, page);
	shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(anon != MAP_FAILED && mapped != MAP_FAILED && shared != MAP_FAILED);
	assert_int_equal(mprotect(anon, page, PROT_NONE), 0);
	assert_int_equal(mprotect(anon + 2 * page, page, PROT_NONE), 0);
	assert_int_equal(madvise(anon + page, page, MADV_DONTFORK), 0);
	/* The address sanitizer makes mlock(3) do nothing. */
	assert_int_equal(syscall(SYS_mlock, anon + page, page), 0);
	anon[page] = 1;

	assert_parsed(proc_read_maps(pid_dir, &maps, &err), &err);
	assert_parsed(proc_read_smaps(pid_dir, &smaps, &err), &err);
	vma = vma_list_find(&maps, (uintptr_t)&local);
	assert_true(vma && vma->kind == VMA_STACK);
	vma = vma_list_find(&maps, (uintptr_t)self);
	assert_true(vma && vma->kind == VMA_FILE && vma->prot == (PROT_READ | PROT_EXEC));
	vma = vma_list_find(&maps, (uintptr_t)mapped);
	assert_true(vma && vma->shared && vma->unescaped && vma->offset == page);
	snprintf(path, sizeof(path), "%s/tricky (deleted)\n\n name", dir);
	assert_string_equal(vma->path, path);
	assert_int_equal(vma->inode, st.st_ino);
	assert_int_equal(makedev(vma->dev_major, vma->dev_minor), st.st_dev);
	vma = vma_list_find(&maps, (uintptr_t)shared);
	assert_true(vma && vma->shared && vma->deleted && vma->inode);
	assert_string_equal(vma->path, "/dev/zero");
	vma = vma_list_find(&smaps, (uintptr_t)anon + page);
	assert_non_null(vma);
	assert_true(vma->start == (uintptr_t)anon + page && vma->end == vma->start + page);
	assert_int_equal(vma->prot, PROT_READ | PROT_WRITE);
	assert_int_equal(vma->page_size, page);
	assert_int_equal(vma->rss, page);
	assert_int_equal(vma->locked, page);
	assert_true((vma->flags & (VMA_RD | VMA_WR | VMA_EX | VMA_SH | VMA_LO | VMA_DC)) ==
		    (VMA_RD | VMA_WR | VMA_LO | VMA_DC));
	array_for(vma, &smaps.vmas)
		assert_false(vma->flags & VMA_OTHER_FLAG);

	munmap(anon, 3 * page);
	munmap(mapped, page);
	munmap(shared, page);
	snprintf(path, sizeof(path), "%s/%s", dir, text);
	assert_int_equal(unlink(path) | rmdir(dir), 0);
}

static void dead_process(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_vma_list_ struct vma_list list = { 0 };
	_cleanup_fd_ int pid_dir = -1;
	pid_t pid = sleeping_child(&pid_dir);

	make_zombie(pid);
	assert_parsed(proc_read_maps(pid_dir, &list, &err), &err);
	assert_int_equal(list.vmas.count, 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_fails(proc_read_maps(pid_dir, &list, &err), &err, ERROR_DIED, "gone");
	assert_fails(proc_read_smaps(pid_dir, &list, &err), &err, ERROR_DIED, "gone");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds),	cmocka_unit_test(find),
		cmocka_unit_test(refused_maps), cmocka_unit_test(counters),
		cmocka_unit_test(refused_counters), cmocka_unit_test(self),
		cmocka_unit_test(dead_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
