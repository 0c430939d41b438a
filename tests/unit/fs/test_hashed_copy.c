/* A copy that says what it copied: sizes on both sides of its buffers, readers that give little at a
 * time, and both ways to fail. The oracle is a digest of the whole in one call. */
#include <errno.h>
#include <string.h>

#include "fs/base/str.h"
#include "fs/hashed_copy.h"
#include "tests/lib/test.h"

#define MIB ((size_t)1 << 20)

/* Gives at most `step` bytes at once, then fails at `fails_at`. */
struct slow_reader {
    struct reader base;
    const char *bytes;
    size_t size;
    size_t at;
    size_t step;
    size_t fails_at;
};

static ssize_t slow_read(struct reader *base, void *buf, size_t size, struct error *err)
{
    struct slow_reader *r = (struct slow_reader *)base;

    if (r->at >= r->fails_at)
        return error_set(err, EIO, "the reader broke");
    if (size > r->step)
        size = r->step;
    if (size > r->size - r->at)
        size = r->size - r->at;
    memcpy(buf, r->bytes + r->at, size);
    r->at += size;
    return (ssize_t)size;
}

struct limited_writer {
    struct writer base;
    struct str bytes;
    size_t size_max;
};

static int limited_write(struct writer *base, const void *buf, size_t size, struct error *err)
{
    struct limited_writer *w = (struct limited_writer *)base;

    if (w->bytes.size + size > w->size_max)
        return error_set(err, ENOSPC, "the writer is full");
    str_add_bytes(&w->bytes, buf, size);
    return 0;
}

static int copy(size_t size, size_t step, size_t fails_at, struct limited_writer *to,
                struct digest *found, uint64_t *total, struct digest *expected)
{
    auto_free char *bytes = mem_alloc(size + 1);
    struct slow_reader from = {
        .base.read = slow_read, .bytes = bytes, .size = size, .step = step, .fails_at = fails_at};

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    digest_of(bytes, size, expected);
    to->base.write = limited_write;
    return hashed_copy(DIGEST_SHA256, &from.base, &to->base, found, total, &test_err);
}

TEST(hashed_copy, whatever_the_size_the_bytes_and_their_digest_are_right)
{
    const size_t sizes[] = {0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB, 9 * MIB + 13};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct limited_writer to = {.size_max = SIZE_MAX};
        struct digest expected;
        struct digest found;
        struct digest arrived;
        uint64_t total = 1;

        check_ok(copy(sizes[i], 100003, SIZE_MAX, &to, &found, &total, &expected));
        check_int(total, sizes[i]);
        digest_of(str_text(&to.bytes), to.bytes.size, &arrived);
        check_true(digest_equal(&found, &expected));
        check_true(digest_equal(&arrived, &expected));
        str_release(&to.bytes);
    }
}

TEST(hashed_copy, a_reader_that_breaks_and_a_writer_that_is_full_end_it)
{
    const size_t places[] = {0, MIB / 2, MIB, 3 * MIB};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct limited_writer broken = {.size_max = SIZE_MAX};
        struct limited_writer full = {.size_max = places[i]};
        struct digest expected;
        struct digest found;
        uint64_t total = 0;

        check_fails(copy(4 * MIB, MIB, places[i], &broken, &found, &total, &expected), EIO);
        check_error(&test_err, EIO, "the reader broke");
        check_fails(copy(4 * MIB, MIB, SIZE_MAX, &full, &found, &total, &expected), ENOSPC);
        check_error(&test_err, ENOSPC, "the writer is full");
        check_int(total, 0);
        str_release(&broken.bytes);
        str_release(&full.bytes);
    }
}
