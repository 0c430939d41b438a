/* provenance_steps.c - the steps of a build, numbered as BuildKit does: first what comes from outside, then
 * what was done, each after what it needs. Dockerfiles refer upwards, so the order of their stages is
 * such an order. */
#include <stdlib.h>
#include <string.h>

#include "builder/attest/provenance.h"
#include "builder/attest/provenance_internal.h"
#include "builder/attest/trace.h"
#include "fs/base/json.h"
#include "registry/base64.h"
#include "registry/descriptor.h"
#include "registry/platform.h"

#include "fs/base/banned.h"

#define NO_STEP SIZE_MAX

/* The numbers that things get. */
struct numbers {
    const struct trace *t;
    struct strv sources; /* sorted; the n-th is step n */
};

static void numbers_release(struct numbers *n)
{
    strv_release(&n->sources);
}
DEFINE_CLEANUP_VALUE(numbers_release, struct numbers)
#define auto_numbers CLEANUP(numbers_release)

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_source(struct strv *sources, const char *source)
{
    if (source != NULL && !text_starts(source, TRACE_STAGE) && !strv_contains(sources, source))
        strv_add(sources, source);
}

static void number_all(const struct trace *t, struct numbers *out)
{
    out->t = t;
    for (size_t i = 0; i < t->bases.count; i++)
        add_source(&out->sources, t->bases.items[i].source);
    for (size_t i = 0; i < t->steps.count; i++)
        for (size_t k = 0; k < t->steps.items[i].inputs.count; k++)
            add_source(&out->sources, t->steps.items[i].inputs.items[k]);
    if (out->sources.count > 1)
        qsort(out->sources.items, out->sources.count, sizeof(char *), compare_words);
}

static size_t number_of_source(const struct numbers *n, const char *source)
{
    for (size_t i = 0; source != NULL && i < n->sources.count; i++)
        if (strcmp(n->sources.items[i], source) == 0)
            return i;
    return NO_STEP;
}

static size_t number_of_result(const struct numbers *n, size_t stage);

/* What the first step of a stage begins with. */
static size_t number_of_base(const struct numbers *n, size_t stage)
{
    const struct trace_base *base = stage < n->t->bases.count ? &n->t->bases.items[stage] : NULL;

    if (base == NULL)
        return NO_STEP;
    return base->is_stage && base->stage < stage ? number_of_result(n, base->stage)
                                                 : number_of_source(n, base->source);
}

static size_t number_of_result(const struct numbers *n, size_t stage)
{
    for (size_t i = n->t->steps.count; i > 0; i--)
        if (n->t->steps.items[i - 1].stage == stage)
            return n->sources.count + i - 1;
    return number_of_base(n, stage);
}

static size_t number_of_input(const struct numbers *n, const char *input)
{
    return text_starts(input, TRACE_STAGE)
               ? number_of_result(n, strtoul(input + strlen(TRACE_STAGE), NULL, 10))
               : number_of_source(n, input);
}

static void push_input(struct json *list, size_t number)
{
    auto_free char *text = str_format("step%zu:0", number);

    if (number != NO_STEP)
        json_push(list, json_new_text(text));
}

static struct json *new_step(size_t number, struct json *op, const char *platform)
{
    struct json *step = json_new_object();
    struct json *whole = json_new_object();
    auto_free char *id = str_format("step%zu", number);
    auto_platform struct platform where = {0};
    struct error ignored; /* then none is told */

    json_put_text(step, "id", id);
    json_put(whole, "Op", op);
    if (platform != NULL && platform_parse(platform, &where, &ignored) == 0) {
        struct json *p = json_new_object();

        json_put_text(p, "Architecture", where.architecture);
        json_put_text(p, "OS", where.os);
        json_put_text(p, "Variant", where.variant);
        json_put(whole, "platform", p);
    }
    json_put(step, "op", whole);
    return step;
}

static const char *platform_of(const struct trace *t, size_t stage)
{
    return stage < t->bases.count ? t->bases.items[stage].platform : NULL;
}

static const struct trace_base *base_with(const struct trace *t, const char *source)
{
    for (size_t i = 0; i < t->bases.count; i++)
        if (text_equal(t->bases.items[i].source, source))
            return &t->bases.items[i];
    return NULL;
}

static struct json *source_step(const struct numbers *n, size_t number)
{
    const char *source = n->sources.items[number];
    const struct trace_base *base = base_with(n->t, source);
    struct json *op = json_new_object();
    struct json *identifier = json_new_object();

    json_put_text(identifier, "identifier", source);
    json_put(op, "source", identifier);
    return new_step(number, op, base == NULL ? NULL : base->platform);
}

static struct json *done_step(const struct numbers *n, size_t place)
{
    const struct trace_step *s = &n->t->steps.items[place];
    struct json *step =
        new_step(n->sources.count + place, json_ref(s->op), platform_of(n->t, s->stage));
    struct json *inputs = json_new_array();
    bool is_first = place == 0 || n->t->steps.items[place - 1].stage != s->stage;

    push_input(inputs, is_first ? number_of_base(n, s->stage) : n->sources.count + place - 1);
    for (size_t i = 0; i < s->inputs.count; i++)
        push_input(inputs, number_of_input(n, s->inputs.items[i]));
    if (json_count(inputs) > 0)
        json_put(step, "inputs", json_ref(inputs));
    json_unref(inputs);
    return step;
}

struct json *provenance_build_config(const struct provenance *p)
{
    auto_numbers struct numbers n = {0};
    struct json *config = json_new_object();
    struct json *list = json_new_array();

    number_all(p->trace, &n);
    for (size_t i = 0; i < n.sources.count; i++)
        json_push(list, source_step(&n, i));
    for (size_t i = 0; i < p->trace->steps.count; i++)
        json_push(list, done_step(&n, i));
    json_put(config, "llbDefinition", list);
    return config;
}

/* ---- where it stands in the Dockerfile ---- */

static struct json *new_range(unsigned first, unsigned last)
{
    struct json *range = json_new_object();
    struct json *start = json_new_object();
    struct json *end = json_new_object();

    json_put_int(start, "line", first);
    json_put_int(end, "line", last);
    json_put(range, "start", start);
    json_put(range, "end", end);
    return range;
}

/* {"locations": [{"ranges": [...]}, ...]}, one of them for each place. */
static void put_location(struct json *locations, size_t number, unsigned first, unsigned last)
{
    auto_free char *id = str_format("step%zu", number);
    struct json *places = json_get_array(json_get_object(locations, id), "locations");
    struct json *place = json_new_object();
    struct json *ranges = json_new_array();

    if (places == NULL) {
        struct json *one = json_new_object();

        json_put(one, "locations", json_new_array());
        json_put(locations, id, one);
        places = json_get_array(one, "locations");
    }
    json_push(ranges, new_range(first, last));
    json_put(place, "ranges", ranges);
    json_push(places, place);
}

static struct json *new_locations(const struct numbers *n)
{
    struct json *locations = json_new_object();

    for (size_t number = 0; number < n->sources.count; number++)
        for (size_t i = 0; i < n->t->bases.count; i++) {
            const struct trace_base *base = &n->t->bases.items[i];

            if (text_equal(base->source, n->sources.items[number]))
                put_location(locations, number, base->line_first, base->line_last);
        }
    for (size_t i = 0; i < n->t->steps.count; i++) {
        const struct trace_step *s = &n->t->steps.items[i];

        put_location(locations, n->sources.count + i, s->line_first, s->line_last);
    }
    return locations;
}

static struct json *new_infos(const struct provenance *p)
{
    struct json *infos = json_new_array();
    struct json *info = json_new_object();
    auto_str struct str data = {0};

    base64_encode(p->dockerfile, p->dockerfile_size, &data);
    json_put_text(info, "filename", p->entry_point);
    json_put_text(info, "language", "Dockerfile");
    json_put_text(info, "data", str_text(&data));
    json_push(infos, info);
    return infos;
}

/* ---- layers ---- */

static void put_layers(const struct provenance *p, size_t number, size_t count, struct json *into)
{
    auto_free char *id = str_format("step%zu:0", number);
    struct json *chain = json_new_array();
    struct json *chains = json_new_array();

    for (size_t i = 0; i < count && i < p->layers->count; i++) {
        const struct descriptor *d = &p->layers->items[i];
        struct json *one = json_new_object();

        descriptor_put(one, d->media_type, &d->digest, d->size_bytes);
        json_push(chain, one);
    }
    json_push(chains, chain);
    if (number != NO_STEP && count > 0 && json_get(into, id) == NULL)
        json_put(into, id, json_ref(chains));
    json_unref(chains);
}

/* How many layers a stage ends with. */
static size_t layer_count_of(const struct trace *t, size_t stage)
{
    for (size_t i = t->steps.count; i > 0; i--)
        if (t->steps.items[i - 1].stage == stage)
            return t->steps.items[i - 1].layer_count;
    if (stage >= t->bases.count)
        return 0;
    return t->bases.items[stage].is_stage && t->bases.items[stage].stage < stage
               ? layer_count_of(t, t->bases.items[stage].stage)
               : t->bases.items[stage].layer_count;
}

/* Of the stages that the result is made from, one on top of the other: the others' are in no image. */
static struct json *new_layers(const struct provenance *p, const struct numbers *n)
{
    const struct trace *t = n->t;
    struct json *layers = json_new_object();
    size_t stage = t->target;

    if (p->layers == NULL || layer_count_of(t, stage) != p->layers->count)
        return layers; /* files, or layers that were made into one */
    while (stage < t->bases.count) {
        const struct trace_base *base = &t->bases.items[stage];

        for (size_t i = 0; i < t->steps.count; i++)
            if (t->steps.items[i].stage == stage)
                put_layers(p, n->sources.count + i, t->steps.items[i].layer_count, layers);
        if (!base->is_stage || base->stage >= stage) {
            put_layers(p, number_of_source(n, base->source), base->layer_count, layers);
            break;
        }
        stage = base->stage;
    }
    return layers;
}

void provenance_put_source(const struct provenance *p, struct json *into)
{
    auto_numbers struct numbers n = {0};
    struct json *source = json_new_object();
    struct json *layers;

    number_all(p->trace, &n);
    json_put(source, "locations", new_locations(&n));
    json_put(source, "infos", new_infos(p));
    json_put(into, "source", source);
    layers = new_layers(p, &n);
    if (json_count(layers) > 0)
        json_put(into, "layers", json_ref(layers));
    json_unref(layers);
}
