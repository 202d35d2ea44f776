/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/status: every line, old kernels, forged names, absurd values, and this very process. */
#include "proc_testing.h"

#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "proc/status.h"

#define HEAD "Name:\tcat\nState:\tS (sleeping)\nTgid:\t7\nPid:\t8\nPPid:\t3\n" \
	     "Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"

static void every_line(void **state)
{
	static const char text[] =
		"Name:\tca\\nt\\\\\nUmask:\t0027\nState:\tT (stopped)\nTgid:\t3645\nNgid:\t1\n"
		"Pid:\t3646\nPPid:\t3641\nTracerPid:\t9\nUid:\t0\t1000\t2\t4294967295\n"
		"Gid:\t0\t1\t2\t3\nFDSize:\t256\nGroups:\t4 24 65534 \nNStgid:\t3645\t12\t1\n"
		"NSpid:\t3646\t13\t2\nNSpgid:\t3641\t0\t0\nNSsid:\t2391\t0\t0\nKthread:\t0\n"
		"VmPeak:\t    3068 kB\nVmSize:\t    3060 kB\nVmLck:\t       4 kB\n"
		"VmPin:\t       0 kB\n"
		"VmHWM:\t    1700 kB\nVmRSS:\t    1701 kB\nRssAnon:\t     116 kB\n"
		"RssFile:\t    1584 kB\nRssShmem:\t       1 kB\nVmData:\t     360 kB\n"
		"VmSwap:\t       5 kB\nHugetlbPages:\t    2048 kB\nCoreDumping:\t0\n"
		"THP_enabled:\t1\n"
		"untag_mask:\t0xffffffffffffffff\nThreads:\t2\nSigQ:\t1/96365\n"
		"SigPnd:\t0000000000000001\nShdPnd:\t0000000000000002\nSigBlk:\t8000000000000000\n"
		"SigIgn:\t0000000000001000\nSigCgt:\t0000000180014a07\nCapInh:\t0000000000000001\n"
		"CapPrm:\t000001fffeffffff\nCapEff:\t0000000000000003\nCapBnd:\t0000000000000004\n"
		"CapAmb:\t0000000000000005\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n"
		"Speculation_Store_Bypass:\tthread force mitigated\n"
		"SpeculationIndirectBranch:\tconditional enabled\n"
		"Cpus_allowed:\t1,00000000,80000003\nCpus_allowed_list:\t0-1,31,64\n"
		"Mems_allowed:\t1\nvoluntary_ctxt_switches:\t0\n"
		"x86_Thread_features:\tshstk wrss \nx86_Thread_features_locked:\tshstk new \n";
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_status_ struct proc_status st = { 0 };

	assert_accepted(proc_parse_status, text, &st, &err);
	assert_true(st.present == (1ull << STATUS_LINES) - 1);
	assert_string_equal(st.name, "ca\nt\\");
	assert_int_equal(st.umask, 027);
	assert_int_equal(st.state, 'T');
	assert_int_equal(st.tgid, 3645);
	assert_int_equal(st.pid, 3646);
	assert_int_equal(st.ppid, 3641);
	assert_int_equal(st.tracer_pid, 9);
	assert_true(st.uid[1] == 1000 && st.uid[3] == UINT32_MAX);
	assert_int_equal(st.gid[3], 3);
	assert_int_equal(st.fd_size, 256);
	assert_int_equal(st.groups.count, 3);
	assert_int_equal(st.groups.items[2], 65534);
	assert_int_equal(st.ns_tgid.count, 3);
	assert_int_equal(st.ns_pid.id[1], 13);
	assert_int_equal(st.ns_pgid.id[0], 3641);
	assert_int_equal(st.ns_sid.id[2], 0);
	assert_int_equal(st.vm_peak, 3068 << 10);
	assert_int_equal(st.vm_size, 3060 << 10);
	assert_int_equal(st.vm_lck, 4 << 10);
	assert_int_equal(st.vm_rss, 1701 << 10);
	assert_int_equal(st.rss_shmem, 1 << 10);
	assert_int_equal(st.vm_swap, 5 << 10);
	assert_int_equal(st.hugetlb, 2 << 20);
	assert_int_equal(st.thp_enabled, 1);
	assert_true(st.untag_mask == UINT64_MAX);
	assert_int_equal(st.threads, 2);
	assert_int_equal(st.sigq_used, 1);
	assert_int_equal(st.sigq_limit, 96365);
	assert_int_equal(st.sig_pnd, 1);
	assert_int_equal(st.shd_pnd, 2);
	assert_true(st.sig_blk == 1ull << 63);
	assert_int_equal(st.sig_ign, 0x1000);
	assert_int_equal(st.sig_cgt, 0x180014a07);
	assert_true(st.cap_prm == 0x1fffeffffff && st.cap_amb == 5 && st.cap_bnd == 4);
	assert_int_equal(st.no_new_privs, 1);
	assert_int_equal(st.seccomp, 2);
	assert_int_equal(st.seccomp_filters, 3);
	assert_string_equal(st.speculation_store_bypass, "thread force mitigated");
	assert_int_equal(st.cpu_words, 2);
	assert_true(st.cpus_allowed[0] == 0x80000003 && st.cpus_allowed[1] == 1);
	assert_int_equal(st.x86_features, PROC_X86_SHSTK | PROC_X86_WRSS);
	assert_int_equal(st.x86_features_locked, PROC_X86_SHSTK | PROC_X86_OTHER);
}

static void old_kernel(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_status_ struct proc_status st = { 0 };

	assert_accepted(proc_parse_status, HEAD "Groups:\t\nThreads:\t1\n", &st, &err);
	assert_true(proc_status_has(&st, STATUS_GROUPS));
	assert_int_equal(st.groups.count, 0);
	assert_false(proc_status_has(&st, STATUS_SECCOMP_FILTERS));
	assert_false(proc_status_has(&st, STATUS_VM_SIZE));
	assert_int_equal(st.ns_pid.count, 0);
}

static void odd_names(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_status_ struct proc_status st = { 0 };

	assert_accepted(proc_parse_status, "State:\tS\nTgid:\t1\nPid:\t1\nPPid:\t0\n"
			    "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nName:\t\t Pid:\\n9 \n", &st, &err);
	assert_string_equal(st.name, "\t Pid:\n9 ");
	assert_int_equal(st.pid, 1);
}

static void refused(void **state)
{
	static const struct {
		const char *text, *piece;
	} cases[] = {
		{ "", "Name" },
		{ "Name:\tcat\n", "State" },
		{ HEAD "Threads:\t-1\n", "line 8" },
		{ HEAD "Threads:\t1x\n", "line 8" },
		{ HEAD "Threads:\t99999999999\n", "line 8" },
		{ HEAD "Groups:\t1 x\n", "line 8" },
		{ HEAD "Groups:\t1 4294967296\n", "line 8" },
		{ HEAD "VmRSS:\t1 MB\n", "line 8" },
		{ HEAD "VmRSS:\t99999999999999999999 kB\n", "line 8" },
		{ HEAD "VmRSS:\t18446744073709551615 kB\n", "line 8" },
		{ HEAD "SigQ:\t1\n", "line 8" },
		{ HEAD "SigBlk:\t10000000000000000\n", "line 8" },
		{ HEAD "Cpus_allowed:\tf,\n", "line 8" },
		{ HEAD "Cpus_allowed:\t\n", "line 8" },
		{ HEAD "State:\t\n", "line 8" },
		{ HEAD "Name:\t0123456789012345678901234567890123456789012345678901234567890123\n",
		  "line 8" },
		{ HEAD "NSpid:\t1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 "
		       "1 1 1\n",
		  "line 8" },
		{ HEAD "Uid:\t1\t2\t3\n", "line 8" },
		{ HEAD "Speculation_Store_Bypass:\t01234567890123456789012345678901\n", "line 8" },
		{ HEAD "Threads:\t1", "cut short" },
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_status st;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_refused(proc_parse_status, cases[i].text, &st, &err, cases[i].piece);
		assert_null(st.groups.items);
	}
}

static void too_many_cpus(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_buffer_ struct buffer buf = { 0 };
	struct proc_status st;

	assert_int_equal(buffer_append(&buf, HEAD "Cpus_allowed:\t", strlen(HEAD) + 14), 0);
	for (int i = 0; i < 2 * PROC_CPU_WORDS; i++)
		assert_int_equal(buffer_append(&buf, "ffffffff,", 9), 0);
	assert_int_equal(buffer_append(&buf, "f\n", 2), 0);
	assert_refused(proc_parse_status, buf.data, &st, &err, "line 8");
}

static void self(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_status_ struct proc_status st = { 0 };
	_cleanup_fd_ int pid_dir = open_dir("/proc/self");
	gid_t groups[1024];
	sigset_t usr1;
	cpu_set_t cpus;
	mode_t mask = umask(031);

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	raise(SIGUSR1);
	signal(SIGUSR2, SIG_IGN);
	assert_parsed(proc_read_status(pid_dir, &st, &err), &err);
	signal(SIGUSR2, SIG_DFL);
	umask(mask);
	assert_int_equal(st.umask, 031);
	assert_int_equal(st.pid, getpid());
	assert_int_equal(st.tgid, getpid());
	assert_int_equal(st.ppid, getppid());
	assert_int_equal(st.uid[1], geteuid());
	assert_int_equal(st.gid[0], getgid());
	assert_int_equal(st.groups.count, getgroups(ARRAY_SIZE(groups), groups));
	assert_int_equal(st.ns_pid.id[st.ns_pid.count - 1], getpid());
	assert_true(st.sig_blk & 1ull << (SIGUSR1 - 1));
	assert_true((st.sig_pnd | st.shd_pnd) & 1ull << (SIGUSR1 - 1));
	assert_true(st.sig_ign & 1ull << (SIGUSR2 - 1));
	assert_int_equal(st.no_new_privs, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	assert_int_equal(st.threads, 1);
	assert_true(st.vm_size >= st.vm_rss && st.vm_rss > 0);
	assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	assert_memory_equal(&cpus, st.cpus_allowed, 8);
}

static void zombie(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_proc_status_ struct proc_status st = { 0 };
	_cleanup_fd_ int pid_dir = -1;
	pid_t pid = sleeping_child(&pid_dir);

	make_zombie(pid);
	assert_parsed(proc_read_status(pid_dir, &st, &err), &err);
	assert_int_equal(st.state, 'Z');
	assert_false(proc_status_has(&st, STATUS_VM_SIZE));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line), cmocka_unit_test(old_kernel),
		cmocka_unit_test(odd_names),  cmocka_unit_test(refused),
		cmocka_unit_test(too_many_cpus), cmocka_unit_test(self),
		cmocka_unit_test(zombie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
