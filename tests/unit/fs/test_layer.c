/* test_layer.c - what leaves the store: a layer's tar, its digest, its compressed forms. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/blob.h"
#include "fs/codec.h"
#include "fs/hashed_copy.h"
#include "fs/layer.h"
#include "fs/store.h"
#include "fs/tar.h"
#include "tests/lib/scene.h"
#include "tests/lib/tar_text.h"
#include "tests/lib/test.h"

static void read_tar(struct store *store, int64_t layer, size_t chunk, struct str *out)
{
    auto_reader struct reader *r = NULL;
    auto_free char *buf = mem_alloc(chunk);
    ssize_t n;

    check_ok(layer_tar_open(store, layer, &r, &test_err));
    while ((n = reader_read(r, buf, chunk, &test_err)) > 0)
        str_add_bytes(out, buf, (size_t)n);
    check_ok(n);
}

/* The layer's tar as text, which libarchive must read the same. */
static void check_tar(struct store *store, int64_t layer, const char *expected)
{
    auto_str struct str tar = {0};
    auto_str struct str ours = {0};
    auto_str struct str oracle = {0};

    read_tar(store, layer, 65536, &tar);
    check_ok(tar_text(tar.data, tar.size, SIZE_MAX, &ours, &test_err));
    check_text(str_text(&ours), expected);
    tar_text_oracle(tar.data, tar.size, &oracle);
    check_text(str_text(&oracle), expected);
}

static struct digest digest_str(const struct str *s)
{
    struct digest d;

    digest_of(str_text(s), s->size, &d);
    return d;
}

#define LAYER                                                                                      \
    "a/         dir     0750 uid=1 gid=2 mtime=5000000000 opaque\n"                                \
    "a/!first   file    0644 \"sorts before dots\"\n"                                              \
    "a/z        file    0644 x:user.a=b \"z\"\n"                                                   \
    "a-b        file    0600 \"\"\n"                                                               \
    "b          link    -    \"a/z\"\n"                                                            \
    "char       char    0666 1:3\n"                                                                \
    "d/e/f      symlink 0777 \"../x\"\n"                                                           \
    "d/gone     whiteout -\n"                                                                      \
    "d/also     whiteout -\n"                                                                      \
    "d/.x       file    0644 \"\"\n"

static int compress(struct store *store, int64_t layer, enum codec_format format, int level,
                    unsigned threads, struct layer_blob *out)
{
    struct layer_compress_options options = {.format = format, .level = level, .threads = threads};

    return layer_compress(store, layer, &options, out, &test_err);
}

/* buildx, rewrite-timestamp: times are lowered, never raised, and nothing else is touched. */
TEST(layer, clamping_lowers_times_and_keeps_everything_else)
{
    auto_scene struct scene s = scene_new("down/ dir 0755\ndown/file file 0644 \"old\"\n");
    int64_t layer =
        scene_store_layer(&s, "a/         dir     0750 uid=1 gid=2 mtime=9000000000 opaque\n"
                              "a/new      file    4755 mtime=8000000000 x:user.a=b \"new\"\n"
                              "a/old      file    0644 mtime=3000000000 \"old\"\n"
                              "b          link    -    \"a/new\"\n"
                              "char       char    0666 mtime=7000000000 1:3\n"
                              "d/e/f      symlink 0777 mtime=7000000000 \"../x\"\n"
                              "d/gone     whiteout -\n"
                              "down/again link    -    \"down/file\"\n"
                              "empty      opaque  -\n");
    int64_t clamped = 0;
    int64_t again = 0;
    struct layer_row row;

    check_ok(layer_clamp(s.store, layer, 5000000000, &clamped, &test_err));
    check_false(clamped == layer);
    check_tar(s.store, clamped,
              "a dir 0750 1:2 5\n"
              "a/.wh..wh..opq file 0000 0:0 0 0\n"
              "a/new file 4755 0:0 5 3 user.a=\"b\"\n"
              "a/old file 0644 0:0 3 3\n"
              "b link 4755 0:0 5 => a/new\n"
              "char char 0666 0:0 5 1,3\n"
              "d/.wh.gone file 0000 0:0 0 0\n"
              "d/e/f symlink 0777 0:0 5 -> ../x\n"
              "down/again link 0000 0:0 0 => down/file\n"
              "empty/.wh..wh..opq file 0000 0:0 0 0\n");
    check_ok(store_layer_get(s.store, clamped, &row, &test_err));
    check_int(row.data_bytes, 0);
    check_ok(layer_clamp(s.store, clamped, 5000000000, &again, &test_err));
    check_int(again, clamped);
}

TEST(layer, clamping_what_is_old_enough_makes_nothing)
{
    auto_scene struct scene s = scene_new(NULL);
    int64_t layer = scene_store_layer(&s, "f file 0644 mtime=5000000000 \"x\"\n");
    int64_t clamped = 0;

    check_ok(layer_clamp(s.store, layer, 5000000000, &clamped, &test_err));
    check_int(clamped, layer);
}

/* ^C while an image is made: hashing ends between two buffers and nothing is remembered of it. */
TEST(layer, a_stopped_store_digests_nothing)
{
    auto_scene struct scene s = scene_new(NULL);
    int64_t layer = scene_store_layer(&s, "f file 0644 \"x\"\n");
    atomic_bool stop = true;
    struct layer_blob blob;
    struct layer_row row;
    struct digest diff_id;
    uint64_t size;

    store_set_stop(s.store, &stop);
    check_fails(layer_digest(s.store, layer, &diff_id, &size, &test_err), ECANCELED);
    check_fails(compress(s.store, layer, CODEC_GZIP, -1, 1, &blob), ECANCELED);
    check_ok(store_layer_get(s.store, layer, &row, &test_err));
    check_false(row.has_diff_id);
    atomic_store(&stop, false);
    check_ok(layer_digest(s.store, layer, &diff_id, &size, &test_err));
}

TEST(layer, a_built_layer_is_a_tar_sorted_by_path_whiteouts_first)
{
    auto_scene struct scene s = scene_new(NULL);
    int64_t layer = scene_store_layer(&s, LAYER);

    check_tar(s.store, layer,
              "a dir 0750 1:2 5\n"
              "a/.wh..wh..opq file 0000 0:0 0 0\n"
              "a/!first file 0644 0:0 0 17\n"
              "a/z file 0644 0:0 0 1 user.a=\"b\"\n"
              "a-b file 0600 0:0 0 0\n"
              "b link 0644 0:0 0 => a/z\n"
              "char char 0666 0:0 0 1,3\n"
              "d/.wh.also file 0000 0:0 0 0\n"
              "d/.wh.gone file 0000 0:0 0 0\n"
              "d/.x file 0644 0:0 0 0\n"
              "d/e/f symlink 0777 0:0 0 -> ../x\n");
}

TEST(layer, the_tar_is_the_same_whatever_the_reads_and_taken_in_again_the_same_layer)
{
    auto_scene struct scene s = scene_new(NULL);
    auto_free char *path = str_format("%s/other", test_dir());
    auto_store struct store *other = NULL;
    auto_layer_ingest struct layer_ingest *in = NULL;
    struct layer_ingest_options options = {.what = "copy", .blob_size_bytes = UINT64_MAX};
    int64_t layer = scene_store_layer(&s, LAYER);
    int64_t copy;
    auto_str struct str whole = {0};
    auto_str struct str bytes = {0};
    auto_str struct str again = {0};
    struct digest digest;
    struct digest diff_id;
    uint64_t size;

    read_tar(s.store, layer, 1 << 20, &whole);
    read_tar(s.store, layer, 1, &bytes);
    check_bytes(bytes.data, bytes.size, whole.data, whole.size);
    check_ok(layer_digest(s.store, layer, &diff_id, &size, &test_err));
    digest = digest_str(&whole);
    check_true(digest_equal(&diff_id, &digest));
    check_int(size, whole.size);
    check_ok(store_open(path, NULL, &other, &test_err));
    check_ok(layer_ingest_open(other, &options, &in, &test_err));
    check_ok(layer_ingest_write(in, whole.data, whole.size, &test_err));
    check_ok(layer_ingest_commit(STEAL(&in), &copy, &test_err));
    read_tar(other, copy, 4096, &again);
    check_bytes(again.data, again.size, whole.data, whole.size);
    check_ok(layer_digest(other, copy, &digest, &size, &test_err));
    check_true(digest_equal(&diff_id, &digest));
}

TEST(layer, holes_and_pieces_become_plain_content)
{
    auto_scene struct scene s = scene_new(NULL);
    auto_str struct str tar = {0};
    auto_free char *zeros = mem_alloc(100000);

    check_ok(scene_make(&s, "f", "start"));
    check_ok(scene_write(&s, "f", 50000, "middle"));
    check_ok(scene_write(&s, "f", 50002, "X"));
    check_true(scene_seal(&s) > 0);
    read_tar(s.store, s.layers[0], 7777, &tar);
    check_int(tar.size % 512, 0);
    check_bytes(memmem(tar.data, tar.size, "start", 5), 5, "start", 5);
    check_true(memmem(tar.data, tar.size, "miXdle", 6));
    check_int((char *)memmem(tar.data, tar.size, "miXdle", 6) -
                  (char *)memmem(tar.data, tar.size, "start", 5),
              50000);
    check_bytes((char *)memmem(tar.data, tar.size, "start", 5) + 5, 50000 - 5, zeros, 50000 - 5);
}

/* Docker unpacks a layer into an empty directory: a parent that the layer does not describe would
 * become 0755 of root there, and hide the real one. */
TEST(layer, the_directories_above_a_change_are_described_as_they_are)
{
    auto_scene struct scene s = scene_new("root/        dir  0700 uid=1 gid=2 mtime=5000000000\n"
                                          "root/a/      dir  0711\n"
                                          "root/a/f     file 0644 \"x\"\n"
                                          "root/a/g     file 0644 \"x\"\n"
                                          "tmp/         dir  1777\n"
                                          "tmp/x        file 0644 \"x\"\n");

    check_ok(scene_chmod(&s, "root/a/f", 0600));
    check_ok(scene_chmod(&s, "root/a/g", 0600));
    check_ok(scene_chmod(&s, "tmp/x", 0600));
    check_int(scene_seal(&s), 3);
    check_tar(s.store, s.layers[1],
              "root dir 0700 1:2 5\n"
              "root/a dir 0711 0:0 0\n"
              "root/a/f file 0600 0:0 0 1\n"
              "root/a/g file 0600 0:0 0 1\n"
              "tmp dir 1777 0:0 0\n"
              "tmp/x file 0600 0:0 0 1\n");
}

/* A hard link to a file of a lower layer that changed nothing keeps its target's path. */
TEST(layer, a_link_to_a_file_below_stays_a_link)
{
    auto_scene struct scene s = scene_new(NULL);

    check_tar(s.store, scene_store_layer(&s, "b link - \"usr/bin/a\"\n"),
              "b link 0000 0:0 0 => usr/bin/a\n");
}

TEST(layer, the_digest_is_remembered)
{
    auto_scene struct scene s = scene_new(NULL);
    int64_t layer = scene_store_layer(&s, LAYER);
    struct layer_row row;
    struct digest diff_id;
    uint64_t size;

    check_ok(store_layer_get(s.store, layer, &row, &test_err));
    check_false(row.has_diff_id);
    check_ok(layer_digest(s.store, layer, &diff_id, &size, &test_err));
    check_ok(store_layer_get(s.store, layer, &row, &test_err));
    check_true(row.has_diff_id && digest_equal(&row.diff_id, &diff_id));
    check_int(row.tar_size_bytes, size);
    check_fails(layer_digest(s.store, layer + 100, &diff_id, &size, &test_err), ENOENT);
}

/* -- compressed forms -- */

struct count_writer {
    struct writer base;
    struct hasher *hasher;
};

static int hash_write(struct writer *w, const void *buf, size_t size, struct error *err)
{
    (void)err;
    hasher_update(((struct count_writer *)w)->hasher, buf, size);
    return 0;
}

/* Reads the blob from the store and inflates it; the digest of what comes out. */
static struct digest inflated_digest(struct store *store, const struct layer_blob *blob)
{
    auto_hasher struct hasher *hasher = hasher_new();
    struct count_writer to = {.base = {.write = hash_write}, .hasher = hasher};
    auto_writer struct writer *w = inflate_writer_new(blob->format, &to.base);
    auto_reader struct reader *r = NULL;
    struct digest d;
    uint64_t size;

    check_ok(blob_open(store, &blob->digest, &r, &size, &test_err));
    check_int(size, blob->size_bytes);
    check_ok(hashed_copy(DIGEST_SHA256, r, w, &d, &size, &test_err));
    check_true(digest_equal(&d, &blob->digest));
    check_ok(writer_finish(w, &test_err));
    hasher_final(hasher, &d);
    return d;
}

TEST(layer, every_compressed_form_holds_the_tar_and_is_made_once)
{
    static const enum codec_format formats[] = {CODEC_GZIP, CODEC_ZSTD, CODEC_NONE};
    auto_scene struct scene s = scene_new(NULL);
    int64_t layer = scene_store_layer(&s, LAYER);
    struct digest diff_id;
    uint64_t size;

    for (size_t i = 0; i < 3; i++) {
        struct layer_blob made;
        struct layer_blob known;
        struct layer_row row;
        struct digest d;

        check_ok(compress(s.store, layer, formats[i], -1, 2, &made));
        check_int(made.format, formats[i]);
        check_ok(store_layer_get(s.store, layer, &row, &test_err));
        check_true(row.has_diff_id); /* learnt on the way */
        d = inflated_digest(s.store, &made);
        check_true(digest_equal(&d, &row.diff_id));
        check_ok(compress(s.store, layer, formats[i], 1, 1, &known));
        check_true(digest_equal(&known.digest, &made.digest));
    }
    check_ok(layer_digest(s.store, layer, &diff_id, &size, &test_err));
}

TEST(layer, the_number_of_threads_does_not_show_in_a_blob)
{
    struct layer_blob blobs[2];
    auto_str struct str text = {0};

    str_add(&text, "f file 0644 \"");
    for (int i = 0; i < 300000; i++)
        str_addf(&text, "%d ", i * 7);
    str_add(&text, "\"\n");
    for (unsigned i = 0; i < 2; i++) {
        auto_scene struct scene s = scene_new(NULL);
        int64_t layer = scene_store_layer(&s, str_text(&text));

        check_ok(compress(s.store, layer, CODEC_GZIP, 1, i == 0 ? 1 : 4, &blobs[i]));
        scene_release(&s);
        s = (struct scene){0};
        check_ok(io_remove_tree(test_dir_fd(), "state"));
    }
    check_true(digest_equal(&blobs[0].digest, &blobs[1].digest));
    check_true(blobs[0].size_bytes > 0 && blobs[0].size_bytes < 1 << 20);
}

/* -- damage -- */

/* Changes one byte of a layer of this text, and compresses it. */
static void check_damage_is_met(const char *text, uint64_t at)
{
    auto_scene struct scene s = scene_new(NULL);
    int64_t layer = scene_store_layer(&s, text);
    auto_close int packs = dup(store_dir(s.store, STORE_PACKS));
    auto_close int fd = -1;
    struct layer_blob_row known;
    struct layer_blob blob;
    struct layer_row row;
    char name[STORE_NAME_SIZE];
    struct digest diff_id;
    uint64_t size;

    check_ok(layer_digest(s.store, layer, &diff_id, &size, &test_err));
    check_ok(store_layer_get(s.store, layer, &row, &test_err));
    store_object_name(row.pack, name);
    check_ok(fchmodat(packs, name, 0600, 0));
    fd = openat(packs, name, O_WRONLY | O_CLOEXEC);
    check_ok(fd);
    check_ok(io_pwrite_full(fd, "X", 1, at));
    check_fails(compress(s.store, layer, CODEC_GZIP, 1, 1, &blob), EIO);
    check_true(text_ends(test_err.text, " is not what it was"));
    check_hint(&test_err, "'img fsck' finds what is damaged");
    check_fails(store_layer_blob_find(s.store, layer, CODEC_DETECT, NULL, &known, &test_err),
                ENOENT);
}

TEST(layer, a_tar_that_is_not_what_it_was_is_an_error_and_no_blob)
{
    check_damage_is_met("f file 0644 \"content\"\n", 3);
}

/* Large ones have checksums, one for each 4 MiB (fs/sums.h), that are compared instead. */
TEST(layer, a_large_tar_that_is_not_what_it_was_is_an_error_and_no_blob)
{
    auto_str struct str text = {0};

    str_add(&text, "f file 0644 \"");
    for (int i = 0; i < 600000; i++)
        str_addf(&text, "%08d ", i);
    str_add(&text, "\"\n");
    check_damage_is_met(str_text(&text), 5000001);
}
