/* Opens N WebSockets, each signed in by a bearer token, and tells when an event has reached all.
 *
 *     cc -O2 -o wsload wsload.c && ./wsload PORT PATH COUNT AT_ONCE <tokens
 *
 * Reads COUNT tokens, one a line, from standard input. Prints `open N failed M` when all
 * connections are open and each was told something, then for every event, known by the number
 * behind "ts": in its frames, which is the sender's CLOCK_MONOTONIC in nanoseconds:
 *
 *     event TS COUNT FIRST LAST P50       (nanoseconds since TS; when all have it)
 *
 * Answers the hub's `ping` by `pong`. Ends when standard input ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LOOK 20000000ull /* nanoseconds */

enum { CONNECTING, SHAKING, OPEN, GONE };

struct connection {
    int fd, state, told;
    char *token;
    uint8_t *rest;      /* of a frame that has not come whole */
    int length, room;
    uint64_t last;      /* the event that it was told of last */
};

static struct connection *connections;
static int epoll, count, at_once, started, waiting, opened, told, failed;
static const char *path;
static struct sockaddr_in address;
static uint8_t buffer[1 << 18];

static uint64_t heard;  /* when it was looked last and something was there */
static uint64_t arrived;  /* when what was read came to its socket, by the kernel */
static uint64_t event;  /* that is under way */
static int reached;
static uint64_t *times;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void put(int fd, const void *data, int size)
{
    const char *at = data;
    while (size > 0) {
        int n = send(fd, at, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            usleep(50);
            continue;
        }
        if (n < 0)
            return;
        at += n;
        size -= n;
    }
}

static void say(struct connection *c, int opcode, const void *data, int size)
{
    uint8_t frame[140] = {0x80 | opcode, 0x80 | size, 0, 0, 0, 0};
    memcpy(frame + 6, data, size);
    put(c->fd, frame, 6 + size);
}

static void leave(struct connection *c)
{
    if (c->state == GONE)
        return;
    if (c->state != OPEN)
        waiting--;
    failed++;
    c->state = GONE;
    epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
}

static void start(struct connection *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
    c->state = CONNECTING;
    waiting++;
    connect(c->fd, (struct sockaddr *)&address, sizeof address);
    struct epoll_event e = {.events = EPOLLOUT | EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
}

static void shake(struct connection *c)
{
    char request[1024];
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        leave(c);
        return;
    }
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     "Sec-WebSocket-Version: 13\r\nAuthorization: Bearer %s\r\n\r\n",
                     path, ntohs(address.sin_port), c->token);
    c->state = SHAKING;
    put(c->fd, request, n);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void text(struct connection *c, const uint8_t *data, int size)
{
    if (!c->told) {
        c->told = 1;
        told++;
    }
    if (size < 40 && memmem(data, size, "\"ping\"", 6)) {
        say(c, 1, "{\"action\":\"pong\"}", 17);
        return;
    }
    const uint8_t *at = memmem(data, size, "\"ts\":", 5);
    if (!at)
        return;
    for (at += 5; *at == ' ' || *at == '"' || *at == '\\'; at++)
        ;
    uint64_t ts = strtoull((const char *)at, NULL, 10);
    if (!ts || ts == c->last || ts < event)
        return;
    if (ts > event) {
        event = ts;
        reached = 0;
    }
    c->last = ts;
    times[reached++] = arrived - ts;
    if (reached == opened) {
        qsort(times, reached, sizeof *times, by_size);
        printf("event %llu %d %llu %llu %llu\n", (unsigned long long)ts, reached,
               (unsigned long long)times[0], (unsigned long long)times[reached - 1],
               (unsigned long long)times[reached / 2]);
        fflush(stdout);
    }
}

static void frames(struct connection *c, uint8_t *data, int size)
{
    int at = 0;
    while (size - at >= 2) {
        int opcode = data[at] & 15, head = 2;
        uint64_t length = data[at + 1] & 127;
        if (length == 126) {
            if (size - at < 4)
                break;
            length = data[at + 2] << 8 | data[at + 3];
            head = 4;
        } else if (length == 127) {
            if (size - at < 10)
                break;
            length = 0;
            for (int k = 0; k < 8; k++)
                length = length << 8 | data[at + 2 + k];
            head = 10;
        }
        if ((uint64_t)(size - at) < head + length)
            break;
        if (opcode == 1)
            text(c, data + at + head, length);
        else if (opcode == 9)
            say(c, 10, data + at + head, length < 126 ? length : 125);
        else if (opcode == 8) {
            leave(c);
            return;
        }
        at += head + length;
    }
    c->length = size - at;
    if (c->length > c->room) {
        c->room = c->length + 1024;
        c->rest = realloc(c->rest, c->room);
    }
    memmove(c->rest, data + at, c->length);
}

/* As recv, and sets `arrived`. */
static int receive(int fd, void *data, int room)
{
    struct iovec part = {data, room};
    char control[CMSG_SPACE(sizeof(struct timespec))];
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    int n = recvmsg(fd, &message, 0);
    arrived = now();
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); n > 0 && c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec came, wall;
            memcpy(&came, CMSG_DATA(c), sizeof came);
            clock_gettime(CLOCK_REALTIME, &wall);
            arrived -= (wall.tv_sec - came.tv_sec) * 1000000000ll + wall.tv_nsec - came.tv_nsec;
        }
    return n;
}

static void take(struct connection *c)
{
    memcpy(buffer, c->rest, c->length);
    int n = receive(c->fd, buffer + c->length, sizeof buffer - c->length - 1);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN)
            return;
        leave(c);
        return;
    }
    n += c->length;
    buffer[n] = 0;
    c->length = 0;
    if (c->state == SHAKING) {
        uint8_t *end = memmem(buffer, n, "\r\n\r\n", 4);
        if (!end) {
            frames(c, buffer, 0);
            c->length = n;
            if (n > c->room)
                c->rest = realloc(c->rest, c->room = n + 1024);
            memcpy(c->rest, buffer, n);
            return;
        }
        if (memcmp(buffer, "HTTP/1.1 101", 12)) {
            fprintf(stderr, "%.80s\n", buffer);
            leave(c);
            return;
        }
        c->state = OPEN;
        waiting--;
        opened++;
        frames(c, end + 4, n - (int)(end + 4 - buffer));
        return;
    }
    frames(c, buffer, n);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "wsload PORT PATH COUNT AT_ONCE <tokens\n");
        return 2;
    }
    address.sin_family = AF_INET;
    address.sin_port = htons(atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    path = argv[2];
    count = atoi(argv[3]);
    at_once = atoi(argv[4]);
    connections = calloc(count, sizeof *connections);
    times = calloc(count, sizeof *times);
    epoll = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        char line[256];
        if (!fgets(line, sizeof line, stdin))
            return 2;
        line[strcspn(line, "\r\n")] = 0;
        connections[i].token = strdup(line);
        connections[i].rest = malloc(connections[i].room = 4096);
    }
    struct epoll_event in = {.events = EPOLLIN, .data.ptr = NULL};
    fcntl(0, F_SETFL, O_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &in);
    for (int announced = 0;;) {
        struct epoll_event events[512];
        while (started < count && waiting < at_once)
            start(&connections[started++]);
        /* While frames come it looks every 20 ms: the kernel has noted when each came. Woken by
         * each and reading beside the server, as clients on other machines do not, it would make
         * every write dearer by a quarter. */
        int busy = now() - heard < LOOK * 2;
        if (busy)
            usleep(LOOK / 1000);
        int n = epoll_wait(epoll, events, 512, busy ? 0 : 100);
        if (n && announced)
            heard = now();
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) {
                char nothing[256];
                if (read(0, nothing, sizeof nothing) == 0)
                    return 0;
                continue;
            }
            if (c->state == CONNECTING && events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
                shake(c);
            else if (c->state != GONE)
                take(c);
        }
        if (!announced && opened + failed >= count && told >= opened) {
            printf("open %d failed %d\n", opened, failed);
            fflush(stdout);
            announced = 1;
        }
    }
}
