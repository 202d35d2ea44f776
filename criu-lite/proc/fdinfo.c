/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/fdinfo.h"

#include <errno.h>
#include <stdio.h>

/* s_dev of the kernel in one number: 12 bits major, 20 bits minor. */
static bool scan_kernel_device(struct scan *s, uint32_t *dev_major, uint32_t *dev_minor)
{
	uint32_t device;

	if (!scan_hex32(s, &device))
		return false;
	*dev_major = device >> 20;
	*dev_minor = device & 0xfffff;
	return true;
}

static bool scan_key(struct scan *s, const char *key)
{
	scan_blanks(s);
	if (!scan_text(s, key))
		return false;
	scan_blanks(s);
	return true;
}

/* "  tfd:        5 events:       19 data:                5  pos:0 ino:3d sdev:7" */
static bool scan_epoll(struct scan *s, struct fdinfo_epoll *item)
{
	if (!scan_int(s, &item->fd) || !scan_key(s, "events:") || !scan_hex32(s, &item->events) ||
	    !scan_key(s, "data:") || !scan_hex64(s, &item->data))
		return false;
	if (!scan_key(s, "pos:"))
		return true;
	item->has_file = true;
	return scan_i64(s, &item->pos) && scan_key(s, "ino:") && scan_hex64(s, &item->inode) &&
	       scan_key(s, "sdev:") &&
	       scan_kernel_device(s, &item->dev_major, &item->dev_minor);
}

static bool scan_handle(struct scan *s, struct fdinfo_inotify *item)
{
	if (!scan_hex32(s, &item->handle_size) || item->handle_size > FDINFO_HANDLE_MAX ||
	    !scan_key(s, "fhandle-type:") || !scan_hex32(s, &item->handle_type) ||
	    !scan_key(s, "f_handle:"))
		return false;
	for (uint32_t i = 0; i < item->handle_size; i++) {
		unsigned high, low;

		if (scan_left(s) < 2)
			return false;
		high = scan_digit_value(s->at[0]);
		low = scan_digit_value(s->at[1]);
		if (high > 15 || low > 15)
			return false;
		item->handle[i] = high << 4 | low;
		s->at += 2;
	}
	item->has_handle = true;
	return true;
}

/* "inotify wd:1 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 …" */
static bool scan_inotify(struct scan *s, struct fdinfo_inotify *item)
{
	uint32_t wd;

	if (!scan_key(s, "wd:") || !scan_hex32(s, &wd) || wd > INT32_MAX || !scan_key(s, "ino:") ||
	    !scan_hex64(s, &item->inode) || !scan_key(s, "sdev:") ||
	    !scan_kernel_device(s, &item->dev_major, &item->dev_minor) || !scan_key(s, "mask:") ||
	    !scan_hex32(s, &item->mask) || !scan_key(s, "ignored_mask:") ||
	    !scan_hex32(s, &item->ignored_mask))
		return false;
	item->wd = wd;
	return scan_key(s, "fhandle-bytes:") ? scan_handle(s, item) : true;
}

/* "(seconds, nanoseconds)" */
static bool scan_time(struct scan *s, struct timespec *time)
{
	int64_t seconds;
	uint32_t nanoseconds;

	if (!scan_char(s, '(') || !scan_i64(s, &seconds) || !scan_text(s, ", ") ||
	    !scan_u32(s, &nanoseconds) || nanoseconds >= 1000000000 || !scan_char(s, ')'))
		return false;
	*time = (struct timespec){ .tv_sec = seconds, .tv_nsec = nanoseconds };
	return true;
}

static bool scan_bool(struct scan *s, bool *ret)
{
	uint32_t value;

	if (!scan_u32(s, &value))
		return false;
	*ret = value != 0;
	return true;
}

static bool scan_tun_name(struct scan *s, char name[16])
{
	size_t size = scan_left(s);

	if (size >= 16)
		return false;
	memcpy(name, s->at, size);
	name[size] = '\0';
	s->at = s->end;
	return true;
}

enum line_type {
	LINE_POS, LINE_FLAGS, LINE_MNT_ID, LINE_INO, LINE_SCM_FDS, LINE_EVENTFD, LINE_EVENTFD_ID,
	LINE_EVENTFD_SEMAPHORE, LINE_CLOCK, LINE_TICKS, LINE_SETTIME, LINE_VALUE, LINE_INTERVAL,
	LINE_SIGMASK, LINE_EPOLL, LINE_INOTIFY, LINE_LOCK, LINE_PID, LINE_NS_PID, LINE_TUN,
	LINE_TTY, LINE_MARK,
};

static const struct line_row {
	const char *key;
	enum line_type type;
	uint32_t present;
} line_rows[] = {
	{ "pos:", LINE_POS, FDINFO_POS },
	{ "flags:", LINE_FLAGS, FDINFO_FLAGS },
	{ "mnt_id:", LINE_MNT_ID, FDINFO_MNT_ID },
	{ "ino:", LINE_INO, FDINFO_INO },
	{ "lock:", LINE_LOCK, 0 },
	{ "scm_fds:", LINE_SCM_FDS, FDINFO_SCM_FDS },
	{ "eventfd-count:", LINE_EVENTFD, FDINFO_EVENTFD },
	{ "eventfd-id:", LINE_EVENTFD_ID, FDINFO_EVENTFD_ID },
	{ "eventfd-semaphore:", LINE_EVENTFD_SEMAPHORE, FDINFO_EVENTFD_SEMAPHORE },
	{ "clockid:", LINE_CLOCK, FDINFO_TIMERFD },
	{ "ticks:", LINE_TICKS, FDINFO_TIMERFD },
	{ "settime flags:", LINE_SETTIME, FDINFO_TIMERFD },
	{ "it_value:", LINE_VALUE, FDINFO_TIMERFD },
	{ "it_interval:", LINE_INTERVAL, FDINFO_TIMERFD },
	{ "sigmask:", LINE_SIGMASK, FDINFO_SIGNALFD },
	{ "tfd:", LINE_EPOLL, FDINFO_EPOLL },
	{ "inotify wd:", LINE_INOTIFY, FDINFO_INOTIFY },
	{ "fanotify ", LINE_MARK, FDINFO_FANOTIFY },
	{ "Pid:", LINE_PID, FDINFO_PIDFD },
	{ "NSpid:", LINE_NS_PID, FDINFO_PIDFD_NS },
	{ "iff:", LINE_TUN, FDINFO_TUN },
	{ "tty-index:", LINE_TTY, FDINFO_TTY },
	{ "API:", LINE_MARK, FDINFO_USERFAULTFD },
	{ "prog_type:", LINE_MARK, FDINFO_BPF },
	{ "map_type:", LINE_MARK, FDINFO_BPF },
	{ "link_type:", LINE_MARK, FDINFO_BPF },
};

/* Grows an array and scans into the new element; a lack of memory shows in errno. */
#define scan_item(array, scanner, s)                                              \
	({                                                                        \
		__typeof__((array)->items) _item = array_add(array);              \
		if (!_item)                                                       \
			errno = ENOMEM;                                           \
		_item && scanner(s, _item);                                       \
	})

static bool scan_line(struct scan *s, enum line_type type, struct proc_fdinfo *ret)
{
	switch (type) {
	case LINE_POS:
		return scan_i64(s, &ret->pos);
	case LINE_FLAGS:
		return scan_octal32(s, &ret->flags);
	case LINE_MNT_ID:
		return scan_int(s, &ret->mnt_id);
	case LINE_INO:
		return scan_u64(s, &ret->ino);
	case LINE_SCM_FDS:
		return scan_u32(s, &ret->scm_fds);
	case LINE_EVENTFD:
		return scan_hex64(s, &ret->eventfd_count);
	case LINE_EVENTFD_ID:
		return scan_int(s, &ret->eventfd_id);
	case LINE_EVENTFD_SEMAPHORE:
		return scan_bool(s, &ret->eventfd_semaphore);
	case LINE_CLOCK:
		return scan_int(s, &ret->clock_id);
	case LINE_TICKS:
		return scan_u64(s, &ret->timer_ticks);
	case LINE_SETTIME:
		return scan_octal32(s, &ret->timer_flags);
	case LINE_VALUE:
		return scan_time(s, &ret->timer_value);
	case LINE_INTERVAL:
		return scan_time(s, &ret->timer_interval);
	case LINE_SIGMASK:
		return scan_hex64(s, &ret->sigmask);
	case LINE_EPOLL:
		return scan_item(&ret->epoll, scan_epoll, s);
	case LINE_INOTIFY:
		return scan_item(&ret->inotify, scan_inotify, s);
	case LINE_LOCK:
		return scan_item(&ret->locks, proc_scan_lock, s);
	case LINE_PID:
		return scan_int(s, &ret->pid);
	case LINE_NS_PID:
		return proc_scan_ns_ids(s, &ret->ns_pid);
	case LINE_TUN:
		return scan_tun_name(s, ret->tun_name);
	case LINE_TTY:
		return scan_int(s, &ret->tty_index);
	case LINE_MARK:
		s->at = s->end;
		return true;
	}
	return false;
}

static int parse_line(struct proc_text *t, struct scan line, struct proc_fdinfo *ret,
		      struct error *err)
{
	scan_blanks(&line);
	for (size_t i = 0; i < ARRAY_SIZE(line_rows); i++) {
		const struct line_row *row = &line_rows[i];

		if (!scan_text(&line, row->key))
			continue;
		/* The key of an inotify line is the first of its pairs: give it back. */
		if (row->type == LINE_INOTIFY)
			line.at -= strlen("wd:");
		scan_blanks(&line);
		errno = 0;
		if (!scan_line(&line, row->type, ret) || !scan_finished(&line)) {
			if (errno == ENOMEM)
				return error_set(err, ERROR_FAILED, ENOMEM, "%s", t->file);
			return proc_text_error(t, "bad value", err);
		}
		ret->present |= row->present;
		return 0;
	}
	return 0;
}

static int parse_file(const char *file, const char *text, size_t size, struct proc_fdinfo *ret,
		      struct error *err)
{
	_cleanup_proc_fdinfo_ struct proc_fdinfo info = { 0 };
	struct proc_text t;
	struct scan line;

	*ret = (struct proc_fdinfo){ 0 };
	if (proc_text_open(&t, file, text, size, err))
		return -1;
	while (proc_text_next(&t, &line))
		if (parse_line(&t, line, &info, err))
			return -1;
	if (!proc_fdinfo_has(&info, FDINFO_POS | FDINFO_FLAGS))
		return error_set(err, ERROR_FAILED, 0, "%s has no position or no flags", file);
	*ret = info;
	info = (struct proc_fdinfo){ 0 };
	return 0;
}

int proc_parse_fdinfo(const char *text, size_t size, struct proc_fdinfo *ret, struct error *err)
{
	return parse_file("fdinfo", text, size, ret, err);
}

int proc_read_fdinfo(int pid_dir, int fd, struct proc_fdinfo *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };
	char file[32];

	*ret = (struct proc_fdinfo){ 0 };
	snprintf(file, sizeof(file), "fdinfo/%d", fd);
	if (proc_read_text(pid_dir, file, &buf, err))
		return -1;
	return parse_file(file, buf.data, buf.size, ret, err) ? proc_blame(pid_dir, err) : 0;
}

void proc_fdinfo_release(struct proc_fdinfo *info)
{
	array_release(&info->epoll);
	array_release(&info->inotify);
	array_release(&info->locks);
}
