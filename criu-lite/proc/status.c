/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/status.h"

#include <errno.h>

enum value_type {
	TYPE_NAME, TYPE_STATE, TYPE_INT, TYPE_U32, TYPE_OCTAL, TYPE_HEX, TYPE_KB, TYPE_IDS,
	TYPE_GROUPS, TYPE_NS_IDS, TYPE_SIGQ, TYPE_PHRASE, TYPE_CPUS, TYPE_X86,
};

static const struct status_row {
	const char *key;	/* with its colon */
	uint8_t key_size;
	uint8_t type;
	uint16_t offset;
} status_rows[STATUS_LINES] = {
#define ROW(key, type, member) \
	{ key ":", sizeof(key), TYPE_##type, offsetof(struct proc_status, member) }
	[STATUS_NAME] = ROW("Name", NAME, name),
	[STATUS_UMASK] = ROW("Umask", OCTAL, umask),
	[STATUS_STATE] = ROW("State", STATE, state),
	[STATUS_TGID] = ROW("Tgid", INT, tgid),
	[STATUS_NGID] = ROW("Ngid", U32, ngid),
	[STATUS_PID] = ROW("Pid", INT, pid),
	[STATUS_PPID] = ROW("PPid", INT, ppid),
	[STATUS_TRACER_PID] = ROW("TracerPid", INT, tracer_pid),
	[STATUS_UID] = ROW("Uid", IDS, uid),
	[STATUS_GID] = ROW("Gid", IDS, gid),
	[STATUS_FD_SIZE] = ROW("FDSize", U32, fd_size),
	[STATUS_GROUPS] = ROW("Groups", GROUPS, groups),
	[STATUS_NS_TGID] = ROW("NStgid", NS_IDS, ns_tgid),
	[STATUS_NS_PID] = ROW("NSpid", NS_IDS, ns_pid),
	[STATUS_NS_PGID] = ROW("NSpgid", NS_IDS, ns_pgid),
	[STATUS_NS_SID] = ROW("NSsid", NS_IDS, ns_sid),
	[STATUS_KTHREAD] = ROW("Kthread", U32, kthread),
	[STATUS_VM_PEAK] = ROW("VmPeak", KB, vm_peak),
	[STATUS_VM_SIZE] = ROW("VmSize", KB, vm_size),
	[STATUS_VM_LCK] = ROW("VmLck", KB, vm_lck),
	[STATUS_VM_PIN] = ROW("VmPin", KB, vm_pin),
	[STATUS_VM_HWM] = ROW("VmHWM", KB, vm_hwm),
	[STATUS_VM_RSS] = ROW("VmRSS", KB, vm_rss),
	[STATUS_RSS_ANON] = ROW("RssAnon", KB, rss_anon),
	[STATUS_RSS_FILE] = ROW("RssFile", KB, rss_file),
	[STATUS_RSS_SHMEM] = ROW("RssShmem", KB, rss_shmem),
	[STATUS_VM_SWAP] = ROW("VmSwap", KB, vm_swap),
	[STATUS_HUGETLB] = ROW("HugetlbPages", KB, hugetlb),
	[STATUS_CORE_DUMPING] = ROW("CoreDumping", U32, core_dumping),
	[STATUS_THP_ENABLED] = ROW("THP_enabled", U32, thp_enabled),
	[STATUS_UNTAG_MASK] = ROW("untag_mask", HEX, untag_mask),
	[STATUS_THREADS] = ROW("Threads", U32, threads),
	[STATUS_SIGQ] = ROW("SigQ", SIGQ, sigq_used),
	[STATUS_SIG_PND] = ROW("SigPnd", HEX, sig_pnd),
	[STATUS_SHD_PND] = ROW("ShdPnd", HEX, shd_pnd),
	[STATUS_SIG_BLK] = ROW("SigBlk", HEX, sig_blk),
	[STATUS_SIG_IGN] = ROW("SigIgn", HEX, sig_ign),
	[STATUS_SIG_CGT] = ROW("SigCgt", HEX, sig_cgt),
	[STATUS_CAP_INH] = ROW("CapInh", HEX, cap_inh),
	[STATUS_CAP_PRM] = ROW("CapPrm", HEX, cap_prm),
	[STATUS_CAP_EFF] = ROW("CapEff", HEX, cap_eff),
	[STATUS_CAP_BND] = ROW("CapBnd", HEX, cap_bnd),
	[STATUS_CAP_AMB] = ROW("CapAmb", HEX, cap_amb),
	[STATUS_NO_NEW_PRIVS] = ROW("NoNewPrivs", U32, no_new_privs),
	[STATUS_SECCOMP] = ROW("Seccomp", U32, seccomp),
	[STATUS_SECCOMP_FILTERS] = ROW("Seccomp_filters", U32, seccomp_filters),
	[STATUS_SPECULATION_STORE_BYPASS] =
		ROW("Speculation_Store_Bypass", PHRASE, speculation_store_bypass),
	[STATUS_SPECULATION_INDIRECT_BRANCH] =
		ROW("SpeculationIndirectBranch", PHRASE, speculation_indirect_branch),
	[STATUS_CPUS_ALLOWED] = ROW("Cpus_allowed", CPUS, cpus_allowed),
	[STATUS_X86_FEATURES] = ROW("x86_Thread_features", X86, x86_features),
	[STATUS_X86_FEATURES_LOCKED] = ROW("x86_Thread_features_locked", X86, x86_features_locked),
#undef ROW
};

/* "S (sleeping)" */
static bool scan_state(struct scan *s, char *state)
{
	if (scan_at_end(s))
		return false;
	*state = *s->at;
	s->at = s->end;
	return true;
}

static bool scan_phrase(struct scan *s, char phrase[32])
{
	size_t size = scan_left(s);

	if (size >= 32)
		return false;
	memcpy(phrase, s->at, size);
	phrase[size] = '\0';
	s->at = s->end;
	return true;
}

static bool scan_ids(struct scan *s, uint32_t id[4])
{
	for (unsigned i = 0; i < 4; i++) {
		if (i)
			scan_blanks(s);
		if (!scan_u32(s, &id[i]))
			return false;
	}
	return true;
}

bool proc_scan_ns_ids(struct scan *s, struct proc_ns_ids *ids)
{
	for (ids->count = 0; !scan_finished(s); ids->count++)
		if (ids->count == PROC_PID_LEVELS || !scan_int(s, &ids->id[ids->count]))
			return false;
	return true;
}

/* errno tells a lack of memory from bad text. */
static bool scan_groups(struct scan *s, struct proc_status *ret)
{
	ret->groups.count = 0;
	while (!scan_finished(s)) {
		gid_t gid, *added;

		if (!scan_u32(s, &gid))
			return false;
		added = array_add(&ret->groups);
		if (!added) {
			errno = ENOMEM;
			return false;
		}
		*added = gid;
	}
	return true;
}

/* "ff,ffffffff": groups of 32 processors, the highest first */
static bool scan_cpus(struct scan *s, struct proc_status *ret)
{
	unsigned groups = 1, index;

	for (const char *at = s->at; at < s->end; at++)
		groups += *at == ',';
	if (groups > 2 * PROC_CPU_WORDS)
		return false;
	memset(ret->cpus_allowed, 0, sizeof(ret->cpus_allowed));
	ret->cpu_words = (groups + 1) / 2;
	for (index = groups; index-- > 0;) {
		uint32_t bits;

		if (!scan_hex32(s, &bits) || (index && !scan_char(s, ',')))
			return false;
		ret->cpus_allowed[index / 2] |= (uint64_t)bits << (index % 2 * 32);
	}
	return true;
}

static bool scan_x86_features(struct scan *s, uint32_t *features)
{
	struct scan word;

	*features = 0;
	for (; scan_word(s, &word); scan_blanks(s))
		*features |= scan_is(&word, "shstk")  ? PROC_X86_SHSTK
			     : scan_is(&word, "wrss") ? PROC_X86_WRSS
						      : PROC_X86_OTHER;
	return true;
}

static bool scan_value(struct scan *s, const struct status_row *row, struct proc_status *ret)
{
	void *at = (char *)ret + row->offset;

	switch (row->type) {
	case TYPE_NAME:
		return proc_scan_comm(s, s->end, at);
	case TYPE_STATE:
		return scan_state(s, at);
	case TYPE_INT:
		return scan_int(s, at);
	case TYPE_U32:
		return scan_u32(s, at);
	case TYPE_OCTAL:
		return scan_octal32(s, at);
	case TYPE_HEX:
		return (scan_text(s, "0x"), scan_hex64(s, at));
	case TYPE_KB:
		return scan_kb(s, at);
	case TYPE_IDS:
		return scan_ids(s, at);
	case TYPE_GROUPS:
		return scan_groups(s, ret);
	case TYPE_NS_IDS:
		return proc_scan_ns_ids(s, at);
	case TYPE_SIGQ:
		return scan_u64(s, &ret->sigq_used) && scan_char(s, '/') &&
		       scan_u64(s, &ret->sigq_limit);
	case TYPE_PHRASE:
		return scan_phrase(s, at);
	case TYPE_CPUS:
		return scan_cpus(s, ret);
	case TYPE_X86:
		return scan_x86_features(s, at);
	}
	return false;
}

/* The row for the key that the line starts with, or STATUS_LINES. Lines come in the order of the
 * table, so the search starts behind the row found last. */
static unsigned find_row(const struct scan *line, unsigned expected)
{
	size_t size = scan_left(line);

	for (unsigned tried = 0; tried < STATUS_LINES; tried++) {
		unsigned i = (expected + tried) % STATUS_LINES;
		const struct status_row *row = &status_rows[i];

		if (size >= row->key_size && line->at[0] == row->key[0] &&
		    memcmp(line->at, row->key, row->key_size) == 0)
			return i;
	}
	return STATUS_LINES;
}

static int parse_lines(struct proc_text *t, struct proc_status *ret, struct error *err)
{
	unsigned expected = 0;
	struct scan line;

	while (proc_text_next(t, &line)) {
		unsigned i = find_row(&line, expected);

		if (i == STATUS_LINES)
			continue;
		line.at += status_rows[i].key_size;
		/* One tab follows the key; a name may start with blanks of its own. */
		scan_char(&line, '\t');
		if (status_rows[i].type != TYPE_NAME)
			scan_blanks(&line);
		errno = 0;
		if (!scan_value(&line, &status_rows[i], ret) || !scan_finished(&line)) {
			if (errno == ENOMEM)
				return error_set(err, ERROR_FAILED, ENOMEM, "status");
			return proc_text_error(t, "bad value", err);
		}
		ret->present |= 1ull << i;
		expected = i + 1;
	}
	return 0;
}

int proc_parse_status(const char *text, size_t size, struct proc_status *ret, struct error *err)
{
	static const uint8_t required[] = { STATUS_NAME, STATUS_STATE, STATUS_TGID, STATUS_PID,
					    STATUS_PPID, STATUS_UID, STATUS_GID };
	_cleanup_proc_status_ struct proc_status st = { 0 };
	struct proc_text t;

	*ret = (struct proc_status){ 0 };
	if (proc_text_open(&t, "status", text, size, err) || parse_lines(&t, &st, err))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(required); i++)
		if (!proc_status_has(&st, required[i]))
			return error_set(err, ERROR_FAILED, 0, "status has no line %s",
					 status_rows[required[i]].key);
	*ret = st;
	st = (struct proc_status){ 0 };
	return 0;
}

int proc_read_status(int pid_dir, struct proc_status *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };

	*ret = (struct proc_status){ 0 };
	if (proc_read_text(pid_dir, "status", &buf, err))
		return -1;
	return proc_parse_status(buf.data, buf.size, ret, err) ? proc_blame(pid_dir, err) : 0;
}

void proc_status_release(struct proc_status *st)
{
	array_release(&st->groups);
}
