/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/stat: all fields, hostile names, short lines, and this very process. */
#include "proc_testing.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include "proc/stat.h"

#define FIELDS                                                                                  \
	" S 2 3 4 34816 -1 4194560 5 6 7 8 9 10 11 12 20 -5 3 0 95705 3133440 366 "               \
	"18446744073709551615 94132565774336 94132565794217 140724936824192 13 14 15 16 17 18 " \
	"19 20 21 17 1 50 2 22 23 24 94132565810224 94132565811840 94133039939584 "             \
	"140724936825276 140724936825296 140724936825297 140724936826859 256"
#define TAIL FIELDS "\n"

static void all_fields(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_stat st;

	assert_accepted(proc_parse_stat, "4711 (cat)" TAIL, &st, &err);
	assert_int_equal(st.pid, 4711);
	assert_string_equal(st.comm, "cat");
	assert_int_equal(st.state, 'S');
	assert_int_equal(st.ppid, 2);
	assert_int_equal(st.pgrp, 3);
	assert_int_equal(st.session, 4);
	assert_int_equal(st.tty_nr, 34816);
	assert_int_equal(st.tty_pgrp, -1);
	assert_int_equal(st.flags, 4194560);
	assert_int_equal(st.child_major_faults, 8);
	assert_int_equal(st.user_time, 9);
	assert_int_equal(st.child_system_time, 12);
	assert_int_equal(st.priority, 20);
	assert_int_equal(st.nice, -5);
	assert_int_equal(st.num_threads, 3);
	assert_int_equal(st.start_time, 95705);
	assert_int_equal(st.vsize, 3133440);
	assert_int_equal(st.rss, 366);
	assert_true(st.rss_limit == UINT64_MAX);
	assert_true(st.start_code == 94132565774336 && st.end_code == 94132565794217);
	assert_true(st.start_stack == 140724936824192);
	assert_int_equal(st.esp, 13);
	assert_int_equal(st.caught, 18);
	assert_int_equal(st.exit_signal, 17);
	assert_int_equal(st.processor, 1);
	assert_int_equal(st.rt_priority, 50);
	assert_int_equal(st.policy, 2);
	assert_int_equal(st.child_guest_time, 24);
	assert_true(st.start_data == 94132565810224 && st.end_data == 94132565811840);
	assert_true(st.start_brk == 94133039939584);
	assert_true(st.arg_start == 140724936825276 && st.arg_end == 140724936825296);
	assert_true(st.env_start == 140724936825297 && st.env_end == 140724936826859);
	assert_int_equal(st.exit_code, 256);
}

static void odd_names(void **state)
{
	static const struct {
		const char *text, *comm;
	} cases[] = {
		{ "1 ()" TAIL, "" },
		{ "1 ()) S 1 2 3)" TAIL, ")) S 1 2 3" },
		{ "1 (a b)" TAIL, "a b" },
		{ "1 (((()" TAIL, "(((" },
		{ "1 (x\\ny\\\\z)" TAIL, "x\ny\\z" },
		{ "1 (x\ny) R)" TAIL, "x\ny) R" },
		{ "1 (kworker/u4:2-events_unbound)" TAIL, "kworker/u4:2-events_unbound" },
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_stat st;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_accepted(proc_parse_stat, cases[i].text, &st, &err);
		assert_string_equal(st.comm, cases[i].comm);
		assert_int_equal(st.state, 'S');
		assert_int_equal(st.exit_code, 256);
	}
}

static void refused(void **state)
{
	static const char *const texts[] = {
		"", "\n", "1\n", "1 (\n", "1 (cat\n", "1 (cat)\n", "1 (cat) \n", "1 (cat) S\n",
		"1 (cat) S 1 2 3\n", "x (cat)" TAIL, "99999999999 (cat)" TAIL, "1 cat" TAIL,
		"1 (0123456789012345678901234567890123456789012345678901234567890123)" TAIL,
		"1 (c) S 2 3 4 34816 -1 -4194560 5 6 7 8 9 10 11 12 20 -5 3 0 95705 3133440 366\n",
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	static const char whole[] = "4711 (cat)" TAIL;
	struct proc_stat st;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_refused(proc_parse_stat, texts[i], &st, &err, "stat");
	for (size_t size = 0; size < sizeof(whole) - 1; size++)
		assert_fails(proc_parse_stat(whole, size, &st, &err), &err, ERROR_FAILED, "stat");
	/* Further fields of a newer kernel do no harm; a number that runs on does. */
	assert_accepted(proc_parse_stat, "1 (c)" FIELDS " 7 8\n", &st, &err);
	assert_int_equal(st.exit_code, 256);
	assert_refused(proc_parse_stat, "1 (c)" FIELDS "x\n", &st, &err, "no number");
}

static void self(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int pid_dir = -1;
	struct proc_stat st;
	char local;

	prctl(PR_SET_NAME, "a) R (b\n\\c");
	pid_dir = open_dir("/proc/self");
	assert_parsed(proc_read_stat(pid_dir, &st, &err), &err);
	assert_string_equal(st.comm, "a) R (b\n\\c");
	assert_int_equal(st.pid, getpid());
	assert_int_equal(st.ppid, getppid());
	assert_int_equal(st.pgrp, getpgrp());
	assert_int_equal(st.session, getsid(0));
	assert_int_equal(st.state, 'R');
	assert_int_equal(st.num_threads, 1);
	assert_int_equal(st.nice, getpriority(PRIO_PROCESS, 0));
	assert_int_equal(st.exit_signal, SIGCHLD);
	assert_true(st.start_stack > (uint64_t)(uintptr_t)&local);
	assert_true(st.start_brk <= (uint64_t)(uintptr_t)sbrk(0));
	assert_true(st.env_start >= st.arg_end);
	assert_false(st.flags & PROC_FLAG_KTHREAD);
}

static void zombie(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int pid_dir = -1;
	pid_t pid = sleeping_child(&pid_dir);
	struct proc_stat st;

	make_zombie(pid);
	assert_parsed(proc_read_stat(pid_dir, &st, &err), &err);
	assert_int_equal(st.state, 'Z');
	assert_int_equal(st.exit_code, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_fails(proc_read_stat(pid_dir, &st, &err), &err, ERROR_DIED, "gone");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_fields), cmocka_unit_test(odd_names),
		cmocka_unit_test(refused),    cmocka_unit_test(self),
		cmocka_unit_test(zombie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
