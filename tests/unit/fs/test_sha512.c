/* test_sha512.c - blobs and layers whose names are sha512, beside those of sha256. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/blob.h"
#include "fs/fsck.h"
#include "fs/gc.h"
#include "fs/layer.h"
#include "fs/store_internal.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"

/* Of "hello" and "hellO", by sha512sum(1) and sha256sum(1). */
#define HELLO                                                                                       \
    "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c" \
    "5da0c4663475c2e5c3adef46f73bcdec043"
#define HELLO_O                                                                                     \
    "3b2a3e9663513710f7ccf342e7b4f944340791690549eb879db5c351a9a923877cf31cd19d2bd251a423a4ff52a2e" \
    "1c0a16ae1645100467f13f95e57454b107e"
#define HELLO_256 "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define ZEROS_64 "0000000000000000000000000000000000000000000000000000000000000000"

static struct digest hello(void)
{
    struct digest digest;

    check_ok(digest_parse("sha512:" HELLO, &digest, &test_err));
    return digest;
}

static int write_hello(struct store *store, const char *bytes, bool resume, struct error *err)
{
    struct digest digest = hello();
    const struct blob_writer_options options = {
        .what = "layer 1", .digest = &digest, .size_bytes = UINT64_MAX, .resume = resume};
    struct blob_writer *w = NULL;

    check_ok(blob_writer_open(store, &options, &w, &test_err));
    check_ok(blob_writer_write(w, bytes, strlen(bytes), &test_err));
    return blob_writer_commit(w, NULL, NULL, err);
}

/* -- blobs -- */

TEST(sha512, a_blob_is_written_and_read_by_its_name)
{
    auto_store struct store *store = state_open();
    auto_str struct str bytes = {0};
    struct digest digest = hello();
    uint64_t size = 0;

    check_ok(write_hello(store, "hello", false, &test_err));
    check_true(state_has("blobs/sha512/" HELLO));
    check_false(state_has("blobs/sha256/" HELLO_256));
    check_ok(blob_stat(store, &digest, &size, &test_err));
    check_int(size, 5);
    check_ok(blob_read(store, &digest, 5, &bytes, &test_err));
    check_text(str_text(&bytes), "hello");
}

/* SECURITY R33 */
TEST(sha512, other_bytes_are_refused_by_name)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();
    struct error err = {0};

    check_fails(write_hello(store, "hellO", false, &err), EBADMSG);
    check_error(&err, EBADMSG, "layer 1 has digest sha512:" HELLO_O " instead of sha512:" HELLO);
    check_false(blob_exists(store, &digest));
    check_fails(blob_put_named(store, &digest, "hellO", 5, &err), EBADMSG);
    check_false(blob_exists(store, &digest));
    check_ok(blob_put_named(store, &digest, "hello", 5, &err));
    check_true(blob_exists(store, &digest));
}

/* The same content under both: neither stands in for the other. */
TEST(sha512, two_names_are_two_blobs)
{
    auto_store struct store *store = state_open();
    struct digest long_one = hello();
    struct digest short_one;

    check_ok(blob_put(store, "hello", 5, &short_one, &test_err));
    check_false(blob_exists(store, &long_one));
    check_ok(blob_put_named(store, &long_one, "hello", 5, &test_err));
    check_true(state_has("blobs/sha256/" HELLO_256));
    check_true(state_has("blobs/sha512/" HELLO));
    state_write("blobs/sha512/" HELLO, "hellO");
    check_true(blob_exists(store, &short_one));
    {
        auto_str struct str bytes = {0};

        check_fails(blob_read(store, &long_one, 5, &bytes, &test_err), EIO);
        str_truncate(&bytes, 0);
        check_ok(blob_read(store, &short_one, 5, &bytes, &test_err));
    }
}

TEST(sha512, a_download_goes_on_under_its_name)
{
    auto_store struct store *store = state_open();
    struct digest digest = hello();

    state_write("tmp/partial/" HELLO, "hel");
    check_int(blob_partial_size_bytes(store, &digest), 3);
    check_ok(write_hello(store, "lo", true, &test_err));
    check_true(state_has("blobs/sha512/" HELLO));
    check_false(state_has("tmp/partial/" HELLO));
}

/* -- the directory -- */

/* S10: a marker of a process that died tells the file by the size of its name. */
TEST(sha512, what_a_dead_process_left_is_removed)
{
    auto_store struct store *store = state_open();
    auto_free char *work = state_file("work/00000000000000aa");
    struct digest digest = hello();

    check_ok(blob_put_named(store, &digest, "hello", 5, &test_err));
    store_close(STEAL(&store));
    state_write("blobs/sha512/" HELLO_O, "hellO");
    check_int(mkdir(work, 0700), 0);
    state_write("work/00000000000000aa/made-blob-" HELLO_O, "");
    state_write("work/00000000000000aa/dead", "blob-" HELLO "\nblob-" ZEROS_64 ZEROS_64 "\n");
    store = state_open();
    check_false(state_has("blobs/sha512/" HELLO_O));
    check_true(state_has("blobs/sha512/" HELLO)); /* it has a row */
    check_false(state_has("work/00000000000000aa"));
}

static void age(const char *name)
{
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    auto_free char *path = state_file(name);

    check_int(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* S8; a name of the other algorithm's size is none of ours, and fsck tells of it. */
TEST(sha512, a_collection_takes_what_has_no_row)
{
    auto_store struct store *store = state_open();
    auto_gc_report struct gc_report report = {0};
    const struct gc_options options = {.all = true};
    auto_str struct str names = {0};

    check_ok(write_hello(store, "hello", false, &test_err)); /* nobody's */
    state_write("blobs/sha512/" HELLO_O, "hellO");
    state_write("blobs/sha512/" ZEROS_64, "strange");
    age("blobs/sha512/" HELLO_O);
    age("blobs/sha512/" ZEROS_64);
    check_ok(gc_run(store, &options, &report, &test_err));
    check_int(report.orphan_count, 1);
    state_list("blobs/sha512", &names);
    check_text(str_text(&names), ZEROS_64 "\n");
}

static void count_problem(void *context, const struct fsck_problem *problem)
{
    str_addf(context, "%s: %s\n", problem->object, problem->text);
}

TEST(sha512, a_check_compares_bytes_with_their_name)
{
    auto_store struct store *store = state_open();
    auto_str struct str said = {0};
    const struct fsck_options options = {.report = count_problem, .context = &said};
    struct fsck_result result = {0};
    int r;

    check_ok(write_hello(store, "hello", false, &test_err));
    store_close(STEAL(&store));
    r = fsck_run(state_path(), &options, &result, &test_err);
    check_ok(r);
    check_text(str_text(&said), "");
    state_write("blobs/sha512/" HELLO, "hellO");
    r = fsck_run(state_path(), &options, &result, &test_err);
    check_ok(r);
    check_text(str_text(&said), "blob sha512:" HELLO ": its bytes do not match its digest\n");
}

/* -- layers -- */

static const struct layer_ingest_options any = {.what = "layer 1", .blob_size_bytes = UINT64_MAX};

static int ingest(struct store *store, const struct layer_ingest_options *options,
                  const struct str *bytes, int64_t *layer, struct error *err)
{
    auto_layer_ingest struct layer_ingest *in = NULL;
    int r = layer_ingest_open(store, options, &in, err);

    if (r == 0)
        r = layer_ingest_write(in, str_text(bytes), bytes->size, err);
    return r < 0 ? r : layer_ingest_commit(STEAL(&in), layer, err);
}

/* Two blocks of zeros: POSIX pax, "end-of-archive". */
static void make_tar(struct str *out)
{
    static const char zeros[1024];

    str_add_bytes(out, zeros, sizeof(zeros));
}

/* OCI image-spec, config.md, "Layer DiffID" */
TEST(sha512, a_diff_id_is_checked_in_its_algorithm)
{
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};
    struct layer_ingest_options options = any;
    struct digest found;
    struct digest right;
    uint64_t size;
    int64_t layer = 0;

    make_tar(&tar);
    digest_of_as(DIGEST_SHA512, tar.data, tar.size, &right);
    options.diff_id = &right;
    check_ok(ingest(store, &options, &tar, &layer, &test_err));
    check_ok(layer_digest(store, layer, &found, &size, &test_err));
    check_true(digest_equal(&found, &right));
    right.bytes[63] ^= 1;
    check_fails(ingest(store, &options, &tar, &layer, &test_err), EBADMSG);
    /* With nothing to be compared with it is sha256, and that is another layer. */
    {
        int64_t other = 0;

        check_ok(ingest(store, &any, &tar, &other, &test_err));
        check_true(other != layer);
        check_ok(layer_digest(store, other, &found, &size, &test_err));
        check_int((int)found.algorithm, DIGEST_SHA256);
    }
}

TEST(sha512, a_layer_gets_another_name_and_keeps_its_blobs)
{
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};
    struct layer_ingest_options options = any;
    struct layer_blob_row form;
    struct layer_row row;
    struct digest blob;
    struct digest diff_id;
    int64_t layer = 0;
    int64_t renamed = 0;
    int64_t again = 0;

    make_tar(&tar);
    digest_of(tar.data, tar.size, &blob);
    digest_of_as(DIGEST_SHA512, tar.data, tar.size, &diff_id);
    options.keep_blob = true;
    check_ok(ingest(store, &options, &tar, &layer, &test_err));
    check_fails(store_layer_find_by_blob(store, &blob, &diff_id, &row, &test_err), ENOENT);
    check_ok(layer_rename(store, layer, &diff_id, &renamed, &test_err));
    check_true(renamed != layer);
    check_ok(store_layer_blob_find(store, renamed, CODEC_DETECT, NULL, &form, &test_err));
    check_true(digest_equal(&form.digest, &blob));
    check_ok(store_layer_find_by_blob(store, &blob, &diff_id, &row, &test_err));
    check_int(row.id, renamed);
    check_ok(layer_rename(store, layer, &diff_id, &again, &test_err));
    check_int(again, renamed);
    diff_id.bytes[0] ^= 1;
    check_fails(layer_rename(store, layer, &diff_id, &again, &test_err), EBADMSG);
}

/* Of two forms of one layer the one that is asked for, else the one that came first. */
TEST(sha512, a_form_is_found_by_its_name)
{
    auto_store struct store *store = state_open();
    int64_t layer = state_pulled(store, "content");
    struct layer_blob_row first;
    struct layer_blob_row row;
    struct digest other;

    check_ok(store_layer_blob_find(store, layer, CODEC_DETECT, NULL, &first, &test_err));
    other = hello();
    check_ok(blob_put_named(store, &other, "hello", 5, &test_err));
    check_ok(store_layer_blob_add(store, layer, CODEC_GZIP, &other, &test_err));
    check_ok(store_layer_blob_find(store, layer, CODEC_DETECT, NULL, &row, &test_err));
    check_true(digest_equal(&row.digest, &first.digest));
    check_ok(store_layer_blob_find(store, layer, CODEC_DETECT, &other, &row, &test_err));
    check_true(digest_equal(&row.digest, &other));
    check_ok(store_layer_blob_find(store, layer, CODEC_DETECT, &first.digest, &row, &test_err));
    check_true(digest_equal(&row.digest, &first.digest));
    other.bytes[0] ^= 1; /* no form of it */
    check_ok(store_layer_blob_find(store, layer, CODEC_DETECT, &other, &row, &test_err));
    check_true(digest_equal(&row.digest, &first.digest));
}

/* -- images -- */

TEST(sha512, images_are_found_by_what_digests_of_either_size_begin_with)
{
    auto_store struct store *store = state_open();
    struct image_row image = {.media_type = (char *)(uintptr_t) "m"};
    auto_image_list struct image_list found = {0};
    const struct {
        const char *prefix;
        size_t count;
    } cases[] = {{"9", 1},       {HELLO, 1},         {HELLO "0", 99}, {"2cf2", 1},
                 {HELLO_256, 1}, {HELLO_256 "0", 0}, {"0", 0}};

    check_ok(blob_put(store, "config", 6, &image.config, &test_err));
    image.manifest = hello();
    check_ok(blob_put_named(store, &image.manifest, "hello", 5, &test_err));
    check_ok(store_image_put(store, &image, &test_err));
    check_ok(blob_put(store, "hello", 5, &image.manifest, &test_err));
    check_ok(store_image_put(store, &image, &test_err));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        image_list_release(&found);
        found = (struct image_list){0};
        if (cases[i].count == 99) {
            check_fails(store_image_find(store, cases[i].prefix, &found, &test_err), EINVAL);
            continue;
        }
        check_ok(store_image_find(store, cases[i].prefix, &found, &test_err));
        check_int(found.count, cases[i].count);
    }
}
