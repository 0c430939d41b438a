/* test_sums.c - checksums of what was right once: kept with it, compared on the way out, gone with it.
 * The oracle of a sum is XXH3 of the block in one call; that of a copy, the bytes themselves. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/hash.h"
#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/fsck.h"
#include "fs/gc.h"
#include "fs/layer.h"
#include "fs/pack.h"
#include "fs/sums.h"
#include "tests/lib/database.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

#define BLOCK ((size_t)SUMS_BLOCK_SIZE)
#define LARGE (2 * BLOCK + 4099)

static void fill(struct str *s, size_t size)
{
    auto_free uint8_t *bytes = mem_alloc(size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 8191);
    str_add_bytes(s, bytes, size);
}

TEST(sums, are_those_of_the_blocks_however_the_bytes_come)
{
    const size_t sizes[] = {0, 1, BLOCK - 1, BLOCK, BLOCK + 1, LARGE};
    const size_t steps[] = {4093, BLOCK, LARGE};
    auto_str struct str bytes = {0};

    fill(&bytes, LARGE);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) * 3; i++) {
        size_t size = sizes[i / 3];
        auto_sums struct sums *sums = sums_new();
        auto_str struct str expected = {0};
        const struct str *found;

        for (size_t at = 0; at < size; at += steps[i % 3])
            sums_update(sums, bytes.data + at, size - at < steps[i % 3] ? size - at : steps[i % 3]);
        for (size_t at = 0; at < size; at += BLOCK) {
            uint64_t sum =
                htole64(hash64(bytes.data + at, size - at < BLOCK ? size - at : BLOCK, 0));

            str_add_bytes(&expected, &sum, sizeof(sum));
        }
        found = sums_final(sums);
        check_int(found->size, expected.size);
        check_true(found->size == 0 || memcmp(found->data, expected.data, found->size) == 0);
    }
}

/* -- in a store -- */

struct count_writer {
    struct writer base;
    uint64_t size;
};

static int count_bytes(struct writer *w, const void *buf, size_t size, struct error *err)
{
    (void)buf;
    (void)err;
    ((struct count_writer *)w)->size += size;
    return 0;
}

static struct digest put_large(struct store *store)
{
    auto_str struct str bytes = {0};
    struct digest digest;

    fill(&bytes, LARGE);
    check_ok(blob_put(store, bytes.data, bytes.size, &digest, &test_err));
    return digest;
}

static void change_byte(const struct digest *digest, off_t at)
{
    char hex[DIGEST_HEX_SIZE];
    auto_free char *name = NULL;
    auto_free char *file = NULL;
    auto_close int fd = -1;

    digest_format_hex(digest, hex);
    name = str_format("blobs/sha256/%s", hex);
    file = state_file(name);
    fd = open(file, O_WRONLY | O_CLOEXEC);
    check_ok(fd);
    check_int(pwrite(fd, "!", 1, at), 1);
}

static void count_rows(const char *expected)
{
    auto_free char *db = state_file("img.db");
    auto_str struct str found = {0};

    database_run(db, "SELECT count(*) FROM checksum", &found);
    check_text(str_text(&found), expected);
}

static void run_sql(const char *sql)
{
    auto_free char *db = state_file("img.db");

    database_run(db, sql, NULL);
}

/* Whether the store lets the blob go out: with its checksums, then by its digest alone. */
TEST(sums, a_byte_that_changed_on_disk_is_met_in_any_block_with_and_without_them)
{
    const off_t places[] = {0, (off_t)BLOCK - 1, (off_t)BLOCK, (off_t)LARGE - 1};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        auto_store struct store *store = state_open();
        struct count_writer to = {.base.write = count_bytes};
        struct digest digest = put_large(store);

        count_rows("1\n");
        check_ok(blob_write(store, &digest, &to.base, &test_err));
        check_int(to.size, LARGE);
        change_byte(&digest, places[i]);
        check_fails(blob_write(store, &digest, &to.base, &test_err), EIO);
        run_sql("DELETE FROM checksum");
        check_fails(blob_write(store, &digest, &to.base, &test_err), EIO);
        run_sql("DELETE FROM blob");
    }
}

TEST(sums, what_is_small_and_what_has_none_is_compared_by_its_digest)
{
    auto_store struct store *store = state_open();
    struct count_writer to = {.base.write = count_bytes};
    struct digest small;
    struct digest large = put_large(store);

    check_ok(blob_put(store, "small", 5, &small, &test_err));
    count_rows("1\n");
    check_ok(blob_write(store, &small, &to.base, &test_err));
    run_sql("UPDATE checksum SET sums = substr(sums, 9)"); /* too few to be these */
    check_ok(blob_write(store, &large, &to.base, &test_err));
    check_int(to.size, LARGE + 5);
}

static void note(void *context, const struct fsck_problem *problem)
{
    str_addf(context, "%s: %s\n", fsck_kind_name(problem->kind), problem->text);
}

/* A row that is wrong must not make good bytes look damaged for ever. */
TEST(sums, fsck_finds_rows_that_are_wrong_and_drops_them)
{
    auto_str struct str out = {0};
    struct fsck_options options = {.repair = true, .report = note, .context = &out};
    struct count_writer to = {.base.write = count_bytes};
    struct fsck_result result = {0};
    struct store *store = state_open();
    struct digest digest = put_large(store);

    run_sql("UPDATE checksum SET sums = zeroblob(length(sums))");
    check_fails(blob_write(store, &digest, &to.base, &test_err), EIO);
    store_close(store);
    check_ok(fsck_run(state_path(), &options, &result, &test_err));
    check_contains(str_text(&out), "they are not those of its bytes");
    count_rows("0\n");
    store = state_open();
    check_ok(blob_write(store, &digest, &to.base, &test_err));
    store_close(store);
}

TEST(sums, the_collector_takes_those_of_what_is_gone)
{
    auto_store struct store *store = state_open();
    const struct gc_options options = {0};
    auto_gc_report struct gc_report report = {0};

    (void)put_large(store);
    count_rows("1\n");
    check_ok(gc_run(store, &options, &report, &test_err)); /* no image wants the blob */
    count_rows("0\n");
}
