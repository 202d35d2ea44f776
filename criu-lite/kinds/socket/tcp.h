/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CL_KINDS_TCP_H
#define CL_KINDS_TCP_H

#include "images/tcp_socket.pb-c.h"
#include "kinds/dump.h"
#include "kinds/socket/inet.h"
#include "kinds/socket/socket.h"

/* Shared by the files of TCP sockets, tcp(7). */

extern const struct kind tcp_socket_kind;

/* ---- what it is, and who is at the other end (tcp_look.c) ---- */

struct tcp_info;
int tcp_info_of(int fd, struct tcp_info *ret);
/* Whether a socket in this state has, or had, an other end. */
bool tcp_is_connected(int state);

enum tcp_other_end {
	TCP_OTHER_SOCKET,	/* a socket with an inode: .inode */
	TCP_OTHER_WAITS,	/* nobody has accepted it yet */
	TCP_OTHER_CLOSED,	/* its program has closed it, the kernel still talks for it */
	TCP_OTHER_GONE,		/* nothing is there, though it could only be on this machine */
	TCP_OTHER_REMOTE,	/* not on this machine */
};

struct tcp_other {
	enum tcp_other_end what;
	ino_t inode;
	uint32_t unread, unsent;
	union inet_address local, remote;
};

/* Asks the kernel for the other end of a socket that is connected, or asks for a connection: that
 * is TCP_OTHER_REMOTE. */
int tcp_find_other(int fd, struct tcp_other *ret, struct error *err);

/* ERROR_BLOCKED when the kernel still sends for sockets of this network namespace that nobody has
 * any more. */
int tcp_check_closed(struct error *err);
/* How many connections of this network namespace are just being made, wait to be accepted, or were
 * closed with something that the peer has not got yet; not those that have had trouble with it. */
int tcp_unfinished(size_t *ret, struct error *err);
/* Whether it has, or asks for, a connection that leads out of the tree; *ret is filled in if it has
 * any connection. */
int tcp_leaves(const struct fd_scan *scan, int fd, struct tcp_other *ret, bool *ret_leaves,
	       struct error *err);

/* The parts of file_ops that look. */
bool tcp_recognise(const struct fd_look *look);
int tcp_check(const struct fd_look *look, struct blockers *blockers, struct error *err);
int tcp_check_tree(const struct fd_scan *scan, const struct fd_look *look,
		   struct blockers *blockers, struct error *err);

/* ---- repair mode: TCP_REPAIR, needs CAP_NET_ADMIN ---- */

/*
 * A socket in repair mode shows and takes its sequence numbers and queues; it sends no data, and
 * close(2) sends no FIN. A program cannot use it meanwhile, so whoever sets the mode must end it,
 * also when it is killed. The mode overwrites SO_REUSEADDR.
 */
struct tcp_repair {
	int fd;
	int reuse;	/* SO_REUSEADDR as it was */
	int peek_offset;	/* SO_PEEK_OFF likewise, switched off meanwhile */
	bool on;
};

/* The guard, if there is one, is told before. */
int tcp_repair_begin(struct tcp_repair *r, int fd, struct guard *guard, struct error *err);
/* Ends it without sending anything; a no-op unless it is on. 0, or -1 with errno. */
int tcp_repair_end(struct tcp_repair *r);
static inline void tcp_repair_release(struct tcp_repair *r)
{
	tcp_repair_end(r);
}
#define _cleanup_repair_ __attribute__((cleanup(tcp_repair_release)))

/* For a connection that is made: 0, or -1 with errno. With a probe at the end both ends learn where
 * the other one is. */
enum tcp_repair_mode { TCP_REPAIRED, TCP_REPAIR_ENDS, TCP_REPAIR_ENDS_SILENTLY };
int tcp_repair_set(int fd, enum tcp_repair_mode mode);

enum tcp_queue { TCP_QUEUE_NONE, TCP_QUEUE_RECEIVE, TCP_QUEUE_SEND };
int tcp_queue_select(int fd, enum tcp_queue queue);

/* ---- dump ---- */

/* Both ends of a connection (or one, with peer NULL) as of the same moment. ERROR_TARGET when they
 * do not come to rest. */
int tcp_snapshot(struct dump *d, int fd, TcpSocket__Connection *c, int peer_fd,
		 TcpSocket__Connection *peer, struct error *err);
/* The sequence number that a connecting socket has offered. */
int tcp_first_sequence(struct dump *d, int fd, uint32_t *ret, struct error *err);
/* Whether that side has sent, or received, the end of the stream. */
bool tcp_fin_sent(uint32_t tcp_state);
bool tcp_fin_received(uint32_t tcp_state);

/* ---- restore ---- */

/* restore_file.data of a TCP socket. */
struct tcp_restore {
	bool repaired;		/* made by repair, which is to be ended */
	int other_end;		/* stands for a peer that is gone; else -1 */
};
/* Made at the first question; NULL on error. */
struct tcp_restore *tcp_restore_of(struct restore_file *f, struct error *err);
/* Sends what was not sent when it was saved: the last `left` bytes. */
int tcp_send_unsent(const struct restore_file *f, uint32_t left, struct error *err);
/* The receive buffer as large as it was: a window once offered is not taken back, so it is never to
 * be larger. */
int tcp_room_as_saved(const struct restore_file *f, struct error *err);

static inline const TcpSocket *tcp_message(const struct restore_file *f)
{
	return (const TcpSocket *)f->message;
}

/* The phases of file_ops. */
int tcp_create(struct restore_files *r, struct restore_file *f, struct error *err);
int tcp_connect(struct restore_files *r, struct restore_file *f, struct error *err);
int tcp_finish(struct restore_files *r, struct restore_file *f, struct error *err);
int tcp_let_go(struct restore_files *r, struct restore_file *f, struct error *err);
int tcp_wake(struct restore_files *r, struct restore_file *f, struct error *err);

/* The window as it was; fin: that of the peer has been received, and is a byte behind the last. */
int tcp_set_window(int fd, const TcpSocket__Connection *c, bool fin, struct error *err);

/* A segment without data that the peer could have sent (tcp_forge.c). */
struct tcp_segment {
	uint32_t sequence, acknowledges;
	uint16_t window;	/* as it is in the header */
	bool fin;
};
/* Has the socket get it, past a packet lock with this pass_mark, and waits until it is in that
 * TCP_… state from it. */
int tcp_forge(int fd, const union inet_address *local, const union inet_address *remote,
	      const struct tcp_segment *segment, uint32_t mark, int state, struct error *err);

/* ---- restore of connections that lead out of the image (tcp_outside.c) ---- */

bool tcp_is_outside(const struct restore_file *f);
/* What the phases of the same names do for them: they are made, brought to their state behind the
 * packet lock, and remain in repair mode until they are let go. */
int tcp_outside_create(struct restore_files *r, struct restore_file *f, struct error *err);
int tcp_outside_finish(struct restore_files *r, struct restore_file *f, struct error *err);
int tcp_outside_let_go(struct restore_files *r, struct restore_file *f, struct error *err);
int tcp_outside_wake(struct restore_file *f, struct error *err);

/* The saved addresses of a connection; ERROR_IMAGE when it has none, or they do not fit. */
int tcp_addresses(const struct restore_file *f, union inet_address *local,
		  union inet_address *remote, struct error *err);
/* The socket at the other end of a saved connection; NULL when the image has none. */
struct restore_file *tcp_peer(struct restore_files *r, const struct restore_file *f);
struct restore_file *tcp_by_inode(struct restore_files *r, uint64_t inode);
/* With a hint when this machine does not have the address. */
int tcp_bind(int fd, const union inet_address *local, struct error *err);
/* Makes a connection out of nothing: fd is a fresh or just bound socket, *c what it is in the
 * middle of. It is left in repair mode. */
int tcp_repair_connect(int fd, const union inet_address *local, const union inet_address *remote,
		       const TcpSocket__Connection *c, uint32_t unsent, struct error *err);
/* Removes what is left of an old connection of these addresses, where that is all that there is
 * (TIME_WAIT). */
void tcp_sweep(int fd, const union inet_address *local, const union inet_address *remote);

#endif
