/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_BASE_LOG_H
#define CL_BASE_LOG_H

/*
 * Notices for everybody: what could not be given back exactly, though the program can live with
 * it. Diagnostics for people who look inside (-v, -vv). Neither is the way an error reaches the
 * user. The only global state of the program lives here: the level.
 */

enum log_level { LOG_QUIET, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_level(void);
/* Writes one line to standard error, with a timestamp unless it is a notice; the newline is
 * added. */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_notice(...) log_line(LOG_QUIET, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                          \
	do {                                    \
		if (log_level() >= LOG_DEBUG)   \
			log_line(LOG_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
