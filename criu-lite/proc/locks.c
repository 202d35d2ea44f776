/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/locks.h"

#include <errno.h>
#include <fcntl.h>

static bool scan_type(struct scan *s, struct proc_lock *ret)
{
	static const struct {
		const char *name;
		enum proc_lock_type type;
	} names[] = {
		{ "POSIX", PROC_LOCK_POSIX }, { "OFDLCK", PROC_LOCK_OFD },
		{ "FLOCK", PROC_LOCK_FLOCK }, { "LEASE", PROC_LOCK_LEASE },
		{ "DELEG", PROC_LOCK_DELEG },
	};
	struct scan word;

	scan_blanks(s);
	ret->blocked = scan_text(s, "->");
	scan_blanks(s);
	if (!scan_word(s, &word))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (scan_is(&word, names[i].name))
			ret->type = names[i].type;
	return true;
}

/* ADVISORY, MANDATORY, ACTIVE, BREAKING … and READ, WRITE, UNLCK */
static bool scan_mode(struct scan *s, struct proc_lock *ret)
{
	struct scan sort, mode;

	if (!scan_blanks(s) || !scan_word(s, &sort) || !scan_blanks(s) || !scan_word(s, &mode))
		return false;
	ret->breaking = scan_is(&sort, "BREAKING") || scan_is(&sort, "BREAKER");
	ret->mode = scan_is(&mode, "WRITE")  ? F_WRLCK
		    : scan_is(&mode, "READ") ? F_RDLCK
					     : F_UNLCK;
	return true;
}

/* "fe:01:4711", or "<none>:0" for a lock whose file is gone */
static bool scan_file(struct scan *s, struct proc_lock *ret)
{
	if (scan_text(s, "<none>:"))
		return scan_u64(s, &ret->inode);
	ret->has_file = true;
	return scan_hex32(s, &ret->dev_major) && scan_char(s, ':') &&
	       scan_hex32(s, &ret->dev_minor) && scan_char(s, ':') && scan_u64(s, &ret->inode);
}

bool proc_scan_lock(struct scan *s, struct proc_lock *ret)
{
	if (!scan_u64(s, &ret->id) || !scan_char(s, ':') || !scan_type(s, ret) ||
	    !scan_mode(s, ret) || !scan_blanks(s) || !scan_int(s, &ret->pid) || !scan_blanks(s) ||
	    !scan_file(s, ret) || !scan_blanks(s) || !scan_u64(s, &ret->start) || !scan_blanks(s))
		return false;
	if (scan_text(s, "EOF"))
		ret->end = UINT64_MAX;
	else if (!scan_u64(s, &ret->end))
		return false;
	return ret->start <= ret->end && scan_finished(s);
}

int proc_parse_locks(const char *text, size_t size, struct proc_locks *ret, struct error *err)
{
	_cleanup_proc_locks_ struct proc_locks locks = { 0 };
	struct proc_text t;
	struct scan line;

	*ret = (struct proc_locks){ 0 };
	if (proc_text_open(&t, "locks", text, size, err))
		return -1;
	while (proc_text_next(&t, &line)) {
		struct proc_lock *lock = array_add(&locks.items);

		if (!lock)
			return error_set(err, ERROR_FAILED, ENOMEM, "locks");
		if (!proc_scan_lock(&line, lock))
			return proc_text_error(&t, "not a lock", err);
	}
	*ret = locks;
	locks = (struct proc_locks){ 0 };
	return 0;
}

int proc_read_locks(int proc_dir, struct proc_locks *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };

	*ret = (struct proc_locks){ 0 };
	if (proc_read_text(proc_dir, "locks", &buf, err))
		return -1;
	return proc_parse_locks(buf.data, buf.size, ret, err) ? proc_blame(proc_dir, err) : 0;
}

void proc_locks_release(struct proc_locks *locks)
{
	array_release(&locks->items);
}
