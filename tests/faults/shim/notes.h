/* What a power cut would leave of a disk: notes of what is synced, and what is deleted is kept.
 *
 * SPROV_DISK_NOTES names a file that this appends to, a line a call, as soon as it has succeeded:
 *
 *     S DEV:INO AT SIZE     a file was synced, and had this size before that
 *     T DEV:INO AT SIZE     a file was cut, and had this size then
 *     M DEV:INO AT 0        a folder was made
 *     D DEV:INO AT PATH     a folder was synced; before that it had the names that follow
 *     N DEV:INO INO NAME    a name in it
 *
 * AT is when that was looked at, nanoseconds: of two threads the second to look may note first.
 * The lines of one D are written at once.  Files that lose a name are kept by a hard link DEV:INO in
 * SPROV_DISK_KEPT, and folders that are removed are moved there, so that what they were can be put
 * back, and no inode is used again.
 * tests/disks.py has the model that makes of this what a power cut leaves.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *root, *kept;
static size_t root_length;
static int notes = -1;

static __thread int inside; /* calls that this makes itself are the kernel's business */

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    return dlsym(RTLD_NEXT, name);
}

/* The notes are opened when there is one: a daemon closes what it has inherited. */
static int notes_fd(void) {
    const char *path = getenv("SPROV_DISK_NOTES");
    struct stat ours, there;
    if (!path) return -1;
    if (notes >= 0 && fstat(notes, &ours) == 0 && stat(path, &there) == 0 &&
        ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
        return notes;
    notes = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CLOEXEC);
    return notes;
}

static int recording(void) {
    return root && kept && getenv("SPROV_DISK_NOTES") != NULL;
}

static void note(const char *data, size_t length) {
    int fd = notes_fd();
    if (fd < 0 || syscall(SYS_write, fd, data, length) != (ssize_t)length) abort();
}

static long long now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void note_file(char what, const struct stat *found, long long at, long long size) {
    char line[128];
    int n = snprintf(line, sizeof line, "%c %llu:%llu %lld %lld\n", what,
                     (unsigned long long)found->st_dev, (unsigned long long)found->st_ino, at, size);
    note(line, n);
}

static int below(const char *path) {
    return root && strncmp(path, root, root_length) == 0 &&
           (path[root_length] == '/' || path[root_length] == 0);
}

/* The path of what a descriptor has open, if that lies below the root. */
static int path_of_fd(int fd, char *path) {
    char link[64];
    ssize_t n;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return below(path);
}

/* The path that a name in a folder has, if that lies below the root; links in it stay. */
static int path_at(int folder, const char *name, char *path) {
    char base[PATH_MAX];
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return below(path);
    }
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        char link[64];
        ssize_t n;
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        n = readlink(link, base, sizeof base - 1);
        if (n <= 0) return 0;
        base[n] = 0;
    }
    if ((size_t)snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) return 0;
    return below(path);
}

static void name_kept(const struct stat *found, char *link) {
    snprintf(link, PATH_MAX, "%s/%llu:%llu", kept, (unsigned long long)found->st_dev,
             (unsigned long long)found->st_ino);
}

/* Keep a file that is about to lose a name. */
static void keep(int folder, const char *name) {
    char path[PATH_MAX], link[PATH_MAX];
    struct stat found;
    int saved = errno;
    if (inside || !recording() || !path_at(folder, name, path)) return;
    if (lstat(path, &found) == 0 && !S_ISDIR(found.st_mode)) {
        name_kept(&found, link);
        syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, link, 0);
    }
    errno = saved;
}

static int is_empty(const char *path) {
    struct dirent *entry;
    DIR *folder = opendir(path);
    int n = 0;
    if (!folder) return 0;
    while ((entry = readdir(folder)))
        n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(folder);
    return n == 0;
}

/* Remove a folder by moving it to what is kept; 0 if that can't be, and it must be removed. */
static int move_away(int folder, const char *name) {
    char path[PATH_MAX], link[PATH_MAX];
    struct stat found;
    int saved = errno, done;
    if (inside || !recording() || !path_at(folder, name, path)) return 0;
    if (lstat(path, &found) || !S_ISDIR(found.st_mode) || !is_empty(path)) {
        errno = saved;
        return 0;
    }
    name_kept(&found, link);
    done = syscall(SYS_renameat, AT_FDCWD, path, AT_FDCWD, link) == 0;
    errno = saved;
    return done;
}

/* What a folder has, as lines to note; NULL if it can't be read. */
static char *listing(const char *path, const struct stat *found, long long at, size_t *length) {
    FILE *lines;
    char *text = NULL;
    struct dirent *entry;
    DIR *folder = opendir(path);
    if (!folder) return NULL;
    lines = open_memstream(&text, length);
    fprintf(lines, "D %llu:%llu %lld %s\n", (unsigned long long)found->st_dev,
            (unsigned long long)found->st_ino, at, path);
    while ((entry = readdir(folder)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            fprintf(lines, "N %llu:%llu %llu %s\n", (unsigned long long)found->st_dev,
                    (unsigned long long)found->st_ino, (unsigned long long)entry->d_ino,
                    entry->d_name);
    fclose(lines);
    closedir(folder);
    return text;
}

static void note_cut(int fd) {
    char path[PATH_MAX];
    struct stat found;
    int saved = errno;
    long long at = now();
    if (!inside && recording() && path_of_fd(fd, path) && fstat(fd, &found) == 0)
        note_file('T', &found, at, found.st_size);
    errno = saved;
}
