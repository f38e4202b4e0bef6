/* The publisher of wsload: hands requests that were made before to a server, each with the time in it.
 *
 * The file holds, for each request, its length as four bytes, little endian, and its bytes as they go over the
 * wire: PUBLISH for Redis, or POST for a server of HTTP. PLACE in it is the place for the time. Answers are read
 * and thrown away.
 */
#include "wsload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DIGITS 20
#define PLACE "00000000000012345678" /* live_stand.py; a time long ago, and no number that is packed often */
#define PLACES 64 /* of one request at most: one for each chunk of the event */
#define SOON 200000ull /* nanoseconds until a full connection is tried again */

struct request {
    char *bytes;
    uint32_t size;
    uint32_t places[PLACES], place_count;
};

static struct request *requests;
static int count, connection = -1;

static int at, end, sent, window, reach;
static uint64_t step; /* between two of them; 0 as the window allows */
static uint64_t first, next, last, late;
static uint32_t written; /* of the request under way */
static long owed; /* answers of Redis: one line for each chunk */

static void connect_to(int port)
{
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connection >= 0)
        close(connection);
    connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address)) {
        perror("wsload: nobody takes what is published");
        exit(1);
    }
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void find_places(struct request *r)
{
    char *from = r->bytes, *found;
    r->place_count = 0;
    while (r->place_count < PLACES &&
           (found = memmem(from, r->bytes + r->size - from, PLACE, DIGITS))) {
        r->places[r->place_count++] = found - r->bytes;
        from = found + DIGITS;
    }
}

int publish_from(const char *name, int port)
{
    uint32_t size;
    FILE *file = fopen(name, "rb");
    if (!file) {
        perror(name);
        exit(2);
    }
    for (int i = 0; i < count; i++)
        free(requests[i].bytes);
    for (count = 0; fread(&size, sizeof size, 1, file) == 1; count++) {
        requests = realloc(requests, (count + 1) * sizeof *requests);
        struct request *r = &requests[count];
        r->size = size;
        r->bytes = malloc(size);
        if (fread(r->bytes, 1, size, file) != size) {
            fprintf(stderr, "wsload: %s ends in the middle of a request\n", name);
            exit(2);
        }
        find_places(r);
    }
    fclose(file);
    connect_to(port);
    return count;
}

void publish_begin(int from, int number, double rate, int at_once, int sockets)
{
    at = from;
    end = from + number;
    if (end > count) {
        fprintf(stderr, "wsload: only %d requests\n", count);
        exit(2);
    }
    sent = written = late = 0;
    owed = 0;
    window = at_once;
    reach = sockets;
    step = rate > 0 ? 1e9 / rate : 0;
    first = next = last = now();
}

static int room(long arrived)
{
    return !window || (long)sent * reach - arrived < (long)window * reach;
}

uint64_t publish_due(long arrived)
{
    if (at >= end)
        return ~0ull;
    if (written || (!step && room(arrived)))
        return now() + (written ? SOON : 0);
    return step ? next : ~0ull;
}

static void hear(void)
{
    char answers[65536];
    int n;
    while ((n = recv(connection, answers, sizeof answers, MSG_DONTWAIT)) > 0) {
        if (answers[0] == '-')
            fprintf(stderr, "%.80s\n", answers);
        for (int i = 0; i < n; i++)
            owed -= answers[i] == '\n';
    }
    if (!n) {
        fprintf(stderr, "wsload: the server of what is published has hung up\n");
        exit(1);
    }
}

static void stamp(struct request *r, uint64_t time)
{
    char digits[DIGITS + 1];
    snprintf(digits, sizeof digits, "%020llu", (unsigned long long)time);
    for (uint32_t i = 0; i < r->place_count; i++)
        memcpy(r->bytes + r->places[i], digits, DIGITS);
}

void publish_now(long arrived)
{
    hear();
    while (at < end) {
        struct request *r = &requests[at];
        uint64_t time = now();
        if (!written) {
            if (step ? time < next : !room(arrived))
                return;
            last = step ? next : time;
            if (!sent)
                first = last;
            if (time - last > late)
                late = time - last;
            stamp(r, last);
            next += step;
        }
        int n = send(connection, r->bytes + written, r->size - written, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            perror("wsload: publish");
            exit(1);
        }
        written += n > 0 ? n : 0;
        if (written < r->size)
            return;
        written = 0;
        owed += r->place_count;
        sent++;
        at++;
    }
}

int publish_done(void)
{
    return at >= end;
}

int publish_taken(void)
{
    return publish_done() && owed <= 0;
}

int publish_sent(void)
{
    return sent;
}

uint64_t publish_first(void)
{
    return first;
}

uint64_t publish_last(void)
{
    return last;
}

uint64_t publish_late(void)
{
    return late;
}
