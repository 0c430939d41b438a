/* test_credentials.c - who we are to which host: files, their order, helpers, and writing back. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "registry/credentials.h"
#include "tests/lib/test.h"

/* base64 of "ann:secret" and "bob:other", by base64(1) */
#define ANN "YW5uOnNlY3JldA=="
#define BOB "Ym9iOm90aGVy"

static void silence(void *context, const char *line)
{
    if (context)
        str_addf(context, "%s\n", line);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    auto_free char *full = str_format("%s/%s", test_dir(), path);
    auto_free char *dir = mem_strndup(full, (size_t)(strrchr(full, '/') - full));

    check_ok(io_make_dirs(dir, 0700, &test_err));
    check_ok(io_write_file_atomic(AT_FDCWD, full, text, strlen(text), mode, &test_err));
}

static void set_dir(const char *variable, const char *name)
{
    auto_free char *path = str_format("%s/%s", test_dir(), name);

    setenv(variable, path, 1);
}

/* A home of our own, and nothing of the caller's. */
static void clean_environment(void)
{
    static const char *const names[] = {"REGISTRY_AUTH_FILE", "DOCKER_AUTH_CONFIG", "DOCKER_CONFIG",
                                        "XDG_CONFIG_HOME"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    set_dir("HOME", "home");
    set_dir("XDG_RUNTIME_DIR", "run");
    set_dir("PATH", "bin");
    log_set_sink(silence, NULL);
}

static void check_user(const char *host, const char *repository, const char *user,
                       const char *secret)
{
    struct credentials *c = credentials_new(&(struct credentials_options){0});
    auto_credential struct credential found = {0};

    check_ok(credentials_find(c, host, repository, &found, &test_err));
    check_text(found.user, user);
    check_text(found.secret, secret);
    credentials_free(c);
}

static void docker_config(const char *text)
{
    write_file("home/.docker/config.json", text, 0600);
}

TEST(credentials, knowing_nobody_is_success)
{
    clean_environment();
    check_user("h.io", "a/b", NULL, NULL);
}

TEST(credentials, docker_config_is_read)
{
    clean_environment();
    docker_config("{\"auths\":{\"h.io:5000\":{\"auth\":\"" ANN "\"},"
                  "\"plain.io\":{\"username\":\"bob\",\"password\":\"other\"}}}");
    check_user("h.io:5000", "a/b", "ann", "secret");
    check_user("plain.io", NULL, "bob", "other");
    check_user("h.io", "a/b", NULL, NULL);
}

/* docker-login(1): the Hub's key is its first API's URL. */
TEST(credentials, the_hub_is_known_by_its_old_url)
{
    clean_environment();
    docker_config("{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"" ANN "\"}}}");
    check_user("docker.io", "library/debian", "ann", "secret");
}

TEST(credentials, keys_may_be_urls)
{
    clean_environment();
    docker_config("{\"auths\":{\"https://h.io/v2/\":{\"auth\":\"" ANN "\"},"
                  "\"http://i.io:5000\":{\"auth\":\"" BOB "\"}}}");
    check_user("h.io", "a", "ann", "secret");
    check_user("i.io:5000", "a", "bob", "other");
}

/* containers-auth.json(5): the longest leading part of the name wins. */
TEST(credentials, keys_may_cover_part_of_a_host)
{
    clean_environment();
    docker_config("{\"auths\":{\"h.io/team\":{\"auth\":\"" ANN "\"},"
                  "\"h.io/team/app\":{\"auth\":\"" BOB "\"}}}");
    check_user("h.io", "team/app", "bob", "other");
    check_user("h.io", "team/app/x", "bob", "other");
    check_user("h.io", "team/application", "ann", "secret");
    check_user("h.io", "teams/app", NULL, NULL);
    check_user("h.io", NULL, NULL, NULL);
}

TEST(credentials, empty_entries_say_nothing)
{
    clean_environment();
    docker_config("{\"auths\":{\"h.io\":{}}}");
    write_file("home/.dockercfg", "{\"h.io\":{\"auth\":\"" ANN "\"}}", 0600);
    check_user("h.io", "a", "ann", "secret");
}

TEST(credentials, tokens_are_kept_apart)
{
    struct credentials *c;
    auto_credential struct credential found = {0};

    clean_environment();
    docker_config("{\"auths\":{\"h.io\":{\"auth\":\"" ANN "\",\"identitytoken\":\"idt\","
                  "\"registrytoken\":\"rt\"}}}");
    c = credentials_new(&(struct credentials_options){0});
    check_ok(credentials_find(c, "h.io", NULL, &found, &test_err));
    check_text(found.identity_token, "idt");
    check_text(found.registry_token, "rt");
    credentials_free(c);
}

/* The order of credentials.h. */
TEST(credentials, the_first_file_that_knows_the_host_answers)
{
    clean_environment();
    write_file("home/.dockercfg", "{\"h.io\":{\"auth\":\"" BOB "\"}}", 0600);
    check_user("h.io", "a", "bob", "other");
    docker_config("{\"auths\":{\"h.io\":{\"username\":\"docker\",\"password\":\"5\"}}}");
    check_user("h.io", "a", "docker", "5");
    write_file("home/.config/containers/auth.json",
               "{\"auths\":{\"h.io\":{\"username\":\"config\",\"password\":\"4\"}}}", 0600);
    check_user("h.io", "a", "config", "4");
    write_file("run/containers/auth.json",
               "{\"auths\":{\"h.io\":{\"username\":\"run\",\"password\":\"3\"}}}", 0600);
    check_user("h.io", "a", "run", "3");
    setenv("DOCKER_AUTH_CONFIG", "{\"auths\":{\"h.io\":{\"username\":\"env\",\"password\":\"2\"}}}",
           1);
    check_user("h.io", "a", "env", "2");
    write_file("explicit.json", "{\"auths\":{\"i.io\":{\"auth\":\"" ANN "\"}}}", 0600);
    set_dir("REGISTRY_AUTH_FILE", "explicit.json");
    check_user("h.io", "a", NULL, NULL);
    check_user("i.io", "a", "ann", "secret");
}

TEST(credentials, a_malformed_file_is_named)
{
    auto_credential struct credential found = {0};
    struct credentials *c;
    struct error err = {0};

    clean_environment();
    docker_config("{\"auths\":");
    c = credentials_new(&(struct credentials_options){0});
    check_fails(credentials_find(c, "h.io", NULL, &found, &err), EINVAL);
    check_contains(err.text, "home/.docker/config.json");
    credentials_free(c);
}

/* SECURITY R49: what is wrong with a secret is said without it. */
TEST(credentials, a_broken_entry_is_named_without_its_secret)
{
    auto_credential struct credential found = {0};
    struct credentials *c;
    struct error err = {0};

    clean_environment();
    docker_config("{\"auths\":{\"h.io\":{\"auth\":\"!hunter2!\"}}}");
    c = credentials_new(&(struct credentials_options){0});
    check_fails(credentials_find(c, "h.io", NULL, &found, &err), EINVAL);
    check_contains(err.text, "the 'auth' of 'h.io' is not base64");
    check_lacks(err.text, "hunter2");
    credentials_free(c);
}

TEST(credentials, a_file_others_can_read_is_warned_of)
{
    auto_str struct str said = {0};

    clean_environment();
    log_set_sink(silence, &said);
    write_file("home/.docker/config.json", "{\"auths\":{\"h.io\":{\"auth\":\"" ANN "\"}}}", 0644);
    check_user("h.io", "a", "ann", "secret");
    log_set_sink(silence, NULL);
    check_contains(str_text(&said), "can be read by other users");
}

/* A helper is a program named docker-credential-NAME. */
static void make_helper(const char *name, const char *script)
{
    auto_free char *path = str_format("bin/docker-credential-%s", name);
    auto_free char *text = str_format("#!/bin/sh\n%s\n", script);

    write_file(path, text, 0700);
}

TEST(credentials, a_helper_is_asked_for_its_host)
{
    clean_environment();
    make_helper("one", "read server; [ \"$1\" = get ] || exit 1\n"
                       "echo \"{\\\"ServerURL\\\":\\\"$server\\\",\\\"Username\\\":\\\"ann\\\","
                       "\\\"Secret\\\":\\\"for $server\\\"}\"");
    docker_config("{\"credHelpers\":{\"h.io\":\"one\"},\"auths\":{\"h.io\":{\"auth\":\"" BOB
                  "\"},\"i.io\":{\"auth\":\"" BOB "\"}}}");
    check_user("h.io", "a", "ann", "for h.io");
    check_user("i.io", "a", "bob", "other");
}

TEST(credentials, the_default_helper_knows_the_hub_by_its_old_url)
{
    clean_environment();
    make_helper("store", "read server; echo \"{\\\"Username\\\":\\\"ann\\\",\\\"Secret\\\":"
                         "\\\"$server\\\"}\"");
    docker_config("{\"credsStore\":\"store\"}");
    check_user("docker.io", "library/x", "ann", "https://index.docker.io/v1/");
}

TEST(credentials, a_helper_may_hold_an_identity_token)
{
    auto_credential struct credential found = {0};
    struct credentials *c;

    clean_environment();
    make_helper("t", "echo '{\"Username\":\"<token>\",\"Secret\":\"idt\"}'");
    docker_config("{\"credsStore\":\"t\"}");
    c = credentials_new(&(struct credentials_options){0});
    check_ok(credentials_find(c, "h.io", NULL, &found, &test_err));
    check_text(found.identity_token, "idt");
    check_text(found.user, NULL);
    credentials_free(c);
}

/* docker-credential-helpers: said on standard output, with status 1. */
TEST(credentials, a_helper_without_an_entry_leaves_the_file_to_answer)
{
    clean_environment();
    make_helper("none", "echo 'credentials not found in native keychain'; exit 1");
    docker_config("{\"credsStore\":\"none\",\"auths\":{\"h.io\":{\"auth\":\"" ANN "\"}}}");
    check_user("h.io", "a", "ann", "secret");
}

/* Some say it on standard error, and are then no failure to warn of. */
TEST(credentials, a_helper_may_say_so_on_standard_error)
{
    auto_str struct str said = {0};

    clean_environment();
    log_set_sink(silence, &said);
    make_helper("none", "echo 'credentials not found in native keychain' >&2; exit 1");
    docker_config("{\"credsStore\":\"none\",\"auths\":{\"h.io\":{\"auth\":\"" ANN "\"}}}");
    check_user("h.io", "a", "ann", "secret");
    log_set_sink(silence, NULL);
    check_text(str_text(&said), "");
}

/* Asks a helper of this script with this patience, and with the flag set if there is one; returns
 * what credentials_find does, *said is the warning. */
static int ask(const char *script, unsigned timeout_ms, const atomic_bool *cancelled,
               struct str *said, struct error *err)
{
    auto_credential struct credential found = {0};
    auto_free char *path = str_format("%s/bin:/usr/bin:/bin", test_dir());
    struct credentials *c;
    int r;

    clean_environment();
    setenv("PATH", path, 1);
    make_helper("odd", script);
    docker_config("{\"credsStore\":\"odd\"}");
    log_set_sink(silence, said);
    c = credentials_new(
        &(struct credentials_options){.helper_timeout_ms = timeout_ms, .cancelled = cancelled});
    r = credentials_find(c, "h.io", "a", &found, err);
    credentials_free(c);
    log_set_sink(silence, NULL);
    return r;
}

/* SECURITY R49: an answer that was given before things went wrong is an answer still. */
TEST(credentials, a_failed_helper_does_not_give_the_secret_away)
{
    static const char *const scripts[] = {
        "echo '{\"Username\":\"ann\",\"Secret\":\"hush\"}'; exit 3",
        "echo ' {\"Username\":\"ann\",\"Secret\":\"hush\"}'; kill -9 $$",
        "printf '{\"Username\":\"ann\",\"Secret\":\"hush'; head -c 1200000 /dev/zero; echo '\"}'",
        "head -c 1200000 /dev/zero >&2; echo '{\"Username\":\"ann\",\"Secret\":\"hush\"}'; exit 1",
    };
    static const char *const reasons[] = {
        "'docker-credential-odd' failed: it gave no reason",
        "'docker-credential-odd' failed: it gave no reason",
        "'docker-credential-odd' says more than 1048576 bytes",
        "'docker-credential-odd' says more than 1048576 bytes",
    };

    for (size_t i = 0; i < 4; i++) {
        auto_str struct str said = {0};

        check_ok(ask(scripts[i], 0, NULL, &said, &test_err));
        if (strstr(str_text(&said), "hush") || !strstr(str_text(&said), reasons[i]))
            check_fail("script %zu: '%s'", i, str_text(&said));
    }
}

/* SECURITY R48. */
TEST(credentials, a_helper_that_hangs_is_given_up)
{
    auto_str struct str said = {0};

    check_ok(ask("sleep 600", 1000, NULL, &said, &test_err));
    check_text(str_text(&said),
               "warning: 'docker-credential-odd' did not answer within 1 seconds, continuing "
               "without its credentials\n");
}

TEST(credentials, cancelling_ends_the_wait_for_a_helper)
{
    atomic_bool cancelled = true;
    auto_str struct str said = {0};
    struct error err = {0};

    check_fails(ask("sleep 600", 0, &cancelled, &said, &err), ECANCELED);
    check_text(str_text(&said), "");
}

static void check_goes_on_after(const char *helper, const char *warning)
{
    auto_str struct str said = {0};
    auto_free char *config =
        str_format("{\"credsStore\":\"%s\",\"auths\":{\"h.io\":{\"auth\":\"" ANN "\"}}}", helper);

    log_set_sink(silence, &said);
    docker_config(config);
    check_user("h.io", "a", "ann", "secret");
    log_set_sink(silence, NULL);
    if (!strstr(str_text(&said), warning))
        check_fail("'%s' does not say '%s'", str_text(&said), warning);
}

TEST(credentials, a_broken_helper_is_warned_of_and_passed_over)
{
    clean_environment();
    make_helper("fails", "echo 'the keychain is locked'; exit 2");
    make_helper("talks", "echo 'what?'");
    make_helper("crashes", "kill -9 $$");
    make_helper("stderr", "echo 'no tty' >&2; exit 1");
    check_goes_on_after("fails", "'docker-credential-fails' failed: the keychain is locked");
    check_goes_on_after("talks", "'docker-credential-talks' answers something that is not JSON");
    check_goes_on_after("crashes", "'docker-credential-crashes' failed: it gave no reason");
    check_goes_on_after("stderr", "'docker-credential-stderr' failed: no tty");
    check_goes_on_after("absent", "cannot start 'docker-credential-absent': No such file");
}

/* SECURITY R48: CVE-2026-28406 class. */
TEST(credentials, helper_names_are_words)
{
    clean_environment();
    check_goes_on_after("../x", "'../x' is not the name of a credential helper");
    check_goes_on_after("a;b", "'a;b' is not the name of a credential helper");
    check_goes_on_after("a b", "'a b' is not the name of a credential helper");
}

/* R48: three descriptors, no secret in an argument, the verb alone. */
TEST(credentials, a_helper_gets_three_descriptors_and_one_argument)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int leak = fcntl(null, F_DUPFD, 20); /* inherited by whoever does not look */
    int high = fcntl(null, F_DUPFD, 77);

    clean_environment();
    make_helper("look", "n=\n"
                        "for fd in /proc/$$/fd/*; do\n" /* 3: this list; 10: the script, in dash */
                        "  case ${fd##*/} in 0|1|2|3|10|255) ;; *) n=$n,${fd##*/} ;; esac\n"
                        "done\n"
                        "echo \"{\\\"Username\\\":\\\"$# $1 [$n]\\\",\\\"Secret\\\":\\\"x\\\"}\"");
    setenv("PATH", "/usr/bin:/bin", 1);
    {
        auto_free char *path = str_format("%s/bin:/usr/bin:/bin", test_dir());

        setenv("PATH", path, 1);
    }
    docker_config("{\"credsStore\":\"look\"}");
    check_user("h.io", "a", "1 get []", "x");
    close(high);
    close(leak);
    close(null);
}

/* A key agent stays behind and keeps the pipe open. */
TEST(credentials, a_helper_that_leaves_a_daemon_is_not_waited_for)
{
    uint64_t start = io_ticks_ns();

    clean_environment();
    setenv("PATH", "/usr/bin:/bin", 1);
    {
        auto_free char *path = str_format("%s/bin:/usr/bin:/bin", test_dir());

        setenv("PATH", path, 1);
    }
    make_helper("daemon", "sleep 20 &\necho '{\"Username\":\"ann\",\"Secret\":\"x\"}'");
    docker_config("{\"credsStore\":\"daemon\"}");
    check_user("h.io", "a", "ann", "x");
    check_true(io_ticks_ns() - start < 15000000000ull);
}

TEST(credentials, a_helper_is_started_once)
{
    auto_credential struct credential found = {0};
    struct credentials *c;
    auto_str struct str count = {0};

    clean_environment();
    {
        auto_free char *script = str_format(
            "echo x >> %s/count; echo '{\"Username\":\"ann\",\"Secret\":\"x\"}'", test_dir());

        make_helper("count", script);
    }
    docker_config("{\"credsStore\":\"count\"}");
    c = credentials_new(&(struct credentials_options){0});
    for (int i = 0; i < 3; i++) {
        credential_release(&found);
        check_ok(credentials_find(c, "h.io", "a", &found, &test_err));
    }
    credentials_free(c);
    check_ok(io_read_file(test_dir_fd(), "count", 100, &count, &test_err));
    check_text(str_text(&count), "x\n");
}

static void store(const char *host, const char *user, const char *secret, const char *expected)
{
    struct credentials *c = credentials_new(&(struct credentials_options){0});
    auto_credential struct credential who = {.user = mem_strdup(user),
                                             .secret = mem_strdup(secret)};
    auto_free char *where = NULL;
    bool is_plain_text;

    check_ok(credentials_store(c, host, &who, &where, &is_plain_text, &test_err));
    if (!text_ends(where, expected))
        check_fail("stored in '%s', not in '%s'", where, expected);
    credentials_free(c);
}

/* SECURITY R47 */
TEST(credentials, storing_makes_a_private_file)
{
    auto_free char *path = NULL;
    mode_t before = umask(0);
    struct stat st;

    clean_environment();
    store("h.io:5000", "ann", "secret", "/home/.docker/config.json");
    umask(before);
    path = str_format("%s/home/.docker/config.json", test_dir());
    check_ok(stat(path, &st));
    check_int(st.st_mode & 07777, 0600);
    check_user("h.io:5000", "a", "ann", "secret");
}

TEST(credentials, storing_keeps_what_it_does_not_know)
{
    auto_str struct str text = {0};

    clean_environment();
    docker_config("{\"psFormat\":\"x\",\"auths\":{\"i.io\":{\"auth\":\"" BOB
                  "\",\"email\":\"b@i.io\"}},\"plugins\":{\"a\":{\"b\":\"c\"}}}");
    store("docker.io", "ann", "secret", "/config.json");
    check_user("docker.io", "a", "ann", "secret");
    check_user("i.io", "a", "bob", "other");
    check_ok(io_read_file(test_dir_fd(), "home/.docker/config.json", 10000, &text, &test_err));
    check_contains(str_text(&text), "psFormat");
    check_contains(str_text(&text), "b@i.io");
    check_contains(str_text(&text), "plugins");
    check_contains(str_text(&text), "https://index.docker.io/v1/");
}

TEST(credentials, storing_goes_through_a_symbolic_link)
{
    auto_free char *link = NULL;
    auto_free char *target = NULL;
    struct stat st;

    clean_environment();
    write_file("elsewhere/real.json", "{}", 0600);
    write_file("home/.docker/x", "", 0600);
    link = str_format("%s/home/.docker/config.json", test_dir());
    target = str_format("%s/elsewhere/real.json", test_dir());
    check_ok(symlink(target, link));
    store("h.io", "ann", "secret", "/config.json");
    check_ok(lstat(link, &st));
    check_true(S_ISLNK(st.st_mode));
    check_user("h.io", NULL, "ann", "secret");
}

/* A link may be there before its file, and be relative (docker-login(1) keeps it too). */
TEST(credentials, storing_makes_the_file_a_link_waits_for)
{
    auto_free char *link = NULL;
    auto_free char *target = NULL;
    struct stat st;

    clean_environment();
    write_file("home/.docker/x", "", 0600);
    link = str_format("%s/home/.docker/config.json", test_dir());
    target = str_format("%s/home/dot/docker.json", test_dir());
    check_ok(symlink("../dot/docker.json", link));
    store("h.io", "ann", "secret", "/config.json");
    check_ok(lstat(link, &st));
    check_true(S_ISLNK(st.st_mode));
    check_ok(lstat(target, &st));
    check_true(S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0600);
    check_user("h.io", NULL, "ann", "secret");
}

/* What is stored must be what is found: a file that comes first and knows the host gets it. */
TEST(credentials, storing_updates_the_file_that_answers)
{
    clean_environment();
    write_file("run/containers/auth.json", "{\"auths\":{\"h.io\":{\"auth\":\"" BOB "\"}}}", 0600);
    store("h.io", "ann", "secret", "/run/containers/auth.json");
    check_user("h.io", NULL, "ann", "secret");
    store("other.io", "ann", "secret", "/home/.docker/config.json");
}

TEST(credentials, storing_uses_the_helper_of_the_file)
{
    auto_str struct str got = {0};

    clean_environment();
    {
        auto_free char *script = str_format(
            "[ $1 = get ] && { echo credentials not found in native keychain; exit 1; }\n"
            "echo $1 > %s/got; while read -r line; do echo \"$line\" >> %s/got; done\n"
            "[ -n \"$line\" ] && echo \"$line\" >> %s/got; exit 0",
            test_dir(), test_dir(), test_dir());

        make_helper("s", script);
    }
    docker_config("{\"credsStore\":\"s\"}");
    store("h.io", "ann", "secret", "credential helper 's'");
    check_ok(io_read_file(test_dir_fd(), "got", 1000, &got, &test_err));
    check_text(str_text(&got),
               "store\n{\"ServerURL\":\"h.io\",\"Username\":\"ann\",\"Secret\":\"secret\"}\n");
}

TEST(credentials, a_malformed_file_is_not_overwritten)
{
    struct credentials *c;
    auto_credential struct credential who = {.user = mem_strdup("a"), .secret = mem_strdup("b")};
    auto_free char *where = NULL;
    auto_str struct str text = {0};
    bool is_plain_text;

    clean_environment();
    docker_config("{\"auths\":");
    c = credentials_new(&(struct credentials_options){0});
    check_fails(credentials_store(c, "h.io", &who, &where, &is_plain_text, &test_err), EINVAL);
    check_ok(io_read_file(test_dir_fd(), "home/.docker/config.json", 100, &text, &test_err));
    check_text(str_text(&text), "{\"auths\":");
    credentials_free(c);
}

TEST(credentials, erasing_forgets_the_host_in_every_file)
{
    struct credentials *c;
    auto_free char *where = NULL;
    auto_free char *again = NULL;

    clean_environment();
    docker_config("{\"auths\":{\"h.io\":{\"auth\":\"" ANN
                  "\"},\"https://h.io/v2/\":{\"auth\":\"" ANN "\"},\"i.io\":{\"auth\":\"" BOB
                  "\"}}}");
    write_file("run/containers/auth.json", "{\"auths\":{\"h.io\":{\"auth\":\"" BOB "\"}}}", 0600);
    c = credentials_new(&(struct credentials_options){0});
    check_int(credentials_erase(c, "h.io", &where, &test_err), 2);
    check_true(text_ends(where, "/run/containers/auth.json"));
    check_user("h.io", NULL, NULL, NULL);
    check_user("i.io", NULL, "bob", "other");
    check_int(credentials_erase(c, "h.io", &again, &test_err), 0);
    check_text(again, NULL);
    credentials_free(c);
}

/* docker-login(1), containers-auth.json(5): keys are hosts, hosts with a path, or URLs. */
TEST(credentials, the_hosts_of_all_files_are_listed_once)
{
    struct credentials *c;
    auto_strv struct strv hosts = {0};
    auto_free char *joined = NULL;

    clean_environment();
    docker_config("{\"auths\":{\"https://index.docker.io/v1/\":{},\"h.io/team\":{\"auth\":\"" ANN
                  "\"}},\"credHelpers\":{\"k.io\":\"none\"}}");
    write_file("run/containers/auth.json", "{\"auths\":{\"h.io\":{\"auth\":\"" BOB "\"}}}", 0600);
    c = credentials_new(&(struct credentials_options){0});
    check_ok(credentials_hosts(c, &hosts, &test_err));
    joined = strv_join(&hosts, " ");
    check_text(joined, "h.io docker.io k.io");
    credentials_free(c);
}

/* R47: two logins at the same time lose nothing. */
TEST(credentials, parallel_logins_lose_no_entry)
{
    pid_t children[8];

    clean_environment();
    for (int i = 0; i < 8; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            auto_free char *host = str_format("h%d.io", i);

            for (int j = 0; j < 10; j++)
                store(host, "ann", "secret", "/config.json");
            _exit(0);
        }
    }
    for (int i = 0; i < 8; i++) {
        auto_free char *host = str_format("h%d.io", i);
        int status;

        waitpid(children[i], &status, 0);
        check_int(status, 0);
        check_user(host, NULL, "ann", "secret");
    }
}

/* Follow no symlink to another owner (R47); root owns all of /, so an ordinary user is needed. */
TEST(credentials, a_file_of_somebody_else_is_left_alone)
{
    struct credentials *c;
    auto_credential struct credential who = {0};
    auto_free char *where = NULL;
    auto_free char *link = NULL;
    bool is_plain_text;

    test_need("user", geteuid() != 0, "runs as root, to whom no file is foreign");
    who.user = mem_strdup("a");
    who.secret = mem_strdup("b");
    clean_environment();
    write_file("home/.docker/x", "", 0600);
    link = str_format("%s/home/.docker/config.json", test_dir());
    check_ok(symlink("/etc/adduser.conf", link));
    c = credentials_new(&(struct credentials_options){0});
    check_true(credentials_store(c, "h.io", &who, &where, &is_plain_text, &test_err) < 0);
    credentials_free(c);
}
