/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/probes.h"
#include "kernel-compat/uapi.h"

struct page {
	volatile char *at;
	size_t size;
};

static void page_release(struct page *page)
{
	if (page->at)
		munmap((void *)page->at, page->size);
}

#define _cleanup_page_ __attribute__((cleanup(page_release)))

/* A page of our own with nothing else in its mapping. */
static int page_get(struct page *ret, int flags)
{
	size_t size = sysconf(_SC_PAGESIZE);
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return errno;
	*ret = (struct page){ at, size };
	return 0;
}

int probe_map_files(void)
{
	_cleanup_page_ struct page page = { 0 };
	_cleanup_fd_ int fd = -1;
	char path[96];
	char byte = 0;
	int r = page_get(&page, MAP_SHARED);

	if (r)
		return r;
	page.at[0] = 7;
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)page.at,
		 (unsigned long)page.at + page.size);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || pread(fd, &byte, 1, 0) != 1)
		return errno;
	return byte == 7 ? 0 : EIO;
}

/* The pagemap entry of a page. */
static int pagemap_read(const struct page *page, uint64_t *ret)
{
	_cleanup_fd_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	return pread(fd, ret, sizeof(*ret), (uintptr_t)page->at / page->size * sizeof(*ret)) ==
		       sizeof(*ret) ? 0 : EIO;
}

int probe_pagemap_pfn(void)
{
	_cleanup_page_ struct page page = { 0 };
	uint64_t entry;
	int r = page_get(&page, MAP_PRIVATE);

	if (r)
		return r;
	page.at[0] = 1;
	r = pagemap_read(&page, &entry);
	if (r)
		return r;
	return entry & ((1ull << 55) - 1) ? 0 : EPERM;
}

/* The categories of a page as PAGEMAP_SCAN tells, 0 when it does not match the mask. */
static int scan(const struct page *page, uint64_t flags, uint64_t mask, uint64_t *ret)
{
	_cleanup_fd_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct page_region found = { 0 };
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = flags,
		.start = (uintptr_t)page->at,
		.end = (uintptr_t)page->at + page->size,
		.vec = (uintptr_t)&found,
		.vec_len = 1,
		.category_mask = mask,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_WRITTEN,
	};

	if (fd < 0 || ioctl(fd, PAGEMAP_SCAN, &arg) < 0)
		return errno;
	*ret = found.categories;
	return 0;
}

int probe_pagemap_scan(void)
{
	_cleanup_page_ struct page page = { 0 };
	uint64_t categories;
	int r = page_get(&page, MAP_PRIVATE);

	if (r)
		return r;
	page.at[0] = 1;
	r = scan(&page, 0, PAGE_IS_PRESENT, &categories);
	if (r)
		return r;
	return categories & PAGE_IS_PRESENT ? 0 : EIO;
}

static int userfaultfd_open(uint64_t features, int *ret)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	_cleanup_fd_ int fd =
		syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		return errno;
	*ret = steal_fd(&fd);
	return 0;
}

static int userfaultfd_register(int fd, const struct page *page, uint64_t mode)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)page->at, page->size },
		.mode = mode,
	};

	return ioctl(fd, UFFDIO_REGISTER, &reg) ? errno : 0;
}

int probe_userfaultfd(void)
{
	_cleanup_page_ struct page page = { 0 }, content = { 0 };
	_cleanup_fd_ int fd = -1;
	struct uffdio_copy copy = { 0 };
	int r = page_get(&page, MAP_PRIVATE) ?: page_get(&content, MAP_PRIVATE) ?:
		userfaultfd_open(0, &fd) ?:
		userfaultfd_register(fd, &page, UFFDIO_REGISTER_MODE_MISSING);

	if (r)
		return r;
	content.at[0] = 7;
	copy.dst = (uintptr_t)page.at;
	copy.src = (uintptr_t)content.at;
	copy.len = page.size;
	if (ioctl(fd, UFFDIO_COPY, &copy))
		return errno;
	return page.at[0] == 7 ? 0 : EIO;
}

int probe_userfaultfd_wp_async(void)
{
	_cleanup_page_ struct page page = { 0 };
	_cleanup_fd_ int fd = -1;
	const uint64_t written = PAGE_IS_WRITTEN | PAGE_IS_PRESENT;
	const uint64_t rearm = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC;
	uint64_t armed, quiet, again;
	int r = page_get(&page, MAP_PRIVATE) ?:
		userfaultfd_open(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED, &fd) ?:
		userfaultfd_register(fd, &page, UFFDIO_REGISTER_MODE_WP);

	if (r)
		return r;
	page.at[0] = 1;
	r = scan(&page, rearm, written, &armed) ?: scan(&page, rearm, written, &quiet);
	if (r)
		return r;
	page.at[0] = 2;
	r = scan(&page, rearm, written, &again);
	if (r)
		return r;
	return armed && !quiet && again ? 0 : EIO;
}

int probe_soft_dirty(void)
{
	_cleanup_page_ struct page page = { 0 };
	_cleanup_fd_ int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	uint64_t before, after;
	int r = page_get(&page, MAP_PRIVATE);

	if (r || fd < 0)
		return r ?: errno;
	page.at[0] = 1;
	/* Where it is compiled out the write succeeds all the same. */
	if (write(fd, "4", 1) != 1)
		return errno;
	r = pagemap_read(&page, &before);
	if (r)
		return r;
	page.at[0] = 2;
	r = pagemap_read(&page, &after);
	if (r)
		return r;
	return !(before >> 55 & 1) && (after >> 55 & 1) ? 0 : ENOSYS;
}
