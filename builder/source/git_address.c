/* git_address.c - takes the address of a repository apart. Runs nothing, asks nobody. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "builder/source/git_address.h"
#include "fs/base/limits.h"
#include "fs/base/str.h"
#include "registry/secret.h"
#include "registry/url.h"

#include "fs/base/banned.h"

#define USER_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

void git_address_release(struct git_address *a)
{
    free(a->remote);
    free(a->host);
    secret_free(a->userinfo);
    free(a->ref);
    free(a->subdir);
    free(a->checksum);
    *a = (struct git_address){0};
}

static bool is_hex(const char *text, size_t size_min, size_t size_max)
{
    size_t size = strspn(text, "0123456789abcdef");

    return text[size] == '\0' && size >= size_min && size <= size_max;
}

bool git_is_commit(const char *text)
{
    return is_hex(text, 40, 40) || is_hex(text, 64, 64);
}

/* Size of the text in front of the query and the fragment. */
static size_t bare_size(const char *text)
{
    return strcspn(text, "?#");
}

static bool has_git_suffix(const char *text)
{
    size_t size = bare_size(text);

    return size > 4 && memcmp(text + size - 4, ".git", 4) == 0;
}

/* user@host:path; the size of "user@host", or 0. */
static size_t scp_prefix(const char *text)
{
    size_t user = strspn(text, USER_CHARACTERS);
    size_t host;

    if (user == 0 || text[user] != '@')
        return 0;
    host = strspn(text + user + 1,
                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    if (host == 0 || text[user + 1 + host] != ':' || text[user + 2 + host] == '\0')
        return 0;
    return user + 1 + host;
}

bool git_address_is(const char *text)
{
    if (text_starts(text, "http://") || text_starts(text, "https://"))
        return has_git_suffix(text);
    return text_starts(text, "git://") || text_starts(text, "ssh://") || scp_prefix(text) > 0;
}

bool git_address_is_context(const char *text)
{
    return git_address_is(text) || text_starts(text, "github.com/");
}

/* ---- ref, directory and commit ---- */

/* git-check-ref-format(1), and no option: what is handed to git is a name or nothing. */
static int check_ref(const char *ref, struct error *err)
{
    size_t size = strlen(ref);
    auto_str struct str shown = {0};

    str_add_escaped(&shown, ref, size > 200 ? 200 : size);
    if (size == 0 || size > LIMIT_NAME_SIZE || ref[0] == '-' || ref[0] == '/' ||
        text_ends(ref, "/") || text_ends(ref, ".") || text_ends(ref, ".lock") ||
        strstr(ref, "..") != NULL || strstr(ref, "//") != NULL || strstr(ref, "@{") != NULL ||
        strpbrk(ref, " ~^:?*[\\") != NULL)
        return error_set(err, EINVAL, "'%s' is not the name of a git ref", str_text(&shown));
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)ref[i] < ' ' || ref[i] == 0x7f)
            return error_set(err, EINVAL, "'%s' is not the name of a git ref", str_text(&shown));
    return 0;
}

static int set_ref(struct git_address *a, const char *prefix, const char *ref, struct error *err)
{
    auto_free char *whole = str_format("%s%s", prefix, ref);
    int r = check_ref(whole, err);

    if (r < 0)
        return r;
    if (a->ref != NULL)
        return error_set(err, EINVAL, "a git address names both '%s' and '%s'", a->ref, whole);
    a->ref = STEAL(&whole);
    return 0;
}

static int set_subdir(struct git_address *a, const char *subdir, struct error *err)
{
    auto_free char *clean = path_join("/", subdir); /* ".." ends at the root */

    if (strpbrk(subdir, "\r\n\\") != NULL || strlen(subdir) > LIMIT_PATH_SIZE)
        return error_set(err, EINVAL, "the directory in a git address is no path");
    if (a->subdir != NULL)
        return error_set(err, EINVAL, "a git address names two directories, '%s' and '%s'",
                         a->subdir, clean + 1);
    if (clean[1] != '\0')
        a->subdir = mem_strdup(clean + 1);
    return 0;
}

int git_address_set_checksum(struct git_address *a, const char *value, struct error *err)
{
    if (!is_hex(value, 7, 64))
        return error_set(err, EINVAL,
                         "'%.80s' is not the checksum of a commit: 7 to 64 hex digits are", value);
    if (a->checksum != NULL && strcmp(a->checksum, value) != 0)
        return error_set(err, EINVAL, "a git address names two commits, %s and %s", a->checksum,
                         value);
    free(a->checksum);
    a->checksum = mem_strdup(value);
    return 0;
}

/* A name alone means yes. */
static int parse_bool(const char *name, const char *value, bool *out, struct error *err)
{
    if (*value == '\0') {
        *out = true;
        return 0;
    }
    if (text_to_bool(value, out))
        return 0;
    return error_set(err, EINVAL, "'%s=%.80s' in a git address is neither true nor false", name,
                     value);
}

static int parse_fragment(struct git_address *a, const char *fragment, struct error *err)
{
    size_t size = strcspn(fragment, ":");
    auto_free char *ref = mem_strndup(fragment, size);
    int r = ref[0] == '\0' ? 0 : set_ref(a, "", ref, err);

    return r == 0 && fragment[size] == ':' ? set_subdir(a, fragment + size + 1, err) : r;
}

static int parse_parameter(struct git_address *a, const char *name, const char *value,
                           struct error *err)
{
    static const char *const known[] = {
        "ref",    "tag",          "branch",     "subdir", "checksum",
        "commit", "keep-git-dir", "submodules", "mtime",  "fetch-by-commit"};
    bool flag = false;
    const char *near;
    int r = 0;

    if (strcmp(name, "ref") == 0)
        return set_ref(a, "", value, err);
    if (strcmp(name, "tag") == 0)
        return set_ref(a, "refs/tags/", value, err);
    if (strcmp(name, "branch") == 0)
        return set_ref(a, "refs/heads/", value, err);
    if (strcmp(name, "subdir") == 0)
        return set_subdir(a, value, err);
    if (strcmp(name, "checksum") == 0 || strcmp(name, "commit") == 0)
        return git_address_set_checksum(a, value, err);
    if (strcmp(name, "mtime") == 0) {
        a->commit_times = strcmp(value, "commit") == 0;
        if (!a->commit_times && strcmp(value, "checkout") != 0)
            return error_set(err, EINVAL, "'mtime=%.80s' in a git address: 'checkout' or 'commit'",
                             value);
        return 0;
    }
    if (strcmp(name, "keep-git-dir") == 0) {
        r = parse_bool(name, value, &flag, err);
        a->keep_git_dir = flag ? GIT_ON : GIT_OFF;
    } else if (strcmp(name, "submodules") == 0) {
        r = parse_bool(name, value, &flag, err);
        a->submodules = flag ? GIT_ON : GIT_OFF;
    } else if (strcmp(name, "fetch-by-commit") == 0) {
        r = parse_bool(name, value, &a->by_commit, err);
    } else {
        near = text_suggest(name, known, sizeof(known) / sizeof(known[0]));
        error_set(err, EINVAL, "unexpected query '%.80s' in a git address", name);
        return near == NULL ? -EINVAL : error_hint(err, "did you mean '%s'?", near);
    }
    return r;
}

static int parse_query(struct git_address *a, const char *query, size_t size, struct error *err)
{
    auto_free char *copy = mem_strndup(query, size);
    char *save = NULL;
    int r = 0;

    for (char *field = strtok_r(copy, "&", &save); r == 0 && field != NULL;
         field = strtok_r(NULL, "&", &save)) {
        auto_free char *plain = NULL;
        char *equals;

        plain = url_decode(field, strlen(field));
        equals = strchr(plain, '=');
        if (equals != NULL)
            *equals = '\0';
        r = parse_parameter(a, plain, equals == NULL ? "" : equals + 1, err);
    }
    return r;
}

/* ---- where ---- */

static int check_host(const char *host, struct error *err)
{
    size_t size = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
                               "[]:");

    if (host[0] == '\0' || host[size] != '\0' ||
        !(isalnum((unsigned char)host[0]) || host[0] == '['))
        return error_set(err, EINVAL, "a git address without the name of a host");
    return 0;
}

static int check_path(const char *path, struct error *err)
{
    for (const char *at = path; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return error_set(err, EINVAL, "a git address holds a blank or a control character");
    return path[0] == '\0' || strcmp(path, "/") == 0
               ? error_set(err, EINVAL, "a git address without the path of a repository")
               : 0;
}

/* scheme://[user[:password]@]host[:port]/path; a password goes apart, where nothing shows it. */
static int parse_remote_url(struct git_address *a, const char *text, size_t size,
                            const char *scheme, struct error *err)
{
    auto_free char *rest = mem_strndup(text + strlen(scheme), size - strlen(scheme));
    size_t authority = strcspn(rest, "/");
    auto_free char *where = mem_strndup(rest, authority);
    char *at = strrchr(where, '@');
    const char *host = at == NULL ? where : at + 1;
    bool is_http = a->transport == GIT_HTTP || a->transport == GIT_HTTPS;
    size_t host_size = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    auto_free char *plain_user = NULL;
    int r = check_host(host, err);

    if (r == 0)
        r = check_path(rest + authority, err);
    if (r < 0)
        return r;
    a->host = mem_strndup(host, host_size);
    if (at != NULL)
        *at = '\0';
    if (at != NULL && is_http)
        a->userinfo = url_decode(where, strlen(where));
    else if (at != NULL)
        plain_user = str_format("%s@", where);
    if (plain_user != NULL && strpbrk(plain_user, ":/") != NULL)
        return error_set(err, EINVAL, "a git address with a password, which ssh does not take");
    if (plain_user != NULL && (!isalnum((unsigned char)plain_user[0]) ||
                               strspn(plain_user, USER_CHARACTERS) + 1 != strlen(plain_user)))
        return error_set(err, EINVAL, "a git address with a strange user name");
    a->remote = str_format("%s%s%s%s", scheme, plain_user == NULL ? "" : plain_user, host,
                           rest + authority);
    return 0;
}

static int parse_remote(struct git_address *a, const char *text, size_t size, struct error *err)
{
    static const struct {
        const char *scheme;
        enum git_transport transport;
    } schemes[] = {
        {"https://", GIT_HTTPS}, {"http://", GIT_HTTP}, {"ssh://", GIT_SSH}, {"git://", GIT_PLAIN}};
    size_t scp;

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (!text_starts(text, schemes[i].scheme))
            continue;
        a->transport = schemes[i].transport;
        return parse_remote_url(a, text, size, schemes[i].scheme, err);
    }
    if (text_starts(text, "github.com/")) {
        auto_free char *url = str_format("https://%.*s", (int)size, text);

        a->transport = GIT_HTTPS;
        return parse_remote_url(a, url, strlen(url), "https://", err);
    }
    scp = scp_prefix(text);
    if (scp == 0 || scp >= size)
        return error_set(err, EINVAL, "not the address of a git repository");
    a->transport = GIT_SSH;
    a->remote = mem_strndup(text, size);
    a->host = mem_strndup(strchr(text, '@') + 1, scp - (size_t)(strchr(text, '@') + 1 - text));
    if (!isalnum((unsigned char)text[0]) || !isalnum((unsigned char)a->host[0]) ||
        text[scp + 1] == '-')
        return error_set(err, EINVAL, "a git address with a strange host, user or path");
    return check_path(a->remote + scp + 1, err);
}

int git_address_parse(const char *text, struct git_address *out, struct error *err)
{
    auto_git_address struct git_address a = {0};
    size_t size = bare_size(text);
    const char *fragment = strchr(text, '#');
    size_t query = text[size] == '?' ? strcspn(text + size + 1, "#") : 0;
    int r = strlen(text) > LIMIT_PATH_SIZE ? error_set(err, EINVAL, "a git address is too long")
                                           : parse_remote(&a, text, size, err);

    if (r == 0 && text[size] == '?')
        r = parse_query(&a, text + size + 1, query, err);
    if (r == 0 && fragment != NULL)
        r = parse_fragment(&a, fragment + 1, err);
    if (r == 0 && a.by_commit && a.checksum == NULL)
        r = error_set(err, EINVAL, "'fetch-by-commit' in a git address needs 'checksum='");
    if (r < 0)
        return r;
    *out = STEAL(&a);
    return 0;
}

/* git-submodule(1): relative to the remote of the repository it is in. */
static char *join_remote(const char *remote, const char *relative)
{
    auto_free char *base = mem_strdup(remote);
    size_t size = strlen(base);

    while (size > 1 && base[size - 1] == '/')
        base[--size] = '\0';
    for (;;) {
        char *cut;

        if (text_starts(relative, "./")) {
            relative += 2;
            continue;
        }
        if (!text_starts(relative, "../"))
            break;
        cut = strrchr(base, '/');
        if (cut == NULL || cut[-1] == '/')
            cut = strrchr(base, ':');
        if (cut == NULL)
            break;
        relative += 3;
        if (*cut == ':') { /* user@host:name */
            cut[1] = '\0';
            return str_format("%s%s", base, relative);
        }
        *cut = '\0';
    }
    return str_format("%s/%s", base, relative);
}

int git_address_submodule(const struct git_address *parent, const char *url,
                          struct git_address *out, struct error *err)
{
    auto_git_address struct git_address a = {0};
    auto_free char *whole =
        text_starts(url, "./") || text_starts(url, "../") ? join_remote(parent->remote, url) : NULL;
    const char *text = whole == NULL ? url : whole;
    int r = parse_remote(&a, text, strlen(text), err);

    if (r < 0)
        return r;
    if (a.userinfo == NULL && parent->userinfo != NULL && text_equal(a.host, parent->host) &&
        a.transport == parent->transport)
        a.userinfo = mem_strdup(parent->userinfo);
    *out = STEAL(&a);
    return 0;
}
