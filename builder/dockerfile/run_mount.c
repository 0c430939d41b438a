/* run_mount.c - fields, keys and defaults of RUN --mount. Placing a mount: see sandbox.c. */
#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "builder/dockerfile/expand.h"
#include "builder/dockerfile/quote.h"
#include "builder/dockerfile/run_mount.h"

#include "fs/base/banned.h"

enum key {
    KEY_TYPE,
    KEY_TARGET,
    KEY_SOURCE,
    KEY_FROM,
    KEY_ID,
    KEY_ACCESS, /* rw, ro */
    KEY_SHARING,
    KEY_REQUIRED,
    KEY_SIZE,
    KEY_MODE,
    KEY_UID,
    KEY_GID,
    KEY_ENV,
    KEYS,
};

static const struct key_name {
    const char *name;
    enum key key;
} key_names[] = {
    {"type", KEY_TYPE},       {"from", KEY_FROM},
    {"source", KEY_SOURCE},   {"target", KEY_TARGET},
    {"readonly", KEY_ACCESS}, {"id", KEY_ID},
    {"sharing", KEY_SHARING}, {"required", KEY_REQUIRED},
    {"size", KEY_SIZE},       {"mode", KEY_MODE},
    {"uid", KEY_UID},         {"gid", KEY_GID},
    {"src", KEY_SOURCE},      {"destination", KEY_TARGET},
    {"dst", KEY_TARGET},      {"ro", KEY_ACCESS},
    {"rw", KEY_ACCESS},       {"readwrite", KEY_ACCESS},
    {"env", KEY_ENV},
};
#define KEY_NAMES (sizeof(key_names) / sizeof(key_names[0]))

static const char *const type_names[] = {"bind", "cache", "tmpfs", "secret", "ssh"};
static const char *const sharing_names[] = {"shared", "private", "locked"};
#define TYPES (sizeof(type_names) / sizeof(type_names[0]))
#define SHARINGS (sizeof(sharing_names) / sizeof(sharing_names[0]))

#define BIT(n) (1u << (n))

/* Which keys a type has besides `type` itself. */
static const unsigned keys_of[TYPES] = {
    [RUN_MOUNT_BIND] = BIT(KEY_TARGET) | BIT(KEY_SOURCE) | BIT(KEY_FROM) | BIT(KEY_ACCESS),
    [RUN_MOUNT_CACHE] = BIT(KEY_TARGET) | BIT(KEY_SOURCE) | BIT(KEY_FROM) | BIT(KEY_ACCESS) |
                        BIT(KEY_ID) | BIT(KEY_SHARING) | BIT(KEY_MODE) | BIT(KEY_UID) |
                        BIT(KEY_GID),
    [RUN_MOUNT_TMPFS] = BIT(KEY_TARGET) | BIT(KEY_SIZE),
    [RUN_MOUNT_SECRET] = BIT(KEY_TARGET) | BIT(KEY_SOURCE) | BIT(KEY_ID) | BIT(KEY_REQUIRED) |
                         BIT(KEY_MODE) | BIT(KEY_UID) | BIT(KEY_GID) | BIT(KEY_ENV),
    [RUN_MOUNT_SSH] = BIT(KEY_TARGET) | BIT(KEY_ID) | BIT(KEY_REQUIRED) | BIT(KEY_MODE) |
                      BIT(KEY_UID) | BIT(KEY_GID),
};

struct field {
    char *text;       /* as written, for messages */
    char *key;        /* lower case */
    char *value;      /* NULL: there is no equals sign */
    size_t offset;    /* of `text` in the flag's value */
    bool is_deferred; /* holds a variable whose value is not known yet */
};

struct mount_parsing {
    const struct expand *how;
    struct expand_use *use;
    struct field fields[KEYS]; /* each key at most once */
    struct run_mount *out;
    bool knows_type;
    size_t at; /* offset of the field being looked at */
    struct error *err;
};

static void field_release(struct field *field)
{
    free(field->text);
    free(field->key);
    free(field->value);
    *field = (struct field){0};
}

const char *run_mount_type_name(enum run_mount_type type)
{
    return type_names[type];
}

/* The end of a field: commas inside quotes or behind a backslash do not count. */
static const char *end_of_field(const char *at)
{
    char quote = '\0';

    for (; *at && (quote != '\0' || *at != ','); at++) {
        if (*at == '\\' && quote != '\'' && at[1])
            at++;
        else if (quote == '\0' && (*at == '"' || *at == '\''))
            quote = *at;
        else if (*at == quote)
            quote = '\0';
    }
    return at;
}

/* A text which is one quoted piece from its first to its last byte loses the quotes. */
static char *strip_quotes(const char *text, size_t size)
{
    const char *close =
        size > 1 && (*text == '"' || *text == '\'') ? memchr(text + 1, *text, size - 1) : NULL;

    if (close && close == text + size - 1)
        return mem_strndup(text + 1, size - 2);
    return mem_strndup(text, size);
}

static int suggest(struct error *err, const char *word, const char *const *candidates, size_t count)
{
    const char *found = text_suggest(word, candidates, count);

    return found ? error_set(err, err->code, "%s (did you mean %s?)", err->text, found)
                 : -err->code;
}

static int refuse_key(struct mount_parsing *p, const struct field *field)
{
    const char *names[KEY_NAMES];
    auto_free char *key = quote_bare(field->key);
    auto_free char *text = quote_bare(field->text);

    for (size_t i = 0; i < KEY_NAMES; i++)
        names[i] = key_names[i].name;
    if (!field->value)
        (void)error_set(p->err, EINVAL, "invalid field '%s' must be a key=value pair", text);
    else
        (void)error_set(p->err, EINVAL, "unexpected key '%s' in '%s'", key, text);
    return field->value ? suggest(p->err, field->key, names, KEY_NAMES) : -EINVAL;
}

static int refuse_repeat(struct mount_parsing *p, const struct field *field)
{
    auto_free char *text = quote_bare(p->out->text);

    return error_set(p->err, EINVAL, "duplicate key '%s' in '%s'", field->key, text);
}

static bool may_stand_alone(enum key key)
{
    return key == KEY_ACCESS || key == KEY_REQUIRED;
}

static int refuse_variable(struct mount_parsing *p, const char *key)
{
    return error_set(p->err, EINVAL,
                     "'%s' doesn't support variable expansion, define alias stage instead", key);
}

/* Replaces field->value by what it stands for. */
static int resolve(struct mount_parsing *p, enum key key, struct field *field)
{
    auto_str struct str value = {0};
    const char *dollar = strchr(field->value, '$');
    struct expand how = *p->how;
    int r;

    if (key == KEY_FROM) {
        how.env = NULL;
        how.keep_unset = true;
        if (dollar && dollar[1])
            return refuse_variable(p, field->key);
    } else if (dollar && !how.env) {
        field->is_deferred = true;
        return 0;
    }
    r = expand_word(&how, field->value, &value, p->use, p->err);
    if (r < 0)
        return r;
    free(field->value);
    field->value = str_take(&value);
    return 0;
}

static bool is_without_meaning(const char *key)
{
    return text_equal(key, "z") || text_equal(key, "u");
}

/* `z`, `Z` and `U` of other builders: labels are not used here, and owners are what they are. */
static void note_ignored(struct mount_parsing *p, const char *text)
{
    free(p->out->ignored);
    p->out->ignored = mem_strdup(text);
}

static int add_field(struct mount_parsing *p, const char *start, const char *end)
{
    auto_free char *text = strip_quotes(start, (size_t)(end - start));
    char *equals = strchr(text, '=');
    struct field field = {
        .text = mem_strndup(start, (size_t)(end - start)),
        .key = equals ? mem_strndup(text, (size_t)(equals - text)) : mem_strdup(text),
        .value = equals ? mem_strdup(equals + 1) : NULL,
        .offset = p->at,
    };
    const struct key_name *known = NULL;
    int r = 0;

    for (char *c = field.key; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    for (size_t i = 0; i < KEY_NAMES && !known; i++)
        if (text_equal(key_names[i].name, field.key))
            known = &key_names[i];
    if (is_without_meaning(field.key)) {
        note_ignored(p, field.text);
        field_release(&field);
        return 0;
    }
    if (!known || (!field.value && !may_stand_alone(known->key)))
        r = refuse_key(p, &field);
    else if (p->fields[known->key].key)
        r = refuse_repeat(p, &field);
    else if (field.value)
        r = resolve(p, known->key, &field);
    if (r < 0) {
        field_release(&field);
        return r;
    }
    p->fields[known->key] = field;
    return 0;
}

static int split_fields(struct mount_parsing *p, const char *text)
{
    auto_free char *all = strip_quotes(text, strlen(text));
    const char *at = all;
    size_t quote = strlen(text) > strlen(all); /* in front, when it was taken off */

    for (;;) {
        const char *end = end_of_field(at);
        int r;

        p->at = quote + (size_t)(at - all);
        r = add_field(p, at, end);

        if (r < 0 || *end == '\0')
            return r;
        at = end + 1;
    }
}

/* The field of a key when its value is known. */
static const struct field *get(const struct mount_parsing *p, enum key key)
{
    const struct field *field = &p->fields[key];

    return field->key && !field->is_deferred ? field : NULL;
}

static int read_choice(struct mount_parsing *p, const struct field *field, const char *what,
                       const char *const *names, size_t count, size_t *out)
{
    auto_free char *shown = quote_word(field->value);

    p->at = field->offset;
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(field->value, names[i]) == 0) {
            *out = i;
            return 0;
        }
    }
    (void)error_set(p->err, EINVAL, "unsupported %s %s", what, shown);
    return suggest(p->err, field->value, names, count);
}

/* A key without a value means yes. */
static int read_switch(struct mount_parsing *p, enum key key, bool *out)
{
    const struct field *field = get(p, key);
    auto_free char *shown = NULL;
    bool value = true;

    if (!field)
        return 0;
    p->at = field->offset;
    if (field->value && !text_to_bool(field->value, &value)) {
        shown = quote_bare(field->value);
        return error_set(p->err, EINVAL, "invalid value for %s: %s", field->key, shown);
    }
    *out = field->key[0] == 'r' && strchr(field->key, 'w') ? !value : value; /* rw, readwrite */
    return 0;
}

static int read_number(struct mount_parsing *p, enum key key, bool *has, uint32_t *out)
{
    const struct field *field = get(p, key);
    auto_free char *shown = NULL;
    char *end = NULL;
    uint64_t value;
    bool ok;

    if (!field)
        return 0;
    p->at = field->offset;
    if (key == KEY_MODE) {
        value = strtoul(field->value, &end, 8);
        ok = isdigit((unsigned char)field->value[0]) && *end == '\0' && value <= 07777;
    } else {
        ok = text_to_u64(field->value, UINT32_MAX - 1, &value);
    }
    shown = quote_bare(field->value);
    if (!ok)
        return error_set(p->err, EINVAL, "invalid value %s for %s", shown, field->key);
    *has = true;
    *out = (uint32_t)value;
    return 0;
}

/* 64m, 1.5g, 1024, 10MiB: all units are binary ones. */
static bool parse_size(const char *text, uint64_t *out)
{
    static const char letters[] = "kmgtp";
    size_t digits = strspn(text, "0123456789");
    size_t size = strspn(text, "0123456789.");
    const char *unit = text + size;
    const char *letter;
    double factor = 1;
    double value;

    while (*unit == ' ')
        unit++;
    if (digits == 0 || size > 20 || strchr(text + digits + (text[digits] == '.'), '.'))
        return false;
    letter = *unit ? strchr(letters, tolower((unsigned char)*unit)) : NULL;
    if (letter) {
        for (const char *l = letters; l <= letter; l++)
            factor *= 1024;
        unit++;
        unit += *unit == 'i' || *unit == 'I';
    }
    unit += *unit == 'b' || *unit == 'B';
    value = strtod(text, NULL) * factor;
    if (*unit || value >= 9.2e18)
        return false;
    *out = (uint64_t)value;
    return true;
}

static int read_size(struct mount_parsing *p)
{
    const struct field *field = get(p, KEY_SIZE);
    auto_free char *shown = NULL;

    if (!field || parse_size(field->value, &p->out->size_max_bytes))
        return 0;
    p->at = field->offset;
    shown = quote_bare(field->value);
    return error_set(p->err, EINVAL, "invalid value for %s: %s", field->key, shown);
}

static int read_type(struct mount_parsing *p)
{
    const struct field *field = get(p, KEY_TYPE);
    size_t type = RUN_MOUNT_BIND;
    int r = field ? read_choice(p, field, "mount type", type_names, TYPES, &type) : 0;

    p->out->type = (enum run_mount_type)type;
    p->knows_type = !p->fields[KEY_TYPE].is_deferred;
    return r;
}

/* Keys which only other types have. */
static int check_keys(struct mount_parsing *p)
{
    const char *type = type_names[p->out->type];

    if (!p->knows_type)
        return 0;
    for (size_t i = KEY_TYPE + 1; i < KEYS; i++) {
        const struct field *field = &p->fields[i];

        if (!field->key || keys_of[p->out->type] & BIT(i))
            continue;
        if (i == KEY_ACCESS && p->out->is_read_only == (p->out->type != RUN_MOUNT_TMPFS))
            continue; /* says what holds anyway */
        p->at = field->offset;
        if (i == KEY_MODE || i == KEY_UID || i == KEY_GID)
            return error_set(p->err, EINVAL, "%s not allowed for \"%s\" type mounts", field->key,
                             type);
        if (i == KEY_SHARING)
            return error_set(p->err, EINVAL, "invalid cache sharing set for %s mount", type);
        if (i == KEY_FROM && p->out->type == RUN_MOUNT_SECRET)
            return error_set(p->err, EINVAL, "secret mount should not have a from");
        return error_set(p->err, EINVAL, "unexpected key '%s' for mount type '%s'", field->key,
                         type);
    }
    return 0;
}

static char *take_text(const struct mount_parsing *p, enum key key)
{
    const struct field *field = get(p, key);

    return field && *field->value ? mem_strdup(field->value) : NULL;
}

static int finish_secret(struct mount_parsing *p)
{
    struct run_mount *m = p->out;

    p->at = 0;
    if (!p->fields[KEY_SOURCE].key && !p->fields[KEY_TARGET].key && !p->fields[KEY_ID].key)
        return error_set(p->err, EINVAL, "invalid secret mount. one of source, target required");
    if (p->fields[KEY_SOURCE].key && p->fields[KEY_ID].key)
        return error_set(p->err, EINVAL, "both source and id can't be set");
    if (!m->is_complete)
        return 0;
    if (!m->id)
        m->id = m->source ? STEAL(&m->source) : mem_strdup(path_base(m->target ? m->target : ""));
    if (*m->id == '\0')
        return error_set(p->err, EINVAL, "invalid secret mount. one of source, target required");
    if (!m->target && !m->env)
        m->target = str_format("/run/secrets/%s", path_base(m->id));
    return 0;
}

/* What a key that was not given means for the type. */
static int finish(struct mount_parsing *p)
{
    struct run_mount *m = p->out;
    auto_free char *target = m->target ? path_clean(m->target) : NULL;

    if (!p->knows_type)
        return 0;
    p->at = target ? p->fields[KEY_TARGET].offset : 0;
    if (target && text_equal(target, "/"))
        return error_set(p->err, EINVAL, "invalid mount target \"/\"");
    if (!m->has_mode)
        m->mode = m->type == RUN_MOUNT_CACHE    ? 0755
                  : m->type == RUN_MOUNT_SECRET ? 0400
                  : m->type == RUN_MOUNT_SSH    ? 0600
                                                : 0;
    if (m->type == RUN_MOUNT_SECRET)
        return finish_secret(p);
    if (m->type == RUN_MOUNT_CACHE && !m->id && m->is_complete)
        m->id = path_clean(m->target ? m->target : "");
    if (m->type == RUN_MOUNT_SSH && !m->id && m->is_complete)
        m->id = mem_strdup("default");
    return 0;
}

static int read_all(struct mount_parsing *p)
{
    struct run_mount *m = p->out;
    size_t sharing = RUN_MOUNT_SHARED;
    int r = read_type(p);

    if (r < 0)
        return r;
    m->is_read_only = p->knows_type && m->type != RUN_MOUNT_CACHE && m->type != RUN_MOUNT_TMPFS;
    r = read_switch(p, KEY_ACCESS, &m->is_read_only);
    if (r == 0)
        r = read_switch(p, KEY_REQUIRED, &m->is_required);
    if (r == 0)
        r = check_keys(p);
    if (r == 0 && get(p, KEY_SHARING))
        r = read_choice(p, get(p, KEY_SHARING), "sharing value", sharing_names, SHARINGS, &sharing);
    if (r == 0)
        r = read_number(p, KEY_MODE, &m->has_mode, &m->mode);
    if (r == 0)
        r = read_number(p, KEY_UID, &m->has_uid, &m->uid);
    if (r == 0)
        r = read_number(p, KEY_GID, &m->has_gid, &m->gid);
    if (r == 0)
        r = read_size(p);
    m->sharing = (enum run_mount_sharing)sharing;
    m->target = take_text(p, KEY_TARGET);
    m->source = take_text(p, KEY_SOURCE);
    m->from = take_text(p, KEY_FROM);
    m->id = take_text(p, KEY_ID);
    m->env = take_text(p, KEY_ENV);
    return r < 0 ? r : finish(p);
}

int run_mount_parse(const char *text, const struct expand *how, struct expand_use *use,
                    struct run_mount *out, struct error *err)
{
    struct mount_parsing p = {.how = how, .use = use, .out = out, .err = err};
    int r;

    out->text = mem_strdup(text);
    r = split_fields(&p, text);
    out->is_complete = true;
    for (size_t i = 0; i < KEYS; i++)
        out->is_complete = out->is_complete && !p.fields[i].is_deferred;
    if (r == 0)
        r = read_all(&p);
    for (size_t i = 0; i < KEYS; i++)
        field_release(&p.fields[i]);
    if (r < 0) {
        run_mount_release(out);
        out->fault_offset = p.at;
    }
    return r;
}

size_t run_mount_field(const char *text, const char *key)
{
    const struct expand how = {.escape = '\\'};
    struct run_mount unused = {0};
    struct error ignored; /* what was parsed once can be split again */
    struct mount_parsing p = {.how = &how, .out = &unused, .err = &ignored};
    size_t offset = 0;

    unused.text = mem_strdup(text);
    (void)split_fields(&p, text);
    for (size_t i = 0; i < KEY_NAMES; i++)
        if (text_equal(key_names[i].name, key) && p.fields[key_names[i].key].key)
            offset = p.fields[key_names[i].key].offset;
    for (size_t i = 0; i < KEYS; i++)
        field_release(&p.fields[i]);
    run_mount_release(&unused);
    return offset;
}

static char *copy_text(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

void run_mount_copy(struct run_mount *to, const struct run_mount *from)
{
    *to = *from;
    to->text = copy_text(from->text);
    to->from = copy_text(from->from);
    to->target = copy_text(from->target);
    to->source = copy_text(from->source);
    to->id = copy_text(from->id);
    to->env = copy_text(from->env);
    to->ignored = copy_text(from->ignored);
}

void run_mount_release(struct run_mount *mount)
{
    free(mount->text);
    free(mount->from);
    free(mount->target);
    free(mount->source);
    free(mount->id);
    free(mount->env);
    free(mount->ignored);
    *mount = (struct run_mount){0};
}
