/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Number scanning, lines, escapes, and how a missing file differs from a missing process. */
#include "proc_testing.h"

#include <errno.h>

#include "proc/text.h"

static struct scan over(const char *text)
{
	return (struct scan){ text, text + strlen(text) };
}

static void numbers(void **state)
{
	struct scan s = over("18446744073709551615 18446744073709551616");
	uint64_t value;
	int64_t wide;
	int narrow;

	assert_true(scan_u64(&s, &value));
	assert_true(value == UINT64_MAX);
	assert_true(scan_blanks(&s));
	assert_false(scan_u64(&s, &value));
	assert_int_equal(scan_left(&s), 20);
	s = over("-9223372036854775808");
	assert_true(scan_i64(&s, &wide));
	assert_true(wide == INT64_MIN);
	s = over("-9223372036854775809");
	assert_false(scan_i64(&s, &wide));
	s = over("9223372036854775808");
	assert_false(scan_i64(&s, &wide));
	s = over("-2147483648,");
	assert_true(scan_int(&s, &narrow));
	assert_true(narrow == INT32_MIN);
	assert_true(scan_char(&s, ','));
	s = over("2147483648");
	assert_false(scan_int(&s, &narrow));
	s = over("-");
	assert_false(scan_int(&s, &narrow));
	assert_int_equal(scan_left(&s), 1);
	s = over("");
	assert_false(scan_u64(&s, &value));
	s = over("fffffff0F");
	assert_true(scan_hex64(&s, &value));
	assert_true(value == 0xfffffff0);
	assert_int_equal(scan_left(&s), 1);
	s = over("10000000000000000");
	assert_false(scan_hex64(&s, &value));
	s = over("0778");
	assert_true(scan_octal32(&s, (uint32_t *)&narrow));
	assert_int_equal(narrow, 077);
	s = over("18014398509481983 kB");
	assert_true(scan_kb(&s, &value));
	s = over("18014398509481984 kB");
	assert_false(scan_kb(&s, &value));
}

static void lines(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	static const char text[] = "one\n\nthr\x1b" "ee\n";
	struct proc_text t;
	struct scan line;

	assert_int_equal(proc_text_open(&t, "maps", text, sizeof(text) - 1, &err), 0);
	assert_true(proc_text_next(&t, &line));
	assert_true(scan_is(&line, "one"));
	assert_true(proc_text_next(&t, &line));
	assert_true(scan_at_end(&line));
	assert_true(proc_text_next(&t, &line));
	assert_fails(proc_text_error(&t, "bad", &err), &err, ERROR_FAILED,
		     "maps line 3: bad: \"thr?ee\"");
	assert_false(proc_text_next(&t, &line));
	assert_int_equal(proc_text_open(&t, "maps", NULL, 0, &err), 0);
	assert_false(proc_text_next(&t, &line));
	assert_fails(proc_text_open(&t, "maps", "one\ntw", 6, &err), &err, ERROR_FAILED,
		     "cut short");
	assert_fails(proc_text_open(&t, "maps", "o\0e\n", 4, &err), &err, ERROR_FAILED, "not text");
}

static void octal_escapes(void **state)
{
	char all[] = "/a\\040b\\134c\\012d\\011\\04\\777\\000\\";
	char newline_only[] = "/a\\040b\\012c";

	all[proc_unescape_octal(all, strlen(all), 0)] = '\0';
	assert_string_equal(all, "/a b\\c\nd\t\\04\\777\\000\\");
	newline_only[proc_unescape_octal(newline_only, strlen(newline_only), '\n')] = '\0';
	assert_string_equal(newline_only, "/a\\040b\nc");
}

static void comm_escapes(void **state)
{
	char comm[] = "a\\nb\\\\n\\x\\";

	comm[proc_unescape_comm(comm, strlen(comm))] = '\0';
	assert_string_equal(comm, "a\nb\\n\\x\\");
}

static void strings_stay(void **state)
{
	struct string_arena arena = { 0 };
	char big[10000];
	char *first = string_arena_add(&arena, "first", 5), *large, *last = NULL;

	memset(big, 'x', sizeof(big));
	large = string_arena_add(&arena, big, sizeof(big));
	for (int i = 0; i < 1000; i++)
		last = string_arena_add(&arena, "another string", 7);
	assert_string_equal(first, "first");
	assert_int_equal(strlen(large), sizeof(big));
	assert_string_equal(last, "another");
	assert_string_equal(string_arena_add(&arena, NULL, 0), "");
	string_arena_release(&arena);
	assert_null(arena.chunks);
}

static void missing_file_or_process(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_buffer_ struct buffer buf = { 0 };
	_cleanup_fd_ int pid_dir = -1;
	pid_t pid = sleeping_child(&pid_dir);

	assert_int_equal(proc_read_text(pid_dir, "no-such-file", &buf, &err), -1);
	assert_int_equal(err.kind, ERROR_TARGET);
	assert_int_equal(err.os_error, ENOENT);
	error_clear(&err);
	make_zombie(pid);
	assert_fails(proc_read_text(pid_dir, "no-such-file", &buf, &err), &err, ERROR_DIED, "gone");
	assert_int_equal(proc_read_text(pid_dir, "stat", &buf, &err), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_fails(proc_read_text(pid_dir, "stat", &buf, &err), &err, ERROR_DIED, "gone");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),	cmocka_unit_test(lines),
		cmocka_unit_test(octal_escapes), cmocka_unit_test(comm_escapes),
		cmocka_unit_test(strings_stay),	cmocka_unit_test(missing_file_or_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
