/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a tree needs and the machine has not is refused by name; whatever a source says does no
 * harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "migrate/needs.h"

static const struct needs_options as_it_is = { 0 };

/* Exactly one thing is in the way, and it is called that. */
static void expect_one(const MigrateRequirements *m, const char *object, const char *reason)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct blockers found = { 0 };

	assert_int_equal(needs_check(m, &as_it_is, &found, &err), 0);
	assert_int_equal(found.list.count, 1);
	assert_non_null(strstr(found.list.items[0].object, object));
	assert_non_null(strstr(found.list.items[0].reason, reason));
	blockers_release(&found);
}

static void expect_none(const MigrateRequirements *m, const struct needs_options *options)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct blockers found = { 0 };

	assert_int_equal(needs_check(m, options, &found, &err), 0);
	assert_int_equal(found.list.count, 0);
	blockers_release(&found);
}

static void expect_lie(const MigrateRequirements *m)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct blockers found = { 0 };

	assert_int_equal(needs_check(m, &as_it_is, &found, &err), -1);
	assert_int_equal(err.kind, ERROR_PEER);
	blockers_release(&found);
}

static void memory(void **state)
{
	const struct needs_options overcommit = { .overcommit = true };
	MigrateRequirements m = MIGRATE_REQUIREMENTS__INIT;

	m.has_memory = true;
	m.memory = 4096;
	expect_none(&m, &as_it_is);
	m.memory = 1ull << 60;
	expect_one(&m, "1099511627776 MiB of memory", "more than is available");
	expect_none(&m, &overcommit);
}

static void features(void **state)
{
	MigrateRequirements m = MIGRATE_REQUIREMENTS__INIT;
	char *words[] = { "kcmp", "kcmp-epoll" };

	m.features = words;
	m.n_features = 2;
	expect_none(&m, &as_it_is);
	setenv("CRIU_LITE_WITHOUT", "kcmp-epoll", 1);
	expect_one(&m, "kernel feature kcmp-epoll", "not implemented");
	unsetenv("CRIU_LITE_WITHOUT");
	words[1] = "%s%n";
	expect_one(&m, "kernel feature %s%n", "does not know it");
}

static void namespaces(void **state)
{
	MigrateRequirements m = MIGRATE_REQUIREMENTS__INIT;
	char *words[] = { "net", "../../1" };

	m.namespaces = words;
	m.n_namespaces = 1;
	expect_none(&m, &as_it_is);
	m.n_namespaces = 2;
	expect_one(&m, "namespace of type ../../1", "has none");
}

static void cgroups(void **state)
{
	MigrateRequirements m = MIGRATE_REQUIREMENTS__INIT;
	char *word = "frobnicator:/x";

	m.cgroups = &word;
	m.n_cgroups = 1;
	expect_one(&m, "cgroup", "no hierarchy \"frobnicator\" is mounted here");
	/* Nothing is lost by it. */
	word = "name=frobnicator:/x";
	expect_none(&m, &as_it_is);
	word = "";
	expect_lie(&m);
	word = "memory";
	expect_lie(&m);
	word = "memory:/x/../y";
	expect_lie(&m);
}

static void containers(void **state)
{
	MigrateRequirements m = MIGRATE_REQUIREMENTS__INIT;
	MigrateContainer c = MIGRATE_CONTAINER__INIT;

	m.container = &c;
	c.runtime = "runc";
	c.root = "/nowhere";
	c.id = "x";
	expect_none(&m, &as_it_is);
	c.runtime = "nothing";
	expect_one(&m, "runtime nothing", "does not know it");
	c.runtime = "runc";
	c.id = "../x";
	expect_lie(&m);
	c.id = "";
	expect_lie(&m);
	c.id = "x";
	c.root = "/a/../b";
	expect_lie(&m);
}

static void links(void **state)
{
	const struct external there = { "net[bridge0]", 12, "lo" };
	const struct needs_options other_name = { .externals = &there, .externals_count = 1 };
	MigrateRequirements m = MIGRATE_REQUIREMENTS__INIT;
	MigrateLink link = MIGRATE_LINK__INIT, *list = &link;

	m.links = &list;
	m.n_links = 1;
	link.name = "bridge0";
	link.kind = "";
	expect_one(&m, "network link bridge0", "does not have it");
	expect_none(&m, &other_name);
	link.name = "lo";
	expect_none(&m, &as_it_is);
	link.kind = "bridge";
	expect_one(&m, "bridge lo", "it is no bridge");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory),     cmocka_unit_test(features),
		cmocka_unit_test(namespaces), cmocka_unit_test(cgroups),
		cmocka_unit_test(containers), cmocka_unit_test(links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
