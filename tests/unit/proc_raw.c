/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/net/raw and raw6: the row of one socket, forged rows, and a socket of our own. */
#include "proc_testing.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/array.h"
#include "proc/raw.h"

#define HEAD                                                                                   \
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "  \
	"timeout inode ref pointer drops\n"
#define HEAD6                                                                                  \
	"  sl  local_address                         remote_address                        st" \
	" tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"

/* The parser of one inode in the form that the assertions want. */
static int parse_v4(const char *text, size_t size, struct proc_raw *ret, struct error *err)
{
	return proc_parse_raw("net/raw", text, size, false, 4711, ret, err) < 0 ? -1 : 0;
}

static int parse_v6(const char *text, size_t size, struct proc_raw *ret, struct error *err)
{
	return proc_parse_raw("net/raw", text, size, true, 4711, ret, err) < 0 ? -1 : 0;
}

static void rows(void **state)
{
	static const char text[] = HEAD
		"    1: 0100007F:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0"
		"        0 12 2 0000000000000000 0\n"
		"  253: 00000000:00FD 0A0B0C0D:0000 01 00000000:00000000 00:00000000 00000000  1000"
		"        0 4711 2 0000000000000000 0\n";
	static const char text6[] = HEAD6 "   58: 00000000000000000000000000000000:003A "
					  "000080FE00000000FF001122AABBCCDD:0007 07"
					  " 00000000:00000000 00:00000000 00000000     0        0 "
					  "4711 2 0000000000000000 0\n";
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_raw raw;
	uint32_t word;

	assert_accepted(parse_v4, text, &raw, &err);
	memcpy(&word, raw.remote, sizeof(word));
	assert_int_equal(word, 0x0a0b0c0d);
	assert_int_equal(raw.port, 0);
	assert_accepted(parse_v6, text6, &raw, &err);
	memcpy(&word, raw.remote + 12, sizeof(word));
	assert_int_equal(word, 0xaabbccdd);
	assert_int_equal(raw.port, 7);
	assert_int_equal(proc_parse_raw("net/raw", text, strlen(text), false, 99, &raw, &err), 0);
}

static void refused(void **state)
{
	static const char *const texts[] = {
		"", "nothing\n", HEAD "\n", HEAD "1\n", HEAD "  1: 0100007F\n",
		HEAD "  1: 0100007F:0001 00000000:0000 07 0:0 0:0 0 0\n",
		HEAD "  1: 0100007G:0001 00000000:0000 07 0:0 0:0 0 0 0 4711 2\n",
		HEAD "  1: 0100007F:0001 00000000:0000 07 0:0 0:0 0 0 0 4711",
	};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct proc_raw raw;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_refused(parse_v4, texts[i], &raw, &err, "net/raw");
}

static void our_own(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_fd_ int dir = open_dir("/proc/self"), fd = socket(AF_INET, SOCK_RAW, 253);
	struct proc_raw raw;
	struct stat st;

	if (fd < 0)
		skip();
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(proc_read_raw(dir, false, false, st.st_ino, &raw, &err), 1);
	assert_memory_equal(raw.remote, &to.sin_addr, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows),
		cmocka_unit_test(refused),
		cmocka_unit_test(our_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
