/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Neighbours learn at once that an address has moved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "network/takeover.h"
#include "network_world.h"

#define OLD_MAC "02:00:00:00:00:02"
#define NEW_MAC "02:00:00:00:00:77"
#define CACHE "ip neigh show dev eth0"

struct world {
	int neighbour, old, new;
};

static void give_address(int netns)
{
	run_in(netns,
	       "ip addr add 10.99.0.2/24 dev eth0 && ip addr add fd00:99::2/64 dev eth0 nodad");
}

/* A bridge, the neighbour on it, and the old place of the address, which the neighbour knows. */
static void build(struct world *w)
{
	run_in(-1, "ip link add br0 type bridge && ip link set br0 up");
	w->neighbour = new_namespace();
	w->old = new_namespace();
	w->new = new_namespace();
	add_link(w->neighbour, "eth0", "p1", "02:00:00:00:00:01");
	add_link(w->old, "eth0", "p2", OLD_MAC);
	add_link(w->new, "eth0", "p3", NEW_MAC);
	run_in(-1, "for p in p1 p2 p3; do ip link set $p master br0; done");
	run_in(w->neighbour, "ip addr add 10.99.0.1/24 dev eth0 && "
			     "ip addr add fd00:99::1/64 dev eth0 nodad");
	give_address(w->old);
	/* A datagram to nobody makes the neighbour ask. */
	run_in(w->neighbour, "bash -c 'echo > /dev/udp/10.99.0.2/9; echo > /dev/udp/fd00:99::2/9'");
	assert_true(shows(w->neighbour, CACHE, "10.99.0.2 lladdr " OLD_MAC));
	assert_true(shows(w->neighbour, CACHE, "fd00:99::2 lladdr " OLD_MAC));
}

static void tear_down(struct world *w)
{
	run_in(-1, "for p in p1 p2 p3 br0; do ip link del $p; done");
	close(w->neighbour);
	close(w->old);
	close(w->new);
}

static void one_round_is_enough(void **state)
{
	struct world w;
	struct takeover *t;

	build(&w);
	run_in(w.old, "ip link set eth0 down");
	give_address(w.new);
	must(takeover_prepare(&t, w.new, &err));
	/* Request and reply for one address, advertisements for two: the link has one, too. */
	assert_true(takeover_count(t) >= 3);
	assert_int_equal(takeover_announce(t), takeover_count(t));
	assert_true(shows(w.neighbour, CACHE, "10.99.0.2 lladdr " NEW_MAC));
	assert_true(shows(w.neighbour, CACHE, "fd00:99::2 lladdr " NEW_MAC));
	assert_true(shows(-1, "bridge fdb show br br0", NEW_MAC " dev p3"));
	takeover_free(t);
	tear_down(&w);
}

/* The first round comes too early: the neighbour is not on the bridge. */
static void late_listeners_hear_it(void **state)
{
	struct world w;
	struct takeover *t;
	struct timespec before, after;
	pid_t pid;
	int status;

	build(&w);
	give_address(w.new);
	run_in(w.old, "ip link set eth0 down");
	run_in(-1, "ip link set p1 nomaster");
	must(takeover_prepare(&t, w.new, &err));
	takeover_announce(t);
	usleep(20000);
	assert_true(shows(w.neighbour, CACHE, "10.99.0.2 lladdr " OLD_MAC));
	clock_gettime(CLOCK_MONOTONIC, &before);
	must(takeover_repeat(t, -1, &pid, &err));
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true((after.tv_sec - before.tv_sec) * 1000 +
			    (after.tv_nsec - before.tv_nsec) / 1000000 < 500);
	takeover_free(t);
	run_in(-1, "ip link set p1 master br0");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(shows(w.neighbour, CACHE, "10.99.0.2 lladdr " NEW_MAC));
	assert_true(shows(w.neighbour, CACHE, "fd00:99::2 lladdr " NEW_MAC));
	tear_down(&w);
}

static void only_links_with_neighbours(void **state)
{
	struct takeover *t;
	int alone = new_namespace();

	run_in(alone, "ip addr add 10.98.0.1/32 dev lo");
	must(takeover_prepare(&t, alone, &err));
	assert_int_equal(takeover_count(t), 0);
	assert_int_equal(takeover_announce(t), 0);
	takeover_free(t);
	close(alone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_round_is_enough),
		cmocka_unit_test(late_listeners_hear_it),
		cmocka_unit_test(only_links_with_neighbours),
	};

	return cmocka_run_group_tests(tests, leave_the_machine, NULL);
}
