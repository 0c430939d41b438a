/* source.c - what all sources share: their records in the store, and archives. */
#include <errno.h>
#include <string.h>

#include "builder/source/source.h"
#include "builder/source/source_internal.h"
#include "builder/tree/copy.h"
#include "builder/tree/extract.h"
#include "fs/base/json.h"
#include "fs/base/key.h"
#include "fs/store.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define RECORD_SIZE_MAX (64u << 10)

void source_release(struct source *s)
{
    free(s->name);
    free(s->commit);
    *s = (struct source){0};
}

void source_record_release(struct source_record *r)
{
    json_unref(r->document);
    *r = (struct source_record){0};
}

bool source_is_url(const char *text)
{
    return text_starts(text, "http://") || text_starts(text, "https://");
}

char *source_shown(const char *address)
{
    const char *scheme = strstr(address, "://");
    size_t size = strcspn(address, "?");
    size_t start = scheme == NULL ? 0 : (size_t)(scheme - address) + 3;
    size_t authority = scheme == NULL ? 0 : strcspn(scheme + 3, "/?#");
    const char *at = scheme == NULL ? NULL : memrchr(scheme + 3, '@', authority);
    size_t skip = at == NULL ? start : (size_t)(at - address) + 1;

    return str_format("%.*s%.*s", (int)start, address, (int)(size > skip ? size - skip : 0),
                      address + skip);
}

char *source_digest_text(const struct source *s)
{
    char text[DIGEST_TEXT_SIZE];

    if (s->commit != NULL)
        return str_format("%s:%s", strlen(s->commit) == 64 ? "sha256" : "sha1", s->commit);
    digest_format(&s->content, text);
    return mem_strdup(text);
}

const struct build_secret *source_secret(const struct fetch *f, const char *id)
{
    return build_secret_find(f->secrets, f->secret_count, id);
}

int source_check_stop(const struct fetch *f, struct error *err)
{
    if (f->stop != NULL && atomic_load(f->stop))
        return error_set(err, ECANCELED, "canceled");
    return 0;
}

int source_find(struct fetch *f, const struct digest *key, struct source_record *out,
                struct error *err)
{
    auto_cache_row struct cache_row row = {0};
    int r = store_cache_get(f->store, key, &row, err);

    *out = (struct source_record){0};
    if (r == -ENOENT) {
        error_clear(err);
        return 0;
    }
    if (r < 0)
        return r;
    if (row.extra != NULL)
        r = json_parse(row.extra, strlen(row.extra), RECORD_SIZE_MAX, "a record of a download",
                       &out->document, err);
    if (r < 0)
        return r;
    out->is_found = true;
    out->layer = row.layer;
    return store_cache_touch(f->store, key, 1, err);
}

int source_note(struct fetch *f, const struct source_about *about, int64_t layer, struct error *err)
{
    auto_str struct str text = {0};
    auto_free char *owned = mem_strdup(about->description);
    struct cache_row row = {
        .key = *about->key, .layer = layer, .description = owned, .created_ns = f->now_ns};

    if (about->document != NULL) {
        json_write(about->document, &text);
        row.extra = text.data;
    }
    return store_cache_put(f->store, &row, err);
}

struct keeping {
    struct fetch *fetch;
    const struct source_about *about;
};

static int keep_row(void *context, int64_t layer, struct error *err)
{
    const struct keeping *k = context;

    return source_note(k->fetch, k->about, layer, err);
}

int source_keep(struct fetch *f, struct view *v, const struct source_about *about, int64_t *layer,
                struct error *err)
{
    struct keeping keeping = {.fetch = f, .about = about};
    const struct seal_options options = {
        .mtime_max_ns = INT64_MAX, .with_row = keep_row, .context = &keeping};
    struct view_sealed sealed;
    int r = view_seal(v, &options, &sealed, err);

    if (r == 0)
        *layer = sealed.layer;
    return r;
}

/* ---- archives ---- */

struct hashing_reader {
    struct reader base;
    struct reader *from;
    struct hasher *hasher;
    const struct fetch *fetch;
};

static ssize_t read_hashing(struct reader *r, void *buf, size_t size, struct error *err)
{
    struct hashing_reader *h = (struct hashing_reader *)(void *)r;
    ssize_t got = source_check_stop(h->fetch, err);

    if (got == 0)
        got = reader_read(h->from, buf, size, err);
    if (got > 0)
        hasher_update(h->hasher, buf, (size_t)got);
    return got;
}

/* What follows the archive's end belongs to its digest too. */
static int read_rest(struct reader *from, struct error *err)
{
    auto_free char *buffer = mem_alloc(64u << 10);
    ssize_t got;

    do
        got = reader_read(from, buffer, 64u << 10, err);
    while (got > 0);
    return (int)got;
}

static void archive_key(const struct digest *content, struct digest *out)
{
    auto_key struct key key = {0};

    key_init(&key, "source-archive");
    key_digest(&key, "content", content);
    key_final(&key, out);
}

/* The same bytes give the same tree: a second copy of it is thrown away. */
int source_archive(struct fetch *f, struct reader *from, const char *what,
                   const struct digest *content, struct source *out, struct error *err)
{
    auto_hasher struct hasher *hasher = hasher_new();
    struct hashing_reader reader = {
        .base.read = read_hashing, .from = from, .hasher = hasher, .fetch = f};
    const struct view_options options = {.label = what, .allow_devices = true};
    const struct copy_options all = {.destination = "/", .set_owner = true, .now_ns = f->now_ns};
    auto_source_record struct source_record known = {0};
    auto_view struct view *view = NULL;
    auto_free char *description = str_format("context from %s", what);
    const struct source_about about = {.key = &out->key, .description = description};
    int r = 0;

    if (content != NULL) {
        out->content = *content;
        archive_key(content, &out->key);
        r = source_find(f, &out->key, &known, err);
    }
    if (known.is_found) {
        out->was_cached = true;
        out->layer = known.layer;
        return 0;
    }
    if (r == 0)
        r = view_open(f->store, NULL, 0, &options, &view, err);
    if (r == 0)
        r = extract_archive(view, &reader.base, what, &all, err);
    if (r == 0)
        r = read_rest(&reader.base, err);
    if (r < 0)
        return r;
    hasher_final(hasher, &out->content);
    archive_key(&out->content, &out->key);
    r = source_find(f, &out->key, &known, err);
    if (r < 0)
        return r;
    out->was_cached = known.is_found;
    out->layer = known.layer;
    return known.is_found ? 0 : source_keep(f, view, &about, &out->layer, err);
}
