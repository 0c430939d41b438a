/* failed.c - the records of failed steps: which of them a new one replaces, and their text. */
#include <errno.h>
#include <string.h>

#include "builder/failed.h"
#include "fs/base/json.h"
#include "fs/base/key.h"
#include "fs/base/limits.h"
#include "fs/store.h"
#include "fs/union.h"
#include "fs/view.h"

#include "fs/base/banned.h"

#define FREE_MIN                                                                                   \
    (256ull << 20) /* a disk with less is for the next build, not for this one's rest */

void step_id(const struct digest *key, char id[STEP_ID_SIZE])
{
    char hex[DIGEST_HEX_SIZE];

    digest_format_hex(key, hex);
    memcpy(id, hex, STEP_ID_SIZE - 1);
    id[STEP_ID_SIZE - 1] = '\0';
}

void failed_record_release(struct failed_record *r)
{
    strv_release(&r->layers);
    strv_release(&r->env);
    strv_release(&r->shell);
    free(r->user);
    free(r->cwd);
    *r = (struct failed_record){0};
}

/* -- reading -- */

/* Other records have a digest there, or nothing. */
bool failed_has(const struct cache_row *row)
{
    return row->extra != NULL && row->extra[0] == '{';
}

static void read_words(const struct json *document, const char *key, struct strv *out)
{
    const struct json *words = json_get_array(document, key);

    for (size_t i = 0; i < json_count(words); i++) {
        const char *text = json_text(json_at(words, i));

        if (text != NULL)
            strv_add(out, text);
    }
}

static int parse(const struct cache_row *row, struct json **out, struct error *err)
{
    return json_parse(row->extra, strlen(row->extra), LIMIT_CONFIG_SIZE, "a failed step's record",
                      out, err);
}

int failed_read(const struct cache_row *row, struct failed_record *out, struct error *err)
{
    auto_failed_record struct failed_record record = {0};
    auto_json struct json *document = NULL;
    const char *key;
    const char *user;
    const char *cwd;
    int r = parse(row, &document, err);

    if (r < 0)
        return r;
    key = json_get_text(document, "step");
    user = json_get_text(document, "user");
    cwd = json_get_text(document, "cwd");
    if (key == NULL || user == NULL || cwd == NULL || cwd[0] != '/')
        return error_set(err, EINVAL, "the record of '%s' is damaged", row->description);
    r = digest_parse(key, &record.key, err);
    if (r < 0)
        return r;
    read_words(document, "layers", &record.layers);
    read_words(document, "env", &record.env);
    read_words(document, "shell", &record.shell);
    record.user = mem_strdup(user);
    record.cwd = mem_strdup(cwd);
    *out = STEAL(&record);
    return 0;
}

/* -- keeping -- */

static void slot_key(unsigned slot, struct digest *out)
{
    auto_key struct key key = {0};

    key_init(&key, "failed-step");
    key_number(&key, "slot", slot);
    key_final(&key, out);
}

static bool is_of_context(const struct cache_row *row, const char *context)
{
    auto_json struct json *document = NULL;
    struct error ignored = {0};

    return failed_has(row) && parse(row, &document, &ignored) == 0 &&
           text_equal(json_get_text(document, "context"), context);
}

/* The context's own slot, else an empty one, else the one that was filled first. */
static int choose_slot(struct store *store, const char *context, struct digest *out,
                       bool *has_replaced, struct error *err)
{
    int64_t oldest_ns = INT64_MAX;
    bool has_empty = false;

    *has_replaced = false;
    for (unsigned slot = 0; slot < FAILED_SLOTS; slot++) {
        auto_cache_row struct cache_row row = {0};
        struct digest key;
        int r;

        slot_key(slot, &key);
        r = store_cache_get(store, &key, &row, err);
        if (r < 0 && r != -ENOENT)
            return r;
        if (r == 0 && is_of_context(&row, context)) {
            *out = key;
            *has_replaced = row.layer != 0;
            break;
        }
        if (r == -ENOENT && !has_empty) {
            *out = key;
            *has_replaced = false;
            has_empty = true;
        } else if (r == 0 && !has_empty && row.created_ns < oldest_ns) {
            *out = key;
            *has_replaced = row.layer != 0;
            oldest_ns = row.created_ns;
        }
    }
    error_clear(err);
    return 0;
}

static int name_layers(struct store *store, const struct failed_step *step, struct json *document,
                       struct error *err)
{
    struct json *names = json_new_array();
    int r = 0;

    for (size_t i = 0; r == 0 && i < step->layer_count; i++) {
        struct layer_row row = {0};
        char name[STORE_NAME_SIZE];

        r = store_layer_get(store, step->layers[i], &row, err);
        store_object_name(row.index, name);
        json_push(names, json_new_text(name));
    }
    json_put(document, "layers", names);
    return r;
}

static int describe(struct store *store, const struct failed_step *step, struct str *out,
                    struct error *err)
{
    auto_json struct json *document = json_new_object();
    char key[DIGEST_TEXT_SIZE];
    int r;

    digest_format(step->key, key);
    json_put_text(document, "step", key);
    json_put_text(document, "context", step->context);
    json_put_text(document, "outcome", step->outcome);
    json_put_text(document, "user", step->user);
    json_put_text(document, "cwd", step->cwd);
    json_put(document, "shell", json_new_strv(step->shell));
    json_put(document, "env", json_new_strv(step->env));
    r = name_layers(store, step, document, err);
    json_write(document, out);
    return r;
}

struct keeping {
    struct store *store;
    struct cache_row row;
};

static int put_row(void *context, int64_t layer, struct error *err)
{
    struct keeping *k = context;

    k->row.layer = layer;
    return store_cache_put(k->store, &k->row, err);
}

/* A step that failed because the disk is full must not keep it so. */
static bool is_too_much(struct view *v)
{
    uint64_t size = view_segment_size_bytes(v);
    struct statvfs fs;

    return size > FAILED_SIZE_MAX || union_statfs(v, &fs) < 0 ||
           (uint64_t)fs.f_bavail * fs.f_frsize < FREE_MIN;
}

int failed_keep(struct store *store, struct view *v, const struct failed_step *step,
                bool *has_replaced, struct error *err)
{
    auto_free char *description = str_format("%s (failed, %s)", step->text, step->outcome);
    auto_str struct str extra = {0};
    struct keeping keeping = {.store = store};
    const struct seal_options seal = {
        .mtime_max_ns = INT64_MAX, .with_row = put_row, .context = &keeping};
    struct view_sealed sealed;
    int r;

    *has_replaced = false;
    if (is_too_much(v))
        return 1;
    r = choose_slot(store, step->context, &keeping.row.key, has_replaced, err);
    if (r == 0)
        r = describe(store, step, &extra, err);
    if (r < 0)
        return r;
    keeping.row.description = description;
    keeping.row.extra = extra.data;
    return view_seal(v, &seal, &sealed, err);
}
