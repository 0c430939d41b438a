/* battery_compare.c - where a file system of ours may answer otherwise than tmpfs, and why. */
#include <stdio.h>
#include <string.h>

#include "tests/mount/battery.h"

static const struct {
    const char *name;
    const char *line;  /* how ours begins */
    bool is_writeback; /* only with the write-back cache */
    const char *reason;
} reviewed[] = {
    {"bits that are killed", "w: 102767", false,
     "linux/fuse.h, FUSE_HANDLE_KILLPRIV_V2: sgid is only killed if the file may be executed by its "
     "group; the groups of the writer are not in the request"},
    {"rename with a whiteout", "renameat2(", false,
     "SECURITY R27: nothing but a removal makes a whiteout"},
    {"zeroing", "fallocate(fd, FALLOC_FL_ZERO_RANGE", false, "tmpfs has no such mode"},
    {"holes", "lseek(fd, ", true, "then the kernel takes all of a file for data, see op_lseek"},
    {"far offsets", "lseek(fd, ", true, "the same"},
    {"times that move", "  moves: f", true,
     "the kernel keeps the times then, and does not move them for a truncate to the same size"},
};

static bool is_reviewed(const char *name, const char *line, bool is_writeback)
{
    for (size_t i = 0; i < sizeof(reviewed) / sizeof(reviewed[0]); i++)
        if (strcmp(reviewed[i].name, name) == 0 &&
            strncmp(line, reviewed[i].line, strlen(reviewed[i].line)) == 0 &&
            (is_writeback || !reviewed[i].is_writeback))
            return true;
    return false;
}

size_t battery_compare(const char *name, const char *ours, const char *theirs, bool is_writeback)
{
    size_t difference_count = 0;

    while (*ours || *theirs) {
        size_t our_length = strcspn(ours, "\n");
        size_t their_length = strcspn(theirs, "\n");

        if ((our_length != their_length || memcmp(ours, theirs, our_length) != 0) &&
            !is_reviewed(name, ours, is_writeback)) {
            (void)fprintf(stderr, "%s:\n  ours  %.*s\n  tmpfs %.*s\n", name, (int)our_length, ours,
                          (int)their_length, theirs);
            difference_count++;
        }
        ours += our_length + (ours[our_length] == '\n');
        theirs += their_length + (theirs[their_length] == '\n');
    }
    return difference_count;
}
