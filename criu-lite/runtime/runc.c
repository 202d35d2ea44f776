/* SPDX-License-Identifier: GPL-2.0-or-later */
/* runc(8): ROOT/ID/state.json, read and made by every command of it. Only what is needed of it is
 * looked at, so that also those of other versions are understood. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "runtime/internal.h"
#include "runtime/runc.h"

enum {
	STATE_MAX = 4 << 20,
	ID_MAX_LENGTH = 1024,
	ENTRIES_MAX = 64,	/* cgroups, namespaces */
	PID_MAX_EVER = 1 << 22,
	END_PAUSE_NS = 2 * 1000 * 1000,
};
#define END_TIMEOUT_NS 2000000000ull	/* for threads that end */

static const char default_root[] = "/run/runc";

static void json_release(json_t **json)
{
	json_decref(*json);
}
#define _cleanup_json_ __attribute__((cleanup(json_release)))

/* The grammar of runc itself: it becomes the name of a directory. */
static bool is_id(const char *id)
{
	const char *at;

	for (at = id; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr("_+-.", *at))
			return false;
	return at != id && at - id <= ID_MAX_LENGTH && strcmp(id, ".") && strcmp(id, "..");
}

/* An absolute path without ".." and of a length that can be opened. */
static bool is_path(const char *path)
{
	const char *at;

	if (!path || path[0] != '/' || strlen(path) >= PATH_MAX)
		return false;
	for (at = path; (at = strstr(at, "/..")); at += 3)
		if (!at[3] || at[3] == '/')
			return false;
	return true;
}

static int misread(const struct runtime_container *c, const char *key, struct error *err)
{
	return error_set(err, ERROR_TARGET, 0,
			 "container %s: the state that runc keeps has no usable \"%s\"", c->id, key);
}

static int no_memory(const struct runtime_container *c, struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "container %s", c->id);
}

static int take_process(struct runtime_container *ret, const json_t *state, struct error *err)
{
	const json_t *pid = json_object_get(state, "init_process_pid");
	const json_t *start = json_object_get(state, "init_process_start");

	if (!json_is_integer(pid) || json_integer_value(pid) < 1 ||
	    json_integer_value(pid) > PID_MAX_EVER)
		return misread(ret, "init_process_pid", err);
	if (!json_is_integer(start) || json_integer_value(start) < 0)
		return misread(ret, "init_process_start", err);
	ret->pid = json_integer_value(pid);
	ret->start_time = json_integer_value(start);
	return 0;
}

/* The bundle is among the labels: "bundle=/path". */
static int take_bundle(struct runtime_container *ret, const json_t *config, struct error *err)
{
	static const char label[] = "bundle=";
	const json_t *labels = json_object_get(config, "labels");
	size_t i;

	for (i = 0; i < json_array_size(labels); i++) {
		const char *text = json_string_value(json_array_get(labels, i));

		if (!text || strncmp(text, label, sizeof(label) - 1))
			continue;
		if (!is_path(text + sizeof(label) - 1))
			return misread(ret, "bundle", err);
		ret->bundle = strdup(text + sizeof(label) - 1);
		return ret->bundle ? 0 : no_memory(ret, err);
	}
	return 0;
}

static int take_config(struct runtime_container *ret, const json_t *state, struct error *err)
{
	const json_t *config = json_object_get(state, "config");
	const char *rootfs = json_string_value(json_object_get(config, "rootfs"));

	if (!is_path(rootfs))
		return misread(ret, "config.rootfs", err);
	ret->rootfs = strdup(rootfs);
	return ret->rootfs ? take_bundle(ret, config, err) : no_memory(ret, err);
}

static int take_cgroups(struct runtime_container *ret, json_t *state, struct error *err)
{
	json_t *paths = json_object_get(state, "cgroup_paths"), *path;
	struct runtime_cgroup *cgroup;
	const char *controllers;

	if (!json_is_object(paths) || json_object_size(paths) > ENTRIES_MAX)
		return misread(ret, "cgroup_paths", err);
	json_object_foreach(paths, controllers, path) {
		/* A controller that is not there has an empty path. */
		if (json_is_string(path) && !*json_string_value(path))
			continue;
		if (!is_path(json_string_value(path)))
			return misread(ret, "cgroup_paths", err);
		cgroup = array_add(&ret->cgroups);
		if (!cgroup)
			return no_memory(ret, err);
		cgroup->controllers = strdup(controllers);
		cgroup->directory = strdup(json_string_value(path));
		if (!cgroup->controllers || !cgroup->directory)
			return no_memory(ret, err);
	}
	return 0;
}

static int take_namespaces(struct runtime_container *ret, json_t *state, struct error *err)
{
	json_t *paths = json_object_get(state, "namespace_paths"), *path;
	struct runtime_namespace *ns;
	const char *type;

	if (!json_is_object(paths) || json_object_size(paths) > ENTRIES_MAX)
		return misread(ret, "namespace_paths", err);
	json_object_foreach(paths, type, path) {
		if (!is_path(json_string_value(path)))
			return misread(ret, "namespace_paths", err);
		ns = array_add(&ret->namespaces);
		if (!ns)
			return no_memory(ret, err);
		ns->type = strdup(type);
		ns->path = strdup(json_string_value(path));
		if (!ns->type || !ns->path)
			return no_memory(ret, err);
	}
	return 0;
}

static json_t *load(const struct runtime_container *c, const char *text, size_t size,
		    struct error *err)
{
	json_error_t why;
	json_t *state;

	if (!is_id(c->id)) {
		error_set(err, ERROR_USAGE, 0,
			  "container %s: an id of runc has letters, digits and _+-. only", c->id);
		return NULL;
	}
	state = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(state)) {
		json_decref(state);
		error_set(err, ERROR_TARGET, 0,
			  "container %s: the state that runc keeps is not understood: line %d: %s",
			  c->id, state ? 1 : why.line, state ? "no object" : why.text);
		return NULL;
	}
	return state;
}

static int parse(struct runtime_container *ret, const char *text, size_t size, struct error *err)
{
	_cleanup_json_ json_t *state = load(ret, text, size, err);
	const char *id;

	if (!state)
		return -1;
	id = json_string_value(json_object_get(state, "id"));
	if (!id || strcmp(id, ret->id))
		return misread(ret, "id", err);
	if (take_process(ret, state, err) || take_config(ret, state, err) ||
	    take_cgroups(ret, state, err) || take_namespaces(ret, state, err))
		return -1;
	ret->state = malloc(size + 1);
	if (!ret->state)
		return no_memory(ret, err);
	memcpy(ret->state, text, size);
	ret->state[size] = '\0';
	ret->state_size = size;
	return 0;
}

static char *directory_of(const struct runtime_container *c)
{
	char *path;

	return asprintf(&path, "%s/%s", c->root, c->id) < 0 ? NULL : path;
}

/* Where it is kept: below `root`, or where runc keeps those of root, or of the user's session. */
static int open_directory(struct runtime_container *ret, const char *root, struct error *err)
{
	const char *session = getenv("XDG_RUNTIME_DIR");
	_cleanup_free_ char *path = NULL;
	int fd;

	ret->root = strdup(root ? root : default_root);
	path = ret->root ? directory_of(ret) : NULL;
	if (!path) {
		no_memory(ret, err);
		return -1;
	}
	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT || root || !session || session[0] != '/') {
		if (fd < 0)
			error_set(err, ERROR_TARGET, errno, "container %s: %s", ret->id, path);
		return fd;
	}
	free(ret->root);
	if (asprintf(&ret->root, "%s/runc", session) < 0) {
		ret->root = NULL;
		no_memory(ret, err);
		return -1;
	}
	free(path);
	path = directory_of(ret);
	fd = path ? open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (fd < 0)
		error_set(err, ERROR_TARGET, errno, "container %s: neither in %s nor in %s", ret->id,
			  default_root, ret->root);
	return fd;
}

static int read_state(int dir, const struct runtime_container *c, struct buffer *text,
		      struct error *err)
{
	_cleanup_fd_ int fd = openat(dir, "state.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return error_set(err, ERROR_TARGET, errno, "container %s: %s/%s/state.json", c->id,
				 c->root, c->id);
	if (!S_ISREG(st.st_mode) || st.st_size > STATE_MAX)
		return error_set(err, ERROR_TARGET, 0,
				 "container %s: %s/%s/state.json is no file of up to %d bytes",
				 c->id, c->root, c->id, STATE_MAX);
	if (read_fd_to_end(fd, text))
		return error_set(err, ERROR_TARGET, errno, "container %s: %s/%s/state.json", c->id,
				 c->root, c->id);
	return 0;
}

/* `runc exec` reads it. Its absence is the operator's affair. */
static void read_config(struct runtime_container *c)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_fd_ int fd = -1;
	struct buffer text = { 0 };
	struct stat st;

	if (!c->bundle || asprintf(&path, "%s/config.json", c->bundle) < 0) {
		path = NULL;
		return;
	}
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > STATE_MAX ||
	    read_fd_to_end(fd, &text)) {
		buffer_release(&text);
		return;
	}
	c->config = text.data;
	c->config_size = text.size;
}

static int find(struct runtime_container *ret, const char *root, const char *id,
		struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	_cleanup_fd_ int dir = -1;

	if (!ret->id && !(ret->id = strdup(id)))
		return no_memory(ret, err);
	if (!is_id(ret->id))
		return error_set(err, ERROR_USAGE, 0,
				 "container %s: an id of runc has letters, digits and _+-. only",
				 ret->id);
	ret->runtime = &runc_runtime;
	dir = open_directory(ret, root, err);
	if (dir < 0 || read_state(dir, ret, &text, err) ||
	    parse(ret, text.data, text.size, err))
		return -1;
	/* Until `runc start` opens it, its init is still runc. */
	if (!faccessat(dir, "exec.fifo", F_OK, AT_SYMLINK_NOFOLLOW)) {
		error_set(err, ERROR_TARGET, 0, "container %s: it was created, but not started", id);
		return error_hint(err, "runc start %s", id);
	}
	read_config(ret);
	return 0;
}

/* Whether no process is listed in it. One that ends is not listed any more while some of its
 * threads are still there, and keep the cgroup for a moment. */
static bool is_deserted(const char *path)
{
	_cleanup_buffer_ struct buffer listed = { 0 };
	_cleanup_free_ char *file = NULL;

	if (asprintf(&file, "%s/cgroup.procs", path) < 0) {
		file = NULL;
		return false;
	}
	return !read_file_at(AT_FDCWD, file, &listed) && !listed.size;
}

/* Returns 0 or errno. */
static int remove_deserted(const char *path)
{
	const uint64_t deadline = now_ns() + END_TIMEOUT_NS;
	int failed;

	while (rmdir(path)) {
		failed = errno;
		if (failed == ENOENT)
			return 0;
		if (failed != EBUSY || now_ns() > deadline || !is_deserted(path))
			return failed;
		nanosleep(&(struct timespec){ .tv_nsec = END_PAUSE_NS }, NULL);
	}
	return 0;
}

/* Cgroups below that of the container are its own, too. Those with processes in them stay, and so
 * does what is above them. False when any does. */
static bool remove_cgroup(const char *path)
{
	_cleanup_dir_ DIR *stream = opendir(path);
	const struct dirent *entry;
	bool empty = true;
	int failed;

	while (stream && (entry = readdir(stream))) {
		_cleanup_free_ char *below = NULL;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if (asprintf(&below, "%s/%s", path, entry->d_name) < 0)
			below = NULL;
		empty = below && remove_cgroup(below) && empty;
	}
	failed = empty ? remove_deserted(path) : EBUSY;
	if (failed)
		log_info("%s: %s", path, strerror(failed));
	return !failed;
}

/* A container without one of its own is in that of others: the top of a hierarchy. */
static bool is_own_cgroup(const char *path)
{
	_cleanup_free_ char *parent = NULL;
	struct stat st, above;
	struct statfs fs;

	if (asprintf(&parent, "%s/..", path) < 0) {
		parent = NULL;
		return false;
	}
	return !statfs(path, &fs) &&
	       (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC) &&
	       !lstat(path, &st) && !lstat(parent, &above) && st.st_dev == above.st_dev;
}

static int forget_state(const struct runtime_container *c, struct error *err)
{
	_cleanup_free_ char *path = directory_of(c);
	_cleanup_fd_ int dir = -1;

	if (!path)
		return no_memory(c, err);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT)
		return 0;
	if (dir < 0 || (unlinkat(dir, "state.json", 0) && errno != ENOENT) || rmdir(path))
		return error_set(err, ERROR_FAILED, errno, "container %s: cannot remove %s", c->id,
				 path);
	return 0;
}

static void forget_cgroups(const struct runtime_container *c)
{
	const struct runtime_cgroup *cgroup;

	array_for(cgroup, &c->cgroups)
		if (is_own_cgroup(cgroup->directory))
			remove_cgroup(cgroup->directory);
}

const struct runtime runc_runtime = {
	.name = "runc",
	.help = "runc(8)",
	.find = find,
	.parse = parse,
	.directory = directory_of,
	.write = runc_write,
	.config_file = runc_config_file,
	.forget_state = forget_state,
	.forget_cgroups = forget_cgroups,
};
