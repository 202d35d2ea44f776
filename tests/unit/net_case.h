/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_TESTS_NET_CASE_H
#define CL_TESTS_NET_CASE_H

/*
 * A container's network without a container: one namespace stands for the machine, one for the
 * container, and a third one is made from what was saved of the second. What there is is made and
 * looked at by programs that know nothing of ours.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "images/stream.h"
#include "kinds/dump.h"
#include "kinds/net/entry.h"
#include "kinds/net/net.h"
#include "kinds/restore.h"

struct net_case {
	int first;	/* where the test came from */
	int machine;
	int image;
	struct restore r;
};

static inline int here(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline void go(int net)
{
	assert_int_equal(setns(net, CLONE_NEWNET), 0);
}

static inline int new_net(void)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	return here();
}

/* Runs shell commands in the namespace that we are in. */
static inline void run(const char *commands)
{
	char *text;

	assert_true(asprintf(&text, "set -e\n%s", commands) > 0);
	if (system(text))
		fail_msg("failed: %s", commands);
	free(text);
}

static inline char *output(const char *command)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	FILE *pipe = popen(command, "r");

	assert_non_null(pipe);
	assert_int_equal(read_fd_to_end(fileno(pipe), &text), 0);
	assert_int_equal(pclose(pipe), 0);
	return steal_ptr(text.data);
}

static inline bool is_net(const struct kind *kind)
{
	return kind->record >= 0x220 && kind->record <= 0x227 && kind->container;
}

#define must(call)                                                                     \
	do {                                                                           \
		struct error _e = ERROR_INIT, *err = &_e;                              \
		if (call)                                                              \
			fail_msg("%s: %s", #call, _e.message ? _e.message : "no reason"); \
		(void)err;                                                             \
	} while (0)

/* Begins in a new namespace that is the machine's. */
static inline void begin(struct net_case *c)
{
	*c = (struct net_case){ .first = here(), .image = -1 };
	c->machine = new_net();
	c->r.container = CONTAINER_NONE;
}

static inline struct container container_of(const struct net_case *c)
{
	struct container ret = c->r.container;

	ret.namespaces = CLONE_NEWNET;
	ret.host_net = c->machine;
	return ret;
}

/* Saves the namespace that we are in, as a container's. */
static inline void save(struct net_case *c)
{
	struct dump d = { .container = container_of(c) };
	struct stream_options options = { .jobs = 1 };
	const struct kind *const *row;

	if (c->image >= 0)
		close(c->image);
	c->image = memfd_create("image", MFD_CLOEXEC);
	must(stream_writer_open(&d.out, c->image, &options, err));
	for (row = kinds_table; *row; row++)
		if (is_net(*row) && (*row)->container->dump)
			must((*row)->container->dump(&d, err));
	must(stream_writer_seal(d.out, err));
	stream_writer_free(d.out);
}

static inline void forget(struct net_case *c)
{
	size_t i;

	for (i = 0; c->r.container_state && i < kinds_count(); i++)
		net_message_free(c->r.container_state[i]);
	free(c->r.container_state);
	free(c->r.container_slots);
	c->r.container_state = NULL;
	c->r.container_slots = NULL;
}

static inline void load(struct net_case *c)
{
	struct record record;
	int more;

	forget(c);
	c->r.container = container_of(c);
	c->r.container_state = calloc(kinds_count(), sizeof(*c->r.container_state));
	c->r.container_slots = calloc(kinds_count(), sizeof(*c->r.container_slots));
	assert_int_equal(lseek(c->image, 0, SEEK_SET), 0);
	must(stream_reader_open(&c->r.in, c->image, 1, err));
	for (;;) {
		const struct kind *kind;

		must((more = stream_next(c->r.in, &record, err)) < 0);
		if (!more)
			break;
		kind = kind_by_record(record.kind);
		assert_non_null(kind);
		must(stream_message(c->r.in, kind->message,
				    &c->r.container_state[kind_index(kind)], err));
	}
	stream_reader_free(c->r.in);
}

enum phase { PREPARE, BUILD, FINISH, OPEN };

/* Calls a phase of all rows; fails with the first. */
static inline int phase(struct net_case *c, enum phase phase, struct error *err)
{
	const struct kind *const *row;

	for (row = kinds_table; *row; row++) {
		const ProtobufCMessage *m = c->r.container_state[kind_index(*row)];
		const struct container_ops *ops = (*row)->container;
		int result = 0;

		if (!is_net(*row) || !m)
			continue;
		if (phase == PREPARE && ops->prepare)
			result = ops->prepare(&c->r, m, err);
		if (phase == BUILD && ops->build)
			result = ops->build(&c->r, m, err);
		if (phase == FINISH && ops->finish)
			result = ops->finish(&c->r, m, err);
		if (phase == OPEN && ops->open)
			ops->open(&c->r, m);
		if (result)
			return -1;
	}
	return 0;
}

/* Makes what was saved in a new namespace, in which we are then. */
static inline void restore_here(struct net_case *c)
{
	int net;

	load(c);
	go(c->machine);
	must(phase(c, PREPARE, err));
	net = new_net();
	must(phase(c, BUILD, err));
	must(phase(c, FINISH, err));
	must(phase(c, OPEN, err));
	close(net);
}

static inline void end(struct net_case *c)
{
	forget(c);
	go(c->first);
	close(c->first);
	close(c->machine);
	close(c->image);
}

/* Makes the namespace of a container and goes there: it has lo, and eth0 to a bridge. */
static inline void make_container(struct net_case *c)
{
	int net;
	char *command;

	run("ip link set lo up; ip link add br-test type bridge; ip link set br-test up;"
	    "ip addr add 10.9.0.1/24 dev br-test; ip -6 addr add fd09::1/64 dev br-test nodad");
	net = new_net();
	go(c->machine);
	assert_true(asprintf(&command,
			     "ip link add host9 mtu 1400 type veth peer name eth0;"
			     "ip link set host9 master br-test up;"
			     "ip link set host9 type bridge_slave hairpin on;"
			     "ip link set eth0 netns /proc/%d/fd/%d",
			     getpid(), net) > 0);
	run(command);
	free(command);
	go(net);
	close(net);
	run("ip link set lo up; ip link set eth0 address 02:00:00:00:09:02 mtu 1400 txqueuelen 77"
	    " alias outside group 5; ip link set eth0 up");
}

/* What a command says of the namespace that we are in is still the same. */
static inline void compare(const char *before, const char *command)
{
	char *after = output(command);

	if (strcmp(before, after)) {
		int old = memfd_create("before", 0), new = memfd_create("after", 0);
		char command[100];

		assert_int_equal(write_full(old, before, strlen(before)), 0);
		assert_int_equal(write_full(new, after, strlen(after)), 0);
		snprintf(command, sizeof(command), "diff /proc/self/fd/%d /proc/self/fd/%d >&2", old,
			 new);
		if (system(command) == 0)
			fail_msg("diff sees no difference");
		fail_msg("the namespace looks different");
	}
	free(after);
}

#endif
