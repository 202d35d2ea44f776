/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 26 };

void command_print_help(const struct command *command, const struct option_row *rows)
{
	printf("usage: criu-lite %s %s\n\n%s\n", command->name, command->arguments,
	       command->summary);
	if (rows->name)
		printf("\noptions:\n");
	for (; rows->name; rows++) {
		int width = printf("  %s%s%s%s", rows->name[1] ? "--" : "-", rows->name,
				   rows->argument ? " " : "", rows->argument ? rows->argument : "");

		printf("%*s%s\n", width < HELP_COLUMN ? HELP_COLUMN - width : 1, "", rows->help);
	}
}

static const struct option_row *find_row(const struct option_row *rows, const char *name,
					 size_t length)
{
	for (; rows->name; rows++)
		if (strlen(rows->name) == length && !strncmp(rows->name, name, length))
			return rows;
	return NULL;
}

static int set_value(const struct option_row *row, const char *word, const char *text,
		     struct error *err)
{
	struct option_list *list;
	char *end;
	long number;

	switch (row->type) {
	case OPTION_FLAG:
		*(bool *)row->value = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)row->value = text;
		return 0;
	case OPTION_LIST:
		list = row->value;
		if (list->count == OPTION_LIST_MAX)
			return error_set(err, ERROR_USAGE, 0, "%s: more than %d", word,
					 OPTION_LIST_MAX);
		list->items[list->count++] = text;
		return 0;
	case OPTION_NUMBER:
		break;
	}
	errno = 0;
	number = strtol(text, &end, 10);
	if (errno || *end || end == text || number < row->min || number > row->max)
		return error_set(err, ERROR_USAGE, 0, "%s %s: wants a number from %d to %d", word,
				 text, row->min, row->max);
	*(int *)row->value = number;
	return 0;
}

/* One word that begins with a dash; *used tells how many words it took. */
static int parse_option(const struct option_row *rows, char **argv, int left, int *used,
			struct error *err)
{
	const char *word = argv[0], *name = word + (word[1] == '-' ? 2 : 1);
	const char *equals = word[1] == '-' ? strchr(name, '=') : NULL;
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	const struct option_row *row = find_row(rows, name, length);
	const char *text = equals ? equals + 1 : NULL;

	/* -tPID */
	if (!row && word[1] != '-' && (row = find_row(rows, name, 1)) && row->type != OPTION_FLAG)
		text = name + 1;
	if (!row || (word[1] != '-' && row->name[1]) || (word[1] == '-' && !row->name[1]))
		return error_set(err, ERROR_USAGE, 0, "unknown option %s", word);
	*used = 1;
	if (row->type == OPTION_FLAG && text)
		return error_set(err, ERROR_USAGE, 0, "--%s takes no value", row->name);
	if (row->type != OPTION_FLAG && !text) {
		if (left < 2)
			return error_set(err, ERROR_USAGE, 0, "%s wants %s", word, row->argument);
		text = argv[1];
		*used = 2;
	}
	return set_value(row, word, text, err);
}

int options_parse(const struct command *command, const struct option_row *rows, int argc,
		  char **argv, const char **operands, int max_operands, int *count, bool *help,
		  struct error *err)
{
	bool only_operands = false;
	int i, used;

	*count = 0;
	*help = false;
	for (i = 1; i < argc; i += used) {
		used = 1;
		if (!only_operands && !strcmp(argv[i], "--")) {
			only_operands = true;
		} else if (!only_operands && !strcmp(argv[i], "--help")) {
			command_print_help(command, rows);
			*help = true;
			return 0;
		} else if (!only_operands && argv[i][0] == '-' && argv[i][1]) {
			if (parse_option(rows, argv + i, argc - i, &used, err))
				return -1;
		} else if (*count == max_operands) {
			return error_set(err, ERROR_USAGE, 0, "unexpected word %s", argv[i]);
		} else {
			operands[(*count)++] = argv[i];
		}
	}
	return 0;
}
