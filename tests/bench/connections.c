/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Many short connections, fast: `connections serve ADDRESS PORT` answers each byte and each datagram,
 * `connections {tcp|udp} ADDRESS PORT COUNT` prints how many seconds so many take and how many were reset, PARALLEL at a time,
 * each from a port of its own. One byte goes each way; TCP is closed by the client, in peace.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PARALLEL 64
#define FIRST_PORT 10000
#define PATIENCE 5000 /* ms */
#define EVENTS 64
/* A connection that was reset is made anew, unless these are more than one in so many. Where both hosts are on
 * one machine, the end of a handshake and the first data can come on two processors at once, and Linux (6.18) may
 * then find neither the half-open connection nor the open one, and answer with a reset. */
#define FEW 1000

static int poller;

static void watch(int fd, unsigned events, int how)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(poller, how, fd, &event))
		err(1, "epoll_ctl");
}

static int make(int kind, struct sockaddr_in *local)
{
	int fd = socket(AF_INET, kind | SOCK_NONBLOCK, 0), yes = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    bind(fd, (void *)local, sizeof(*local)))
		err(1, "a socket");
	return fd;
}

/* Whether the other end is still there. */
static int answer(int fd)
{
	char byte;
	ssize_t got = recv(fd, &byte, 1, 0);

	if (got == 1)
		return send(fd, &byte, 1, MSG_NOSIGNAL) == 1;
	return got < 0 && errno == EAGAIN;
}

static void answer_datagrams(int fd)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	char byte;

	while (recvfrom(fd, &byte, 1, 0, (void *)&from, &length) > 0)
		sendto(fd, &byte, 1, 0, (void *)&from, length);
}

static void serve(struct sockaddr_in *local)
{
	int tcp = make(SOCK_STREAM, local), udp = make(SOCK_DGRAM, local), fd;
	struct epoll_event events[EVENTS];

	if (listen(tcp, 4096))
		err(1, "listen");
	watch(tcp, EPOLLIN, EPOLL_CTL_ADD);
	watch(udp, EPOLLIN, EPOLL_CTL_ADD);
	puts("ready");
	fflush(stdout);
	for (;;) {
		for (int n = epoll_wait(poller, events, EVENTS, -1); n-- > 0;) {
			fd = events[n].data.fd;
			if (fd == udp)
				answer_datagrams(fd);
			else if (fd == tcp)
				while ((fd = accept4(tcp, 0, 0, SOCK_NONBLOCK)) >= 0)
					watch(fd, EPOLLIN, EPOLL_CTL_ADD);
			else if (!answer(fd))
				close(fd);
		}
	}
}

static void open_one(int kind, struct sockaddr_in *server, int number)
{
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(FIRST_PORT + number)};
	int fd = make(kind, &local);

	if (connect(fd, (void *)server, sizeof(*server)) && errno != EINPROGRESS)
		err(1, "connect");
	watch(fd, EPOLLOUT, EPOLL_CTL_ADD);
}

enum state { GOES_ON, DONE, RESET };

static enum state go_on(int fd, unsigned events)
{
	char byte = '?';
	enum state state = DONE;

	errno = 0;
	if (events & EPOLLIN) {
		if (recv(fd, &byte, 1, 0) != 1) {
			if (errno != ECONNRESET)
				err(1, "no answer");
			state = RESET;
		}
		close(fd);
		return state;
	}
	if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
		err(1, "no connection");
	watch(fd, EPOLLIN, EPOLL_CTL_MOD);
	return GOES_ON;
}

/* How many were reset. */
static int ask(int kind, struct sockaddr_in *server, int count)
{
	struct epoll_event events[EVENTS];
	int opened = 0, done = 0, ready, resets = 0;
	enum state state;

	while (opened < count && opened < PARALLEL)
		open_one(kind, server, opened++);
	while (done < count) {
		ready = epoll_wait(poller, events, EVENTS, PATIENCE);
		if (ready <= 0)
			errx(1, "nothing comes any more, after %d of %d", done, count);
		while (ready-- > 0) {
			state = go_on(events[ready].data.fd, events[ready].events);
			if (state == GOES_ON)
				continue;
			done += state == DONE;
			resets += state == RESET;
			if (opened < count + resets)
				open_one(kind, server, opened++);
			if (resets > count / FEW)
				errx(1, "%d of %d were reset", resets, done + resets);
		}
	}
	return resets;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int count, char **words)
{
	struct sockaddr_in there = {.sin_family = AF_INET};
	double begun = now();
	int resets;

	if (count < 4 || !inet_aton(words[2], &there.sin_addr))
		errx(2, "see the source");
	there.sin_port = htons(atoi(words[3]));
	poller = epoll_create1(0);
	if (!strcmp(words[1], "serve"))
		serve(&there);
	resets = ask(strcmp(words[1], "tcp") ? SOCK_DGRAM : SOCK_STREAM, &there, atoi(words[4]));
	printf("%.6f %d\n", now() - begun, resets);
}
