/* mirror.h - a FUSE server that shows a directory of the host, for tests of the sandbox alone.
 *
 * Every owner is shown as 0:0. Requests are answered by one thread; not for speed and not complete.
 */
#pragma once

#include "fs/base/cleanup.h"

struct mirror;

/* Serves `directory` (borrowed path) on `fuse_fd` (owned from now on) until the kernel is done. */
struct mirror *mirror_serve(const char *directory, int fuse_fd);
void mirror_stop(struct mirror *m); /* waits for that; NULL is allowed */
DEFINE_CLEANUP(mirror_stop, struct mirror *)
#define auto_mirror CLEANUP(mirror_stop)
