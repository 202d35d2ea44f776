/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this kernel offers, what can be saved, and what of a running tree cannot. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "cmd/arguments.h"
#include "cmd/command.h"
#include "kinds/kind.h"
#include "steps/inside.h"
#include "steps/preflight.h"
#include "steps/target.h"
#include "tracee/features.h"

struct arguments {
	struct target_name target;
	struct option_list externals;
	bool json, kinds;
};

/* The rows of all tables in turn; NULL past the last. */
static const struct feature *feature_at(size_t i)
{
	if (i < features_count)
		return &features_table[i];
	i -= features_count;
	return i < tracee_features_count ? &tracee_features[i] : NULL;
}

static const char *scope_name(enum kind_scope scope)
{
	static const char *const names[] = {
		[KIND_TASK] = "process",
		[KIND_THREAD] = "thread",
		[KIND_OBJECT] = "object",
		[KIND_FILE] = "descriptor",
		[KIND_CONTAINER] = "container",
	};

	return names[scope];
}

/* ---- for a person ---- */

/* Returns how many required ones are missing. */
static size_t print_features(void)
{
	const struct feature *f;
	struct utsname host;
	size_t missing = 0;

	if (!uname(&host))
		printf("%s %s, %s\n\n", host.sysname, host.release, host.machine);
	printf("%-26s %-6s %-8s %s\n", "FEATURE", "SINCE", "HERE", "NEEDED BY");
	for (size_t i = 0; (f = feature_at(i)); i++) {
		int r = feature_probe(f);

		printf("%-26s %-6s %-8s %s\n", f->name, f->since[0] ? f->since : "-",
		       r == 0 ? "yes" : f->without ? "no" : "MISSING", f->needed_by);
		if (r)
			printf("%42s %s; %s\n", "", strerror(r),
			       f->without ? f->without : "nothing can be saved or restored");
		missing += r && !f->without;
	}
	return missing;
}

static void print_kinds(void)
{
	printf("\n%-24s %-11s %s\n", "KIND", "OF A", "WHAT IS SAVED");
	for (const struct kind *const *row = kinds_table; *row; row++)
		printf("%-24s %-11s %s\n", (*row)->name, scope_name((*row)->scope), (*row)->help);
}

static void print_blockers(pid_t pid, const struct blockers *blockers)
{
	const struct blocker *one;

	if (!blockers->list.count) {
		printf("process %d and all below it can be saved\n", pid);
		return;
	}
	printf("process %d cannot be saved:\n", pid);
	array_for(one, &blockers->list) {
		printf("  process %d: %s: %s\n", one->pid, one->object, one->reason);
		if (one->remedy)
			printf("    %s\n", one->remedy);
	}
}

/* ---- for machines ---- */

static json_t *json_feature(const struct feature *f, size_t *missing)
{
	int r = feature_probe(f);
	json_t *object = json_pack("{s:s, s:b, s:b, s:s}", "name", f->name, "works", r == 0,
				   "required", f->without == NULL, "needed_by", f->needed_by);

	if (object && f->since[0])
		json_object_set_new(object, "since", json_string(f->since));
	if (object && f->without)
		json_object_set_new(object, "without", json_string(f->without));
	if (object && r)
		json_object_set_new(object, "error", json_string(strerror(r)));
	*missing += r && !f->without;
	return object;
}

static json_t *json_features(size_t *missing)
{
	json_t *list = json_array();
	const struct feature *f;

	for (size_t i = 0; (f = feature_at(i)); i++)
		json_array_append_new(list, json_feature(f, missing));
	return list;
}

static json_t *json_kinds(void)
{
	json_t *list = json_array();

	for (const struct kind *const *row = kinds_table; *row; row++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", (*row)->name, "of",
						      scope_name((*row)->scope), "help",
						      (*row)->help));
	return list;
}

/* Text of a program: whatever is no UTF-8 becomes question marks. */
static json_t *json_text(const char *text)
{
	char *copy, *at;
	json_t *string = json_string(text);

	if (string || !(copy = strdup(text)))
		return string;
	for (at = copy; *at; at++)
		if (*at & 0x80)
			*at = '?';
	string = json_string(copy);
	free(copy);
	return string;
}

static json_t *json_blockers(const struct blockers *blockers)
{
	const struct blocker *one;
	json_t *list = json_array();

	array_for(one, &blockers->list) {
		json_t *object = json_pack("{s:i, s:o, s:s}", "pid", one->pid, "object",
					   json_text(one->object), "reason", one->reason);

		if (object && one->remedy)
			json_object_set_new(object, "remedy", json_string(one->remedy));
		json_array_append_new(list, object);
	}
	return list;
}

static void print_json(const json_t *root)
{
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* ---- the command ---- */

static int check_features(const struct arguments *a, json_t *root, struct error *err)
{
	size_t missing = 0;

	if (root) {
		json_object_set_new(root, "features", json_features(&missing));
		json_object_set_new(root, "kinds", json_kinds());
	} else {
		missing = print_features();
		if (a->kinds)
			print_kinds();
	}
	if (root)
		print_json(root);
	if (missing)
		return error_set(err, ERROR_BLOCKED, 0, "%zu required features are missing",
				 missing);
	return 0;
}

struct tree_check {
	const struct container *container;
	json_t *root;
	struct blockers strangers;	/* processes that are not of the tree */
};

/* What was found is printed here, since the caller may be in other namespaces. */
static int check_inside(void *context, pid_t pid, struct error *err)
{
	const struct tree_check *c = context;
	struct preflight preflight = { .container = c->container };
	struct blockers blockers = { 0 };
	int r = preflight_look(&preflight, pid, &blockers, err);

	if (!r && c->root) {
		json_object_set_new(c->root, "pid", json_integer(c->container->host_pid));
		json_object_set_new(c->root, "can_be_saved", json_boolean(!blockers.list.count));
		json_object_set_new(c->root, "blockers", json_blockers(&blockers));
		print_json(c->root);
	} else if (!r) {
		print_blockers(c->container->host_pid, &blockers);
	}
	if (!r && blockers.list.count)
		r = error_set(err, ERROR_BLOCKED, 0, "%zu things are in the way",
			      blockers.list.count);
	blockers_release(&blockers);
	preflight_release(&preflight);
	return r;
}

static int check_tree(const struct arguments *a, json_t *root, struct error *err)
{
	_cleanup_target_ struct target target = { 0 };
	struct external externals[OPTION_LIST_MAX];
	struct container container;
	struct tree_check check = { .container = &container, .root = root };
	int r;

	if (arguments_externals(&a->externals, externals, err) ||
	    target_resolve(&target, &a->target, err))
		return -1;
	r = inside_look(&container, target.pid, err) ||
			    target_check(&target, &check.strangers, err) ?
		    -1 :
		    0;
	container.cgroups = &target.cgroups;
	container.found = &check.strangers;
	container.externals = externals;
	container.externals_count = a->externals.count;
	if (!r && container_foreign(&container))
		r = inside_tree(&container, check_inside, &check, NULL, err);
	else if (!r)
		r = check_inside(&check, target.pid, err);
	blockers_release(&check.strangers);
	container_release(&container);
	return r;
}

static int run(int argc, char **argv, struct error *err)
{
	struct arguments a = { 0 };
	const struct option_row rows[] = {
		{ "t", OPTION_NUMBER, "PID",
		  "name all that keeps this process and those below it from being saved",
		  &a.target.pid, 1, INT_MAX },
		{ "cgroup", OPTION_TEXT, "PATH", "the same for a cgroup", &a.target.cgroup, 0, 0 },
		{ "container", OPTION_TEXT, "RUNTIME:ID", "the same for a container",
		  &a.target.container, 0, 0 },
		EXTERNAL_ROW(&a.externals),
		{ "kinds", OPTION_FLAG, NULL, "list what can be saved, too", &a.kinds, 0, 0 },
		{ "json", OPTION_FLAG, NULL, "for machines", &a.json, 0, 0 },
		{ 0 },
	};
	json_t *root;
	bool help;
	int count, r;

	if (options_parse(&check_command, rows, argc, argv, NULL, 0, &count, &help, err))
		return -1;
	if (help)
		return 0;
	root = a.json ? json_object() : NULL;
	if (a.json && !root)
		return error_set(err, ERROR_FAILED, ENOMEM, "check");
	r = a.target.pid || a.target.cgroup || a.target.container ?
		    check_tree(&a, root, err) :
		    check_features(&a, root, err);
	json_decref(root);
	if (fflush(stdout) && !r)
		return error_set(err, ERROR_FAILED, errno, "standard output");
	return r;
}

const struct command check_command = {
	.name = "check",
	.arguments = "[-t PID | --cgroup PATH | --container RUNTIME:ID] [options]",
	.summary = "tells what this kernel offers, or what of a tree cannot be saved; exit status 3 if "
		   "something is in the way",
	.run = run,
};
