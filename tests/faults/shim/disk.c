/* A disk that fails when told to, and that notes what a power cut would leave of it.
 *
 * Preloaded into every process of a test (LD_PRELOAD).  Only what lies below SPROV_DISK_ROOT counts.
 *
 * SPROV_DISK_CONTROL names a file of `struct control` that the test writes and this maps: while
 * `error` is not 0, calls of the kinds in `calls` on paths that contain `part` fail with it; SHORTS
 * are calls of write(2), which then write half and do not fail.
 *
 * What is made durable it notes (notes.h).
 */
#include "notes.h"

enum { WRITES = 1, SYNCS = 2, NAMES = 4, SHORTS = 8 };

struct control {
    _Atomic int error; /* errno; 0 for a disk that works */
    int calls;
    _Atomic int left; /* so many calls fail, then none; negative for all */
    _Atomic int before; /* so many calls do not fail before the first does */
    char part[1008];
};

static struct control *control;

__attribute__((constructor)) static void begin(void) {
    const char *path;
    inside = 1;
    root = getenv("SPROV_DISK_ROOT");
    kept = getenv("SPROV_DISK_KEPT");
    root_length = root ? strlen(root) : 0;
    if (root && (path = getenv("SPROV_DISK_CONTROL"))) {
        int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
        void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd < 0 || at == MAP_FAILED) abort();
        close(fd);
        control = at;
    }
    inside = 0;
}

/* The error that a call shall fail with, or 0. */
static int failing(int call, const char *path) {
    int error = control ? atomic_load(&control->error) : 0;
    if (!error || !(control->calls & call) || !strstr(path, control->part)) return 0;
    int before = atomic_load(&control->before);
    while (before > 0 &&
           !atomic_compare_exchange_weak(&control->before, &before, before - 1)) continue;
    if (before > 0) return 0;
    int left = atomic_load(&control->left);
    while (left > 0 && !atomic_compare_exchange_weak(&control->left, &left, left - 1)) continue;
    return left ? error : 0;
}

static int failing_fd(int call, int fd) {
    char path[PATH_MAX];
    int saved = errno, error = 0;
    if (inside || !control || !atomic_load(&control->error)) return 0;
    if (path_of_fd(fd, path)) error = failing(call, path);
    errno = error ? error : saved;
    return error;
}

static int failing_at(int call, int folder, const char *name) {
    char path[PATH_MAX];
    int saved = errno, error = 0;
    if (inside || !control || !atomic_load(&control->error)) return 0;
    if (path_at(folder, name, path)) error = failing(call, path);
    errno = error ? error : saved;
    return error;
}

static int synced(int fd, int (*sync)(int)) {
    char path[PATH_MAX], *names = NULL;
    size_t length = 0;
    struct stat found;
    long long at = now();
    int done, saved;
    if (failing_fd(SYNCS, fd)) return -1;
    if (inside || !recording() || !path_of_fd(fd, path) || fstat(fd, &found)) return sync(fd);
    inside = 1;
    if (S_ISDIR(found.st_mode)) names = listing(path, &found, at, &length);
    done = sync(fd);
    saved = errno;
    if (done == 0) {
        if (names)
            note(names, length);
        else
            note_file('S', &found, at, found.st_size);
    }
    free(names);
    inside = 0;
    errno = saved;
    return done;
}

int fsync(int fd) {
    return synced(fd, REAL(fsync));
}

int fdatasync(int fd) {
    return synced(fd, REAL(fdatasync));
}

/* Neither of these makes anything durable: not that of a file whose size it does not sync. */
int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
    if (failing_fd(SYNCS, fd)) return -1;
    return REAL(sync_file_range)(fd, offset, length, flags);
}

ssize_t write(int fd, const void *data, size_t length) {
    int saved = errno;
    if (failing_fd(WRITES, fd)) return -1;
    if (length > 1 && failing_fd(SHORTS, fd)) length /= 2;
    errno = saved;
    return REAL(write)(fd, data, length);
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
    if (failing_fd(WRITES, fd)) return -1;
    return REAL(writev)(fd, parts, n);
}

#define WRITE_AT(name, call, type, count)                              \
    ssize_t name(int fd, type data, count n, off64_t offset) {         \
        if (failing_fd(WRITES, fd)) return -1;                         \
        return ((ssize_t(*)(int, type, count, off64_t))real(#name))(fd, data, n, offset); \
    }
WRITE_AT(pwrite, WRITES, const void *, size_t)
WRITE_AT(pwrite64, WRITES, const void *, size_t)
WRITE_AT(pwritev, WRITES, const struct iovec *, int)
WRITE_AT(pwritev64, WRITES, const struct iovec *, int)

#define ALLOCATE(name)                                                 \
    int name(int fd, off64_t offset, off64_t length) {                 \
        int error = failing_fd(WRITES, fd);                            \
        if (error) return error;                                       \
        return ((int (*)(int, off64_t, off64_t))real(#name))(fd, offset, length); \
    }
ALLOCATE(posix_fallocate)
ALLOCATE(posix_fallocate64)

#define ALLOCATE_SOME(name)                                            \
    int name(int fd, int mode, off64_t offset, off64_t length) {       \
        if (failing_fd(WRITES, fd)) return -1;                         \
        return ((int (*)(int, int, off64_t, off64_t))real(#name))(fd, mode, offset, length); \
    }
ALLOCATE_SOME(fallocate)
ALLOCATE_SOME(fallocate64)

#define CUT(name)                                                      \
    int name(int fd, off64_t length) {                                 \
        int done;                                                      \
        if (failing_fd(WRITES, fd)) return -1;                         \
        done = ((int (*)(int, off64_t))real(#name))(fd, length);       \
        if (done == 0) note_cut(fd);                                   \
        return done;                                                   \
    }
CUT(ftruncate)
CUT(ftruncate64)

/* Opening makes a name, and may cut a file; whether it makes one is asked first. */
static int opened(int (*call)(int, const char *, int, ...), int folder, const char *name,
                  int flags, mode_t mode) {
    int fd;
    if ((flags & O_CREAT) && faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
        failing_at(NAMES, folder, name))
        return -1;
    fd = call(folder, name, flags, mode);
    if (fd >= 0 && (flags & O_TRUNC)) note_cut(fd);
    return fd;
}

#define MODE_OF(flags)                                                 \
    mode_t mode = 0;                                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                           \
        va_list more;                                                  \
        va_start(more, flags);                                         \
        mode = va_arg(more, mode_t);                                   \
        va_end(more);                                                  \
    }

#define OPEN(name, at)                                                 \
    int name(const char *path, int flags, ...) {                       \
        MODE_OF(flags)                                                 \
        return opened(REAL(at), AT_FDCWD, path, flags, mode);          \
    }
OPEN(open, openat)
OPEN(open64, openat64)

#define OPEN_AT(name)                                                  \
    int name(int folder, const char *path, int flags, ...) {           \
        MODE_OF(flags)                                                 \
        return opened(REAL(name), folder, path, flags, mode);          \
    }
OPEN_AT(openat)
OPEN_AT(openat64)

int creat(const char *path, mode_t mode) {
    return opened(REAL(openat), AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int renameat(int from, const char *old, int to, const char *new) {
    if (failing_at(NAMES, to, new)) return -1;
    keep(to, new);
    return REAL(renameat)(from, old, to, new);
}

int rename(const char *old, const char *new) {
    return renameat(AT_FDCWD, old, AT_FDCWD, new);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    if (failing_at(NAMES, to, new)) return -1;
    keep(to, new);
    return REAL(renameat2)(from, old, to, new, flags);
}

int linkat(int from, const char *old, int to, const char *new, int flags) {
    if (failing_at(NAMES, to, new)) return -1;
    return REAL(linkat)(from, old, to, new, flags);
}

int link(const char *old, const char *new) {
    if (failing_at(NAMES, AT_FDCWD, new)) return -1;
    return REAL(link)(old, new);
}

int unlinkat(int folder, const char *name, int flags) {
    if (flags & AT_REMOVEDIR) {
        if (move_away(folder, name)) return 0;
    } else {
        keep(folder, name);
    }
    return REAL(unlinkat)(folder, name, flags);
}

int unlink(const char *name) {
    keep(AT_FDCWD, name);
    return REAL(unlink)(name);
}

int rmdir(const char *name) {
    return move_away(AT_FDCWD, name) ? 0 : REAL(rmdir)(name);
}

int mkdirat(int folder, const char *name, mode_t mode) {
    char path[PATH_MAX];
    struct stat found;
    int done, saved;
    if (faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && failing_at(NAMES, folder, name))
        return -1;
    done = REAL(mkdirat)(folder, name, mode);
    saved = errno;
    if (done == 0 && !inside && recording() && path_at(folder, name, path) &&
        lstat(path, &found) == 0)
        note_file('M', &found, now(), 0);
    errno = saved;
    return done;
}

int mkdir(const char *name, mode_t mode) {
    return mkdirat(AT_FDCWD, name, mode);
}
