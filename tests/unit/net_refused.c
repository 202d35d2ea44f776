/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a network namespace cannot be saved or made here is named, and foreign messages that are
 * not in order are refused before anything is made. */
#include "net_case.h"

#include "images/net_sysctls.pb-c.h"
#include "kinds/net/link.h"

/* A container with its cable, saved and loaded; we are on the machine. */
static void prepare_case(struct net_case *c)
{
	begin(c);
	make_container(c);
	save(c);
	load(c);
	go(c->machine);
}

static NetLinks *links(struct net_case *c)
{
	return (NetLinks *)c->r.container_state[kind_index(&net_links_kind)];
}

static NetLink *cable(struct net_case *c)
{
	size_t i;

	for (i = 0; i < links(c)->n_links; i++)
		if (links(c)->links[i]->host_end)
			return links(c)->links[i];
	fail_msg("no cable");
	return NULL;
}

static void refuses(struct net_case *c, enum phase which, enum error_kind kind, const char *text)
{
	struct error err = ERROR_INIT;

	assert_int_equal(phase(c, which, &err), -1);
	assert_int_equal(err.kind, kind);
	if (!strstr(err.message, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.message);
	error_clear(&err);
}

/* ---- this machine ---- */

static void test_no_bridge(void **state)
{
	struct external other = { "net[br-test]", 12, "br-here" };
	struct net_case c;

	prepare_case(&c);
	run("ip link del br-test");
	refuses(&c, PREPARE, ERROR_BLOCKED, "no bridge br-test");
	c.r.container.externals = &other;
	c.r.container.externals_count = 1;
	refuses(&c, PREPARE, ERROR_BLOCKED, "no bridge br-here");
	run("ip link add br-here type bridge");
	must(phase(&c, PREPARE, err));
	end(&c);
}

static void test_name_taken(void **state)
{
	struct external other = { "net[host9]", 10, "host10" };
	struct net_case c;
	int net;

	prepare_case(&c);
	/* Another container's, which lives. */
	run("ip link del host9; ip link add host9 type veth peer name x");
	must(phase(&c, PREPARE, err));
	net = new_net();
	refuses(&c, BUILD, ERROR_BLOCKED, "network link host9 of this machine");
	go(c.machine);
	run("ip link show host9 >/dev/null");
	close(net);
	net = new_net();
	c.r.container.externals = &other;
	c.r.container.externals_count = 1;
	must(phase(&c, BUILD, err) || phase(&c, FINISH, err) || phase(&c, OPEN, err));
	go(c.machine);
	run("ip link show host10 | grep -q 'master br-test'");
	close(net);
	end(&c);
}

/* Links with an end elsewhere, of a kind that is not known, and with tc(8). */
static void test_blockers(void **state)
{
	struct blockers blockers = { 0 };
	struct task_look task = { .pid = 1 };
	struct net_case c;
	struct container container;
	struct container_look look = { &container, &task, 1 };
	char *command;
	int net, other;

	begin(&c);
	other = new_net();
	net = new_net();
	assert_true(asprintf(&command, "ip link add a9 type veth peer name b9 netns /proc/%d/fd/%d;"
			     "ip link add v9 type vxlan id 9 dstport 4789; tc qdisc add dev lo root tbf"
			     " rate 1mbit burst 10kb latency 50ms", getpid(), other) > 0);
	run(command);
	free(command);
	container = container_of(&c);
	must(net_links_kind.container->check(&look, &blockers, err));
	assert_int_equal(blockers.list.count, 3);
	assert_string_equal(blockers.list.items[0].object, "network link a9");
	assert_non_null(strstr(blockers.list.items[0].reason, "third network namespace"));
	assert_string_equal(blockers.list.items[1].object, "network link v9");
	assert_string_equal(blockers.list.items[2].object, "network link lo");
	assert_non_null(strstr(blockers.list.items[2].reason, "tc"));
	blockers_release(&blockers);
	close(net);
	close(other);
	c.image = memfd_create("none", MFD_CLOEXEC);
	end(&c);
}

/* ---- messages ---- */

static void set_text(char **to, const char *text)
{
	free(*to);
	*to = strdup(text);
	assert_non_null(*to);
}

static void forge_name(struct net_case *c)
{
	set_text(&cable(c)->name, "a%d");
}

static void forge_host_name(struct net_case *c)
{
	set_text(&cable(c)->host_end->name, "../x");
}

static void forge_bridge(struct net_case *c)
{
	set_text(&cable(c)->host_end->bridge, "a name that is too long for a link");
}

static void forge_kind(struct net_case *c)
{
	set_text(&cable(c)->kind, "bridge");
}

static void forge_index(struct net_case *c)
{
	cable(c)->index = 1;
}

static void forge_lower(struct net_case *c)
{
	cable(c)->has_lower = true;
	cable(c)->lower = 77;
}

static void forge_flags(struct net_case *c)
{
	cable(c)->flags = UINT32_MAX;
}

static void forge_attribute(struct net_case *c)
{
	cable(c)->attributes[0]->type = IFLA_NET_NS_FD;
}

static void forge_length(struct net_case *c)
{
	NetLink *link = cable(c);
	NetAttribute *mtu = net_attribute(link->attributes, link->n_attributes, IFLA_MTU);

	mtu->value.len = 3;
}

static void forge_sysctl(struct net_case *c)
{
	NetSysctls *m = (NetSysctls *)c->r.container_state[kind_index(&net_sysctls_kind)];

	set_text(&m->sysctls[0]->name, "ipv4/../../kernel/core_pattern");
}

static void forge_address(struct net_case *c)
{
	NetEntries *m = (NetEntries *)c->r.container_state[kind_index(&net_addresses_kind)];

	m->entries[0]->header.len--;
}

static void test_forged(void **state)
{
	static void (*const forge[])(struct net_case *c) = {
		forge_name, forge_host_name, forge_bridge, forge_kind, forge_index, forge_lower,
		forge_flags, forge_attribute, forge_length, forge_sysctl, forge_address,
	};
	struct net_case c;
	size_t i;

	prepare_case(&c);
	for (i = 0; i < sizeof(forge) / sizeof(forge[0]); i++) {
		load(&c);
		must(phase(&c, PREPARE, err));
		forge[i](&c);
		refuses(&c, PREPARE, ERROR_IMAGE, "bad message");
	}
	end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_bridge),
		cmocka_unit_test(test_name_taken),
		cmocka_unit_test(test_blockers),
		cmocka_unit_test(test_forged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
