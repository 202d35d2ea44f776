/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_STATUS_H
#define CL_PROC_STATUS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/array.h"
#include "proc/stat.h"
#include "proc/text.h"

/*
 * /proc/PID/status, proc(5): "Key:\tvalue" lines. Which lines are there depends on the kernel and
 * on the process: kernel threads and zombies have no Vm lines. What is absent reads 0 and
 * proc_status_has() tells it from a real 0. Ids are those of the proc mount's pid namespace and
 * of the reader's user namespace (overflow ids 65534 where unmapped).
 */

/* One per line that is understood, in the order in which the kernel writes them. */
enum proc_status_line {
	STATUS_NAME, STATUS_UMASK, STATUS_STATE, STATUS_TGID, STATUS_NGID, STATUS_PID,
	STATUS_PPID, STATUS_TRACER_PID, STATUS_UID, STATUS_GID, STATUS_FD_SIZE, STATUS_GROUPS,
	STATUS_NS_TGID, STATUS_NS_PID, STATUS_NS_PGID, STATUS_NS_SID, STATUS_KTHREAD,
	STATUS_VM_PEAK, STATUS_VM_SIZE, STATUS_VM_LCK, STATUS_VM_PIN, STATUS_VM_HWM,
	STATUS_VM_RSS, STATUS_RSS_ANON, STATUS_RSS_FILE, STATUS_RSS_SHMEM, STATUS_VM_SWAP,
	STATUS_HUGETLB, STATUS_CORE_DUMPING, STATUS_THP_ENABLED, STATUS_UNTAG_MASK,
	STATUS_THREADS, STATUS_SIGQ, STATUS_SIG_PND, STATUS_SHD_PND, STATUS_SIG_BLK,
	STATUS_SIG_IGN, STATUS_SIG_CGT, STATUS_CAP_INH, STATUS_CAP_PRM, STATUS_CAP_EFF,
	STATUS_CAP_BND, STATUS_CAP_AMB, STATUS_NO_NEW_PRIVS, STATUS_SECCOMP,
	STATUS_SECCOMP_FILTERS, STATUS_SPECULATION_STORE_BYPASS,
	STATUS_SPECULATION_INDIRECT_BRANCH, STATUS_CPUS_ALLOWED, STATUS_X86_FEATURES,
	STATUS_X86_FEATURES_LOCKED,
	STATUS_LINES,
};

enum {
	PROC_PID_LEVELS = 33,	/* 32 nested pid namespaces below the first */
	PROC_CPU_WORDS = 128,	/* 8192 processors */

	/* .x86_features and .x86_features_locked */
	PROC_X86_SHSTK = 1,
	PROC_X86_WRSS = 2,
	PROC_X86_OTHER = 4,	/* one that this parser does not know */
};

/* One id per pid namespace: items[0] in that of the proc mount, the last in the innermost. */
struct proc_ns_ids {
	unsigned count;
	pid_t id[PROC_PID_LEVELS];
};

struct proc_status {
	uint64_t present;		/* 1 << enum proc_status_line */
	char name[PROC_COMM_SIZE];	/* unescaped */
	mode_t umask;
	char state;			/* R S D T t Z X I … */
	pid_t tgid, pid, ppid;
	pid_t tracer_pid;		/* 0: not traced */
	uint32_t ngid;			/* NUMA group */
	uid_t uid[4];			/* real, effective, saved, file system */
	gid_t gid[4];
	uint32_t fd_size;		/* slots of the descriptor table, a multiple of 64 */
	ARRAY_OF(gid_t) groups;		/* supplementary groups */
	struct proc_ns_ids ns_tgid, ns_pid, ns_pgid, ns_sid;
	uint32_t kthread;
	/* bytes */
	uint64_t vm_peak, vm_size, vm_lck, vm_pin, vm_hwm, vm_rss, rss_anon, rss_file, rss_shmem;
	uint64_t vm_swap, hugetlb;
	uint32_t core_dumping;
	uint32_t thp_enabled;		/* 0: PR_SET_THP_DISABLE or compiled out */
	uint64_t untag_mask;		/* address bits that count; all ones without LAM */
	uint32_t threads;
	uint64_t sigq_used, sigq_limit;
	/* bit 0 is signal 1 */
	uint64_t sig_pnd;		/* pending for this thread */
	uint64_t shd_pnd;		/* pending for the process */
	uint64_t sig_blk, sig_ign, sig_cgt;
	/* bit 0 is capability 0 */
	uint64_t cap_inh, cap_prm, cap_eff, cap_bnd, cap_amb;
	uint32_t no_new_privs;
	uint32_t seccomp;		/* SECCOMP_MODE_DISABLED, _STRICT, _FILTER */
	uint32_t seccomp_filters;
	char speculation_store_bypass[32], speculation_indirect_branch[32];
	unsigned cpu_words;		/* used words of .cpus_allowed */
	uint64_t cpus_allowed[PROC_CPU_WORDS];	/* bit 0 of word 0 is processor 0 */
	uint32_t x86_features, x86_features_locked;
};

static inline bool proc_status_has(const struct proc_status *st, enum proc_status_line line)
{
	return st->present >> line & 1;
}

/* Ids up to the end of the line; for other parsers. */
bool proc_scan_ns_ids(struct scan *s, struct proc_ns_ids *ids);

/* Name, State, Tgid, Pid, PPid, Uid and Gid must be there. The caller releases *ret. */
int proc_parse_status(const char *text, size_t size, struct proc_status *ret, struct error *err);
int proc_read_status(int pid_dir, struct proc_status *ret, struct error *err);
void proc_status_release(struct proc_status *st);
#define _cleanup_proc_status_ __attribute__((cleanup(proc_status_release)))

#endif
