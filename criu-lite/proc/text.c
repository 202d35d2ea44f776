/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"

/* The path behind a directory descriptor, for messages only. */
static const char *dir_name(int dir_fd, char *path, size_t size)
{
	char link[64];
	ssize_t got;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir_fd);
	got = readlink(link, path, size - 1);
	if (got < 0)
		return "/proc/PID";
	path[got] = '\0';
	return path;
}

/* ENOENT has two meanings below /proc/PID: no such file, and no such process any more. */
static bool task_is_gone(int pid_dir)
{
	_cleanup_fd_ int fd = openat(pid_dir, "stat", O_RDONLY | O_CLOEXEC);
	char text[512];
	const char *paren;
	ssize_t got;

	if (fd < 0)
		return errno == ENOENT || errno == ESRCH;
	got = read_full(fd, text, sizeof(text) - 1);
	if (got < 0)
		return errno == ESRCH;
	text[got] = '\0';
	paren = strrchr(text, ')');
	return paren && (strncmp(paren, ") Z", 3) == 0 || strncmp(paren, ") X", 3) == 0);
}

int proc_open(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int proc_open_thread(pid_t pid, pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d", pid, tid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int proc_read_text(int pid_dir, const char *name, struct buffer *buf, struct error *err)
{
	char path[PATH_MAX];
	int os_error;

	if (read_file_at(pid_dir, name, buf) == 0)
		return 0;
	os_error = errno;
	if (os_error == ESRCH || (os_error == ENOENT && task_is_gone(pid_dir)))
		return error_set(err, ERROR_DIED, 0, "%s: the process is gone",
				 dir_name(pid_dir, path, sizeof(path)));
	if (os_error == ENOMEM || os_error == EMFILE || os_error == ENFILE)
		return error_set(err, ERROR_FAILED, os_error, "%s/%s",
				 dir_name(pid_dir, path, sizeof(path)), name);
	return error_set(err, ERROR_TARGET, os_error, "%s/%s",
			 dir_name(pid_dir, path, sizeof(path)), name);
}

int proc_blame(int pid_dir, struct error *err)
{
	char path[PATH_MAX];

	return error_wrap(err, "%s", dir_name(pid_dir, path, sizeof(path)));
}

int proc_text_open(struct proc_text *t, const char *file, const char *text, size_t size,
		   struct error *err)
{
	*t = (struct proc_text){ .file = file, .at = text, .end = text };
	if (!size)
		return 0;
	t->end += size;
	if (text[size - 1] != '\n')
		return error_set(err, ERROR_FAILED, 0, "%s is cut short after %zu bytes",
				 file, size);
	if (memchr(text, '\0', size))
		return error_set(err, ERROR_FAILED, 0, "%s is not text", file);
	return 0;
}

bool proc_text_next(struct proc_text *t, struct scan *line)
{
	const char *newline;

	if (t->at == t->end)
		return false;
	newline = memchr(t->at, '\n', t->end - t->at);
	t->line = (struct scan){ t->at, newline };
	t->line_number++;
	t->at = newline + 1;
	*line = t->line;
	return true;
}

int proc_text_error(const struct proc_text *t, const char *what, struct error *err)
{
	char shown[81];
	size_t size = scan_left(&t->line);

	if (size > sizeof(shown) - 1)
		size = sizeof(shown) - 1;
	for (size_t i = 0; i < size; i++) {
		char c = t->line.at[i];

		shown[i] = c >= ' ' && c < 127 ? c : '?';
	}
	shown[size] = '\0';
	return error_set(err, ERROR_FAILED, 0, "%s line %u: %s: \"%s\"", t->file, t->line_number,
			 what, shown);
}

struct string_chunk {
	struct string_chunk *next;
	size_t used, capacity;
	char bytes[];
};

enum { CHUNK_SIZE = 4096 - sizeof(struct string_chunk) };

char *string_arena_add(struct string_arena *arena, const char *text, size_t size)
{
	struct string_chunk *chunk = arena->chunks;
	char *copy;

	if (!chunk || chunk->capacity - chunk->used < size + 1) {
		size_t capacity = size + 1 > CHUNK_SIZE ? size + 1 : CHUNK_SIZE;

		chunk = malloc(sizeof(*chunk) + capacity);
		if (!chunk)
			return NULL;
		*chunk = (struct string_chunk){ .next = arena->chunks, .capacity = capacity };
		arena->chunks = chunk;
	}
	copy = chunk->bytes + chunk->used;
	if (size)
		memcpy(copy, text, size);
	copy[size] = '\0';
	chunk->used += size + 1;
	return copy;
}

void string_arena_release(struct string_arena *arena)
{
	while (arena->chunks) {
		struct string_chunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		free(chunk);
	}
}

static bool octal_digits(const char *at)
{
	return at[0] >= '0' && at[0] <= '3' && at[1] >= '0' && at[1] <= '7' && at[2] >= '0' &&
	       at[2] <= '7';
}

size_t proc_unescape_octal(char *text, size_t size, char only)
{
	char *found = size ? memchr(text, '\\', size) : NULL;
	size_t from, to;

	if (!found)
		return size;
	for (from = to = found - text; from < size; to++) {
		text[to] = text[from];
		if (text[from++] == '\\' && size - from >= 3 && octal_digits(text + from)) {
			unsigned char byte = (text[from] - '0') << 6 | (text[from + 1] - '0') << 3 |
					     (text[from + 2] - '0');

			/* A NUL is never escaped by the kernel and would cut the string. */
			if (byte == 0 || (only && (char)byte != only))
				continue;
			text[to] = byte;
			from += 3;
		}
	}
	return to;
}

size_t proc_unescape_comm(char *text, size_t size)
{
	size_t to = 0;

	for (size_t from = 0; from < size; to++) {
		text[to] = text[from++];
		if (text[to] == '\\' && from < size && (text[from] == 'n' || text[from] == '\\'))
			text[to] = text[from++] == 'n' ? '\n' : '\\';
	}
	return to;
}
