/* test_login.c - credentials are proved before they are kept. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "tests/lib/client_scene.h"
#include "tests/lib/test.h"

struct login_scene {
    struct fake_registry *fake;
    struct registries *all;
    char *authfile;
};

static void login_scene_init(struct login_scene *s)
{
    struct registries_options options = {.http = {.attempts_max = 2, .retry_delay_ms = 1},
                                         .config_file = "/dev/null"};

    s->authfile = str_format("%s/auth.json", test_dir());
    options.authfile = s->authfile;
    s->fake = fake_registry_start();
    s->all = registries_new(&options);
}

static void login_scene_release(struct login_scene *s)
{
    registries_free(s->all);
    fake_registry_stop(s->fake);
    free(s->authfile);
}
DEFINE_CLEANUP_VALUE(login_scene_release, struct login_scene)
#define auto_login_scene CLEANUP(login_scene_release)

static int login(struct login_scene *s, const char *user, const char *password, struct error *err)
{
    auto_login_result struct login_result result = {0};

    return registries_login(s->all, fake_registry_host(s->fake), user, password, &result, err);
}

/* Basic: "ann:secret" alone is admitted. */
static void basic_only(struct fake_exchange *x, void *context)
{
    const char *authorization = fake_header(x, "authorization");

    (void)context;
    if (text_equal(authorization, "Basic YW5uOnNlY3JldA=="))
        fake_reply(x, 200, NULL, "{}", 2);
    else
        fake_reply(x, 401, "WWW-Authenticate: Basic realm=\"x\"\r\n", NULL, 0);
}

TEST(login, good_credentials_are_kept)
{
    auto_login_scene struct login_scene s;
    auto_free char *user = NULL;
    struct stat st;

    login_scene_init(&s);
    fake_registry_add(s.fake, &(struct fake_rule){.path = "/v2/", .serve = basic_only});
    check_ok(login(&s, "ann", "secret", &test_err));
    check_ok(stat(s.authfile, &st));
    check_int(st.st_mode & 0777, 0600);
    check_ok(registries_user(s.all, fake_registry_host(s.fake), &user, &test_err));
    check_text(user, "ann");
}

TEST(login, bad_credentials_are_not_kept)
{
    auto_login_scene struct login_scene s;
    auto_free char *sentence = NULL;
    struct error err = {0};

    login_scene_init(&s);
    fake_registry_add(s.fake, &(struct fake_rule){.path = "/v2/", .serve = basic_only});
    check_fails(login(&s, "ann", "wrong", &err), EACCES);
    sentence = str_format("'%s' refuses user and password", fake_registry_host(s.fake));
    check_error(&err, EACCES, sentence);
    check_int(access(s.authfile, F_OK), -1);
}

static void give_token(struct fake_exchange *x, void *context)
{
    const char *authorization = fake_header(x, "authorization");

    if (text_equal(authorization, "Basic YW5uOnNlY3JldA=="))
        fake_reply(x, 200, NULL, context, strlen(context));
    else
        fake_reply(x, 401, NULL, "{\"details\":\"wrong password\"}", 28);
}

static void bearer_only(struct fake_exchange *x, void *context)
{
    auto_free char *challenge =
        str_format("WWW-Authenticate: Bearer realm=\"http://%s/token\",service=\"r\"\r\n",
                   fake_header(x, "host"));

    (void)context;
    if (text_equal(fake_header(x, "authorization"), "Bearer t1"))
        fake_reply(x, 200, NULL, "{}", 2);
    else
        fake_reply(x, 401, challenge, NULL, 0);
}

TEST(login, a_token_service_is_asked)
{
    auto_login_scene struct login_scene s;
    auto_str struct str text = {0};
    struct error err = {0};
    static char token[] = "{\"token\":\"t1\"}";

    login_scene_init(&s);
    fake_registry_add(s.fake, &(struct fake_rule){.path = "/v2/", .serve = bearer_only});
    fake_registry_add(
        s.fake, &(struct fake_rule){.path = "/token*", .serve = give_token, .context = token});
    check_fails(login(&s, "ann", "wrong", &err), EACCES);
    check_contains(err.text, "refuses the credentials of 'ann': wrong password");
    check_ok(login(&s, "ann", "secret", &test_err));
    check_ok(io_read_file(test_dir_fd(), "auth.json", 1000, &text, &test_err));
    check_contains(str_text(&text), "YW5uOnNlY3JldA==");
}

/* A refresh token is worth less to a thief than a password. */
TEST(login, a_refresh_token_is_kept_instead_of_the_password)
{
    auto_login_scene struct login_scene s;
    auto_str struct str text = {0};
    static char token[] = "{\"token\":\"t1\",\"refresh_token\":\"rt1\"}";

    login_scene_init(&s);
    fake_registry_add(s.fake, &(struct fake_rule){.path = "/v2/", .serve = bearer_only});
    fake_registry_add(
        s.fake, &(struct fake_rule){.path = "/token*", .serve = give_token, .context = token});
    check_ok(login(&s, "ann", "secret", &test_err));
    check_ok(io_read_file(test_dir_fd(), "auth.json", 1000, &text, &test_err));
    check_contains(str_text(&text), "\"identitytoken\": \"rt1\"");
    check_lacks(str_text(&text), "YW5uOnNlY3JldA==");
    check_contains(fake_registry_log(s.fake), "offline_token=true");
}

static void keep_line(void *context, const char *line)
{
    str_addf(context, "%s\n", line);
}

TEST(login, a_registry_open_to_all_is_told_of)
{
    auto_login_scene struct login_scene s;
    auto_str struct str said = {0};

    login_scene_init(&s);
    fake_registry_add(s.fake, &(struct fake_rule){.path = "/v2/"});
    log_set_sink(keep_line, &said);
    check_ok(login(&s, "ann", "secret", &test_err));
    log_set_sink(NULL, NULL);
    check_contains(str_text(&said), "asks nobody for a login");
}

TEST(login, what_is_no_registry_is_refused)
{
    auto_login_scene struct login_scene s;
    auto_free char *sentence = NULL;
    struct error err = {0};

    login_scene_init(&s);
    fake_registry_add(s.fake, &(struct fake_rule){.status = 404, .body = "<html>"});
    check_fails(login(&s, "ann", "secret", &err), EREMOTEIO);
    sentence = str_format("'%s' answers a login with status 404: is it a registry?",
                          fake_registry_host(s.fake));
    check_error(&err, EREMOTEIO, sentence);
    check_int(access(s.authfile, F_OK), -1);
}

TEST(login, logging_out_forgets)
{
    auto_login_scene struct login_scene s;
    auto_login_result struct login_result first = {0};
    auto_login_result struct login_result second = {0};
    auto_free char *user = NULL;

    login_scene_init(&s);
    fake_registry_add(s.fake, &(struct fake_rule){.path = "/v2/", .serve = basic_only});
    check_ok(login(&s, "ann", "secret", &test_err));
    check_ok(registries_logout(s.all, fake_registry_host(s.fake), &first, &test_err));
    check_true(first.had_credentials);
    check_text(first.where, s.authfile);
    check_fails(registries_user(s.all, fake_registry_host(s.fake), &user, &test_err), ENOENT);
    check_ok(registries_logout(s.all, fake_registry_host(s.fake), &second, &test_err));
    check_false(second.had_credentials);
}

/* SECURITY R49: the password is in no message and no log line. */
TEST(login, the_password_is_never_shown)
{
    auto_login_scene struct login_scene s;
    auto_str struct str said = {0};
    struct error err = {0};

    login_scene_init(&s);
    log_set_debug(true);
    log_set_sink(keep_line, &said);
    fake_registry_add(s.fake, &(struct fake_rule){.path = "/v2/", .serve = bearer_only});
    fake_registry_add(s.fake, &(struct fake_rule){.path = "/token*", .status = 401});
    check_fails(login(&s, "ann", "hunter2", &err), EACCES);
    log_set_sink(NULL, NULL);
    log_set_debug(false);
    check_true(said.size > 0);
    check_lacks(str_text(&said), "hunter2");
    check_lacks(str_text(&said), "Basic ");
    check_lacks(err.text, "hunter2");
}
