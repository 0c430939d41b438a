/* test_fetch.c - manifests, tags and referrers of a registry that may say anything. */
#include <errno.h>
#include <string.h>

#include "fs/base/limits.h"
#include "fs/base/log.h"
#include "tests/lib/client_scene.h"
#include "tests/lib/test.h"

#define D1_HEX "1111111111111111111111111111111111111111111111111111111111111111"
#define D1 "sha256:" D1_HEX
#define IMAGE                                                                                      \
    "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST                                     \
    "\",\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":\"" D1                       \
    "\",\"size\":7},\"layers\":[]}"
#define TYPE "Content-Type: " MEDIA_OCI_MANIFEST "\r\n"

static void digest_text(const char *bytes, char text[DIGEST_TEXT_SIZE])
{
    struct digest digest;

    digest_of(bytes, strlen(bytes), &digest);
    digest_format(&digest, text);
}

/* "HOST" stands for the registry's address in `sentence_start`. */
static void check_get_refused(const char *name, const struct fake_rule *rule, int code,
                              const char *sentence_start)
{
    auto_client_scene struct client_scene s;
    auto_document struct document document = {0};
    const char *host = strstr(sentence_start, "HOST");
    auto_free char *expected = NULL;
    struct error err = {0};

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    fake_registry_add(s.fake, rule);
    check_fails(registry_manifest_get(s.r, name, &document, &err), code);
    expected = str_format("%.*s%s%s", (int)(host - sentence_start), sentence_start,
                          fake_registry_host(s.fake), host + strlen("HOST"));
    if (!text_starts(err.text, expected))
        check_fail("'%s' does not start with '%s'", err.text, expected);
}

TEST(fetch, a_manifest_is_asked_for_in_every_format)
{
    auto_client_scene struct client_scene s;
    auto_document struct document document = {0};
    char digest[DIGEST_TEXT_SIZE];
    char text[DIGEST_TEXT_SIZE];

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    fake_registry_add(s.fake, &(struct fake_rule){.method = "GET",
                                                  .path = "/v2/a/b/manifests/1",
                                                  .headers = TYPE,
                                                  .body = IMAGE});
    check_ok(registry_manifest_get(s.r, "1", &document, &test_err));
    check_text(str_text(&document.bytes), IMAGE);
    check_text(document.media_type, MEDIA_OCI_MANIFEST);
    digest_text(IMAGE, digest);
    digest_format(&document.digest, text);
    check_text(text, digest);
}

TEST(fetch, a_head_says_what_a_tag_points_at)
{
    auto_client_scene struct client_scene s;
    auto_descriptor struct descriptor found = {0};
    char text[DIGEST_TEXT_SIZE];

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    fake_registry_add(s.fake, &(struct fake_rule){.method = "HEAD",
                                                  .headers = TYPE "Docker-Content-Digest: " D1
                                                                  "\r\nContent-Length: 123\r\n"});
    check_ok(registry_manifest_head(s.r, "1", &found, &test_err));
    digest_format(&found.digest, text);
    check_text(text, D1);
    check_int(found.size_bytes, 123);
    check_text(found.media_type, MEDIA_OCI_MANIFEST);
    check_text(client_scene_log(&s), "HEAD /v2/a/b/manifests/1\n");
}

/* HEAD is optional in words and deeds: then GET answers. */
TEST(fetch, a_head_that_says_too_little_becomes_a_get)
{
    static const struct fake_rule heads[] = {
        {.method = "HEAD", .status = 405},
        {.method = "HEAD", .headers = TYPE},
        {.method = "HEAD", .headers = TYPE "Docker-Content-Digest: nonsense\r\n"},
        {.method = "HEAD", .headers = "Docker-Content-Digest: " D1 "\r\nContent-Length: 7\r\n"},
    };

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        auto_client_scene struct client_scene s;
        auto_descriptor struct descriptor found = {0};
        char text[DIGEST_TEXT_SIZE];
        char digest[DIGEST_TEXT_SIZE];

        client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
        fake_registry_add(s.fake, &heads[i]);
        fake_registry_add(s.fake,
                          &(struct fake_rule){.method = "GET", .headers = TYPE, .body = IMAGE});
        check_ok(registry_manifest_head(s.r, "1", &found, &test_err));
        digest_format(&found.digest, text);
        digest_text(IMAGE, digest);
        check_text(text, digest);
        check_int(found.size_bytes, strlen(IMAGE));
    }
}

TEST(fetch, a_missing_tag_is_named)
{
    static const struct fake_rule rule = {
        .status = 404,
        .body = "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}"};

    check_get_refused("nope", &rule, ENOENT,
                      "'HOST' has no manifest 'nope' in 'a/b': MANIFEST_UNKNOWN: manifest unknown");
}

/* SECURITY R33, R34: lies about digests, schema 1, documents of two kinds. */
TEST(fetch, other_documents_than_asked_for_are_refused)
{
    static const struct fake_rule image = {.headers = TYPE, .body = IMAGE};
    static const struct fake_rule claims = {.headers = TYPE "Docker-Content-Digest: " D1 "\r\n",
                                            .body = IMAGE};
    static const struct fake_rule schema1 = {
        .headers = "Content-Type: application/vnd.docker.distribution.manifest.v1+prettyjws\r\n",
        .body = "{\"schemaVersion\":1,\"fsLayers\":[]}"};
    static const struct fake_rule both = {
        .headers = "Content-Type: " MEDIA_OCI_INDEX "\r\n",
        .body = "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}"};
    static const struct fake_rule html = {.headers = "Content-Type: text/html\r\n",
                                          .body = "<html>Sign in</html>"};

    check_get_refused(D1, &image, EBADMSG, "'HOST' sent a manifest with digest sha256:");
    check_get_refused("1", &claims, EBADMSG, "'HOST' sent a manifest with digest sha256:");
    check_get_refused("1", &schema1, ENOTSUP,
                      "'HOST/a/b': manifest '1': it is in the Docker schema 1");
    check_get_refused("1", &both, EINVAL,
                      "'HOST/a/b': manifest '1': it is an index and a manifest at once");
    check_get_refused("1", &html, EINVAL, "'HOST/a/b': manifest '1'");
}

TEST(fetch, a_manifest_has_a_largest_size)
{
    static const struct fake_rule rule = {.endless_body = true};

    check_get_refused("1", &rule, EFBIG, "manifest '1': 'HOST' sent more than 4194304 bytes");
}

TEST(fetch, a_login_is_asked_for)
{
    auto_client_scene struct client_scene s;
    auto_document struct document document = {0};
    auto_free char *sentence = NULL;
    auto_free char *hint = NULL;
    struct error err = {0};

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    fake_registry_add(s.fake,
                      &(struct fake_rule){.status = 401, .headers = "WWW-Authenticate: Basic\r\n"});
    check_fails(registry_manifest_get(s.r, "1", &document, &err), EACCES);
    sentence = str_format("'%s' wants a login for 'a/b', or there is no such repository",
                          fake_registry_host(s.fake));
    check_error(&err, EACCES, sentence);
    hint = str_format("img login %s", fake_registry_host(s.fake));
    check_hint(&err, hint);
}

TEST(fetch, a_rate_limit_is_explained)
{
    static const struct fake_rule rule = {.status = 429,
                                          .headers = "Retry-After: 3600\r\n",
                                          .body = "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\"}]}"};

    check_get_refused("1", &rule, EBUSY,
                      "'HOST' answers no more requests for 3600 seconds: TOOMANYREQUESTS");
}

/* What goes wrong with TLS is what the user has to know, and not the 400 of a server that wants TLS. */
TEST(fetch, who_says_that_he_wants_https_is_not_asked_in_clear_text)
{
    auto_client_scene struct client_scene s;
    struct fake_registry *fake = fake_registry_start();
    auto_document struct document document = {0};
    struct error err = {0};

    client_scene_init_with(&s, fake_registry_host(fake), REGISTRY_PULL, NULL, NULL);
    s.fake = fake;
    fake_registry_add(
        fake, &(struct fake_rule){.status = 400,
                                  .body = "Client sent an HTTP request to an HTTPS server.\n"});
    /* This one does not answer a handshake, and that is what is told. */
    check_fails(registry_manifest_get(s.r, "1", &document, &err), ETIMEDOUT);
}

/* draft-ietf-httpapi-ratelimit-headers, as Docker Hub sends them. */
TEST(fetch, a_rate_limit_shows_its_numbers)
{
    static const struct fake_rule rule = {.status = 429,
                                          .headers = "RateLimit-Limit: 100;w=21600\r\n"
                                                     "RateLimit-Remaining: 0;w=21600\r\n"
                                                     "RateLimit-Reset: 5400\r\n"};

    check_get_refused("1", &rule, EBUSY,
                      "'HOST' answers no more requests for 5400 seconds; its limit is 100 requests "
                      "in 6 hours, 0 are left");
}

/* RFC 9110 10.2.3: 503 has it too; what nobody waits for is told. */
TEST(fetch, a_registry_that_is_down_for_long_says_how_long)
{
    static const struct fake_rule rule = {
        .status = 503, .headers = "Retry-After: 7200\r\n", .body = "moving house\n"};

    check_get_refused(
        "1", &rule, EREMOTEIO,
        "'HOST' answers with status 503 to manifest '1' of 'a/b' and asks to come again "
        "in 7200 seconds: moving house");
}

TEST(fetch, a_refusal_in_plain_words_is_shown_and_a_page_is_not)
{
    static const struct fake_rule words = {.status = 418,
                                           .body = "closed until \033[1mnoon\r\nsorry"};
    static const struct fake_rule page = {.status = 418, .body = "<html>closed</html>"};

    check_get_refused("1", &words, EREMOTEIO,
                      "'HOST' answers with status 418 to manifest '1' of 'a/b': closed until "
                      "\\x1b[1mnoon");
    check_get_refused("1", &page, EREMOTEIO,
                      "'HOST' answers with status 418 to manifest '1' of 'a/b'");
}

TEST(fetch, a_refusal_shows_its_detail)
{
    static const struct fake_rule text = {
        .status = 403,
        .body =
            "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\",\"detail\":\"ask \\u001b[1m\"}]}"};
    static const struct fake_rule object = {
        .status = 404,
        .body = "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"detail\":{\"Tag\":\"1\"}}]}"};

    check_get_refused("1", &text, EACCES,
                      "'HOST' denies access to 'a/b': DENIED: no (ask \\x1b[1m)");
    check_get_refused("1", &object, ENOENT,
                      "'HOST' has no manifest '1' in 'a/b': MANIFEST_UNKNOWN ({\"Tag\":\"1\"})");
}

TEST(fetch, control_bytes_in_a_refusal_are_shown_as_text)
{
    static const struct fake_rule rule = {
        .status = 403,
        .body = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"\\u001b[31mred\\n\"}]}"};

    check_get_refused("1", &rule, EACCES, "'HOST' denies access to 'a/b': DENIED: \\x1b[31mred\\n");
}

static void keep_put(struct fake_exchange *x, void *context)
{
    str_addf(context, "%s %s\n", fake_header(x, "content-type"), str_text(fake_body(x)));
    fake_reply(x, 201, NULL, NULL, 0);
}

TEST(fetch, a_manifest_is_put_as_it_is)
{
    auto_client_scene struct client_scene s;
    auto_str struct str got = {0};

    client_scene_init(&s, REGISTRY_PUSH, NULL, NULL);
    fake_registry_add(s.fake, &(struct fake_rule){.method = "PUT",
                                                  .path = "/v2/a/b/manifests/1",
                                                  .serve = keep_put,
                                                  .context = &got});
    check_ok(registry_manifest_put(s.r, "1", MEDIA_OCI_MANIFEST, IMAGE, strlen(IMAGE), &test_err));
    check_text(str_text(&got), MEDIA_OCI_MANIFEST " " IMAGE "\n");
}

/* -- sha512 -- */

static void name_512(const char *bytes, char text[DIGEST_TEXT_SIZE])
{
    struct digest digest;

    digest_of_as(DIGEST_SHA512, bytes, strlen(bytes), &digest);
    digest_format(&digest, text);
}

/* distribution-spec, "Pulling manifests": the header may name what a tag stands for in any algorithm,
 * and is believed as far as it is right. */
TEST(fetch, a_tag_is_called_what_its_registry_calls_it)
{
    auto_client_scene struct client_scene s;
    auto_document struct document document = {0};
    auto_document struct document other = {0};
    auto_free char *right = NULL;
    char name[DIGEST_TEXT_SIZE];
    char text[DIGEST_TEXT_SIZE];

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    name_512(IMAGE, name);
    right = str_format(TYPE "Docker-Content-Digest: %s\r\n", name);
    fake_registry_add(s.fake, &(struct fake_rule){.path = "*/1", .headers = right, .body = IMAGE});
    fake_registry_add(s.fake,
                      &(struct fake_rule){.path = "*/manifests/sha512:*",
                                          .headers = TYPE "Docker-Content-Digest: " D1 "\r\n",
                                          .body = IMAGE});
    check_ok(registry_manifest_get(s.r, "1", &document, &test_err));
    digest_format(&document.digest, text);
    check_text(text, name);
    /* Asked for by a sha512 and called a sha256 that it is not. */
    check_fails(registry_manifest_get(s.r, name, &other, &test_err), EBADMSG);
}

TEST(fetch, what_is_asked_for_by_sha512_is_compared_with_it)
{
    static const struct fake_rule image = {.headers = TYPE, .body = IMAGE};
    auto_client_scene struct client_scene s;
    auto_document struct document document = {0};
    auto_free char *sentence = NULL;
    char name[DIGEST_TEXT_SIZE];
    char other[DIGEST_TEXT_SIZE];

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    fake_registry_add(s.fake, &image);
    name_512(IMAGE, name);
    name_512("another", other);
    check_ok(registry_manifest_get(s.r, name, &document, &test_err));
    sentence = str_format("'HOST' sent a manifest with digest %s for %s", name, other);
    check_get_refused(other, &image, EBADMSG, sentence);
}

static void put_512(struct client_scene *s, struct document *d, char name[DIGEST_TEXT_SIZE])
{
    name_512(IMAGE, name);
    *d = (struct document){.media_type = mem_strdup(MEDIA_OCI_MANIFEST)};
    str_add(&d->bytes, IMAGE);
    check_ok(digest_parse(name, &d->digest, &test_err));
    check_ok(registry_document_put(s->r, "1", d, &test_err));
}

/* distribution-spec, "Pushing Manifests", with tags given to a digest: OCI-Tag says that they were. */
TEST(fetch, a_manifest_of_sha512_is_put_by_digest_with_its_tag)
{
    auto_client_scene struct client_scene s;
    auto_document struct document d = {0};
    auto_free char *log = NULL;
    char name[DIGEST_TEXT_SIZE];
    char text[DIGEST_TEXT_SIZE];

    client_scene_init(&s, REGISTRY_PUSH, NULL, NULL);
    fake_registry_add(
        s.fake, &(struct fake_rule){.method = "PUT", .status = 201, .headers = "OCI-Tag: 1\r\n"});
    put_512(&s, &d, name);
    digest_format(&d.digest, text);
    check_text(text, name);
    log = str_format("PUT /v2/a/b/manifests/%s?tag=1\n", name);
    check_text(client_scene_log(&s), log);
}

TEST(fetch, a_registry_that_gives_no_tags_so_gets_the_tag_apart)
{
    auto_client_scene struct client_scene s;
    auto_document struct document d = {0};
    auto_free char *log = NULL;
    char name[DIGEST_TEXT_SIZE];
    char text[DIGEST_TEXT_SIZE];

    client_scene_init(&s, REGISTRY_PUSH, NULL, NULL);
    fake_registry_add(s.fake, &(struct fake_rule){.method = "PUT", .status = 201});
    put_512(&s, &d, name);
    digest_format(&d.digest, text);
    check_text(text, name);
    log = str_format("PUT /v2/a/b/manifests/%s?tag=1\nPUT /v2/a/b/manifests/1\n", name);
    check_text(client_scene_log(&s), log);
}

/* As docker-registry 2 answers. The digest told is the one that can be pulled. */
TEST(fetch, a_registry_without_sha512_makes_it_a_sha256)
{
    auto_client_scene struct client_scene s;
    auto_document struct document d = {0};
    char name[DIGEST_TEXT_SIZE];
    char digest[DIGEST_TEXT_SIZE];
    char text[DIGEST_TEXT_SIZE];

    client_scene_init(&s, REGISTRY_PUSH, NULL, NULL);
    fake_registry_add(s.fake, &(struct fake_rule){.path = "*/sha512:*", .status = 400});
    fake_registry_add(s.fake, &(struct fake_rule){.method = "PUT", .path = "*/1", .status = 201});
    put_512(&s, &d, name);
    digest_text(IMAGE, digest);
    digest_format(&d.digest, text);
    check_text(text, digest);
}

TEST(fetch, a_refusal_for_another_reason_is_final)
{
    auto_client_scene struct client_scene s;
    auto_document struct document d = {.media_type = mem_strdup(MEDIA_OCI_MANIFEST)};
    char name[DIGEST_TEXT_SIZE];

    client_scene_init(&s, REGISTRY_PUSH, NULL, NULL);
    fake_registry_add(s.fake, &(struct fake_rule){.path = "*/sha512:*", .status = 403});
    fake_registry_add(s.fake, &(struct fake_rule){.method = "PUT", .path = "*/1", .status = 201});
    name_512(IMAGE, name);
    str_add(&d.bytes, IMAGE);
    check_ok(digest_parse(name, &d.digest, &test_err));
    check_fails(registry_document_put(s.r, "1", &d, &test_err), EACCES);
    check_int(fake_registry_count(s.fake, "PUT", "/v2/a/b/manifests/1"), 0);
}

TEST(fetch, a_manifest_stored_as_another_is_found_out)
{
    auto_client_scene struct client_scene s;

    client_scene_init(&s, REGISTRY_PUSH, NULL, NULL);
    fake_registry_add(s.fake, &(struct fake_rule){.method = "PUT",
                                                  .status = 201,
                                                  .headers = "Docker-Content-Digest: " D1 "\r\n"});
    check_fails(
        registry_manifest_put(s.r, "1", MEDIA_OCI_MANIFEST, IMAGE, strlen(IMAGE), &test_err),
        EBADMSG);
}

TEST(fetch, a_registry_without_deletion_says_so)
{
    auto_client_scene struct client_scene s;

    client_scene_init(&s, REGISTRY_PUSH, NULL, NULL);
    fake_registry_add(s.fake,
                      &(struct fake_rule){.method = "DELETE", .path = "*/1", .status = 405});
    fake_registry_add(s.fake,
                      &(struct fake_rule){.method = "DELETE", .path = "*/2", .status = 202});
    check_fails(registry_manifest_delete(s.r, "1", &test_err), ENOTSUP);
    check_ok(registry_manifest_delete(s.r, "2", &test_err));
}

/* RFC 8288; distribution-spec, "Listing Tags" */
TEST(fetch, tags_come_in_pages)
{
    auto_client_scene struct client_scene s;
    auto_strv struct strv tags = {0};
    auto_free char *all = NULL;

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    fake_registry_add(
        s.fake, &(struct fake_rule){.path = "/v2/a/b/tags/list[?]n=1000",
                                    .headers = "Link: </v2/a/b/tags/list?last=b>; rel=\"next\"\r\n",
                                    .body = "{\"name\":\"a/b\",\"tags\":[\"a\",\"b\"]}"});
    fake_registry_add(s.fake, &(struct fake_rule){.path = "/v2/a/b/tags/list[?]last=b",
                                                  .body = "{\"tags\":[\"c\"]}"});
    check_ok(registry_tags(s.r, &tags, &test_err));
    all = strv_join(&tags, " ");
    check_text(all, "a b c");
}

TEST(fetch, a_list_of_tags_stays_on_its_host_and_ends)
{
    auto_client_scene struct client_scene s;
    auto_strv struct strv tags = {0};

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    fake_registry_add(s.fake, &(struct fake_rule){.times = 1,
                                                  .headers = "Link: <https://evil.io/x>; "
                                                             "rel=\"next\"\r\n",
                                                  .body = "{\"tags\":[\"a\"]}"});
    fake_registry_add(s.fake, &(struct fake_rule){.headers = "Link: </again>; rel=\"next\"\r\n",
                                                  .body = "{\"tags\":[]}"});
    check_fails(registry_tags(s.r, &tags, &test_err), EPROTO);
    check_int(tags.count, 0);
    check_ok(registry_tags(s.r, &tags, &test_err));
    check_int(tags.count, 0);
}

TEST(fetch, what_is_no_tag_is_refused)
{
    auto_client_scene struct client_scene s;
    auto_strv struct strv tags = {0};

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    fake_registry_add(s.fake, &(struct fake_rule){.body = "{\"tags\":[\"../x\"]}"});
    check_fails(registry_tags(s.r, &tags, &test_err), EINVAL);
}

static void keep_line(void *context, const char *line)
{
    str_addf(context, "%s\n", line);
}

/* distribution-spec, "Warnings" */
TEST(fetch, warnings_are_shown_once)
{
    auto_client_scene struct client_scene s;
    auto_str struct str said = {0};
    const char *first;

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    fake_registry_add(
        s.fake, &(struct fake_rule){.headers = TYPE "Warning: 299 - \"this is deprecated\"\r\n",
                                    .body = IMAGE});
    log_set_sink(keep_line, &said);
    for (int i = 0; i < 3; i++) {
        auto_document struct document document = {0};

        check_ok(registry_manifest_get(s.r, "1", &document, &test_err));
    }
    log_set_sink(NULL, NULL);
    first = strstr(str_text(&said), "says: this is deprecated");
    check_true(first != NULL);
    check_lacks(first + 1, "says: this is deprecated");
}

#define SUBJECT_HEX "2222222222222222222222222222222222222222222222222222222222222222"
#define ARTIFACT                                                                                   \
    "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST                                     \
    "\",\"artifactType\":\"a/sbom\",\"config\":{\"mediaType\":\"" MEDIA_OCI_EMPTY                  \
    "\",\"digest\":\"" D1                                                                          \
    "\",\"size\":2},\"layers\":[],\"subject\":{\"mediaType\":\"" MEDIA_OCI_MANIFEST                \
    "\",\"digest\":\"sha256:" SUBJECT_HEX "\",\"size\":5},\"annotations\":{\"k\":\"v\"}}"
#define LISTED(type)                                                                               \
    "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"" D1                                   \
    "\",\"size\":5,\"artifactType\":\"" type "\"}"
#define LIST(entries)                                                                              \
    "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":[" entries "]}"

/* distribution-spec, "Listing Referrers": registries need not filter. */
TEST(referrers, the_api_is_asked_and_filtered)
{
    auto_client_scene struct client_scene s;
    auto_manifest struct manifest index = {0};
    struct digest subject;

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    check_ok(digest_parse("sha256:" SUBJECT_HEX, &subject, &test_err));
    fake_registry_add(s.fake,
                      &(struct fake_rule){.path = "/v2/a/b/referrers/sha256:" SUBJECT_HEX
                                                  "[?]artifactType=a%2Fsbom",
                                          .body = LIST(LISTED("a/other") "," LISTED("a/sbom"))});
    check_ok(registry_referrers(s.r, &subject, "a/sbom", &index, &test_err));
    check_int(index.manifests.count, 1);
    check_text(index.manifests.items[0].artifact_type, "a/sbom");
}

/* "Listing Referrers": a long list has a Link to the rest, which is not followed to another host. */
TEST(referrers, a_long_list_is_read_to_its_end_and_on_its_host)
{
    auto_client_scene struct client_scene s;
    auto_manifest struct manifest index = {0};
    auto_manifest struct manifest none = {0};
    struct digest subject;
    struct error err = {0};

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    check_ok(digest_parse("sha256:" SUBJECT_HEX, &subject, &test_err));
    fake_registry_add(s.fake,
                      &(struct fake_rule){.path = "/v2/a/b/referrers/sha256:" SUBJECT_HEX,
                                          .times = 1,
                                          .headers = "Link: </v2/a/b/page2>; rel=\"next\"\r\n",
                                          .body = LIST(LISTED("a/one"))});
    fake_registry_add(s.fake,
                      &(struct fake_rule){.path = "/v2/a/b/page2",
                                          .body = LIST(LISTED("a/two") "," LISTED("a/one"))});
    fake_registry_add(
        s.fake, &(struct fake_rule){.path = "/v2/a/b/referrers/sha256:" SUBJECT_HEX,
                                    .headers = "Link: <http://127.0.0.2/v2/>; rel=\"next\"\r\n",
                                    .body = LIST(LISTED("a/one"))});
    check_ok(registry_referrers(s.r, &subject, NULL, &index, &test_err));
    check_int(index.manifests.count, 3);
    check_text(index.manifests.items[1].artifact_type, "a/two");
    check_fails(registry_referrers(s.r, &subject, NULL, &none, &err), EPROTO);
    check_contains(err.text, "continues its list on another host");
}

TEST(referrers, the_fallback_tag_stands_in)
{
    auto_client_scene struct client_scene s;
    auto_manifest struct manifest index = {0};
    auto_manifest struct manifest none = {0};
    struct digest subject;
    struct digest other;

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    check_ok(digest_parse("sha256:" SUBJECT_HEX, &subject, &test_err));
    check_ok(digest_parse(D1, &other, &test_err));
    fake_registry_add(s.fake,
                      &(struct fake_rule){.path = "/v2/a/b/manifests/sha256-" SUBJECT_HEX,
                                          .headers = "Content-Type: " MEDIA_OCI_INDEX "\r\n",
                                          .body = LIST(LISTED("a/sbom"))});
    check_ok(registry_referrers(s.r, &subject, NULL, &index, &test_err));
    check_int(index.manifests.count, 1);
    check_ok(registry_referrers(s.r, &other, NULL, &none, &test_err));
    check_int(none.manifests.count, 0);
}

/* "Pushing Manifests with Subject": OCI-Subject says the registry keeps the list itself. */
TEST(referrers, a_pushed_subject_is_listed_by_the_fallback_tag)
{
    auto_client_scene struct client_scene s;
    auto_str struct str got = {0};
    auto_free char *expected = NULL;
    char digest[DIGEST_TEXT_SIZE];

    client_scene_init(&s, REGISTRY_PUSH, NULL, NULL);
    fake_registry_add(s.fake, &(struct fake_rule){.method = "PUT", .path = "*/1", .status = 201});
    fake_registry_add(s.fake, &(struct fake_rule){.method = "PUT",
                                                  .path = "/v2/a/b/manifests/sha256-" SUBJECT_HEX,
                                                  .serve = keep_put,
                                                  .context = &got});
    check_ok(
        registry_manifest_put(s.r, "1", MEDIA_OCI_MANIFEST, ARTIFACT, strlen(ARTIFACT), &test_err));
    digest_text(ARTIFACT, digest);
    expected =
        str_format(MEDIA_OCI_INDEX " {\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX
                                   "\",\"manifests\":[{\"mediaType\":\"" MEDIA_OCI_MANIFEST
                                   "\",\"digest\":\"%s\",\"size\":%zu,\"artifactType\":\"a/sbom\","
                                   "\"annotations\":{\"k\":\"v\"}}]}\n",
                   digest, strlen(ARTIFACT));
    check_text(str_text(&got), expected);
}

/* "Referrers Tag Schema": the algorithm, and of the digits no more than 64. */
TEST(referrers, a_fallback_tag_of_sha512_has_64_digits)
{
    auto_client_scene struct client_scene s;
    auto_manifest struct manifest index = {0};
    struct digest subject;

    client_scene_init(&s, REGISTRY_PULL, NULL, NULL);
    check_ok(digest_parse("sha512:" SUBJECT_HEX D1_HEX, &subject, &test_err));
    fake_registry_add(s.fake,
                      &(struct fake_rule){.path = "/v2/a/b/manifests/sha512-" SUBJECT_HEX,
                                          .headers = "Content-Type: " MEDIA_OCI_INDEX "\r\n",
                                          .body = LIST(LISTED("a/sbom"))});
    check_ok(registry_referrers(s.r, &subject, NULL, &index, &test_err));
    check_int(index.manifests.count, 1);
    check_text(client_scene_log(&s), "GET /v2/a/b/referrers/sha512:" SUBJECT_HEX D1_HEX
                                     "\nGET /v2/a/b/manifests/sha512-" SUBJECT_HEX "\n");
}

TEST(referrers, a_registry_that_keeps_the_list_is_left_to_it)
{
    auto_client_scene struct client_scene s;

    client_scene_init(&s, REGISTRY_PUSH, NULL, NULL);
    fake_registry_add(s.fake,
                      &(struct fake_rule){.method = "PUT",
                                          .status = 201,
                                          .headers = "OCI-Subject: sha256:" SUBJECT_HEX "\r\n"});
    check_ok(
        registry_manifest_put(s.r, "1", MEDIA_OCI_MANIFEST, ARTIFACT, strlen(ARTIFACT), &test_err));
    check_text(client_scene_log(&s), "PUT /v2/a/b/manifests/1\n");
}

TEST(fetch, a_mirror_for_digests_is_not_asked_for_tags)
{
    auto_fake_registry struct fake_registry *mirror = fake_registry_start();
    struct fake_registry *fake = fake_registry_start();
    auto_client_scene struct client_scene s;
    auto_document struct document by_tag = {0};
    auto_document struct document by_digest = {0};
    auto_free char *conf = NULL;
    char digest[DIGEST_TEXT_SIZE];

    conf = str_format("[[registry]]\nlocation='%s'\n[[registry.mirror]]\nlocation='%s'\n"
                      "pull-from-mirror='digest-only'\n",
                      fake_registry_host(fake), fake_registry_host(mirror));
    client_scene_init_with(&s, fake_registry_host(fake), REGISTRY_PULL, conf, NULL);
    s.fake = fake;
    fake_registry_add(fake, &(struct fake_rule){.headers = TYPE, .body = IMAGE});
    fake_registry_add(mirror, &(struct fake_rule){.headers = TYPE, .body = IMAGE});
    check_ok(registry_manifest_get(s.r, "1", &by_tag, &test_err));
    check_text(fake_registry_log(mirror), "");
    digest_text(IMAGE, digest);
    check_ok(registry_manifest_get(s.r, digest, &by_digest, &test_err));
    check_int(fake_registry_count(mirror, "GET", "/v2/a/b/manifests/"), 1);
}
