/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc_fuzz.h"

#include "proc/fdinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct fdinfo_inotify *watch;
	struct proc_fdinfo info;
	struct proc_lock *lock;

	if (accepted(proc_parse_fdinfo((const char *)data, size, &info, &err), &err)) {
		must(proc_fdinfo_has(&info, FDINFO_POS | FDINFO_FLAGS));
		must(proc_fdinfo_has(&info, FDINFO_EPOLL) == (info.epoll.count > 0));
		must(memchr(info.tun_name, '\0', sizeof(info.tun_name)) != NULL);
		must(info.timer_value.tv_nsec < 1000000000);
		array_for(watch, &info.inotify)
			must(watch->handle_size <= FDINFO_HANDLE_MAX && watch->wd >= 0);
		array_for(lock, &info.locks)
			must(lock->start <= lock->end);
	}
	proc_fdinfo_release(&info);
	return 0;
}
