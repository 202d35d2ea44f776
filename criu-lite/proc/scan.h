/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_PROC_SCAN_H
#define CL_PROC_SCAN_H

/*
 * Number and word scanning for /proc text, without locale, allocation or format strings: these
 * run once per field while programs are frozen.
 *
 * A scanner that fails returns false and leaves the cursor where it was. Numbers need at least
 * one digit and must fit their type.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What is left of one line; .end is exclusive. */
struct scan {
	const char *at, *end;
};

static inline size_t scan_left(const struct scan *s)
{
	return s->end - s->at;
}

static inline bool scan_at_end(const struct scan *s)
{
	return s->at == s->end;
}

/* The kernel writes small letters only. 255: not a digit of any base. */
static inline unsigned scan_digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 255;
}

static inline bool scan_number(struct scan *s, unsigned base, uint64_t max, uint64_t *ret)
{
	const char *at = s->at;
	uint64_t value = 0;

	for (; at < s->end; at++) {
		unsigned digit = scan_digit_value(*at);

		if (digit >= base)
			break;
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value))
			return false;
	}
	if (at == s->at || value > max)
		return false;
	s->at = at;
	*ret = value;
	return true;
}

static inline bool scan_u64(struct scan *s, uint64_t *ret)
{
	return scan_number(s, 10, UINT64_MAX, ret);
}

static inline bool scan_hex64(struct scan *s, uint64_t *ret)
{
	return scan_number(s, 16, UINT64_MAX, ret);
}

static inline bool scan_narrow32(struct scan *s, unsigned base, uint32_t *ret)
{
	uint64_t value;

	if (!scan_number(s, base, UINT32_MAX, &value))
		return false;
	*ret = value;
	return true;
}

static inline bool scan_u32(struct scan *s, uint32_t *ret)
{
	return scan_narrow32(s, 10, ret);
}

static inline bool scan_hex32(struct scan *s, uint32_t *ret)
{
	return scan_narrow32(s, 16, ret);
}

static inline bool scan_octal32(struct scan *s, uint32_t *ret)
{
	return scan_narrow32(s, 8, ret);
}

static inline bool scan_i64(struct scan *s, int64_t *ret)
{
	struct scan digits = *s;
	bool negative = digits.at < digits.end && *digits.at == '-';
	uint64_t value;

	digits.at += negative;
	if (!scan_number(&digits, 10, (uint64_t)INT64_MAX + negative, &value))
		return false;
	s->at = digits.at;
	*ret = negative ? (int64_t)(0 - value) : (int64_t)value;
	return true;
}

static inline bool scan_int(struct scan *s, int *ret)
{
	struct scan digits = *s;
	int64_t value;

	if (!scan_i64(&digits, &value) || value < INT32_MIN || value > INT32_MAX)
		return false;
	s->at = digits.at;
	*ret = value;
	return true;
}

static inline bool scan_char(struct scan *s, char c)
{
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

/* Passes over a run of spaces and tabs; false when there is none. */
static inline bool scan_blanks(struct scan *s)
{
	const char *start = s->at;

	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t'))
		s->at++;
	return s->at != start;
}

/* True when nothing but blanks is left. */
static inline bool scan_finished(struct scan *s)
{
	scan_blanks(s);
	return scan_at_end(s);
}

static inline bool scan_text(struct scan *s, const char *text)
{
	size_t size = strlen(text);

	if (scan_left(s) < size || memcmp(s->at, text, size) != 0)
		return false;
	s->at += size;
	return true;
}

/* "12 kB", into bytes. */
static inline bool scan_kb(struct scan *s, uint64_t *bytes)
{
	struct scan number = *s;
	uint64_t value;

	if (!scan_number(&number, 10, UINT64_MAX >> 10, &value) || !scan_text(&number, " kB"))
		return false;
	s->at = number.at;
	*bytes = value << 10;
	return true;
}

/* Cuts off what precedes `stop`, which is passed over too; *ret is the part before it. */
static inline bool scan_until(struct scan *s, char stop, struct scan *ret)
{
	const char *found = scan_at_end(s) ? NULL : memchr(s->at, stop, scan_left(s));

	if (!found)
		return false;
	*ret = (struct scan){ s->at, found };
	s->at = found + 1;
	return true;
}

/* Cuts off a word that ends at a blank or at the end of the line; false when there is none. */
static inline bool scan_word(struct scan *s, struct scan *ret)
{
	const char *at = s->at;

	while (at < s->end && *at != ' ' && *at != '\t')
		at++;
	if (at == s->at)
		return false;
	*ret = (struct scan){ s->at, at };
	s->at = at;
	return true;
}

static inline bool scan_is(const struct scan *s, const char *text)
{
	return scan_left(s) == strlen(text) && memcmp(s->at, text, scan_left(s)) == 0;
}

#endif
