/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"

enum {
	BOOT_ID_SIZE = 37,
	RECORD_MAX = 64 << 10,
	LOCK_PAUSE_NS = 20 * 1000 * 1000,
	BEGIN_TIMEOUT_MS = 1000,
};

static const char *const phase_words[] = {
	[RECORD_PREPARING] = "preparing",
	[RECORD_COMMITTING] = "committing",
	[RECORD_COMMITTED] = "committed",
};

static const char lock_suffix[] = ".lock";

static void cleanup_json_p(json_t **p)
{
	json_decref(*p);
}
#define _cleanup_json_ __attribute__((cleanup(cleanup_json_p)))

void record_id_text(const uint8_t id[ID_SIZE], char ret[RECORD_ID_TEXT])
{
	size_t i;

	for (i = 0; i < ID_SIZE; i++)
		snprintf(ret + 2 * i, 3, "%02x", id[i]);
}

int record_parse_id(const char *text, uint8_t ret[ID_SIZE], struct error *err)
{
	size_t i;

	for (i = 0; i < ID_SIZE && strspn(text + 2 * i, "0123456789abcdef") >= 2; i++) {
		char digits[3] = { text[2 * i], text[2 * i + 1] };

		ret[i] = strtol(digits, NULL, 16);
	}
	if (i < ID_SIZE || text[2 * ID_SIZE])
		return error_set(err, ERROR_USAGE, 0, "%s: a migration's id has %d digits 0-9 a-f",
				 text, 2 * ID_SIZE);
	return 0;
}

/* mkdir -p, for us alone. */
static int make_directories(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	char *at;

	if (!copy)
		return -1;
	for (at = copy + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = '\0';
		if (mkdir(copy, 0755) && errno != EEXIST)
			return -1;
	}
	return mkdir(copy, 0700) && errno != EEXIST ? -1 : 0;
}

/* Whoever was killed before a record of his was written has left a lock without one. */
static void sweep_lock(int directory, const char *lock)
{
	const int length = strlen(lock) - strlen(lock_suffix);
	char record[RECORD_NAME], part[RECORD_NAME + 8];
	struct stat ours, named;
	_cleanup_fd_ int fd = -1;

	if (length < 0 || strcmp(lock + length, lock_suffix) ||
	    snprintf(record, sizeof(record), "%.*s.json", length, lock) >= (int)sizeof(record) ||
	    !faccessat(directory, record, F_OK, 0))
		return;
	fd = openat(directory, lock, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &ours) ||
	    fstatat(directory, lock, &named, AT_SYMLINK_NOFOLLOW) || named.st_ino != ours.st_ino ||
	    !faccessat(directory, record, F_OK, 0))
		return;
	snprintf(part, sizeof(part), "%s.part", record);
	if (!unlinkat(directory, part, 0) || errno == ENOENT)
		unlinkat(directory, lock, 0);
}

static void sweep(int directory)
{
	int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	if (!stream)
		fd_close(&copy);
	while (stream && (entry = readdir(stream)))
		sweep_lock(directory, entry->d_name);
}

int record_directory(const char *path, struct error *err)
{
	int fd;

	if (!path)
		path = RECORD_DIRECTORY;
	if (make_directories(path))
		return error_set(err, ERROR_FAILED, errno, "cannot make the state directory %s",
				 path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, ERROR_FAILED, errno, "%s", path);
	sweep(fd);
	return fd;
}

/* Replaces a file as a whole, or leaves the old one. */
static int replace_file(int directory, const char *name, const void *data, size_t size,
			struct error *err)
{
	char part[RECORD_NAME + 8];
	_cleanup_fd_ int fd = -1;

	snprintf(part, sizeof(part), "%s.part", name);
	fd = openat(directory, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write_full(fd, data, size) || fsync(fd) ||
	    renameat(directory, part, directory, name) || fsync(directory))
		return error_set(err, ERROR_FAILED, errno, "state directory: cannot write %s",
				 name);
	return 0;
}

int record_own_name(int directory, uint8_t ret[ID_SIZE], struct error *err)
{
	static const char name[] = "destination";
	_cleanup_fd_ int lock = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_fd_ int fd = -1;

	if (lock < 0 || flock(lock, LOCK_EX))
		return error_set(err, ERROR_FAILED, errno, "state directory");
	fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && read_full(fd, ret, ID_SIZE) == ID_SIZE)
		return 0;
	if (getrandom(ret, ID_SIZE, 0) != ID_SIZE)
		return error_set(err, ERROR_FAILED, errno, "random bytes");
	return replace_file(directory, name, ret, ID_SIZE, err);
}

static void name_of(const struct record_file *r, const char *suffix, char ret[RECORD_NAME])
{
	char id[RECORD_ID_TEXT];

	record_id_text(r->id, id);
	snprintf(ret, RECORD_NAME, "%s.%s.%s", id, r->side == SIDE_SOURCE ? "source" : "destination",
		 suffix);
}

/* The lock file goes with the record: what was locked must still be what has the name. */
static int try_lock(struct record_file *r)
{
	char name[RECORD_NAME];
	struct stat ours, named;
	_cleanup_fd_ int fd = -1;

	name_of(r, "lock", name);
	fd = openat(r->directory_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &ours))
		return -1;
	if (fstatat(r->directory_fd, name, &named, AT_SYMLINK_NOFOLLOW) ||
	    named.st_ino != ours.st_ino) {
		errno = EWOULDBLOCK;
		return -1;
	}
	r->lock_fd = steal_fd(&fd);
	return 0;
}

static int lock(struct record_file *r, int timeout_ms, struct error *err)
{
	uint64_t deadline = now_ns() + timeout_ms * 1000000ull;
	char id[RECORD_ID_TEXT];

	while (try_lock(r)) {
		if (errno == EWOULDBLOCK && now_ns() < deadline) {
			nanosleep(&(struct timespec){ .tv_nsec = LOCK_PAUSE_NS }, NULL);
			continue;
		}
		record_id_text(r->id, id);
		if (errno == EWOULDBLOCK)
			return error_set(err, ERROR_FAILED, EWOULDBLOCK,
					 "migration %s is in the hands of another process", id);
		return error_set(err, ERROR_FAILED, errno, "state directory: lock of %s", id);
	}
	return 0;
}

static void init(struct record_file *r, int directory, enum side side, const uint8_t id[ID_SIZE])
{
	*r = (struct record_file){ .directory_fd = directory, .lock_fd = -1, .side = side };
	memcpy(r->id, id, ID_SIZE);
}

static void read_boot_id(char ret[BOOT_ID_SIZE])
{
	_cleanup_fd_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read_full(fd, ret, BOOT_ID_SIZE - 1);

	ret[got > 0 ? got : 0] = '\0';
}

static void copy_text(const json_t *from, const char *key, char ret[RECORD_TEXT])
{
	const char *text = json_string_value(json_object_get(from, key));

	strlcpy(ret, text ?: "", RECORD_TEXT);
}

/* jansson leaves out what is NULL. */
static const char *text_or_null(const char *text)
{
	return *text ? text : NULL;
}

static int parse(struct record_file *r, const char *text, size_t size, struct error *err)
{
	_cleanup_json_ json_t *all = json_loadb(text, size, 0, NULL);
	const char *phase = json_string_value(json_object_get(all, "phase"));
	const char *boot = json_string_value(json_object_get(all, "boot_id"));
	const char *destination = json_string_value(json_object_get(all, "destination"));
	const char *source = json_string_value(json_object_get(all, "source"));
	char now[BOOT_ID_SIZE];
	size_t i;

	for (i = 0; phase && i < ARRAY_SIZE(phase_words); i++)
		if (!strcmp(phase, phase_words[i]))
			break;
	if (!phase || !boot || i == ARRAY_SIZE(phase_words) ||
	    (destination && record_parse_id(destination, r->destination, err)) ||
	    (source && record_parse_id(source, r->source, err)))
		return error_set(err, ERROR_FAILED, 0, "state directory: the record is damaged");
	r->phase = i;
	read_boot_id(now);
	r->other_boot = strcmp(boot, now) != 0;
	r->pid = json_integer_value(json_object_get(all, "pid"));
	r->cell_made = json_is_true(json_object_get(all, "cell_made"));
	r->cell_inode = json_integer_value(json_object_get(all, "cell_inode"));
	copy_text(all, "cell", r->cell);
	copy_text(all, "peer", r->peer);
	copy_text(all, "container", r->container);
	copy_text(all, "network", r->network);
	strlcpy(r->lock, json_string_value(json_object_get(all, "lock")) ?: "", sizeof(r->lock));
	return 0;
}

/* 1, or 0 when there is none. */
static int read_record(struct record_file *r, struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	char name[RECORD_NAME];
	_cleanup_fd_ int fd = -1;

	name_of(r, "json", name);
	fd = openat(r->directory_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || read_fd_to_end(fd, &text))
		return error_set(err, ERROR_FAILED, errno, "state directory: %s", name);
	return parse(r, text.data, text.size, err) ? -1 : 1;
}

void record_file_name(const struct record_file *r, char ret[RECORD_NAME])
{
	name_of(r, "json", ret);
}

int record_refresh(struct record_file *r, struct error *err)
{
	return read_record(r, err) < 0 ? -1 : 0;
}

int record_load(struct record_file *r, int directory, enum side side, const uint8_t id[ID_SIZE],
		int timeout_ms, struct error *err)
{
	char name[RECORD_NAME];
	int there;

	init(r, directory, side, id);
	name_of(r, "json", name);
	if (faccessat(directory, name, F_OK, 0) && errno == ENOENT)
		return 0;
	if (lock(r, timeout_ms, err))
		return -1;
	there = read_record(r, err);
	if (there)
		return there;
	if (record_remove(r, err))
		return -1;
	record_release(r);
	return 0;
}

int record_note_cell(struct record_file *r, const struct cell *cell, struct error *err)
{
	struct stat st;

	if (strlcpy(r->cell, cell->freezer.path, sizeof(r->cell)) >= sizeof(r->cell))
		return error_set(err, ERROR_FAILED, ENAMETOOLONG, "%s", cell->freezer.path);
	r->cell_made = cell->made;
	r->cell_inode = stat(r->cell, &st) ? 0 : st.st_ino;
	return 0;
}

int record_write(struct record_file *r, enum record_phase phase, struct error *err)
{
	const bool source = r->side == SIDE_SOURCE;
	char id[RECORD_ID_TEXT], other[RECORD_ID_TEXT], boot[BOOT_ID_SIZE];
	_cleanup_json_ json_t *all = NULL;
	_cleanup_free_ char *text = NULL;
	char name[RECORD_NAME];

	record_id_text(r->id, id);
	record_id_text(source ? r->destination : r->source, other);
	read_boot_id(boot);
	all = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:i, s:s*, s:b, s:I}",
			"id", id, "side", source ? "source" : "destination", "phase", phase_words[phase],
			"boot_id", boot, source ? "destination" : "source", other, "peer",
			text_or_null(r->peer),
			"container", text_or_null(r->container), "lock", text_or_null(r->lock),
			"network", text_or_null(r->network), "pid", r->pid, "cell",
			text_or_null(r->cell), "cell_made", r->cell_made, "cell_inode",
			(json_int_t)r->cell_inode);
	text = all ? json_dumps(all, JSON_INDENT(1)) : NULL;
	if (!text)
		return error_set(err, ERROR_FAILED, ENOMEM, "migration record");
	name_of(r, "json", name);
	if (replace_file(r->directory_fd, name, text, strlen(text), err))
		return -1;
	r->phase = phase;
	return 0;
}

int record_begin(struct record_file *r, int directory, enum side side, const uint8_t id[ID_SIZE],
		 struct error *err)
{
	char name[RECORD_NAME];

	init(r, directory, side, id);
	/* Somebody who sweeps may have it for a moment. */
	if (lock(r, BEGIN_TIMEOUT_MS, err))
		return -1;
	name_of(r, "json", name);
	if (faccessat(directory, name, F_OK, 0) == 0)
		return error_set(err, ERROR_FAILED, EEXIST, "state directory: %s", name);
	return record_write(r, RECORD_PREPARING, err);
}

int record_remove(struct record_file *r, struct error *err)
{
	/* The record goes last, so that none of the others can stay without it. Who comes between
	 * finds one that has nothing to do any more. */
	static const char *const suffixes[] = { "json.part", "lock", "json" };
	char name[RECORD_NAME];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(suffixes); i++) {
		name_of(r, suffixes[i], name);
		if (unlinkat(r->directory_fd, name, 0) && errno != ENOENT)
			return error_set(err, ERROR_FAILED, errno, "state directory: %s", name);
	}
	if (fsync(r->directory_fd))
		return error_set(err, ERROR_FAILED, errno, "state directory");
	return 0;
}

int record_open_cell(const struct record_file *r, struct cell *ret, struct error *err)
{
	struct stat st;

	*ret = CELL_NONE;
	if (!r->cell[0] || r->other_boot || stat(r->cell, &st) ||
	    (r->cell_inode && r->cell_inode != st.st_ino))
		return 0;
	return cell_open(ret, r->cell, r->cell_made, err) ? -1 : 1;
}

int record_list(int directory, enum side side, struct record_ids *ret, struct error *err)
{
	const char *suffix = side == SIDE_SOURCE ? ".source.json" : ".destination.json";
	int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	if (!stream) {
		fd_close(&copy);
		return error_set(err, ERROR_FAILED, errno, "state directory");
	}
	while ((entry = readdir(stream))) {
		_cleanup_error_ struct error other = ERROR_INIT;
		char text[RECORD_ID_TEXT];
		struct record_id id, *place;

		strlcpy(text, entry->d_name, sizeof(text));
		if (strlen(entry->d_name) != strlen(text) + strlen(suffix) ||
		    strcmp(entry->d_name + strlen(text), suffix) ||
		    record_parse_id(text, id.bytes, &other))
			continue;
		place = array_add(&ret->list);
		if (!place)
			return error_set(err, ERROR_FAILED, ENOMEM, "state directory");
		*place = id;
	}
	return 0;
}

void record_ids_release(struct record_ids *ids)
{
	array_release(&ids->list);
}

void record_release(struct record_file *r)
{
	fd_close(&r->lock_fd);
}
