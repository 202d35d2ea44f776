/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state that runc finds where a container has come to: the one that it had, with what is of the
 * new machine put in its place. What is not known here stays as it was. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "runtime/runc.h"

/* As runc makes them. */
enum { ROOT_MODE = 0700, DIRECTORY_MODE = 0711, STATE_MODE = 0600, CONFIG_MODE = 0644 };

static const char *const part_name = "state.json.part";

/* Whether `name` is among words separated by commas. */
static bool is_among(const char *name, const char *words)
{
	size_t length = strlen(name), n;

	for (;; words += n + 1) {
		n = strcspn(words, ",");
		if (n == length && !strncmp(words, name, n))
			return true;
		if (!words[n])
			return false;
	}
}

static const char *directory_here(const struct runtime_place *place, const char *controller)
{
	size_t i;

	for (i = 0; i < place->cgroups_count; i++)
		if (is_among(controller, place->cgroups[i].controllers))
			return place->cgroups[i].directory;
	return NULL;
}

/* Hierarchies that the container is in no more are left out. */
static int put_cgroups(json_t *state, const struct runtime_place *place)
{
	json_t *here = json_object(), *path;
	const char *controller, *directory;

	json_object_foreach(json_object_get(state, "cgroup_paths"), controller, path) {
		directory = directory_here(place, controller);
		if (directory && json_object_set_new(here, controller, json_string(directory))) {
			json_decref(here);
			return -1;
		}
	}
	return json_object_set_new(state, "cgroup_paths", here);
}

/* "/proc/12/ns/net" of the init that was; another path was given from outside and stays. */
static int put_namespaces(json_t *state, const struct runtime_container *c, pid_t pid)
{
	json_t *paths = json_object_get(state, "namespace_paths"), *path;
	const char *type, *was;
	char before[32];
	void *next;
	int n;

	n = snprintf(before, sizeof(before), "/proc/%d/", c->pid);
	json_object_foreach_safe(paths, next, type, path) {
		_cleanup_free_ char *here = NULL;

		was = json_string_value(path);
		if (strncmp(was, before, n))
			continue;
		if (asprintf(&here, "/proc/%d/%s", pid, was + n) < 0) {
			here = NULL;
			return -1;
		}
		if (json_object_set_new(paths, type, json_string(here)))
			return -1;
	}
	return 0;
}

/* Where the bundle is, if the root file system lies in it as it did; NULL when it does not. */
static char *bundle_here(const struct runtime_container *c, const char *rootfs)
{
	size_t bundle = c->bundle ? strlen(c->bundle) : 0, length = strlen(rootfs), below;

	if (!bundle || strncmp(c->rootfs, c->bundle, bundle) || c->rootfs[bundle] != '/')
		return NULL;
	below = strlen(c->rootfs + bundle);
	if (length <= below || strcmp(rootfs + length - below, c->rootfs + bundle))
		return NULL;
	return strndup(rootfs, length - below);
}

static int put_bundle(json_t *config, const char *bundle)
{
	json_t *labels = json_object_get(config, "labels"), *label;
	char *text;
	size_t i;
	int r;

	json_array_foreach(labels, i, label) {
		if (!json_is_string(label) || strncmp(json_string_value(label), "bundle=", 7))
			continue;
		if (asprintf(&text, "bundle=%s", bundle) < 0)
			return -1;
		r = json_array_set_new(labels, i, json_string(text));
		free(text);
		return r;
	}
	return 0;
}

static int put_rootfs(json_t *state, const struct runtime_container *c, const char *rootfs)
{
	json_t *config = json_object_get(state, "config");
	_cleanup_free_ char *bundle = NULL;

	if (!rootfs || !strcmp(rootfs, c->rootfs))
		return 0;
	bundle = bundle_here(c, rootfs);
	if (bundle && put_bundle(config, bundle))
		return -1;
	return json_object_set_new(config, "rootfs", json_string(rootfs));
}

char *runc_state_here(const struct runtime_container *c, const struct runtime_place *place,
		      struct error *err)
{
	json_t *state = json_loadb(c->state, c->state_size, JSON_REJECT_DUPLICATES, NULL);
	char *text = NULL;

	if (state && !json_object_set_new(state, "init_process_pid", json_integer(place->pid)) &&
	    !json_object_set_new(state, "init_process_start", json_integer(place->start_time)) &&
	    !put_cgroups(state, place) && !put_namespaces(state, c, place->pid) &&
	    !put_rootfs(state, c, place->rootfs))
		text = json_dumps(state, JSON_COMPACT);
	json_decref(state);
	if (!text)
		error_set(err, ERROR_FAILED, ENOMEM, "container %s: its state for runc", c->id);
	return text;
}

/* What has been made of it so far; taken back unless it is whole. */
struct making {
	char *path;	/* of the directory, openable from here */
	int fd;
	bool made;	/* the directory is ours */
};

static int open_directory(struct making *m, const struct runtime_container *c,
			  const char *prefix, struct error *err)
{
	_cleanup_free_ char *root = NULL;

	if (asprintf(&root, "%s%s", prefix, c->root) < 0)
		root = NULL;
	if (!root || asprintf(&m->path, "%s/%s", root, c->id) < 0) {
		m->path = NULL;
		return error_set(err, ERROR_FAILED, ENOMEM, "container %s", c->id);
	}
	if (mkdir(root, ROOT_MODE) && errno != EEXIST)
		return error_set(err, ERROR_FAILED, errno, "%s", c->root);
	/* The modes are those of runc, whatever our umask is. */
	if (!mkdir(m->path, DIRECTORY_MODE))
		m->made = chmod(m->path, DIRECTORY_MODE) == 0;
	else if (errno != EEXIST)
		return error_set(err, ERROR_FAILED, errno, "%s/%s", c->root, c->id);
	m->fd = open(m->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (m->fd < 0)
		return error_set(err, ERROR_FAILED, errno, "%s/%s", c->root, c->id);
	return 0;
}

static int write_state(struct making *m, const struct runtime_container *c, const char *text,
		       struct error *err)
{
	_cleanup_fd_ int fd = openat(m->fd, part_name,
				     O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
				     STATE_MODE);

	if (fd < 0 || fchmod(fd, STATE_MODE) || write_full(fd, text, strlen(text)) ||
	    fsync(fd) || renameat(m->fd, part_name, m->fd, "state.json") || fsync(m->fd))
		return error_set(err, ERROR_FAILED, errno, "%s/%s/state.json", c->root, c->id);
	return 0;
}

char *runc_config_file(const struct runtime_container *c, const char *rootfs)
{
	_cleanup_free_ char *bundle = rootfs ? bundle_here(c, rootfs) : NULL;
	char *path;

	if (!bundle && !c->bundle)
		return NULL;
	return asprintf(&path, "%s/config.json", bundle ? bundle : c->bundle) < 0 ? NULL : path;
}

/* In a bundle that came without it. There may be none at all: then `runc exec` says so. */
static void write_config(const struct runtime_container *c, const struct runtime_place *place)
{
	_cleanup_free_ char *file = runc_config_file(c, place->rootfs), *path = NULL;
	_cleanup_fd_ int fd = -1;

	if (!c->config || !file || asprintf(&path, "%s%s", place->prefix, file) < 0) {
		path = NULL;
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, CONFIG_MODE);
	if (fd < 0 && errno != EEXIST)
		log_info("%s: %s", file, strerror(errno));
	if (fd >= 0 && write_full(fd, c->config, c->config_size)) {
		log_notice("%s: %s", file, strerror(errno));
		unlink(path);
	}
}

int runc_write(const struct runtime_container *c, const struct runtime_place *place,
	       struct error *err)
{
	_cleanup_free_ char *text = runc_state_here(c, place, err);
	struct making m = { .fd = -1 };
	int r;

	if (!text)
		return -1;
	r = open_directory(&m, c, place->prefix, err) || write_state(&m, c, text, err) ? -1 : 0;
	if (r && m.fd >= 0)
		unlinkat(m.fd, part_name, 0);
	if (r && m.made)
		rmdir(m.path);
	if (!r)
		write_config(c, place);
	fd_close(&m.fd);
	free(m.path);
	return r;
}
