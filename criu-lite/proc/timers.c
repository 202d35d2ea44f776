/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/timers.h"

#include <errno.h>

/* "signal/tid.1234" */
static bool scan_notify(struct scan *s, struct proc_timer *timer)
{
	if (scan_text(s, "signal/"))
		timer->notify = SIGEV_SIGNAL;
	else if (scan_text(s, "none/"))
		timer->notify = SIGEV_NONE;
	else if (scan_text(s, "thread/"))
		timer->notify = SIGEV_THREAD;
	else
		return false;
	if (scan_text(s, "tid."))
		timer->notify |= SIGEV_THREAD_ID;
	else if (!scan_text(s, "pid."))
		return false;
	return scan_int(s, &timer->target);
}

/* One line of a timer's four; unknown ones are passed over. */
static bool scan_line(struct scan *s, struct proc_timer *timer, unsigned *seen)
{
	if (scan_text(s, "signal: ")) {
		*seen |= 1;
		return scan_int(s, &timer->signal) && scan_char(s, '/') &&
		       scan_hex64(s, &timer->value) && scan_at_end(s);
	}
	if (scan_text(s, "notify: ")) {
		*seen |= 2;
		return scan_notify(s, timer) && scan_at_end(s);
	}
	if (scan_text(s, "ClockID: ")) {
		*seen |= 4;
		return scan_int(s, &timer->clock_id) && scan_at_end(s);
	}
	return true;
}

int proc_parse_timers(const char *text, size_t size, struct proc_timers *ret, struct error *err)
{
	_cleanup_proc_timers_ struct proc_timers timers = { 0 };
	struct proc_timer *timer = NULL;
	struct proc_text t;
	struct scan line;
	unsigned seen = 7;

	*ret = (struct proc_timers){ 0 };
	if (proc_text_open(&t, "timers", text, size, err))
		return -1;
	while (proc_text_next(&t, &line)) {
		if (scan_text(&line, "ID: ")) {
			if (seen != 7)
				return proc_text_error(&t, "the timer before is not whole", err);
			timer = array_add(&timers.items);
			if (!timer)
				return error_set(err, ERROR_FAILED, ENOMEM, "timers");
			seen = 0;
			if (!scan_int(&line, &timer->id) || !scan_at_end(&line))
				return proc_text_error(&t, "bad timer id", err);
		} else if (!timer || !scan_line(&line, timer, &seen)) {
			return proc_text_error(&t, "not a timer", err);
		}
	}
	if (seen != 7)
		return proc_text_error(&t, "the last timer is not whole", err);
	*ret = timers;
	timers = (struct proc_timers){ 0 };
	return 0;
}

int proc_read_timers(int pid_dir, struct proc_timers *ret, struct error *err)
{
	_cleanup_buffer_ struct buffer buf = { 0 };

	*ret = (struct proc_timers){ 0 };
	if (proc_read_text(pid_dir, "timers", &buf, err))
		return -1;
	return proc_parse_timers(buf.data, buf.size, ret, err) ? proc_blame(pid_dir, err) : 0;
}

void proc_timers_release(struct proc_timers *timers)
{
	array_release(&timers->items);
}
