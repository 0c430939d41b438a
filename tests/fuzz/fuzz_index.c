/* fuzz_index.c - an index whose header is right and whose tables are anything: every call answers. */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/index.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scratch.h"

/* fs/FORMAT.md, "Index". */
#define HEADER_SIZE 216u
#define CHECKSUM_AT 208u

static void fix_header(uint8_t *file, size_t size)
{
    uint32_t version = 1;
    uint32_t header_size = HEADER_SIZE;
    uint64_t file_size = size;
    uint64_t checksum;

    memcpy(file, "img.idx\n", 8);
    memcpy(file + 8, &version, 4);
    memcpy(file + 12, &header_size, 4);
    memcpy(file + 16, &file_size, 8);
    checksum = hash64(file, CHECKSUM_AT, 0);
    memcpy(file + CHECKSUM_AT, &checksum, 8);
}

static void ask_inode(const struct index *x, uint32_t i)
{
    struct index_inode inode;
    struct index_dirent e;
    struct extent extent;
    struct xattr xattr;
    const char *target;
    size_t size;
    uint32_t dir;
    uint32_t position;

    if (index_get(x, i, &inode) == 0)
        assert(inode.nlink > 0 && inode.meta.type >= ENTRY_FILE && inode.meta.type <= ENTRY_BLOCK);
    for (uint32_t k = 0; k < 20; k++) {
        auto_str struct str path = {0};

        if (index_dirent_at(x, i, k, &e) == 0) {
            assert(e.name_size > 0 && !memchr(e.name, '/', e.name_size));
            (void)index_lookup(x, i, e.name, e.name_size, &e);
        }
        if (index_extent(x, i, k, &extent) == 0)
            assert(extent.length > 0 && extent.file_offset + extent.length > extent.file_offset);
        if (index_xattr(x, i, k, &xattr) == 0)
            assert(hash64(xattr.value, xattr.value_size, strlen(xattr.name)) != 1);
        if (index_name_of(x, i, k, &dir, &position) == 0)
            (void)index_add_path(x, dir, position, &path);
    }
    if (index_target(x, i, &target, &size) == 0)
        assert(strlen(target) == size && size > 0);
}

/* Walks down; a child's number is greater than its parent's, so this ends. */
static size_t walk(const struct index *x, uint32_t dir, size_t left)
{
    struct index_inode inode;

    if (left == 0 || index_get(x, dir, &inode) < 0)
        return left;
    for (uint32_t k = 0; k < inode.child_count && left > 0; k++) {
        struct index_dirent e;

        left--;
        if (index_dirent_at(x, dir, k, &e) < 0 || e.is_whiteout)
            continue;
        if (index_get(x, e.inode, &inode) == 0 && inode.meta.type == ENTRY_DIR) {
            assert(e.inode > dir);
            left = walk(x, e.inode, left);
        }
        if (index_get(x, dir, &inode) < 0)
            return left;
    }
    return left;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int dir_fd = fuzz_scratch();
    auto_free uint8_t *file = NULL;
    auto_index struct index *x = NULL;
    auto_close int fd = -1;
    struct error err = {0};

    if (size < HEADER_SIZE)
        return 0;
    file = mem_dup(data, size);
    fix_header(file, size);
    fd = openat(dir_fd, "index", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert(fd >= 0 && io_write_full(fd, file, size) == 0);
    if (index_open(dir_fd, "index", false, &x, &err) < 0) {
        assert(err.code != 0);
        return 0;
    }
    for (uint32_t i = 0; i < index_inode_count(x) && i < 500; i++)
        ask_inode(x, i);
    for (size_t i = 0; i < index_special_count(x) && i < 100; i++) {
        uint32_t inode;

        (void)index_special_at(x, i, &inode);
    }
    for (size_t i = 0; i < index_pack_count(x) && i < 100; i++)
        (void)index_pack_at(x, i);
    (void)walk(x, 0, 2000);
    return 0;
}
