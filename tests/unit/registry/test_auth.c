/* test_auth.c - tokens: for what they are asked, how long they are kept, and who may be told what. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "registry/auth.h"
#include "registry/token.h"
#include "tests/lib/fake_registry.h"
#include "tests/lib/test.h"

/* The clock of this program, which the tests of lives set forward. */
static _Atomic int64_t ahead_s;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long r = syscall(SYS_clock_gettime, clock, now);

    now->tv_sec += (time_t)ahead_s;
    return (int)r;
}

/* Everything one origin needs. The token service is another server on the same address. */
struct scene {
    struct fake_registry *service;
    struct http *http;
    struct credentials *credentials;
    struct auth *auth;
    struct url origin;
    struct strv scopes;
    struct auth_target target;
};

static void scene_init(struct scene *s, const char *config)
{
    const struct http_options options = {.attempts_max = 2, .retry_delay_ms = 1};
    auto_free char *authfile = str_format("%s/auth.json", test_dir());

    *s = (struct scene){0};
    ahead_s = 0;
    if (config)
        check_ok(io_write_file_atomic(test_dir_fd(), "auth.json", config, strlen(config), 0600,
                                      &test_err));
    s->service = fake_registry_start();
    s->http = http_new(&options);
    s->credentials = credentials_new(&(struct credentials_options){.authfile = authfile});
    s->auth = auth_new(s->http, s->credentials);
    check_ok(url_parse("http://127.0.0.1:5000/", &s->origin, &test_err));
    strv_add(&s->scopes, "repository:a/b:pull");
    s->target = (struct auth_target){
        .origin = &s->origin, .host = "127.0.0.1:5000", .repository = "a/b", .scopes = &s->scopes};
}

static void scene_release(struct scene *s)
{
    auth_free(s->auth);
    credentials_free(s->credentials);
    http_free(s->http);
    fake_registry_stop(s->service);
    url_release(&s->origin);
    strv_release(&s->scopes);
}
DEFINE_CLEANUP_VALUE(scene_release, struct scene)
#define auto_scene CLEANUP(scene_release)

/* A 401 with this header; what auth_learn says of it. */
static int learn(struct scene *s, const char *challenge, const char *used, struct error *err)
{
    auto_http_response struct http_response answer = {.status = 401};
    struct http_header *header = array_add(&answer.headers);

    header->name = mem_strdup("www-authenticate");
    header->value = mem_strdup(challenge);
    return auth_learn(s->auth, &s->target, &answer, used, err);
}

static char *bearer(struct scene *s)
{
    return str_format("Bearer realm=\"%s\",service=\"reg\",scope=\"repository:a/b:pull\"",
                      fake_registry_url(s->service, "/token"));
}

static void check_header(struct scene *s, const char *expected)
{
    auto_str struct str header = {0};

    check_ok(auth_header(s->auth, &s->target, &header, &test_err));
    check_text(str_text(&header), expected);
}

static void learn_bearer(struct scene *s)
{
    auto_free char *challenge = bearer(s);

    check_int(learn(s, challenge, "", &test_err), 1);
}

#define ANN "{\"auths\":{\"127.0.0.1:5000\":{\"auth\":\"YW5uOnNlY3JldA==\"}}}"
#define IDENTITY "{\"auths\":{\"127.0.0.1:5000\":{\"identitytoken\":\"idt/+\"}}}"
#define LONG_LIFE "{\"token\":\"t1\",\"expires_in\":300}"

TEST(auth, nobody_is_told_before_asking)
{
    auto_scene struct scene s;

    scene_init(&s, ANN);
    check_header(&s, "");
}

TEST(auth, basic_sends_user_and_password)
{
    auto_scene struct scene s;

    scene_init(&s, ANN);
    check_int(learn(&s, "Basic realm=\"x\"", "", &test_err), 1);
    check_header(&s, "Basic YW5uOnNlY3JldA==");
}

TEST(auth, basic_without_credentials_is_hopeless)
{
    auto_scene struct scene s;

    scene_init(&s, NULL);
    check_int(learn(&s, "Basic realm=\"x\"", "", &test_err), 0);
    check_header(&s, "");
}

TEST(auth, basic_refused_is_final)
{
    auto_scene struct scene s;

    scene_init(&s, ANN);
    check_int(learn(&s, "Basic realm=\"x\"", "Basic YW5uOnNlY3JldA==", &test_err), 0);
}

TEST(auth, an_unknown_scheme_is_named)
{
    auto_scene struct scene s;
    struct error err = {0};

    scene_init(&s, NULL);
    check_fails(learn(&s, "Negotiate", "", &err), EPROTO);
    check_error(&err, EPROTO, "'127.0.0.1:5000' wants a login of a kind we do not know");
}

TEST(auth, a_token_is_got_for_the_scopes_asked_for)
{
    auto_scene struct scene s;

    scene_init(&s, NULL);
    strv_add(&s.scopes, "repository:c/d:pull");
    fake_registry_add(s.service, &(struct fake_rule){.body = LONG_LIFE});
    learn_bearer(&s);
    check_header(&s, "Bearer t1");
    check_text(fake_registry_log(s.service),
               "GET /token?service=reg&scope=repository%3Aa%2Fb%3Apull&scope=repository%3Ac%2Fd%3A"
               "pull\n");
}

/* SECURITY R44: what the challenge would have us ask for is not asked for. */
TEST(auth, the_scope_of_the_challenge_is_not_obeyed)
{
    auto_scene struct scene s;
    auto_free char *challenge = NULL;

    scene_init(&s, ANN);
    challenge = str_format("Bearer realm=\"%s\",scope=\"repository:victim/private:pull,push\"",
                           fake_registry_url(s.service, "/token"));
    fake_registry_add(s.service, &(struct fake_rule){.body = LONG_LIFE});
    check_int(learn(&s, challenge, "", &test_err), 1);
    check_header(&s, "Bearer t1");
    check_lacks(fake_registry_log(s.service), "victim");
}

TEST(auth, a_password_goes_to_the_service_by_get)
{
    auto_scene struct scene s;

    scene_init(&s, ANN);
    fake_registry_add(s.service, &(struct fake_rule){.body = "{\"access_token\":\"t2\"}"});
    learn_bearer(&s);
    check_header(&s, "Bearer t2");
    check_text(fake_registry_log(s.service),
               "GET /token?service=reg&scope=repository%3Aa%2Fb%3Apull&account=ann auth=Basic "
               "YW5uOnNlY3JldA==\n");
}

static void keep_form(struct fake_exchange *x, void *context)
{
    str_add_bytes(context, fake_body(x)->data, fake_body(x)->size);
    fake_reply(x, 200, NULL, LONG_LIFE, strlen(LONG_LIFE));
}

/* Docker "OAuth2": identity tokens go by POST. */
TEST(auth, an_identity_token_goes_to_the_service_by_post)
{
    auto_scene struct scene s;
    auto_str struct str form = {0};

    scene_init(&s, IDENTITY);
    fake_registry_add(s.service,
                      &(struct fake_rule){.method = "POST", .serve = keep_form, .context = &form});
    learn_bearer(&s);
    check_header(&s, "Bearer t1");
    check_text(str_text(&form), "grant_type=refresh_token&service=reg&client_id=img&scope="
                                "repository%3Aa%2Fb%3Apull&refresh_token=idt%2F%2B");
    check_text(fake_registry_log(s.service), "POST /token\n");
}

TEST(auth, services_without_the_post_flow_get_a_get)
{
    static const unsigned statuses[] = {404, 405, 401};

    for (size_t i = 0; i < 3; i++) {
        auto_scene struct scene s;

        scene_init(&s, IDENTITY);
        fake_registry_add(s.service, &(struct fake_rule){.method = "POST", .status = statuses[i]});
        fake_registry_add(s.service, &(struct fake_rule){.method = "GET", .body = LONG_LIFE});
        learn_bearer(&s);
        check_header(&s, "Bearer t1");
    }
}

TEST(auth, services_without_the_get_flow_get_a_post)
{
    auto_scene struct scene s;
    auto_str struct str form = {0};

    scene_init(&s, ANN);
    fake_registry_add(s.service, &(struct fake_rule){.method = "GET", .status = 405});
    fake_registry_add(s.service,
                      &(struct fake_rule){.method = "POST", .serve = keep_form, .context = &form});
    learn_bearer(&s);
    check_header(&s, "Bearer t1");
    check_contains(str_text(&form), "grant_type=password");
    check_contains(str_text(&form), "username=ann&password=secret");
}

TEST(auth, a_registry_token_is_sent_as_it_is)
{
    auto_scene struct scene s;

    scene_init(&s, "{\"auths\":{\"127.0.0.1:5000\":{\"registrytoken\":\"rt\"}}}");
    learn_bearer(&s);
    check_header(&s, "Bearer rt");
    check_text(fake_registry_log(s.service), "");
}

TEST(auth, a_token_is_kept)
{
    auto_scene struct scene s;

    scene_init(&s, NULL);
    fake_registry_add(s.service, &(struct fake_rule){.body = LONG_LIFE});
    learn_bearer(&s);
    for (int i = 0; i < 3; i++)
        check_header(&s, "Bearer t1");
    check_int(fake_registry_count(s.service, "GET", "/token"), 1);
}

/* The token server specification, "expires_in": 60 seconds when it does not say. One that is about to end
 * is renewed before a request is refused for it. */
TEST(auth, a_token_is_renewed_when_nine_tenths_of_its_life_are_over)
{
    static const struct {
        const char *body;
        int64_t fresh_s, stale_s;
    } lives[] = {
        {"{\"token\":\"t1\",\"expires_in\":1000}", 895, 901},
        {"{\"token\":\"t1\"}", 50, 55},
        {"{\"token\":\"t1\",\"expires_in\":1}", 50, 55},
    };

    for (size_t i = 0; i < 3; i++) {
        auto_scene struct scene s;

        scene_init(&s, NULL);
        fake_registry_add(s.service, &(struct fake_rule){.body = lives[i].body, .times = 1});
        fake_registry_add(s.service, &(struct fake_rule){.body = "{\"token\":\"t2\"}"});
        learn_bearer(&s);
        check_header(&s, "Bearer t1");
        ahead_s = lives[i].fresh_s;
        check_header(&s, "Bearer t1");
        ahead_s = lives[i].stale_s;
        check_header(&s, "Bearer t2");
    }
    ahead_s = 0;
}

TEST(auth, other_scopes_get_another_token)
{
    auto_scene struct scene s;

    scene_init(&s, NULL);
    fake_registry_add(s.service, &(struct fake_rule){.body = LONG_LIFE, .times = 1});
    fake_registry_add(s.service, &(struct fake_rule){.body = "{\"token\":\"t2\"}"});
    learn_bearer(&s);
    check_header(&s, "Bearer t1");
    strv_add(&s.scopes, "repository:c/d:pull");
    check_header(&s, "Bearer t2");
}

/* A token that was refused is not used again, however long it should have lived. */
TEST(auth, a_refused_token_is_replaced)
{
    auto_scene struct scene s;
    auto_free char *challenge = NULL;

    scene_init(&s, NULL);
    fake_registry_add(s.service, &(struct fake_rule){.body = LONG_LIFE, .times = 1});
    fake_registry_add(s.service, &(struct fake_rule){.body = "{\"token\":\"t2\"}"});
    learn_bearer(&s);
    check_header(&s, "Bearer t1");
    challenge = bearer(&s);
    check_int(learn(&s, challenge, "Bearer t1", &test_err), 1);
    check_header(&s, "Bearer t2");
}

static void *ask_for_header(void *arg)
{
    struct scene *s = arg;
    struct str header = {0};
    struct error err;

    if (auth_header(s->auth, &s->target, &header, &err) == 0 &&
        text_equal(str_text(&header), "Bearer t1"))
        arg = NULL;
    str_release(&header);
    return arg;
}

TEST(auth, threads_fetch_a_token_once)
{
    auto_scene struct scene s;
    pthread_t threads[6];

    scene_init(&s, NULL);
    fake_registry_add(s.service, &(struct fake_rule){.body = LONG_LIFE, .delay_ms = 50});
    learn_bearer(&s);
    for (size_t i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, ask_for_header, &s);
    for (size_t i = 0; i < 6; i++) {
        void *failure;

        pthread_join(threads[i], &failure);
        check_true(failure == NULL);
    }
    check_int(fake_registry_count(s.service, "GET", "/token"), 1);
}

static void check_refusal(const char *config, const struct fake_rule *rule, int code,
                          const char *sentence)
{
    auto_scene struct scene s;
    auto_str struct str header = {0};
    struct error err = {0};

    scene_init(&s, config);
    fake_registry_add(s.service, rule);
    learn_bearer(&s);
    check_fails(auth_header(s.auth, &s.target, &header, &err), code);
    check_error(&err, code, sentence);
}

TEST(auth, a_refusing_service_is_quoted)
{
    check_refusal(ANN, &(struct fake_rule){.status = 401, .body = "{\"details\":\"bad password\"}"},
                  EACCES,
                  "the token service of '127.0.0.1:5000' refuses the credentials of 'ann': bad "
                  "password");
    check_refusal(
        NULL,
        &(struct fake_rule){.status = 403,
                            .body = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"}]}"},
        EACCES, "the token service of '127.0.0.1:5000' gives no access: no");
    check_refusal(NULL, &(struct fake_rule){.status = 500, .body = "x"}, EPROTO,
                  "the token service of '127.0.0.1:5000' answers with status 500");
}

TEST(auth, nonsense_from_a_service_is_refused)
{
    static const char *const bodies[] = {"{}", "{\"token\":\"\"}", "{\"token\":7}",
                                         "{\"token\":\"a\\r\\nX-Evil: 1\"}", "{\"token\":\"a b\"}"};

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        check_refusal(NULL, &(struct fake_rule){.body = bodies[i]}, EPROTO,
                      "the token service of '127.0.0.1:5000' answers without a usable token");
    check_refusal(NULL, &(struct fake_rule){.body = "<html>"}, EPROTO,
                  "the token service of '127.0.0.1:5000' answers something that is not JSON");
}

/* R44: token requests follow no redirect. */
TEST(auth, a_service_may_not_redirect)
{
    check_refusal(ANN, &(struct fake_rule){.status = 307, .headers = "Location: /other\r\n"},
                  EPROTO, "the token service of '127.0.0.1:5000' answers with status 307");
}

static void check_realm(const char *origin_text, const char *realm, int result, bool may_know_us)
{
    auto_url struct url origin = {0};
    auto_url struct url url = {0};
    struct error err = {0};
    bool known = false;
    int r;

    check_ok(url_parse(origin_text, &origin, &test_err));
    r = token_check_realm(&origin, realm, &url, &known, &err);
    if (r != result)
        check_fail("realm '%s' of '%s' gives %d: %s", realm, origin_text, r, err.text);
    if (r == 0 && known != may_know_us)
        check_fail("realm '%s' of '%s' %s be told who we are", realm, origin_text,
                   known ? "would" : "would not");
}

/* R44: CVE-2026-48978, CVE-2026-24845, CVE-2026-33540, CVE-2026-33990. */
TEST(auth, realms_are_asked_only_where_they_belong)
{
    check_realm("https://registry-1.docker.io/", "https://auth.docker.io/token", 0, true);
    check_realm("https://ghcr.io/", "https://ghcr.io/token", 0, true);
    check_realm("https://registry.gitlab.com/", "https://gitlab.com/jwt/auth", 0, true);
    check_realm("https://h.io/", "https://evil.io/token", 0, false);
    check_realm("https://a.azurecr.io/", "https://b.azurecr.io/token", 0, false);
    check_realm("https://h.io/", "http://h.io/token", -EACCES, false);
    check_realm("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token", 0, true);
    check_realm("http://r.lan:5000/", "http://other.lan/token", -EACCES, false);
    check_realm("https://h.io/", "https://127.0.0.1/token", -EACCES, false);
    check_realm("https://h.io/", "https://localhost/token", -EACCES, false);
    check_realm("https://h.io/", "https://169.254.169.254/latest", -EACCES, false);
    check_realm("https://h.io/", "https://[::ffff:169.254.169.254]/latest", -EACCES, false);
    check_realm("https://h.io/", "https://0x7f000001/token", -EACCES, false);
    check_realm("https://h.io/", "https://[fe80::1]/token", -EACCES, false);
    check_realm("https://h.io/", "https://user:pass@h.io/token", -EINVAL, false);
    check_realm("https://h.io/", "file:///etc/passwd", -EINVAL, false);
    check_realm("https://h.io/", "token", -EINVAL, false);
    check_realm("https://h.io/", "", -EINVAL, false);
}

/* R43: a hostile registry's service hears nothing, for it is not even asked. */
TEST(auth, a_forbidden_service_is_never_asked)
{
    auto_scene struct scene s;
    auto_free char *challenge = NULL;
    auto_url struct url remote = {0};
    struct error err = {0};

    scene_init(&s, ANN);
    check_ok(url_parse("https://h.io/", &remote, &test_err));
    s.target.origin = &remote;
    challenge = bearer(&s);
    check_fails(learn(&s, challenge, "", &err), EACCES);
    check_text(fake_registry_log(s.service), "");
}
