/* Sets the clock of the virtual board: set_clock SECONDS, since 1970. Debian's busybox for armhf keeps time in 32 bits, which
 * end in 2038. tests/board/make.sh compiles it with 64 bits. */
#include <stdlib.h>
#include <stdio.h>
#include <time.h>

int main(int count, char **arguments)
{
    _Static_assert(sizeof(time_t) == 8, "a time beyond 2038");
    struct timespec now = {0};
    if (count != 2)
        return 64;
    now.tv_sec = strtoll(arguments[1], NULL, 10);
    if (clock_settime(CLOCK_REALTIME, &now) != 0) {
        perror("clock_settime");
        return 1;
    }
    return 0;
}
