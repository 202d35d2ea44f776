/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/syscall.h"

#include "base/array.h"

static bool scan_argument(struct scan *s, uint64_t *ret)
{
	return scan_text(s, " 0x") && scan_hex64(s, ret);
}

static bool scan_call(struct scan *s, struct proc_syscall *ret)
{
	if (scan_text(s, "running"))
		return true;
	if (!scan_int(s, &ret->number))
		return false;
	ret->state = ret->number == -1 ? PROC_SYSCALL_NONE : PROC_SYSCALL_BLOCKED;
	if (ret->state == PROC_SYSCALL_BLOCKED)
		for (size_t i = 0; i < ARRAY_SIZE(ret->args); i++)
			if (!scan_argument(s, &ret->args[i]))
				return false;
	return scan_argument(s, &ret->sp) && scan_argument(s, &ret->pc);
}

int proc_parse_syscall(const char *text, size_t size, struct proc_syscall *ret,
		       struct error *err)
{
	struct proc_text t;
	struct scan line;

	*ret = (struct proc_syscall){ 0 };
	if (proc_text_open(&t, "syscall", text, size, err))
		return -1;
	if (!proc_text_next(&t, &line))
		return error_set(err, ERROR_FAILED, 0, "syscall is empty");
	if (!scan_call(&line, ret) || !scan_at_end(&line))
		return proc_text_error(&t, "not a system call", err);
	return 0;
}

int proc_read_syscall(int pid_dir, struct proc_syscall *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };

	*ret = (struct proc_syscall){ 0 };
	if (proc_read_text(pid_dir, "syscall", &buf, err))
		return -1;
	return proc_parse_syscall(buf.data, buf.size, ret, err) ? proc_blame(pid_dir, err) : 0;
}
