/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/auxv: pairs, missing ends, 32-bit pairs, and this very process. */
#include "proc_testing.h"

#include <elf.h>
#include <sys/auxv.h>

#include "proc/auxv.h"

static void pairs(void **state)
{
	static const uint64_t data[] = { AT_PAGESZ, 4096, AT_BASE, UINT64_MAX, AT_NULL, 0, 0, 0 };
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_auxv_ struct proc_auxv auxv = { 0 };
	uint64_t value;

	assert_parsed(proc_parse_auxv(data, sizeof(data), &auxv, &err), &err);
	assert_int_equal(auxv.entries.count, 3);
	assert_true(proc_auxv_find(&auxv, AT_BASE, &value) && value == UINT64_MAX);
	assert_false(proc_auxv_find(&auxv, AT_ENTRY, &value));
}

static void refused(void **state)
{
	static const uint64_t no_end[] = { AT_PAGESZ, 4096, AT_BASE, 1 };
	static const uint32_t narrow[] = { AT_PAGESZ, 4096, AT_BASE, 1, AT_NULL, 0 };
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_auxv auxv;

	assert_fails(proc_parse_auxv(no_end, 32, &auxv, &err), &err, ERROR_FAILED, "no end");
	assert_fails(proc_parse_auxv(no_end, 7, &auxv, &err), &err, ERROR_FAILED, "no end");
	assert_fails(proc_parse_auxv(narrow, sizeof(narrow), &auxv, &err), &err, ERROR_FAILED,
		     "64-bit");
	assert_parsed(proc_parse_auxv(NULL, 0, &auxv, &err), &err);
	assert_int_equal(auxv.entries.count, 0);
}

static void self(void **state)
{
	static const unsigned long types[] = { AT_PAGESZ, AT_PHDR, AT_ENTRY, AT_SYSINFO_EHDR,
					       AT_RANDOM, AT_EXECFN };
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_auxv_ struct proc_auxv auxv = { 0 };
	_cleanup_fd_ int pid_dir = open_dir("/proc/self");
	uint64_t value;

	assert_parsed(proc_read_auxv(pid_dir, &auxv, &err), &err);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		assert_true(proc_auxv_find(&auxv, types[i], &value));
		assert_true(value == getauxval(types[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs),
		cmocka_unit_test(refused),
		cmocka_unit_test(self),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
