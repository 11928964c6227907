/* A wall clock that somebody sets: preloaded, it is off by as many seconds as the file that
 * SHIM_CLOCK names has in it, once that is there.  The monotonic clock goes on as it is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long seconds_off(void) {
    char text[32] = {0};
    const char *name = getenv("SHIM_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*original)(clockid_t, struct timespec *);
    if (!original)
        original = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = original(clock, at);
    if (result == 0 && clock == CLOCK_REALTIME)
        at->tv_sec += seconds_off();
    return result;
}
