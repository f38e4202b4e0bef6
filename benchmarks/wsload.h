/* What the two parts of wsload know of each other. Times are nanoseconds of CLOCK_MONOTONIC. */
#define _GNU_SOURCE
#include <stdint.h>

uint64_t now(void);

int publish_from(const char *file, int port); /* how many requests there are */
void publish_begin(int first, int count, double rate, int window, int reach);
uint64_t publish_due(long arrived); /* when to call `publish_now` next */
void publish_now(long arrived);
int publish_done(void); /* whether all of them were handed over */
int publish_taken(void); /* and Redis has answered to all */
int publish_sent(void);
uint64_t publish_first(void); /* when the first, and the last one yet, was due */
uint64_t publish_last(void);
uint64_t publish_late(void); /* how far it fell behind its own schedule at most */
