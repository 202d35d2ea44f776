/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Namespaces opened below /proc/PID/ns, namespaces(7): those that the holder itself is in. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "images/namespace_file.pb-c.h"
#include "kinds/files.h"

static const char *const types[] = {
	"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children",
	"user", "uts",
};

static bool namespace_file_recognise(const struct fd_look *look)
{
	struct statfs fs;
	char path[64];

	/* "net:[4026531840]" */
	if (look->link[0] == '/' || !strstr(look->link, ":[") || !S_ISREG(look->st.st_mode))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", look->pid, look->number);
	return !statfs(path, &fs) && fs.f_type == NSFS_MAGIC;
}

/* The name under which the holder has it, NULL when it is not in there. */
static const char *own_type(const struct fd_look *look)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct stat st;
		char path[32];

		snprintf(path, sizeof(path), "ns/%s", types[i]);
		if (!fstatat(look->proc_fd, path, &st, 0) && st.st_ino == look->st.st_ino &&
		    st.st_dev == look->st.st_dev)
			return types[i];
	}
	return NULL;
}

static int namespace_file_check(const struct fd_look *look, struct blockers *blockers,
				struct error *err)
{
	if (own_type(look))
		return 0;
	if (blockers_add(blockers, look->pid, "it is a namespace that its holder is not in",
			 "let the program close it", "descriptor %d (%s)", look->number,
			 look->link))
		return error_set(err, ERROR_FAILED, ENOMEM, "blockers");
	return 0;
}

static int namespace_file_dump(struct dump_files *d, struct dump_file *f, struct error *err)
{
	NamespaceFile m = NAMESPACE_FILE__INIT;
	const char *type = own_type(&f->look);
	FileCommon common;

	if (!type)
		return error_set(err, ERROR_BLOCKED, 0, "%s is not a namespace of its holder",
				 dump_file_name(f));
	if (dump_file_common(d, f, &common, err))
		return -1;
	m.id = f->id;
	m.common = &common;
	m.type = (char *)type;
	return dump_file_message(d, f, &m.base, err);
}

static int namespace_file_verify(struct restore_files *r, struct restore_file *f,
				 struct error *err)
{
	const NamespaceFile *m = (const NamespaceFile *)f->message;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(m->type, types[i]))
			return 0;
	return error_set(err, ERROR_IMAGE, 0, "there is no kind of namespace '%s'", m->type);
}

static int namespace_file_plan(struct restore_files *r, struct restore_file *f, struct batch *b,
			       struct error *err)
{
	const NamespaceFile *m = (const NamespaceFile *)f->message;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", m->type);
	return batch_must(b, SYS_openat, AT_FDCWD, batch_string(b, path),
			  O_RDONLY | O_CLOEXEC | (m->common->flags & O_NONBLOCK));
}

static const struct file_ops namespace_file_ops = {
	.recognise = namespace_file_recognise,
	.check = namespace_file_check,
	.dump = namespace_file_dump,
	.verify = namespace_file_verify,
	.plan = namespace_file_plan,
};

const struct kind namespace_file_kind = {
	.name = "namespace_file",
	.record = 0x10d,
	.scope = KIND_FILE,
	.message = &namespace_file__descriptor,
	.help = "open namespaces that the holder itself is in",
	.file = &namespace_file_ops,
};
