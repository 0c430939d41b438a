/* certs.c - finds PEM files. Parsing and trusting them is the TLS library's part. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/io.h"
#include "registry/certs.h"

#include "fs/base/banned.h"

#define PEM_SIZE_MAX (4u << 20) /* the system's bundle is 0.2 MiB */

/* What certs_add told of one host. */
struct added {
    char *host;
    struct strv authorities;
    char *certificate;
    char *key;
};

struct certs {
    pthread_mutex_t lock;
    struct {
        struct added *items;
        size_t count;
        size_t capacity;
    } added;        /* guarded by lock */
    char *only_dir; /* or NULL */
    bool has_dirs;
    struct strv dirs;
};

struct certs *certs_new(const struct strv *dirs, const char *only_dir)
{
    struct certs *c = mem_new(struct certs);

    pthread_mutex_init(&c->lock, NULL);
    c->only_dir = only_dir ? mem_strdup(only_dir) : NULL;
    if (dirs) {
        c->has_dirs = true;
        strv_copy(&c->dirs, dirs);
    }
    return c;
}

void certs_free(struct certs *c)
{
    if (!c)
        return;
    strv_release(&c->dirs);
    for (size_t i = 0; i < c->added.count; i++) {
        free(c->added.items[i].host);
        strv_release(&c->added.items[i].authorities);
        free(c->added.items[i].certificate);
        free(c->added.items[i].key);
    }
    free(c->added.items);
    pthread_mutex_destroy(&c->lock);
    free(c->only_dir);
    free(c);
}

void certs_add(struct certs *c, const char *host_port, const struct strv *authorities,
               const char *certificate, const char *key)
{
    struct added *added;

    pthread_mutex_lock(&c->lock);
    added = array_add(&c->added);
    added->host = mem_strdup(host_port);
    strv_copy(&added->authorities, authorities);
    added->certificate = certificate ? mem_strdup(certificate) : NULL;
    added->key = certificate ? mem_strdup(key) : NULL;
    pthread_mutex_unlock(&c->lock);
}

void certs_host_release(struct certs_host *h)
{
    free(h->file);
    free(h->dir);
    free(h->client_certificate);
    free(h->client_key);
    str_release(&h->authorities);
    *h = (struct certs_host){0};
}

static bool is_hashed_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' && name[9] >= '0' &&
           name[9] <= '9';
}

/* A directory prepared by c_rehash(1): OpenSSL then reads the one certificate it needs, where a
 * bundle costs 20 ms of parsing for every connection. */
static bool is_hashed_dir(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *item;
    bool found = false;

    if (!dir)
        return false;
    while (!found && (item = readdir(dir)))
        found = is_hashed_name(item->d_name);
    closedir(dir);
    return found;
}

static bool is_readable_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Where distributions keep the authorities; the first that exists. */
static void find_system(struct certs_host *out)
{
    static const char *const dirs[] = {"/etc/ssl/certs", "/etc/pki/tls/certs"};
    static const char *const files[] = {
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/cert.pem",
    };

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        if (is_hashed_dir(dirs[i])) {
            out->dir = mem_strdup(dirs[i]);
            return;
        }
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (is_readable_file(files[i])) {
            out->file = mem_strdup(files[i]);
            return;
        }
    }
}

static void find_authorities(struct certs_host *out)
{
    const char *file = secure_getenv("SSL_CERT_FILE");
    const char *dir = secure_getenv("SSL_CERT_DIR");

    if (file && file[0] != '\0')
        out->file = mem_strdup(file);
    if (dir && dir[0] != '\0')
        out->dir = mem_strdup(dir);
    if (!out->file && !out->dir)
        find_system(out);
}

static void default_dirs(struct strv *out)
{
    const char *config = secure_getenv("XDG_CONFIG_HOME");
    const char *home = secure_getenv("HOME");

    if (config && config[0] == '/')
        strv_addf(out, "%s/containers/certs.d", config);
    else if (home && home[0] == '/')
        strv_addf(out, "%s/.config/containers/certs.d", home);
    strv_add(out, "/etc/containers/certs.d");
    strv_add(out, "/etc/docker/certs.d");
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_sorted(DIR *dir, struct strv *out)
{
    struct dirent *item;

    while ((item = readdir(dir)))
        strv_add(out, item->d_name);
    if (out->count > 1)
        qsort(out->items, out->count, sizeof(out->items[0]), compare_names);
}

static int add_authority(int dir_fd, const char *name, struct certs_host *out, struct error *err)
{
    auto_str struct str text = {0};
    int r = io_read_file(dir_fd, name, PEM_SIZE_MAX, &text, err);

    if (r < 0)
        return r;
    str_add_bytes(&out->authorities, text.data, text.size);
    str_add_char(&out->authorities, '\n');
    return 0;
}

static int add_client(const char *path, const char *name, const struct strv *names,
                      struct certs_host *out, struct error *err)
{
    size_t stem = strlen(name) - strlen(".cert");
    auto_free char *key = str_format("%.*s.key", (int)stem, name);

    if (!strv_contains(names, key))
        return error_set(err, EINVAL, "'%s/%s' has no key '%s' beside it", path, name, key);
    if (out->client_certificate)
        return 0;
    out->client_certificate = str_format("%s/%s", path, name);
    out->client_key = str_format("%s/%s", path, key);
    return 0;
}

static int read_dir(DIR *dir, const char *path, struct certs_host *out, struct error *err)
{
    auto_strv struct strv names = {0};
    int r = 0;

    list_sorted(dir, &names);
    for (size_t i = 0; i < names.count && r >= 0; i++) {
        if (text_ends(names.items[i], ".crt"))
            r = add_authority(dirfd(dir), names.items[i], out, err);
        else if (text_ends(names.items[i], ".cert"))
            r = add_client(path, names.items[i], &names, out, err);
    }
    return r < 0 ? error_wrap(err, "certificates for this host in '%s'", path) : 0;
}

/* The bundle is merged in, for the TLS layer takes one text or one file but not both. */
static int merge_bundle(struct certs_host *out, struct error *err)
{
    auto_str struct str bundle = {0};
    int r;

    if (out->authorities.size == 0 || !out->file)
        return 0;
    r = io_read_file(AT_FDCWD, out->file, PEM_SIZE_MAX, &bundle, err);
    if (r < 0)
        return r;
    str_add_bytes(&out->authorities, bundle.data, bundle.size);
    free(STEAL(&out->file));
    return 0;
}

/* `host_port` names a directory: a host cannot hold a slash, and ".." is no host. */
static int find_in_dirs(const struct strv *dirs, const char *host_port, struct certs_host *out,
                        struct error *err)
{
    for (size_t i = 0; i < dirs->count; i++) {
        auto_free char *path = str_format("%s/%s", dirs->items[i], host_port);
        DIR *dir = opendir(path);
        int r;

        if (!dir)
            continue;
        r = read_dir(dir, path, out, err);
        closedir(dir);
        return r;
    }
    return 0;
}

static int find_added(struct certs *c, const char *host_port, struct certs_host *out,
                      struct error *err)
{
    int r = 0;

    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->added.count; i++) {
        const struct added *added = &c->added.items[i];

        if (!text_equal(added->host, host_port))
            continue;
        for (size_t k = 0; k < added->authorities.count && r >= 0; k++)
            r = add_authority(AT_FDCWD, added->authorities.items[k], out, err);
        if (added->certificate && !out->client_certificate) {
            out->client_certificate = mem_strdup(added->certificate);
            out->client_key = mem_strdup(added->key);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return r < 0 ? error_wrap(err, "certificates for '%s'", host_port) : 0;
}

/* A directory that somebody named must be there. */
static int find_in_only_dir(const char *path, struct certs_host *out, struct error *err)
{
    DIR *dir = opendir(path);
    int r;

    if (!dir)
        return error_errno(err, "cannot read the certificates in '%s'", path);
    r = read_dir(dir, path, out, err);
    closedir(dir);
    return r;
}

int certs_find(struct certs *c, const char *host_port, struct certs_host *out, struct error *err)
{
    auto_certs_host struct certs_host found = {0};
    auto_strv struct strv defaults = {0};
    int r;

    find_authorities(&found);
    if (!c->has_dirs)
        default_dirs(&defaults);
    if (c->only_dir)
        r = find_in_only_dir(c->only_dir, &found, err);
    else
        r = find_in_dirs(c->has_dirs ? &c->dirs : &defaults, host_port, &found, err);
    if (r == 0)
        r = find_added(c, host_port, &found, err);
    if (r < 0)
        return r;
    r = merge_bundle(&found, err);
    if (r < 0)
        return r;
    *out = STEAL(&found);
    return 0;
}
