/* fuzz_tar.c - a tar reads the same in any pieces, its entries are as promised, and what they make is
 * an index that holds. Checksums are put right first, else little would get past them. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/index.h"
#include "fs/layer_entry.h"
#include "fs/tar.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scratch.h"

#define CHECKSUM_AT 148u

static void fix_checksums(uint8_t *tar, size_t size)
{
    for (size_t at = 0; at + TAR_BLOCK_SIZE <= size; at += TAR_BLOCK_SIZE) {
        unsigned sum = 0;
        char text[8] = "       ";

        if (memcmp(tar + at + 257, "ustar", 5) != 0)
            continue;
        memset(tar + at + CHECKSUM_AT, ' ', 8);
        for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
            sum += tar[at + i];
        (void)snprintf(text, sizeof(text), "%06o", sum);
        memcpy(tar + at + CHECKSUM_AT, text, 7);
    }
}

struct seen {
    struct str text; /* of all entries, to compare runs */
    struct index_builder *builder;
};

static void check_path(const char *path, bool may_be_root)
{
    assert(path[0] != '/' && (may_be_root || path[0] != '\0') && strlen(path) <= LIMIT_PATH_SIZE);
    for (const char *at = path; *at;) {
        size_t size = strcspn(at, "/");

        assert(size > 0 && !(size == 1 && at[0] == '.') &&
               !(size == 2 && memcmp(at, "..", 2) == 0));
        at += size;
        if (*at == '/') {
            at++;
            assert(*at != '\0');
        }
    }
}

static void check_entry(const struct tar_entry *e)
{
    uint64_t end = 0;
    uint64_t stored_end = 0;

    check_path(e->path, true);
    assert(e->meta.type >= ENTRY_FILE && e->meta.type <= ENTRY_BLOCK &&
           e->meta.type != ENTRY_SOCKET && (e->meta.mode & ~07777u) == 0);
    assert(!e->target == !(e->is_hard_link || e->meta.type == ENTRY_SYMLINK));
    if (e->is_hard_link)
        check_path(e->target, false);
    for (size_t i = 0; i < e->extent_count; i++) {
        const struct extent *x = &e->extents[i];

        assert(x->length > 0 && x->file_offset >= end && x->pack_offset >= stored_end);
        end = x->file_offset + x->length;
        stored_end = x->pack_offset + x->length;
    }
    assert(end <= e->meta.size_bytes);
}

static int see(void *context, const struct tar_entry *e, struct error *err)
{
    struct seen *s = context;

    check_entry(e);
    str_addf(&s->text, "%d %s %o %u %u %lld %llu %s %d\n", (int)e->meta.type, e->path,
             (unsigned)e->meta.mode, e->meta.uid, e->meta.gid, (long long)e->meta.mtime_ns,
             (unsigned long long)e->meta.size_bytes, e->target ? e->target : "-",
             (int)e->xattr_count);
    if (s->builder) {
        struct error ignored;

        if (layer_add_tar_entry(s->builder, 1, e, &ignored) < 0)
            assert(ignored.code > 0 && ignored.text[0] != '\0');
    }
    (void)err;
    return 0;
}

static int read_in_pieces(const uint8_t *tar, size_t size, size_t piece, struct seen *s)
{
    auto_tar_reader struct tar_reader *r = tar_reader_new(see, s);
    struct error err = {0};
    int e = 0;

    for (size_t at = 0; e == 0 && at < size; at += piece)
        e = tar_reader_write(r, tar + at, size - at < piece ? size - at : piece, &err);
    if (e == 0)
        e = tar_reader_finish(r, &err);
    assert((e < 0) == (err.code != 0) && (e == 0 || err.text[0] != '\0'));
    return e;
}

/* Whatever was taken in can be written, opened, verified and walked. */
static void check_index(struct index_builder *b)
{
    int dir_fd = fuzz_scratch();
    auto_index struct index *x = NULL;
    auto_close int fd = -1;
    struct error err = {0};

    fd = openat(dir_fd, "index", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert(fd >= 0 && index_builder_write(b, fd, &err) == 0);
    assert(index_open(dir_fd, "index", true, &x, &err) == 0);
    for (uint32_t i = 0; i < index_inode_count(x); i++) {
        struct index_inode inode;

        assert(index_get(x, i, &inode) == 0);
        for (uint32_t k = 0; k < inode.child_count; k++) {
            struct index_dirent e;
            struct index_dirent again;

            assert(index_dirent_at(x, i, k, &e) == 0);
            assert(index_lookup(x, i, e.name, e.name_size, &again) == 0);
            assert(again.is_whiteout == e.is_whiteout && again.inode == e.inode);
        }
        for (uint32_t k = 0; i > 0 && k < inode.nlink; k++) {
            auto_str struct str path = {0};
            uint32_t dir;
            uint32_t position;

            assert(index_name_of(x, i, k, &dir, &position) == 0);
            assert(index_add_path(x, dir, position, &path) == 0);
            check_path(str_text(&path), false);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free uint8_t *tar = mem_dup(data, size);
    struct seen whole = {.builder = index_builder_new()};
    struct seen pieces = {0};
    size_t piece = size > 0 ? data[size - 1] % 97u * 13u + 1u : 1u;
    int r;

    fix_checksums(tar, size);
    r = read_in_pieces(tar, size, size + 1, &whole);
    assert(read_in_pieces(tar, size, piece, &pieces) == r);
    assert(strcmp(str_text(&whole.text), str_text(&pieces.text)) == 0);
    check_index(whole.builder);
    index_builder_free(whole.builder);
    str_release(&whole.text);
    str_release(&pieces.text);
    return 0;
}
