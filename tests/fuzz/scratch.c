/* scratch.c - made on first use. */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

#include "fs/base/io.h"
#include "tests/fuzz/scratch.h"

static char directory[] = "/tmp/fuzz.XXXXXX";

static void remove_directory(void)
{
    (void)io_remove_tree(AT_FDCWD, directory); /* left in /tmp then */
}

int fuzz_scratch(void)
{
    static int dir_fd = -1;

    if (dir_fd < 0) {
        assert(mkdtemp(directory));
        (void)atexit(remove_directory);
        dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    return dir_fd;
}
