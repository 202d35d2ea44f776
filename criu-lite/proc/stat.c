/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/stat.h"

#include <errno.h>

#include "base/array.h"
#include "base/cleanup.h"

/* Fields 4 to 52 in the order of the line. */
static const struct stat_field {
	uint16_t offset;
	uint8_t size;
	bool is_signed;
} stat_fields[] = {
#define FIELD_TYPE(name) __typeof__(((struct proc_stat *)0)->name)
#define FIELD(name) \
	{ offsetof(struct proc_stat, name), sizeof(FIELD_TYPE(name)), (FIELD_TYPE(name))-1 < 1 }
	FIELD(ppid), FIELD(pgrp), FIELD(session), FIELD(tty_nr), FIELD(tty_pgrp), FIELD(flags),
	FIELD(minor_faults), FIELD(child_minor_faults), FIELD(major_faults),
	FIELD(child_major_faults), FIELD(user_time), FIELD(system_time), FIELD(child_user_time),
	FIELD(child_system_time), FIELD(priority), FIELD(nice), FIELD(num_threads),
	FIELD(it_real_value), FIELD(start_time), FIELD(vsize), FIELD(rss), FIELD(rss_limit),
	FIELD(start_code), FIELD(end_code), FIELD(start_stack), FIELD(esp), FIELD(eip),
	FIELD(pending), FIELD(blocked), FIELD(ignored), FIELD(caught), FIELD(wchan),
	FIELD(pages_swapped), FIELD(child_pages_swapped), FIELD(exit_signal), FIELD(processor),
	FIELD(rt_priority), FIELD(policy), FIELD(block_io_delay), FIELD(guest_time),
	FIELD(child_guest_time), FIELD(start_data), FIELD(end_data), FIELD(start_brk),
	FIELD(arg_start), FIELD(arg_end), FIELD(env_start), FIELD(env_end), FIELD(exit_code),
#undef FIELD
#undef FIELD_TYPE
};

static bool scan_field(struct scan *s, const struct stat_field *field, struct proc_stat *ret)
{
	char *at = (char *)ret + field->offset;

	if (field->size == 8)
		return field->is_signed ? scan_i64(s, (int64_t *)at) : scan_u64(s, (uint64_t *)at);
	return field->is_signed ? scan_int(s, (int32_t *)at) : scan_u32(s, (uint32_t *)at);
}

bool proc_scan_comm(struct scan *s, const char *end, char ret[PROC_COMM_SIZE])
{
	char comm[2 * PROC_COMM_SIZE];
	size_t size = end - s->at;

	if (size > sizeof(comm))
		return false;
	memcpy(comm, s->at, size);
	size = proc_unescape_comm(comm, size);
	if (size >= PROC_COMM_SIZE)
		return false;
	memcpy(ret, comm, size);
	ret[size] = '\0';
	s->at = end;
	return true;
}

/* "(name) ": the last ")" of the line ends the name. */
static bool scan_name(struct scan *s, char ret[PROC_COMM_SIZE])
{
	const char *close;

	if (!scan_char(s, '(') || scan_at_end(s))
		return false;
	close = memrchr(s->at, ')', scan_left(s));
	return close && proc_scan_comm(s, close, ret) && scan_text(s, ") ");
}

int proc_parse_stat(const char *text, size_t size, struct proc_stat *ret, struct error *err)
{
	const struct stat_field *field;
	struct proc_text t;
	struct scan s;

	*ret = (struct proc_stat){ 0 };
	if (proc_text_open(&t, "stat", text, size, err))
		return -1;
	/* One line, even if the name should hold a newline. */
	s = t.line = (struct scan){ t.at, t.end - (size > 0) };
	t.line_number = 1;
	if (!scan_int(&s, &ret->pid) || !scan_char(&s, ' '))
		return proc_text_error(&t, "no process id", err);
	if (!scan_name(&s, ret->comm))
		return proc_text_error(&t, "no name, or one without an end", err);
	if (scan_at_end(&s))
		return proc_text_error(&t, "no state", err);
	ret->state = *s.at++;
	for (field = stat_fields; field < stat_fields + ARRAY_SIZE(stat_fields); field++)
		if (!scan_char(&s, ' ') || !scan_field(&s, field, ret))
			return proc_text_error(&t, "a field is missing or no number", err);
	if (!scan_at_end(&s) && *s.at != ' ')
		return proc_text_error(&t, "a field is no number", err);
	return 0;
}

int proc_read_stat(int pid_dir, struct proc_stat *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };

	if (proc_read_text(pid_dir, "stat", &buf, err))
		return -1;
	return proc_parse_stat(buf.data, buf.size, ret, err) ? proc_blame(pid_dir, err) : 0;
}

int proc_stat_of(pid_t pid, struct proc_stat *ret, struct error *err)
{
	_cleanup_fd_ int dir = proc_open(pid);

	if (dir < 0)
		return error_set(err, errno == ENOENT ? ERROR_DIED : ERROR_TARGET, errno,
				 "process %d", pid);
	return proc_read_stat(dir, ret, err);
}
