/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kinds/mount/mount_types.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/log.h"

enum { OPTION_MAX = 255 };	/* of fsconfig(2) */

/* Options that belong to the file system, as mountinfo shows them; others are not given on. */
static const struct {
	const char *name;
	enum mount_class class;
	const char *options;	/* "*": those of cgroup v1 are names of controllers */
} types[] = {
	{ "proc", MOUNT_KERNEL, "hidepid gid subset" },
	{ "sysfs", MOUNT_KERNEL, "" },
	{ "devpts", MOUNT_KERNEL, "uid gid mode ptmxmode max" },
	{ "mqueue", MOUNT_KERNEL, "" },
	{ "devtmpfs", MOUNT_KERNEL, "" },
	{ "securityfs", MOUNT_KERNEL, "" },
	{ "debugfs", MOUNT_KERNEL, "uid gid mode" },
	{ "tracefs", MOUNT_KERNEL, "uid gid mode" },
	{ "configfs", MOUNT_KERNEL, "" },
	{ "pstore", MOUNT_KERNEL, "" },
	{ "fusectl", MOUNT_KERNEL, "" },
	{ "efivarfs", MOUNT_KERNEL, "uid gid" },
	{ "selinuxfs", MOUNT_KERNEL, "" },
	{ "binfmt_misc", MOUNT_KERNEL, "" },
	{ "cgroup", MOUNT_CGROUP, "*" },
	{ "cgroup2", MOUNT_CGROUP,
	  "nsdelegate favordynmods memory_localevents memory_recursiveprot "
	  "memory_hugetlb_accounting pids_localevents" },
	{ "tmpfs", MOUNT_MEMORY,
	  "size nr_blocks nr_inodes mode uid gid huge mpol inode32 inode64 noswap usrquota "
	  "grpquota" },
	{ "ramfs", MOUNT_MEMORY, "mode" },
	{ "hugetlbfs", MOUNT_EMPTY, "pagesize size min_size nr_inodes uid gid mode" },
	{ "bpf", MOUNT_EMPTY, "uid gid mode" },
	{ "overlay", MOUNT_LAYERS,
	  "lowerdir lowerdir+ datadir+ upperdir workdir default_permissions redirect_dir index "
	  "uuid nfs_export xino metacopy userxattr volatile verity" },
};

static const char *options_of(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(types[i].name, type))
			return types[i].options;
	return "";
}

enum mount_class mount_class(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(types[i].name, type))
			return types[i].class;
	return MOUNT_FOREIGN;
}

bool mount_takes_option(const char *type, const char *option)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
	static const char *const flags[] = { "rw",	"ro",	    "sync", "dirsync",
					     "lazytime", "mand", "seclabel" };
	const char *known = options_of(type), *at = known;
	size_t length = strcspn(option, "=");

	if (!strcmp(known, "*")) {
		for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
			if (!strcmp(option, flags[i]))
				return false;
		return length && strspn(option, letters) == length;
	}
	while (length && *at) {
		size_t word = strcspn(at, " ");

		if (word == length && !memcmp(at, option, length))
			return true;
		at += word + (at[word] == ' ');
	}
	return false;
}

static const struct {
	unsigned long flag;
	const char *option;
} super_flags[] = {
	{ MS_RDONLY, "ro" },
	{ MS_SYNCHRONOUS, "sync" },
	{ MS_DIRSYNC, "dirsync" },
	{ MS_LAZYTIME, "lazytime" },
};

/* What the kernel said on the descriptor is worth more than the error number. */
static int refused(int context, const char *type, const char *what, struct error *err)
{
	int os_error = errno;
	char text[256];
	ssize_t size = read(context, text, sizeof(text) - 1);

	text[size > 0 ? size : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return error_set(err, ERROR_FAILED, os_error, "%s: the kernel refuses %s%s%s", type, what,
			 text[0] ? ": " : "", text[0] ? text + (text[1] == ' ' ? 2 : 0) : "");
}

static int set_value(int context, const char *key, const char *value)
{
	return fsconfig(context, FSCONFIG_SET_STRING, key, value, 0);
}

/* The list of lower directories may be longer than a value: then one by one, the upper first. */
static int set_lower(int context, char *list)
{
	if (strlen(list) <= OPTION_MAX)
		return set_value(context, "lowerdir", list);
	for (;;) {
		char *end = list;

		while (*end && (*end != ':' || (end > list && end[-1] == '\\')))
			end++;
		if (!*end)
			return set_value(context, "lowerdir+", list);
		*end = '\0';
		if (set_value(context, "lowerdir+", list))
			return -1;
		list = end + 1;
	}
}

static int set_option(int context, const char *type, const char *option, struct error *err)
{
	_cleanup_free_ char *key = strdup(option);
	char *value;
	int failed;

	if (!key)
		return error_set(err, ERROR_FAILED, ENOMEM, "%s", type);
	value = strchr(key, '=');
	if (value)
		*value++ = '\0';
	if (!value)
		failed = fsconfig(context, FSCONFIG_SET_FLAG, key, NULL, 0);
	else
		failed = !strcmp(key, "lowerdir") ? set_lower(context, value) :
						    set_value(context, key, value);
	/* Older kernels have no inode64. */
	if (failed && !strncmp(key, "inode", 5))
		return 0;
	return failed ? refused(context, type, option, err) : 0;
}

static int set_flags(int context, const Mounts__FileSystem *fs, struct error *err)
{
	bool later = mount_class(fs->type) == MOUNT_MEMORY;

	for (size_t i = 0; i < ARRAY_SIZE(super_flags); i++) {
		if (!(fs->flags & super_flags[i].flag) ||
		    (later && super_flags[i].flag == MS_RDONLY))
			continue;
		if (fsconfig(context, FSCONFIG_SET_FLAG, super_flags[i].option, NULL, 0))
			return refused(context, fs->type, super_flags[i].option, err);
	}
	return 0;
}

int mount_make(const Mounts__FileSystem *fs, int *ret_fd, struct error *err)
{
	_cleanup_fd_ int context = fsopen(fs->type, FSOPEN_CLOEXEC);

	*ret_fd = -1;
	if (context < 0)
		return error_set(err, ERROR_BLOCKED, errno,
				 "this kernel has no file system of type %s", fs->type);
	if (fs->source[0] && set_value(context, "source", fs->source))
		return refused(context, fs->type, fs->source, err);
	for (size_t i = 0; i < fs->n_options; i++)
		if (set_option(context, fs->type, fs->options[i], err))
			return -1;
	if (set_flags(context, fs, err))
		return -1;
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return refused(context, fs->type, "it", err);
	*ret_fd = fsmount(context, FSMOUNT_CLOEXEC, 0);
	return *ret_fd < 0 ? refused(context, fs->type, "its mount", err) : 0;
}

int mount_make_readonly(int fd, struct error *err)
{
	_cleanup_fd_ int context = fspick(fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);

	if (context < 0 || fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) ||
	    fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0))
		return error_set(err, ERROR_FAILED, errno, "cannot make a file system read-only");
	return 0;
}
