/* test_token.c - a real registry that admits by token, and a token service that signs them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "registry/base64.h"
#include "registry/client.h"
#include "tests/lib/blobs.h"
#include "tests/lib/fake_registry.h"
#include "tests/lib/registry_process.h"
#include "tests/lib/test.h"

/* RFC 7515 appendix C */
static void add_base64url(struct str *out, const void *bytes, size_t size)
{
    auto_str struct str text = {0};

    base64_encode(bytes, size, &text);
    for (size_t i = 0; i < text.size && text.data[i] != '='; i++)
        str_add_char(out, text.data[i] == '+' ? '-' : text.data[i] == '/' ? '_' : text.data[i]);
}

static int hex(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static void add_decoded(struct str *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '%' && i + 2 < length) {
            str_add_char(out, (char)(hex(text[i + 1]) << 4 | hex(text[i + 2])));
            i += 2;
        } else {
            str_add_char(out, text[i]);
        }
    }
}

/* One "access" entry from "repository:NAME:pull,push": everybody may pull, ann may push. */
static void add_access(struct str *out, const char *scope, bool may_push)
{
    const char *name = strchr(scope, ':') + 1;
    const char *actions = strrchr(scope, ':') + 1;

    str_addf(out, "%s{\"type\":\"repository\",\"name\":\"%.*s\",\"actions\":[%s%s]}",
             out->size > 0 ? "," : "", (int)(actions - 1 - name), name,
             strstr(actions, "pull") ? "\"pull\"" : "\"none\"",
             may_push && strstr(actions, "push") ? ",\"push\"" : "");
}

static void add_claims(struct str *out, const char *path, bool may_push)
{
    auto_str struct str access = {0};
    time_t now = time(NULL);

    for (const char *at = strstr(path, "scope="); at; at = strstr(at, "scope=")) {
        auto_str struct str scope = {0};

        at += strlen("scope=");
        add_decoded(&scope, at, strcspn(at, "&"));
        add_access(&access, str_text(&scope), may_push);
    }
    str_addf(out,
             "{\"iss\":\"test-issuer\",\"sub\":\"\",\"aud\":\"test-service\",\"exp\":%lld,"
             "\"nbf\":%lld,\"iat\":%lld,\"jti\":\"1\",\"access\":[%s]}",
             (long long)now + 300, (long long)now - 10, (long long)now, str_text(&access));
}

static void add_certificate(struct str *out)
{
    auto_free char *certificate = str_format("%s/token.crt", test_dir());
    auto_str struct str der = {0};

    run_program(
        (const char *const[]){"openssl", "x509", "-in", certificate, "-outform", "DER", NULL},
        &der);
    base64_encode(der.data, der.size, out);
}

static void make_token(const char *path, bool may_push, struct str *token)
{
    auto_free char *key = str_format("%s/token.key", test_dir());
    auto_free char *input = str_format("%s/to-sign", test_dir());
    auto_str struct str certificate = {0};
    auto_str struct str signature = {0};
    auto_str struct str header = {0};
    auto_str struct str claims = {0};

    add_certificate(&certificate);
    str_addf(&header, "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"x5c\":[\"%s\"]}",
             str_text(&certificate));
    add_claims(&claims, path, may_push);
    add_base64url(token, header.data, header.size);
    str_add_char(token, '.');
    add_base64url(token, claims.data, claims.size);
    check_ok(
        io_write_file_atomic(test_dir_fd(), "to-sign", token->data, token->size, 0600, &test_err));
    run_program((const char *const[]){"openssl", "dgst", "-sha256", "-sign", key, input, NULL},
                &signature);
    str_add_char(token, '.');
    add_base64url(token, signature.data, signature.size);
}

#define ANN_HEADER "Basic YW5uOnMzY3JldA==" /* ann:s3cret */

static void serve_token(struct fake_exchange *x, void *context)
{
    const char *authorization = fake_header(x, "authorization");
    auto_str struct str token = {0};
    auto_str struct str body = {0};

    (void)context;
    if (authorization && !text_equal(authorization, ANN_HEADER)) {
        fake_reply(x, 401, NULL, NULL, 0);
        return;
    }
    make_token(fake_path(x), authorization != NULL, &token);
    str_addf(&body, "{\"token\":\"%s\",\"expires_in\":300}", str_text(&token));
    fake_reply(x, 200, NULL, body.data, body.size);
}

struct token_scene {
    struct fake_registry *service;
    struct registry_process *process;
    struct registries *all;
};

static void token_scene_init(struct token_scene *s)
{
    auto_free char *authfile = str_format("%s/auth.json", test_dir());
    struct registries_options options = {
        .http = {.attempts_max = 2, .retry_delay_ms = 10},
        .authfile = authfile,
        .config_file = "/dev/null",
    };
    struct registry_process_options process = {0};

    s->service = fake_registry_start();
    fake_registry_add(s->service, &(struct fake_rule){.path = "/token*", .serve = serve_token});
    process.token_realm = fake_registry_url(s->service, "/token");
    s->process = registry_process_start(&process);
    s->all = registries_new(&options);
}

static void token_scene_release(struct token_scene *s)
{
    registries_free(s->all);
    registry_process_stop(s->process);
    fake_registry_stop(s->service);
}
DEFINE_CLEANUP_VALUE(token_scene_release, struct token_scene)
#define auto_token_scene CLEANUP(token_scene_release)

static struct registry *open_repository(struct token_scene *s, const char *name,
                                        enum registry_use use)
{
    auto_free char *text = str_format("%s/%s", registry_process_host(s->process), name);
    auto_reference struct reference ref = {0};
    struct registry *r;

    check_ok(reference_parse(text, &ref, &test_err));
    check_ok(registry_open(s->all, &ref, use, &r, &test_err));
    return r;
}

static int put_blob(struct registry *r, size_t size, const struct strv *mount_from,
                    enum blob_put_result *result, struct error *err)
{
    auto_str struct str bytes = {0};
    struct memory_source source;
    struct blob_put put = {.size_bytes = size, .source = &source.source, .mount_from = mount_from};

    make_blob(5, size, &bytes);
    digest_of(bytes.data, bytes.size, &put.digest);
    memory_source_init(&source, bytes.data, bytes.size);
    return registry_blob_put(r, &put, result, err);
}

#define NEED_REGISTRY                                                                              \
    test_need("docker-registry", registry_process_available(),                                     \
              "docker-registry, htpasswd and openssl are not all installed")

TEST(token, the_anonymous_may_read_and_not_write)
{
    auto_token_scene struct token_scene s = {0};
    auto_registry struct registry *r = NULL;
    auto_document struct document document = {0};
    auto_free char *hint = NULL;
    enum blob_put_result result;
    struct error err = {0};

    NEED_REGISTRY;
    token_scene_init(&s);
    r = open_repository(&s, "me/app", REGISTRY_PUSH);
    check_fails(registry_manifest_get(r, "1", &document, &test_err), ENOENT);
    check_fails(put_blob(r, 1000, NULL, &result, &err), EACCES);
    hint = str_format("img login %s", registry_process_host(s.process));
    check_hint(&err, hint);
}

TEST(token, one_token_serves_many_calls)
{
    auto_token_scene struct token_scene s = {0};
    auto_login_result struct login_result kept = {0};
    auto_registry struct registry *r = NULL;
    enum blob_put_result result;
    size_t tokens;

    NEED_REGISTRY;
    token_scene_init(&s);
    check_ok(registries_login(s.all, registry_process_host(s.process), "ann", "s3cret", &kept,
                              &test_err));
    tokens = fake_registry_count(s.service, "GET", "/token");
    r = open_repository(&s, "me/app", REGISTRY_PUSH);
    for (size_t i = 1; i <= 5; i++) {
        check_ok(put_blob(r, i * 1000, NULL, &result, &test_err));
        check_int(result, BLOB_UPLOADED);
    }
    check_int(fake_registry_count(s.service, "GET", "/token") - tokens, 1);
}

/* A mount needs to read the other repository: both scopes in one token. */
TEST(token, a_mount_asks_for_two_repositories)
{
    auto_token_scene struct token_scene s = {0};
    auto_login_result struct login_result kept = {0};
    auto_registry struct registry *base = NULL;
    auto_registry struct registry *app = NULL;
    auto_strv struct strv from = {0};
    enum blob_put_result result;

    NEED_REGISTRY;
    token_scene_init(&s);
    check_ok(registries_login(s.all, registry_process_host(s.process), "ann", "s3cret", &kept,
                              &test_err));
    base = open_repository(&s, "base/debian", REGISTRY_PUSH);
    app = open_repository(&s, "me/app", REGISTRY_PUSH);
    check_ok(put_blob(base, 1000, NULL, &result, &test_err));
    strv_add(&from, "base/debian");
    check_ok(put_blob(app, 1000, &from, &result, &test_err));
    check_int(result, BLOB_MOUNTED);
    check_contains(fake_registry_log(s.service),
                   "scope=repository%3Ame%2Fapp%3Apull%2Cpush&scope=repository%3Abase%2Fdebian"
                   "%3Apull");
}

TEST(token, a_wrong_password_is_refused_by_the_service)
{
    auto_token_scene struct token_scene s = {0};
    auto_login_result struct login_result kept = {0};
    struct error err = {0};

    NEED_REGISTRY;
    token_scene_init(&s);
    check_fails(
        registries_login(s.all, registry_process_host(s.process), "ann", "wrong", &kept, &err),
        EACCES);
    check_contains(err.text, "refuses the credentials of 'ann'");
}
