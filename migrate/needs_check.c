/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the destination says to that. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "kernel-compat/features.h"
#include "kinds/cgroup/cgroup.h"
#include "kinds/net/net.h"
#include "kinds/restore.h"
#include "migrate/needs.h"
#include "migrate/needs_names.h"
#include "network/links.h"
#include "runtime/runtime.h"

enum {
	BLOCKERS_MAX = 40,	/* more than that nobody reads */
	MIB = 1 << 20,
	REMEDY_SIZE = 128,
};

struct check {
	const MigrateRequirements *m;
	const struct needs_options *options;
	struct blockers *blockers;
};

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "requirements");
}

static bool enough(const struct check *c)
{
	return c->blockers->list.count >= BLOCKERS_MAX;
}

/* An error that says that something is in the way becomes a blocker. */
static int add_refusal(struct check *c, const char *object, struct error *why, struct error *err)
{
	int r = 0;

	if (why->kind == ERROR_BLOCKED)
		r = blockers_add(c->blockers, 0, why->message, why->hint, "%s", object) ?
			    no_memory(err) :
			    0;
	else
		r = error_set(err, why->kind, 0, "%s", why->message);
	error_clear(why);
	return r;
}

static const struct feature *feature_named(const char *name)
{
	size_t i;

	for (i = 0; i < features_count; i++)
		if (!strcmp(features_table[i].name, name))
			return &features_table[i];
	return NULL;
}

static int check_features(struct check *c, struct error *err)
{
	size_t i;

	for (i = 0; i < c->m->n_features && !enough(c); i++) {
		const struct feature *f = feature_named(c->m->features[i]);
		int r = 0, trouble = f ? feature_probe(f) : 0;
		char remedy[REMEDY_SIZE];

		if (!f) {
			r = blockers_add(c->blockers, 0, "the criu-lite here does not know it",
					 "use the same criu-lite on both sides",
					 "kernel feature %s", c->m->features[i]);
		} else if (trouble) {
			snprintf(remedy, sizeof(remedy),
				 *f->since ? "needs Linux %s, and nobody who forbids it" :
					     "receive with that privilege%s",
				 f->since);
			r = blockers_add(c->blockers, 0, strerror(trouble), remedy,
					 "kernel feature %s (%s)", f->name, f->needed_by);
		}
		if (r)
			return no_memory(err);
	}
	return 0;
}

static bool is_type(const char *name)
{
	size_t i;

	for (i = 0; i < NEEDS_NAMESPACES; i++)
		if (!strcmp(needs_namespaces[i].name, name))
			return true;
	return false;
}

/* The limit counts for all that a user has made, namespaces(7); 0 is how it is switched off. */
static bool is_forbidden(const char *name)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces", name);
	return !read_file_at(AT_FDCWD, path, &text) && !strcmp(text.data, "0\n");
}

static int check_namespaces(struct check *c, struct error *err)
{
	size_t i;

	for (i = 0; i < c->m->n_namespaces && !enough(c); i++) {
		const char *name = c->m->namespaces[i], *reason = NULL, *remedy = NULL;
		char path[32];

		snprintf(path, sizeof(path), "/proc/self/ns/%.6s", name);
		if (!is_type(name) || access(path, F_OK)) {
			reason = "the kernel here has none";
		} else if (is_forbidden(name)) {
			reason = "the machine allows none";
			remedy = "raise the limit in /proc/sys/user";
		}
		if (reason && blockers_add(c->blockers, 0, reason, remedy,
					   "namespace of type %s", name))
			return no_memory(err);
	}
	return 0;
}

static int check_cgroups(struct check *c, struct error *err)
{
	struct container here = CONTAINER_NONE;
	size_t i;

	here.externals = c->options->externals;
	here.externals_count = c->options->externals_count;
	for (i = 0; i < c->m->n_cgroups && !enough(c); i++) {
		const char *word = c->m->cgroups[i], *path = strstr(word, ":/");
		_cleanup_free_ char *controllers = path ? strndup(word, path - word) : NULL;
		struct error why = ERROR_INIT;

		if (!path || strstr(path, "/.."))
			return error_set(err, ERROR_PEER, 0, "the cgroup \"%s\" is none", word);
		if (!controllers)
			return no_memory(err);
		if (cgroups_check_place(&here, controllers, path + 1, &why) &&
		    add_refusal(c, "cgroup", &why, err))
			return -1;
	}
	return 0;
}

static int check_container(struct check *c, struct error *err)
{
	const MigrateContainer *m = c->m->container;
	struct runtime_container wanted = { 0 };
	struct error why = ERROR_INIT;

	if (!m)
		return 0;
	wanted.runtime = runtime_by_name(m->runtime);
	wanted.root = m->root;
	wanted.id = m->id;
	if (!wanted.runtime)
		return blockers_add(c->blockers, 0, "the criu-lite here does not know it",
				    "use the same criu-lite on both sides", "runtime %s",
				    m->runtime) ?
			       no_memory(err) :
			       0;
	if (m->root[0] != '/' || strstr(m->root, "/..") || strchr(m->id, '/') || !*m->id ||
	    m->id[0] == '.')
		return error_set(err, ERROR_PEER, 0, "the container's name is none");
	return runtime_free(&wanted, NULL, &why) ? add_refusal(c, "container", &why, err) : 0;
}

static int check_links(struct check *c, struct error *err)
{
	struct restore here = { 0 };
	_cleanup_links_ struct links links = { 0 };
	size_t i;

	if (!c->m->n_links)
		return 0;
	here.container.externals = c->options->externals;
	here.container.externals_count = c->options->externals_count;
	if (links_read(&links, err))
		return -1;
	for (i = 0; i < c->m->n_links && !enough(c); i++) {
		const MigrateLink *m = c->m->links[i];
		const char *name = net_host_name(&here, m->name);
		const struct link *found = links_named(&links, name);
		bool bridge = !strcmp(m->kind, "bridge");

		if (found && (!bridge || !strcmp(found->kind, "bridge")))
			continue;
		if (blockers_add(c->blockers, 0,
				 found ? "it is no bridge" : "this machine does not have it",
				 "make it, or name another one here: --external "
				 "net[NAME]=NAME-HERE",
				 "%s %s", bridge ? "bridge" : "network link", name))
			return no_memory(err);
	}
	return 0;
}

/* Kibibytes of a line of /proc/meminfo; 0 when it is not there. */
static uint64_t meminfo(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	return at ? strtoull(at + strlen(line), NULL, 10) : 0;
}

/* Else it would be made by ending programs that others have here. */
static int check_memory(struct check *c, struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	uint64_t available;

	if (c->options->overcommit || !c->m->memory ||
	    read_file_at(AT_FDCWD, "/proc/meminfo", &text))
		return 0;
	available = (meminfo(text.data, "MemAvailable:") + meminfo(text.data, "SwapFree:")) << 10;
	if (c->m->memory <= available)
		return 0;
	return blockers_add(c->blockers, 0, "that is more than is available",
			    "make room, or receive with --overcommit",
			    "%" PRIu64 " MiB of memory (available: %" PRIu64 " MiB)",
			    c->m->memory / MIB, available / MIB) ?
		       no_memory(err) :
		       0;
}

int needs_check(const MigrateRequirements *m, const struct needs_options *options,
		struct blockers *blockers, struct error *err)
{
	struct check c = { m, options, blockers };

	return check_features(&c, err) || check_namespaces(&c, err) || check_container(&c, err) ||
			       check_cgroups(&c, err) || check_links(&c, err) ||
			       check_memory(&c, err) ?
		       -1 :
		       0;
}
