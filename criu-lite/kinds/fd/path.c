/* SPDX-License-Identifier: GPL-2.0-or-later */
/* O_PATH descriptors, open(2): places in the file system. */
#include <fcntl.h>

#include "images/path_file.pb-c.h"
#include "kinds/fd/path_file.h"

static bool path_recognise(const struct fd_look *look)
{
	return look->info.flags & O_PATH;
}

static const struct file_ops path_ops = {
	.recognise = path_recognise,
	.check = path_file_check,
	.dump = path_file_dump,
	.verify = path_file_verify,
	.plan = path_file_plan,
	.connect = path_file_connect,
};

const struct kind path_kind = {
	.name = "path",
	.record = 0x10a,
	.scope = KIND_FILE,
	.message = &path_file__descriptor,
	.help = "O_PATH descriptors",
	.file = &path_ops,
};
