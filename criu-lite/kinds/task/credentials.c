/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ids, groups, capabilities and securebits of a thread, no_new_privs. A thread never gets more than
 * it had: what the restore cannot give is an error, and everything else is taken away for good.
 *
 * Changing them makes the kernel forget the parent-death signal, and "dumpable" of the whole
 * process: the first stands behind this row in the table, the second is given again here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "images/credentials.pb-c.h"
#include "kinds/dump.h"
#include "kinds/restore.h"
#include "kinds/task/dumpable.h"
#include "kinds/ns/user_namespace.h"

extern const struct kind credentials_kind;

enum { IDS = 4, CAPABILITIES = 64 };

/* The label of SELinux, AppArmor or Smack; empty where there is none of them. */
static int read_label(int dir_fd, const char *path, struct buffer *ret, struct error *err)
{
	if (!read_file_at(dir_fd, path, ret)) {
		if (ret->size && ret->data[ret->size - 1] == '\n')
			ret->data[--ret->size] = 0;
		return 0;
	}
	if (errno == ENOENT || errno == EINVAL || errno == EOPNOTSUPP)
		return buffer_reserve(ret, 1);
	return error_set(err, errno == ESRCH ? ERROR_DIED : ERROR_TARGET, errno, "%s", path);
}

static int credentials_check(const struct task_look *look, struct blockers *blockers,
			     struct error *err)
{
	_cleanup_buffer_ struct buffer ours = { 0 }, theirs = { 0 };

	if (read_label(AT_FDCWD, "/proc/self/attr/current", &ours, err) ||
	    read_label(look->proc_fd, "attr/current", &theirs, err))
		return error_wrap(err, "process %d", look->pid);
	if (ours.size == theirs.size && !memcmp(ours.data, theirs.data, ours.size))
		return 0;
	if (blockers_add(blockers, look->pid, "a security label cannot be given back",
			 "run criu-lite under the same label", "label \"%s\"",
			 theirs.size ? theirs.data : ""))
		return error_set(err, ERROR_FAILED, ENOMEM, "process %d", look->pid);
	return 0;
}

static int credentials_ask(struct dump_thread *t, struct batch *b, struct ask *ask,
			   struct error *err)
{
	ask->record = batch_must(b, SYS_prctl, PR_GET_SECUREBITS);
	return 0;
}

static int credentials_take(struct dump_thread *t, const struct batch *b, const struct ask *ask,
			    struct error *err)
{
	struct proc_status *found = &t->status;
	Credentials m = CREDENTIALS__INIT;

	m.tid = t->tid;
	m.uids = found->uid;
	m.gids = found->gid;
	m.n_uids = m.n_gids = IDS;
	m.groups = found->groups.items;
	m.n_groups = found->groups.count;
	m.permitted = found->cap_prm;
	m.effective = found->cap_eff;
	m.inheritable = found->cap_inh;
	m.bounding = found->cap_bnd;
	m.ambient = found->cap_amb;
	m.securebits = batch_result(b, ask->record);
	m.no_new_privs = found->no_new_privs;
	return dump_state(t->task->dump, &credentials_kind, &m.base, err);
}

static int read_puppet(const struct restore_thread *t, struct proc_status *ret, struct error *err)
{
	_cleanup_fd_ int proc_fd = proc_open(t->tracee.tid);

	if (proc_fd < 0)
		return error_set(err, ERROR_TARGET, errno, "task %d", t->tid);
	return proc_read_status(proc_fd, ret, err);
}

/* Capabilities of a later kernel than this one have no meaning here. */
static uint64_t known_capabilities(void)
{
	uint64_t known = 0;
	int i;

	for (i = 0; i < CAPABILITIES && prctl(PR_CAPBSET_READ, i) >= 0; i++)
		known |= 1ull << i;
	return known;
}

static int check_set(const Credentials *m, const char *set, uint64_t wanted, uint64_t possible,
		     struct error *err)
{
	uint64_t missing = wanted & ~possible;

	if (!missing || !(missing &= known_capabilities()))
		return 0;
	error_set(err, ERROR_FAILED, 0,
		  "task %u: the capabilities 0x%llx of its %s set cannot be given here", m->tid,
		  (unsigned long long)missing, set);
	return error_hint(err, "run the restore with them; capsh --decode=%llx names them",
			  (unsigned long long)missing);
}

static int check_message(const Credentials *m, const struct proc_status *puppet, struct error *err)
{
	if (m->n_uids != IDS || m->n_gids != IDS || m->effective & ~m->permitted ||
	    m->ambient & ~(m->permitted & m->inheritable))
		return error_set(err, ERROR_IMAGE, 0, "task %u: impossible credentials", m->tid);
	if (puppet->no_new_privs && !m->no_new_privs) {
		error_set(err, ERROR_FAILED, 0,
			  "task %u: may gain privileges by execve, and here it may not", m->tid);
		return error_hint(err, "run the restore without no_new_privs");
	}
	if (check_set(m, "permitted", m->permitted, puppet->cap_prm, err) ||
	    check_set(m, "bounding", m->bounding, puppet->cap_bnd, err) ||
	    check_set(m, "inheritable", m->inheritable, puppet->cap_inh | puppet->cap_bnd, err))
		return -1;
	return 0;
}

static bool same_ids(const Credentials *m, const struct proc_status *puppet)
{
	return !memcmp(m->uids, puppet->uid, sizeof(puppet->uid)) &&
	       !memcmp(m->gids, puppet->gid, sizeof(puppet->gid)) &&
	       m->n_groups == puppet->groups.count &&
	       (!m->n_groups ||
		!memcmp(m->groups, puppet->groups.items, m->n_groups * sizeof(*m->groups)));
}

static bool same_capabilities(const Credentials *m, const struct proc_status *puppet)
{
	return m->permitted == puppet->cap_prm && m->effective == puppet->cap_eff &&
	       m->inheritable == puppet->cap_inh && m->bounding == puppet->cap_bnd &&
	       m->ambient == puppet->cap_amb;
}

static void put_capabilities(struct batch *b, uint64_t permitted, uint64_t effective,
			     uint64_t inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{ effective, permitted, inheritable },
		{ effective >> 32, permitted >> 32, inheritable >> 32 },
	};
	uint64_t header_at = batch_put(b, &header, sizeof(header));

	batch_must(b, SYS_capset, header_at, batch_put(b, data, sizeof(data)));
}

static int put_ids(const struct restore *r, const Credentials *m, struct batch *b,
		   struct error *err)
{
	_cleanup_free_ uint32_t *groups = groups_inside(r, m->groups, m->n_groups, err);
	uint32_t uids[IDS], gids[IDS];
	int i;

	if (!groups)
		return -1;
	for (i = 0; i < IDS; i++) {
		uids[i] = user_inside(r, m->uids[i]);
		gids[i] = group_inside(r, m->gids[i]);
		if (uids[i] == (uint32_t)-1 || gids[i] == (uint32_t)-1)
			return error_set(err, ERROR_FAILED, 0,
					 "task %u: ids that its user namespace does not know",
					 m->tid);
	}
	batch_must(b, SYS_setgroups, m->n_groups,
		   batch_put(b, groups, m->n_groups * sizeof(*groups)));
	batch_must(b, SYS_setresgid, gids[0], gids[1], gids[2]);
	batch_must(b, SYS_setfsgid, gids[3]);
	batch_must(b, SYS_setresuid, uids[0], uids[1], uids[2]);
	batch_must(b, SYS_setfsuid, uids[3]);
	return 0;
}

/* The order matters: see capabilities(7) for what each call needs. */
static int put_credentials(const struct restore *r, const Credentials *m,
			   const struct proc_status *puppet, uint32_t securebits, struct batch *b,
			   struct error *err)
{
	uint64_t known = known_capabilities();
	int i;

	/* Ids change without a change of capabilities. */
	batch_must(b, SYS_prctl, PR_SET_SECUREBITS, securebits | SECBIT_NO_SETUID_FIXUP);
	if (!same_ids(m, puppet) && put_ids(r, m, b, err))
		return -1;
	/* A capability becomes inheritable only while the bounding set has it. */
	put_capabilities(b, puppet->cap_prm, puppet->cap_prm, m->inheritable & known);
	for (i = 0; i < CAPABILITIES; i++)
		if (puppet->cap_bnd & ~m->bounding & 1ull << i)
			batch_must(b, SYS_prctl, PR_CAPBSET_DROP, i);
	batch_must(b, SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
	for (i = 0; i < CAPABILITIES; i++)
		if (m->ambient & known & 1ull << i)
			batch_must(b, SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i);
	batch_must(b, SYS_prctl, PR_SET_SECUREBITS, m->securebits);
	put_capabilities(b, m->permitted & known, m->effective & known, m->inheritable & known);
	return 0;
}

static int credentials_put(struct restore_thread *t, const ProtobufCMessage *message,
			   struct batch *b, struct error *err)
{
	const Credentials *m = (const Credentials *)message;
	_cleanup_proc_status_ struct proc_status puppet = { 0 };
	/* The puppet's are ours, it was born with them. */
	uint32_t securebits = prctl(PR_GET_SECUREBITS);

	if (read_puppet(t, &puppet, err) || check_message(m, &puppet, err))
		return -1;
	if (m->no_new_privs)
		batch_must(b, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1);
	if (same_ids(m, &puppet) && same_capabilities(m, &puppet) && m->securebits == securebits)
		return 0;
	if (put_credentials(t->task->restore, m, &puppet, securebits, b, err))
		return -1;
	return dumpable_put(t, restore_task_state(t->task, &dumpable_kind), b, err);
}

static const struct state_ops credentials_state = {
	.check = credentials_check,
	.ask = credentials_ask,
	.take = credentials_take,
	.put = credentials_put,
};

const struct kind credentials_kind = {
	.name = "credentials",
	.record = 0xa0,
	.scope = KIND_THREAD,
	.message = &credentials__descriptor,
	.help = "user and group ids, groups, capability sets, securebits, no_new_privs",
	.state = &credentials_state,
};
