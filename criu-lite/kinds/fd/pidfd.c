/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pidfd_open(2): a process of the tree. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "images/pidfd.pb-c.h"
#include "kinds/files.h"

enum { THREAD_FLAG = O_EXCL };	/* PIDFD_THREAD */

static bool pidfd_recognise(const struct fd_look *look)
{
	return proc_fdinfo_has(&look->info, FDINFO_PIDFD) && strstr(look->link, "[pidfd]");
}

/* A child that has ended is no process to look at any more, but is saved as well. */
static bool zombie_of_tree(const struct fd_scan *scan, pid_t pid)
{
	_cleanup_error_ struct error ignored = ERROR_INIT;
	_cleanup_fd_ int proc_fd = -1;
	struct proc_stat stat;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	proc_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return proc_fd >= 0 && !proc_read_stat(proc_fd, &stat, &ignored) && stat.state == 'Z' &&
	       fd_scan_has_process(scan, stat.ppid);
}

static int pidfd_check_tree(const struct fd_scan *scan, const struct fd_look *look,
			    struct blockers *blockers, struct error *err)
{
	pid_t pid = look->info.pid;
	const char *reason, *remedy = NULL;

	if (pid > 0 && (fd_scan_has_process(scan, pid) || zombie_of_tree(scan, pid)))
		return 0;
	if (pid < 0)
		reason = "the process that it names is gone";
	else if (look->info.flags & THREAD_FLAG)
		reason = "it names a thread";
	else
		reason = "it names a process outside of the tree";
	if (pid < 0)
		remedy = "let the program close it";
	if (blockers_add(blockers, look->pid, reason, remedy, "descriptor %d (%s)", look->number,
			 look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

static int pidfd_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	Pidfd m = PIDFD__INIT;
	FileCommon common;

	if (!fd_scan_has_process(dump_files_tree(d), f->look.info.pid))
		return error_set(err, ERROR_BLOCKED, 0, "%s names a process outside of the tree",
				 dump_file_name(f));
	if (dump_file_common(d, f, &common, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	m.pid = f->look.info.pid;
	return dump_file_message(d, f, &m.base, err);
}

static int pidfd_verify(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Pidfd *m = (const Pidfd *)f->message;
	struct restore *run = restore_files_run(r);

	for (size_t i = 0; i < run->tasks.count; i++)
		if (run->tasks.items[i]->pid == (pid_t)m->pid)
			return 0;
	return error_set(err, ERROR_IMAGE, 0, "there is no process %u", m->pid);
}

static int pidfd_plan(struct restore_files *r, struct restore_file *f, struct batch *b,
		      struct error *err)
{
	const Pidfd *m = (const Pidfd *)f->message;

	return batch_must(b, SYS_pidfd_open, m->pid,
			  m->common->flags & (O_NONBLOCK | THREAD_FLAG));
}

static const struct file_ops pidfd_file = {
	.recognise = pidfd_recognise,
	.check_tree = pidfd_check_tree,
	.dump = pidfd_dump,
	.verify = pidfd_verify,
	.plan = pidfd_plan,
};

const struct kind pidfd_kind = {
	.name = "pidfd",
	.record = 0x10c,
	.scope = KIND_FILE,
	.message = &pidfd__descriptor,
	.help = "pidfds of processes of the tree",
	.file = &pidfd_file,
};
