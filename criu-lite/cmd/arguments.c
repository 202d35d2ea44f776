/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/arguments.h"

#include <stdlib.h>
#include <string.h>

enum { ZSTD_LEVEL_MAX = 22 };

int arguments_compress(const char *text, struct stream_options *stream, struct error *err)
{
	char *end;
	long level;

	stream->codec = CODEC_RAW;
	if (!text || !strcmp(text, "none"))
		return 0;
	stream->codec = CODEC_ZSTD;
	if (!strcmp(text, "zstd"))
		return 0;
	if (!strncmp(text, "zstd:", 5)) {
		level = strtol(text + 5, &end, 10);
		if (end != text + 5 && !*end && level >= 1 && level <= ZSTD_LEVEL_MAX) {
			stream->level = level;
			return 0;
		}
	}
	return error_set(err, ERROR_USAGE, 0,
			 "--compress %s: wants none, zstd or zstd:LEVEL with a level from 1 to %d",
			 text, ZSTD_LEVEL_MAX);
}

int arguments_tcp(const char *text, enum tcp_policy *ret, struct error *err)
{
	*ret = TCP_KEEP;
	if (!text || !strcmp(text, "keep"))
		return 0;
	*ret = TCP_CLOSE;
	if (!strcmp(text, "close"))
		return 0;
	return error_set(err, ERROR_USAGE, 0, "--tcp %s: wants keep or close", text);
}

void arguments_stdio(const char *text, enum stdio_policy *policy, const char **file)
{
	*policy = STDIO_INHERIT;
	if (!text || !strcmp(text, "inherit"))
		return;
	if (!strcmp(text, "null")) {
		*policy = STDIO_NULL;
		return;
	}
	*policy = STDIO_FILE;
	*file = text;
}

int arguments_externals(const struct option_list *list, struct external *ret, struct error *err)
{
	int i;

	for (i = 0; i < list->count; i++) {
		const char *text = list->items[i], *end = strstr(text, "]=");

		if (!end || strcspn(text, "[") >= (size_t)(end - text) || text[0] == '[' || !end[2])
			return error_set(err, ERROR_USAGE, 0,
					 "--external %s: wants KIND[NAME]=HERE, as in "
					 "mnt[/data]=/srv/data",
					 text);
		ret[i] = (struct external){ text, end + 1 - text, end + 2 };
	}
	return 0;
}
