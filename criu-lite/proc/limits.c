/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/limits.h"

static const char *const limit_names[PROC_LIMITS] = {
	[RLIMIT_CPU] = "Max cpu time ",
	[RLIMIT_FSIZE] = "Max file size ",
	[RLIMIT_DATA] = "Max data size ",
	[RLIMIT_STACK] = "Max stack size ",
	[RLIMIT_CORE] = "Max core file size ",
	[RLIMIT_RSS] = "Max resident set ",
	[RLIMIT_NPROC] = "Max processes ",
	[RLIMIT_NOFILE] = "Max open files ",
	[RLIMIT_MEMLOCK] = "Max locked memory ",
	[RLIMIT_AS] = "Max address space ",
	[RLIMIT_LOCKS] = "Max file locks ",
	[RLIMIT_SIGPENDING] = "Max pending signals ",
	[RLIMIT_MSGQUEUE] = "Max msgqueue size ",
	[RLIMIT_NICE] = "Max nice priority ",
	[RLIMIT_RTPRIO] = "Max realtime priority ",
	[RLIMIT_RTTIME] = "Max realtime timeout ",
};

static bool scan_limit(struct scan *s, uint64_t *limit)
{
	scan_blanks(s);
	if (!scan_text(s, "unlimited"))
		return scan_u64(s, limit);
	*limit = UINT64_MAX;
	return true;
}

int proc_parse_limits(const char *text, size_t size, struct proc_limits *ret, struct error *err)
{
	struct proc_text t;
	struct scan line;

	*ret = (struct proc_limits){ 0 };
	if (proc_text_open(&t, "limits", text, size, err))
		return -1;
	while (proc_text_next(&t, &line)) {
		unsigned i = 0;

		while (i < PROC_LIMITS && !scan_text(&line, limit_names[i]))
			i++;
		if (i == PROC_LIMITS)
			continue;
		/* Units follow, or nothing. */
		if (!scan_limit(&line, &ret->limit[i].soft) || !scan_blanks(&line) ||
		    !scan_limit(&line, &ret->limit[i].hard) ||
		    (!scan_at_end(&line) && !scan_blanks(&line)))
			return proc_text_error(&t, "bad limit", err);
		ret->present |= 1u << i;
	}
	for (unsigned i = 0; i < PROC_LIMITS; i++)
		if (!(ret->present >> i & 1))
			return error_set(err, ERROR_FAILED, 0, "limits has no line \"%s\"",
					 limit_names[i]);
	return 0;
}

int proc_read_limits(int pid_dir, struct proc_limits *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };

	*ret = (struct proc_limits){ 0 };
	if (proc_read_text(pid_dir, "limits", &buf, err))
		return -1;
	return proc_parse_limits(buf.data, buf.size, ret, err) ? proc_blame(pid_dir, err) : 0;
}
