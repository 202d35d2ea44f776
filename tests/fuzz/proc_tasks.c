/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/syscall.h"
#include "proc/tasks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	const char *text = (const char *)data;
	struct pid_list list = { 0 };
	struct proc_syscall call;

	accepted(proc_parse_children(text, size, &list, &err), &err);
	must(list.pids.count <= size);
	pid_list_release(&list);
	if (accepted(proc_parse_syscall(text, size, &call, &err), &err))
		must(call.state == PROC_SYSCALL_RUNNING ||
		     (call.number == -1) == (call.state == PROC_SYSCALL_NONE));
	return 0;
}
