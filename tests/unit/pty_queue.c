/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What waits in a pseudo-terminal is copied, stays as it was, and is put back into a new one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kinds/enter.h"
#include "kinds/fd/pty.h"

/*
 * No process is held here: batches are run by this one, at the addresses that they were built for.
 */
int dump_enter(struct dump_task *task, struct error *err)
{
	void *area = mmap(NULL, AGENT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);

	assert_ptr_not_equal(area, MAP_FAILED);
	task->agent.address = (uintptr_t)area;
	return 0;
}

int dump_leave(struct dump_task *task, struct error *err)
{
	return munmap((void *)task->agent.address, AGENT_SIZE);
}

int agent_run(struct agent *a, struct tracee *t, struct batch *b, struct error *err)
{
	struct batch_record *records =
		(void *)(agent_batch_address(a) + AGENT_HEADER_SIZE);
	size_t count = b->records.count;

	assert_false(b->overflow);
	memcpy(records, b->records.items, count * sizeof(*records));
	memcpy((void *)agent_data_address(a), b->data, b->data_size);
	for (size_t i = 0; i < count; i++) {
		uint64_t arg[6];
		long r;

		for (int k = 0; k < 6; k++)
			arg[k] = !(records[i].flags >> k & 1) ? records[i].a[k] :
				 (uint64_t)records[records[i].a[k]].result;
		r = syscall(records[i].number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
		records[i].result = r < 0 ? -errno : r;
		if (r < 0 && records[i].flags & BATCH_MUST)
			return error_set(err, ERROR_TARGET, errno, "call %zu", i);
	}
	memcpy(b->records.items, records, count * sizeof(*records));
	memcpy(b->data, (void *)agent_data_address(a), b->data_size);
	return 0;
}

/* Our own table of descriptors. */
uint32_t dump_files_find(struct dump_files *d, pid_t pid, int number)
{
	return fcntl(number, F_GETFD) >= 0;
}

/* ---- terminals ---- */

struct pair {
	int master, slave;
};

static struct pair make_pair(void)
{
	struct pair p = { open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK), -1 };
	int unlock = 0;

	assert_true(p.master >= 0);
	assert_int_equal(ioctl(p.master, TIOCSPTLCK, &unlock), 0);
	p.slave = ioctl(p.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK);
	assert_true(p.slave >= 0);
	return p;
}

static void close_pair(struct pair *p)
{
	close(p->slave);
	close(p->master);
}

static void make_raw(const struct pair *p)
{
	struct termios2 t;

	assert_int_equal(ioctl(p->slave, TCGETS2, &t), 0);
	t.c_iflag = t.c_lflag = 0;
	assert_int_equal(ioctl(p->slave, TCSETS2, &t), 0);
}

static void put(int fd, const void *data, size_t size)
{
	assert_int_equal(write(fd, data, size), size);
	usleep(3000);
}

/* Everything that reads give, each with its length before it, so that lines are told apart. */
static void read_everything(int fd, struct buffer *ret)
{
	char data[8192];
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	while (poll(&poller, 1, 5) > 0) {
		ssize_t size = read(fd, data, sizeof(data));

		if (size < 0)
			return;
		assert_int_equal(buffer_append(ret, &size, sizeof(size)), 0);
		assert_int_equal(buffer_append(ret, data, size), 0);
	}
}

/* Bytes alone: where reads of raw data end is not a matter of the terminal. */
static size_t bytes_of(const struct buffer *reads, char *out)
{
	size_t total = 0;

	for (size_t at = 0; at < reads->size;) {
		ssize_t size;

		memcpy(&size, reads->data + at, sizeof(size));
		memcpy(out + total, reads->data + at + sizeof(size), size);
		total += size;
		at += sizeof(size) + size;
	}
	return total;
}

/* Two ends give the same to read. */
static void expect_same(int fd, const struct buffer *wanted, bool lines)
{
	static char x[65536], y[65536];
	_cleanup_buffer_ struct buffer got = { 0 };

	read_everything(fd, &got);
	if (lines) {
		assert_int_equal(got.size, wanted->size);
		assert_memory_equal(got.data ?: "", wanted->data ?: "", got.size);
		return;
	}
	assert_int_equal(bytes_of(&got, x), bytes_of(wanted, y));
	assert_memory_equal(x, y, bytes_of(wanted, y));
}

static void expect_settings(int fd, const struct termios2 *wanted)
{
	struct termios2 t;

	assert_int_equal(ioctl(fd, TCGETS2, &t), 0);
	assert_memory_equal(&t, wanted, sizeof(t));
}

/* Copies what waits in one pair and puts the copy into another. */
static void copy(const struct pair *from, const struct pair *to)
{
	struct dump d = { 0 };
	struct dump_task task = { .dump = &d };
	struct pty_ends ends = { &task, from->master, from->master, from->slave,
				 O_RDWR | O_NONBLOCK, false, false };
	_cleanup_pty_queue_ struct pty_queue queue = { 0 };
	_cleanup_error_ struct error err = ERROR_INIT;
	PtyMaster m = PTY_MASTER__INIT;
	struct termios2 settings;

	array_add(&task.threads);
	assert_int_equal(ioctl(from->slave, TCGETS2, &settings), 0);
	assert_int_equal(pty_queue_copy(&ends, &settings, &queue, &err), 0);
	expect_settings(from->slave, &settings);
	m.input = (ProtobufCBinaryData){ queue.input.size, (uint8_t *)queue.input.data };
	m.output = (ProtobufCBinaryData){ queue.output.size, (uint8_t *)queue.output.data };
	m.output_stopped = queue.stopped;
	assert_int_equal(pty_queue_refill(to->master, to->slave, &m, &settings, &err), 0);
	expect_settings(to->slave, &settings);
	array_release(&task.threads);
}

/* Compares three: a pair left alone, one that was copied, and the one that got the copy. */
static void expect_copy(void (*fill)(const struct pair *p), bool lines)
{
	struct pair alone = make_pair(), copied = make_pair(), fresh = make_pair();
	_cleanup_buffer_ struct buffer input = { 0 }, output = { 0 };

	fill(&alone);
	fill(&copied);
	copy(&copied, &fresh);
	read_everything(alone.slave, &input);
	expect_same(copied.slave, &input, lines);
	expect_same(fresh.slave, &input, lines);
	read_everything(alone.master, &output);
	expect_same(copied.master, &output, false);
	expect_same(fresh.master, &output, false);
	close_pair(&alone);
	close_pair(&copied);
	close_pair(&fresh);
}

/* ---- cases ---- */

static void fill_nothing(const struct pair *p)
{
}

static void fill_lines(const struct pair *p)
{
	put(p->master, "one\n\ntwo\n", 9);
}

static void fill_incomplete(const struct pair *p)
{
	put(p->master, "incompl", 7);
}

static void fill_both(const struct pair *p)
{
	int echoed = 0;

	put(p->master, "one\ntwo\nthr", 11);
	/* "\n" is echoed as "\r\n" */
	while (echoed < 13) {
		assert_int_equal(ioctl(p->master, FIONREAD, &echoed), 0);
		usleep(1000);
	}
	put(p->slave, "answer\n$ ", 9);
}

static void fill_ends(const struct pair *p)
{
	put(p->master, "abc\004def\n\004\004tail", 14);
}

static void fill_quoted(const struct pair *p)
{
	put(p->master, "a\026\004b\026\003c\376d\n\026\026e", 13);
}

/* Every control character, typed behind ^V: also those that mark something during the copy. */
static void fill_control_characters(const struct pair *p)
{
	for (char c = 1; c < ' '; c++) {
		const char quoted[2] = { '\026', c };

		if (c != '\n')
			put(p->master, quoted, 2);
		if (c % 10 == 0)
			put(p->master, "\n", 1);
	}
}

static void fill_many_lines(const struct pair *p)
{
	for (int i = 0; i < 100; i++)
		put(p->master, i % 9 ? "line\n" : "end\004", i % 9 ? 5 : 4);
}

static void fill_other_ends(const struct pair *p)
{
	struct termios2 t;

	assert_int_equal(ioctl(p->slave, TCGETS2, &t), 0);
	t.c_cc[VEOL] = ';';
	assert_int_equal(ioctl(p->slave, TCSETS2, &t), 0);
	put(p->master, "a;b;c\nd", 7);
}

static void fill_raw(const struct pair *p)
{
	make_raw(p);
	put(p->master, "\0\004\003\r\n\177raw\376", 10);
}

static void fill_raw_more(const struct pair *p)
{
	char data[3000];

	make_raw(p);
	memset(data, 'x', sizeof(data));
	put(p->master, data, sizeof(data));
}

/* Writes a sequence until no more is taken; returns how much was. */
static size_t flood(int fd, size_t piece)
{
	size_t total = 0;

	for (int idle = 0; idle < 10;) {
		char data[256];
		ssize_t r;

		for (size_t i = 0; i < piece; i++)
			data[i] = 'a' + (total + i) % 23;
		r = write(fd, data, piece);
		total += r > 0 ? r : 0;
		idle = r > 0 ? 0 : idle + 1;
		if (r <= 0)
			usleep(2000);
	}
	return total;
}

static void expect_flood(int fd, size_t total)
{
	static char text[65536];
	_cleanup_buffer_ struct buffer got = { 0 };

	read_everything(fd, &got);
	assert_int_equal(bytes_of(&got, text), total);
	for (size_t i = 0; i < total; i++)
		assert_int_equal(text[i], 'a' + i % 23);
}

static void test_output_to_the_brim(void **state)
{
	struct pair from = make_pair(), to = make_pair();
	size_t total = flood(from.slave, 100);

	assert_true(total > 8192);
	copy(&from, &to);
	expect_flood(from.master, total);
	expect_flood(to.master, total);
	close_pair(&from);
	close_pair(&to);
}

static void test_input_to_the_brim(void **state)
{
	struct pair from = make_pair(), to = make_pair();
	size_t total;

	make_raw(&from);
	total = flood(from.master, 64);
	assert_true(total > 8192);
	copy(&from, &to);
	expect_flood(from.slave, total);
	expect_flood(to.slave, total);
	close_pair(&from);
	close_pair(&to);
}

static void fill_stopped(const struct pair *p)
{
	put(p->slave, "before", 6);
	put(p->master, "\023", 1);
}

#define CASE(name, lines)                              \
	static void test_##name(void **state)          \
	{                                              \
		expect_copy(fill_##name, lines);       \
	}

CASE(nothing, true)
CASE(lines, true)
CASE(incomplete, true)
CASE(both, true)
CASE(ends, true)
CASE(quoted, true)
CASE(many_lines, true)
CASE(control_characters, true)
CASE(other_ends, true)
CASE(raw, false)
CASE(raw_more, false)
CASE(stopped, false)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_incomplete),
		cmocka_unit_test(test_both),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_quoted),
		cmocka_unit_test(test_many_lines),
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_other_ends),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_raw_more),
		cmocka_unit_test(test_output_to_the_brim),
		cmocka_unit_test(test_input_to_the_brim),
		cmocka_unit_test(test_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
