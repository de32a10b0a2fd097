/*
 * Another time for a program of another processor, as faketime gives it to this machine's programs. tests/cross.sh compiles
 * it, and it is preloaded. Debian's faketime does not do for this: it does not know the call by which a 32-bit program asks
 * for a time that goes beyond 2038.
 *
 * The file named by FAKETIME_TIMESTAMP_FILE is read at each call. It says "@1970-01-01 00:10:00" (the clock showed that when
 * the program first asked) or "+61d" (that much later than the real time).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Not from time.h, which would declare the function with another type. */
enum { REALTIME = 0 };

#ifdef SYS_clock_gettime64
/* A 32-bit system's 64-bit time; the order of the last two fits little-endian processors. */
struct time64 { int64_t seconds; int32_t nanoseconds; int32_t padding; };
#define ASK SYS_clock_gettime64
#define NAME __clock_gettime64
#else
struct time64 { int64_t seconds; int64_t nanoseconds; };
#define ASK SYS_clock_gettime
#define NAME clock_gettime
#endif

static int64_t days_before(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year % 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int NAME(int clock, struct time64 *out)
{
    static int64_t first;
    int result = syscall(ASK, clock, out);
    const char *path = getenv("FAKETIME_TIMESTAMP_FILE");
    if (result != 0 || clock != REALTIME || path == NULL)
        return result;
    if (first == 0)
        first = out->seconds;
    char text[64] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return result;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    int year, month, day, hour, minute, second, days;
    if (length > 0 && sscanf(text, "@%d-%d-%d %d:%d:%d", &year, &month, &day, &hour, &minute, &second) == 6)
        out->seconds += days_before(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - first;
    else if (length > 0 && sscanf(text, "+%dd", &days) == 1)
        out->seconds += days * INT64_C(86400);
    return result;
}
