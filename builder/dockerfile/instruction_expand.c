/* instruction_expand.c - an instruction with the variables of one moment put in (Dockerfile
 * reference, "Environment replacement"). */
#include <errno.h>

#include "builder/dockerfile/dockerfile_internal.h"
#include "builder/dockerfile/quote.h"

#include "fs/base/banned.h"

struct expansion {
    struct expand how;
    struct expand_use *use;            /* NULL allowed */
    struct instruction *in;            /* the copy that is changed */
    struct position fault;             /* of the word at hand */
    size_t fault_offset;               /* in that word */
    const struct copy_content *failed; /* the heredoc whose text failed, or NULL */
    struct error *err;
};

static int expand_text(struct expansion *e, char **text, struct position at)
{
    auto_str struct str out = {0};
    int r;

    if (!*text)
        return 0;
    e->fault = at;
    r = expand_word(&e->how, *text, &out, e->use, e->err);
    if (r < 0)
        return r;
    e->fault_offset = 0;
    free(*text);
    *text = str_take(&out);
    return 0;
}

static int expand_one(struct expansion *e, struct word *word)
{
    return expand_text(e, &word->text, word->at);
}

static int expand_all(struct expansion *e, struct words *words)
{
    int r = 0;

    for (size_t i = 0; i < words->count && r == 0; i++)
        r = expand_one(e, &words->items[i]);
    return r;
}

static int expand_pairs(struct expansion *e, struct pairs *pairs)
{
    int r = 0;

    for (size_t i = 0; i < pairs->count && r == 0; i++) {
        r = expand_text(e, &pairs->items[i].name, pairs->items[i].at);
        if (r == 0)
            r = expand_text(e, &pairs->items[i].value, pairs->items[i].value_at);
        if (r == 0 && *pairs->items[i].name == '\0') {
            e->fault = pairs->items[i].at;
            r = error_set(e->err, EINVAL, "%s names can not be blank",
                          instruction_name(e->in->kind));
        }
    }
    return r;
}

static int expand_from(struct expansion *e)
{
    struct from *from = &e->in->from;
    auto_free char *image = quote_bare(from->image.text);
    auto_free char *platform = from->platform.text ? quote_bare(from->platform.text) : NULL;
    int r = expand_one(e, &from->image);

    if (r < 0)
        return r;
    if (*from->image.text == '\0')
        return error_set(e->err, EINVAL, "base name (%s) should not be blank", image);
    r = expand_one(e, &from->platform);
    if (r == 0 && from->platform.text && *from->platform.text == '\0')
        return error_set(e->err, EINVAL, "empty platform value from expression %s", platform);
    return r;
}

static int expand_mounts(struct expansion *e)
{
    for (size_t i = 0; i < e->in->run.mounts.count; i++) {
        struct run_mount *mount = &e->in->run.mounts.items[i];
        struct run_mount complete = {.line = mount->line, .column = mount->column};
        int r;

        e->fault = (struct position){mount->line, mount->column};
        r = run_mount_parse(mount->text, &e->how, e->use, &complete, e->err);
        e->fault_offset = complete.fault_offset;
        if (r < 0)
            return r;
        run_mount_release(mount);
        *mount = complete;
    }
    return 0;
}

/* The text of a heredoc knows variables and escapes, but no quotes; the escape is a backslash
 * whatever the file says. */
static int expand_contents(struct expansion *e)
{
    struct expand outer = e->how;
    int r = 0;

    e->how.plain_quotes = true;
    e->how.escape = '\\';
    for (size_t i = 0; i < e->in->copy.content_count && r == 0; i++) {
        struct copy_content *content = &e->in->copy.contents[i];

        if (!content->expand)
            continue;
        r = expand_text(e, &content->data, content->at);
        e->failed = r < 0 ? content : NULL;
    }
    e->how = outer;
    return r;
}

static int expand_copy(struct expansion *e)
{
    struct copy *copy = &e->in->copy;
    int r = expand_one(e, &copy->chown);

    if (r == 0)
        r = expand_one(e, &copy->chmod);
    if (r == 0)
        r = expand_one(e, &copy->checksum);
    if (r == 0)
        r = expand_all(e, &copy->excludes);
    if (r < 0)
        return r;
    r = expand_all(e, &copy->sources);
    if (r == 0)
        r = expand_one(e, &copy->destination);
    if (r < 0 && strstr(e->err->text, "matching double-quote"))
        (void)error_hint(e->err,
                         "names with blanks are given as an array: [\"a b\", \"c\"]"); /* r */
    return r == 0 ? expand_contents(e) : r;
}

static int compare_ports(const void *a, const void *b)
{
    const char *left = *(char *const *)a;
    const char *right = *(char *const *)b;
    long difference = strtol(left, NULL, 10) - strtol(right, NULL, 10);

    return difference ? (difference > 0) - (difference < 0) : strcmp(left, right);
}

/* By number, then protocol; each once. */
static void sort_ports(struct strv *ports)
{
    struct strv sorted = {0};

    if (ports->count > 0)
        qsort(ports->items, ports->count, sizeof(ports->items[0]), compare_ports);
    for (size_t i = 0; i < ports->count; i++)
        if (i == 0 || !text_equal(ports->items[i], ports->items[i - 1]))
            strv_add(&sorted, ports->items[i]);
    strv_release(ports);
    *ports = sorted;
}

static int expand_expose(struct expansion *e)
{
    struct expose *expose = &e->in->expose;
    struct words expanded = {0};
    int r = 0;

    strv_release(&expose->ports);
    for (size_t i = 0; i < expose->specs.count && r == 0; i++) {
        const struct word *spec = &expose->specs.items[i];
        auto_strv struct strv words = {0};

        e->fault = spec->at;
        r = expand_words(&e->how, spec->text, &words, e->use, e->err);
        e->fault_offset = r < 0 ? e->fault_offset : 0;
        for (size_t j = 0; j < words.count && r == 0; j++) {
            r = expose_ports(words.items[j], &expose->ports, e->err);
            words_add(&expanded, mem_strdup(words.items[j]), spec->at);
        }
    }
    words_release(&expose->specs);
    expose->specs = expanded;
    sort_ports(&expose->ports);
    return r;
}

static int expand_volumes(struct expansion *e)
{
    int r = expand_all(e, &e->in->volumes);

    for (size_t i = 0; i < e->in->volumes.count && r == 0; i++) {
        e->fault = e->in->volumes.items[i].at;
        if (*e->in->volumes.items[i].text == '\0')
            r = error_set(e->err, EINVAL, "VOLUME specified can not be an empty string");
    }
    return r;
}

static int expand_stop_signal(struct expansion *e)
{
    int r = expand_one(e, &e->in->value);
    auto_free char *shown = quote_bare(e->in->value.text);

    if (r == 0 && !stop_signal_is_valid(e->in->value.text))
        r = error_set(e->err, EINVAL, "invalid signal: %s", shown);
    return r;
}

static int expand_payload(struct expansion *e)
{
    switch (e->in->kind) {
    case INSTRUCTION_ADD:
    case INSTRUCTION_COPY:
        return expand_copy(e);
    case INSTRUCTION_ARG:
    case INSTRUCTION_ENV:
    case INSTRUCTION_LABEL:
        return expand_pairs(e, &e->in->pairs);
    case INSTRUCTION_EXPOSE:
        return expand_expose(e);
    case INSTRUCTION_FROM:
        return expand_from(e);
    case INSTRUCTION_RUN:
        return expand_mounts(e);
    case INSTRUCTION_STOPSIGNAL:
        return expand_stop_signal(e);
    case INSTRUCTION_USER:
    case INSTRUCTION_WORKDIR:
        return expand_one(e, &e->in->value);
    case INSTRUCTION_VOLUME:
        return expand_volumes(e);
    case INSTRUCTION_CMD:
    case INSTRUCTION_ENTRYPOINT:
    case INSTRUCTION_HEALTHCHECK:
    case INSTRUCTION_MAINTAINER:
    case INSTRUCTION_ONBUILD:
    case INSTRUCTION_SHELL:
    case INSTRUCTION_KINDS:
        return 0;
    }
    return 0;
}

int instruction_expand(const struct dockerfile *df, const struct instruction *in,
                       const struct expand_env *env, struct expand_use *use,
                       struct instruction **out, struct error *err)
{
    auto_instruction struct instruction *copy = instruction_copy(in);
    static const struct expand_env nothing = {0};
    struct expansion e = {
        .how = {.env = env ? env : &nothing, .escape = df ? df->escape : '\\'},
        .use = use,
        .in = copy,
        .fault = {in->line_first, 0},
        .err = err,
    };
    int r;

    e.how.fault_offset = &e.fault_offset;
    r = expand_payload(&e);
    if (r == 0) {
        *out = STEAL(&copy);
        return 0;
    }
    if (!df)
        return r;
    if (e.failed && e.fault.column > 0)
        e.fault =
            dockerfile_content_place(df, e.failed->line_first, e.failed->data, e.fault_offset);
    else
        e.fault = dockerfile_place(df, in, &e.fault, e.fault_offset);
    return dockerfile_locate(df, in, &e.fault, err);
}
