/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Uses files of a tmpfs in every way, waits until "check" is there, and writes its verdict. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FILES = 3000, SPARSE = 64 << 20, PAGE = 4096 };

static void say(const char *text)
{
	int fd = open("verdict.new", O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0 || close(fd) ||
	    rename("verdict.new", "verdict"))
		perror("verdict");
}

__attribute__((format(printf, 2, 3))) static void check(int good, const char *format, ...)
{
	char text[256];
	va_list arguments;

	if (good)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	say(text);
	for (;;)
		pause();
}

static int made(const char *name, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0640);

	check(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "make %s: %s",
	      name, strerror(errno));
	return fd;
}

static void holds(int fd, const char *what, const char *wanted)
{
	char text[64] = "";

	check(pread(fd, text, sizeof(text) - 1, 0) == (ssize_t)strlen(wanted) &&
	      !strcmp(text, wanted), "%s holds '%s'", what, text);
}

static void same_file(int fd, const char *path)
{
	struct stat a, b;

	check(!fstat(fd, &a) && !stat(path, &b) && a.st_ino == b.st_ino && a.st_dev == b.st_dev,
	      "%s is another file", path);
}

/* From here on the program itself is a file of the tmpfs. */
static void become_own(char **argv)
{
	struct stat st;
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to;

	check(from >= 0 && !fstat(from, &st), "program");
	to = open("program", O_WRONLY | O_CREAT | O_EXCL, 0755);
	check(to >= 0 && sendfile(to, from, NULL, st.st_size) == st.st_size, "copy");
	close(to);
	execv("./program", (char *[]){ argv[0], argv[1], "again", NULL });
	check(0, "exec: %s", strerror(errno));
}

static int listening(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	check(fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(address)) &&
	      !listen(fd, 5), "listen");
	return fd;
}

static void connect_to(const char *path, int server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	check(!connect(fd, (struct sockaddr *)&address, sizeof(address)), "connect: %s",
	      strerror(errno));
	check(accept(server, NULL, NULL) >= 0, "accept: %s", strerror(errno));
}

static void make_many(void)
{
	char name[32];

	check(!mkdir("many", 0700), "many");
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "many/%d", i);
		close(made(name, name));
	}
}

static void check_many(void)
{
	char name[32];

	for (int i = 0; i < FILES; i++) {
		int fd;

		snprintf(name, sizeof(name), "many/%d", i);
		fd = open(name, O_RDONLY);
		holds(fd, name, name);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	int file, gone, fifo, sparse, directory, server, watch, reader;
	char *shared, *private, text[64] = "";
	struct stat st;

	if (argc < 2 || chdir(argv[1]))
		return 2;
	if (argc == 2)
		become_own(argv);
	file = made("file", "0123456789");
	check(lseek(file, 4, SEEK_SET) == 4, "seek");
	reader = open("file", O_RDONLY);
	gone = made("gone", "no name");
	check(!unlink("gone"), "unlink");
	shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, made("mapped", ""), 0);
	check(shared != MAP_FAILED && !truncate("mapped", 2 * PAGE), "map");
	strcpy(shared + PAGE, "in the second page");
	private = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	private[1] = 'x';
	check(!mkfifo("fifo", 0600), "fifo");
	fifo = open("fifo", O_RDWR);
	check(write(fifo, "waiting", 7) == 7, "fifo");
	sparse = made("sparse", "");
	check(pwrite(sparse, "end", 3, SPARSE) == 3, "sparse");
	directory = open(".", O_RDONLY | O_DIRECTORY);
	server = listening("socket");
	watch = inotify_init1(IN_NONBLOCK);
	check(inotify_add_watch(watch, "many.watched", IN_ALL_EVENTS) < 0 &&
	      !mkdir("watched", 0700) && inotify_add_watch(watch, "watched", IN_ALL_EVENTS) >= 0,
	      "watch");
	make_many();
	say("ready");
	while (access("check", F_OK))
		usleep(5000);
	check(lseek(file, 0, SEEK_CUR) == 4, "offset %ld", (long)lseek(file, 0, SEEK_CUR));
	holds(file, "file", "0123456789");
	same_file(file, "file");
	same_file(reader, "file");
	same_file(directory, argv[1]);
	holds(gone, "deleted file", "no name");
	check(!fstat(gone, &st) && !st.st_nlink, "the deleted file has %lu links",
	      (unsigned long)st.st_nlink);
	check(!strcmp(shared + PAGE, "in the second page"), "shared memory");
	strcpy(shared, "written");
	check(pread(open("mapped", O_RDONLY), text, sizeof(text), 0) == sizeof(text) &&
	      !strcmp(text, "written"), "mapped and file are different");
	check(!memcmp(private, "0x23456789", 10), "private memory: %.10s", private);
	check(read(fifo, text, sizeof(text)) == 7 && !memcmp(text, "waiting", 7), "fifo: %s", text);
	check(!fstat(sparse, &st) && st.st_size == SPARSE + 3 && st.st_blocks <= 16,
	      "sparse: %ld bytes, %ld blocks", (long)st.st_size, (long)st.st_blocks);
	check(read(watch, text, sizeof(text)) < 0 && errno == EAGAIN, "an event of a watch");
	connect_to("socket", server);
	check(readlink("/proc/self/exe", text, sizeof(text) - 1) > 0 && strstr(text, "program") &&
	      stat("/proc/self/exe", &st) == 0, "program: %s", text);
	check_many();
	say("good");
	for (;;)
		pause();
}
