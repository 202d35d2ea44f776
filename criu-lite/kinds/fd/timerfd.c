/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * timerfd_create(2): a timer keeps the rest of its time, one that was set to a moment of the real
 * clock keeps that moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "images/timerfd.pb-c.h"
#include "kinds/files.h"

#define SECOND 1000000000ull
/* linux/timerfd.h cannot be included beside sys/timerfd.h. */
#define SET_TICKS _IOW('T', 0, uint64_t)

static bool timerfd_recognise(const struct fd_look *look)
{
	return !strcmp(look->link, "anon_inode:[timerfd]") &&
	       proc_fdinfo_has(&look->info, FDINFO_TIMERFD);
}

static uint64_t to_ns(const struct timespec *time)
{
	return time->tv_sec * SECOND + time->tv_nsec;
}

static struct timespec from_ns(uint64_t ns)
{
	return (struct timespec){ .tv_sec = ns / SECOND, .tv_nsec = ns % SECOND };
}

/* Alarm clocks count as those that they wake from sleep for. */
static clockid_t readable_clock(int clock)
{
	if (clock == CLOCK_REALTIME_ALARM)
		return CLOCK_REALTIME;
	return clock == CLOCK_BOOTTIME_ALARM ? CLOCK_BOOTTIME : clock;
}

static int clock_ns(int clock, uint64_t *ret)
{
	struct timespec now;

	if (clock_gettime(readable_clock(clock), &now))
		return -1;
	*ret = to_ns(&now);
	return 0;
}

/* Time left and expirations that belong together. Asking for the time makes the kernel count the
 * expirations of an interval timer up to now; if it expires once more between the questions, they
 * are asked again. */
static int take_time(int fd, Timerfd *m, struct error *err)
{
	_cleanup_fd_ int self = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct itimerspec before, after;
	struct proc_fdinfo info;

	do {
		if (timerfd_gettime(fd, &before))
			return error_set(err, ERROR_FAILED, errno, "timerfd_gettime");
		if (proc_read_fdinfo(self, fd, &info, err))
			return -1;
		proc_fdinfo_release(&info);
		if (timerfd_gettime(fd, &after))
			return error_set(err, ERROR_FAILED, errno, "timerfd_gettime");
	} while (to_ns(&after.it_value) > to_ns(&before.it_value));
	m->remaining_ns = to_ns(&before.it_value);
	m->interval_ns = to_ns(&before.it_interval);
	m->ticks = info.timer_ticks;
	return 0;
}

static int timerfd_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	Timerfd m = TIMERFD__INIT;
	FileCommon common;
	uint64_t now;

	if (dump_file_common(d, f, &common, err) || take_time(f->fd, &m, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	m.clock = f->look.info.clock_id;
	m.settime_flags = f->look.info.timer_flags;
	if (clock_ns(m.clock, &now))
		return error_set(err, ERROR_TARGET, errno, "%s: clock %u", dump_file_name(f),
				 m.clock);
	m.expires_ns = now + m.remaining_ns;
	return dump_file_message(d, f, &m.base, err);
}

static int timerfd_plan(struct restore_files *r, struct restore_file *f, struct batch *b,
			struct error *err)
{
	const Timerfd *m = (const Timerfd *)f->message;

	return batch_must(b, SYS_timerfd_create, m->clock,
			  TFD_CLOEXEC | (m->common->flags & O_NONBLOCK));
}

/* The moment to set it to, in the terms of its flags. */
static int expiry(const Timerfd *m, uint64_t *ret)
{
	uint64_t now;

	*ret = m->remaining_ns;
	if (!m->remaining_ns || !(m->settime_flags & TFD_TIMER_ABSTIME))
		return 0;
	*ret = m->expires_ns;
	if (readable_clock(m->clock) == CLOCK_REALTIME)
		return 0;
	if (clock_ns(m->clock, &now))
		return -1;
	*ret = now + m->remaining_ns;
	return 0;
}

static int timerfd_fill(struct restore_files *r, struct restore_file *f, struct error *err)
{
	const Timerfd *m = (const Timerfd *)f->message;
	struct itimerspec time = { .it_interval = from_ns(m->interval_ns) };
	uint64_t value;

	if (expiry(m, &value))
		return error_set(err, ERROR_IMAGE, errno, "clock %u", m->clock);
	time.it_value = from_ns(value);
	if (timerfd_settime(f->fd, m->settime_flags, &time, NULL))
		return error_set(err, ERROR_FAILED, errno, "timerfd_settime");
	if (m->ticks && ioctl(f->fd, SET_TICKS, &m->ticks))
		return error_set(err, ERROR_FAILED, errno, "TFD_IOC_SET_TICKS");
	return 0;
}

static const struct file_ops timerfd_file = {
	.recognise = timerfd_recognise,
	.dump = timerfd_dump,
	.plan = timerfd_plan,
	.fill = timerfd_fill,
};

const struct kind timerfd_kind = {
	.name = "timerfd",
	.record = 0x106,
	.scope = KIND_FILE,
	.message = &timerfd__descriptor,
	.help = "timerfd timers: clock, rest of the time, interval, expirations not read",
	.file = &timerfd_file,
};
