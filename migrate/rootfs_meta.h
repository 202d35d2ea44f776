/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_MIGRATE_ROOTFS_META_H
#define CL_MIGRATE_ROOTFS_META_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "images/migration.pb-c.h"

/*
 * What is to be known of a file but its content: owner, mode, times, extended attributes. A file is
 * given as a directory and a name in it ("." is that directory), and links are not followed.
 * Extended attributes of a link are only reached by its name, so these change the working
 * directory, as rootfs_meta_begin() and _end() know.
 */

/* The extended attribute of a directory that is a copy which is not finished, or was left behind.
 * It is no part of the copy. */
#define ROOTFS_MARK "trusted.criu-lite.copy"

int rootfs_meta_begin(int *ret_directory, struct error *err);
void rootfs_meta_end(int *directory);
#define _cleanup_rootfs_meta_ __attribute__((cleanup(rootfs_meta_end)))

/* Reads it; the caller frees *ret with protobuf_c_message_free_unpacked. Errors have errno in
 * os_error. */
int rootfs_meta_read(int directory, const char *name, const struct stat *st,
		     MigrateFiles__Entry **ret, struct error *err);
/* Of all that is in it but the access time. */
uint64_t rootfs_meta_digest(const MigrateFiles__Entry *entry);
/* Gives the file all this, and takes away extended attributes that are not in it. */
int rootfs_meta_apply(int directory, const char *name, const MigrateFiles__Entry *entry,
		      struct error *err);

#endif
