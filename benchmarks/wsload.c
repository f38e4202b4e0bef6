/* The load: opens WebSockets, each signed in by a bearer token, publishes, and tells what arrived when.
 *
 *     cc -O2 -o wsload wsload.c wsload_publish.c && ./wsload PORT PATH TOKENS LOOK_MS
 *
 * TOKENS is a file, one a line. A path with `EIO=4` in it is a socket.io server's. Commands come on standard
 * input, one a line, and each is answered by one line; times are in nanoseconds, of CLOCK_MONOTONIC:
 *
 *     open N AT_ONCE FRAMES   opens sockets until there are N; each must be told FRAMES frames
 *                             -> open OPENED FAILED TOOK
 *     churn N AT_ONCE FRAMES  N times: opens one, has it told, closes it -> churn DONE FAILED TOOK
 *     close                   closes all -> close N FAILED TOOK
 *     publish PORT FILE       takes requests and whom to hand them to (wsload_publish.c) -> publish N
 *     run FIRST COUNT RATE WINDOW REACH PATIENCE
 *                             hands over COUNT requests, RATE a second, whatever arrives; or with RATE 0 so
 *                             many that WINDOW are under way. Each is for REACH sockets. Ends when all have
 *                             arrived, or when nothing has for PATIENCE seconds; where REACH is 0, when Redis
 *                             has taken all.
 *                             -> run SENT ARRIVED TOOK LATE P50 P99 MAX
 *
 * An event is known by the number behind "ts": in its frames, which is when it was, or should have been,
 * handed over. What comes outside of `run` is not counted.
 *
 * Answers the hub's `ping` by `pong`. Ends when standard input ends.
 */
#include "wsload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 512
#define MOST 1000000 /* sockets */

enum { NONE, CONNECTING, SHAKING, OPEN, LEAVING };
enum { IDLE, OPENING, CHURNING, CLOSING, RUNNING };

struct connection {
    int fd, state, token, frames;
    uint8_t *rest;      /* of a frame that has not come whole */
    int length, room;
    uint64_t last;      /* the event that it was told of last */
};

static struct connection *connections;
static char **tokens;
static int token_count;
static int epoll, socketio, port;
static const char *path;
static struct sockaddr_in address;
static uint8_t buffer[1 << 18];

static int command;  /* that is under way */
static int wanted, at_once, frames_wanted;  /* its numbers */
static int started, waiting, ready, opened, failed, done, next_token;
static uint64_t began;

static uint64_t look;  /* nanoseconds */
static uint64_t heard;  /* when it was looked last and something was there */
static uint64_t arrived;  /* when what was read came to its socket, by the kernel */
static uint64_t *times;
static long reached, expected, times_room;
static uint64_t last_arrival, patience;

uint64_t now(void)
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

static void start(struct connection *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        perror("wsload: socket");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
    c->state = CONNECTING;
    c->frames = c->length = 0;
    c->last = 0;
    started++;
    c->token = next_token++ % token_count; /* each socket is another user's, while there are users */
    waiting++;
    connect(c->fd, (struct sockaddr *)&address, sizeof address);
    struct epoll_event e = {.events = EPOLLOUT | EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
}

/* The connection has ended, whoever ended it. */
static void leave(struct connection *c)
{
    if (c->state == NONE)
        return;
    if (c->state == LEAVING)
        done++;
    else {
        failed++;
        if (c->state != OPEN || c->frames < frames_wanted)
            waiting--;
        if (c->state == OPEN)
            opened--;
    }
    c->state = NONE;
    epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
    if (command == CHURNING && started < wanted)
        start(c);
}

static void depart(struct connection *c)
{
    static const uint8_t normal[2] = {0x03, 0xe8};
    say(c, 8, normal, sizeof normal);
    c->state = LEAVING;
    opened--;
}

/* It has been told what a socket is told at its start. */
static void settle(struct connection *c)
{
    waiting--;
    ready++;
    if (command == CHURNING)
        depart(c);
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
                     path, port, tokens[c->token]);
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

static uint64_t part(double share)
{
    return reached ? times[(long)((reached - 1) * share)] : 0;
}

static void note(struct connection *c, uint64_t ts)
{
    if (!ts || ts <= c->last)
        return;
    c->last = ts;
    if (command != RUNNING)
        return;
    if (reached < times_room)
        times[reached++] = arrived > ts ? arrived - ts : 0;
    if (arrived > last_arrival)
        last_arrival = arrived;
}

static void text(struct connection *c, const uint8_t *data, int size)
{
    if (socketio && size < 300) {
        if (data[0] == '0')
            say(c, 1, "40", 2);
        if (size == 1 && data[0] == '2')
            say(c, 1, "3", 1);
        if (size < 2 || data[0] != '4' || data[1] != '0')
            return;
    }
    if (c->frames < frames_wanted && ++c->frames == frames_wanted)
        settle(c);
    if (size < 40 && memmem(data, size, "\"ping\"", 6)) {
        say(c, 1, "{\"action\":\"pong\"}", 17);
        return;
    }
    const uint8_t *at = memmem(data, size, "\"ts\":", 5);
    if (!at)
        return;
    for (at += 5; *at == ' ' || *at == '"' || *at == '\\'; at++)
        ;
    note(c, strtoull((const char *)at, NULL, 10));
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
    if (c->length > c->room)
        c->rest = realloc(c->rest, c->room = c->length + 1024);
    memmove(c->rest, data + at, c->length);
}

/* As recv, and sets `arrived`. */
static int receive(int fd, void *data, int room)
{
    struct iovec vector = {data, room};
    char control[CMSG_SPACE(sizeof(struct timespec))];
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
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
        if (n == 0 || errno != EAGAIN)
            leave(c);
        return;
    }
    n += c->length;
    buffer[n] = 0;
    c->length = 0;
    if (c->state != SHAKING) {
        frames(c, buffer, n);
        return;
    }
    uint8_t *end = memmem(buffer, n, "\r\n\r\n", 4);
    if (!end) {
        if (n > c->room)
            c->rest = realloc(c->rest, c->room = n + 1024);
        memcpy(c->rest, buffer, c->length = n);
        return;
    }
    if (memcmp(buffer, "HTTP/1.1 101", 12)) {
        if (failed < 3)
            fprintf(stderr, "%.80s\n", buffer);
        leave(c);
        return;
    }
    c->state = OPEN;
    opened++;
    if (!frames_wanted)
        settle(c);
    frames(c, end + 4, n - (int)(end + 4 - buffer));
}

static void room_for(long number)
{
    if (number > times_room)
        times = realloc(times, (times_room = number) * sizeof *times);
    reached = 0;
}

static void obey(char *line)
{
    int first, number, window, reach;
    double rate, seconds;
    char file[512];
    began = now();
    failed = done = 0;
    if (sscanf(line, "open %d %d %d", &wanted, &at_once, &frames_wanted) == 3) {
        command = OPENING;
        ready = opened;
        room_for(wanted);
    } else if (sscanf(line, "churn %d %d %d", &wanted, &at_once, &frames_wanted) == 3) {
        command = CHURNING;
        ready = started = 0;
        for (int i = 0; i < at_once && started < wanted; i++)
            start(&connections[i]);
    } else if (!strncmp(line, "close", 5)) {
        command = CLOSING;
        number = opened;
        for (int i = 0; i < started; i++)
            if (connections[i].state == OPEN)
                depart(&connections[i]);
        wanted = number;
    } else if (sscanf(line, "publish %d %511s", &number, file) == 2) {
        printf("publish %d\n", publish_from(file, number));
    } else if (sscanf(line, "run %d %d %lf %d %d %lf", &first, &number, &rate, &window, &reach,
                      &seconds) == 6) {
        command = RUNNING;
        patience = seconds * 1e9;
        expected = (long)number * reach;
        room_for(expected + 1);
        last_arrival = began;
        publish_begin(first, number, rate, window, reach);
    } else {
        fprintf(stderr, "wsload does not know %s", line);
        exit(2);
    }
}

/* Says so when the command under way is done. */
static void finish(void)
{
    uint64_t at = now();
    if (command == OPENING && ready + failed >= wanted)
        printf("open %d %d %llu\n", opened, failed, (unsigned long long)(at - began));
    else if (command == CHURNING && done + failed >= wanted)
        printf("churn %d %d %llu\n", done, failed, (unsigned long long)(at - began));
    else if (command == CLOSING && done + failed >= wanted)
        printf("close %d %d %llu\n", done, failed, (unsigned long long)(at - began));
    else if (command == RUNNING && ((publish_done() && expected && reached >= expected) ||
             (!expected && publish_taken()) ||
             (at - last_arrival > patience && at - publish_last() > patience))) {
        uint64_t first = publish_first(), last = expected ? last_arrival : at;
        qsort(times, reached, sizeof *times, by_size);
        printf("run %d %ld %llu %llu %llu %llu %llu\n", publish_sent(), reached,
               (unsigned long long)(last > first ? last - first : 0),
               (unsigned long long)publish_late(), (unsigned long long)part(.5),
               (unsigned long long)part(.99), (unsigned long long)part(1));
    } else
        return;
    if (command == CLOSING || command == CHURNING)
        started = waiting = opened = 0;
    command = IDLE;
    reached = 0;
}

/* All that has come to the sockets by now; `wait` milliseconds if that is nothing. */
static int look_around(int wait)
{
    struct epoll_event events[BATCH];
    int n, found = 0;
    do {
        n = epoll_wait(epoll, events, BATCH, found ? 0 : wait);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) {
                char lines[4096];
                int size = read(0, lines, sizeof lines - 1);
                if (size == 0)
                    exit(0);
                lines[size] = 0;
                obey(lines);
            } else if (c->state == CONNECTING)
                shake(c);
            else if (c->state != NONE)
                take(c);
        }
        found += n > 0 ? n : 0;
    } while (n == BATCH && found < 16 * BATCH);
    return found;
}

/* While frames come it looks every LOOK_MS: the kernel has noted when each came. Woken by each and reading
 * beside the server, as clients on other machines do not, it would make every write dearer by a quarter. */
static void turn(void)
{
    static uint64_t next;
    uint64_t at = now();
    if (command == OPENING || command == CHURNING || command == CLOSING) {
        for (; command == OPENING && started < wanted && waiting < at_once;)
            start(&connections[started]);
        look_around(100);
    } else if (command == RUNNING || at - heard < look * 2) {
        uint64_t due = command == RUNNING ? publish_due(reached) : ~0ull;
        if (at >= next) {
            next = at + look;
            if (look_around(0))
                heard = at;
        } else {
            uint64_t until = due < next ? due : next;
            struct timespec t = {until / 1000000000ull, until % 1000000000ull};
            if (until > at)
                clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        }
        if (command == RUNNING)
            publish_now(reached);
    } else if (look_around(100))
        heard = now();
    finish();
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "wsload PORT PATH TOKENS LOOK_MS\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    connections = calloc(files.rlim_max < MOST ? files.rlim_max : MOST, sizeof *connections);
    port = atoi(argv[1]);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    path = argv[2];
    socketio = strstr(path, "EIO=4") != NULL;
    look = atof(argv[4]) * 1e6;
    FILE *file = fopen(argv[3], "r");
    if (!file) {
        perror(argv[3]);
        return 2;
    }
    for (char line[256]; fgets(line, sizeof line, file);) {
        line[strcspn(line, "\r\n")] = 0;
        tokens = realloc(tokens, ++token_count * sizeof *tokens);
        tokens[token_count - 1] = strdup(line);
    }
    fclose(file);
    epoll = epoll_create1(0);
    struct epoll_event in = {.events = EPOLLIN, .data.ptr = NULL};
    fcntl(0, F_SETFL, O_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &in);
    for (;;)
        turn();
}
