/* source_http.c - one file behind a URL, and whether it is still the one we have. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "builder/source/source.h"
#include "builder/source/source_internal.h"
#include "builder/tree/copy.h"
#include "fs/archive.h"
#include "fs/base/json.h"
#include "fs/base/key.h"
#include "fs/base/limits.h"
#include "fs/store.h"
#include "fs/union.h"
#include "fs/view.h"
#include "registry/http.h"
#include "registry/secret.h"
#include "registry/url.h"

#include "fs/base/banned.h"

#define NS_PER_S 1000000000ll
#define UNNAMED "__unnamed__"
#define VALIDATOR_SIZE_MAX 1024u /* an ETag longer than that is not worth keeping */

/* ---- names ---- */

static bool is_file_name(const char *name)
{
    size_t size = strlen(name);

    if (size == 0 || size > LIMIT_NAME_SIZE || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f || name[i] == '/')
            return false;
    return true;
}

char *source_file_name(const char *url)
{
    const char *scheme = strstr(url, "://");
    const char *host = scheme == NULL ? url : scheme + 3;
    const char *path = host + strcspn(host, "/?#");
    auto_free char *decoded = NULL;
    size_t size;

    if (*path != '/')
        return mem_strdup(UNNAMED);
    decoded = url_decode(path, strcspn(path, "?#"));
    size = strlen(decoded);
    while (size > 1 && decoded[size - 1] == '/')
        decoded[--size] = '\0';
    return mem_strdup(is_file_name(path_base(decoded)) ? path_base(decoded) : UNNAMED);
}

/* ---- one download ---- */

struct download {
    struct fetch *fetch;
    const struct http_source *from;
    struct str url;   /* without a fragment */
    struct str shown; /* without query, for people */
    struct str host;
    char *name;
    char *authorization; /* a secret, or NULL */
    struct digest key;
    struct source_record known;
    struct digest known_content;
    bool has_known;

    struct file_sink {
        struct writer base;
        struct download *download;
    } sink; /* into the view's file */
    struct view *view;
    uint64_t ino;
    uint64_t offset;
    uint64_t total;  /* 0: unknown */
    bool is_archive; /* looked at once it is larger than a text may be */
    struct hasher *hasher;
    struct digest content;
    char *etag; /* of the answer */
    char *modified;
    int64_t mtime_ns;
};

static void download_release(struct download *d)
{
    str_release(&d->url);
    str_release(&d->shown);
    str_release(&d->host);
    secret_free(d->authorization);
    source_record_release(&d->known);
    view_close(d->view);
    hasher_free(d->hasher);
    free(d->name);
    free(d->etag);
    free(d->modified);
}
DEFINE_CLEANUP_VALUE(download_release, struct download)

#define HEAD_SIZE (1u << 20) /* enough to see what any packed archive begins with */

/* An endless text is cut off at the size a text may have. */
static int check_archive(struct download *d, struct error *err)
{
    auto_free char *head = mem_alloc(HEAD_SIZE);
    ssize_t size = union_read(d->view, d->ino, 0, head, HEAD_SIZE);
    auto_reader struct reader *reader = NULL;

    if (size < 0)
        return error_set(err, (int)-size, "cannot read '%s' again: %s", str_text(&d->shown),
                         strerror((int)-size));
    reader = memory_reader_new(head, (size_t)size);
    d->is_archive = archive_sniff_reader(reader);
    return d->is_archive ? 0
                         : error_set(err, EFBIG, "it is no archive, and larger than %llu bytes",
                                     (unsigned long long)d->from->text_size_max);
}

static int sink_write(struct writer *w, const void *buf, size_t size, struct error *err)
{
    struct download *d = ((struct file_sink *)(void *)w)->download;
    ssize_t put = union_write(d->view, d->ino, d->offset, buf, size, false);

    if (put < 0 && view_fault(d->view, err) < 0)
        return -err->code;
    if (put < 0)
        return error_set(err, (int)-put, "cannot store '%s': %s", str_text(&d->shown),
                         strerror((int)-put));
    hasher_update(d->hasher, buf, size);
    d->offset += size;
    return d->from->text_size_max != 0 && d->offset > d->from->text_size_max && !d->is_archive
               ? check_archive(d, err)
               : 0;
}

/* An empty file in an empty tree; what an earlier attempt wrote is dropped. */
static int begin_file(struct download *d, struct error *err)
{
    const struct view_options options = {.label = str_text(&d->shown)};
    struct union_attr attr;
    int r;

    view_close(d->view);
    d->view = NULL;
    d->offset = 0;
    hasher_reset(d->hasher);
    r = view_open(d->fetch->store, NULL, 0, &options, &d->view, err);
    if (r < 0)
        return r;
    r = union_mknod(d->view, UNION_ROOT, d->name, S_IFREG | 0600, 0, 0, (struct union_cred){0},
                    &attr);
    if (r < 0)
        return error_set(err, -r, "cannot store '%s' as '%s': %s", str_text(&d->shown), d->name,
                         strerror(-r));
    d->ino = attr.ino;
    return 0;
}

static void on_progress(void *context, uint64_t done)
{
    const struct download *d = context;

    progress_status(d->fetch->progress, d->fetch->vertex, str_text(&d->shown), done, d->total,
                    false);
}

static int on_answer(void *context, const struct http_response *answer, struct error *err)
{
    struct download *d = context;
    const char *length = http_header(answer, "content-length");

    (void)err;
    d->total = 0;
    if (length != NULL && !text_to_u64(length, UINT64_MAX, &d->total))
        d->total = 0;
    return 0;
}

/* ---- before and after ---- */

/* The header a secret gives for this host, made here and nowhere else. */
static int set_authorization(struct download *d, const struct url *url, struct error *err)
{
    auto_free char *token_id = str_format("HTTP_AUTH_TOKEN_%s", url->host);
    auto_free char *header_id = str_format("HTTP_AUTH_HEADER_%s", url->host);
    const struct build_secret *header = source_secret(d->fetch, header_id);
    const struct build_secret *token = source_secret(d->fetch, token_id);
    const struct build_secret *used = header != NULL ? header : token;

    if (used == NULL)
        return 0;
    if (!url->is_https && !host_is_loopback(url->host))
        return error_set(err, EACCES, "the secret '%s' is not sent in clear text to '%s'", used->id,
                         str_text(&d->host));
    if (strpbrk(used->bytes, "\r\n") != NULL || strlen(used->bytes) != used->size)
        return error_set(err, EINVAL, "the secret '%s' is no header: it has more than one line",
                         used->id);
    d->authorization =
        header != NULL ? mem_strdup(used->bytes) : str_format("Bearer %s", used->bytes);
    return 0;
}

static int set_key(struct download *d, struct error *err)
{
    auto_key struct key key = {0};
    const char *known;
    int r;

    key_init(&key, "source-http");
    key_text(&key, "url", str_text(&d->url));
    key_text(&key, "name", d->name);
    key_number(&key, "authorized", d->authorization != NULL);
    key_final(&key, &d->key);
    r = source_find(d->fetch, &d->key, &d->known, err);
    known = json_get_text(d->known.document, "digest");
    d->has_known =
        r == 0 && known != NULL && digest_parse(known, &d->known_content, &(struct error){0}) == 0;
    return r;
}

static int prepare(struct download *d, struct error *err)
{
    auto_url struct url url = {0};
    const char *text = d->from->url;
    const char *authority = strstr(text, "://");
    int r;

    authority = authority == NULL ? text : authority + 3;
    if (memchr(authority, '@', strcspn(authority, "/?#")) != NULL) {
        error_set(err, EINVAL, "a URL with a user name or password is not fetched");
        return error_hint(err, "give them with --secret id=HTTP_AUTH_HEADER_<host>");
    }
    str_add_bytes(&d->url, text, strcspn(text, "#"));
    r = url_parse(str_text(&d->url), &url, err);
    if (r < 0)
        return r;
    url_format_safe(&url, &d->shown);
    url_format_host(&url, &d->host);
    d->name = d->from->name != NULL ? mem_strdup(d->from->name) : source_file_name(text);
    d->hasher = hasher_new();
    d->sink = (struct file_sink){.base.write = sink_write, .download = d};
    r = set_authorization(d, &url, err);
    return r < 0 ? r : set_key(d, err);
}

static void add_conditions(const struct download *d, struct strv *headers)
{
    const char *etag = json_get_text(d->known.document, "etag");
    const char *modified = json_get_text(d->known.document, "modified");

    if (!d->has_known)
        return;
    /* RFC 9110 13.1.3: If-Modified-Since is not looked at where If-None-Match is. */
    if (etag != NULL)
        strv_addf(headers, "If-None-Match: %s", etag);
    else if (modified != NULL)
        strv_addf(headers, "If-Modified-Since: %s", modified);
}

static char *copy_validator(const char *value)
{
    return value == NULL || strlen(value) > VALIDATOR_SIZE_MAX || strpbrk(value, "\r\n") != NULL
               ? NULL
               : mem_strdup(value);
}

/* RFC 9110 8.8.2; the one form that servers send (5.6.7). */
static int64_t parse_time(const char *text)
{
    struct tm date = {0};
    time_t seconds;

    if (text == NULL || strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &date) == NULL)
        return 0;
    seconds = timegm(&date);
    return seconds < 0 ? 0 : (int64_t)seconds * NS_PER_S;
}

static int refuse_status(const struct download *d, unsigned status, struct error *err)
{
    int code = status == 404 || status == 410   ? ENOENT
               : status == 401 || status == 403 ? EACCES
                                                : EIO;

    error_set(err, code, "cannot download '%s': the server answers %u", str_text(&d->shown),
              status);
    if (code == EACCES && d->authorization == NULL)
        return error_hint(err, "give a token with --secret id=HTTP_AUTH_TOKEN_%s",
                          str_text(&d->host));
    return -code;
}

/* One request: 1 with new content, 0 when what we have still stands. */
static int ask(struct download *d, bool *may_try_again, struct error *err)
{
    auto_http_response struct http_response answer = {0};
    auto_strv struct strv headers = {0};
    struct http_request request = {
        .method = "GET",
        .url = str_text(&d->url),
        .headers = &headers,
        .authorization = d->authorization,
        .sink = &d->sink.base,
        .sink_size_max = d->from->size_max != 0 ? d->from->size_max : LIMIT_DOWNLOAD_SIZE,
        .on_answer = on_answer,
        .on_progress = on_progress,
        .context = d,
        .allow_clear_text = true,
    };
    int r = begin_file(d, err);

    if (r < 0)
        return r;
    add_conditions(d, &headers);
    r = http_request(d->fetch->http, &request, &answer, err);
    *may_try_again = r < 0 && answer.may_try_again;
    if (r < 0)
        return err->code == ECANCELED
                   ? r
                   : error_wrap(err, "cannot download '%s'", str_text(&d->shown));
    if (answer.status == 304 && d->has_known)
        return 0;
    if (answer.status != 200)
        return refuse_status(d, answer.status, err);
    d->etag = copy_validator(http_header(&answer, "etag"));
    d->modified = copy_validator(http_header(&answer, "last-modified"));
    d->mtime_ns = parse_time(d->modified);
    hasher_final(d->hasher, &d->content);
    return 1;
}

/* A transfer that broke off in the middle starts again from the first byte. */
static int ask_until_whole(struct download *d, struct error *err)
{
    unsigned attempts = http_attempts_max(d->fetch->http);

    for (unsigned failures = 1;; failures++) {
        bool may_try_again = false;
        int r = ask(d, &may_try_again, err);

        if (r >= 0 || !may_try_again || failures >= attempts || d->offset == 0)
            return r;
        r = http_pause(d->fetch->http, http_retry_delay_ms(d->fetch->http, failures), err);
        if (r < 0)
            return r;
    }
}

static int check_content(const struct download *d, const struct digest *have, struct error *err)
{
    char actual[DIGEST_TEXT_SIZE];
    char expected[DIGEST_TEXT_SIZE];

    if (d->from->checksum == NULL || digest_equal(have, d->from->checksum))
        return 0;
    digest_format(have, actual);
    digest_format(d->from->checksum, expected);
    return error_set(err, EBADMSG, "'%s' has the digest %s instead of %s", str_text(&d->shown),
                     actual, expected);
}

static int keep(struct download *d, int64_t *layer, struct error *err)
{
    auto_json struct json *document = json_new_object();
    auto_free char *description = str_format("download of %s", str_text(&d->shown));
    const struct source_about about = {
        .key = &d->key, .description = description, .document = document};
    const struct union_setattr set = {.set = UNION_SET_MTIME, .mtime_ns = d->mtime_ns};
    int64_t known_mtime_ns = 0;
    struct union_attr attr;
    char text[DIGEST_TEXT_SIZE];
    int r;

    digest_format(&d->content, text);
    json_put_text(document, "digest", text);
    json_put_text(document, "etag", d->etag);
    json_put_text(document, "modified", d->modified);
    json_put_int(document, "mtime", d->mtime_ns);
    /* -ENOENT leaves 0, which is what an unknown time is. */
    (void)json_get_int(d->known.document, "mtime", 0, INT64_MAX, &known_mtime_ns);
    if (d->has_known && digest_equal(&d->content, &d->known_content) &&
        known_mtime_ns == d->mtime_ns) {
        *layer = d->known.layer;
        return source_note(d->fetch, &about, *layer, err);
    }
    r = union_setattr(d->view, d->ino, &set, &attr);
    if (r == 0)
        r = copy_touch_dir(d->view, UNION_ROOT, 0);
    if (r < 0)
        return error_set(err, -r, "cannot store '%s': %s", str_text(&d->shown), strerror(-r));
    return source_keep(d->fetch, d->view, &about, layer, err);
}

/* The name of what it holds: content, name and time. */
static void fill(struct download *d, const struct digest *content, struct source *out)
{
    auto_key struct key key = {0};

    key_init(&key, "http-file");
    key_digest(&key, "content", content);
    key_text(&key, "name", d->name);
    key_number(&key, "mtime", (uint64_t)d->mtime_ns);
    key_final(&key, &out->key);
    out->name = STEAL(&d->name);
    out->content = *content;
    out->mtime_ns = d->mtime_ns;
}

int source_http(struct fetch *f, const struct http_source *from, struct source *out,
                struct error *err)
{
    __attribute__((cleanup(cleanup_download_release))) struct download d = {.fetch = f,
                                                                            .from = from};
    const struct digest *content = &d.known_content;
    int r = prepare(&d, err);

    if (r < 0)
        return r;
    /* Content that is pinned cannot have changed. */
    if (!d.has_known || from->checksum == NULL || !digest_equal(&d.known_content, from->checksum))
        r = ask_until_whole(&d, err);
    if (r == 1)
        content = &d.content;
    if (r >= 0 && check_content(&d, content, err) < 0)
        r = -EBADMSG;
    if (r < 0)
        return r;
    *out = (struct source){.layer = d.known.layer, .was_cached = r == 0};
    if (r == 0) {
        (void)json_get_int(d.known.document, "mtime", 0, INT64_MAX, &d.mtime_ns); /* else 0 */
        progress_status(f->progress, f->vertex, str_text(&d.shown), 0, 0, true);
    } else {
        progress_status(f->progress, f->vertex, str_text(&d.shown), d.offset, d.offset, true);
        r = keep(&d, &out->layer, err);
    }
    if (r == 0)
        fill(&d, content, out);
    return r;
}
