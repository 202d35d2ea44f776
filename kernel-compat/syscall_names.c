/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel-compat/syscall_names.h"

#include <sys/syscall.h>

/* Made from the C library's numbers by the Makefile: one "[SYS_name] = "name"," a line. */
static const char *const names[] = {
#include "kernel-compat/syscall_names.inc"
};

const char *syscall_name(long number)
{
	if (number >= 0 && number < (long)(sizeof(names) / sizeof(names[0])) && names[number])
		return names[number];
	return "unknown system call";
}
