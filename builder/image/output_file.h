/* output_file.h - a file that a command writes for the user: there when it is whole, or not at all.
 *
 * Bytes go to a nameless file where the file system has those, so that not even a kill leaves
 * anything; finish makes it durable and gives it its name, replacing what had it (SECURITY S14).
 * Standard output, devices and pipes are written to as they are.
 */
#pragma once

#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/stream.h"

struct output_file {
    struct writer writer; /* borrowed by callers; finish and close do nothing */
    int fd;
    int dir_fd;       /* where the name will be; -1: it has one already */
    char *path;       /* for messages */
    const char *name; /* within dir_fd; part of path */
    char *temporary;  /* name until then; NULL: none */
    uint64_t size;    /* written so far */
    uint64_t started; /* of that, on its way to the disk */
};

/* `path` NULL or "-" is standard output. Mode 0666 without the umask. On failure nothing is to be
 * released. -EISDIR; else as open(2). */
int output_file_open(struct output_file *out, const char *path, struct error *err);
/* `name` (relative; its directory is there) beneath a directory: a regular file for certain, that
 * replaces whatever has the name and is not a directory. */
int output_file_open_at(struct output_file *out, int dir_fd, const char *name, struct error *err);
int output_file_finish(struct output_file *f, struct error *err);
/* A short file in one call; mode as above. Not standard output: "-" is a name here. */
int output_file_put(const char *path, const void *bytes, size_t size, struct error *err);
void output_file_release(struct output_file *f); /* without finish: no trace of it */
DEFINE_CLEANUP_VALUE(output_file_release, struct output_file)
#define auto_output_file CLEANUP(output_file_release)
