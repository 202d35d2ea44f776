/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/raw.h"

/* Digits of either case, at most eight of them. */
static bool scan_word32(struct scan *s, uint32_t *ret)
{
	const char *start = s->at;

	*ret = 0;
	while (s->at < s->end && s->at - start < 8) {
		char c = *s->at;
		unsigned value = scan_digit_value(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);

		if (value > 15)
			break;
		*ret = *ret << 4 | value;
		s->at++;
	}
	return s->at != start;
}

/* Words of memory, printed as numbers, and a port. */
static bool scan_address(struct scan *s, bool v6, uint8_t *address, uint16_t *port)
{
	uint32_t word;

	for (int i = 0; i < (v6 ? 4 : 1); i++) {
		if (!scan_word32(s, &word))
			return false;
		memcpy(address + 4 * i, &word, sizeof(word));
	}
	if (!scan_char(s, ':') || !scan_word32(s, &word) || word > UINT16_MAX)
		return false;
	*port = word;
	return true;
}

static bool scan_row(struct scan *s, bool v6, struct proc_raw *raw, uint64_t *inode)
{
	uint8_t local[16];
	uint16_t port;
	uint64_t slot;
	struct scan word;

	scan_blanks(s);
	if (!scan_u64(s, &slot) || !scan_char(s, ':') || !scan_blanks(s) ||
	    !scan_address(s, v6, local, &port) || !scan_blanks(s) ||
	    !scan_address(s, v6, raw->remote, &raw->port) || !scan_blanks(s))
		return false;
	/* State, queues, timer, retransmissions, uid, timeout. */
	for (int i = 0; i < 6; i++)
		if (!scan_word(s, &word) || !scan_blanks(s))
			return false;
	return scan_u64(s, inode) && scan_blanks(s);
}

int proc_parse_raw(const char *file, const char *text, size_t size, bool v6, ino_t inode,
		   struct proc_raw *ret, struct error *err)
{
	struct proc_text t;
	struct scan line;

	*ret = (struct proc_raw){ 0 };
	if (proc_text_open(&t, file, text, size, err))
		return -1;
	if (!proc_text_next(&t, &line) || !scan_blanks(&line) || !scan_text(&line, "sl"))
		return proc_text_error(&t, "no headings", err);
	while (proc_text_next(&t, &line)) {
		struct proc_raw raw = { 0 };
		uint64_t found;

		if (!scan_row(&line, v6, &raw, &found))
			return proc_text_error(&t, "not a socket", err);
		if (found != inode)
			continue;
		*ret = raw;
		return 1;
	}
	return 0;
}

int proc_read_raw(int pid_dir, bool ping, bool v6, ino_t inode, struct proc_raw *ret,
		  struct error *err)
{
	static const char *const files[2][2] = { { "net/raw", "net/raw6" },
						 { "net/icmp", "net/icmp6" } };
	_cleanup_buffer_ struct buffer text = { 0 };
	const char *file = files[ping][v6];
	int found;

	*ret = (struct proc_raw){ 0 };
	if (proc_read_text(pid_dir, file, &text, err))
		return -1;
	found = proc_parse_raw(file, text.data, text.size, v6, inode, ret, err);
	return found < 0 ? proc_blame(pid_dir, err) : found;
}
