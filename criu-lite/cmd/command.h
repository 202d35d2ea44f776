/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_CMD_COMMAND_H
#define CL_CMD_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Commands and their options are rows; parsing, help and messages walk them.
 */

enum option_type {
	OPTION_FLAG,	/* bool */
	OPTION_TEXT,	/* const char * */
	OPTION_NUMBER,	/* int, at least .min and at most .max */
	OPTION_LIST,	/* struct option_list; may be given more than once */
};

enum { OPTION_LIST_MAX = 64 };
struct option_list {
	const char *items[OPTION_LIST_MAX];
	int count;
};

/* One option of a command; `value` points to where it is kept. */
struct option_row {
	const char *name;	/* without the dashes: "leave-running", or "t" for a short one */
	enum option_type type;
	const char *argument;	/* its name in the help, NULL for a flag */
	const char *help;
	void *value;
	int min, max;		/* OPTION_NUMBER */
};

struct command {
	const char *name;
	const char *arguments;	/* for the usage line */
	const char *summary;	/* one line */
	/* argv[0] is the command's name. Returns -1 with *err set, or the exit status. */
	int (*run)(int argc, char **argv, struct error *err);
};

extern const struct command checkpoint_command, restore_command, inspect_command, verify_command,
	check_command, migrate_command, receive_command, unlock_command;

/* Parses argv by the rows (ended by an empty one) into their values. `operands`, with room for
 * max_operands, gets the rest; *count how many. "--" ends options, "-" is an operand. --help prints
 * the command's help and makes *help true. ERROR_USAGE names the bad word. */
int options_parse(const struct command *command, const struct option_row *rows, int argc,
		  char **argv, const char **operands, int max_operands, int *count, bool *help,
		  struct error *err);
void command_print_help(const struct command *command, const struct option_row *rows);

#endif
