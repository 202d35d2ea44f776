/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Character devices that keep no state: /dev/null, zero, full, random, urandom. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "images/path_file.pb-c.h"
#include "kinds/fd/path_file.h"

enum { MEMORY_DEVICES = 1, NULL_DEVICE = 3, ZERO = 5, FULL = 7, RANDOM = 8, URANDOM = 9 };

static bool device_recognise(const struct fd_look *look)
{
	if (!S_ISCHR(look->st.st_mode) || look->info.flags & O_PATH ||
	    major(look->st.st_rdev) != MEMORY_DEVICES)
		return false;
	switch (minor(look->st.st_rdev)) {
	case NULL_DEVICE:
	case ZERO:
	case FULL:
	case RANDOM:
	case URANDOM:
		return true;
	}
	return false;
}

static const struct file_ops device_file = {
	.recognise = device_recognise,
	.check = path_file_check,
	.dump = path_file_dump,
	.verify = path_file_verify,
	.plan = path_file_plan,
	.connect = path_file_connect,
};

const struct kind device_kind = {
	.name = "device",
	.record = 0x102,
	.scope = KIND_FILE,
	.message = &path_file__descriptor,
	.help = "devices without state: /dev/null, zero, full, random, urandom",
	.file = &device_file,
};
