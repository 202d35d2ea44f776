/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/multicast.h"

#include <errno.h>

/* `digits` hexadecimal digits of either case, as bytes. */
static bool scan_bytes(struct scan *s, uint8_t *ret, size_t digits)
{
	if (scan_left(s) < digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		char c = s->at[i];
		unsigned value = scan_digit_value(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);

		if (value > 15)
			return false;
		ret[i / 2] = ret[i / 2] << 4 | value;
	}
	s->at += digits;
	return true;
}

static struct proc_group *add(struct proc_groups *ret, uint32_t interface, struct error *err)
{
	struct proc_group *group = array_add(&ret->items);

	if (group)
		group->interface = interface;
	else
		error_set(err, ERROR_FAILED, ENOMEM, "multicast groups");
	return group;
}

static int fail(struct proc_groups *ret)
{
	array_release(&ret->items);
	return -1;
}

/* A line with an interface, then an indented one for each of its groups. */
static int parse_igmp_line(const struct proc_text *t, struct scan line, uint32_t *interface,
			   struct proc_groups *ret, struct error *err)
{
	struct proc_group *group;
	uint32_t word;

	if (!scan_blanks(&line))
		return scan_u32(&line, interface) ? 0 : proc_text_error(t, "no interface", err);
	group = add(ret, *interface, err);
	if (!group)
		return -1;
	if (!*interface || !scan_bytes(&line, group->address, 8) || !scan_blanks(&line))
		return proc_text_error(t, "no group", err);
	/* The kernel prints a word of memory as a number. */
	memcpy(&word, group->address, sizeof(word));
	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		word = __builtin_bswap32(word);
	memcpy(group->address, &word, sizeof(word));
	return 0;
}

int proc_parse_igmp(const char *text, size_t size, struct proc_groups *ret, struct error *err)
{
	struct proc_text t;
	struct scan line;
	uint32_t interface = 0;

	*ret = (struct proc_groups){ 0 };
	if (proc_text_open(&t, "net/igmp", text, size, err))
		return -1;
	/* Headings. */
	if (proc_text_next(&t, &line) && !scan_text(&line, "Idx"))
		return proc_text_error(&t, "no headings", err);
	while (proc_text_next(&t, &line))
		if (parse_igmp_line(&t, line, &interface, ret, err))
			return fail(ret);
	return 0;
}

int proc_parse_igmp6(const char *text, size_t size, struct proc_groups *ret, struct error *err)
{
	struct proc_text t;
	struct scan line, name;

	*ret = (struct proc_groups){ 0 };
	if (proc_text_open(&t, "net/igmp6", text, size, err))
		return -1;
	while (proc_text_next(&t, &line)) {
		struct proc_group *group;
		uint32_t interface;

		scan_blanks(&line);
		if (!scan_u32(&line, &interface) || !scan_blanks(&line) ||
		    !scan_word(&line, &name) || !scan_blanks(&line)) {
			proc_text_error(&t, "no interface", err);
			return fail(ret);
		}
		group = add(ret, interface, err);
		if (!group)
			return fail(ret);
		if (!scan_bytes(&line, group->address, 32) || !scan_blanks(&line)) {
			proc_text_error(&t, "no group", err);
			return fail(ret);
		}
	}
	return 0;
}

typedef int (*parser)(const char *text, size_t size, struct proc_groups *ret, struct error *err);

static int read_groups(int pid_dir, const char *file, parser parse, struct proc_groups *ret,
		       struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };

	*ret = (struct proc_groups){ 0 };
	if (proc_read_text(pid_dir, file, &text, err))
		return -1;
	return parse(text.data, text.size, ret, err) ? proc_blame(pid_dir, err) : 0;
}

int proc_read_igmp(int pid_dir, struct proc_groups *ret, struct error *err)
{
	return read_groups(pid_dir, "net/igmp", proc_parse_igmp, ret, err);
}

int proc_read_igmp6(int pid_dir, struct proc_groups *ret, struct error *err)
{
	return read_groups(pid_dir, "net/igmp6", proc_parse_igmp6, ret, err);
}
