/* test_download.c - blobs from a registry that drops, lies, throttles and sends too much. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "tests/lib/client_scene.h"
#include "tests/lib/test.h"

#define SIZE 300000u

struct blob {
    struct str bytes;
    struct digest digest;
    char path[16 + DIGEST_TEXT_SIZE]; /* "/v2/a/b/blobs/sha256:.." */
};

static void blob_init(struct blob *b, uint64_t seed, size_t size)
{
    char digest[DIGEST_TEXT_SIZE];
    auto_free char *path = NULL;

    *b = (struct blob){0};
    make_blob(seed, size, &b->bytes);
    digest_of(b->bytes.data, b->bytes.size, &b->digest);
    digest_format(&b->digest, digest);
    path = str_format("/v2/a/b/blobs/%s", digest);
    memcpy(b->path, path, strlen(path) + 1);
}

static void blob_release(struct blob *b)
{
    str_release(&b->bytes);
}
DEFINE_CLEANUP_VALUE(blob_release, struct blob)
#define auto_blob CLEANUP(blob_release)

/* A client, the registry it speaks to, a blob of SIZE bytes and where it shall go. */
struct download {
    struct client_scene s;
    struct keeping_sink sink;
    struct blob b;
};

/* All but the client. */
static void download_prepare(struct download *d)
{
    keeping_sink_init(&d->sink);
    blob_init(&d->b, 1, SIZE);
}

static void download_init(struct download *d)
{
    client_scene_init(&d->s, REGISTRY_PULL, NULL, NULL);
    download_prepare(d);
}

static void download_release(struct download *d)
{
    blob_release(&d->b);
    keeping_sink_release(&d->sink);
    client_scene_release(&d->s);
}
DEFINE_CLEANUP_VALUE(download_release, struct download)
#define auto_download CLEANUP(download_release)

static int get(struct download *d, struct error *err)
{
    const struct blob_get what = {
        .digest = d->b.digest, .size_bytes = d->b.bytes.size, .sink = &d->sink.writer};

    return registry_blob_get(d->s.r, &what, err);
}

static void check_got(const struct download *d)
{
    check_bytes(d->sink.bytes.data, d->sink.bytes.size, d->b.bytes.data, d->b.bytes.size);
}

static struct fake_rule whole(const struct blob *b)
{
    return (struct fake_rule){.method = "GET",
                              .path = b->path,
                              .body = b->bytes.data,
                              .body_size = b->bytes.size,
                              .honours_range = true};
}

static void serve(struct fake_registry *fake, const struct blob *b)
{
    struct fake_rule rule = whole(b);

    fake_registry_add(fake, &rule);
}

TEST(download, a_blob_arrives)
{
    auto_download struct download d;

    download_init(&d);
    serve(d.s.fake, &d.b);
    check_ok(get(&d, &test_err));
    check_got(&d);
    check_int(fake_registry_count(d.s.fake, "GET", d.b.path), 1);
}

/* RFC 9110 14.2: an interrupted transfer goes on where it stopped. */
TEST(download, an_interruption_resumes_by_range)
{
    auto_download struct download d;
    struct fake_rule rule;
    auto_free char *expected = NULL;

    download_init(&d);
    rule = whole(&d.b);
    rule.times = 1;
    rule.cut_after = 100000;
    fake_registry_add(d.s.fake, &rule);
    rule.cut_after = 150000;
    rule.resets = true;
    fake_registry_add(d.s.fake, &rule);
    serve(d.s.fake, &d.b);
    check_ok(get(&d, &test_err));
    check_got(&d);
    expected = str_format("GET %s\nGET %s range=100000-\nGET %s range=250000-\n", d.b.path,
                          d.b.path, d.b.path);
    check_text(client_scene_log(&d.s), expected);
}

TEST(download, a_server_without_ranges_is_read_again)
{
    auto_download struct download d;
    struct fake_rule rule;

    download_init(&d);
    rule = whole(&d.b);
    rule.honours_range = false;
    rule.cut_after = 100000;
    rule.times = 1;
    fake_registry_add(d.s.fake, &rule);
    rule.cut_after = 0;
    fake_registry_add(d.s.fake, &rule);
    check_ok(get(&d, &test_err));
    check_got(&d);
}

/* RFC 9110 15.5.17: 416; and a 206 for something else. */
TEST(download, useless_ranges_are_given_up)
{
    static const struct fake_rule refusals[] = {
        {.status = 416, .times = 1},
        {.status = 206,
         .times = 1,
         .body = "x",
         .headers = "Content-Range: bytes 200000-299999/300000\r\n"},
        {.status = 206, .times = 1, .body = "x"},
        {.status = 206, .times = 1, .body = "x", .headers = "Content-Range: nonsense\r\n"},
    };

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        auto_download struct download d;
        struct fake_rule rule;

        download_init(&d);
        rule = whole(&d.b);
        rule.cut_after = 100000;
        rule.times = 1;
        fake_registry_add(d.s.fake, &rule);
        fake_registry_add(d.s.fake, &refusals[i]);
        rule = whole(&d.b);
        fake_registry_add(d.s.fake, &rule);
        check_ok(get(&d, &test_err));
        check_got(&d);
    }
}

/* What an earlier run has is not asked for again. */
TEST(download, a_start_in_the_middle_asks_for_the_rest)
{
    auto_download struct download d;
    auto_hasher struct hasher *prefix = hasher_new();
    auto_free char *expected = NULL;
    struct blob_get what;

    download_init(&d);
    serve(d.s.fake, &d.b);
    hasher_update(prefix, d.b.bytes.data, 200000);
    what = (struct blob_get){.digest = d.b.digest,
                             .size_bytes = SIZE,
                             .offset = 200000,
                             .prefix = prefix,
                             .sink = &d.sink.writer};
    check_ok(registry_blob_get(d.s.r, &what, &test_err));
    check_int(d.sink.bytes.size, 100000);
    check_true(memcmp(d.sink.bytes.data, d.b.bytes.data + 200000, 100000) == 0);
    expected = str_format("GET %s range=200000-\n", d.b.path);
    check_text(client_scene_log(&d.s), expected);
}

TEST(download, what_is_all_there_is_only_checked)
{
    auto_download struct download d;
    auto_hasher struct hasher *prefix = hasher_new();
    struct blob_get what;

    download_init(&d);
    what = (struct blob_get){.digest = d.b.digest,
                             .size_bytes = SIZE,
                             .offset = SIZE,
                             .prefix = prefix,
                             .sink = &d.sink.writer};
    hasher_update(prefix, d.b.bytes.data, SIZE);
    check_ok(registry_blob_get(d.s.r, &what, &test_err));
    hasher_update(prefix, "other", 5);
    check_fails(registry_blob_get(d.s.r, &what, &test_err), EBADMSG);
    check_text(fake_registry_log(d.s.fake), "");
}

/* SECURITY R33: other bytes, a byte short, a byte more, no end. */
TEST(download, other_bytes_are_found_out)
{
    auto_download struct download d;
    auto_blob struct blob other;
    struct fake_rule rule;
    auto_free char *sentence = NULL;
    char wanted[DIGEST_TEXT_SIZE];
    char got[DIGEST_TEXT_SIZE];
    struct error err = {0};

    download_init(&d);
    blob_init(&other, 2, SIZE);
    rule = whole(&other);
    rule.path = d.b.path;
    fake_registry_add(d.s.fake, &rule);
    check_fails(get(&d, &err), EBADMSG);
    digest_format(&d.b.digest, wanted);
    digest_format(&other.digest, got);
    sentence = str_format("'%s' sent a blob with digest %s for %s", fake_registry_host(d.s.fake),
                          got, wanted);
    check_error(&err, EBADMSG, sentence);
}

static void check_size_refused(size_t sent, uint64_t declared, bool endless, int code)
{
    auto_download struct download d;
    auto_blob struct blob longer;
    struct fake_rule rule;

    download_init(&d);
    blob_init(&longer, 1, SIZE + 10);
    rule = (struct fake_rule){.method = "GET",
                              .path = d.b.path,
                              .body = longer.bytes.data,
                              .body_size = sent,
                              .declared_size = declared,
                              .endless_body = endless};
    fake_registry_add(d.s.fake, &rule);
    check_fails(get(&d, &test_err), code);
    check_true(d.sink.bytes.size <= SIZE);
}

TEST(download, a_wrong_size_is_found_out_before_and_while_reading)
{
    check_size_refused(SIZE + 1, 0, false, EBADMSG);
    check_size_refused(SIZE - 1, 0, false, EBADMSG);
    check_size_refused(0, 0, true, EBADMSG);
}

TEST(download, a_blob_that_never_gets_on_is_given_up)
{
    auto_download struct download d;
    struct fake_rule rule;

    download_init(&d);
    rule = whole(&d.b);
    rule.cut_after = 10;
    fake_registry_add(d.s.fake, &rule);
    check_fails(get(&d, &test_err), EIO);
    check_int(fake_registry_count(d.s.fake, "GET", d.b.path), 3);
}

TEST(download, a_full_sink_is_reported_as_such)
{
    auto_download struct download d;
    struct error err = {0};

    download_init(&d);
    d.sink.fail_after = 1000;
    serve(d.s.fake, &d.b);
    check_fails(get(&d, &err), ENOSPC);
    check_error(&err, ENOSPC, "the sink is full");
    check_int(fake_registry_count(d.s.fake, "GET", d.b.path), 1);
}

TEST(download, a_missing_blob_is_named)
{
    auto_download struct download d;
    auto_free char *sentence = NULL;
    struct error err = {0};

    download_init(&d);
    fake_registry_add(d.s.fake,
                      &(struct fake_rule){.path = d.b.path,
                                          .status = 404,
                                          .body = "{\"errors\":[{\"code\":\"BLOB_UNKNOWN\","
                                                  "\"message\":\"blob unknown to registry\"}]}"});
    check_fails(get(&d, &err), ENOENT);
    sentence = str_format("'%s' has no blob %s in 'a/b': BLOB_UNKNOWN: blob unknown to registry",
                          fake_registry_host(d.s.fake), d.b.path + strlen("/v2/a/b/blobs/"));
    check_error(&err, ENOENT, sentence);
}

/* Registries keep blobs elsewhere; R43: they hear nothing of our token. */
TEST(download, storage_behind_a_redirect_sees_no_credentials)
{
    auto_fake_registry struct fake_registry *storage = fake_registry_start();
    auto_free char *location = NULL;
    auto_free char *auth = NULL;
    auto_download struct download d;
    struct fake_rule rule;
    struct fake_registry *fake = fake_registry_start();

    auth = str_format("{\"auths\":{\"%s\":{\"username\":\"a\",\"password\":\"b\"}}}",
                      fake_registry_host(fake));
    client_scene_init_with(&d.s, fake_registry_host(fake), REGISTRY_PULL, NULL, auth);
    d.s.fake = fake;
    download_prepare(&d);
    location = str_format("Location: %s?sig=x\r\n", fake_registry_url(storage, "/store/1"));
    fake_registry_add(d.s.fake, &(struct fake_rule){.path = "/v2/",
                                                    .status = 401,
                                                    .headers = "WWW-Authenticate: Basic\r\n"});
    fake_registry_add(d.s.fake,
                      &(struct fake_rule){.path = d.b.path, .status = 307, .headers = location});
    rule = whole(&d.b);
    rule.path = "/store/1[?]sig=x";
    fake_registry_add(storage, &rule);
    check_ok(get(&d, &test_err));
    check_got(&d);
    check_text(fake_registry_log(storage), "GET /store/1?sig=x\n");
    check_int(fake_registry_count(d.s.fake, "GET", "* auth=Basic YTpi"), 1);
}

/* A signed URL that has expired answers 403; 401 from storage is no reason to tell it who we are. */
TEST(download, a_refusal_by_storage_is_no_challenge)
{
    auto_fake_registry struct fake_registry *storage = fake_registry_start();
    auto_download struct download d;
    auto_free char *location = NULL;

    download_init(&d);
    location = str_format("Location: %s\r\n", fake_registry_url(storage, "/store/1"));
    fake_registry_add(d.s.fake,
                      &(struct fake_rule){.path = d.b.path, .status = 307, .headers = location});
    fake_registry_add(storage,
                      &(struct fake_rule){.status = 401, .headers = "WWW-Authenticate: Basic\r\n"});
    check_fails(get(&d, &test_err), EACCES);
    check_int(fake_registry_count(storage, "GET", "/store/1"), 1);
}

static void note_progress(void *context, uint64_t done_bytes)
{
    uint64_t *last = context;

    if (done_bytes < *last)
        check_fail("progress stepped back");
    *last = done_bytes;
}

TEST(download, progress_is_absolute)
{
    auto_download struct download d;
    struct fake_rule rule;
    uint64_t last = 0;
    struct blob_get what;

    download_init(&d);
    rule = whole(&d.b);
    rule.cut_after = 100000;
    rule.times = 1;
    fake_registry_add(d.s.fake, &rule);
    serve(d.s.fake, &d.b);
    what = (struct blob_get){.digest = d.b.digest,
                             .size_bytes = SIZE,
                             .sink = &d.sink.writer,
                             .on_progress = note_progress,
                             .context = &last};
    check_ok(registry_blob_get(d.s.r, &what, &test_err));
    check_int(last, SIZE);
}

TEST(download, an_empty_blob_needs_no_request)
{
    auto_client_scene struct client_scene s;
    auto_str struct str bytes = {0};
    struct digest empty;
    struct digest other;

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    digest_of("", 0, &empty);
    digest_of("x", 1, &other);
    check_ok(registry_blob_read(s.r, &empty, 0, 100, &bytes, &test_err));
    check_fails(registry_blob_read(s.r, &other, 0, 100, &bytes, &test_err), EBADMSG);
    check_text(fake_registry_log(s.fake), "");
}

TEST(download, a_blob_for_memory_has_a_largest_size)
{
    auto_client_scene struct client_scene s;
    auto_str struct str bytes = {0};
    struct digest digest;

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    digest_of("x", 1, &digest);
    check_fails(registry_blob_read(s.r, &digest, 101, 100, &bytes, &test_err), EFBIG);
}

/* Two mirrors before the registry. */
struct mirror_scene {
    struct fake_registry *first;
    struct fake_registry *second;
    struct download d;
};

static void mirror_scene_init(struct mirror_scene *m, const char *more)
{
    struct fake_registry *fake = fake_registry_start();
    auto_free char *conf = NULL;

    m->first = fake_registry_start();
    m->second = fake_registry_start();
    fake_registry_add(m->first, &(struct fake_rule){.method = "GET", .path = "/v2/"});
    fake_registry_add(m->second, &(struct fake_rule){.method = "GET", .path = "/v2/"});
    conf = str_format("[[registry]]\nlocation='%s'\n%s[[registry.mirror]]\nlocation='%s'\n"
                      "[[registry.mirror]]\nlocation='%s/cache'\n",
                      fake_registry_host(fake), more, fake_registry_host(m->first),
                      fake_registry_host(m->second));
    client_scene_init_with(&m->d.s, fake_registry_host(fake), REGISTRY_PULL, conf, NULL);
    m->d.s.fake = fake;
    download_prepare(&m->d);
    fake_registry_add(fake, &(struct fake_rule){.method = "GET", .path = "/v2/"});
}

static void mirror_scene_release(struct mirror_scene *m)
{
    download_release(&m->d);
    fake_registry_stop(m->first);
    fake_registry_stop(m->second);
}
DEFINE_CLEANUP_VALUE(mirror_scene_release, struct mirror_scene)
#define auto_mirror_scene CLEANUP(mirror_scene_release)

TEST(download, a_mirror_is_asked_first)
{
    auto_mirror_scene struct mirror_scene m;

    mirror_scene_init(&m, "");
    serve(m.first, &m.d.b);
    check_ok(get(&m.d, &test_err));
    check_got(&m.d);
    check_text(fake_registry_log(m.second), "");
    check_text(fake_registry_log(m.d.s.fake), "");
}

TEST(download, a_mirror_that_breaks_off_is_continued_elsewhere)
{
    auto_mirror_scene struct mirror_scene m;
    auto_free char *second_path = NULL;
    auto_free char *expected = NULL;
    struct fake_rule rule;

    mirror_scene_init(&m, "");
    rule = whole(&m.d.b);
    rule.cut_after = 100000;
    rule.times = 1;
    fake_registry_add(m.first, &rule);
    rule = whole(&m.d.b);
    second_path = str_format("/v2/cache/a/b/blobs/%s", m.d.b.path + strlen("/v2/a/b/blobs/"));
    rule.path = second_path;
    fake_registry_add(m.second, &rule);
    check_ok(get(&m.d, &test_err));
    check_got(&m.d);
    expected = str_format("GET /v2/\nGET %s range=100000-\n", second_path);
    check_text(fake_registry_log(m.second), expected);
    check_text(fake_registry_log(m.d.s.fake), "");
}

/* A mirror is somebody else: what it sends must have the digest, and it is not asked again. */
TEST(download, a_lying_mirror_is_left_out_from_then_on)
{
    auto_mirror_scene struct mirror_scene m;
    auto_blob struct blob other;
    struct fake_rule rule;

    mirror_scene_init(&m, "");
    blob_init(&other, 2, SIZE);
    rule = whole(&other);
    rule.path = m.d.b.path;
    fake_registry_add(m.first, &rule);
    serve(m.d.s.fake, &m.d.b);
    check_fails(get(&m.d, &test_err), EBADMSG);
    keeping_sink_release(&m.d.sink);
    keeping_sink_init(&m.d.sink);
    check_ok(get(&m.d, &test_err));
    check_got(&m.d);
    check_int(fake_registry_count(m.first, "GET", m.d.b.path), 1);
}

TEST(download, a_mirror_that_is_down_is_passed_over)
{
    auto_mirror_scene struct mirror_scene m;

    mirror_scene_init(&m, "");
    fake_registry_stop(STEAL(&m.first));
    serve(m.d.s.fake, &m.d.b);
    check_ok(get(&m.d, &test_err));
    check_got(&m.d);
}

TEST(download, a_push_never_reads_a_mirror)
{
    auto_fake_registry struct fake_registry *mirror = fake_registry_start();
    auto_client_scene struct client_scene s;
    auto_free char *conf = NULL;
    struct fake_registry *fake = fake_registry_start();
    struct digest digest;
    uint64_t size;

    conf = str_format("[[registry]]\nlocation='%s'\n[[registry.mirror]]\nlocation='%s'\n",
                      fake_registry_host(fake), fake_registry_host(mirror));
    client_scene_init_with(&s, fake_registry_host(fake), REGISTRY_PUSH, conf, NULL);
    s.fake = fake;
    fake_registry_add(fake, &(struct fake_rule){.status = 200});
    digest_of("x", 1, &digest);
    check_int(registry_blob_exists(s.r, &digest, &size, &test_err), 1);
    check_text(fake_registry_log(mirror), "");
}

TEST(download, a_blocked_registry_is_not_opened)
{
    auto_free char *path = str_format("%s/registries.conf", test_dir());
    struct registries_options options = {.config_file = path};
    auto_registries struct registries *all = NULL;
    auto_reference struct reference ref = {0};
    struct registry *r;
    struct error err = {0};
    static const char conf[] = "[[registry]]\nlocation='bad.io'\nblocked=true\n";

    check_ok(io_write_file_atomic(test_dir_fd(), "registries.conf", conf, strlen(conf), 0600,
                                  &test_err));
    all = registries_new(&options);
    check_ok(reference_parse("bad.io/x", &ref, &test_err));
    check_fails(registry_open(all, &ref, REGISTRY_PULL, &r, &err), EPERM);
    check_error(&err, EPERM, "'bad.io' is blocked in registries.conf");
}
