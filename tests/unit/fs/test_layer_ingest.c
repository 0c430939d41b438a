/* test_layer_ingest.c - a compressed tar becomes a layer of a real store, or leaves nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/limits.h"
#include "fs/blob.h"
#include "fs/layer.h"
#include "fs/pack.h"
#include "fs/tar.h"
#include "tests/lib/fault.h"
#include "tests/lib/state.h"
#include "tests/lib/test.h"
#include "tools/dump.h"

/* -- tars and their compressed forms -- */

static void add_content(struct str *tar, const char *content)
{
    static const char zeros[TAR_BLOCK_SIZE];

    str_add(tar, content);
    str_add_bytes(tar, zeros, tar_padding(strlen(content)));
}

static void add_file(struct str *tar, const char *path, const char *content)
{
    struct tar_entry e = {
        .path = path, .meta = {.type = ENTRY_FILE, .mode = 0644, .size_bytes = strlen(content)}};

    check_ok(tar_add_header(tar, &e, &test_err));
    add_content(tar, content);
}

static void add_dir(struct str *tar, const char *path)
{
    struct tar_entry e = {.path = path, .meta = {.type = ENTRY_DIR, .mode = 0700}};

    check_ok(tar_add_header(tar, &e, &test_err));
}

static void add_link(struct str *tar, const char *path, const char *target, bool is_hard)
{
    struct tar_entry e = {.path = path, .target = target, .is_hard_link = is_hard};

    e.meta.type = is_hard ? ENTRY_FILE : ENTRY_SYMLINK;
    e.meta.mode = 0777;
    check_ok(tar_add_header(tar, &e, &test_err));
}

struct buffer_writer {
    struct writer base;
    struct str *to;
};

static int buffer_write(struct writer *w, const void *buf, size_t size, struct error *err)
{
    (void)err;
    str_add_bytes(((struct buffer_writer *)w)->to, buf, size);
    return 0;
}

static void deflate_to(const struct str *tar, enum codec_format format, struct str *out)
{
    struct buffer_writer to = {.base = {.write = buffer_write}, .to = out};
    auto_writer struct writer *w = NULL;

    check_ok(deflate_writer_new(format, 1, 1, &to.base, &w, &test_err));
    check_ok(writer_write(w, str_text(tar), tar->size, &test_err));
    check_ok(writer_finish(w, &test_err));
}

static void make_sample(struct str *tar)
{
    add_dir(tar, "etc");
    add_file(tar, "etc/hosts", "localhost");
    add_link(tar, "etc/link", "../etc/hosts", false);
    add_link(tar, "hard", "etc/hosts", true);
    tar_add_end(tar);
}

#define SAMPLE                                                                                     \
    "./                      dir 0755 implicit\n"                                                  \
    "etc/                    dir 0700\n"                                                           \
    "etc/hosts               file 0644 \"localhost\"\n"                                            \
    "etc/link                symlink 0777 -> ../etc/hosts\n"                                       \
    "hard                    link etc/hosts\n"

/* -- through the store and back -- */

static const struct layer_ingest_options any = {
    .what = "layer x", .blob_size_bytes = UINT64_MAX, .keep_blob = true};

static int try_ingest(struct store *store, const struct layer_ingest_options *options,
                      const void *bytes, size_t size, size_t chunk, int64_t *layer,
                      struct error *err)
{
    auto_layer_ingest struct layer_ingest *in = NULL;
    const char *at = bytes;
    int r = layer_ingest_open(store, options, &in, err);

    while (r == 0 && size > 0) {
        size_t part = chunk < size ? chunk : size;

        r = layer_ingest_write(in, at, part, err);
        at += part;
        size -= part;
    }
    return r < 0 ? r : layer_ingest_commit(STEAL(&in), layer, err);
}

static int64_t ingest(struct store *store, const struct str *blob)
{
    int64_t layer = 0;

    check_ok(try_ingest(store, &any, blob->data, blob->size, SIZE_MAX, &layer, &test_err));
    check_true(layer > 0);
    return layer;
}

static int read_pack(void *context, uint64_t pack, uint64_t offset, void *buf, size_t size,
                     struct error *err)
{
    return pack_read(context, pack, offset, buf, size, err);
}

static void check_layer(struct store *store, int64_t layer, const char *expected)
{
    const struct index *x;
    auto_str struct str text = {0};

    check_ok(store_index_get(store, layer, &x, &test_err));
    check_ok(dump_index(x, read_pack, store, &text, &test_err));
    check_text(str_text(&text), expected);
}

static void check_tar(struct store *store, int64_t layer, const struct str *expected)
{
    auto_reader struct reader *r = NULL;
    auto_str struct str tar = {0};
    char buf[1000];
    ssize_t n;

    check_ok(layer_tar_open(store, layer, &r, &test_err));
    while ((n = reader_read(r, buf, sizeof(buf), &test_err)) > 0)
        str_add_bytes(&tar, buf, (size_t)n);
    check_ok(n);
    check_bytes(str_text(&tar), tar.size, str_text(expected), expected->size);
    check_int(reader_read(r, buf, sizeof(buf), &test_err), 0); /* the end stays the end */
}

static struct digest digest_str(const struct str *s)
{
    struct digest d;

    digest_of(str_text(s), s->size, &d);
    return d;
}

static void check_empty(const char *dir)
{
    auto_str struct str names = {0};

    state_list(dir, &names);
    check_text(str_text(&names), "");
}

/* Nothing was left: no file, no layer, no blob. */
static void check_nothing(struct store *store, const struct str *blob, const struct str *tar)
{
    struct digest digest = digest_str(blob);
    struct digest diff_id = digest_str(tar);
    struct layer_row row;

    check_empty("packs");
    check_empty("index");
    check_empty("blobs/sha256");
    check_empty("tmp/partial");
    check_fails(store_layer_find_by_diff_id(store, &diff_id, &row, &test_err), ENOENT);
    check_false(blob_exists(store, &digest));
}

/* -- what comes in -- */

TEST(layer_ingest, a_compressed_tar_becomes_a_layer_whose_tar_is_exact)
{
    static const enum codec_format formats[] = {CODEC_GZIP, CODEC_ZSTD, CODEC_NONE};
    static const char *const directories[] = {"gzip", "zstd", "none"};

    for (size_t i = 0; i < 3; i++) {
        auto_free char *path = str_format("%s/%s", test_dir(), directories[i]);
        auto_store struct store *store = NULL;
        auto_str struct str tar = {0};
        auto_str struct str blob = {0};
        struct layer_blob_row row;
        struct layer_row layer;
        struct digest digest;
        int64_t id;

        check_ok(store_open(path, NULL, &store, &test_err));
        make_sample(&tar);
        deflate_to(&tar, formats[i], &blob);
        id = ingest(store, &blob);
        check_layer(store, id, SAMPLE);
        check_tar(store, id, &tar);
        check_ok(store_layer_get(store, id, &layer, &test_err));
        digest = digest_str(&tar);
        check_true(layer.has_diff_id && digest_equal(&layer.diff_id, &digest));
        check_int(layer.kind, LAYER_PULLED);
        check_int(layer.tar_size_bytes, tar.size);
        check_int(layer.data_bytes, strlen("localhost"));
        check_int(layer.entry_count, 4);
        check_ok(store_layer_blob_find(store, id, formats[i], NULL, &row, &test_err));
        digest = digest_str(&blob);
        check_true(digest_equal(&row.digest, &digest));
        check_int(row.size_bytes, blob.size);
    }
}

/* More than all buffers together, so that every thread has to wait for another. */
TEST(layer_ingest, a_layer_larger_than_the_buffers_arrives_whole)
{
    static const size_t chunks[] = {1000, 1u << 20, SIZE_MAX};
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};
    auto_str struct str content = {0};
    char name[32];
    unsigned seed = 1;

    while (content.size < 300000) {
        seed = seed * 1103515245 + 12345;
        str_addf(&content, "%u ", seed);
    }
    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(name, sizeof(name), "dir/%u", i);
        add_file(&tar, name, str_text(&content) + i);
    }
    tar_add_end(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    for (size_t i = 0; i < 3; i++) {
        int64_t layer;

        check_ok(try_ingest(store, &any, blob.data, blob.size, chunks[i], &layer, &test_err));
        check_tar(store, layer, &tar);
    }
}

TEST(layer_ingest, whiteouts_are_read_by_their_names)
{
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};

    add_file(&tar, ".wh.gone", "");
    add_dir(&tar, "d");
    add_file(&tar, "d/.wh..wh..opq", "");
    add_file(&tar, "d/new", "x");
    add_file(&tar, "deep/er/.wh.x", "content of a whiteout is ignored");
    add_file(&tar, ".wh..wh.aufs", "");
    add_file(&tar, ".wh..wh.plnk/1.2", "aufs keeps hard links here");
    add_file(&tar, ".wh.back", "");
    add_file(&tar, "back", "x");
    add_file(&tar, "wh.not", "");
    tar_add_end(&tar);
    check_layer(store, ingest(store, &tar),
                "./                      dir 0755 implicit\n"
                "back                    file 0644 \"x\"\n"
                "d/                      dir 0700 opaque\n"
                "d/new                   file 0644 \"x\"\n"
                "deep/                   dir 0755 implicit\n"
                "deep/er/                dir 0755 implicit\n"
                "deep/er/.wh.x           whiteout\n"
                ".wh.gone                whiteout\n"
                "wh.not                  file 0644 \"\"\n");
}

/* SECURITY R37: data stays data, and a path cannot leave the root. */
TEST(layer_ingest, links_and_absolute_names_stay_inside)
{
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};

    add_file(&tar, "/abs/file", "a");
    add_link(&tar, "up", "../../../../../../etc", false);
    add_file(&tar, "up/passwd", "p");
    add_link(&tar, "shadow", "/up/passwd", true);
    add_link(&tar, "below", "usr/bin/x", true);
    tar_add_end(&tar);
    check_layer(store, ingest(store, &tar),
                "./                      dir 0755 implicit\n"
                "abs/                    dir 0755 implicit\n"
                "abs/file                file 0644 \"a\"\n"
                "below                   link-below usr/bin/x\n"
                "etc/                    dir 0755 implicit\n"
                "etc/passwd              file 0644 \"p\"\n"
                "shadow                  link etc/passwd\n"
                "up                      symlink 0777 -> ../../../../../../etc\n");
}

TEST(layer_ingest, an_empty_layer_is_a_layer)
{
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};
    auto_str struct str nothing = {0};

    tar_add_end(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    check_layer(store, ingest(store, &blob), "./                      dir 0755 implicit\n");
    str_add(&nothing, "");
    check_layer(store, ingest(store, &nothing), "./                      dir 0755 implicit\n");
}

/* -- known already -- */

TEST(layer_ingest, one_tar_in_two_compressed_forms_is_one_layer)
{
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};
    auto_str struct str gzip = {0};
    auto_str struct str zstd = {0};
    auto_str struct str packs = {0};
    struct layer_blob_row row;
    int64_t layer;

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &gzip);
    deflate_to(&tar, CODEC_ZSTD, &zstd);
    layer = ingest(store, &gzip);
    check_int(ingest(store, &gzip), layer);
    check_int(ingest(store, &zstd), layer);
    check_ok(store_layer_blob_find(store, layer, CODEC_GZIP, NULL, &row, &test_err));
    check_ok(store_layer_blob_find(store, layer, CODEC_ZSTD, NULL, &row, &test_err));
    state_list("packs", &packs);
    check_int(packs.size, STORE_NAME_SIZE); /* one name and a newline */
}

TEST(layer_ingest, a_blob_is_checked_though_it_is_not_kept)
{
    auto_store struct store *store = state_open();
    struct layer_ingest_options options = any;
    struct error err = {0};
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};
    struct digest digest;
    struct layer_blob_row row;
    int64_t layer;

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    digest = digest_str(&tar);
    options.keep_blob = false;
    options.blob = &digest;
    check_fails(try_ingest(store, &options, blob.data, blob.size, 100, &layer, &err), EBADMSG);
    check_true(text_starts(err.text, "layer x: its digest is sha256:"));
    check_nothing(store, &blob, &tar);
    options.blob_size_bytes = blob.size + 1;
    check_fails(try_ingest(store, &options, blob.data, blob.size, 100, &layer, &err), EBADMSG);
    options.blob_size_bytes = blob.size;
    digest = digest_str(&blob);
    check_ok(try_ingest(store, &options, blob.data, blob.size, 100, &layer, &test_err));
    check_layer(store, layer, SAMPLE);
    check_fails(store_layer_blob_find(store, layer, CODEC_DETECT, NULL, &row, &test_err), ENOENT);
    check_empty("blobs/sha256");
}

/* -- refusals: one sentence, and nothing is left -- */

static void check_refused(const struct str *tar, const char *sentence)
{
    auto_store struct store *store = state_open();
    auto_str struct str blob = {0};
    struct error err = {0};
    int64_t layer;

    deflate_to(tar, CODEC_GZIP, &blob);
    check_true(try_ingest(store, &any, blob.data, blob.size, 777, &layer, &err) < 0);
    check_text(err.text, sentence);
    check_nothing(store, &blob, tar);
}

TEST(layer_ingest, entries_that_make_no_sense_are_refused_by_name)
{
    static const struct {
        const char *path;
        const char *target; /* hard link, or NULL */
        const char *sentence;
    } cases[] = {
        {"a/.wh.", NULL, "layer x: the whiteout 'a/.wh.' names nothing"},
        {".wh..", NULL, "layer x: '.' is not a clean relative path"},
        {"a/.wh...", NULL, "layer x: 'a/..' is not a clean relative path"},
        {".wh.a/b", NULL, "layer x: '.wh.a/b' lies below a whiteout"},
        {"f/g", NULL, "layer x: 'f/g' passes 'f', which is not a directory"},
        {"a/../b", NULL, "layer x: entry 'a/../b': its path contains '..'"},
        {"h", "d", "layer x: 'h' is a hard link to the directory 'd'"},
        {"h", ".wh..wh.plnk/1", "layer x: 'h' is a hard link to the whiteout '.wh..wh.plnk/1'"},
        {"h", ".wh.f", "layer x: 'h' is a hard link to the whiteout '.wh.f'"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_str struct str tar = {0};

        add_dir(&tar, "d");
        add_file(&tar, "f", "x");
        if (cases[i].target)
            add_link(&tar, cases[i].path, cases[i].target, true);
        else
            add_file(&tar, cases[i].path, "");
        tar_add_end(&tar);
        check_refused(&tar, cases[i].sentence);
    }
}

TEST(layer_ingest, data_cut_short_or_damaged_is_refused)
{
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};
    struct error err = {0};
    int64_t layer;

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    check_fails(try_ingest(store, &any, blob.data, blob.size - 1, 10, &layer, &err), EBADMSG);
    check_error(&err, EBADMSG, "layer x: its gzip data ends too early");
    blob.data[blob.size - 5] ^= 1;
    check_fails(try_ingest(store, &any, blob.data, blob.size, 10, &layer, &err), EBADMSG);
    check_error(&err, EBADMSG, "layer x: its gzip data is damaged");
    check_fails(try_ingest(store, &any, tar.data, 700, 10, &layer, &err), EBADMSG);
    check_error(&err, EBADMSG, "layer x: the tar ends too early, at offset 700");
    check_fails(try_ingest(store, &any, "<html>not a tar</html>", 22, 10, &layer, &err), EBADMSG);
    check_error(&err, EBADMSG, "layer x: the tar ends too early, at offset 22");
    check_nothing(store, &blob, &tar);
}

/* OCI image-spec, descriptor.md, "Verification": what is wrong with bytes that are not those asked for
 * is their digest, whatever else they are. */
TEST(layer_ingest, a_flipped_bit_anywhere_is_another_digest)
{
    auto_store struct store *store = state_open();
    struct layer_ingest_options options = any;
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};
    struct digest expected;
    struct digest found;
    char expected_text[DIGEST_TEXT_SIZE];
    char found_text[DIGEST_TEXT_SIZE];
    int64_t layer;

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    digest_of(blob.data, blob.size, &expected);
    digest_format(&expected, expected_text);
    options.blob = &expected;
    options.blob_size_bytes = blob.size;
    for (size_t at = 0; at < 2 * blob.size; at++) {
        struct error err = {0};

        options.keep_blob = at % 2 == 0;
        blob.data[at / 2] = (char)(blob.data[at / 2] ^ 1 << at % 8);
        digest_of(blob.data, blob.size, &found);
        digest_format(&found, found_text);
        check_fails(try_ingest(store, &options, blob.data, blob.size, 7, &layer, &err), EBADMSG);
        check_contains(err.text, found_text);
        check_contains(err.text, expected_text);
        blob.data[at / 2] = (char)(blob.data[at / 2] ^ 1 << at % 8);
    }
    check_nothing(store, &blob, &tar);
}

/* And the opposite: the digest is right, the content is not. */
TEST(layer_ingest, damage_that_was_asked_for_is_named)
{
    auto_store struct store *store = state_open();
    struct layer_ingest_options options = any;
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};
    struct error err = {0};
    struct digest digest;
    int64_t layer;

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    blob.data[blob.size - 5] ^= 1;
    digest_of(blob.data, blob.size, &digest);
    options.blob = &digest;
    options.blob_size_bytes = blob.size;
    check_fails(try_ingest(store, &options, blob.data, blob.size, 7, &layer, &err), EBADMSG);
    check_error(&err, EBADMSG, "layer x: its gzip data is damaged");
    check_nothing(store, &blob, &tar);
}

TEST(layer_ingest, bytes_other_than_promised_are_refused)
{
    auto_store struct store *store = state_open();
    struct layer_ingest_options options = any;
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};
    struct error err = {0};
    struct digest wrong = {.bytes = {1}};
    int64_t layer;

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    options.blob = &wrong;
    check_fails(try_ingest(store, &options, blob.data, blob.size, 10, &layer, &err), EBADMSG);
    options.blob = NULL;
    options.diff_id = &wrong;
    check_fails(try_ingest(store, &options, blob.data, blob.size, 10, &layer, &err), EBADMSG);
    check_true(text_starts(err.text, "layer x: the digest of its tar is sha256:"));
    check_true(text_ends(err.text, " instead of sha256:0100000000000000000000000000000000000000"
                                   "000000000000000000000000"));
    options.diff_id = NULL;
    options.blob_size_bytes = blob.size - 1;
    check_fails(try_ingest(store, &options, blob.data, blob.size, 10, &layer, &err), EBADMSG);
    options.blob_size_bytes = blob.size + 1;
    check_fails(try_ingest(store, &options, blob.data, blob.size, 10, &layer, &err), EBADMSG);
    check_nothing(store, &blob, &tar);
}

TEST(layer_ingest, an_aborted_one_leaves_nothing)
{
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    for (size_t size = 0; size <= blob.size; size += 37) {
        auto_layer_ingest struct layer_ingest *in = NULL;

        check_ok(layer_ingest_open(store, &any, &in, &test_err));
        check_ok(layer_ingest_write(in, blob.data, size, &test_err));
    }
    check_nothing(store, &blob, &tar);
}

/* -- interrupted and continued -- */

static struct layer_ingest_options resuming(const struct digest *blob, uint64_t size)
{
    return (struct layer_ingest_options){.what = "layer x",
                                         .blob = blob,
                                         .blob_size_bytes = size,
                                         .keep_blob = true,
                                         .resume = true};
}

/* Gives the bytes from where it stands up to `end`; then interrupted unless it is all of them. */
static int go_on(struct store *store, const struct str *blob, size_t end, uint64_t *from,
                 int64_t *layer, struct error *err)
{
    auto_layer_ingest struct layer_ingest *in = NULL;
    struct digest digest = digest_str(blob);
    struct layer_ingest_options options = resuming(&digest, blob->size);
    int r = layer_ingest_open(store, &options, &in, err);

    if (r < 0)
        return r;
    *from = layer_ingest_size_bytes(in);
    check_true(*from <= end);
    r = layer_ingest_write(in, blob->data + *from, end - (size_t)*from, err);
    if (r == 0 && end == blob->size)
        r = layer_ingest_commit(STEAL(&in), layer, err);
    return r;
}

TEST(layer_ingest, an_interrupted_one_goes_on_where_it_stopped)
{
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};
    uint64_t from = 1;
    int64_t layer = 0;

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    check_ok(go_on(store, &blob, 50, &from, &layer, &test_err));
    check_int(from, 0);
    check_empty("packs");
    check_empty("blobs/sha256");
    check_ok(go_on(store, &blob, 90, &from, &layer, &test_err));
    check_int(from, 50);
    check_ok(go_on(store, &blob, blob.size, &from, &layer, &test_err));
    check_int(from, 90);
    check_layer(store, layer, SAMPLE);
    check_tar(store, layer, &tar);
    check_empty("tmp/partial");
}

/* The nth write of the second try finds the disk full, that of the third has room. */
static void fill_up(uint64_t nth)
{
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};
    uint64_t from = 0;
    int64_t layer = 0;

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    check_ok(go_on(store, &blob, 50, &from, &layer, &test_err));
    fault_fail(FAULT_WRITE, nth, ENOSPC);
    check_fails(go_on(store, &blob, blob.size, &from, &layer, &test_err), ENOSPC);
    check_true(fault_was_hit());
    fault_clear();
    check_empty("packs");
    check_empty("blobs/sha256");
    check_ok(go_on(store, &blob, blob.size, &from, &layer, &test_err));
    check_true(from >= 50);
    check_layer(store, layer, SAMPLE);
    check_empty("tmp/partial");
}

/* What came before is right, and worth having once there is room. Nothing of it is visible. */
TEST(layer_ingest, a_disk_full_at_its_first_write_keeps_what_has_come)
{
    fill_up(1);
}

TEST(layer_ingest, a_disk_full_at_its_second_write_keeps_what_has_come)
{
    fill_up(2);
}

/* What a crash of the host leaves may be anything. */
TEST(layer_ingest, a_damaged_beginning_is_thrown_away)
{
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};
    auto_free char *name = NULL;
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    uint64_t from = 1;
    int64_t layer = 0;

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    digest = digest_str(&blob);
    digest_format_hex(&digest, hex);
    name = str_format("tmp/partial/%s", hex);
    state_write(name, "these are not the bytes");
    check_int(blob_partial_size_bytes(store, &digest), 23);
    check_fails(go_on(store, &blob, blob.size, &from, &layer, &test_err), EBADMSG);
    check_int(blob_partial_size_bytes(store, &digest), 0);
    check_nothing(store, &blob, &tar);
    check_ok(go_on(store, &blob, blob.size, &from, &layer, &test_err));
    check_int(from, 0);
    check_layer(store, layer, SAMPLE);
}

TEST(layer_ingest, bytes_that_are_refused_are_not_kept_to_be_continued)
{
    auto_store struct store *store = state_open();
    auto_layer_ingest struct layer_ingest *in = NULL;
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};
    struct digest digest;
    struct digest wrong = {.bytes = {1}};
    struct layer_ingest_options options;
    int64_t layer;

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    digest = digest_str(&blob);
    options = resuming(&digest, blob.size);
    options.diff_id = &wrong;
    check_ok(layer_ingest_open(store, &options, &in, &test_err));
    check_ok(layer_ingest_write(in, blob.data, blob.size, &test_err));
    check_fails(layer_ingest_commit(STEAL(&in), &layer, &test_err), EBADMSG);
    check_nothing(store, &blob, &tar);
}

TEST(layer_ingest, a_blob_that_two_bring_is_brought_by_one)
{
    auto_store struct store *store = state_open();
    auto_layer_ingest struct layer_ingest *first = NULL;
    auto_layer_ingest struct layer_ingest *second = NULL;
    struct digest digest = {.bytes = {1}};
    struct layer_ingest_options options = resuming(&digest, 100);

    check_ok(layer_ingest_open(store, &options, &first, &test_err));
    check_fails(layer_ingest_open(store, &options, &second, &test_err), EBUSY);
    check_true(blob_partial_fd(store, &digest) >= 0); /* the first one's is still there */
}

/* A process killed after its blob was named and before its layer was. */
TEST(layer_ingest, a_layer_is_made_from_a_blob_of_the_store)
{
    auto_store struct store *store = state_open();
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};
    struct layer_blob_row row;
    struct layer_ingest_options options;
    struct digest digest;
    int64_t layer = 0;

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    digest = digest_str(&blob);
    options = resuming(&digest, blob.size);
    check_fails(layer_ingest_stored(store, &options, &layer, &test_err), ENOENT);
    check_ok(blob_put(store, blob.data, blob.size, &digest, &test_err));
    check_ok(layer_ingest_stored(store, &options, &layer, &test_err));
    check_layer(store, layer, SAMPLE);
    check_ok(store_layer_blob_find(store, layer, CODEC_GZIP, NULL, &row, &test_err));
    check_true(digest_equal(&row.digest, &digest));
}

/* SECURITY R40: an inflating thread that meets a bomb stops the caller. */
TEST(layer_ingest, a_bomb_is_refused_and_its_space_given_back)
{
    auto_store struct store *store = state_open();
    auto_str struct str zeros = {0};
    auto_str struct str blob = {0};
    auto_free char *block = mem_alloc(80u << 20);
    struct tar_entry e = {.path = "zeros", .meta = {.type = ENTRY_FILE, .size_bytes = 80u << 20}};
    struct error err = {0};
    int64_t layer;

    check_ok(tar_add_header(&zeros, &e, &test_err));
    str_add_bytes(&zeros, block, 80u << 20);
    tar_add_end(&zeros);
    deflate_to(&zeros, CODEC_ZSTD, &blob);
    check_fails(try_ingest(store, &any, blob.data, blob.size, 1000, &layer, &err), EFBIG);
    check_error(&err, EFBIG, "layer x: its zstd data inflates to more than 1000 times its size");
    check_nothing(store, &blob, &zeros);
}

/* SECURITY S11: whichever call fails, there is an error, and nothing or everything is there. */
TEST(layer_ingest, any_failing_call_is_an_error_and_leaves_nothing)
{
    static const enum fault_call calls[] = {FAULT_WRITE, FAULT_SYNC, FAULT_RENAME, FAULT_OPEN};
    auto_str struct str tar = {0};
    auto_str struct str blob = {0};

    make_sample(&tar);
    deflate_to(&tar, CODEC_GZIP, &blob);
    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        for (uint64_t nth = 1;; nth++) {
            auto_store struct store *store = state_open();
            struct error err = {0};
            int64_t layer = 0;
            bool was_hit;
            int r;

            fault_fail(calls[c], nth, ENOSPC);
            r = try_ingest(store, &any, blob.data, blob.size, 1000, &layer, &err);
            was_hit = fault_was_hit();
            fault_clear();
            if (r == 0) {
                check_layer(store, layer, SAMPLE);
            } else {
                check_true(was_hit);
                check_true(err.text[0] != '\0');
                check_int(layer, 0);
            }
            if (!was_hit) {
                check_true(nth > 1);
                break;
            }
        }
    }
}
