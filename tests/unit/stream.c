/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record stream: what is written comes back, wherever it lies and whoever fails. */
#include <sys/resource.h>

#include "stream_case.h"

static void comes_back(void **state)
{
	static const struct bulk_case cases[] = {
		{ 1, 5000, SIZE_MAX }, { 2, 300000, SIZE_MAX }, { 23, 70000, SIZE_MAX },
		{ 9, 1 << 20, SIZE_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int mode = 0; mode < 6; mode++) {
			struct stream_options options = { .codec = mode & 1, .level = 1,
							  .jobs = mode / 2 * 2 };
			_cleanup_buffer_ struct buffer file = { 0 }, piped = { 0 };
			struct bulk_case c = cases[i];

			write_to_memory(&options, &c, &file);
			write_through_pipe(&options, &c, &piped);
			/* The same records, but for the flags of the seal and the index. */
			assert_true(piped.size < file.size);
			assert_memory_equal(file.data, piped.data,
					    piped.size - SEAL_SIZE - HEADER_SIZE);
			check_reads(&file, options.jobs, true, &c);
			check_reads(&piped, options.jobs, false, &c);
		}
	}
}

/* ---- places ---- */

static void starts_at_the_file_offset(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int fd = memory_file("before", 6);
	struct stream_options options = { .jobs = 2 };
	struct bulk_case c = { 5, 3000, SIZE_MAX };
	char before[6];

	assert_int_equal(lseek(fd, 6, SEEK_SET), 6);
	assert_int_equal(write_image(fd, &options, &c, &err), 0);
	assert_int_equal(pread(fd, before, 6, 0), 6);
	assert_memory_equal(before, "before", 6);
	assert_int_equal(lseek(fd, 6, SEEK_SET), 6);
	if (read_image(fd, 2, true, &c, &err))
		fail_msg("%s", err.message);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 6);
}

static void appends_front_to_back(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int fd = memory_file("before", 6);
	struct stream_options options = { .jobs = 2 };
	struct bulk_case c = { 5, 3000, SIZE_MAX };

	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
	assert_int_equal(write_image(fd, &options, &c, &err), 0);
	assert_int_equal(lseek(fd, 6, SEEK_SET), 6);
	if (read_image(fd, 1, false, &c, &err))
		fail_msg("%s", err.message);
}

static void never_overwrites(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int fd = memory_file("before", 6);
	_cleanup_writer_ struct stream_writer *w = NULL;
	struct stream_options options = { .jobs = 1 };

	assert_int_equal(stream_writer_open(&w, fd, &options, &err), -1);
	assert_int_equal(err.kind, ERROR_FAILED);
	assert_null(w);
}

static void is_the_same_bytes_with_any_jobs(void **state)
{
	struct bulk_case c = { 11, 40000, SIZE_MAX };

	for (int codec = 0; codec < 2; codec++) {
		_cleanup_buffer_ struct buffer one = { 0 }, four = { 0 };
		struct stream_options options = { .codec = codec, .jobs = 1 };

		write_to_memory(&options, &c, &one);
		options.jobs = 4;
		write_to_memory(&options, &c, &four);
		assert_int_equal(one.size, four.size);
		assert_memory_equal(one.data, four.data, one.size);
	}
}

static void compresses(void **state)
{
	_cleanup_buffer_ struct buffer raw = { 0 }, packed = { 0 };
	struct stream_options options = { .codec = CODEC_RAW, .jobs = 1 };
	struct bulk_case c = { 4, 200000, SIZE_MAX };

	write_to_memory(&options, &c, &raw);
	options.codec = CODEC_ZSTD;
	write_to_memory(&options, &c, &packed);
	assert_true(packed.size < raw.size / 4 * 3);
}

/* ---- the index ---- */

static void jumps_by_the_index(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int fd = memory_file("", 0);
	_cleanup_reader_ struct stream_reader *r = NULL;
	struct stream_options options = { .jobs = 2 };
	struct bulk_case c = { 6, 90000, SIZE_MAX };
	unsigned runs = 0, messages = 0;
	struct record record;
	const void *payload;
	size_t size;
	int more;

	assert_int_equal(write_image(fd, &options, &c, &err), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(stream_reader_open(&r, fd, 1, &err), 0);
	assert_int_equal(stream_use_index(r, &err), 1);
	while ((more = stream_next(r, &record, &err)) > 0) {
		if (record.kind != BULK) {
			assert_int_equal(record.run_count, 1);
			messages++;
			continue;
		}
		runs++;
		assert_int_equal(record.run_count, 6);
		assert_int_equal(record.run_size, 4 * 90000 + 2 * 30000);
		assert_int_equal(record.run_stored, record.run_size);
		if (runs == 2)
			break;
	}
	assert_int_equal(stream_next(r, &record, &err), 0);
	assert_int_equal(messages, 8);
	/* What was jumped over cannot be had. */
	assert_int_equal(stream_payload(r, &payload, &size, &err), -1);
	assert_int_equal(err.kind, ERROR_FAILED);
}

static void walks_without_an_index(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct stream_options options = { .jobs = 1 };
	struct bulk_case c = { 6, 900, SIZE_MAX };
	_cleanup_buffer_ struct buffer piped = { 0 };
	_cleanup_reader_ struct stream_reader *r = NULL;
	_cleanup_fd_ int fd = -1;
	struct record record;
	unsigned records = 0;

	write_through_pipe(&options, &c, &piped);
	fd = memory_file(piped.data, piped.size);
	assert_int_equal(stream_reader_open(&r, fd, 1, &err), 0);
	assert_int_equal(stream_use_index(r, &err), 0);
	while (stream_next(r, &record, &err) > 0)
		records++;
	assert_int_equal(err.kind, ERROR_NONE);
	assert_int_equal(records, 8 + 12);
}

/* ---- failures that are not the image's ---- */

static void refuses_what_cannot_be_written(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int fd = memory_file("", 0);
	_cleanup_writer_ struct stream_writer *w = NULL;
	struct stream_options options = { .jobs = 1 };

	assert_int_equal(stream_writer_open(&w, fd, &options, &err), 0);
	assert_int_equal(stream_write_packed(w, RECORD_SEAL, 0, "x", 1, &err), -1);
	error_clear(&err);
	assert_int_equal(stream_write_packed(w, PACKED, 0, "x", RECORD_PAYLOAD_MAX + 1, &err), -1);
	assert_int_equal(err.kind, ERROR_FAILED);
	error_clear(&err);
	assert_int_equal(stream_writer_seal(w, &err), 0);
	assert_int_equal(stream_write_packed(w, PACKED, 0, "x", 1, &err), -1);
	assert_non_null(strstr(err.message, "seal"));
	error_clear(&err);
	assert_int_equal(stream_writer_seal(w, &err), -1);
}

static void reports_what_a_source_says(void **state)
{
	for (int jobs = 1; jobs <= 4; jobs++) {
		for (int codec = 0; codec < 2; codec++) {
			_cleanup_error_ struct error err = ERROR_INIT, again = ERROR_INIT;
			_cleanup_fd_ int fd = memory_file("", 0);
			_cleanup_writer_ struct stream_writer *w = NULL;
			struct stream_options options = { .codec = codec, .jobs = jobs };
			struct bulk_case c = { 20, 5000, 13 };
			struct bulk_source source = { 20, BULK, 0, case_size, case_fill, &c };

			assert_int_equal(stream_writer_open(&w, fd, &options, &err), 0);
			assert_int_equal(stream_write_bulk(w, &source, &err), -1);
			assert_int_equal(err.kind, ERROR_TARGET);
			assert_string_equal(err.message, "chunk 13 is gone");
			assert_int_equal(stream_writer_seal(w, &again), -1);
			assert_int_equal(again.kind, ERROR_FAILED);
		}
	}
}

static void names_a_full_disk(void **state)
{
	for (int mode = 0; mode < 4; mode++) {
		_cleanup_error_ struct error err = ERROR_INIT;
		_cleanup_fd_ int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
		struct stream_options options = { .codec = mode & 1, .jobs = mode & 2 ? 3 : 1 };
		struct bulk_case c = { 20, 5000, SIZE_MAX };

		assert_true(fd >= 0);
		assert_int_equal(write_image(fd, &options, &c, &err), -1);
		assert_int_equal(err.kind, ERROR_FAILED);
		assert_int_equal(err.os_error, ENOSPC);
	}
}

/* With the file cut off at this many thousandths of the image. */
static void write_beyond_limit(const struct stream_options *options, unsigned thousandths)
{
	struct bulk_case c = { 20, 100000, SIZE_MAX };
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int fd = memory_file("", 0);
	_cleanup_buffer_ struct buffer whole = { 0 };
	struct rlimit before, limit;
	int result;

	write_to_memory(options, &c, &whole);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){ whole.size * thousandths / 1000, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	result = write_image(fd, options, &c, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(result, -1);
	assert_int_equal(err.kind, ERROR_FAILED);
	assert_int_equal(err.os_error, EFBIG);
}

static void names_a_file_size_limit(void **state)
{
	static const unsigned thousandths[] = { 0, 30, 300, 700, 950, 999 };

	for (size_t i = 0; i < ARRAY_SIZE(thousandths); i++) {
		for (int mode = 0; mode < 4; mode++) {
			struct stream_options options = { .codec = mode & 1,
							  .jobs = mode & 2 ? 3 : 1 };

			write_beyond_limit(&options, thousandths[i]);
		}
	}
}

static int refuse(void *context, const void *payload, size_t size, struct error *err)
{
	unsigned *left = context;

	if (__atomic_fetch_sub(left, 1, __ATOMIC_RELAXED) != 5)
		return 0;
	return error_set(err, ERROR_TARGET, ESRCH, "cannot take");
}

static void reports_what_a_taker_says(void **state)
{
	struct stream_options options = { .jobs = 1 };
	struct bulk_case c = { 20, 3000, SIZE_MAX };
	_cleanup_buffer_ struct buffer image = { 0 };

	write_to_memory(&options, &c, &image);
	for (int jobs = 1; jobs <= 4; jobs++) {
		_cleanup_error_ struct error err = ERROR_INIT, again = ERROR_INIT;
		_cleanup_fd_ int fd = memory_file(image.data, image.size);
		_cleanup_reader_ struct stream_reader *r = NULL;
		unsigned left = 10;
		struct record record;

		assert_int_equal(stream_reader_open(&r, fd, jobs, &err), 0);
		while (stream_next(r, &record, &err) > 0)
			if (record.kind == BULK && stream_hand_out(r, refuse, &left, &err))
				break;
		assert_int_equal(err.kind, ERROR_TARGET);
		assert_int_equal(err.os_error, ESRCH);
		assert_int_equal(stream_barrier(r, &again), -1);
	}
}

struct slow {
	pthread_mutex_t lock;
	bool gone;
	unsigned late;
};

static int take_slowly(void *context, const void *payload, size_t size, struct error *err)
{
	struct slow *slow = context;

	usleep(2000);
	pthread_mutex_lock(&slow->lock);
	slow->late += slow->gone;
	pthread_mutex_unlock(&slow->lock);
	return 0;
}

/* After a failure the caller's contexts may go away: nobody uses them any more. */
static void nothing_runs_after_a_failure(void **state)
{
	struct slow slow = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct stream_options options = { .jobs = 1 };
	struct bulk_case c = { 6, 3000, SIZE_MAX };
	_cleanup_buffer_ struct buffer image = { 0 };
	_cleanup_reader_ struct stream_reader *r = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int fd = -1;
	ProtobufCMessage *message;
	struct record record;

	write_to_memory(&options, &c, &image);
	fd = memory_file(image.data, image.size);
	assert_int_equal(stream_reader_open(&r, fd, 3, &err), 0);
	while (stream_next(r, &record, &err) > 0 && record.kind != PACKED)
		if (record.kind == BULK)
			assert_int_equal(stream_hand_out(r, take_slowly, &slow, &err), 0);
	assert_int_equal(stream_message(r, &image__descriptor, &message, &err), -1);
	pthread_mutex_lock(&slow.lock);
	slow.gone = true;
	pthread_mutex_unlock(&slow.lock);
	usleep(10000);
	assert_int_equal(slow.late, 0);
	assert_int_equal(stream_next(r, &record, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back),
		cmocka_unit_test(starts_at_the_file_offset),
		cmocka_unit_test(appends_front_to_back),
		cmocka_unit_test(never_overwrites),
		cmocka_unit_test(is_the_same_bytes_with_any_jobs),
		cmocka_unit_test(compresses),
		cmocka_unit_test(jumps_by_the_index),
		cmocka_unit_test(walks_without_an_index),
		cmocka_unit_test(refuses_what_cannot_be_written),
		cmocka_unit_test(reports_what_a_source_says),
		cmocka_unit_test(names_a_full_disk),
		cmocka_unit_test(names_a_file_size_limit),
		cmocka_unit_test(reports_what_a_taker_says),
		cmocka_unit_test(nothing_runs_after_a_failure),
	};

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
