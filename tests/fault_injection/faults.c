/* Preloaded into a process: count its file operations below a folder, and let one of them fail or kill the process.

   fault_arm(folder, operation, fault, log) starts the count at 1. `log` is a descriptor that gets one line an
   operation, or -1. Faults: an errno, TORN (write half, then ENOSPC), KILL (before the operation), KILL_TORN. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { TORN = 1000, KILL = 1001, KILL_TORN = 1002 };
#define MAX_FD 65536

static char folder[PATH_MAX];
static size_t folder_length;
static long target;
static int fault, log_fd = -1;
static atomic_long count;
static char is_below[MAX_FD];
static char names[MAX_FD][256];

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void fault_arm(const char *path, long operation, int kind, int log) {
    snprintf(folder, sizeof folder, "%s", path);
    folder_length = strlen(folder);
    target = operation;
    fault = kind;
    log_fd = log;
    count = 0;
}

long fault_count(void) { return count; }

static void die(void) { syscall(SYS_kill, getpid(), SIGKILL); for (;;) pause(); }

/* Whether a path, taken from the descriptor of a folder, is below the watched folder. */
static int watched(int at, const char *path) {
    if (!folder_length || !path) return 0;
    if (path[0] != '/' && at != AT_FDCWD) return at >= 0 && at < MAX_FD && is_below[at];
    return !strncmp(path, folder, folder_length) && (path[folder_length] == '/' || !path[folder_length]);
}

/* Count an operation; return 0, or the fault if it is this one. */
static int step(const char *name, const char *path) {
    long number = ++count;
    if (log_fd >= 0) dprintf(log_fd, "%s\t%s\n", name, path);
    if (number != target) return 0;
    if (fault == KILL) die();
    return fault;
}

#define FAIL(value) do { errno = kind < TORN ? kind : EIO; return value; } while (0)
#define AT_PATH(type, name, operation, at, path, parameters, arguments, error) \
    type name parameters { \
        int kind; \
        if (watched(at, path) && (kind = step(operation, path))) FAIL(error); \
        return REAL(name) arguments; \
    }

static int opened(int fd, const char *path, int below) {
    if (fd >= 0 && fd < MAX_FD) {
        is_below[fd] = below;
        if (below) snprintf(names[fd], sizeof names[fd], "%s", path);
    }
    return fd;
}

#define OPEN(name, at, parameters, arguments) \
    int name parameters { \
        mode_t mode = 0; \
        int kind, below = watched(at, path); \
        if (flags & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, int); va_end(rest); } \
        if (below && (kind = step(flags & O_CREAT ? "create" : "open", path))) FAIL(-1); \
        return opened(REAL(name) arguments, path, below); \
    }
OPEN(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, at, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPEN(openat64, at, (int at, const char *path, int flags, ...), (at, path, flags, mode))

int close(int fd) {
    if (fd >= 0 && fd < MAX_FD) is_below[fd] = 0;
    return REAL(close)(fd);
}

static int ours(int fd) { return fd >= 0 && fd < MAX_FD && is_below[fd]; }

#define READ(type, name, parameters, arguments) \
    type name parameters { \
        int kind; \
        if (ours(fd) && (kind = step("read", names[fd]))) FAIL(-1); \
        return REAL(name) arguments; \
    }
READ(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
READ(ssize_t, pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
READ(ssize_t, pread64, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at))

#define WRITE(type, name, parameters, arguments, half) \
    type name parameters { \
        int kind; \
        if (ours(fd) && (kind = step("write", names[fd]))) { \
            if (kind >= TORN) (void)!REAL(name) half; \
            if (kind == KILL_TORN) die(); \
            if (kind >= TORN) kind = ENOSPC; \
            FAIL(-1); \
        } \
        return REAL(name) arguments; \
    }
WRITE(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), (fd, data, size / 2))
WRITE(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), (fd, data, size / 2, at))
WRITE(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), (fd, data, size / 2, at))
WRITE(ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n), (fd, parts, n / 2))
WRITE(ssize_t, sendfile, (int fd, int in, off_t *at, size_t size), (fd, in, at, size), (fd, in, at, size / 2))
WRITE(ssize_t, sendfile64, (int fd, int in, off64_t *at, size_t size), (fd, in, at, size), (fd, in, at, size / 2))

#define SYNC(name, operation, parameters, arguments) \
    int name parameters { \
        int kind; \
        if (ours(fd) && (kind = step(operation, names[fd]))) FAIL(-1); \
        return REAL(name) arguments; \
    }
SYNC(fsync, "fsync", (int fd), (fd))
SYNC(fdatasync, "fsync", (int fd), (fd))
SYNC(ftruncate, "truncate", (int fd, off_t size), (fd, size))
SYNC(ftruncate64, "truncate", (int fd, off64_t size), (fd, size))
SYNC(fstat, "stat", (int fd, struct stat *to), (fd, to))
SYNC(fstat64, "stat", (int fd, struct stat64 *to), (fd, to))

AT_PATH(int, rename, "rename", AT_FDCWD, b, (const char *a, const char *b), (a, b), -1)
AT_PATH(int, renameat, "rename", to, b, (int from, const char *a, int to, const char *b), (from, a, to, b), -1)
AT_PATH(int, link, "link", AT_FDCWD, b, (const char *a, const char *b), (a, b), -1)
AT_PATH(int, linkat, "link", to, b, (int from, const char *a, int to, const char *b, int f), (from, a, to, b, f), -1)
AT_PATH(int, symlink, "link", AT_FDCWD, b, (const char *a, const char *b), (a, b), -1)
AT_PATH(int, unlink, "unlink", AT_FDCWD, path, (const char *path), (path), -1)
AT_PATH(int, unlinkat, "unlink", at, path, (int at, const char *path, int flags), (at, path, flags), -1)
AT_PATH(int, rmdir, "unlink", AT_FDCWD, path, (const char *path), (path), -1)
AT_PATH(int, mkdir, "mkdir", AT_FDCWD, path, (const char *path, mode_t mode), (path, mode), -1)
AT_PATH(int, mkdirat, "mkdir", at, path, (int at, const char *path, mode_t mode), (at, path, mode), -1)
AT_PATH(DIR *, opendir, "list", AT_FDCWD, path, (const char *path), (path), NULL)
AT_PATH(int, stat, "stat", AT_FDCWD, path, (const char *path, struct stat *to), (path, to), -1)
AT_PATH(int, stat64, "stat", AT_FDCWD, path, (const char *path, struct stat64 *to), (path, to), -1)
AT_PATH(int, lstat, "stat", AT_FDCWD, path, (const char *path, struct stat *to), (path, to), -1)
AT_PATH(int, lstat64, "stat", AT_FDCWD, path, (const char *path, struct stat64 *to), (path, to), -1)
AT_PATH(int, fstatat, "stat", at, path, (int at, const char *path, struct stat *to, int f), (at, path, to, f), -1)
AT_PATH(int, fstatat64, "stat", at, path, (int at, const char *path, struct stat64 *to, int f), (at, path, to, f), -1)
AT_PATH(int, access, "stat", AT_FDCWD, path, (const char *path, int mode), (path, mode), -1)
AT_PATH(int, chmod, "chmod", AT_FDCWD, path, (const char *path, mode_t mode), (path, mode), -1)
