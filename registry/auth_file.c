/* auth_file.c - keys, entries and the careful replacement of a credentials file. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "registry/auth_file.h"
#include "registry/base64.h"
#include "registry/reference.h"
#include "registry/secret.h"

#include "fs/base/banned.h"

#define AUTH_FILE_SIZE_MAX (4u << 20)
#define HUB_HOST "docker.io"
#define HUB_KEY "https://index.docker.io/v1/"

const char *auth_file_key(const char *host)
{
    return text_equal(host, HUB_HOST) ? HUB_KEY : host;
}

/* What a key of "auths" covers: a host, and maybe a leading part of its repositories. */
struct key {
    char *host;
    char *path; /* "" for the whole host */
};

static void key_release(struct key *key)
{
    free(key->host);
    free(key->path);
}
DEFINE_CLEANUP_VALUE(key_release, struct key)

/* Keys come as host, host/path, and as the URLs of docker's first years, whose path says nothing.
 */
static void key_read(const char *text, struct key *out)
{
    const char *scheme = strstr(text, "://");
    const char *start = scheme ? scheme + 3 : text;
    const char *path = start + strcspn(start, "/");
    struct error err;

    *out = (struct key){0};
    if (reference_parse_host(start, &out->host, &err) < 0)
        out->host = mem_strdup("");
    if (*path == '/')
        path++;
    out->path = mem_strndup(path, strcspn(path, "?#"));
    while (text_ends(out->path, "/"))
        out->path[strlen(out->path) - 1] = '\0';
    if (scheme || text_equal(out->path, "v1") || text_equal(out->path, "v2"))
        out->path[0] = '\0';
}

static bool key_covers(const struct key *key, const char *host, const char *repository)
{
    size_t length = strlen(key->path);

    if (!text_equal(key->host, host))
        return false;
    if (length == 0)
        return true;
    return repository && text_starts(repository, key->path) &&
           (repository[length] == '\0' || repository[length] == '/');
}

static bool is_legacy_shape(enum auth_file_kind kind, const struct json *document)
{
    return kind == AUTH_FILE_LEGACY && !json_get_object(document, "auths");
}

int auth_file_parse(const char *text, const char *what, struct json **out, struct error *err)
{
    auto_json struct json *document = NULL;
    int r = json_parse(text, strlen(text), AUTH_FILE_SIZE_MAX, what, &document, err);

    if (r < 0)
        return r;
    if (!json_is_object(document))
        return error_set(err, EINVAL, "%s: it is not a JSON object", what);
    *out = STEAL(&document);
    return 0;
}

/* Somebody else's file could send our passwords elsewhere by naming a helper. */
static bool is_trustworthy(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0 || (st.st_uid != geteuid() && st.st_uid != 0)) {
        log_warn("'%s' belongs to another user, continuing without it", path);
        return false;
    }
    if (st.st_mode & (S_IRGRP | S_IROTH))
        log_warn("'%s' can be read by other users, chmod 600 would keep its secrets", path);
    return true;
}

int auth_file_read(const char *path, enum auth_file_kind kind, struct json **out, struct error *err)
{
    auto_free char *what = str_format("'%s'", path);
    auto_json struct json *document = NULL;
    auto_secret_str struct str text = {0};
    struct json *wrapped;
    int r;

    *out = NULL;
    if (text_equal(path, "/dev/null")) /* how people say "none" */
        return 0;
    r = io_read_file(AT_FDCWD, path, AUTH_FILE_SIZE_MAX, &text, err);
    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r == -EACCES) {
        log_warn("%s, continuing without it", err->text);
        return 0;
    }
    if (r < 0)
        return r;
    if (text.size == 0 || !is_trustworthy(path))
        return 0;
    r = auth_file_parse(str_text(&text), what, &document, err);
    if (r < 0)
        return r;
    if (is_legacy_shape(kind, document)) {
        wrapped = json_new_object();
        json_put(wrapped, "auths", STEAL(&document));
        document = wrapped;
    }
    *out = STEAL(&document);
    return 0;
}

const char *auth_file_helper(const struct json *document, const char *host)
{
    const struct json *helpers = json_get_object(document, "credHelpers");
    struct json *value;
    const char *text;
    const char *store;
    void *iter = NULL;

    while (helpers && json_next(helpers, &iter, &text, &value)) {
        CLEANUP(key_release) struct key key = {0};

        key_read(text, &key);
        if (key_covers(&key, host, NULL) && json_text(value) && json_text(value)[0] != '\0')
            return json_text(value);
    }
    store = json_get_text(document, "credsStore");
    return store && store[0] != '\0' ? store : NULL;
}

void auth_file_hosts(const struct json *document, enum auth_file_kind kind, struct strv *out)
{
    const struct json *maps[] = {
        is_legacy_shape(kind, document) ? document : json_get_object(document, "auths"),
        json_get_object(document, "credHelpers"),
    };

    for (size_t i = 0; i < 2; i++) {
        void *iter = NULL;
        const char *text;
        struct json *entry;

        while (maps[i] != NULL && json_next(maps[i], &iter, &text, &entry)) {
            __attribute__((cleanup(cleanup_key_release))) struct key key = {0};

            key_read(text, &key);
            if (key.host[0] != '\0' && !strv_contains(out, key.host))
                strv_add(out, key.host);
        }
    }
}

static char *dup_or_null(const char *text)
{
    return text && text[0] != '\0' ? mem_strdup(text) : NULL;
}

/* "auth" is base64 of user:password and wins over the two fields. Docker pads with NULs. */
static int read_auth(const char *auth, const char *key, struct credential *out, struct error *err)
{
    auto_secret_str struct str text = {0};
    char *colon;

    if (!base64_decode(auth, &text))
        return error_set(err, EINVAL, "the 'auth' of '%s' is not base64", key);
    colon = strchr(str_text(&text), ':');
    if (!colon)
        return error_set(err, EINVAL, "the 'auth' of '%s' is not user:password", key);
    *colon = '\0';
    out->user = mem_strdup(text.data);
    out->secret = mem_strdup(colon + 1);
    return 0;
}

static int read_entry(const struct json *entry, const char *key, struct credential *out,
                      struct error *err)
{
    const char *auth = json_get_text(entry, "auth");
    const char *user = json_get_text(entry, "username");
    const char *password = json_get_text(entry, "password");
    int r;

    out->identity_token = dup_or_null(json_get_text(entry, "identitytoken"));
    out->registry_token = dup_or_null(json_get_text(entry, "registrytoken"));
    if (auth && auth[0] != '\0') {
        r = read_auth(auth, key, out, err);
        if (r < 0)
            return r;
    } else if (user && user[0] != '\0' && password) {
        out->user = mem_strdup(user);
        out->secret = mem_strdup(password);
    }
    if (text_equal(out->user, "<token>") && !out->identity_token)
        out->identity_token = STEAL(&out->secret);
    return 0;
}

char *auth_file_docker_path(void)
{
    const char *docker = secure_getenv("DOCKER_CONFIG");
    const char *home = secure_getenv("HOME");

    if (docker && docker[0] != '\0')
        return str_format("%s/config.json", docker);
    return home && home[0] != '\0' ? str_format("%s/.docker/config.json", home) : NULL;
}

int auth_file_find(const struct json *document, const char *host, const char *repository,
                   struct credential *out, struct error *err)
{
    const struct json *auths = json_get_object(document, "auths");
    auto_credential struct credential best = {0};
    size_t best_length = 0;
    struct json *entry;
    const char *text;
    void *iter = NULL;

    while (auths && json_next(auths, &iter, &text, &entry)) {
        CLEANUP(key_release) struct key key = {0};
        auto_credential struct credential found = {0};
        int r;

        key_read(text, &key);
        if (!key_covers(&key, host, repository) || !json_is_object(entry))
            continue;
        r = read_entry(entry, text, &found, err);
        if (r < 0)
            return r;
        if (credential_is_empty(&found) ||
            (!credential_is_empty(&best) && strlen(key.path) <= best_length))
            continue;
        best_length = strlen(key.path);
        credential_release(&best);
        best = STEAL(&found);
    }
    if (credential_is_empty(&best))
        return 0;
    *out = STEAL(&best);
    return 1;
}

/* The entries of "auths" that stand for the whole host, in every spelling. */
static bool remove_entries(struct json *auths, const char *host)
{
    auto_strv struct strv keys = {0};
    struct json *entry;
    const char *text;
    void *iter = NULL;

    while (json_next(auths, &iter, &text, &entry)) {
        CLEANUP(key_release) struct key key = {0};

        key_read(text, &key);
        if (key_covers(&key, host, NULL))
            strv_add(&keys, text);
    }
    for (size_t i = 0; i < keys.count; i++)
        json_remove(auths, keys.items[i]);
    return keys.count > 0;
}

static struct json *entry_new(const struct credential *credential)
{
    struct json *entry = json_new_object();
    auto_secret_str struct str pair = {0};
    auto_secret_str struct str auth = {0};

    if (credential->user) {
        str_addf(&pair, "%s:%s", credential->user, credential->secret ? credential->secret : "");
        base64_encode(pair.data, pair.size, &auth);
        json_put_text(entry, "auth", str_text(&auth));
    }
    if (credential->identity_token)
        json_put_text(entry, "identitytoken", credential->identity_token);
    return entry;
}

static struct json *auths_of(struct json *document, enum auth_file_kind kind)
{
    if (is_legacy_shape(kind, document))
        return document;
    if (!json_get_object(document, "auths"))
        json_put(document, "auths", json_new_object());
    return json_get_object(document, "auths");
}

/* Where a link leads whose file is not there yet, which realpath(3) does not tell; one step, as dotfile
 * managers make them. NULL: `path` is no link. */
static char *target_of_dangling(const char *path)
{
    char text[PATH_MAX];
    ssize_t length = readlink(path, text, sizeof(text) - 1);

    if (length <= 0)
        return NULL;
    text[length] = '\0';
    if (text[0] == '/')
        return mem_strdup(text);
    return str_format("%.*s%s", (int)(path_base(path) - path), path, text);
}

/* The file behind a symbolic link, and the directory it is in. */
static int find_target(const char *path, char **directory, char **name, struct error *err)
{
    auto_free char *resolved = realpath(path, NULL);
    const char *base;
    struct stat st;

    if (!resolved && errno != ENOENT)
        return error_errno(err, "cannot find '%s'", path);
    if (resolved && stat(resolved, &st) == 0 && st.st_uid != geteuid())
        return error_set(err, EPERM, "'%s' belongs to another user", resolved);
    if (!resolved)
        resolved = target_of_dangling(path);
    if (!resolved)
        resolved = mem_strdup(path);
    base = path_base(resolved);
    *directory = mem_strndup(resolved, (size_t)(base - resolved));
    *name = mem_strdup(base);
    if ((*directory)[0] == '\0') {
        free(*directory);
        *directory = mem_strdup(".");
    }
    return 0;
}

static int open_directory(const char *path, bool create, struct error *err)
{
    int fd;
    int r;

    if (create) {
        r = io_make_dirs(path, 0700, err);
        if (r < 0)
            return r;
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, "cannot open '%s'", path);
    return fd;
}

/* Locking the directory, which is never replaced, keeps two logins from losing an entry, and leaves
 * no lock file behind. */
static int update_locked(int dir_fd, const char *name, const char *path, enum auth_file_kind kind,
                         const char *host, const struct credential *credential, struct error *err)
{
    auto_json struct json *document = NULL;
    auto_free char *what = str_format("'%s'", path);
    auto_secret_str struct str text = {0};
    struct json *auths;
    bool had;
    int r;

    r = io_read_file(dir_fd, name, AUTH_FILE_SIZE_MAX, &text, err);
    if (r == -ENOENT && !credential)
        return 0;
    if (r < 0 && r != -ENOENT)
        return r;
    if (text.size > 0)
        r = auth_file_parse(str_text(&text), what, &document, err);
    else
        document = json_new_object();
    secret_release(&text);
    if (!document)
        return r;
    auths = auths_of(document, kind);
    had = remove_entries(auths, host);
    if (credential)
        json_put(auths, auth_file_key(host), entry_new(credential));
    else if (!had)
        return 0;
    json_write_pretty(document, &text);
    str_add_char(&text, '\n');
    r = io_write_file_atomic(dir_fd, name, text.data, text.size, 0600, err);
    return r < 0 ? r : had;
}

int auth_file_update(const char *path, enum auth_file_kind kind, const char *host,
                     const struct credential *credential, struct error *err)
{
    auto_free char *directory = NULL;
    auto_free char *name = NULL;
    auto_close int dir_fd = -1;
    int r;

    r = find_target(path, &directory, &name, err);
    if (r < 0)
        return r;
    if (!credential && access(path, F_OK) < 0)
        return 0;
    dir_fd = open_directory(directory, credential != NULL, err);
    if (dir_fd < 0)
        return dir_fd;
    while (flock(dir_fd, LOCK_EX) < 0) {
        if (errno != EINTR)
            return error_errno(err, "cannot lock '%s'", directory);
    }
    return update_locked(dir_fd, name, path, kind, host, credential, err);
}
