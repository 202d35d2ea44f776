/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_SOCKET_H
#define CL_KINDS_SOCKET_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "images/socket_common.pb-c.h"
#include "kinds/files.h"

/* What all kinds of sockets share. */

/* ---- which socket is it (socket.c) ---- */

enum { SOCKET_PROTOCOL_MAX = 32 };

/* What the kernel calls the protocol of a socket ("TCP", "UNIX-STREAM", "NETLINK"), from the
 * system.sockprotoname attribute, xattr(7). False when the descriptor is not a socket. */
bool socket_protocol(const struct fd_look *look, char ret[SOCKET_PROTOCOL_MAX]);
/* Whether that is one of `names`, which ends in NULL. */
bool socket_protocol_is(const struct fd_look *look, const char *const *names);

/* Why a socket that no row wants cannot be saved, and what can be done; both are static. */
void socket_unsupported(const struct fd_look *look, const char **reason, const char **remedy);

/* A process that has the socket with this inode in its descriptor table; 0 when none has, and then
 * it may wait in the queue of another socket. Looks through all of /proc. */
pid_t socket_holder(ino_t inode);
/* "process 12 (sshd)", malloc'ed; NULL when nobody holds it. */
char *socket_holder_text(ino_t inode);

/* ---- the common part of the messages (socket.c) ---- */

/* Preflight of what all sockets may have: a filter that cannot be read back. */
int socket_common_check(const struct fd_look *look, struct blockers *blockers, struct error *err);
/* Domain, type, protocol, owner, options of these levels (ended by -1) and filter. The caller frees
 * *ret with the message that it becomes part of; also after a failure. */
int socket_common_dump(struct dump_files *d, struct dump_file *f, const int *levels,
		       SocketCommon **ret, struct error *err);
/* FileCommon of f, allocated as messages of protobuf-c are. */
FileCommon *socket_file_common(struct dump_files *d, struct dump_file *f, struct error *err);

/* Opens a socket like the saved one in the description's opener: f->fd, non-blocking until
 * socket_common_finish(). Options that must be there before a name is bound are set. */
int socket_common_create(struct restore_files *r, struct restore_file *f, const SocketCommon *s,
			 struct error *err);
/* Sets the options that matter before bind(2). */
int socket_options_early(const struct restore_file *f, const SocketCommon *s, struct error *err);
/* At the end: all other options, filter, owner, mode, file status flags. */
int socket_common_finish(struct restore_file *f, const SocketCommon *s, struct error *err);
/* Makes room for sending `size` more bytes at once; socket_common_finish() puts the limit back. */
int socket_room_to_send(int fd, uint64_t size, struct error *err);

/* Refuses domain, type or protocol that a forged image put into a kind that does not handle it. */
int socket_common_expect(const struct restore_file *f, const SocketCommon *s, bool fine,
			 struct error *err);

/* ---- options (options.c) ---- */

/* Reads every known option of these levels (ended by -1). */
int socket_options_dump(int fd, const int *levels, SocketCommon *s, struct error *err);
enum socket_stage { SOCKET_EARLY, SOCKET_LATE };
/* Sets the options of a stage whose value is not what the socket has anyway. Unknown options and
 * wrong sizes are ERROR_IMAGE. `who` names the socket in errors. */
int socket_options_put(int fd, const SocketCommon *s, enum socket_stage stage, const char *who,
		       struct error *err);
/* The saved value of an integer option, or `otherwise`. */
int socket_option_saved(const SocketCommon *s, int level, int name, int otherwise);
/* Name of an option for people, "SO_KEEPALIVE"; NULL when unknown. */
const char *socket_option_text(int level, int name);

/* ---- memory of messages ---- */

/* Copies into a field of protobuf-c type bytes. -1 without memory. */
int socket_bytes(ProtobufCBinaryData *ret, const void *data, size_t size);
/* Grows a repeated field by one new element of `size` bytes; NULL without memory. */
void *socket_repeated(void *array_p, size_t *count, size_t size);

#endif
