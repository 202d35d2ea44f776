/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_FD_PATH_FILE_H
#define CL_KINDS_FD_PATH_FILE_H

#include "kinds/files.h"

/*
 * What the kinds have in common whose descriptions come back by opening their path again. The
 * message of all of them is PathFile.
 */

/* Names a path under which the same file is not found any more. */
int path_file_check(const struct fd_look *look, struct blockers *blockers, struct error *err);
int path_file_dump(struct dump_files *d, struct dump_file *f, struct error *err);
/* ERROR_IMAGE for a path that is none. */
int path_file_verify_path(const ProtobufCBinaryData *path, struct error *err);
int path_file_verify(struct restore_files *r, struct restore_file *f, struct error *err);
/* openat(2) by the opener. */
int path_file_plan(struct restore_files *r, struct restore_file *f, struct batch *b,
		   struct error *err);
/* Checks that the right thing was opened, and sets the position. */
int path_file_connect(struct restore_files *r, struct restore_file *f, struct error *err);

/* The path in a message as a string of the batch; 0 with an error when it is none. */
uint64_t path_file_string(const ProtobufCBinaryData *path, struct batch *b, struct error *err);

#endif
