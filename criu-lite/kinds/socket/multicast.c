/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel does not list the groups of one socket. But it lists those of the network namespace,
 * and each socket answers whether it has a source filter for a group, which it has when it is in.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "kinds/socket/datagram.h"
#include "proc/multicast.h"

enum { SOURCES_MAX = 1024 };

static struct sockaddr_storage group_address(int domain, const uint8_t *address)
{
	union inet_address a = { .any.sa_family = domain };
	struct sockaddr_storage storage = { 0 };

	if (domain == AF_INET)
		memcpy(&a.v4.sin_addr, address, 4);
	else
		memcpy(&a.v6.sin6_addr, address, 16);
	memcpy(&storage, &a, sizeof(a));
	return storage;
}

static const uint8_t *address_bytes(int domain, const struct sockaddr_storage *storage)
{
	return domain == AF_INET
		       ? (const uint8_t *)&((const struct sockaddr_in *)storage)->sin_addr
		       : (const uint8_t *)&((const struct sockaddr_in6 *)storage)->sin6_addr;
}

static int add_sources(const struct group_filter *filter, int domain, MulticastGroup *m)
{
	for (size_t i = 0; i < filter->gf_numsrc; i++) {
		ProtobufCBinaryData *slot =
			socket_repeated(&m->sources, &m->n_sources, sizeof(*slot));

		if (!slot || socket_bytes(slot, address_bytes(domain, &filter->gf_slist[i]),
					  domain == AF_INET ? 4 : 16))
			return -1;
	}
	return 0;
}

static int add_group(int domain, const struct proc_group *group, const struct group_filter *filter,
		     MulticastGroup ***ret, size_t *ret_count, struct error *err)
{
	MulticastGroup **slot = socket_repeated(ret, ret_count, sizeof(*slot)), *m;

	m = slot ? *slot = malloc(sizeof(*m)) : NULL;
	if (!m) {
		*ret_count -= !!slot;
		return error_set(err, ERROR_FAILED, ENOMEM, "multicast groups");
	}
	multicast_group__init(m);
	m->interface = group->interface;
	if (socket_bytes(&m->address, group->address, domain == AF_INET ? 4 : 16))
		return error_set(err, ERROR_FAILED, ENOMEM, "multicast groups");
	if (filter->gf_fmode == MCAST_EXCLUDE && !filter->gf_numsrc)
		return 0;
	m->has_mode = true;
	m->mode = filter->gf_fmode;
	return add_sources(filter, domain, m) ?
		       error_set(err, ERROR_FAILED, ENOMEM, "multicast groups") :
		       0;
}

static int level_of(int domain)
{
	return domain == AF_INET ? SOL_IP : SOL_IPV6;
}

static int dump_family(struct dump_file *f, int fd, int domain, MulticastGroup ***ret,
		       size_t *ret_count, struct error *err)
{
	socklen_t room = GROUP_FILTER_SIZE(SOURCES_MAX);
	_cleanup_free_ struct group_filter *filter = malloc(room);
	struct proc_groups groups;
	int (*read)(int, struct proc_groups *, struct error *) =
		domain == AF_INET ? proc_read_igmp : proc_read_igmp6;
	struct proc_group *group;
	int failed = 0;

	if (!filter)
		return error_set(err, ERROR_FAILED, ENOMEM, "multicast groups");
	if (read(f->look.proc_fd, &groups, err)) {
		if (err->os_error != ENOENT)
			return -1;
		error_clear(err);
		return 0;
	}
	array_for(group, &groups.items) {
		socklen_t size = room;

		memset(filter, 0, GROUP_FILTER_SIZE(0));
		filter->gf_interface = group->interface;
		filter->gf_group = group_address(domain, group->address);
		filter->gf_numsrc = SOURCES_MAX;
		if (getsockopt(fd, level_of(domain), MCAST_MSFILTER, filter, &size))
			continue;
		if (filter->gf_numsrc > SOURCES_MAX)
			failed = error_set(err, ERROR_BLOCKED, 0,
					   "%s: %u sources in the filter of a multicast group",
					   dump_file_name(f), filter->gf_numsrc);
		else
			failed = add_group(domain, group, filter, ret, ret_count, err);
		if (failed)
			break;
	}
	array_release(&groups.items);
	return failed;
}

int multicast_dump(struct dump_file *f, int fd, int domain, MulticastGroup ***ret,
		   size_t *ret_count, struct error *err)
{
	if (dump_family(f, fd, AF_INET, ret, ret_count, err))
		return -1;
	return domain == AF_INET6 ? dump_family(f, fd, AF_INET6, ret, ret_count, err) : 0;
}

static int set_filter(int fd, int domain, const MulticastGroup *m, struct error *err)
{
	_cleanup_free_ struct group_filter *filter = NULL;
	size_t size = domain == AF_INET ? 4 : 16;

	if (m->n_sources > SOURCES_MAX)
		return error_set(err, ERROR_IMAGE, 0, "%zu sources in a filter", m->n_sources);
	filter = calloc(1, GROUP_FILTER_SIZE(m->n_sources));
	if (!filter)
		return error_set(err, ERROR_FAILED, ENOMEM, "multicast groups");
	filter->gf_interface = m->interface;
	filter->gf_group = group_address(domain, m->address.data);
	filter->gf_fmode = m->mode;
	filter->gf_numsrc = m->n_sources;
	for (size_t i = 0; i < m->n_sources; i++) {
		if (m->sources[i].len != size)
			return error_set(err, ERROR_IMAGE, 0, "source of %zu bytes in a filter",
					 m->sources[i].len);
		filter->gf_slist[i] = group_address(domain, m->sources[i].data);
	}
	if (setsockopt(fd, level_of(domain), MCAST_MSFILTER, filter,
		       GROUP_FILTER_SIZE(m->n_sources)))
		return error_set(err, ERROR_FAILED, errno, "cannot filter a multicast group");
	return 0;
}

int multicast_put(int fd, int socket_domain, MulticastGroup *const *groups, size_t count,
		  struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		const MulticastGroup *m = groups[i];
		int domain = m->address.len == 4 ? AF_INET : AF_INET6;
		struct group_req join = { .gr_interface = m->interface };

		if ((m->address.len != 4 && m->address.len != 16) ||
		    (domain == AF_INET6 && socket_domain == AF_INET))
			return error_set(err, ERROR_IMAGE, 0, "multicast group of %zu bytes",
					 m->address.len);
		join.gr_group = group_address(domain, m->address.data);
		if (setsockopt(fd, level_of(domain), MCAST_JOIN_GROUP, &join, sizeof(join))) {
			error_set(err, ERROR_FAILED, errno,
				  "cannot join a multicast group on interface %u", m->interface);
			return error_hint(err, "is there an interface with that index?");
		}
		if (m->has_mode && set_filter(fd, domain, m, err))
			return -1;
	}
	return 0;
}
