/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_UNIX_H
#define CL_KINDS_UNIX_H

#include "images/unix_socket.pb-c.h"
#include "kinds/socket/diag.h"
#include "kinds/socket/socket.h"

/* Shared by the files of Unix sockets, unix(7). */

extern const struct kind unix_socket_kind;

/* ---- names ---- */

/* Length of the address of a name: what bind(2) and connect(2) take. 0 when it is too long. */
socklen_t unix_address(struct sockaddr_un *ret, const void *name, size_t size);
/* Name.address of an address as the kernel tells it; size 0 when it has no name. */
size_t unix_address_name(const struct sockaddr_un *address, socklen_t size, const void **ret);

/* Dump: the socket's own name, NULL in *ret when it has none. `who` names it in errors. */
int unix_name_dump(int fd, const char *who, UnixSocket__Name **ret, struct error *err);
/* Restore: binds the socket. A file appears where it was, with its owner and mode, or, when it was
 * deleted, nowhere. *ret_made tells whether the file system has something that it had not; the
 * guard is told before. `run` may be NULL for a deleted file. */
int unix_name_bind(struct restore *run, int fd, const UnixSocket__Name *name, const char *who,
		   bool *ret_made, struct error *err);
/* Takes a file made by unix_name_bind() away again. */
void unix_name_unlink(const UnixSocket__Name *name);

/* A tree that moves here over a root file system that both sides have finds the files of its own
 * sockets, in use there until it is decided who runs it. The new ones wait beside them. */
struct unix_late_name {
	int dir, top;		/* where the file shall be, and the private directory where it is */
	char *base;
	char temporary[64];	/* name of the latter in the former */
};

/* It is decided: they take their places. Failures are logged. */
void unix_names_take_place(struct restore *r);
/* Takes away those that still wait. */
void unix_names_release(struct restore *r);

/* The address by which this process reaches the socket behind fd (bound), also when its file is
 * deleted or somewhere else: *ret_file is a descriptor that must stay open until then, or -1. */
int unix_reach(int fd, struct sockaddr_un *ret, socklen_t *ret_size, int *ret_file,
	       struct error *err);

/* ---- calls whose caller the kernel remembers ---- */

/*
 * SO_PEERCRED is the process and the effective ids of who called socketpair(2), listen(2) or
 * connect(2). These make the call as the process that `who` says: its puppet, or a stand-in of the
 * same pid when that process is not there any more. Without who, or when the pid is taken by a
 * stranger, as `fallback`.
 */
int unix_call_socketpair(struct restore_files *r, const UnixSocket__Credentials *who,
			 struct restore_task *fallback, int type, int ret[2], struct error *err);
int unix_call_listen(struct restore_files *r, const UnixSocket__Credentials *who,
		     struct restore_task *fallback, int fd, int backlog, struct error *err);
/* Connects fd to the bound socket `to`; both are ours. */
int unix_call_connect(struct restore_files *r, const UnixSocket__Credentials *who,
		      struct restore_task *fallback, int fd, int to, struct error *err);

/* Sends with SCM_CREDENTIALS of a process that may have gone. Returns what sendmsg(2) does. */
ssize_t unix_send_as(int fd, const UnixSocket__Credentials *who, struct msghdr *message);

/* ---- queues ---- */

/* What waits in the receive queue; nothing of it is taken out. */
int unix_queue_dump(struct dump_files *d, struct dump_file *f, UnixSocket *m, struct error *err);
int unix_queue_put(struct restore_files *r, struct restore_file *f, struct error *err);

/* ---- restore ---- */

/* restore_file.data of a Unix socket. */
struct unix_restore {
	bool ready;		/* f->fd is there, with its name and its connection */
	bool connected;		/* datagrams: to its peer */
	bool file_made;		/* its name made a file that was not there */
	int other_end;		/* stands for a peer that is gone; else -1 */
	/* Who a listener shows to those who connect just now; not owned. NULL: as saved. */
	const UnixSocket__Credentials *shown;
};

static inline const UnixSocket *unix_message(const struct restore_file *f)
{
	return (const UnixSocket *)f->message;
}

struct unix_restore *unix_data(struct restore_file *f, struct error *err);
/* The restored Unix socket with this inode; NULL when there is none. */
struct restore_file *unix_by_inode(struct restore_files *r, uint64_t inode);
/* The restored socket of that type whose own name (not an accepted one) is `name`. */
struct restore_file *unix_by_name(struct restore_files *r, uint32_t type,
				  const ProtobufCBinaryData *name);
bool unix_same_name(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b);

/* The phases of file_ops. */
int unix_create(struct restore_files *r, struct restore_file *f, struct error *err);
int unix_connect(struct restore_files *r, struct restore_file *f, struct error *err);
int unix_finish(struct restore_files *r, struct restore_file *f, struct error *err);
void unix_undo(struct restore_files *r, struct restore_file *f);

/* Binds the socket's own name, if it has one. */
int unix_bind_own(struct restore_file *f, struct error *err);
/* A connected stream (or sequenced packets): both ends, or one end and a stand-in. */
int unix_create_connected(struct restore_files *r, struct restore_file *f, struct error *err);
int unix_create_datagram(struct restore_files *r, struct restore_file *f, struct error *err);
/* Connects a datagram socket to its saved peer, after those that are connected to it; does nothing
 * when it has none, or it is done. */
int unix_connect_datagram(struct restore_files *r, struct restore_file *f, struct error *err);
/* A stand-in for a datagram socket that is gone, with its name (NULL: none); -1 on error. */
int unix_stand_in(const ProtobufCBinaryData *name, struct error *err);

#endif
