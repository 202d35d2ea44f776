/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the source tells of its tree. */
#include "migrate/needs.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kernel-compat/features.h"
#include "migrate/needs_names.h"
#include "network/links.h"
#include "network/netns.h"
#include "proc/status.h"

const struct needs_namespace needs_namespaces[NEEDS_NAMESPACES] = {
	{ "mnt", CLONE_NEWNS },	  { "net", CLONE_NEWNET },   { "ipc", CLONE_NEWIPC },
	{ "uts", CLONE_NEWUTS },  { "pid", CLONE_NEWPID },   { "user", CLONE_NEWUSER },
	{ "time", CLONE_NEWTIME }, { "cgroup", CLONE_NEWCGROUP },
};

static int no_memory(struct error *err)
{
	return error_set(err, ERROR_FAILED, ENOMEM, "requirements");
}

/* Appends a word, which it takes over. */
static int add_word(char ***words, size_t *count, char *word, struct error *err)
{
	char **longer = word ? realloc(*words, (*count + 1) * sizeof(*longer)) : NULL;

	if (!longer) {
		free(word);
		return no_memory(err);
	}
	*words = longer;
	longer[(*count)++] = word;
	return 0;
}

static int add_feature(MigrateRequirements *m, const char *name, struct error *err)
{
	return add_word(&m->features, &m->n_features, strdup(name), err);
}

/* Those without which nothing is restored, and those of networks: the others show in what a single
 * process has. */
static int add_features(MigrateRequirements *m, uint64_t namespaces, struct error *err)
{
	static const char *const of_network[] = { "cap-net-admin", "inet-diag", "tcp-repair",
						  "packet-lock" };
	size_t i;

	for (i = 0; i < features_count; i++)
		if (!features_table[i].without && add_feature(m, features_table[i].name, err))
			return -1;
	for (i = 0; i < ARRAY_SIZE(of_network) && namespaces & CLONE_NEWNET; i++)
		if (add_feature(m, of_network[i], err))
			return -1;
	return 0;
}

static int add_namespaces(MigrateRequirements *m, uint64_t namespaces, struct error *err)
{
	size_t i;

	for (i = 0; i < NEEDS_NAMESPACES; i++)
		if (namespaces & needs_namespaces[i].flag &&
		    add_word(&m->namespaces, &m->n_namespaces, strdup(needs_namespaces[i].name),
			     err))
			return -1;
	return 0;
}

static int add_cgroups(MigrateRequirements *m, const struct cgroups *cgroups, struct error *err)
{
	const struct cgroup_root *root;

	array_for(root, &cgroups->roots) {
		char *word;

		if (asprintf(&word, "%s:%s", root->controllers, root->path) < 0)
			word = NULL;
		if (add_word(&m->cgroups, &m->n_cgroups, word, err))
			return -1;
	}
	return 0;
}

static int add_container(MigrateRequirements *m, const struct runtime_container *c,
			 struct error *err)
{
	if (!c->runtime)
		return 0;
	m->container = malloc(sizeof(*m->container));
	if (!m->container)
		return no_memory(err);
	migrate_container__init(m->container);
	m->container->runtime = strdup(c->runtime->name);
	m->container->root = strdup(c->root);
	m->container->id = strdup(c->id);
	return m->container->runtime && m->container->root && m->container->id ? 0 :
										 no_memory(err);
}

static int add_link(MigrateRequirements *m, const struct link *link, struct error *err)
{
	MigrateLink **longer = realloc(m->links, (m->n_links + 1) * sizeof(*longer)), *one;
	size_t i;

	if (!longer)
		return no_memory(err);
	m->links = longer;
	for (i = 0; i < m->n_links; i++)
		if (!strcmp(m->links[i]->name, link->name))
			return 0;
	one = malloc(sizeof(*one));
	if (!one)
		return no_memory(err);
	migrate_link__init(one);
	one->name = strdup(link->name);
	one->kind = strdup(link->kind);
	m->links[m->n_links++] = one;
	return one->name && one->kind ? 0 : no_memory(err);
}

/* A bridge that the machine's end of a veth is a port of, or what a link stands on. Numbers of one
 * namespace say nothing in the other, so they are only believed where both ends say the same. */
static const struct link *tied_to(const struct link *own, const struct links *inside,
				  const struct links *host)
{
	const struct link *end = own->lower ? links_numbered(host, own->lower) : NULL;

	if (!end)
		return NULL;
	if (!strcmp(own->kind, "veth"))
		return !strcmp(end->kind, "veth") && end->lower == own->ifindex && end->master ?
			       links_numbered(host, end->master) :
			       NULL;
	return links_numbered(inside, own->lower) ? NULL : end;
}

static int read_inside(pid_t pid, struct links *ret, struct error *err)
{
	_cleanup_fd_ int network = -1;
	char path[48];
	int back, r;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	network = open(path, O_RDONLY | O_CLOEXEC);
	if (network < 0)
		return error_set(err, ERROR_TARGET, errno, "%s", path);
	if (netns_enter(network, &back, err))
		return -1;
	r = links_read(ret, err);
	return netns_leave(&back, err) || r ? -1 : 0;
}

static int add_links(MigrateRequirements *m, pid_t pid, struct error *err)
{
	_cleanup_links_ struct links inside = { 0 }, host = { 0 };
	const struct link *own, *other;

	if (read_inside(pid, &inside, err) || links_read(&host, err))
		return -1;
	array_for(own, &inside.list) {
		other = tied_to(own, &inside, &host);
		if (other && add_link(m, other, err))
			return -1;
	}
	return 0;
}

/* Pages that processes have in common since a fork count for each; shared memory once. */
static void add_memory(MigrateRequirements *m, const struct pid_list *tree)
{
	uint64_t own = 0, shared = 0;
	const pid_t *pid;

	array_for(pid, &tree->pids) {
		_cleanup_proc_status_ struct proc_status status = { 0 };
		_cleanup_error_ struct error ended = ERROR_INIT;
		_cleanup_fd_ int dir = proc_open(*pid);

		if (dir < 0 || proc_read_status(dir, &status, &ended))
			continue;
		own += status.rss_anon + status.vm_swap;
		if (status.rss_shmem > shared)
			shared = status.rss_shmem;
	}
	m->has_memory = true;
	m->memory = own + shared;
}

int needs_collect(MigrateRequirements *m, const struct target *target, const struct pid_list *tree,
		  uint64_t namespaces, struct error *err)
{
	add_memory(m, tree);
	return add_features(m, namespaces, err) || add_namespaces(m, namespaces, err) ||
			       add_cgroups(m, &target->cgroups, err) ||
			       add_container(m, &target->container, err) ||
			       (namespaces & CLONE_NEWNET &&
				add_links(m, tree->pids.items[0], err)) ?
		       -1 :
		       0;
}
