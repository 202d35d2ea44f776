/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host and domain name, uts_namespaces(7). */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "images/uts_namespace.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"

extern const struct kind uts_namespace_kind;

static int uts_dump(struct dump *d, struct error *err)
{
	UtsNamespace m = UTS_NAMESPACE__INIT;
	struct utsname name;

	if (!(d->container.namespaces & CLONE_NEWUTS))
		return 0;
	if (uname(&name))
		return error_set(err, ERROR_FAILED, errno, "host name");
	m.host_name = name.nodename;
	m.domain_name = name.domainname;
	return dump_container(d, &uts_namespace_kind, &m.base, err);
}

static int uts_build(struct restore *r, const ProtobufCMessage *message, struct error *err)
{
	const UtsNamespace *m = (const UtsNamespace *)message;

	if (!(r->container.namespaces & CLONE_NEWUTS))
		return error_set(err, ERROR_IMAGE, 0, "a host name without a namespace for it");
	if (sethostname(m->host_name, strlen(m->host_name)) ||
	    setdomainname(m->domain_name, strlen(m->domain_name)))
		return error_set(err, errno == EINVAL ? ERROR_IMAGE : ERROR_FAILED, errno,
				 "host name");
	return 0;
}

static const struct container_ops uts_container = {
	.of = CLONE_NEWUTS,
	.always = true,
	.dump = uts_dump,
	.build = uts_build,
};

const struct kind uts_namespace_kind = {
	.name = "uts_namespace",
	.record = 0x201,
	.scope = KIND_CONTAINER,
	.message = &uts_namespace__descriptor,
	.help = "host and domain name",
	.container = &uts_container,
};
