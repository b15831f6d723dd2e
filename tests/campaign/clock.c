/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Stands between a program and the wall clock (LD_PRELOAD): adds the seconds that stand in the file
 * CAMPAIGN_CLOCK, a 64 bit integer, which may be changed at any time. The monotonic clock is left alone, as a
 * step of the real one leaves it. Declares what it needs itself, so that it takes a compiler and no headers.
 */

enum { READ_ONLY = 0, PAGE_READ = 1, MAP_SHARED = 1, REALTIME = 0, REALTIME_COARSE = 5 };
#define NEXT ((void *)-1) /* RTLD_NEXT */
#define FAILED ((void *)-1)

typedef struct { long seconds; long rest; } moment; /* struct timespec, struct timeval */

extern char *getenv(const char *);
extern int open(const char *, int, ...);
extern int close(int);
extern void *mmap(void *, unsigned long, int, int, int, long);
extern void *dlsym(void *, const char *);

static volatile long *step;
static long none;

static long step_seconds(void)
{
    if (!step) {
        const char *name = getenv("CAMPAIGN_CLOCK");
        int file = name ? open(name, READ_ONLY) : -1;
        void *page = file < 0 ? FAILED : mmap(0, sizeof(long), PAGE_READ, MAP_SHARED, file, 0);
        if (file >= 0)
            close(file);
        step = page == FAILED ? &none : page;
    }
    return *step;
}

int clock_gettime(int clock, moment *now)
{
    static int (*real)(int, moment *);
    if (!real)
        real = dlsym(NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && (clock == REALTIME || clock == REALTIME_COARSE))
        now->seconds += step_seconds();
    return failed;
}

int gettimeofday(moment *now, void *zone)
{
    static int (*real)(moment *, void *);
    if (!real)
        real = dlsym(NEXT, "gettimeofday");
    int failed = real(now, zone);
    if (!failed && now)
        now->seconds += step_seconds();
    return failed;
}

long time(long *now)
{
    moment found;
    clock_gettime(REALTIME, &found);
    if (now)
        *now = found.seconds;
    return found.seconds;
}
