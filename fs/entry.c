/* entry.c - entry types as the kernel's mode bits and back. */
#include <sys/stat.h>

#include "fs/entry.h"

#include "fs/base/banned.h"

static const struct {
    enum entry_type type;
    mode_t mode;
} types[] = {
    {ENTRY_FILE, S_IFREG}, {ENTRY_DIR, S_IFDIR},   {ENTRY_SYMLINK, S_IFLNK}, {ENTRY_FIFO, S_IFIFO},
    {ENTRY_CHAR, S_IFCHR}, {ENTRY_BLOCK, S_IFBLK}, {ENTRY_SOCKET, S_IFSOCK},
};

mode_t entry_type_to_mode(enum entry_type type)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (types[i].type == type)
            return types[i].mode;
    }
    return 0;
}

enum entry_type entry_type_from_mode(mode_t mode)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (types[i].mode == (mode & S_IFMT))
            return types[i].type;
    }
    return (enum entry_type)0;
}
