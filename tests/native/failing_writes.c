// Preloaded into a process (tests/write_faults.py): counts the calls that write, sync, rename, link and make files, and
// fails the one that it is told to with ENOSPC.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static long calls = 0, failing = 0;
static int counting = 0;

void count_from_here(long fail) {
    calls = 0;
    failing = fail;
    counting = 1;
}

long counted(void) {
    counting = 0;
    return calls;
}

static int fails(void) {
    if (!counting || ++calls != failing) return 0;
    errno = ENOSPC;
    return 1;
}

// Pipes, sockets and terminals are no files.
static int is_file(int fd) {
    struct stat status;
    const int before = errno;
    const int found = fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
    errno = before;
    return found;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *from, size_t n) { return is_file(fd) && fails() ? -1 : REAL(write)(fd, from, n); }
ssize_t writev(int fd, const struct iovec *from, int n) {
    return is_file(fd) && fails() ? -1 : REAL(writev)(fd, from, n);
}
ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at) {
    return is_file(fd) && fails() ? -1 : REAL(pwrite64)(fd, from, n, at);
}
size_t fwrite(const void *from, size_t size, size_t n, FILE *file) {
    return is_file(fileno(file)) && fails() ? 0 : REAL(fwrite)(from, size, n, file);
}
int fsync(int fd) { return fails() ? -1 : REAL(fsync)(fd); }
int rename(const char *from, const char *to) { return fails() ? -1 : REAL(rename)(from, to); }
int renameat(int a, const char *from, int b, const char *to) { return fails() ? -1 : REAL(renameat)(a, from, b, to); }
int link(const char *from, const char *to) { return fails() ? -1 : REAL(link)(from, to); }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    return fails() ? -1 : REAL(linkat)(a, from, b, to, flags);
}
int mkdir(const char *path, mode_t mode) { return fails() ? -1 : REAL(mkdir)(path, mode); }
int ftruncate64(int fd, off64_t size) { return fails() ? -1 : REAL(ftruncate64)(fd, size); }

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if ((flags & O_ACCMODE) != O_RDONLY && fails()) return -1;
    return REAL(open64)(path, flags, mode);
}
