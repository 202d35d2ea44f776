/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inotify watches keep their numbers and masks, and report what happens afterwards. */
#include <poll.h>
#include <sys/inotify.h>

#include "testing.h"

enum { MANY = 200 };

/* The next event, which must be this one. */
static void expect(int fd, int wd, uint32_t mask, const char *name)
{
	static char buffer[8192];
	static ssize_t filled, at;
	struct inotify_event *event;

	if (at >= filled) {
		filled = read(fd, buffer, sizeof(buffer));
		at = 0;
		test_check(filled > 0, "no event for watch %d", wd);
	}
	event = (struct inotify_event *)(buffer + at);
	at += sizeof(*event) + event->len;
	test_check(event->wd == wd && event->mask == mask, "watch %d reports %#x, not %d %#x",
		   event->wd, event->mask, wd, mask);
	test_check(!name || (event->len && !strcmp(event->name, name)), "name '%s'",
		   event->len ? event->name : "");
}

static int make(const char *name)
{
	int fd = open(test_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	test_must(fd >= 0);
	return fd;
}

int main(int argc, char **argv)
{
	int fd, empty, removed, directory, file, once, hidden, many[MANY], writer;
	struct pollfd poller;
	char name[32];

	test_init(argc, argv);
	test_must((fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) >= 0);
	test_must((empty = inotify_init1(0)) >= 0);
	test_must(!mkdir(test_path("directory"), 0700) && !mkdir(test_path("once"), 0700) &&
		  !mkdir(test_path("hidden"), 0700));
	close(make("file"));
	test_must((removed = inotify_add_watch(fd, test_path("once"), IN_CREATE)) > 0);
	test_must((directory = inotify_add_watch(fd, test_path("directory"),
						 IN_CREATE | IN_DELETE | IN_EXCL_UNLINK)) > 0);
	test_must(!inotify_rm_watch(fd, removed));
	expect(fd, removed, IN_IGNORED, NULL);
	test_must((file = inotify_add_watch(fd, test_path("file"), IN_MODIFY | IN_ATTRIB)) > 0);
	test_must((once = inotify_add_watch(fd, test_path("once"), IN_CREATE | IN_ONESHOT)) > 0);
	test_must((hidden = inotify_add_watch(fd, test_path("hidden"), IN_DELETE)) > 0);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many%d", i);
		close(make(name));
		test_must((many[i] = inotify_add_watch(fd, test_path(name), IN_CLOSE_WRITE)) > 0);
	}

	test_checkpoint_here();

	test_check(fcntl(fd, F_GETFD) == FD_CLOEXEC, "close-on-exec was lost");
	test_check(fcntl(fd, F_GETFL) & O_NONBLOCK, "it blocks now");
	test_check(read(fd, name, sizeof(name)) < 0 && errno == EAGAIN, "events from nowhere");
	close(make("directory/new"));
	expect(fd, directory, IN_CREATE, "new");
	test_must((writer = open(test_path("file"), O_WRONLY)) >= 0);
	test_must(write(writer, "x", 1) == 1);
	expect(fd, file, IN_MODIFY, NULL);
	test_must(!fchmod(writer, 0640));
	expect(fd, file, IN_ATTRIB, NULL);
	close(make("once/a"));
	expect(fd, once, IN_CREATE, "a");
	expect(fd, once, IN_IGNORED, NULL);
	close(make("hidden/a"));
	test_must(!unlink(test_path("hidden/a")));
	expect(fd, hidden, IN_DELETE, "a");
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many%d", i);
		close(make(name));
		expect(fd, many[i], IN_CLOSE_WRITE, NULL);
	}
	test_check(inotify_add_watch(fd, test_path("directory"), IN_MODIFY) == directory,
		   "the directory has another watch now");
	test_check(inotify_add_watch(fd, test_path("once"), IN_MODIFY) > many[MANY - 1],
		   "an old number was given out again");
	poller = (struct pollfd){ .fd = empty, .events = POLLIN };
	test_check(poll(&poller, 1, 0) == 0, "events in the empty one");
	test_check(inotify_add_watch(empty, test_path("file"), IN_MODIFY) > 0, "adding a watch");
	test_pass();
}
