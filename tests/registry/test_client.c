/* test_client.c - the client against a real docker-registry: what one half stores the other reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "registry/client.h"
#include "tests/lib/blobs.h"
#include "tests/lib/cut_proxy.h"
#include "tests/lib/fake_registry.h"
#include "tests/lib/registry_process.h"
#include "tests/lib/test.h"

#define NEED_REGISTRY                                                                              \
    test_need("docker-registry", registry_process_available(),                                     \
              "docker-registry, htpasswd and openssl are not all installed")

/* Nobody's credentials, certificates and configuration but the test's: auth.json and certs.d in the
 * scratch directory. */
static struct registries *make_registries(void)
{
    auto_free char *path = str_format("%s/auth.json", test_dir());
    auto_strv struct strv certs_dirs = {0};
    struct registries_options options = {
        .http = {.attempts_max = 4,
                 .retry_delay_ms = 10,
                 .connect_timeout_ms = 5000,
                 .certs_dirs = &certs_dirs},
        .authfile = path,
        .config_file = "/dev/null",
    };

    strv_addf(&certs_dirs, "%s/certs.d", test_dir());
    return registries_new(&options);
}

static struct registry *open_at(struct registries *all, const char *host, const char *repository,
                                enum registry_use use)
{
    auto_free char *text = str_format("%s/%s", host, repository);
    auto_reference struct reference ref = {0};
    struct registry *r;

    check_ok(reference_parse(text, &ref, &test_err));
    check_ok(registry_open(all, &ref, use, &r, &test_err));
    return r;
}

static struct registry *open_repository(struct registries *all, const struct registry_process *p,
                                        const char *repository, enum registry_use use)
{
    return open_at(all, registry_process_host(p), repository, use);
}

static enum blob_put_result put_blob(struct registry *r, const struct str *bytes,
                                     struct digest *digest)
{
    enum blob_put_result result;
    struct memory_source source;
    struct blob_put put;

    memory_source_init(&source, bytes->data, bytes->size);
    digest_of(bytes->data, bytes->size, digest);
    put = (struct blob_put){.digest = *digest, .size_bytes = bytes->size, .source = &source.source};
    check_ok(registry_blob_put(r, &put, &result, &test_err));
    return result;
}

static void make_manifest(const struct digest *config, size_t config_size,
                          const struct digest *layer, size_t layer_size, struct str *out)
{
    char config_text[DIGEST_TEXT_SIZE];
    char layer_text[DIGEST_TEXT_SIZE];

    digest_format(config, config_text);
    digest_format(layer, layer_text);
    str_addf(out,
             "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST
             "\",\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG
             "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER
             "\",\"digest\":\"%s\",\"size\":%zu}]}",
             config_text, config_size, layer_text, layer_size);
}

/* Pushes an image of one layer; *manifest_digest names it. */
static void push_image(struct registry *r, const char *tag, uint64_t seed, size_t layer_size,
                       struct digest *layer_digest, struct digest *manifest_digest)
{
    auto_str struct str layer = {0};
    auto_str struct str config = {0};
    auto_str struct str manifest = {0};
    struct digest config_digest;

    make_blob(seed, layer_size, &layer);
    str_add(&config, "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
                     "\"diff_ids\":[]}}");
    put_blob(r, &layer, layer_digest);
    put_blob(r, &config, &config_digest);
    make_manifest(&config_digest, config.size, layer_digest, layer.size, &manifest);
    digest_of(manifest.data, manifest.size, manifest_digest);
    check_ok(
        registry_manifest_put(r, tag, MEDIA_OCI_MANIFEST, manifest.data, manifest.size, &test_err));
}

static void check_pulls(struct registry *r, const char *tag, uint64_t seed, size_t layer_size)
{
    auto_keeping_sink struct keeping_sink sink;
    auto_descriptor struct descriptor head = {0};
    auto_document struct document document = {0};
    auto_manifest struct manifest m = {0};
    auto_str struct str layer = {0};
    struct blob_get get = {0};

    keeping_sink_init(&sink);
    make_blob(seed, layer_size, &layer);
    check_ok(registry_manifest_head(r, tag, &head, &test_err));
    check_ok(registry_manifest_get(r, tag, &document, &test_err));
    check_true(digest_equal(&head.digest, &document.digest));
    check_int(head.size_bytes, document.bytes.size);
    check_text(head.media_type, MEDIA_OCI_MANIFEST);
    check_ok(manifest_parse(document.bytes.data, document.bytes.size, document.media_type, tag, &m,
                            &test_err));
    get.digest = m.layers.items[0].digest;
    get.size_bytes = m.layers.items[0].size_bytes;
    get.sink = &sink.writer;
    check_ok(registry_blob_get(r, &get, &test_err));
    check_true(sink.bytes.size == layer.size &&
               memcmp(sink.bytes.data, layer.data, layer.size) == 0);
}

TEST(client, what_was_pushed_is_pulled)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_registry struct registry *push = NULL;
    auto_registry struct registry *pull = NULL;
    struct digest layer;
    struct digest manifest;

    NEED_REGISTRY;
    p = registry_process_start(NULL);
    push = open_repository(all, p, "me/app", REGISTRY_PUSH);
    pull = open_repository(all, p, "me/app", REGISTRY_PULL);
    push_image(push, "1", 1, 3 << 20, &layer, &manifest);
    check_pulls(pull, "1", 1, 3 << 20);
}

TEST(client, what_is_not_there_is_named)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_registry struct registry *pull = NULL;
    auto_document struct document document = {0};
    struct digest digest;
    uint64_t size;

    NEED_REGISTRY;
    p = registry_process_start(NULL);
    pull = open_repository(all, p, "me/app", REGISTRY_PULL);
    digest_of("x", 1, &digest);
    check_fails(registry_manifest_get(pull, "1", &document, &test_err), ENOENT);
    check_int(registry_blob_exists(pull, &digest, &size, &test_err), 0);
}

TEST(client, a_second_push_sends_nothing)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_registry struct registry *push = NULL;
    auto_str struct str blob = {0};
    struct digest digest;

    NEED_REGISTRY;
    p = registry_process_start(NULL);
    push = open_repository(all, p, "me/app", REGISTRY_PUSH);
    make_blob(3, 100000, &blob);
    check_int(put_blob(push, &blob, &digest), BLOB_UPLOADED);
    check_int(put_blob(push, &blob, &digest), BLOB_EXISTED);
}

TEST(client, a_blob_of_a_neighbour_is_mounted)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_registry struct registry *base = NULL;
    auto_registry struct registry *push = NULL;
    auto_strv struct strv from = {0};
    auto_str struct str blob = {0};
    enum blob_put_result result;
    struct memory_source source;
    struct blob_put put = {.mount_from = &from, .source = &source.source};

    NEED_REGISTRY;
    p = registry_process_start(NULL);
    base = open_repository(all, p, "base/debian", REGISTRY_PUSH);
    push = open_repository(all, p, "me/app", REGISTRY_PUSH);
    make_blob(3, 100000, &blob);
    put_blob(base, &blob, &put.digest);
    strv_add(&from, "no/such");
    strv_add(&from, "base/debian");
    memory_source_init(&source, blob.data, blob.size);
    put.size_bytes = blob.size;
    check_ok(registry_blob_put(push, &put, &result, &test_err));
    check_int(result, BLOB_MOUNTED);
    check_int(source.open_count, 0);
}

TEST(client, tags_are_listed_and_manifests_deleted)
{
    const struct registry_process_options options = {.allows_delete = true};
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_registry struct registry *push = NULL;
    auto_document struct document gone = {0};
    auto_strv struct strv tags = {0};
    char name[DIGEST_TEXT_SIZE];
    struct digest manifest;
    struct digest layer;

    NEED_REGISTRY;
    p = registry_process_start(&options);
    push = open_repository(all, p, "me/app", REGISTRY_PUSH);
    push_image(push, "2", 1, 1000, &layer, &manifest);
    push_image(push, "1", 1, 1000, &layer, &manifest);
    check_ok(registry_tags(push, &tags, &test_err));
    check_int(tags.count, 2);
    check_true(strv_contains(&tags, "1") && strv_contains(&tags, "2"));
    digest_format(&manifest, name);
    check_ok(registry_manifest_delete(push, name, &test_err));
    check_fails(registry_manifest_get(push, "1", &gone, &test_err), ENOENT);
}

/* SECURITY R50: a registry recomputes the digest, and we hear about it. */
TEST(client, bytes_with_another_digest_are_refused)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_registry struct registry *push = NULL;
    auto_str struct str blob = {0};
    enum blob_put_result result;
    struct memory_source source;
    struct blob_put put = {.source = &source.source};

    NEED_REGISTRY;
    p = registry_process_start(NULL);
    push = open_repository(all, p, "me/app", REGISTRY_PUSH);
    make_blob(3, 100000, &blob);
    digest_of(blob.data, blob.size, &put.digest);
    put.size_bytes = blob.size;
    blob.data[50000] ^= 1;
    memory_source_init(&source, blob.data, blob.size);
    check_fails(registry_blob_put(push, &put, &result, &test_err), EREMOTEIO);
    check_contains(test_err.text, "DIGEST_INVALID");
}

TEST(client, a_password_is_wanted_proved_and_forgotten)
{
    const struct registry_process_options options = {.user = "ann", .password = "s3cret"};
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_registry struct registry *push = NULL;
    auto_login_result struct login_result kept = {0};
    auto_login_result struct login_result wrong = {0};
    auto_document struct document document = {0};
    auto_free char *hint = NULL;
    struct error err = {0};
    struct digest manifest;
    struct digest layer;

    NEED_REGISTRY;
    p = registry_process_start(&options);
    push = open_repository(all, p, "me/app", REGISTRY_PUSH);
    check_fails(registry_manifest_get(push, "1", &document, &err), EACCES);
    hint = str_format("img login %s", registry_process_host(p));
    check_hint(&err, hint);
    check_fails(registries_login(all, registry_process_host(p), "ann", "wrong", &wrong, &test_err),
                EACCES);
    check_ok(registries_login(all, registry_process_host(p), "ann", "s3cret", &kept, &test_err));
    check_true(kept.is_plain_text);
    push_image(push, "1", 1, 100000, &layer, &manifest);
    check_pulls(push, "1", 1, 100000);
    check_ok(registries_logout(all, registry_process_host(p), &wrong, &test_err));
    check_fails(registry_manifest_get(push, "1", &document, &test_err), EACCES);
}

/* A registry with TLS, and an image in it, put there by a client that does not ask who it is. */
static struct registry_process *start_with_tls(void)
{
    const struct registry_process_options options = {.has_tls = true};
    struct registry_process *p = registry_process_start(&options);
    struct registries_options careless = {
        .insecure_all = true, .authfile = "/dev/null", .config_file = "/dev/null"};
    auto_registries struct registries *all = registries_new(&careless);
    auto_registry struct registry *push = open_repository(all, p, "me/app", REGISTRY_PUSH);
    struct digest manifest;
    struct digest layer;

    push_image(push, "1", 1, 100000, &layer, &manifest);
    return p;
}

static void trust_authority(const char *host)
{
    auto_free char *dir = str_format("%s/certs.d/%s", test_dir(), host);
    auto_free char *path = str_format("%s/ca.crt", dir);
    auto_str struct str authority = {0};

    check_ok(io_make_dirs(dir, 0700, &test_err));
    check_ok(io_read_file(test_dir_fd(), "ca.crt", 100000, &authority, &test_err));
    check_ok(io_write_file_atomic(AT_FDCWD, path, authority.data, authority.size, 0600, &test_err));
}

/* SECURITY R46: nothing is sent to a registry whose certificate does not hold. */
TEST(client, an_unknown_authority_is_refused_until_it_is_trusted)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *before = make_registries();
    auto_registries struct registries *after = make_registries();
    auto_registry struct registry *distrusting = NULL;
    auto_registry struct registry *trusting = NULL;
    auto_document struct document document = {0};
    auto_free char *sentence = NULL;
    struct error err = {0};

    NEED_REGISTRY;
    p = start_with_tls();
    distrusting = open_repository(before, p, "me/app", REGISTRY_PULL);
    check_fails(registry_manifest_get(distrusting, "1", &document, &err), EKEYREJECTED);
    sentence =
        str_format("the certificate of '%s' is not to be trusted: ", registry_process_host(p));
    check_true(text_starts(err.text, sentence));
    check_contains(err.hint, "certs.d/127.0.0.1:");
    trust_authority(registry_process_host(p));
    trusting = open_repository(after, p, "me/app", REGISTRY_PULL);
    check_pulls(trusting, "1", 1, 100000);
}

TEST(client, ssl_cert_file_names_an_authority)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_registry struct registry *pull = NULL;
    auto_free char *authority = str_format("%s/ca.crt", test_dir());

    NEED_REGISTRY;
    p = start_with_tls();
    setenv("SSL_CERT_FILE", authority, 1);
    pull = open_repository(all, p, "me/app", REGISTRY_PULL);
    check_pulls(pull, "1", 1, 100000);
    unsetenv("SSL_CERT_FILE");
}

/* A server with this certificate, in front of nothing: the handshake is what counts. */
static void check_certificate_refused(const char *alternatives, int days, const char *reason)
{
    auto_free char *key = str_format("%s/bad.key", test_dir());
    auto_free char *certificate = str_format("%s/bad.crt", test_dir());
    struct registry_process_options options = {
        .certificate = certificate, .key = key, .name = "bad"};
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_registry struct registry *pull = NULL;
    auto_document struct document document = {0};
    struct error err = {0};

    make_certificate("bad", alternatives, days);
    p = registry_process_start(&options);
    trust_authority(registry_process_host(p));
    pull = open_repository(all, p, "me/app", REGISTRY_PULL);
    check_fails(registry_manifest_get(pull, "1", &document, &err), EKEYREJECTED);
    if (!strstr(err.text, reason))
        check_fail("'%s' does not say '%s'", err.text, reason);
}

TEST(client, a_certificate_for_another_host_is_refused)
{
    NEED_REGISTRY;
    check_certificate_refused("DNS:other.example", 2, "no alternative certificate subject name");
}

TEST(client, an_expired_certificate_is_refused)
{
    NEED_REGISTRY;
    check_certificate_refused("IP:127.0.0.1", -1, "certificate has expired");
}

/* Loopback may be plain HTTP, but not a registry that turned to TLS is taken for one. */
TEST(client, localhost_finds_out_which_scheme_is_spoken)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_registry struct registry *pull = NULL;
    auto_free char *host = NULL;

    NEED_REGISTRY;
    p = start_with_tls();
    host = str_format("localhost:%u", registry_process_port(p));
    trust_authority(host);
    pull = open_at(all, host, "me/app", REGISTRY_PULL);
    check_pulls(pull, "1", 1, 100000);
}

/* Interrupted in the middle, again and again, by somebody between us and the registry. */
TEST(client, a_pull_survives_lost_connections)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_cut_proxy struct cut_proxy *proxy = NULL;
    auto_registry struct registry *push = NULL;
    auto_registry struct registry *pull = NULL;
    struct digest manifest;
    struct digest layer;

    NEED_REGISTRY;
    p = registry_process_start(NULL);
    push = open_repository(all, p, "me/app", REGISTRY_PUSH);
    push_image(push, "1", 1, 20u << 20, &layer, &manifest);
    proxy = cut_proxy_start(registry_process_port(p), 5, 0, 3u << 20);
    pull = open_at(all, cut_proxy_host(proxy), "me/app", REGISTRY_PULL);
    check_pulls(pull, "1", 1, 20u << 20);
    check_int(cut_proxy_cuts(proxy), 5);
}

TEST(client, a_push_survives_lost_connections)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_cut_proxy struct cut_proxy *proxy = NULL;
    auto_registry struct registry *push = NULL;
    auto_registry struct registry *pull = NULL;
    struct digest manifest;
    struct digest layer;

    NEED_REGISTRY;
    p = registry_process_start(NULL);
    proxy = cut_proxy_start(registry_process_port(p), 3, 5u << 20, 0);
    push = open_at(all, cut_proxy_host(proxy), "me/app", REGISTRY_PUSH);
    push_image(push, "1", 1, 30u << 20, &layer, &manifest);
    check_int(cut_proxy_cuts(proxy), 3);
    pull = open_repository(all, p, "me/app", REGISTRY_PULL);
    check_pulls(pull, "1", 1, 30u << 20);
}

/* What a killed pull left behind is not asked for again. */
TEST(client, a_later_run_asks_for_the_rest_alone)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *first = make_registries();
    auto_registries struct registries *second = make_registries();
    auto_cut_proxy struct cut_proxy *proxy = NULL;
    auto_registry struct registry *push = NULL;
    auto_registry struct registry *broken = NULL;
    auto_registry struct registry *again = NULL;
    auto_keeping_sink struct keeping_sink sink;
    auto_hasher struct hasher *prefix = hasher_new();
    struct blob_get get = {.size_bytes = 10u << 20, .sink = &sink.writer};
    auto_str struct str blob = {0};

    NEED_REGISTRY;
    keeping_sink_init(&sink);
    p = registry_process_start(NULL);
    push = open_repository(first, p, "me/app", REGISTRY_PUSH);
    make_blob(9, 10u << 20, &blob);
    put_blob(push, &blob, &get.digest);
    sink.fail_after = 7u << 20;
    broken = open_repository(first, p, "me/app", REGISTRY_PULL);
    check_fails(registry_blob_get(broken, &get, &test_err), ENOSPC);
    check_true(sink.bytes.size > 6u << 20);
    sink.fail_after = 0;
    hasher_update(prefix, sink.bytes.data, sink.bytes.size);
    get.offset = sink.bytes.size;
    get.prefix = prefix;
    proxy = cut_proxy_start(registry_process_port(p), 1, 0, 5u << 20);
    again = open_at(second, cut_proxy_host(proxy), "me/app", REGISTRY_PULL);
    check_ok(registry_blob_get(again, &get, &test_err));
    check_true(memcmp(sink.bytes.data, blob.data, blob.size) == 0);
    check_int(cut_proxy_cuts(proxy), 0); /* five MiB never came over that wire */
}

static void send_elsewhere(struct fake_exchange *x, void *context)
{
    auto_free char *headers =
        str_format("Location: http://%s%s\r\n", (const char *)context, fake_path(x));

    fake_reply(x, 307, headers, NULL, 0);
}

/* A front that redirects everything: reads, session starts and bodies. */
TEST(client, a_redirecting_front_is_followed)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_fake_registry struct fake_registry *front = fake_registry_start();
    auto_registries struct registries *all = make_registries();
    auto_registry struct registry *push = NULL;
    auto_free char *host = NULL;
    struct digest manifest;
    struct digest layer;

    NEED_REGISTRY;
    p = registry_process_start(NULL);
    host = mem_strdup(registry_process_host(p));
    fake_registry_add(front, &(struct fake_rule){.path = "/v2/"});
    fake_registry_add(front, &(struct fake_rule){.serve = send_elsewhere, .context = host});
    push = open_at(all, fake_registry_host(front), "me/app", REGISTRY_PUSH);
    push_image(push, "1", 1, 5u << 20, &layer, &manifest);
    check_pulls(push, "1", 1, 5u << 20);
}

struct many {
    struct registry *r;
    unsigned seed;
};

static void *push_and_pull(void *arg)
{
    struct many *m = arg;
    auto_keeping_sink struct keeping_sink sink;
    auto_str struct str blob = {0};
    enum blob_put_result result;
    struct memory_source source;
    struct blob_put put = {.source = &source.source, .size_bytes = 1u << 20};
    struct blob_get get = {.sink = &sink.writer, .size_bytes = 1u << 20};
    struct error err;

    keeping_sink_init(&sink);
    make_blob(m->seed, 1u << 20, &blob);
    memory_source_init(&source, blob.data, blob.size);
    digest_of(blob.data, blob.size, &put.digest);
    get.digest = put.digest;
    if (registry_blob_put(m->r, &put, &result, &err) < 0 ||
        registry_blob_get(m->r, &get, &err) < 0 || sink.bytes.size != blob.size)
        return m;
    return NULL;
}

TEST(client, threads_share_a_repository)
{
    const struct registry_process_options options = {.user = "ann", .password = "s3cret"};
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_registries struct registries *fresh = make_registries();
    auto_login_result struct login_result kept = {0};
    auto_registry struct registry *r = NULL;
    pthread_t threads[12];
    struct many jobs[12];

    NEED_REGISTRY;
    p = registry_process_start(&options);
    check_ok(registries_login(all, registry_process_host(p), "ann", "s3cret", &kept, &test_err));
    r = open_repository(fresh, p, "me/app", REGISTRY_PUSH);
    for (unsigned i = 0; i < 12; i++) {
        jobs[i] = (struct many){.r = r, .seed = i / 2}; /* every blob twice */
        pthread_create(&threads[i], NULL, push_and_pull, &jobs[i]);
    }
    for (unsigned i = 0; i < 12; i++) {
        void *failure;

        pthread_join(threads[i], &failure);
        check_true(failure == NULL);
    }
}

/* Another program reads what we wrote. */
TEST(client, skopeo_reads_what_was_pushed)
{
    auto_registry_process struct registry_process *p = NULL;
    auto_registries struct registries *all = make_registries();
    auto_registry struct registry *push = NULL;
    auto_free char *source = NULL;
    auto_free char *target = str_format("dir:%s/copy", test_dir());
    auto_str struct str raw = {0};
    struct digest manifest;
    struct digest layer;
    struct digest read;

    NEED_REGISTRY;
    test_need("skopeo", access("/usr/bin/skopeo", X_OK) == 0, "skopeo is not installed");
    p = registry_process_start(NULL);
    push = open_repository(all, p, "me/app", REGISTRY_PUSH);
    push_image(push, "1", 1, 5u << 20, &layer, &manifest);
    source = str_format("docker://%s/me/app:1", registry_process_host(p));
    run_program(
        (const char *const[]){"skopeo", "inspect", "--raw", "--tls-verify=false", source, NULL},
        &raw);
    digest_of(raw.data, raw.size, &read);
    check_true(digest_equal(&read, &manifest));
    run_program((const char *const[]){"skopeo", "copy", "--src-tls-verify=false", "-q", source,
                                      target, NULL},
                NULL);
}
