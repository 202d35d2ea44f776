/* SPDX-License-Identifier: GPL-2.0-or-later */
/* O_PATH descriptors of files, directories, symbolic links and sockets stay what they are. */
#include <sys/socket.h>
#include <sys/un.h>

#include "testing.h"

int main(int argc, char **argv)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int file, directory, link, sock, bound, flags;
	struct stat st;
	char text[32];

	test_init(argc, argv);
	test_must(!close(open(test_path("file"), O_WRONLY | O_CREAT, 0600)));
	test_must(!mkdir(test_path("directory"), 0700));
	test_must(!symlink("nowhere at all", test_path("link")));
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", test_path("socket"));
	test_must((bound = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	test_must(!bind(bound, (struct sockaddr *)&name, sizeof(name)));
	close(bound);
	test_must((file = open(test_path("file"), O_PATH | O_CLOEXEC)) >= 0);
	test_must((directory = open(test_path("directory"), O_PATH | O_DIRECTORY)) >= 0);
	test_must((link = open(test_path("link"), O_PATH | O_NOFOLLOW)) >= 0);
	test_must((sock = open(test_path("socket"), O_PATH)) >= 0);
	flags = fcntl(link, F_GETFL);

	test_checkpoint_here();

	test_check(fcntl(file, F_GETFD) == FD_CLOEXEC, "close-on-exec was lost");
	test_check(read(file, text, 1) < 0 && errno == EBADF, "the file can be read");
	test_must(!fstat(file, &st));
	test_check(S_ISREG(st.st_mode), "file: mode %o", st.st_mode);
	test_must(!close(openat(directory, "new", O_WRONLY | O_CREAT | O_EXCL, 0600)));
	test_check(!access(test_path("directory/new"), F_OK), "it is another directory");
	test_check(fcntl(link, F_GETFL) == flags, "flags %#o, were %#o", fcntl(link, F_GETFL),
		   flags);
	test_check(readlinkat(link, "", text, sizeof(text)) == 14, "the link");
	test_must(!fstat(sock, &st));
	test_check(S_ISSOCK(st.st_mode), "socket: mode %o", st.st_mode);
	test_pass();
}
