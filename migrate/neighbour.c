/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/neighbour.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"

enum { END_SIZE = 64 };

/* As the kernel prints it: words in the order of the machine, and the port. */
static int print_end(const struct sockaddr_storage *address, char ret[END_SIZE])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	uint32_t words[4];

	if (address->ss_family == AF_INET)
		return snprintf(ret, END_SIZE, "%08X:%04X", v4->sin_addr.s_addr,
				ntohs(v4->sin_port));
	memcpy(words, &v6->sin6_addr, sizeof(words));
	return snprintf(ret, END_SIZE, "%08X%08X%08X%08X:%04X", words[0], words[1], words[2],
			words[3], ntohs(v6->sin6_port));
}

/* The line of the socket whose ends are these; NULL: there is none. */
static const char *find_line(const char *text, const struct sockaddr_storage *local,
			     const struct sockaddr_storage *remote)
{
	char ends[2 * END_SIZE + 8], here[END_SIZE], there[END_SIZE];
	const char *found;

	print_end(local, here);
	print_end(remote, there);
	snprintf(ends, sizeof(ends), ": %s %s ", here, there);
	found = strstr(text, ends);
	return found ? found + strlen(ends) : NULL;
}

int neighbour_check(int socket, struct error *err)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	struct sockaddr_storage ours = { 0 }, theirs = { 0 };
	socklen_t our_size = sizeof(ours), their_size = sizeof(theirs);
	unsigned long inode = 0;
	const char *line, *path;
	unsigned int uid;

	if (getsockname(socket, (struct sockaddr *)&ours, &our_size) ||
	    getpeername(socket, (struct sockaddr *)&theirs, &their_size))
		return error_set(err, ERROR_PEER, errno, "who is at the other end?");
	path = ours.ss_family == AF_INET ? "/proc/thread-self/net/tcp" :
					   "/proc/thread-self/net/tcp6";
	if (read_file_at(-1, path, &text) || buffer_append(&text, "", 1))
		return error_set(err, ERROR_PEER, errno, "%s", path);
	line = find_line(text.data, &theirs, &ours);
	/* What is closed has no inode, and the kernel calls it root's. */
	if (!line || sscanf(line, "%*x %*x:%*x %*x:%*x %*x %u %*u %lu", &uid, &inode) != 2 ||
	    !inode)
		return error_set(err, ERROR_PEER, 0, "the other end is no socket of this machine");
	if (!uid || uid == geteuid())
		return 0;
	error_set(err, ERROR_PEER, 0, "the other end belongs to user %u", uid);
	return error_hint(err, "between users there has to be authentication: --psk-file, "
			       "--tls-cert, or ssh");
}
