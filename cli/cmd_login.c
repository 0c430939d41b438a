/* cmd_login.c - img login and logout. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/registry_flags.h"
#include "fs/base/log.h"
#include "registry/reference.h"
#include "registry/registries.h"

#include "fs/base/banned.h"

struct login_flags {
    struct registry_flags registry;
    const char *username;
    const char *password;
    bool password_stdin;
    bool get_login;
};

#define FIELD(name) .offset = offsetof(struct login_flags, name)

static const struct option login_options[] = {
    REGISTRY_OPTIONS(struct login_flags, registry),
    {.name = "get-login",
     FIELD(get_login),
     .help = "print the user name that is stored, and log in to nothing"},
    {.name = "password",
     .letter = 'p',
     .kind = OPTION_TEXT,
     FIELD(password),
     .argument = "PASSWORD",
     .help = "password; visible to other users, prefer --password-stdin"},
    {.name = "password-stdin",
     FIELD(password_stdin),
     .help = "read the password from standard input"},
    {.name = "username",
     .letter = 'u',
     .kind = OPTION_TEXT,
     FIELD(username),
     .argument = "NAME",
     .help = "user name"},
    {.name = "user", .kind = OPTION_TEXT, FIELD(username), .argument = "NAME"},
};

/* One line of standard input without its end; -ENODATA when there is none. */
static int read_line(struct str *out, struct error *err)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size = getline(&line, &capacity, stdin);

    if (size >= 0)
        str_add_bytes(out, line, strcspn(line, "\r\n"));
    if (line != NULL)
        explicit_bzero(line, capacity);
    free(line);
    return size < 0 ? error_set(err, ENODATA, "standard input ended") : 0;
}

static struct termios before; /* of the terminal; for the signal handler */

/* ^C at the prompt must not leave a terminal that shows nothing. */
static void on_signal(int number)
{
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    raise(number); /* SA_RESETHAND: now it ends the process */
}

static int ask(const char *prompt, bool hidden, struct str *out, struct error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    const struct sigaction action = {.sa_handler = on_signal,
                                     .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    struct sigaction old[sizeof(numbers) / sizeof(numbers[0])];
    struct termios quiet;
    bool is_changed = hidden && tcgetattr(STDIN_FILENO, &before) == 0;
    int r;

    fprintf(stderr, "%s: ", prompt);
    if (is_changed) {
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
            sigaction(numbers[i], &action, &old[i]);
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    r = read_line(out, err);
    if (is_changed) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
            sigaction(numbers[i], &old[i], NULL);
        fputc('\n', stderr);
    }
    return r < 0 ? error_wrap(err, "cannot read the %s", hidden ? "password" : "user name") : 0;
}

static int collect(const struct login_flags *f, struct str *user, struct str *password,
                   struct error *err)
{
    int r = 0;

    if (f->password != NULL && f->password_stdin)
        return error_set(err, EINVAL, "--password and --password-stdin exclude each other");
    if (f->password_stdin && f->username == NULL)
        return error_set(err, EINVAL, "--password-stdin needs --username");
    if (f->password != NULL)
        log_warn("a password on the command line is visible to other users: use --password-stdin");
    if (f->username != NULL)
        str_add(user, f->username);
    else
        r = ask("Username", false, user, err);
    if (r < 0)
        return r;
    if (f->password != NULL)
        str_add(password, f->password);
    else if (f->password_stdin)
        r = read_line(password, err);
    else
        r = ask("Password", true, password, err);
    if (r == 0 && (user->size == 0 || password->size == 0))
        r = error_set(err, EINVAL, "user name and password must not be empty");
    return r;
}

static int print_login(struct registries *all, const char *host, struct error *err)
{
    auto_free char *user = NULL;
    int r = registries_user(all, host, &user, err);

    if (r == -ENOENT)
        return error_set(err, ENOENT, "not logged in to '%s'", host);
    if (r == 0)
        printf("%s\n", user);
    return r;
}

static int run_login(struct program *p, const void *values, const struct strv *operands,
                     struct error *err)
{
    const struct login_flags *f = values;
    struct registries_options options = {0};
    __attribute__((cleanup(cleanup_login_result_release))) struct login_result result = {0};
    auto_str struct str user = {0};
    auto_str struct str password = {0};
    auto_free char *host = NULL;
    int r =
        reference_parse_host(operands->count == 0 ? "docker.io" : operands->items[0], &host, err);

    if (r == 0)
        r = registry_flags_apply(&f->registry, &options, err);
    if (r == 0 && f->get_login)
        return print_login(program_registries(p, &options), host, err);
    if (r == 0)
        r = collect(f, &user, &password, err);
    if (r == 0)
        r = registries_login(program_registries(p, &options), host, str_text(&user),
                             str_text(&password), &result, err);
    if (password.data != NULL)
        explicit_bzero(password.data, password.size);
    if (r < 0)
        return r;
    if (result.is_plain_text)
        log_warn("the password is stored unencrypted in '%s'", result.where);
    printf("Login succeeded.\n");
    return 0;
}

const struct subcommand cmd_login = {
    .name = "login",
    .operands = "[SERVER]",
    .operands_max = 1,
    .summary = "Check and store credentials for a registry (default docker.io).",
    .options = login_options,
    .option_count = sizeof(login_options) / sizeof(login_options[0]),
    .options_size = sizeof(struct login_flags),
    .run = run_login,
};

struct logout_flags {
    bool all;
    const char *authfile;
};

static const struct option logout_options[] = {
    {.name = "all",
     .letter = 'a',
     .offset = offsetof(struct logout_flags, all),
     .help = "forget the credentials of every registry"},
    {.name = "authfile",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct logout_flags, authfile),
     .argument = "FILE",
     .help = "where credentials are kept (REGISTRY_AUTH_FILE)"},
};

static int logout_all(struct registries *all, const struct strv *operands, struct error *err)
{
    auto_strv struct strv hosts = {0};
    int r;

    if (operands->count > 0)
        return error_set(err, EINVAL, "--all and '%s' exclude each other", operands->items[0]);
    r = registries_logins(all, &hosts, err);
    for (size_t i = 0; r == 0 && i < hosts.count; i++) {
        __attribute__((cleanup(cleanup_login_result_release))) struct login_result result = {0};

        r = registries_logout(all, hosts.items[i], &result, err);
        if (r == 0)
            printf("Removing login credentials for %s\n", hosts.items[i]);
    }
    if (r == 0)
        printf(hosts.count == 0 ? "Not logged in to any registry\n" : "Logout succeeded.\n");
    return r;
}

static int run_logout(struct program *p, const void *values, const struct strv *operands,
                      struct error *err)
{
    const struct logout_flags *f = values;
    const struct registries_options options = {.authfile = f->authfile};
    __attribute__((cleanup(cleanup_login_result_release))) struct login_result result = {0};
    auto_free char *host = NULL;
    int r;

    if (f->all)
        return logout_all(program_registries(p, &options), operands, err);
    r = reference_parse_host(operands->count == 0 ? "docker.io" : operands->items[0], &host, err);
    if (r == 0)
        r = registries_logout(program_registries(p, &options), host, &result, err);
    if (r < 0)
        return r;
    if (!result.had_credentials) {
        printf("Not logged in to %s\n", host);
        return 0;
    }
    printf("Removing login credentials for %s\nLogout succeeded.\n", host);
    return 0;
}

const struct subcommand cmd_logout = {
    .name = "logout",
    .operands = "[SERVER]",
    .operands_max = 1,
    .summary = "Forget the credentials of a registry (default docker.io).",
    .options = logout_options,
    .option_count = sizeof(logout_options) / sizeof(logout_options[0]),
    .options_size = sizeof(struct logout_flags),
    .run = run_logout,
};
