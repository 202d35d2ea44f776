/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open directories with the position of readdir(3). */
#include <fcntl.h>
#include <sys/stat.h>

#include "images/path_file.pb-c.h"
#include "kinds/fd/path_file.h"

static bool directory_recognise(const struct fd_look *look)
{
	return S_ISDIR(look->st.st_mode) && !(look->info.flags & O_PATH);
}

static const struct file_ops directory_file = {
	.recognise = directory_recognise,
	.check = path_file_check,
	.dump = path_file_dump,
	.verify = path_file_verify,
	.plan = path_file_plan,
	.connect = path_file_connect,
};

const struct kind directory_kind = {
	.name = "directory",
	.record = 0x103,
	.scope = KIND_FILE,
	.message = &path_file__descriptor,
	.help = "open directories with their position",
	.file = &directory_file,
};
